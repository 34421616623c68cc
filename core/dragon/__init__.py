"""DataDragon's core: everything that verifies, and typed clients of the services.

The names in `__all__` are the public interface; docs/library.md shows how to use them. Each one is
loaded on first use, so `import dragon` and `import dragon.errors` stay fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not imported: `typing` takes long to load, and the health check needs none

if TYPE_CHECKING:
    from typing import Any, Final

    from dragon.agreements.payout import compute_payout
    from dragon.agreements.rule_file import decode_rule
    from dragon.encoding import parse
    from dragon.errors import DragonError
    from dragon.log.audit import audit as verify_log
    from dragon.net.http_client import HttpClient
    from dragon.net.operator_client import OperatorClient
    from dragon.net.stream_client import StreamClient
    from dragon.net.stream_upload import StreamUpload
    from dragon.protocol.certificate import Certificate
    from dragon.protocol.committee import Committee
    from dragon.protocol.evidence.file import Evidence
    from dragon.protocol.evidence.verification import verify as verify_evidence
    from dragon.protocol.lineage import Lineage
    from dragon.protocol.log_entry import LogEntry, ProvenEntry
    from dragon.protocol.period import PeriodReport, ProvenLeaf
    from dragon.protocol.streams.receipt import Receipt
    from dragon.protocol.streams.receipt_verification import is_complete, verify_receipt
    from dragon.protocol.streams.stream_report import StreamReport
    from dragon.protocol.streams.stream_report_verification import verify_stream_report
    from dragon.protocol.trust import Trust

__all__ = [
    "Certificate",
    "Committee",
    "DragonError",
    "Evidence",
    "HttpClient",
    "Lineage",
    "LogEntry",
    "OperatorClient",
    "PeriodReport",
    "ProvenEntry",
    "ProvenLeaf",
    "Receipt",
    "StreamClient",
    "StreamReport",
    "StreamUpload",
    "Trust",
    "compute_payout",
    "decode_rule",
    "is_complete",
    "parse",
    "verify_evidence",
    "verify_log",
    "verify_receipt",
    "verify_stream_report",
]

# Public name → module and the name in that module.
_SOURCES: Final = {
    "Certificate": "dragon.protocol.certificate:Certificate",
    "Committee": "dragon.protocol.committee:Committee",
    "DragonError": "dragon.errors:DragonError",
    "Evidence": "dragon.protocol.evidence.file:Evidence",
    "HttpClient": "dragon.net.http_client:HttpClient",
    "Lineage": "dragon.protocol.lineage:Lineage",
    "LogEntry": "dragon.protocol.log_entry:LogEntry",
    "OperatorClient": "dragon.net.operator_client:OperatorClient",
    "PeriodReport": "dragon.protocol.period:PeriodReport",
    "ProvenEntry": "dragon.protocol.log_entry:ProvenEntry",
    "ProvenLeaf": "dragon.protocol.period:ProvenLeaf",
    "Receipt": "dragon.protocol.streams.receipt:Receipt",
    "StreamClient": "dragon.net.stream_client:StreamClient",
    "StreamReport": "dragon.protocol.streams.stream_report:StreamReport",
    "StreamUpload": "dragon.net.stream_upload:StreamUpload",
    "Trust": "dragon.protocol.trust:Trust",
    "compute_payout": "dragon.agreements.payout:compute_payout",
    "decode_rule": "dragon.agreements.rule_file:decode_rule",
    "is_complete": "dragon.protocol.streams.receipt_verification:is_complete",
    "parse": "dragon.encoding:parse",
    "verify_evidence": "dragon.protocol.evidence.verification:verify",
    "verify_log": "dragon.log.audit:audit",
    "verify_receipt": "dragon.protocol.streams.receipt_verification:verify_receipt",
    "verify_stream_report": (
        "dragon.protocol.streams.stream_report_verification:verify_stream_report"
    ),
}

if not TYPE_CHECKING:  # else a type checker would accept any name at all

    def __getattr__(name: str) -> Any:
        """Load a public name on first use (PEP 562)."""
        source = _SOURCES.get(name)
        if source is None:
            raise AttributeError(f"module 'dragon' has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - only if needed, as the types above

        module, _, attribute = source.partition(":")
        found = globals()[name] = getattr(import_module(module), attribute)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
