"""Collects a handover: finds what the owners have approved, and has both committees sign it.

Nobody submits anything. Each round the operators are asked what their owners have approved. When as
many as a handover needs name the same committee, both sides are asked, again in each round, until
the log has the handover. This happens beside the rounds: a handover that hangs must not leave time
without checkpoints.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Final, TypeVar

import structlog

from dragon import errors
from dragon.encoding import from_hex, to_hex
from dragon.errors import DragonError
from dragon.log.follower import Follower
from dragon.log.store import Log
from dragon.net.committee_client import fetch_committee
from dragon.net.operator_client import OperatorClient
from dragon.net.per_member import PerMember
from dragon.net.runtime import Runtime
from dragon.protocol.certificate import Certificate
from dragon.protocol.certificate import assemble as assemble_certificate
from dragon.protocol.claims.base import Claim, kind_of
from dragon.protocol.claims.handover import HANDOVERS, HandoverClaim
from dragon.protocol.committee import Committee
from dragon.protocol.handover import Handover, assemble, newcomers
from dragon.protocol.succession import check_successor
from dragon_aggregator.outbox import Outbox, Pending

READ_SECONDS: Final = 2.0  # for one question what is approved
LOST_AFTER_ROUNDS: Final = 1.5  # after which a handover that was sent should be applied
MAX_CANDIDATES: Final = 8  # committees that are approved at the same time

T = TypeVar("T")

logger = structlog.stdlib.get_logger(__name__)


class HandoverCollector:
    """Brings a handover that the owners agree to onto the ledger."""

    def __init__(
        self,
        log: Log,
        follower: Follower,
        outbox: Outbox,
        runtime: Runtime,
        *,
        rank: int = 0,
    ) -> None:
        self._log = log
        self._follower = follower
        self._outbox = outbox
        self._runtime = runtime
        self._rank = rank
        self._workers: PerMember[Executor] = PerMember(
            lambda _: runtime.workers(2),
            lambda pool: pool.shutdown(wait=False, cancel_futures=True),
        )
        self.approved: Mapping[str, str | None] = {}  # by operator: id of a committee; for pages
        self.following: Committee | None = None  # that enough owners have approved

    def run(self, stop: threading.Event) -> None:
        """Collect once in each round until `stop` is set."""
        while not stop.is_set():
            rounds = self._log.committee.rounds
            now = self._runtime.wall()
            number = rounds.number(now)
            try:
                self.step(rounds.start(number))
            except DragonError as error:
                logger.warning("handover_not_collected", reason=error.name, detail=str(error))
            left = rounds.start(number + 1) - self._runtime.wall()
            stop.wait(max(0.01, left))

    def step(self, timestamp: int) -> Handover | None:
        """Look for an agreement, and collect its handover for the round from `timestamp`.

        Returns the handover, if it was certified and accepted.
        """
        committee = self._log.committee
        if self._log.alarm() is not None or not self._follower.caught_up:
            return None
        self.following = following = self._agreed(committee)
        self._workers.keep({*committee.keys, *(following.keys if following else ())})
        earlier = self._pending()
        if following is None or self._is_on_its_way(earlier, following):
            return None
        head = self._log.head()
        claim = HandoverClaim(following.epoch, following.id, head.root, head.size, timestamp)
        if kind_of(claim).superseded(claim, self._log.state):
            return None
        made = self._collect(claim, committee, following)
        if made is not None:
            wait = self._rank * committee.rounds.seconds
            self._outbox.add(made, not_before=self._runtime.wall() + wait if wait else 0.0)
            self._outbox.remove(earlier)  # last, so that one of them is on disk at any time
            logger.info("handover_assembled", epoch=following.epoch, next=to_hex(following.id))
        return made

    def close(self) -> None:
        self._workers.close()

    def _pending(self) -> list[Pending]:
        """The handovers in the outbox."""
        return [each for each in self._outbox.pending() if each.key == HANDOVERS]

    def _is_on_its_way(self, pending: Sequence[Pending], following: Committee) -> bool:
        """Whether a handover to this committee may soon be applied, so that none is collected.

        It was certified in this round or the one before, or it still has to be sent.
        """
        state, now = self._log.state, self._runtime.wall()
        lost_after = LOST_AFTER_ROUNDS * state.committee.rounds.seconds
        return any(
            isinstance(claim := each.event.claim, HandoverClaim)
            and claim.next == following.id
            and kind_of(claim).superseded(claim, state) is None
            and (each.sent_at is None or now - each.sent_at < lost_after)
            for each in pending
        )

    def _agreed(self, committee: Committee) -> Committee | None:
        """Return the next committee that enough owners have approved, if its file is at hand."""
        said = self._ask_approvals(committee)
        self.approved = said
        tally = Counter(each for each in said.values() if each is not None)
        needed = committee.quorum("handover")
        for named, number in tally.most_common(MAX_CANDIDATES):
            if number < needed:
                return None
            sources = [operator for operator, each in said.items() if each == named]
            following = self._document(committee, named, sources)
            if following is not None and following.previous == committee.id:
                return following
        return None

    def _ask_approvals(self, committee: Committee) -> dict[str, str | None]:
        asked = {
            operator: self._submit(operator, partial(self._approval, committee, operator))
            for operator in committee.keys
        }
        ends = self._runtime.monotonic() + 2 * READ_SECONDS
        return {operator: self._within(future, ends) for operator, future in asked.items()}

    def _approval(self, committee: Committee, operator: str) -> str | None:
        client = OperatorClient(committee, operator, self._runtime.http)
        try:
            said = client.get("/committee", deadline=READ_SECONDS)
            if said.get("committee") != to_hex(committee.id):
                return None  # its log is not where ours is
            named = said["approved"].get(operator)
            return named if isinstance(named, str) else None
        except (DragonError, AttributeError, KeyError, TypeError):
            return None

    def _document(
        self, committee: Committee, named: str, sources: Sequence[str]
    ) -> Committee | None:
        """Return the committee file with this hash, and offer it to our log, if it may follow."""
        digest = from_hex(named, member="approved", size=32)
        known = self._log.document(digest)
        if known is not None:
            return known
        for operator in sources:
            url = committee.urls[operator]
            try:
                found = fetch_committee(self._runtime.http, url, digest, deadline=READ_SECONDS)
                state = self._log.state
                check_successor(state.known, state.sealed, found)
            except DragonError as error:
                logger.warning("approved_committee_refused", operator=operator, detail=str(error))
                continue
            self._log.offer(found)
            return found
        return None

    def _collect(
        self, claim: HandoverClaim, committee: Committee, following: Committee
    ) -> Handover | None:
        """Ask both sides at once. Returns the verified handover, if both have signed."""
        ends = self._runtime.monotonic() + committee.rounds.collect_deadline_seconds
        asked = {
            (side.id, operator): self._submit(
                operator, partial(self._attest, side, operator, signed, ends)
            )
            for side, signed in ((committee, claim), (following, claim.acceptance))
            for operator in side.keys
        }
        signed = {
            key: signature
            for key, future in asked.items()
            if (signature := self._within(future, ends)) is not None
        }
        old = {name: made for (side, name), made in signed.items() if side == committee.id}
        new = {name: made for (side, name), made in signed.items() if side == following.id}
        if len(old) < committee.quorum("handover") or len(new) < following.quorum("handover"):
            return None
        if newcomers(committee, following) - new.keys():
            return None
        certified: Certificate = assemble_certificate(claim, old, committee)
        made = assemble(certified, new, following)
        made.verify(committee)
        made.verify_acceptance(committee, following)
        return made

    def _attest(self, side: Committee, operator: str, claim: Claim, ends: float) -> bytes | None:
        left = ends - self._runtime.monotonic()
        try:
            client = OperatorClient(side, operator, self._runtime.http)
            return client.attest(claim, deadline=max(0.05, left))
        except errors.AttestationRefused as error:
            logger.info("handover_refused", operator=operator, reason=error.reason)
        except errors.PeerError as error:
            logger.info("handover_unanswered", operator=operator, detail=str(error))
        return None

    def _submit(self, operator: str, ask: Callable[[], T]) -> Future[T]:
        return self._workers.use(operator, lambda pool: pool.submit(ask))

    def _within(self, future: Future[T | None], ends: float) -> T | None:
        """Return the result of a future until `ends` (monotonic seconds); None without one."""
        try:
            return future.result(timeout=max(0.0, ends - self._runtime.monotonic()))
        except TimeoutError:
            future.cancel()
            return None
