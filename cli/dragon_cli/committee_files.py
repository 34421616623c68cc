"""Read member files, lineages and node lists, and show committees to people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from dragon.encoding import to_hex
from dragon.protocol import target_words
from dragon.protocol.committee import MAX_FILE_BYTES, Committee, Target, short_id
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage
from dragon.protocol.member import MAX_FILE_BYTES as MAX_MEMBER_BYTES
from dragon.protocol.member import Member
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import moment
from dragon_sequencer.nodes import NodeList


def read_members(paths: Iterable[Path]) -> list[Member]:
    """Read member files and check that each is signed with its own key.

    Raises WrongFile, InvalidEncoding, InvalidCommittee; the message names the file.
    """
    members = []
    for path in paths:
        raw = read_bytes(path, most=MAX_MEMBER_BYTES)
        with reading(path, raw, FileKind.MEMBER):
            members.append(Member.load(raw))
    return members


def read_committee(path: Path) -> Committee:
    """Read a committee file, or the newest committee of a lineage.

    Raises NotACommittee, InvalidEncoding, InvalidCommittee.
    """
    raw = read_bytes(path, most=MAX_LINEAGE_BYTES)
    with reading(path, raw, FileKind.COMMITTEE, FileKind.LINEAGE):
        return Lineage.load(raw).newest


def read_new_committee(path: Path) -> Committee:
    """Read a committee file that nobody vouches for yet; `-` is standard input.

    Raises NotACommittee, InvalidEncoding, InvalidCommittee.
    """
    if str(path) == "-":
        raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    else:
        raw = read_bytes(path, most=MAX_FILE_BYTES)
    with reading(path, raw, FileKind.COMMITTEE):
        return Committee.load(raw)


def read_nodes(path: Path) -> NodeList:
    """Read a node list. Raises as `NodeList`."""
    raw = read_bytes(path, most=MAX_FILE_BYTES)
    with reading(path, raw, FileKind.NODES):
        return NodeList.decode(raw.decode("utf-8", errors="replace"))


def read_node_list(path: Path) -> bytes:
    """Return the SHA-256 by which a committee file names a node list. Raises as `NodeList`."""
    return read_nodes(path).sha256


def print_committee(committee: Committee) -> None:
    """Print what its members compare and agree to."""
    rounds = committee.rounds
    console.print(f"Committee {plain(committee.name)}, epoch {committee.epoch}")
    console.print(f"  id        {to_hex(committee.id)}")
    console.print(f"  short id  {short_id(committee.id)}", highlight=False)
    console.print(f"  network   {to_hex(committee.network_id)}")
    console.print(f"  rounds    {rounds.seconds} s, since {moment(rounds.genesis)}")
    for operator in committee.operators:
        console.print(f"  operator  {operator.id}  {operator.url}")
    for expert in committee.experts:
        console.print(f"  expert    {expert.id}")
    for owner in committee.owners:
        console.print(f"  owner     {owner.id}")
    for target in committee.targets:
        print_target(target)
    for each in committee.aggregators:
        console.print(f"  aggregator {each.url} (rank {each.rank})")
    console.print(f"  notice    {committee.maintenance_notice} s, before maintenance begins")
    members = len(committee.operators)
    rules = ", ".join(f"{kind} {committee.quorum(kind)}" for kind in committee.quorum_rules)
    console.print(f"  quorums   of {members}: {rules}")
    for digest in committee.sequencer.nodes_sha256:
        console.print(f"  node list {to_hex(digest)}")


def print_target(target: Target) -> None:
    """Print what the operators look at, what counts as up, and who announces its maintenance."""
    console.print(f"  target    {target.id}  {plain(target.url or 'no URL')}")
    console.print(f"            {plain(target_words.check(target.check))}")
    if target.private_addresses:
        console.print("            [yellow]private addresses allowed[/]")
    stated = target_words.members(target)
    looks = f"suspected after {stated['suspected after']}, recovered after "
    looks += stated["recovered after"]
    console.print(f"            {looks}, owner {target.owner or 'none'}")
