"""What can go wrong, as a tree.

DragonError
├── InvalidEncoding         the bytes are not the form of anything we know
│   ├── NotJson                 no JSON at all, or nested too deeply
│   ├── TooLarge                more bytes than anything of that sort has
│   ├── DuplicateMember         an object names a member twice
│   ├── NotAnInteger            a float or a boolean where an integer belongs
│   ├── IntegerOutOfRange       beyond ±(2^53 − 1), or beyond the member's own bounds
│   ├── LoneSurrogate           half a character
│   ├── WrongType               another JSON type than the member has
│   ├── UnknownMember           a member too many
│   ├── MissingMember           a member too few
│   ├── InvalidId               an id that does not match [a-z0-9_-]{1,32}
│   ├── InvalidHex              bytes that do not match 0x[0-9a-f]*, or of the wrong length
│   └── UnknownValue            none of the words that the member may hold
├── InvalidPoint            a curve point off its curve, outside the subgroup or at infinity
├── InvalidCommittee        the file names no committee that could be trusted
│   ├── ListedTwice             an id or a key appears twice
│   ├── InvalidKey              a public key that is no point of the subgroup
│   ├── UnprovenKey             a proof of possession is missing or wrong (a rogue key)
│   ├── TooFewOperators         fewer than three
│   ├── UnreachableQuorum       out of reach without the subject, or two could be disjoint
│   └── OversizedEvent          its largest event would not fit into a batch
├── InvalidStream           the descriptor names no stream that could be trusted
│   ├── InvalidIdentity         the identity is no public key: a word of it is too large
│   ├── InvalidHeaderKey        the header key is no point of the subgroup
│   └── UnprovenHeaderKey       its proof of possession is wrong
├── CertificateError        the certificate does not prove its claim
│   ├── UnknownKind             no kind of claim that a certificate may carry
│   ├── WrongCommittee          made for another committee
│   ├── UnknownNode             about a node that the committee does not list
│   ├── OffRound                its timestamp is not the start of a round
│   ├── SubjectSigned           the subject is among the signers of its own `down`
│   ├── UnknownSigner           somebody outside the committee is named in it
│   ├── DuplicateSigner         a signer is listed twice
│   ├── UnsortedSigners         the signers are not in ascending order
│   ├── QuorumNotMet            too few signers
│   ├── WrongAggregateKey       the stated key is not the sum of the signers' keys
│   ├── InvalidSignature        the signature is no point of the subgroup
│   └── BadSignature            the pairing check fails: these keys did not sign this claim
├── NotApplicable           a genuine event that the log does not take now
│   ├── AppliedAlready          it is in the log
│   ├── Stale                   the ledger took it too long after its round
│   ├── Early                   the ledger took it before its round
│   ├── NotLater                what was applied last on that subject is as late or later
│   ├── NotAChange              the node has that status already
│   ├── NotNext                 the window does not follow the stream's last valid one
│   ├── EnoughRefuted           as many proofs for that window are known to be invalid as are kept
│   ├── NoSuchWindow            a window of the range is not in the log
│   └── NotSettled              the log may still learn something about the time that is asked for
├── WrongDigest             a body has another SHA-256 than it is asked or sent by
├── ReceiptRefused          a receipt contradicts itself, its data or the committee
├── AlreadyMade             a stream of that name is there, and is another
├── StreamStopped           a stream takes nothing more: a window of it was found invalid, say
├── WrongOffset             what is sent does not begin where the stream ends
├── InvalidProof            a Merkle path that does not lead to the root
├── ProofRefused            a zero-knowledge proof does not prove its statement
├── ProvingError            no zero-knowledge proof was made
│   ├── WrongWitness            the secrets do not belong to the statement, or are malformed
│   ├── UnsafeParameters        proofs under these parameters would give the secrets away
│   ├── UnluckyChallenge        a draw that must not be used; prove again, with fresh randomness
│   └── WorkerDied              the process that was at work on it ended
├── AttestationRefused      an operator does not sign, for a reason of the closed list
├── LedgerError             about the sequencer's ledger
│   ├── EventTooLarge           an event that fits into no batch
│   ├── LedgerUnavailable       no gateway answers usefully now; worth trying again
│   │   └── LedgerRewound       every gateway that answers says it ends before what was read
│   └── LedgerContradiction     the ledger has rewritten what was read from it before
├── LogError                about an operator's own log
│   ├── LogDamaged              the file contradicts itself
│   ├── DatabaseTooNew          a newer release has changed the file's schema
│   ├── Diverged                a quorum has certified another log than this one
│   └── LogStopped              an alarm stands, nothing is applied
├── PeerError               another service gave no answer that could be used
│   ├── Unreachable             no connection, or none in time
│   └── BadAnswer               an answer that is not what was asked for
├── NotCertified            too few operators signed
├── KeystoreError           a key cannot be read
│   └── NotEnoughMemory         its keystore needs more memory than the process may take
├── SettingsError           a setting is missing or makes no sense
├── NotFound                no such thing here
├── Unauthorized            the caller shows no token, or a wrong one
├── Busy                    too much at once; try again
│   └── TooManySockets          as many sockets are open as are served
├── Overdue                 it was not done in the time that there is for it
└── StepFailed              a step of the demonstration went wrong

Domain errors know nothing of HTTP; `dragon.node.problems` gives each its status.
"""

from __future__ import annotations

import re


class DragonError(Exception):
    """Base of every error we raise on purpose.

    `facts` are the particulars a caller may be told: numbers and names, never secrets.
    """

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.facts = facts

    @property
    def name(self) -> str:
        """The refusal's name as users and tests see it, e.g. `quorum_not_met`."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__)
        return words.lower()


class InvalidEncoding(DragonError):
    """The bytes are not the form of anything we know."""


class NotJson(InvalidEncoding):
    """No JSON at all, or nested too deeply."""


class TooLarge(InvalidEncoding):
    """More bytes than anything of that sort has."""


class DuplicateMember(InvalidEncoding):
    """An object names a member twice."""


class NotAnInteger(InvalidEncoding):
    """A float or a boolean where an integer belongs."""


class IntegerOutOfRange(InvalidEncoding):
    """Beyond ±(2^53 − 1), or beyond the member's own bounds."""


class LoneSurrogate(InvalidEncoding):
    """Half a character."""


class WrongType(InvalidEncoding):
    """Another JSON type than the member has."""


class UnknownMember(InvalidEncoding):
    """A member too many."""


class MissingMember(InvalidEncoding):
    """A member too few."""


class InvalidId(InvalidEncoding):
    """An id that does not match [a-z0-9_-]{1,32}."""


class InvalidHex(InvalidEncoding):
    """Bytes that do not match 0x[0-9a-f]*, or of the wrong length."""


class UnknownValue(InvalidEncoding):
    """None of the words that the member may hold."""


class InvalidPoint(DragonError):
    """A curve point off its curve, outside the subgroup or at infinity."""


class InvalidCommittee(DragonError):
    """The file names no committee that could be trusted."""


class ListedTwice(InvalidCommittee):
    """An id or a key appears twice."""


class InvalidKey(InvalidCommittee):
    """A public key that is no point of the subgroup."""


class UnprovenKey(InvalidCommittee):
    """A proof of possession is missing or wrong: the key may be a rogue key."""


class TooFewOperators(InvalidCommittee):
    """Fewer than three operators."""


class UnreachableQuorum(InvalidCommittee):
    """The others than the subject can never reach the quorum, or two quorums could be disjoint."""


class OversizedEvent(InvalidCommittee):
    """The largest event of this committee would not fit into a batch."""


class InvalidStream(DragonError):
    """The descriptor names no stream that could be trusted."""


class InvalidIdentity(InvalidStream):
    """The identity is no public key: a word of it is too large."""


class InvalidHeaderKey(InvalidStream):
    """The header key is no point of the subgroup."""


class UnprovenHeaderKey(InvalidStream):
    """The proof of possession of the header key is wrong."""


class CertificateError(DragonError):
    """The certificate does not prove its claim."""


class UnknownKind(CertificateError):
    """No kind of claim that a certificate may carry."""


class WrongCommittee(CertificateError):
    """Made for another committee."""


class UnknownNode(CertificateError):
    """About a node that the committee does not list."""


class OffRound(CertificateError):
    """The timestamp is not the start of a round."""


class SubjectSigned(CertificateError):
    """The subject is among the signers of its own `down`."""


class UnknownSigner(CertificateError):
    """Somebody outside the committee is named in it."""


class DuplicateSigner(CertificateError):
    """A signer is listed twice."""


class UnsortedSigners(CertificateError):
    """The signers are not in ascending order."""


class QuorumNotMet(CertificateError):
    """Fewer signers than the quorum asks for."""

    def __init__(self, *, signers: int, needed: int) -> None:
        message = f"{signers} signed, the quorum needs {needed}"
        super().__init__(message, signers=signers, needed=needed)


class WrongAggregateKey(CertificateError):
    """The stated aggregate key is not the sum of the signers' keys."""


class InvalidSignature(CertificateError):
    """The signature is no point of the subgroup."""


class BadSignature(CertificateError):
    """The pairing check fails: these keys did not sign this claim."""


class NotApplicable(DragonError):
    """A genuine event that the log does not take now."""


class AppliedAlready(NotApplicable):
    """It is in the log."""


class Stale(NotApplicable):
    """The ledger took it more than `max_age` after its round."""


class Early(NotApplicable):
    """The ledger took it too long before its round."""


class NotLater(NotApplicable):
    """What was applied last on that subject is as late or later."""


class NotAChange(NotApplicable):
    """The node has that status already."""


class NotNext(NotApplicable):
    """The window does not follow the stream's last valid one."""


class EnoughRefuted(NotApplicable):
    """As many proofs for that window are known to be invalid as are kept."""


class NoSuchWindow(NotApplicable):
    """A window of the range is not in the log."""


class NotSettled(NotApplicable):
    """The log may still learn something about the time that is asked for."""


class WrongDigest(DragonError):
    """A body has another SHA-256 than it is asked or sent by."""


class ReceiptRefused(DragonError):
    """A receipt contradicts itself, its data or the committee. `fields` names the members of which
    one must be wrong."""

    def __init__(self, message: str, *fields: str, **facts: object) -> None:
        super().__init__(message, fields=list(fields), **facts)
        self.fields = fields


class AlreadyMade(DragonError):
    """A stream of that name is there, and is otherwise than asked for."""


class StreamStopped(DragonError):
    """A stream takes nothing more. `reason` says why; its owner begins another."""


class WrongOffset(DragonError):
    """What is sent does not begin where the stream ends. `bytes` is where that is."""


class InvalidProof(DragonError):
    """A Merkle path that does not lead to the root."""


class ProofRefused(DragonError):
    """A zero-knowledge proof does not prove its statement. `reason` is one of
    `dragon.stark.refusal.Reason` and says which check failed first."""

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class ProvingError(DragonError):
    """No zero-knowledge proof was made. No message names a secret, only its place."""


class WrongWitness(ProvingError):
    """The secrets do not belong to the statement, or are malformed."""


class UnsafeParameters(ProvingError):
    """Proofs under these parameters would give the secrets away."""


class UnluckyChallenge(ProvingError):
    """The out-of-domain point fell into the domain: prove again, with fresh randomness.

    Nothing may be published of the attempt. It happens once in 2^100 proofs or less.
    """


class WorkerDied(ProvingError):
    """The process that was at work on it ended. Another takes its place."""


class AttestationRefused(DragonError):
    """An operator does not sign. `reason` is one of `dragon.protocol.refusal.RefusalReason`."""

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, reason=reason, **facts)
        self.reason = reason


class LedgerError(DragonError):
    """About the sequencer's ledger."""


class EventTooLarge(LedgerError):
    """An event that fits into no batch. Nothing was sent."""


class LedgerUnavailable(LedgerError):
    """No gateway answers usefully now. Worth trying again."""


class LedgerRewound(LedgerUnavailable):
    """Every gateway that answers says that it ends before what was read from it.

    Hearsay, and it may pass: a network that starts again catches up. Where it goes on with other
    content, that is proven, and a `LedgerContradiction`.
    """


class LedgerContradiction(LedgerError):
    """The ledger has rewritten what was read from it before."""


class LogError(DragonError):
    """About an operator's own log."""


class LogDamaged(LogError):
    """The log file contradicts itself."""


class DatabaseTooNew(LogError):
    """A newer release has changed the file's schema. This one neither reads nor writes it."""


class Diverged(LogError):
    """A quorum has certified another log than this one. Nothing may be applied over it."""


class LogStopped(LogError):
    """An alarm stands; nothing is applied until it is dealt with."""


class PeerError(DragonError):
    """Another service gave no answer that could be used."""


class Unreachable(PeerError):
    """No connection, or none in time."""


class BadAnswer(PeerError):
    """An answer that is not what was asked for."""


class NotCertified(DragonError):
    """Too few operators signed."""


class KeystoreError(DragonError):
    """A key cannot be read."""


class NotEnoughMemory(KeystoreError):
    """Opening a keystore needs more memory than the process may take."""


class SettingsError(DragonError):
    """A setting is missing or makes no sense."""


class NotFound(DragonError):
    """No such thing here."""


class Unauthorized(DragonError):
    """The caller shows no token, or a wrong one."""


class Busy(DragonError):
    """Too much at once; try again."""


class TooManySockets(Busy):
    """As many sockets are open as are served at once, in all or from one address."""


class Overdue(DragonError):
    """It was not done in the time that there is for it."""


class StepFailed(DragonError):
    """A step of the demonstration went wrong."""
