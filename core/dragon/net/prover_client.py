"""Client of a prover: sends the secrets of a window and verifies the proof that comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.protocol.streams.statements import ReadingsStatement
from dragon.stark.blocks import verify_window, window_outputs
from dragon.stark.readings import verify_readings

OCTET_STREAM: Final = "application/octet-stream"
MAX_PROOF_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class ProverClient:
    url: str
    token: str = field(repr=False)
    http: HttpClient

    def prove(
        self,
        parameters: str,
        public: tuple[bytes, Sequence[bytes]],
        message: bytes,
        secrets: tuple[bytes, Sequence[bytes]],
        *,
        readings: ReadingsStatement | None = None,
        deadline: float,
    ) -> bytes:
        """Request a proof of a window and verify it. The prover adds fresh randomness.

        Args:
            parameters: the name of the parameter set.
            public: the stream's identity, and the commitments that the proof is about: those of the
                chunks, after the carried one if `readings` has one.
            message: the bytes that the proof is bound to.
            secrets: the identity's private key, and the openings of the commitments.
            readings: what the proof says about the readings; None for a blocks proof.
            deadline: seconds for the whole exchange.

        Raises:
            Unreachable, BadAnswer: the prover made no proof; try again.
            ProofRefused: the proof does not verify.
        """
        request = _blocks(*public) if readings is None else _readings(*public, readings)
        private_key, openings = secrets
        response = self.http.send(
            "POST",
            f"{self.url}/proofs",
            deadline=deadline,
            params={"parameter_set": parameters, **request.query},
            body=b"".join([request.head, _number(len(message)), message, private_key, *openings]),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": OCTET_STREAM,
                "Accept": OCTET_STREAM,
            },
            max_bytes=MAX_PROOF_BYTES,
        )
        if response.status != 200:
            response.successful()
            raise Unreachable(f"the prover answered {response.status}", reason="status_code")
        request.verify(parameters, message, response.body)
        return response.body

    def check(self, *, deadline: float) -> None:
        """Ask whether the prover works. Raises PeerError. Args: `deadline`, in seconds."""
        self.http.get(f"{self.url}/healthz", deadline=deadline).successful()


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement as the prover takes it, and the verification of its proof."""

    query: Mapping[str, str]
    head: bytes  # the statement in bytes, without its message
    verify: Callable[[str, bytes, bytes], None]  # takes parameter set, message and proof


def _blocks(identity: bytes, commitments: Sequence[bytes]) -> _Statement:
    outputs, listed = window_outputs(identity, commitments), list(commitments)

    def verify(parameters: str, message: bytes, proof: bytes) -> None:
        verify_window(parameters, identity, listed, message, proof)

    return _Statement({}, _listed(outputs), verify)


def _readings(
    identity: bytes, commitments: Sequence[bytes], statement: ReadingsStatement
) -> _Statement:
    carried, bounds, listed = statement.carried is not None, statement.bounds, list(commitments)

    def verify(parameters: str, message: bytes, proof: bytes) -> None:
        verify_readings(parameters, identity, listed, carried, bounds, message, proof)

    head = b"".join([identity, _listed(listed), bytes([carried]), bounds.encode()])
    return _Statement({"statement": "readings"}, head, verify)


def _listed(outputs: Sequence[bytes]) -> bytes:
    return _number(len(outputs)) + b"".join(outputs)


def _number(number: int) -> bytes:
    return number.to_bytes(4, "big")
