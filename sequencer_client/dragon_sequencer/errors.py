"""Errors of the sequencer client, as a tree beneath the errors of the core.

DragonError
├── InvalidNodeList         the node list cannot be read or is not valid
│   ├── MalformedNode           a member is missing, of a wrong type or out of range
│   ├── NodeMisnamed            a node's id differs from the name in the list
│   ├── NodeListedTwice         a node or a member of a node appears twice
│   ├── NodeKeyInvalid          a public key is not in the subgroup
│   └── NoStake                 no node has stake, or the threshold is no percentage
├── FinalityError           a proof does not prove that its batch is final
│   ├── MalformedProof          a member is missing or of a wrong type
│   ├── WrongState              it was not signed in the state `locked`
│   ├── UnknownTag              it was made with an unknown node list
│   ├── UnknownNonsigner        a nonsigner is not a node with stake
│   ├── RepeatedNonsigner       a nonsigner is listed twice
│   ├── NodeListMissing         no node list that counts now is at hand
│   ├── StakeMissing            the signers have too little stake
│   ├── MalformedSignature      a signature is not of the form `1 X Y`
│   ├── SignatureOffCurve       a signature is not a point of the curve
│   └── BadFinalitySignature    the pairing check failed: the nodes did not sign this
├── PageError               a page does not follow the batches read before
│   ├── MalformedPage           a member is missing or of a wrong type
│   ├── FirstHashMismatch       its first chaining hash does not follow ours
│   ├── ChainMismatch           a proof has another chaining hash than its batches
│   ├── ProofsOutOfOrder        the indices of the proofs do not ascend
│   ├── ProofOutsidePage        a proof is for a batch outside the page
│   └── ProofOutOfReach         too many batches without a proof
├── GatewayError            a gateway gave no valid answer
│   ├── GatewayUnreachable      no connection, or no complete answer in time
│   ├── GatewayRefused          the gateway answered with an error
│   └── AnswerMalformed         an answer is not in the format of this interface
└── LedgerError
    └── SubmissionRefused       two gateways, or the only one, will never accept this batch

A client converts FinalityError, PageError and GatewayError into `LedgerUnavailable` or
`LedgerContradiction` when no other gateway gives a valid answer.
"""

from __future__ import annotations

from dragon.errors import DragonError, LedgerError


class InvalidNodeList(DragonError):
    """The node list cannot be read or is not valid."""


class MalformedNode(InvalidNodeList):
    """A member is missing, of a wrong type or out of range."""


class NodeMisnamed(InvalidNodeList):
    """A node's id differs from the name in the list."""


class NodeListedTwice(InvalidNodeList):
    """A node or a member of a node appears twice."""


class NodeKeyInvalid(InvalidNodeList):
    """A public key is not in the subgroup."""


class NoStake(InvalidNodeList):
    """No node has stake, or the threshold is no percentage."""


class FinalityError(DragonError):
    """A proof does not prove that its batch is final."""


class MalformedProof(FinalityError):
    """A member is missing or of a wrong type."""


class WrongState(FinalityError):
    """The proof was not signed in the state `locked`."""


class UnknownTag(FinalityError):
    """The proof was made with an unknown node list."""


class UnknownNonsigner(FinalityError):
    """A nonsigner is not a node with stake."""


class RepeatedNonsigner(FinalityError):
    """A nonsigner is listed twice."""


class StakeMissing(FinalityError):
    """The signers have too little stake."""

    def __init__(self, *, missing_percent: float, allowed_percent: float) -> None:
        message = (
            f"{missing_percent:.6g} % of the stake did not sign, "
            f"at most {allowed_percent:.6g} % may be missing"
        )
        super().__init__(message, missing_percent=missing_percent, allowed_percent=allowed_percent)


class MalformedSignature(FinalityError):
    """A signature is not of the form `1 X Y`."""


class SignatureOffCurve(FinalityError):
    """A signature is not a point of the curve."""


class NodeListMissing(FinalityError):
    """None of the node lists that count now is at hand."""


class BadFinalitySignature(FinalityError):
    """The pairing check failed: the nodes did not sign this."""


class PageError(DragonError):
    """A page does not follow the batches read before."""


class MalformedPage(PageError):
    """A member is missing or of a wrong type."""


class FirstHashMismatch(PageError):
    """The page's first chaining hash does not follow ours."""


class ChainMismatch(PageError):
    """A proof has another chaining hash than its batches."""


class ProofsOutOfOrder(PageError):
    """The indices of the proofs do not ascend."""


class ProofOutsidePage(PageError):
    """A proof is for a batch outside the page."""


class ProofOutOfReach(PageError):
    """Too many batches without a proof."""


class GatewayError(DragonError):
    """A gateway gave no valid answer."""


class GatewayUnreachable(GatewayError):
    """No connection, or no complete answer in time."""


class GatewayRefused(GatewayError):
    """The gateway answered with an error.

    `code` is empty if the error was not in the network's format.
    """

    def __init__(self, *, status: int, code: str) -> None:
        super().__init__(f"the gateway answered {status} {code}".rstrip(), status=status, code=code)
        self.status = status
        self.code = code


class AnswerMalformed(GatewayError):
    """An answer is not in the format of this interface."""


class SubmissionRefused(LedgerError):
    """Two gateways, or the only one, will never accept this batch."""
