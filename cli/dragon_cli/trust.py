"""What a command that verifies believes: a committee file or a lineage, and its oldest epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json
from dragon.errors import Superseded
from dragon.protocol.committee import Committee
from dragon.protocol.lineage import MAX_LINEAGE_BYTES, Lineage
from dragon.protocol.trust import Trust
from dragon_cli.errors import NoCommittee
from dragon_cli.file_kinds import FileKind, reading
from dragon_cli.files import read_bytes
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.render.text import moment

FLEET: Final = Path("fleet")  # the folder of the default files
TRUST_OLDER: Final = "`--trust-from N` trusts older keys, from those of epoch N on."


def load_trust(chosen: Path | None, trust_from: int | None, home: Path = FLEET) -> Trust:
    """Load and verify what the user trusts.

    Args:
        chosen: a committee file or a lineage; None: the lineage of the home, if there is one, else
            its committee file.
        trust_from: the oldest epoch whose keys the user trusts; None: the newest epoch only.

    Raises:
        NoCommittee: the file does not exist.
        NotACommittee: the file is of another kind.
        UsageError: `trust_from` is later than the newest epoch known.
        DragonError: the content is invalid; the message starts with the path.
    """
    path = chosen or known_file(home)
    lineage = load_lineage(path)
    newest = lineage.newest.epoch
    if trust_from is not None and trust_from > newest:
        message = f"`--trust-from` ({trust_from}) must be at most {newest}, the newest epoch in "
        raise click.UsageError(f"{message}{path}.")
    return Trust(lineage, trust_from)


def known_file(home: Path) -> Path:
    """Return the file of a home with all that it knows of the network's committees."""
    return Home(home).known_file


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
