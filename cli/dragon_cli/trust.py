"""What a command that verifies believes: a committee file or a lineage, and its oldest epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json
from dragon.errors import Superseded
from dragon.protocol.committee import Committee, check_node_id
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage
from dragon.protocol.trust import Trust
from dragon_cli.errors import NoCommittee
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.render.text import moment

TRUST_OLDER: Final = "`--trust-from N` trusts older keys, from those of epoch N on."


def default_home() -> Home:
    """Return the home of commands without `--home`: DRAGON_HOME, otherwise `fleet`."""
    return Home(Path(os.environ.get("DRAGON_HOME") or "fleet"))


def load_trust(chosen: Path | None, trust_from: int | None, home: Home | None = None) -> Trust:
    """Load and verify what the user trusts.

    Args:
        chosen: a committee file or a lineage; None: what the home holds.
        home: default: `default_home`.
        trust_from: the oldest epoch whose keys the user trusts; None: the newest epoch only.

    Raises:
        NoCommittee: the file does not exist.
        NotACommittee: the file is of another kind.
        UsageError: `trust_from` is later than the newest epoch known.
        DragonError: the content is invalid; the message starts with the path.
    """
    lineage = load_lineage(chosen) if chosen else held(home or default_home())
    newest = lineage.newest.epoch
    if trust_from is not None and trust_from > newest:
        raise click.UsageError(
            f"`--trust-from` ({trust_from}) must be at most {newest}, the newest epoch known."
        )
    return Trust(lineage, trust_from)


def held(home: Home) -> Lineage:
    """Return the lineage that a home holds: that of `lineage.json`, or `committee.json` alone.

    A lineage was verified before it was written, so only its hashes are checked.

    Raises:
        NoHome, NoCommittee: there is nothing.
        LineageForked: the two files name different committees of one epoch.
    """
    alone = Lineage.of(home.committee())
    if not home.lineage_file.exists():
        return alone
    raw = read_bytes(home.lineage_file, most=MAX_LINEAGE_BYTES)
    with reading(home.lineage_file, raw, FileKind.LINEAGE):
        lineage = Lineage.load(raw)
        lineage.check_chain()
        alone.replaced_by(lineage)
        # The owner has put a newer committee file there, which counts although nothing leads to it.
        return alone if alone.newest.epoch > lineage.newest.epoch else lineage


def check_node(home: Home, node: str) -> str:
    """Return the id of a node that a committee of the home's lineage lists.

    Raises InvalidEncoding, UnknownNode.
    """
    lineage = held(home)
    if any(node in each.urls for each in lineage.committees):
        return node
    return check_node_id(lineage.newest, node)


def load_lineage(path: Path) -> Lineage:
    """Load and verify a lineage, or a committee file as the end of one. Raises as `load_trust`."""
    if not path.exists():
        raise NoCommittee(f"Committee file {path} does not exist.")
    raw = read_bytes(path, most=MAX_LINEAGE_BYTES)
    with reading(path, raw, FileKind.COMMITTEE, FileKind.LINEAGE):
        lineage = Lineage.load(raw)
        lineage.verify()
    return lineage


def knowledge(trust: Trust, committee: Committee) -> str:
    """Return whose signatures were verified, and how fresh the user's knowledge is."""
    newest = trust.newest
    seen = "" if trust.lineage.seen is None else f", seen {moment(trust.lineage.seen)}"
    if committee.epoch == newest.epoch:
        return f"Committee of epoch {newest.epoch}, the newest known{seen}."
    return (
        f"Committee of epoch {committee.epoch}; the newest known is of epoch {newest.epoch}{seen}."
    )


def facts(trust: Trust, committee: Committee) -> dict[str, Json]:
    """Return the same for programs."""
    return {
        "epoch": committee.epoch,
        "newest_epoch": trust.newest.epoch,
        "seen": trust.lineage.seen,
    }


@contextmanager
def superseded_hint(step: str) -> Iterator[None]:
    """Say what to do about an object whose committee has handed over. Args: `step`, a sentence."""
    try:
        yield
    except Superseded as error:
        raise with_hint(error, f"{step} {TRUST_OLDER}") from None
