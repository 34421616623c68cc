"""`dragon receipt complete`: the place in a certified log that a young receipt does not have yet.

Any operator may be asked, and none is believed: what is put together from the answers is verified
like any receipt before it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json, Members, to_hex
from dragon.errors import BadAnswer, DragonError, InvalidEncoding, PeerError, UnknownKind
from dragon.net.http_client import HttpClient
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.window import WindowClaim
from dragon.protocol.committee import Committee
from dragon.protocol.log_entry import ProvenEntry
from dragon.protocol.streams.receipt import Receipt
from dragon.protocol.streams.receipt_verification import is_complete, refused, verify
from dragon_cli.commands.verify_receipt import accept, load
from dragon_cli.errors import NotCovered
from dragon_cli.files import check_free, write_new, write_whole
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home, load_committee
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render.output import console, plain, print_json

STATES: Final = {"completed": "[green]completed[/]", "already": "complete already"}


@dataclass(frozen=True, slots=True)
class Done:
    """What has become of one file."""

    file: Path
    state: str  # completed, already or failed
    error: DragonError | None = None

    def to_json(self) -> dict[str, object]:
        told: dict[str, object] = {"file": str(self.file), "state": self.state}
        if self.error:
            told |= {"reason": self.error.name, "detail": str(self.error)}
        return told


@click.group("receipt")
def receipt() -> None:
    """Receipts, by which anyone can check when data existed."""


@receipt.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--committee",
    "committee_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DRAGON_COMMITTEE",
    show_envvar=True,
    help="The committee file; that of the fleet's folder by default.",
)
@home_option
@ca_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the completed receipt there and leave FILE as it is.",
)
@json_option
def complete(
    files: tuple[Path, ...],
    committee_file: Path | None,
    home: Path,
    ca: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Add to receipts their place in a log that a quorum has certified, by asking operators."""
    if output:
        if len(files) > 1:
            raise click.UsageError("`--output` goes with one file")
        check_free(output)
    fleet = Home(home)
    committee = load_committee(committee_file or fleet.committee_file)
    asking = Asking(committee, queries.connect(fleet, ca))
    done = [_complete(asking, file, output) for file in files]
    _raise_first(done)
    if as_json:
        print_json({"verdict": "verified", "receipts": [one.to_json() for one in done]})
        return
    for one in done:
        console.print(f"{STATES[one.state]}: {plain(str(one.file))}")


def _complete(asking: Asking, file: Path, output: Path | None) -> Done:
    """Never raises a DragonError: other files may follow."""
    try:
        held = load(file)
        checks = verify(asking.committee, held)
        accept(held, checks)
        already = is_complete(checks)
        if not already:
            held = asking.completed(held)
        text = json.dumps(held.to_json(), indent=2) + "\n"
        if output:
            write_new(output, text)
        elif not already:
            write_whole(file, text)
    except DragonError as error:
        if str(file) not in str(error):
            error.args = (f"{file}: {error}",)
        return Done(file, "failed", error)
    return Done(file, "already" if already else "completed")


def _raise_first(done: Sequence[Done]) -> None:
    """The first failure, whose fact `receipts` says what has become of every file."""
    failures = [one.error for one in done if one.error]
    if not failures:
        return
    if len(done) > 1:
        many = f"{len(failures)} of {len(done)} receipts are not complete, the first is"
        failures[0].args = (f"{many} {failures[0]}",)
    failures[0].facts["receipts"] = [one.to_json() for one in done]
    raise failures[0]


class Asking:
    """Every operator may be asked, the one first that was of use last."""

    def __init__(self, committee: Committee, http: HttpClient) -> None:
        self.committee = committee
        self._http = http
        self._peers = queries.operators(committee, None)

    def completed(self, held: Receipt) -> Receipt:
        """A receipt that is right, with its place in a certified log: verified.

        Raises:
            NotCovered: no operator shows a certified checkpoint that covers the event.
            PeerError: none answers usably.
        """
        early: list[NotCovered] = []

        def ask(url: str) -> Receipt:
            try:
                return self._ask(url, held)
            except NotCovered as error:
                early.append(error)
                raise BadAnswer(str(error)) from None
            except (InvalidEncoding, UnknownKind) as error:
                raise BadAnswer(f"the answer cannot be used: {error}") from None

        try:
            name, whole = queries.first(self._peers, ask)
        except PeerError:
            if early:
                raise early[0] from None
            raise
        self._peers = {name: self._peers[name], **self._peers}
        return whole

    def _ask(self, url: str, held: Receipt) -> Receipt:
        """By one operator. Raises NotCovered, PeerError, InvalidEncoding, UnknownKind."""
        position = self._position(url, held)
        size, at = self._certified(url)
        if size <= position:
            raise NotCovered("no certified checkpoint covers its window yet")
        checkpoint = ProvenEntry.from_json(queries.get(self._http, f"{url}/events/{at}"))
        place = queries.get(self._http, f"{url}/events/{position}", size=size)
        return self._verified(held, ProvenEntry.from_json(place), checkpoint)

    def _position(self, url: str, held: Receipt) -> int:
        """Where the window's event stands in the operator's log. Raises NotCovered, PeerError."""
        claim = held.event.claim
        number = claim.number if isinstance(claim, WindowClaim) else 0
        path = f"/streams/{to_hex(held.descriptor.id)}/windows/{number}"
        try:
            verdicts = queries.rows(queries.get(self._http, url + path), "verdicts")
        except BadAnswer as error:
            if error.facts.get("status") != HTTPStatus.NOT_FOUND:
                raise
            verdicts = []
        return _matching(verdicts, held.event)

    def _certified(self, url: str) -> tuple[int, int]:
        """Size and position of the newest certified checkpoint. Raises as `_ask` does."""
        head = Members(queries.get(self._http, f"{url}/checkpoint"), "the checkpoint")
        if (certified := head.take("certified")) is None:
            raise NotCovered("no checkpoint is certified yet")
        mark = Members(certified, "the certified checkpoint")
        return mark.integer("size"), mark.integer("position")

    def _verified(self, held: Receipt, place: ProvenEntry, checkpoint: ProvenEntry) -> Receipt:
        """Raises BadAnswer: it does not hold."""
        if not isinstance(checkpoint.entry.event, Certificate):
            raise BadAnswer("what is said to be a checkpoint is no certificate")
        whole = held.completed(place, checkpoint.entry.event)
        # The proof has been verified, and takes longer than all the rest.
        checks = verify(self.committee, replace(whole, proven=None))
        for check in refused(checks):
            raise BadAnswer(f"the answer does not hold: {check.detail}")
        return whole


def _matching(verdicts: Iterable[dict[str, Json]], event: Certificate) -> int:
    """The position of the verdict that is this very event. Raises NotCovered, InvalidEncoding."""
    wanted = event.to_json()
    for verdict in verdicts:
        if verdict.get("event") == wanted:
            return Members(verdict, "the verdict").integer("position")
    raise NotCovered("the log does not have the verdict on its window yet")
