"""What can go wrong between us and the sequencer, as a tree beneath the core's.

DragonError
├── InvalidNodeList         the node list cannot be trusted, or not be read
│   ├── MalformedNode           a member is missing, of another type or out of its range
│   ├── NodeMisnamed            a node's id is not the name it is listed under
│   ├── NodeListedTwice         the file names a node, or one member of it, twice
│   ├── NodeKeyInvalid          a public key that is no point of the subgroup
│   └── NoStake                 no node has any stake, or the threshold is no percentage
├── FinalityError           a proof does not prove that its batch is final
│   ├── MalformedProof          a member is missing or of another type
│   ├── WrongState              signed in another state than `locked`
│   ├── UnknownTag              made under a node list that we do not have
│   ├── UnknownNonsigner        a nonsigner that is no node with stake
│   ├── RepeatedNonsigner       a nonsigner is listed twice
│   ├── StakeMissing            the signers hold too little of the stake
│   ├── MalformedSignature      a signature in another form than `1 X Y`
│   ├── SignatureOffCurve       a signature that is no point of the curve
│   └── BadFinalitySignature    the pairing check fails: these nodes did not sign this
├── PageError               a page that does not follow from what was read before
│   ├── MalformedPage           a member is missing or of another type
│   ├── FirstHashMismatch       its first chaining hash is not what follows from ours
│   ├── ChainMismatch           a proof's chaining hash is not that of the batches
│   ├── ProofsOutOfOrder        proofs that do not ascend
│   ├── ProofOutsidePage        a proof for a batch that the page does not hold
│   ├── WithheldProof           a proof names a parent that was not shown
│   ├── SegmentRewritten        a genuine proof overlaps the segment that was read before
│   ├── TimeDecreased           a genuine proof is earlier than the one before
│   └── ProofOutOfReach         so many batches without a proof that we stop looking for it
├── GatewayError            one gateway gave no answer that could be used
│   ├── GatewayUnreachable      no connection, or no whole answer in time
│   ├── GatewayRefused          it answered with an error
│   └── AnswerMalformed         an answer that is no answer of this interface
└── LedgerError
    └── SubmissionRefused       a batch that no gateway will ever take in this form

A client turns the middle three into `LedgerUnavailable` or `LedgerContradiction`, once no gateway
is left that gives a good answer.
"""

from __future__ import annotations

from dragon.errors import DragonError, LedgerError


class InvalidNodeList(DragonError):
    """The node list cannot be trusted, or not be read."""


class MalformedNode(InvalidNodeList):
    """A member is missing, of another type or out of its range."""


class NodeMisnamed(InvalidNodeList):
    """A node's id is not the name it is listed under."""


class NodeListedTwice(InvalidNodeList):
    """The file names a node, or one member of it, twice."""


class NodeKeyInvalid(InvalidNodeList):
    """A public key that is no point of the subgroup."""


class NoStake(InvalidNodeList):
    """No node has any stake, or the threshold is no percentage."""


class FinalityError(DragonError):
    """A proof does not prove that its batch is final."""


class MalformedProof(FinalityError):
    """A member is missing or of another type."""


class WrongState(FinalityError):
    """Signed in another state than `locked`."""


class UnknownTag(FinalityError):
    """Made under a node list that we do not have."""


class UnknownNonsigner(FinalityError):
    """A nonsigner that is no node with stake."""


class RepeatedNonsigner(FinalityError):
    """A nonsigner is listed twice."""


class StakeMissing(FinalityError):
    """The signers hold too little of the stake."""

    def __init__(self, *, missing_percent: float, allowed_percent: float) -> None:
        message = f"{missing_percent:.6g} % of the stake is missing, {allowed_percent:.6g} % may be"
        super().__init__(message, missing_percent=missing_percent, allowed_percent=allowed_percent)


class MalformedSignature(FinalityError):
    """A signature in another form than `1 X Y`."""


class SignatureOffCurve(FinalityError):
    """A signature that is no point of the curve."""


class BadFinalitySignature(FinalityError):
    """The pairing check fails: these nodes did not sign this."""


class PageError(DragonError):
    """A page that does not follow from what was read before."""


class MalformedPage(PageError):
    """A member is missing or of another type."""


class FirstHashMismatch(PageError):
    """Its first chaining hash is not what follows from ours."""


class ChainMismatch(PageError):
    """A proof's chaining hash is not that of the batches."""


class ProofsOutOfOrder(PageError):
    """Proofs that do not ascend."""


class ProofOutsidePage(PageError):
    """A proof for a batch that the page does not hold."""


class WithheldProof(PageError):
    """A proof names a parent that was not shown."""


class SegmentRewritten(PageError):
    """A genuine proof overlaps the segment that was read before."""


class TimeDecreased(PageError):
    """A genuine proof is earlier than the one before."""


class ProofOutOfReach(PageError):
    """So many batches without a proof that we stop looking for it."""


class GatewayError(DragonError):
    """One gateway gave no answer that could be used."""


class GatewayUnreachable(GatewayError):
    """No connection, or no whole answer in time."""


class GatewayRefused(GatewayError):
    """It answered with an error; `code` is empty if that was not in the network's form."""

    def __init__(self, *, status: int, code: str) -> None:
        super().__init__(f"the gateway answered {status} {code}".rstrip(), status=status, code=code)
        self.status = status
        self.code = code


class AnswerMalformed(GatewayError):
    """An answer that is no answer of this interface."""


class SubmissionRefused(LedgerError):
    """A batch that no gateway will ever take in this form."""
