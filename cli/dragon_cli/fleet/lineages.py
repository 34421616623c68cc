"""The lineage that a home holds, and what extends it.

What a home holds is replaced only by a continuation. A lineage that differs is kept beside it: the
two show who has signed for two committees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from dragon import errors
from dragon.encoding import to_hex
from dragon.errors import DragonError
from dragon.net.http_client import HttpClient
from dragon.net.lineage_client import fetch_lineage
from dragon.protocol.lineage import Lineage
from dragon_cli.files import PUBLIC_MODE, write_whole
from dragon_cli.fleet.layout import Home
from dragon_cli.hints import with_hint
from dragon_cli.trust import held

MAX_CONCURRENT: Final = 16
ID_CHARACTERS: Final = 10  # of a committee's id, in the name of the file that keeps a fork


@dataclass(frozen=True, slots=True)
class Update:
    """What a home holds after lineages were fetched."""

    before: Lineage
    after: Lineage


def fetch_all(http: HttpClient, urls: Mapping[str, str], network_id: bytes) -> list[Lineage]:
    """Return the verified lineages of all services (name → URL) that have one.

    Args:
        network_id: of the network that the home knows, 32 bytes.

    Raises DragonError: none has; the error of the first.
    """

    def fetched(url: str) -> Lineage | DragonError:
        try:
            return fetch_lineage(http, url, network_id)
        except DragonError as error:
            return error

    with ThreadPoolExecutor(MAX_CONCURRENT) as executor:
        answers = dict(zip(urls, executor.map(fetched, urls.values()), strict=True))
    found = [each for each in answers.values() if isinstance(each, Lineage)]
    if found:
        return found
    if all(isinstance(each, errors.Unreachable) for each in answers.values()):
        raise errors.Unreachable(f"No response from {', '.join(answers)}.")
    name, error = next(
        (name, each)
        for name, each in answers.items()
        if isinstance(each, DragonError) and not isinstance(each, errors.Unreachable)
    )
    error.args = (f"{name}: {error}",)
    raise error


def extend(home: Home, fetched: list[Lineage]) -> Update:
    """Extend the files of a home by what was fetched and verified. Shorter ones are ignored.

    `lineage.json` is written first: after a crash `committee.json` is a committee of it.

    Raises:
        WrongCommittee: a lineage is of another network; nothing is written.
        LineageForked: a lineage differs from what is held. It is kept in a file beside it, and what
            is held stays.
    """
    before = after = held(home)
    for lineage in fetched:
        try:
            after = after.replaced_by(lineage)
        except errors.LineageForked as error:
            raise _keep_fork(home, lineage, error) from None
    if after is not before:
        write(home, after)
    return Update(before, after)


def write(home: Home, lineage: Lineage) -> None:
    """Write a verified lineage, and its newest committee. Raises UnusableFile."""
    write_whole(home.lineage_file, _text(lineage.to_json()), mode=PUBLIC_MODE)
    text = _text(lineage.newest.to_json())
    if not home.committee_file.exists() or home.committee().id != lineage.newest.id:
        write_whole(home.committee_file, text, mode=PUBLIC_MODE)


def _keep_fork(home: Home, lineage: Lineage, error: errors.LineageForked) -> errors.LineageForked:
    """Write a lineage that differs, and return the error that names both files."""
    epoch = error.facts["epoch"]
    other = next(each for each in lineage.committees if each.epoch == epoch)
    kept = home.path / f"lineage-{to_hex(other.id)[2 : 2 + ID_CHARACTERS]}.json"
    write_whole(kept, _text(lineage.to_json()), mode=PUBLIC_MODE)
    message = (
        f"Two committees of epoch {epoch} hold certificates: {home.known_file} has one, and the "
        f"network shows another, which is kept in {kept}."
    )
    facts = {"held": str(home.known_file), "other": str(kept)}
    forked = errors.LineageForked(message, epoch=epoch, **facts)
    hint = "Compare both with the other owners by voice; a quorum has signed twice."
    return with_hint(forked, hint)


def _text(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
