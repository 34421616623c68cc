"""What `dragon status` and `dragon up` show, in 80 columns: nodes, exceptions, services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from rich.console import Group
from rich.table import Table

from dragon.protocol.committee import Committee
from dragon_cli.fleet.announced import believed, windows_of
from dragon_cli.fleet.approvals import short
from dragon_cli.fleet.certifying import Certifying
from dragon_cli.fleet.queries import ServiceView, View
from dragon_cli.fleet.standing import Standing
from dragon_cli.render.maintenance import maintenance_lines
from dragon_cli.render.output import plain, styled
from dragon_cli.render.text import duration, moment

# Another status and the operators whose logs have it; and the node.
_Difference: TypeAlias = tuple[tuple[str, tuple[str, ...]], str]

MAX_NAMED: Final = 4  # operators that one line names


def status_table(committee: Committee, views: Sequence[View], now: int) -> Group:
    """Return a row for each node, with the number of logs that agree.

    Below are announced maintenance and all exceptions.
    """
    answered = [view for view in views if not view.error]
    table = Table(
        title=f"committee {plain(committee.name)}: {len(committee.keys)} operators",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("node", "status", "since"):
        table.add_column(column, overflow="fold")
    table.add_column("logs agree", justify="right")
    differences: list[_Difference] = []
    for node_id in committee.urls:
        found = Counter(view.status(node_id) for view in answered)
        status, agree = found.most_common(1)[0] if found else ("unknown", 0)
        with_it = [view for view in answered if view.status(node_id) == status]
        since = with_it[0].nodes.get(node_id, {}).get("since") if with_it else None
        share = f"{agree} of {len(views)}"
        table.add_row(
            node_id,
            styled(status),
            moment(since),
            share if agree == len(views) else f"[yellow]{share}[/]",
        )
        differences += _others(node_id, status, answered)
    head = Counter((view.size, view.root) for view in answered)
    size, root = head.most_common(1)[0][0] if head else (0, "")
    log = f"log: {size} entries, root {plain(root[:18])}…" if head else "log: no operator responds"
    lines = [*_unusual(views, size, root), *_grouped(differences)]
    return Group(
        table,
        log,
        *_maintenance(committee, answered, now),
        *(["", "exceptions:"] if lines else []),
        *lines,
    )


def _maintenance(committee: Committee, answered: Sequence[View], now: int) -> list[str]:
    """Return the windows that more operators list than may be faulty."""
    found = []
    for node_id in committee.urls:
        listed = (windows_of(view.nodes.get(node_id, {})) for view in answered)
        found.append((node_id, believed(committee, listed)))
    return maintenance_lines(found, now)


def _others(node_id: str, status: str, answered: Sequence[View]) -> Iterator[_Difference]:
    """Yield each other status of a node, with the operators whose logs have it."""
    other: dict[str, list[str]] = {}
    for view in answered:
        if (theirs := view.status(node_id)) != status:
            other.setdefault(theirs, []).append(view.operator)
    for theirs, operators in other.items():
        yield (theirs, tuple(operators)), node_id


def _grouped(differences: Iterable[_Difference]) -> Iterator[str]:
    """Yield a line for all nodes that have the same other status in the same logs."""
    nodes: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for difference, node_id in differences:
        nodes.setdefault(difference, []).append(node_id)
    for (theirs, operators), named in nodes.items():
        verb = "is" if len(named) == 1 else "are"
        yield f"  {_named(named)} {verb} {styled(theirs)} in the log of {_named(operators)}"


def _unusual(views: Sequence[View], size: int, root: str) -> Iterator[str]:
    """Yield why an operator could not be read or is not ready, and how its log differs."""
    same: dict[str, list[str]] = {}
    for view in views:
        for line in _of_view(view, size, root):
            same.setdefault(line, []).append(view.operator)
    for line, operators in same.items():
        yield f"  {_named(operators)}: {line}"


def _named(operators: Sequence[str]) -> str:
    more = len(operators) - MAX_NAMED
    first = ", ".join(operators[:MAX_NAMED])
    return f"{first} and {more} more" if more > 0 else first


def _of_view(view: View, size: int, root: str) -> Iterator[str]:
    if view.error:
        yield f"[red]{plain(view.error)}[/]"
        return
    for reason in view.reasons:
        yield f"[yellow]{plain(reason)}[/]"
    if view.size != size:
        more = "more" if view.size > size else "fewer"
        yield f"its log has {abs(view.size - size)} entries {more}"
    elif view.root != root:
        yield f"[red]its log differs: root {plain(view.root[:18])}…[/]"


def standing_line(committee: Committee, found: Standing) -> str:
    """Return epoch, seat and pending approvals in one line, as the operators say."""
    if found.epoch is None:
        return "committee: no operator says which one holds"
    since = f" since {moment(found.seat)}" if found.epoch else ""
    parts = [f"epoch {found.epoch}{since} in {found.logs} of {found.operators} logs"]
    if found.epoch > committee.epoch:
        parts.append(f"your file is of epoch {committee.epoch}: run `dragon committee update`")
    for named, approved in found.pending:
        verb = "says that it has" if approved == 1 else "say that they have"
        parts.append(f"{approved} of {found.needed} needed {verb} approved {short(named)}")
    if not found.pending:
        parts.append("no approval pending")
    return f"committee: {'; '.join(parts)}"


def services_lines(views: Sequence[ServiceView]) -> Group:
    """Return a line for each service that is no operator, and why it is not ready."""
    return Group("", "services:", *(f"  {plain(view.service)}: {_state(view)}" for view in views))


def _state(view: ServiceView) -> str:
    if view.error:
        return f"[red]{plain(view.error)}[/]"
    if view.reasons:
        return f"[yellow]{plain('; '.join(view.reasons))}[/]"
    if view.degraded:
        return f"[yellow]degraded[/]: {plain('; '.join(view.degraded))}"
    return "[green]ready[/]"


def certifying_lines(found: Certifying) -> Group:
    """Return whether anything is certified now, and the ages of the last checkpoint and round."""
    ages = [
        f"last {what} {duration(age)} ago"
        for what, age in (("checkpoint", found.checkpoint_age), ("round", found.round_age))
        if age is not None
    ]
    known = f" ({', '.join(ages)})" if ages else ""
    if not found.faults:
        return Group("", f"[green]certifying[/]{known}")
    return Group("", *(f"[red]not certifying[/]: {plain(fault)}{known}" for fault in found.faults))
