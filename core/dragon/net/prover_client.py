"""Client of a prover: sends the secrets of a window and verifies the proof that comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.stark.blocks import verify_window, window_outputs

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
        deadline: float,
    ) -> bytes:
        """Request a proof of a window and verify it. The prover adds fresh randomness.

        Args:
            parameters: the name of the parameter set.
            public: the stream's identity, and the commitments of the chunks.
            message: the bytes that the proof is bound to.
            secrets: the identity's private key, and the openings of the commitments.
            deadline: seconds for the whole exchange.

        Raises:
            Unreachable, BadAnswer: the prover made no proof; try again.
            ProofRefused: the proof does not verify.
        """
        identity, commitments = public
        private_key, openings = secrets
        outputs = window_outputs(identity, commitments)
        parts = [_number(len(outputs)), *outputs, _number(len(message)), message]
        response = self.http.send(
            "POST",
            f"{self.url}/proofs",
            deadline=deadline,
            params={"parameter_set": parameters},
            body=b"".join([*parts, private_key, *openings]),
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
        verify_window(parameters, identity, list(commitments), message, response.body)
        return response.body


def _number(number: int) -> bytes:
    return number.to_bytes(4, "big")
