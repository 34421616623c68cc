"""Every error of the project, one class each, in one tree below `DragonError`.

The first line of a class docstring says what is wrong; `make docs` prints it. Errors do not depend
on HTTP or exit codes: `dragon.node.problems` assigns HTTP statuses, the command line exit codes.
"""

from __future__ import annotations

import re


class DragonError(Exception):
    """Base class of every error that is raised on purpose.

    Args:
        message: what was wrong, what was expected and, where there is one, the next step.
        facts: details that a caller may see, such as numbers and names; never secrets.
    """

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts

    @property
    def name(self) -> str:
        """The name that users see: the class name in snake case, for example `quorum_not_met`."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__)
        return words.lower()


class InvalidEncoding(DragonError):
    """The input does not follow the required encoding."""


class NotJson(InvalidEncoding):
    """The input is not JSON, or is nested too deeply."""


class TooLarge(InvalidEncoding):
    """The input has more bytes than allowed."""


class MessageTooLong(TooLarge):
    """A message of a stream with readings is longer than the stream's `length`."""


class DuplicateMember(InvalidEncoding):
    """A JSON object contains the same member twice."""


class NotAnInteger(InvalidEncoding):
    """A number is a float or a boolean instead of an integer."""


class IntegerOutOfRange(InvalidEncoding):
    """An integer is outside ±(2^53 − 1) or outside the range of its member."""


class LoneSurrogate(InvalidEncoding):
    """A string contains half of a surrogate pair, which is not a character."""


class WrongType(InvalidEncoding):
    """A value has the wrong JSON type."""


class UnknownMember(InvalidEncoding):
    """A JSON object contains a member, or a query a parameter, that is not defined."""


class MissingMember(InvalidEncoding):
    """A required member or parameter is missing."""


class InvalidId(InvalidEncoding):
    """An id does not match [a-z0-9_-]{1,32}."""


class InvalidHex(InvalidEncoding):
    """A byte string does not match 0x[0-9a-f]*, or has the wrong length."""


class UnknownValue(InvalidEncoding):
    """A value is not one of those allowed for its member."""


class NotCanonical(InvalidEncoding):
    """The text is not in the canonical form of its JSON value."""


class UnsortedNodes(InvalidEncoding):
    """The nodes of a report are not in ascending order, or one is listed twice."""


class InvalidPoint(DragonError):
    """A curve point is not on its curve, is outside the subgroup, or is at infinity."""


class InvalidCommittee(DragonError):
    """The committee file does not describe a committee that can be trusted."""


class ListedTwice(InvalidCommittee):
    """An id or a key appears twice."""


class InvalidKey(InvalidCommittee):
    """A public key is not a valid point of the subgroup."""


class UnprovenKey(InvalidCommittee):
    """A proof of possession is missing or wrong, so the key may be a rogue key."""


class TooFewOperators(InvalidCommittee):
    """The committee has fewer than three operators."""


class UnreachableQuorum(InvalidCommittee):
    """A quorum cannot be reached without the subject, or two quorums could be disjoint."""


class OversizedEvent(InvalidCommittee):
    """The committee's largest event would not fit into a batch."""


class WeakHandover(InvalidCommittee):
    """The quorum for handovers is smaller than a byzantine quorum."""


class BrokenSuccession(InvalidCommittee):
    """The committee does not follow the one that it must follow."""


class RecycledId(InvalidCommittee):
    """The committee lists an id that had gone, or that was listed in another role."""


class RecycledKey(InvalidCommittee):
    """The committee lists a key that had gone, or that was listed for another id."""


class UnknownOwner(InvalidCommittee):
    """The owner of a target is not listed as an operator, expert or owner."""


class InvalidTimeout(InvalidCommittee):
    """The timeout of a target's check does not fit into the rounds."""


class ForgedMember(InvalidCommittee):
    """The member file is not signed with its own key."""


class InvalidStream(DragonError):
    """The stream descriptor cannot be trusted."""


class InvalidIdentity(InvalidStream):
    """The stream's identity is not a public key: one of its words is too large."""


class InvalidHeaderKey(InvalidStream):
    """The stream's header key is not a valid point of the subgroup."""


class UnprovenHeaderKey(InvalidStream):
    """The proof of possession of the stream's header key is wrong."""


class InvalidReadings(InvalidStream):
    """The stream's rule or bounds for readings are invalid; `member` names the first wrong one."""


class CertificateError(DragonError):
    """The certificate does not prove its claim."""


class UnknownKind(CertificateError):
    """A certificate cannot carry this kind of claim."""


class WrongCommittee(CertificateError):
    """The object was made for another committee."""


class Superseded(CertificateError):
    """The object is signed by a committee that has handed over, and nothing newer covers it."""


class NotAccepted(CertificateError):
    """The next committee has not accepted the handover."""


class UnknownNode(CertificateError):
    """The committee does not list this node."""


class OffRound(CertificateError):
    """The timestamp is not the start of a valid round."""


class SubjectSigned(CertificateError):
    """A node is among the signers of its own `down`."""


class UnknownSigner(CertificateError):
    """A signer is not in the committee."""


class DuplicateSigner(CertificateError):
    """A signer is listed twice."""


class UnsortedSigners(CertificateError):
    """The signers are not in ascending order."""


class QuorumNotMet(CertificateError):
    """There are fewer signers than the quorum requires."""

    def __init__(self, *, signers: int, needed: int) -> None:
        message = f"{signers} signed, the quorum needs {needed}"
        super().__init__(message, signers=signers, needed=needed)


class WrongAggregateKey(CertificateError):
    """The stated aggregate key is not the sum of the signers' keys."""


class InvalidSignature(CertificateError):
    """The signature is not a valid point of the subgroup."""


class BadSignature(CertificateError):
    """The signature was not made with these keys on this claim."""


class NotApplicable(DragonError):
    """The event is genuine, but the log cannot apply it now."""


class AppliedAlready(NotApplicable):
    """The log already contains the event, or is about to."""


class Stale(NotApplicable):
    """Log time is more than `max_age` later than the event's timestamp."""


class Early(NotApplicable):
    """The timestamp of an event that one key signs is too far in the future."""


class NotLater(NotApplicable):
    """The log already has an event on this subject that is as late or later."""


class NotAChange(NotApplicable):
    """The node already has this status."""


class NotNext(NotApplicable):
    """The window does not follow the stream's last valid window."""


class EnoughRefuted(NotApplicable):
    """The log already keeps the maximum number of invalid proofs of this window."""


class NoSuchWindow(NotApplicable):
    """The log lacks a window of the range."""


class NotSettled(NotApplicable):
    """The log may still receive events about the requested period."""


class BeforeSeat(NotApplicable):
    """The event's timestamp is before the committee took its seat."""


class NoOwner(NotApplicable):
    """The committee lists nobody who could announce the target's maintenance."""


class NotNextEpoch(NotApplicable):
    """The handover is not to the committee of the next epoch."""


class UnfitSuccessor(NotApplicable):
    """The committee that the handover names may not follow the one that holds."""


class TooLate(NotApplicable):
    """The maintenance begins too soon: it has to be announced ahead, by log time."""


class TooFar(NotApplicable):
    """The maintenance begins too far ahead, or its window has no allowed length."""


class EnoughAnnounced(NotApplicable):
    """The node already has the maximum number of announced windows that have not ended."""


class AfterForged(NotApplicable):
    """A certificate before this event in its batch does not verify, which ends the batch."""


class DocumentMissing(DragonError):
    """The file of the committee that a handover names is not at hand yet, so the log waits."""


class LineageError(DragonError):
    """The lineage does not hold."""


class LineageForked(LineageError):
    """Two lineages of one network name different committees of the same epoch."""


class LineageUnproven(LineageError):
    """The newest committee of the lineage has certified no log."""


class WrongDigest(DragonError):
    """The SHA-256 of the body is not the one in the address."""


class ReceiptRefused(DragonError):
    """The receipt contradicts itself, its data or the committee.

    `fields` names the members of which at least one must be wrong.
    """

    def __init__(self, message: str, *fields: str, **facts: object) -> None:
        super().__init__(message, fields=list(fields), **facts)
        self.fields = fields


class ReceiptSuperseded(ReceiptRefused):
    """The receipt's committee has handed over, and no mark that counts covers the votes."""


class OtherStream(ReceiptRefused):
    """The receipt belongs to another stream than the expected one."""


class DisclosureRefused(DragonError):
    """The opening of a chunk with a reading does not fit its commitment or its data.

    `reason` is one of `dragon.protocol.streams.disclosure.DisclosureReason`.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class AlreadyMade(DragonError):
    """A stream of this name exists with other settings."""


class StreamStopped(DragonError):
    """The stream accepts no more data; its owner has to create another stream."""


class StreamDamaged(StreamStopped):
    """Data of the stream on the disk of its service is damaged; nothing more is accepted."""


class ChunkDamaged(DragonError):
    """The stored data of the chunk, or its window's row, is damaged or missing."""


class ArchiveUnavailable(DragonError):
    """The archive with the data cannot be used now; the same request may succeed later."""


class WrongOffset(DragonError):
    """The data does not start where the stream ends; `bytes` is the length of the stream."""


class InvalidProof(DragonError):
    """The Merkle path does not lead to the root."""


class StreamReportRefused(DragonError):
    """The report on a period of a stream does not hold.

    `reason` is one of `dragon.protocol.streams.certified_window.ReportReason`, and `window`, if
    present, the number of the first window that is wrong.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class ClaimMissing(DragonError):
    """The report holds, and lists windows without a claim about their readings."""


class EndNotShown(DragonError):
    """The report holds, and does not show whether more windows of its period followed."""


class SpotCheckRefused(DragonError):
    """The answer to a spot check does not show which chunks had to be disclosed.

    `reason` is one of `dragon.protocol.streams.certified_window.ReportReason`, or of
    `dragon.protocol.streams.spot_check.SpotCheckReason`.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class SpotCheckFailed(DragonError):
    """The owner of the stream could not open a chunk of a spot check, or opened it wrongly."""


class EvidenceError(DragonError):
    """An operator's records about a node do not hold."""


class BrokenChain(EvidenceError):
    """A record does not follow the one before it, so one was removed, inserted or changed."""


class ForeignRecord(EvidenceError):
    """A record, a seal or the event is about another node, or of another operator."""


class InvalidRule(DragonError):
    """The reward rule is not TOML, or contradicts itself."""


class PayoutTooSmall(DragonError):
    """The amounts that a reward rule states add up to more than the payout."""


class ReportAltered(DragonError):
    """The report does not show what its certificate, its leaves and its rule give."""


class ProofRefused(DragonError):
    """The zero-knowledge proof does not prove its statement.

    `reason` is one of `dragon.stark.refusal.Reason` and names the first check that failed.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class ProvingError(DragonError):
    """The prover could not make a zero-knowledge proof.

    No message contains a secret; it names only the position of one.
    """


class WrongWitness(ProvingError):
    """The secrets are malformed, or do not belong to the statement."""


class UnsafeParameters(ProvingError):
    """A proof under these parameters would reveal the secrets."""


class UnluckyChallenge(ProvingError):
    """The out-of-domain point fell into the domain; prove again with fresh randomness.

    Nothing of the attempt may be published. The probability is at most 2^-100 for each proof.
    """


class WorkerDied(ProvingError):
    """The worker process that made the proof ended; another one replaces it."""


class AttestationRefused(DragonError):
    """The operator does not sign the claim.

    `reason` is one of `dragon.protocol.refusal.RefusalReason`.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class BeatRefused(DragonError):
    """The beat of a target does not count."""


class NotHeartbeatTarget(BeatRefused):
    """The node is not a target that sends heartbeats."""


class BeatTooOld(BeatRefused):
    """The beat is old, or the machine's clock is behind. `offset_ms` says how far."""


class BeatTooEarly(BeatRefused):
    """The time of the beat is in the future: the machine's clock is ahead by `offset_ms`."""


class BeatNotLater(BeatRefused):
    """A beat with the same time or a later one was received before."""


class LedgerError(DragonError):
    """Reading from or writing to the sequencer's ledger failed."""


class EventTooLarge(LedgerError):
    """The event does not fit into a batch; nothing was sent."""


class LedgerUnavailable(LedgerError):
    """No gateway gives a usable answer; try again later."""


class LedgerRewound(LedgerUnavailable):
    """Every gateway that answers says that the ledger ends before a batch that was read.

    This is not proven and may be temporary: a network that restarts catches up. If the ledger
    continues with other content, that is proven and raised as `LedgerContradiction`.
    """


class LedgerContradiction(LedgerError):
    """The ledger has changed batches that were read before."""


class LogError(DragonError):
    """The local log cannot be used."""


class LogDamaged(LogError):
    """The log file contradicts itself."""


class DatabaseTooNew(LogError):
    """A newer release has changed the schema of the file; this release cannot use it."""


class DatabaseTooOld(LogError):
    """The file holds a log of an older format, which this release cannot continue."""


class WrongJournal(LogError):
    """The operator's journal of signed claims is missing, or is not the one of its database."""


class HandedOver(LogError):
    """The log has applied a handover, so its network cannot begin again."""


class Diverged(LogError):
    """A quorum has certified another log than this one; nothing may be applied."""


class LogStopped(LogError):
    """The log has an active alarm and applies nothing until it is resolved."""


class InUse(DragonError):
    """Another process uses the files."""


class KeyInUse(InUse):
    """Another service answers with this operator's key; this one must not sign anything."""


class DiskError(DragonError):
    """A disk cannot be used now. Nothing was half written; it works again when the disk does."""


class DiskFull(DiskError):
    """The disk has no space."""


class DiskFailed(DiskError):
    """The disk is read-only, or reports errors."""


class PeerError(DragonError):
    """Another service gave no usable answer."""


class Unreachable(PeerError):
    """The service could not be reached in time."""


class Unavailable(PeerError):
    """The service cannot do what was requested now; the same request may succeed later.

    `retry_after` is the number of seconds after which the service asks for the next attempt.
    """


class BadAnswer(PeerError):
    """The service's answer is not the one that was requested."""


class NotCertified(DragonError):
    """Too few operators signed the claim."""


class UnsuitablePeriod(DragonError):
    """A period has no node, or too many for one certificate."""


class KeystoreError(DragonError):
    """A key cannot be read."""


class NotEnoughMemory(KeystoreError):
    """Decrypting the keystore needs more memory than the process may use."""


class SettingsError(DragonError):
    """A setting is missing or invalid."""


class NotFound(DragonError):
    """The requested item does not exist here."""


class Unauthorized(DragonError):
    """The request carries no token, or a wrong one."""


class ForeignOrigin(DragonError):
    """A web page of another site opens a socket."""


class NotListed(DragonError):
    """The service accepts listed streams only, and this stream is not listed."""


class Busy(DragonError):
    """The service has too much to do; try again later.

    `retry_after`, if given, is the number of seconds to wait.
    """


class RateLimited(Busy):
    """The client has used its share of processor time; try again after `retry_after` seconds."""


class TooManySockets(Busy):
    """The maximum number of sockets is open, in total or for one address."""


class Overdue(DragonError):
    """The operation was not completed within its time limit."""


class ClientGone(Overdue):
    """The client closed its connection before its request was finished."""


class StepFailed(DragonError):
    """What a command waits for has not happened in time."""


def because(error: Exception) -> str:
    """Return the message of an error of this tree after a colon; a library is not quoted."""
    return f": {error}" if isinstance(error, DragonError) else ""
