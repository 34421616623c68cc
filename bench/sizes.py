"""Size of an event on the ledger, compared with the 5,120 bytes that Zellular allows for a batch.

Status: certified by a quorum, and signed by all operators. Window: the largest possible one by the
committee's own rule (`Committee.check` refuses a committee if its largest event does not fit). Ids
are `operator_1` … and, in the last column, 32 characters long, the maximum.

Goal: under 1 KB up to 16 signers with short ids.
"""

from __future__ import annotations

import dataclasses

from dragon.encoding import canonical
from dragon.protocol.claims.status import Status, StatusClaim
from dragon.protocol.committee import MAX_BATCH_BYTES, Committee
from dragon.protocol.committee_rules import largest_batch
from fixtures import Members, make_members, quorum_certificate
from timing import show, verdict

GOAL, GOAL_SIGNERS = 1024, 16


def status_size(members: Members, signers: list[str]) -> int:
    claim = StatusClaim("operator_1", Status.UP, members.committee.rounds.start(7))
    certified = quorum_certificate(members, claim, signers)
    certified.verify(members.committee)
    return len(canonical(certified.to_json()))


def with_long_names(committee: Committee) -> Committee:
    operators = [
        dataclasses.replace(operator, id=operator.id.ljust(32, "_"))
        for operator in committee.operators
    ]
    return dataclasses.replace(committee, operators=tuple(operators))


def main(*, sizes: tuple[int, ...] = (4, 7, 16, 31)) -> None:
    rows = []
    for size in sizes:
        members = make_members(size)
        names = sorted(members.secrets)
        quorum = members.committee.quorum("status")
        by_quorum, by_all = status_size(members, names[:quorum]), status_size(members, names)
        window = largest_batch(members.committee)
        long = largest_batch(with_long_names(members.committee))
        in_batch = (MAX_BATCH_BYTES - 1) // (by_quorum + 1)
        judged = [verdict(each < GOAL) if size <= GOAL_SIGNERS else "" for each in (by_all, window)]
        rows.append((size, quorum, by_quorum, by_all, judged[0], in_batch, window, judged[1], long))
    columns = (
        "operators",
        "quorum",
        "status",
        "by all",
        "< 1 KB",
        "in a batch",
        "largest window",
        "< 1 KB",
        "long names",
    )
    note = f"Bytes of canonical JSON. A batch has at most {MAX_BATCH_BYTES}."
    show("An event's size", columns, rows, note)


if __name__ == "__main__":
    main()
