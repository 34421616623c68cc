"""`dragon committee assemble`: the first committee of a network, or the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dragon.encoding import to_hex
from dragon.errors import InvalidCommittee
from dragon.protocol.committee import DEFAULT_MAINTENANCE_NOTICE, Committee, short_id
from dragon.protocol.committee_file import MAX_RANK, Aggregator, Sequencer, Target
from dragon.protocol.differences import differences
from dragon.protocol.founding import Change, Terms, succeed
from dragon.protocol.founding import assemble as assemble_first
from dragon.protocol.founding import refound as refound_network
from dragon.protocol.member import Member
from dragon.protocol.quorums import DEFAULT_QUORUMS, QuorumRule
from dragon_cli import target_files
from dragon_cli.committee_files import (
    print_committee,
    read_members,
    read_node_list,
)
from dragon_cli.files import check_free, write_new
from dragon_cli.hints import HINTS, hint_for, with_hint
from dragon_cli.options import (
    EXISTING_FILE,
    NEW_FILE,
    json_option,
    notice_option,
    targets_option,
)
from dragon_cli.render.output import console, plain
from dragon_cli.render.text import print_json
from dragon_cli.target_options import Entry, entry
from dragon_cli.times import TimeInput, TimeType
from dragon_cli.trust import load_lineage

DEFAULT_APP = "datadragon"
DEFAULT_THRESHOLD = 67
DEFAULT_ROUND_SECONDS = 5


class _AggregatorType(click.ParamType[Aggregator]):
    name = "url[@rank]"

    def convert(self, value: Any, param: Any, ctx: Any) -> Aggregator:
        if isinstance(value, Aggregator):
            return value
        url, at, rank = str(value).partition("@")
        if at and not (rank.isascii() and rank.isdigit() and int(rank) <= MAX_RANK):
            self.fail(f"{rank!a} is not a rank from 0 to {MAX_RANK}.", param, ctx)
        return Aggregator(url, int(rank) if at else 0)


class _TargetType(click.ParamType[Entry]):
    name = "id=url"

    def convert(self, value: Any, param: Any, ctx: Any) -> Entry:
        if isinstance(value, dict):
            return value
        target, equals, url = str(value).partition("=")
        if not equals:
            self.fail(f"{value!a} is not a target; expected id=url.", param, ctx)
        return entry(target, url, {})


class _QuorumType(click.ParamType[tuple[str, QuorumRule]]):
    name = "kind=rule"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, QuorumRule]:
        if isinstance(value, tuple):
            return value
        kind, _, rule = str(value).partition("=")
        if kind not in DEFAULT_QUORUMS:
            self.fail(f"{kind!a} is none of {', '.join(DEFAULT_QUORUMS)}.", param, ctx)
        if rule in ("byzantine", "majority"):
            return kind, rule  # type: ignore[return-value]
        if not (rule.isascii() and rule.isdigit() and len(rule) <= 4):
            self.fail(f"{rule!a} is not byzantine, majority or a number.", param, ctx)
        return kind, int(rule)


@click.command(short_help="Assemble the committee file of a new network, or the next one.")
@click.argument("members", nargs=-1, type=EXISTING_FILE)
@click.option("--after", type=EXISTING_FILE, help="Lineage that the next committee continues.")
@click.option(
    "--refound",
    is_flag=True,
    help="Found a new network with the members of the newest committee, and their keys.",
)
@click.option("--name", help="Name of a new network.")
@click.option("--genesis", type=TimeType(), help="Start of round 0 of a new network.")
@click.option("--app", help=f"Application on the sequencer (default: {DEFAULT_APP}).")
@click.option("--nodes", type=EXISTING_FILE, multiple=True, help="Node list of the sequencer.")
@click.option(
    "--drop-nodes", type=EXISTING_FILE, multiple=True, help="Node list that no longer counts."
)
@click.option("--threshold", type=click.IntRange(1, 100), help="Stake for finality in percent.")
@click.option("--round-seconds", type=click.IntRange(2, 3600), help="Length of a round.")
@click.option("--quorum", "quorums", type=_QuorumType(), multiple=True, help="Rule of a kind.")
@click.option(
    "--aggregator",
    "aggregators",
    type=_AggregatorType(),
    multiple=True,
    help="Aggregator, as URL or URL@rank.",
)
@click.option(
    "--target",
    "target_entries",
    type=_TargetType(),
    multiple=True,
    help="Target to watch, with the default check; tcp:// and tls:// URLs are possible.",
)
@targets_option
@notice_option
@click.option("--drop", multiple=True, help="Id of a member or target, or URL of an aggregator.")
@click.option("-o", "--output", type=NEW_FILE, required=True, help="File to write.")
@json_option
def assemble(
    members: tuple[Path, ...],
    after: Path | None,
    refound: bool,
    output: Path,
    as_json: bool,
    **terms: Any,
) -> None:
    """Write a committee file from the files of its MEMBERS.

    MEMBERS are operators, experts, and owners of targets. With `--after` everything stays that no
    option names: a known id gets the key and URL of its member file, another one is added, and
    `--drop` takes one out. The same holds for targets, which are replaced as a whole, and for
    aggregators.

    Deterministic: everybody who has the same files and gives the same options gets the same file.
    Compare its short id with the others by voice before you start an operator with it.
    """
    check_free(output)
    given = tuple(read_members(members))
    if refound and after is None:
        raise click.UsageError("`--refound` needs `--after`, the lineage that ends.")
    lineage = load_lineage(after) if after else None
    with _unwritten():
        if lineage is None:
            committee = assemble_first(given, _terms(terms))
        elif refound:
            committee = _refounded(lineage.newest, given, terms)
        else:
            committee = succeed(lineage, _change(lineage.newest, given, terms))
    before = lineage.newest if lineage else None
    write_new(output, json.dumps(committee.to_json(), indent=2) + "\n")
    _print(committee, before, output, as_json=as_json)


@contextmanager
def _unwritten() -> Iterator[None]:
    """Give refusals a hint that belongs to options, not to a file of somebody else."""
    try:
        yield
    except InvalidCommittee as error:
        if hint_for(error) == HINTS[InvalidCommittee]:
            with_hint(error, "Nothing was written: check the options and the member files.")
        raise


def _print(committee: Committee, before: Committee | None, output: Path, *, as_json: bool) -> None:
    found = differences(before, committee) if before else []
    if as_json:
        ids = {"id": to_hex(committee.id), "short_id": short_id(committee.id)}
        changed = [each.to_json() for each in found]
        print_json({**ids, "epoch": committee.epoch, "file": str(output), "differences": changed})
        return
    if before is None:
        print_committee(committee)
    for each in found:
        console.print(plain(each.sentence))
    if before and not found:
        console.print("Nothing changes except the epoch.")
    console.print(f"Wrote {plain(str(output))}.")
    console.print(f"Compare the short id by voice: {short_id(committee.id)}", highlight=False)


def _terms(given: dict[str, Any]) -> Terms:
    for name in ("name", "genesis", "nodes"):
        if not given[name]:
            raise click.UsageError(f"A new network needs `--{name}`; the next committee `--after`.")
    for name in ("drop", "drop_nodes"):
        if given[name]:
            raise click.UsageError(f"`--{name.replace('_', '-')}` needs `--after`.")
    lists = tuple(read_node_list(path) for path in given["nodes"])
    return Terms(
        name=given["name"],
        genesis=_genesis(given["genesis"]),
        sequencer=Sequencer(
            given["app"] or DEFAULT_APP, given["threshold"] or DEFAULT_THRESHOLD, lists
        ),
        round_seconds=(seconds := given["round_seconds"] or DEFAULT_ROUND_SECONDS),
        quorum_rules=dict(given["quorums"]),
        targets=_targets(given, seconds),
        aggregators=given["aggregators"],
        maintenance_notice=(
            DEFAULT_MAINTENANCE_NOTICE
            if given["maintenance_notice"] is None
            else given["maintenance_notice"]
        ),
    )


def _targets(given: dict[str, Any], round_seconds: int) -> tuple[Target, ...]:
    entries = [*given["target_entries"], *target_files.read_all(given["targets"])]
    return target_files.decode_all(entries, round_seconds)


def _genesis(given: TimeInput) -> int:
    if given.is_now:
        raise click.UsageError("`--genesis` must be the same for everybody: not `now`.")
    return given.at


def _refounded(before: Committee, members: tuple[Member, ...], given: dict[str, Any]) -> Committee:
    if not given["genesis"]:
        raise click.UsageError("`--refound` needs `--genesis`, the start of the new network.")
    if given["name"]:
        raise click.UsageError("`--name` stays when a network is founded anew.")
    genesis, change = _genesis(given["genesis"]), _differently(before, members, given)
    return refound_network(before, genesis, change=change, app=given["app"])


def _change(before: Committee, members: tuple[Member, ...], given: dict[str, Any]) -> Change:
    for name in ("name", "genesis", "app"):
        if given[name]:
            raise click.UsageError(f"`--{name}` stays for the life of a network.")
    return _differently(before, members, given)


def _differently(before: Committee, members: tuple[Member, ...], given: dict[str, Any]) -> Change:
    return Change(
        members=members,
        targets=_targets(given, given["round_seconds"] or before.rounds.seconds),
        aggregators=given["aggregators"],
        drop=frozenset(given["drop"]),
        round_seconds=given["round_seconds"],
        quorum_rules=dict(given["quorums"]),
        threshold_percent=given["threshold"],
        maintenance_notice=given["maintenance_notice"],
        add_nodes_sha256=tuple(read_node_list(path) for path in given["nodes"]),
        drop_nodes_sha256=frozenset(read_node_list(path) for path in given["drop_nodes"]),
    )
