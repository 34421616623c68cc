"""What each command prints with `--json`: the members of its document. `make docs` prints it.

A document of a command has these members and no others; those in brackets are not always there. A
failure is a document of another shape, `FAILURE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FAILURE: Final = (
    "verdict: `failed` (the work was not done) or `refused` (it was checked, and is wrong)",
    "reason: name of the error, or `usage`",
    "detail: the error in words",
    "[hint]: the next step",
    "facts: numbers and names that belong to the error",
)
_VERIFIED: Final = "verdict: `verified`"
_CLAIM: Final = "kind, signers and the members of the claim"
_LEAVES: Final = (
    "leaves: list of node_id, seconds_up, seconds_down, seconds_maintenance, seconds_unknown"
)
_KNOWN: Final = (
    "epoch: of the committee that signed",
    "newest_epoch: of the newest committee known",
    "seen: time of the newest checkpoint known, Unix seconds, or null",
)

_PAYOUT: Final = (
    "rule_sha256, currency, decimals, units, distributed_units, undistributed_units (texts), "
    "nodes: list of node_id, counted_up_seconds, counted_seconds, tier (from 1; 0: none), units, "
    "amount"
)

_CHANGED: Final = (
    "id: of the committee that holds now", "short_id", "epoch",
    "seen: time of its newest checkpoint", "differences: list of what, before, after",
)  # fmt: skip

_EVIDENCE: Final = (
    "node_id",
    "from",
    "to",
    "event: the claim with its signers, or null",
    "operators: list of operator, outcome, detail, signed_certificate, records, counts, gaps, "
    "answer, look",
    "missing: operators of the committee that the file does not name",
)

_STREAM_SUMMARY: Final = (
    "stream: id", "name: self-chosen", "from", "to",
    "first_window", "last_window",
    "first_received_ms", "last_received_ms: by the owner's clock",
    "first_certified", "last_certified: starts of rounds, Unix seconds",
    "windows", "chunks",
    "windows_with_claim", "committed_readings: in windows with the claim",
    "windows_without_claim: list of window, chunks, first_received_ms, last_received_ms",
    "readings: as in the descriptor, or null",
    "sum: low and high (texts) of all committed readings in windows with the claim, or null",
    "is_closed: whether a later window shows that none of the period is missing",
    "proofs: whether the proof of every window was verified here",
    "checkpoint: start of the round in which the log was certified, Unix seconds",
)  # fmt: skip

_SPOT_CHECK: Final = (
    "stream: id", "name: self-chosen", "first_window", "last_window", "requested_at",
    "checkpoint: timestamp, size and root", "total: chunks in these windows", "drawn", "failed",
    "chunks: list of sequence, fault, detail, reading",
)  # fmt: skip

# Command → members, as `name: meaning`. A name `*` stands for members that are described elsewhere.
SHAPES: Final[Mapping[str, tuple[str, ...]]] = {
    "alerts check": (
        _VERIFIED,
        "file",
        "rules: list of name, on, routes",
        "routes: list of name, type, target",
    ),
    "audit answer": (*_SPOT_CHECK, "file"),
    "audit request": (
        "kind", "stream: id", "first: window", "last: window", "chunks", "timestamp", "nonce",
        "file",
    ),
    "audit verify": (_VERIFIED, *_SPOT_CHECK, *_KNOWN),
    "alerts test": (
        "verdict: `delivered`, or `undelivered` if a route failed",
        "routes: `delivered`, or why not, by name",
    ),
    "committee approve": (
        "id", "short_id", "epoch", "operators: ids", "approved_at", "lapses_at",
        "differences: list of what, before, after", "urls: all that this host will talk to",
        "redirect_hosts: to which redirects of targets are followed",
        "private: targets that may have private addresses, with their URLs",
        "quorums: by kind, before and after",
    ),
    "committee assemble": (
        "id", "short_id", "epoch", "file", "differences: list of what, before, after",
    ),
    "committee check": (
        _VERIFIED, "id", "short_id", "members: ids", "own: ids in the home",
        "private: targets that may have private addresses, with their URLs",
    ),
    "committee diff": ("before: id", "after: id", "differences: list of what, before, after"),
    "committee show": (
        "id", "short_id", "network_id", "committee: the file",
        "[operators]: with `--live`, list of operator, error, epoch, committee, approved",
    ),
    "committee update": (
        "network: id", "epoch", "id", "short_id", "seen: time of the newest checkpoint, or null",
        "before: the epoch that was known", "file: path of the lineage",
    ),
    "committee withdraw": ("withdrawn: ids",),
    "completion": ("shell", "script: text of the script"),
    "downtime": (
        "verdict: `verified`, or `uncertified` with `--uncertified`",
        f"*: {_CLAIM}",
        "seconds_up",
        "[certificate]: the certificate",
        "[operator]: with `--uncertified`",
    ),
    "endorse": ("verdict: `accepted`", "by: URL of the aggregator", "endorsement"),
    "evidence": (
        "file: path of what was written", *_EVIDENCE,
        "contradictions: list of kind, operator, detail",
    ),
    "heartbeat": (
        "node_id", "time_ms", "accepted: offset of the clock in ms, by operator",
        "refused: reason by operator", "unreachable: reason by operator",
    ),
    "incidents": (
        "operator: whose log it is",
        "incidents: list of node_id, begin, end (null: still down), seconds, seconds_maintenance",
    ),
    "init": (
        "[committee]: id", "[name]", "[home]", "[operators]", "[experts]", "[quorum]",
        "[may_be_out]", "[may_lie]", "[old]: with `--refound`", "[old_file]: with `--refound`",
        "[file]: with `--compose`",
    ),
    "key new": ("file: the member file", "keystore", "id", "role", "public_key"),
    "key move": ("file: the member file", "keystore", "id", "role", "public_key"),
    "key show": ("public_key", "path", "description", "version", "kdf"),
    "key stream-service": ("folders: the key folders of both", "sources_token: file"),
    "key verify": (_VERIFIED, "public_key", "[role]", "[id]"),
    "log archive": ("file", "archived", "journal: path or null"),
    "logs": ("*: the answer to `GET /logs`, or with `--event` to `GET /events/<position>`",),
    "maintenance add": (
        "[verdict]: `accepted`, without `--repeat`", "node_id", "[from]", "[to]",
        "[by]: URL of the aggregator",
        "[announced]: with `--repeat --once`, list of from, to: accepted by an aggregator now",
        "[known]: list of from, to: in the logs already",
        "[refused]: list of from, to, reason, detail",
    ),
    "maintenance list": (
        "operator: whose log it is",
        "maintenance: list of position, node_id, from, to, timestamp, state (past, now or coming)",
    ),
    "nodes": ("operator", "nodes: as `GET /nodes`, with the other operators' probes in seen_by"),
    "period request": (
        _VERIFIED, f"*: {_CLAIM}", _LEAVES, "certificate: the certificate",
        "file: path of the report that was written, or null",
    ),
    "period prove": (
        "[certificate]", "[leaf]", "[index]", "[path]", "[file]: with `--output`, in their place",
        "[node_id]: with `--output`",
    ),
    "proof security": ("parameter_set", "[warning]", "figures: a list, one entry for each size"),
    "proof verify": (_VERIFIED, "*: statement and parameter set", "security: figures in bits"),
    "receipt complete": (_VERIFIED, "receipts: list of file, state, stream"),
    "report": (
        "committee: id of the one that held at the end", "epoch", "name", "from", "to",
        "nodes: list of node_id, kind, seconds_*, percent_*, longest_seconds, incidents; of a "
        "certified report: of node_id, seconds_*",
        "log: size, root; not certified: settled_by, settled_by_timestamp",
        "[checkpoint]: size, root, timestamp of the newest; not certified",
        "[certificate]: with `--certified`",
        "[leaves]: with `--certified`, as the certificate covers them",
        f"[payout]: with `--payout`, {_PAYOUT}",
    ),
    "rounds": ("*: the answer to `GET /rounds`", "aggregator: URL"),
    "source": ("stream: id", "messages", "[bytes]: not of a stream with readings"),
    "status": (
        "certifying: whether anything is certified now",
        "faults: why nothing is",
        "checkpoint_age_seconds",
        "round_age_seconds",
        "committee: epoch, committee, seat, logs, pending: list of committee, short_id, approved, "
        "needed",
        "operators: list of operator, ready, reasons, size, root, nodes; or operator, trouble",
        "services: list of service, ready, reasons, degraded; or service, trouble",
    ),
    "stream archive": ("*: the answer to `GET /archive`",),
    "stream check": ("verdict: `whole` or `damaged`", "streams", "damages"),
    "stream create": (
        "stream: id", "name", "mode", "window_chunks", "window_ms", "retention_seconds",
        "created: false if it existed", "readings: as in the descriptor, or null",
    ),
    "stream upload": (
        "stream: id", "[bytes]: of the file, without `--csv`", "[rows]: with `--csv`",
        "first: number of the first chunk", "chunks", "windows", "receipts",
        "certified: false with `--no-wait`",
    ),
    "stream report": (
        _VERIFIED, *_STREAM_SUMMARY, "file",
        "uncovered: closed windows of the period that no checkpoint covers yet", *_KNOWN,
    ),
    "swarm": ("file: path of the stack file", "services: names"),
    "target add": _CHANGED,
    "target list": ("epoch", "targets: as in the committee file"),
    "target remove": _CHANGED,
    "target try": (
        "target: as in the committee file", "status: `up`, `down` or `unknown`", "reason", "detail",
        "latency_ms", "certificate_expires: Unix seconds, or null",
    ),
    "verify certificate": (_VERIFIED, f"*: {_CLAIM}", *_KNOWN),
    "verify downtime": (_VERIFIED, f"*: {_CLAIM}", "seconds_up", *_KNOWN),
    "verify event": (
        _VERIFIED, f"*: {_CLAIM}", "position", "root",
        "anchor: kind, epoch and timestamp of the mark that certifies the root, or null", *_KNOWN,
    ),
    "verify evidence": (
        _VERIFIED,
        "files: list of file, and the members of `dragon evidence` except `contradictions`",
        "contradictions: list of kind, operator, detail", *_KNOWN,
    ),
    "verify lineage": (
        _VERIFIED, "network: id", "name", "epoch: of the newest committee", "committee: its id",
        "short_id", "seen: time of its newest checkpoint, Unix seconds, or null",
        "kept_epoch: of the newest committee that the user keeps, or null",
    ),
    "verify log": (
        _VERIFIED, "size", "root", "vouched: epoch of the newest committee known, and the size of "
        "the part of the log that it vouches for", "nodes: status and since of each node", *_KNOWN,
    ),
    "verify period": (
        _VERIFIED, f"*: {_CLAIM}", "[leaves]: of a whole report, as in `period request`",
        "[leaf]: of the proof of one node, as one of `leaves`", *_KNOWN,
    ),
    "verify receipt": (
        "verdict: `verified` or `refused`", "complete", "stream", "name", "window", "chunk",
        "times: received_ms, timestamp, checkpoint",
        "statement: `readings` or `blocks`; null in a stream without readings",
        "reading: null, or value (text, scaled), scale, unit, checked_against_data",
        "checks: list of name, outcome, detail, …",
        "[epoch]: of the committee that signed", "[newest_epoch]", "[seen]",
    ),
    "verify report": (
        _VERIFIED, f"*: {_CLAIM}", f"payout: null, or {_PAYOUT}", *_KNOWN,
    ),
    "verify stream-report": (_VERIFIED, *_STREAM_SUMMARY, *_KNOWN),
    "votes": (
        "stream: id", "number", "state", "verdict", "position",
        "statement: `readings` or `blocks`; null in a stream without readings",
        "proof_bytes: size of the proof", "security_bits: security level of the proof",
        "certificate: `verified`, or why it is not; null before a verdict",
        "votes: list of operator, outcome, reason, detail, is_certified",
    ),
    "ziggy keygen": ("private_input: path", "public_input: path", "drawn", "*: key and message"),
    "ziggy sign": ("proof_file: path", "bytes", "*: key and message"),
    "ziggy verify": (_VERIFIED, "*: key and message", "parameter_set", "security"),
    "windows": ("stream: id", "windows: as `GET /streams/<stream>/windows`"),
}  # fmt: skip

# Why a command has no `--json`.
WITHOUT: Final[Mapping[str, str]] = {
    "demo": "tells a story to people",
    "serve": "a service writes its log as lines of JSON",
    "up": "shows a picture until it is stopped; `dragon status --json` has the same facts",
}


def members(command: str) -> tuple[set[str], set[str], bool]:
    """Return the members that are always there, all named ones, and whether there are others."""
    names = [each.partition(":")[0] for each in SHAPES[command]]
    always = {each for each in names if each != "*" and not each.startswith("[")}
    named = {each.strip("[]") for each in names if each != "*"}
    return always, named, "*" in names
