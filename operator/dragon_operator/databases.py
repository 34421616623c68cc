"""The files of an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dragon.errors import DragonError
from dragon.log.cursor import check_not_archived
from dragon.log.schema import LOG_SCHEMA
from dragon.net.runtime import Runtime
from dragon.storage.blobs import SCHEMA as OBJECTS
from dragon.storage.database import Database
from dragon_operator import verdict_store
from dragon_operator.evidence_store import open_evidence
from dragon_operator.journal_file import open_journal
from dragon_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Databases:
    """The files of an operator. Each has its own transactions, which never wait for the others."""

    log: Database  # `operator.db`: the log, and verdicts on windows
    journal: Database  # `operator-journal.db` beside it: decisions to sign
    objects: Database  # `operator-objects.db`: objects that other services hold as well
    evidence: Database  # `operator-evidence.db`: signed records of looks and answers

    @classmethod
    def open(cls, settings: Settings, runtime: Runtime) -> Self:
        """Open the files; create those that do not exist.

        Raises:
            LogDamaged: the network's log was archived. No journal is created then: it would
                belong to that network, and the refounded one could not use it.
            WrongJournal: the journal is missing, or belongs to another operator or database.
            LogError: a file cannot be used.
        """
        path = settings.database
        log = Database(path, LOG_SCHEMA, verdict_store.SCHEMA)
        try:
            with log.read() as connection:
                check_not_archived(connection, settings.committee.network_id)
            journal = open_journal(
                log,
                settings.committee,
                settings.operator,
                entropy=runtime.entropy,
                wall=runtime.wall,
            )
        except DragonError:
            log.close()
            raise
        objects = Database(path.with_name(f"{path.stem}-objects.db"), OBJECTS, disk=log.disk)
        network_id = settings.committee.network_id
        evidence = open_evidence(path, network_id, settings.operator, log.disk)
        return cls(log, journal, objects, evidence)

    def close(self) -> None:
        for database in (self.log, self.journal, self.objects, self.evidence):
            database.close()
