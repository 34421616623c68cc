"""What batches change in a log, decided in memory before anything is written.

A batch ends at its first event whose certificate does not verify. The events after it are refused
with `AfterForged`, and their signatures are not verified. An honest sender verifies every event
before it sends it, so its batches have no such event. A sender of forged signatures therefore pays
for a whole batch to cost every log one pairing check. Events that are malformed, of another
committee or kind, or that the state refuses do not end a batch: an honest batch may contain them.

All logs must come to the same result, whichever signatures they verify together, and whatever they
remember.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dragon import errors
from dragon.log.batch_items import BatchItem, BatchItems
from dragon.log.batch_verification import Verdict, Verifier
from dragon.log.ledger import ProvenBatch
from dragon.log.refusal_reason import Reason
from dragon.log.refused_events import Refusal
from dragon.log.verified_events import VerifiedEvents
from dragon.protocol.claims.base import RootAt
from dragon.protocol.committee import Committee
from dragon.protocol.event import Event
from dragon.protocol.handover import Handover
from dragon.protocol.log_entry import LogEntry
from dragon.protocol.state import State
from dragon.protocol.transition import Documents, transition

_AFTER_FORGED: Final = Reason.of(
    errors.AfterForged("a certificate before it in its batch does not verify")
)


@dataclass(slots=True)
class Outcome:
    """The result of evaluating batches on a state."""

    state: State
    entries: list[LogEntry] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    # Committees that certified handovers name, by id: applied or not, each log needs these files.
    named: dict[bytes, Committee] = field(default_factory=dict)


# Returns the roots of the log that has these entries added.
Roots: TypeAlias = Callable[[Sequence[LogEntry]], RootAt]


class Evaluator:
    """Evaluates batches by the rules of the log. Only one thread may use it."""

    def __init__(
        self, entropy: Callable[[int], bytes], verified: VerifiedEvents | None = None
    ) -> None:
        """Create an evaluator.

        Args:
            entropy: returns random bytes, for the batched verification of signatures.
            verified: certificates that need not be verified again.
        """
        self._items = BatchItems()
        self._verifier = Verifier(entropy, verified)
        self._distrusts = False  # whether the last batches had forged events

    def evaluate(
        self,
        state: State,
        batches: Sequence[ProvenBatch],
        roots: Roots,
        documents: Documents = lambda _: None,
    ) -> Outcome:
        """Return what consecutive batches change in a log with this state. Changes nothing.

        Evaluates the batches several times. Each time it collects certificates that must be
        verified, and verifies all of them, until none is unknown. Either it trusts unknown
        certificates meanwhile, or it treats them as forged: the first is quick if most are valid,
        the second if most are not.

        Args:
            documents: finds the files of committees. What it returns must not change meanwhile.

        Raises:
            Diverged: a quorum certified another log.
            DocumentMissing: a handover names a committee whose file is not at hand.
        """
        decoded = [self._decoded(batch) for batch in batches]
        verdicts: dict[bytes, Verdict] = {}
        trusts, self._distrusts = not self._distrusts, False
        while True:
            run = _Run(Outcome(state), verdicts, self._verifier, documents, trusts=trusts)
            run.evaluate(decoded, roots)
            if not run.has_unknown:
                break
            found = self._verifier.verify(run.wanted, together=trusts)
            verdicts.update(found)
            forged = any(verdict is not None for verdict in found.values())
            self._distrusts |= forged
            trusts = not (trusts and forged)
        self._remember_useless(decoded, run.outcome)
        return run.outcome

    def _decoded(self, batch: ProvenBatch) -> _Decoded:
        try:
            return _Decoded(batch, self._items.of(batch.body))
        except errors.InvalidEncoding as error:
            return _Decoded(batch, (), Refusal.of(batch.index, 0, Reason.of(error), batch.body))

    def _remember_useless(self, decoded: Sequence[_Decoded], outcome: Outcome) -> None:
        useful = {entry.ledger_index for entry in outcome.entries}
        for each in decoded:
            if each.items and each.batch.index not in useful:
                self._items.remember(each.batch.body, each.items)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A batch and its events, or why it is no list of events."""

    batch: ProvenBatch
    items: Sequence[BatchItem]
    refusal: Refusal | None = None


class _Forged(Exception):
    """The certificate does not verify."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class _Unknown(Exception):
    """The certificate is not verified yet, and not trusted meanwhile."""


class _Run:
    """One evaluation. Its outcome is final if no certificate was unknown."""

    def __init__(
        self,
        outcome: Outcome,
        verdicts: dict[bytes, Verdict],
        verifier: Verifier,
        documents: Documents,
        *,
        trusts: bool,
    ) -> None:
        self._verdicts = verdicts
        self._verifier = verifier
        self._documents = documents
        self._trusts = trusts
        self.outcome = outcome
        # Certificates to verify next, and the committees to verify them with, by digest.
        self.wanted: dict[bytes, tuple[Event, Committee]] = {}
        self.has_unknown = False
        self._verified_here = self._unknown_here = False  # in the batch that is being evaluated

    def evaluate(self, decoded: Sequence[_Decoded], roots: Roots) -> None:
        """Evaluate all batches. Raises Diverged, DocumentMissing."""
        root_at = roots(self.outcome.entries)
        try:
            for each in decoded:
                self._evaluate_batch(each, root_at)
        except (errors.Diverged, errors.DocumentMissing):
            # Only a genuine event after genuine events may stop the log, or make it wait.
            if not self.has_unknown:
                raise

    def _evaluate_batch(self, decoded: _Decoded, root_at: RootAt) -> None:
        self._verified_here = self._unknown_here = False
        if decoded.refusal:
            self.outcome.refusals.append(decoded.refusal)
        for place, item in enumerate(decoded.items):
            if isinstance(event := item.decoded(), Reason):
                self._refuse(decoded, place, event)
                continue
            try:
                self._apply(event, item, decoded.batch, root_at)
            except _Unknown:
                return
            except _Forged as end:
                self._refuse(decoded, place, end.reason)
                self._refuse_rest(decoded, place + 1)
                return
            except (errors.Diverged, errors.DocumentMissing):
                raise
            except errors.DragonError as error:
                self._refuse(decoded, place, Reason.of(error))

    def _refuse(self, decoded: _Decoded, place: int, why: Reason) -> None:
        excerpt = decoded.items[place].excerpt()
        self.outcome.refusals.append(Refusal.of(decoded.batch.index, place, why, excerpt))

    def _refuse_rest(self, decoded: _Decoded, first: int) -> None:
        """Refuse the events after a forged one, without an excerpt: they must cost nothing."""
        index = decoded.batch.index
        self.outcome.refusals += [
            Refusal.of(index, place, _AFTER_FORGED, "")
            for place in range(first, len(decoded.items))
        ]

    def _apply(self, event: Event, item: BatchItem, batch: ProvenBatch, root_at: RootAt) -> None:
        outcome = self.outcome

        def verify(event: Event, committee: Committee) -> None:
            if isinstance(event, Handover):
                self._check_now(item.digest(event), event, committee)
            else:
                self._check(item.digest(event), event, committee)

        def accept(event: Handover, committee: Committee, following: Committee) -> None:
            if reason := self._verifier.verify_acceptance(event, committee, following):
                raise _Forged(reason)

        def documents(committee_id: bytes) -> Committee | None:
            if (found := self._documents(committee_id)) is not None:
                outcome.named[committee_id] = found
            return found

        state = transition(
            outcome.state,
            event,
            root_at=root_at,
            verify=verify,
            documents=documents,
            accept=accept,
        )
        chaining_hash = batch.position.chaining_hash
        entry = LogEntry(outcome.state.size, event, batch.index, batch.time, chaining_hash)
        outcome.entries.append(entry)
        outcome.state = state

    def _check_now(self, digest: bytes, event: Handover, committee: Committee) -> None:
        """Return if a handover's certificate is valid. Raises _Forged.

        It is never trusted meanwhile: which committee holds decides about all events after it.
        """
        if digest not in self._verdicts:
            self._verdicts |= self._verifier.verify({digest: (event, committee)}, together=False)
        if (verdict := self._verdicts[digest]) is not None:
            raise _Forged(verdict)
        self._verified_here = True

    def _check(self, digest: bytes, event: Event, committee: Committee) -> None:
        """Return if a certificate is valid or trusted. Raises _Forged, _Unknown."""
        if digest not in self._verdicts:
            if known := self._verifier.remembered(digest):
                self._verdicts[digest] = known
            elif self._verifier.verified.knows(digest, committee):
                self._verdicts[digest] = None
        if digest not in self._verdicts:
            self._note_unknown(digest, event, committee)
            return
        if (verdict := self._verdicts[digest]) is not None:
            raise _Forged(verdict)
        self._verified_here = True

    def _note_unknown(self, digest: bytes, event: Event, committee: Committee) -> None:
        """Ask for the verdict on the batch's first unknown certificate.

        Ask for all of a batch only if one in it is valid: the rest of a batch after a forged
        certificate must cost nothing.
        """
        self.has_unknown = True
        if not self._unknown_here or self._verified_here:
            self.wanted[digest] = event, committee
        self._unknown_here = True
        if not self._trusts:
            raise _Unknown
