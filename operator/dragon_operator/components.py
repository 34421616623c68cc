"""The parts of an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dragon.log.follower import Follower
from dragon.log.index_tables import StreamRecords
from dragon.log.store import Log
from dragon.node.beat_book import BeatBook
from dragon.node.certification import Certification
from dragon.probing.probe_history import ProbeHistory
from dragon.protocol.committee import Committee
from dragon.storage.disk import Disk
from dragon_operator.approvals import Approvals
from dragon_operator.attester import Attester
from dragon_operator.beat_relay import BeatRelay
from dragon_operator.evidence_recorder import EvidenceRecorder
from dragon_operator.heard_rounds import HeardRounds
from dragon_operator.journal import Journal
from dragon_operator.journal_gaps import JournalGaps
from dragon_operator.key_check import KeyCheck
from dragon_operator.peer_monitor import PeerMonitor
from dragon_operator.peer_reports import PeerReports
from dragon_operator.reporter import Reporter
from dragon_operator.seat import Seat
from dragon_operator.target_looks import TargetLooks
from dragon_operator.window_voter import WindowVoter


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that an operator's app and threads use; `main.assemble` builds it."""

    myself: str  # this operator's id
    seat: Seat
    journal: Journal
    gaps: JournalGaps
    key_check: KeyCheck
    attester: Attester
    window_voter: WindowVoter
    reporter: Reporter
    peer_reports: PeerReports
    target_looks: TargetLooks
    log: Log
    approvals: Approvals
    streams: StreamRecords
    follower: Follower
    peers: PeerMonitor
    probe_history: ProbeHistory
    beats: BeatBook
    beat_relay: BeatRelay
    heard_rounds: HeardRounds
    evidence: EvidenceRecorder
    certification: Certification
    entropy: Callable[[int], bytes]
    wall: Callable[[], float]
    disks: Sequence[Disk]  # under the files; usually one, several times

    def approved(self) -> dict[str, bytes | None]:
        """Return the id of the next committee that the owner has approved, by the operator's id.

        An approved file is offered to the log, and served as an object. After its handover it is
        no approval any more.
        """
        found = self.approvals.current()
        if found is None or found.previous != self.committee.id:
            return {self.myself: None}
        self.log.offer(found)
        return {self.myself: found.id}

    @property
    def is_seated(self) -> bool:
        """Whether the committee that holds lists this operator with one of its keys."""
        return self.seat.secret_in(self.committee) is not None

    @property
    def committee(self) -> Committee:
        """The committee that holds now."""
        return self.log.committee
