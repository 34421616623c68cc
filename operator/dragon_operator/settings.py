"""Settings of an operator, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from dragon.encoding import check_id, to_hex
from dragon.errors import InvalidId, SettingsError
from dragon.net.tls import PLAIN, Tls
from dragon.node.addresses import Network
from dragon.node.settings import Environment
from dragon.protocol import bls
from dragon.protocol.committee import Committee
from dragon.storage import keystore
from dragon_operator.seat import Seat
from dragon_operator.window_verifier import MAX_VERIFIERS, default_verifiers

# By setting: what it means, for the tables of `docs/reference.md`.
MEANINGS: Final[Mapping[str, str]] = {
    "OPERATOR_ID": "Id of this operator in the committee file.",
    "OPERATOR_KEYSTORE": (
        "EIP-2335 keystore with the operator's key; it must be the key that the committee "
        "file lists."
    ),
    "OPERATOR_PASSWORD_FILE": "File with the keystore's password.",
    "OPERATOR_NEXT_KEYSTORE": (
        "While the key is rotated: keystore of the next one. The operator signs with the key that "
        "the committee lists."
    ),
    "OPERATOR_NEXT_PASSWORD_FILE": "File with the password of that keystore.",
    "OPERATOR_DATABASE": (
        "SQLite file for log and verdicts; created if it does not exist. The journal and the "
        "objects are in files of their own beside it: `operator-journal.db`, `operator-objects.db`."
    ),
    "OPERATOR_FROM_CHECKPOINT": (
        "1: an empty log starts from the newest certified checkpoint of another operator."
    ),
    "OPERATOR_STREAMS": (
        "Certified streams that the operator votes on at the same time. A stream that sends "
        "nothing new for a minute can be replaced. Streams without a certified window have "
        "places of their own."
    ),
    "OPERATOR_WINDOWS_PER_SECOND": "New windows per stream and second, on average.",
    "OPERATOR_STREAMS_FILE": (
        "File with stream ids, one per line: the operator votes on these streams only. "
        "Without it, on any stream."
    ),
    "OPERATOR_VERIFIERS": (
        "Processes that verify windows, at most 16; they start when the log has a stream. 0 or 1: "
        "the operator verifies in its own process. The default is the number of available cores, "
        "at most 8, and at most one for each 160 MiB of free memory; in a container of one core "
        "that is 1. `dragon up` sets 1 for a fleet with several operators, which share the cores."
    ),
    "OPERATOR_OBJECTS_MB": "Storage for the objects of windows, in MiB.",
    "OPERATOR_EVIDENCE_MB": (
        "Storage for the signed records of what the operator saw and answered in the last 30 days, "
        "in MiB: `operator-evidence.db` beside the database."
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of an operator. `docs/reference.md` lists them."""

    operator: str
    committee: Committee
    secret: bls.SecretKey = field(repr=False)
    database: Path
    nodes_files: Sequence[Path]
    host: str
    port: int
    threads: int
    from_checkpoint: bool = False
    streams: int = 64
    windows_per_second: int = 2
    listed_streams: frozenset[bytes] | None = None  # None: every stream is accepted
    objects_mb: int = 2048
    evidence_mb: int = 256
    verifiers: int = 1  # processes that verify windows; below 2, the operator does
    tls: Tls = PLAIN
    proxies: tuple[Network, ...] = ()
    known_clients: tuple[str, ...] = ()
    earlier: Sequence[Committee] = ()  # of a lineage: the committees before that one
    next_secret: bls.SecretKey | None = field(default=None, repr=False)  # while a key is rotated

    @property
    def pinned(self) -> Sequence[Committee]:
        """The committees that the owner has given, oldest first."""
        return (*self.earlier, self.committee)

    @property
    def seat(self) -> Seat:
        """The operator's id and keys."""
        following = () if self.next_secret is None else (self.next_secret,)
        return Seat(self.operator, (self.secret, *following))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises SettingsError, KeystoreError: the message names the setting or the file.
        """
        values = Environment(environ)
        operator, lineage = values.text("OPERATOR_ID"), values.lineage()
        committee = lineage.newest
        _check_operator(operator, committee)
        secret = keystore.load(
            values.path("OPERATOR_KEYSTORE"), values.path("OPERATOR_PASSWORD_FILE")
        )
        next_secret = _next_secret(values)
        # An operator that no committee lists yet follows the log until it takes its seat.
        listed = committee.keys.get(operator)
        if listed is not None and next_secret is None and secret.public_key() != listed:
            message = (
                f"the keystore does not hold the key of {operator}, which is {to_hex(listed.raw)}"
            )
            raise SettingsError(message, setting="OPERATOR_KEYSTORE")
        return cls(
            operator=operator,
            committee=committee,
            earlier=lineage.committees[:-1],
            secret=secret,
            database=values.path("OPERATOR_DATABASE"),
            nodes_files=values.paths("SEQUENCER_NODES_FILE"),
            host=values.text("DRAGON_HOST", "127.0.0.1"),
            port=values.integer("DRAGON_PORT", 5001, least=1, most=65535),
            from_checkpoint=bool(values.integer("OPERATOR_FROM_CHECKPOINT", 0, least=0, most=1)),
            streams=values.integer("OPERATOR_STREAMS", 64, least=1, most=4096),
            windows_per_second=values.integer("OPERATOR_WINDOWS_PER_SECOND", 2, least=1, most=1000),
            listed_streams=values.streams("OPERATOR_STREAMS_FILE"),
            objects_mb=values.integer("OPERATOR_OBJECTS_MB", 2048, least=64, most=1_000_000),
            evidence_mb=values.integer("OPERATOR_EVIDENCE_MB", 256, least=16, most=100_000),
            verifiers=values.integer(
                "OPERATOR_VERIFIERS", default_verifiers(), least=0, most=MAX_VERIFIERS
            ),
            threads=values.integer("DRAGON_THREADS", 64, least=4, most=256),
            tls=values.tls(),
            proxies=values.networks("DRAGON_PROXIES"),
            known_clients=values.hosts("DRAGON_KNOWN_CLIENTS"),
            next_secret=next_secret,
        )


def _check_operator(operator: str, committee: Committee) -> None:
    """Raises SettingsError: no committee of this network can ever list an operator of this id."""
    try:
        check_id(operator, member="OPERATOR_ID")
    except InvalidId as error:
        raise SettingsError(f"{error}; it is {operator!a}", setting="OPERATOR_ID") from None
    others = {*committee.members, *committee.targets_by_id} - {*committee.keys}
    if operator in others:
        message = f"the committee lists {operator}, but not as an operator"
        raise SettingsError(message, setting="OPERATOR_ID")


def _next_secret(values: Environment) -> bls.SecretKey | None:
    """Return the key that is to replace the present one, if there is one."""
    file = values.optional_path("OPERATOR_NEXT_KEYSTORE")
    if file is None:
        return None
    return keystore.load(file, values.path("OPERATOR_NEXT_PASSWORD_FILE"))
