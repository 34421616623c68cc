"""What an owner agrees to who approves the next committee."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dragon.protocol.committee import Committee, short_id
from dragon.protocol.differences import differences, is_quorum, redirect_hosts, urls
from dragon_cli.render.output import console, plain
from dragon_sequencer.nodes import NodeList


def show(holding: Committee, following: Committee, lists: Sequence[NodeList]) -> None:
    """Print the differences, all URLs, the quorums before and after, and the short id.

    Args: `lists`, the node lists that `following` names for the first time.
    """
    console.print(f"Next committee of {plain(following.name)}, epoch {following.epoch}:")
    # Quorums are shown below, changed or not.
    changed = (each for each in differences(holding, following) if not is_quorum(each))
    found = [each.sentence for each in changed]
    for sentence in found or ["nothing changes"]:
        console.print(f"  {plain(sentence)}")
    console.print("This host will talk to:")
    _list(urls_of(following, lists), urls(holding))
    if hosts := redirect_hosts(following):
        console.print("It will follow redirects to these hosts:")
        _list(hosts, redirect_hosts(holding))
    if private := private_targets(following):
        console.print("[yellow]It may connect to its own private networks[/] for these targets:")
        _list(private, private_targets(holding))
    console.print("Signatures that are needed, before → after:")
    for kind, (before, after) in quorums(holding, following).items():
        console.print(f"  {kind:12} {before} → {after}")
    console.print(f"Short id, to compare by voice: {short_id(following.id)}")


def _list(listed: Iterable[str], known: Sequence[str]) -> None:
    for each in listed:
        console.print(f"  {plain(each)}{'' if each in known else '  [yellow](new)[/]'}")


def private_targets(committee: Committee) -> list[str]:
    """Return the targets that may have private or local addresses, with their URLs."""
    return [f"{each.id} at {each.url}" for each in committee.targets if each.private_addresses]


def urls_of(following: Committee, lists: Sequence[NodeList]) -> list[str]:
    """Return every URL that services of a committee talk to, and the sockets of new node lists."""
    sockets = {socket for nodes in lists for socket in nodes.sockets()}
    return sorted({*urls(following), *sockets})


def quorums(holding: Committee, following: Committee) -> dict[str, list[str]]:
    """Return the signatures that each kind of claim needs, before and after."""
    return {
        kind: [
            f"{committee.quorum(kind)} of {len(committee.operators)} "
            f"({committee.quorum_rules[kind]})"
            for committee in (holding, following)
        ]
        for kind in following.quorum_rules
    }
