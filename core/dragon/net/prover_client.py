"""Asking a prover for the proof of a window: secrets go out, and what comes back is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dragon.errors import Unreachable
from dragon.net.http_client import HttpClient
from dragon.stark.blocks import verify_window, window_outputs

OCTET_STREAM: Final = "application/octet-stream"
LARGEST: Final = 512 * 1024  # bytes of a proof


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
        """A proof that verifies, under fresh randomness of the prover's.

        Args:
            public: the identity, and the chunks' commitments.
            secrets: the identity's private key, and the chunks' openings.

        Raises:
            Unreachable, BadAnswer: the prover gave none; worth trying again.
            ProofRefused: what it gave does not verify.
        """
        identity, commitments = public
        private_key, openings = secrets
        outputs = window_outputs(identity, commitments)
        parts = [_number(len(outputs)), *outputs, _number(len(message)), message]
        answer = self.http.send(
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
            max_bytes=LARGEST,
        )
        if answer.status != 200:
            answer.successful()
            raise Unreachable(f"the prover answered {answer.status}", reason="status_code")
        verify_window(parameters, identity, list(commitments), message, answer.body)
        return answer.body


def _number(number: int) -> bytes:
    return number.to_bytes(4, "big")
