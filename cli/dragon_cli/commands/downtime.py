"""`dragon downtime`: for how long a node was down, as a certificate that anyone can check."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from dragon.encoding import MAX_INTEGER, Json, Members
from dragon.errors import BadAnswer, InvalidEncoding, NotCertified, NotSettled
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.committee import Committee, check_node_id
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import ca_option, home_option, json_option
from dragon_cli.render import certificates
from dragon_cli.render.output import console, plain, print_json

GATHERING: Final = 15.0  # seconds: the aggregator asks every operator before it answers
LONGEST: Final = 200  # characters of a foreign sentence

PROBLEM: Final = frozenset({"type", "title", "status", "detail"})
REFUSALS: Final = {"not_settled": NotSettled, "not_certified": NotCertified}


def _moment(_context: click.Context, _option: click.Parameter, text: str) -> int:
    try:
        return seconds(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text!a} is no time: {error}") from None


def seconds(text: str) -> int:
    """Unix seconds from Unix seconds or ISO 8601, which is UTC where it names no zone and midnight
    where it names no time. Raises ValueError, OverflowError."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER)):
        at = int(text)
    else:
        read = datetime.fromisoformat(text)
        at_exactly = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
        at = int(at_exactly)
        if at != at_exactly:
            raise ValueError("whole seconds only")
    if not 0 <= at <= MAX_INTEGER:
        raise ValueError("it lies before 1970 or beyond all clocks")
    return at


@click.command()
@click.argument("node")
@click.option("--from", "begin", callback=_moment, required=True, help="Unix seconds or ISO 8601.")
@click.option("--to", "end", callback=_moment, required=True, help="The first second not counted.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Keep it there.")
@click.option("--uncertified", is_flag=True, help="One operator's word; proves nothing.")
@click.option("--operator", help="Whose word; the first that answers by default.")
@home_option
@ca_option
@json_option
def downtime(
    node: str,
    begin: int,
    end: int,
    output: Path | None,
    uncertified: bool,
    operator: str | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Have it certified how long NODE was up, down and unknown in a period, and check it."""
    if begin >= end:
        raise click.UsageError("`--from` lies before `--to`")
    if uncertified and output:
        raise click.UsageError("`--output` keeps certificates, and `--uncertified` asks for none")
    if operator and not uncertified:
        raise click.UsageError("`--operator` goes with `--uncertified`")
    committee = Home(home).committee()
    http = queries.connect(Home(home), ca)
    asked = _Question(committee, http, check_node_id(committee, node), begin, end)
    if uncertified:
        _show_word(*asked.ask_operator(operator), as_json=as_json)
        return
    certificate, claim = asked.ask_aggregator()
    if output:
        output.write_text(json.dumps(certificate.to_json(), indent=2) + "\n")
    _show_certificate(certificate, claim, committee, as_json=as_json)


class _Question:
    """A node and a period. An answer about anything else is none."""

    def __init__(
        self, committee: Committee, http: HttpClient, node_id: str, begin: int, end: int
    ) -> None:
        self._committee = committee
        self._http = http
        self._asked = (node_id, begin, end)

    def ask_aggregator(self) -> tuple[Certificate, DowntimeClaim]:
        """A certificate, verified. Raises PeerError, NotSettled, NotCertified, CertificateError."""
        node_id, begin, end = self._asked
        body: Json = {"node_id": node_id, "from": begin, "to": end}

        def ask(url: str) -> Json:
            address = f"{url}/downtime-certificates"
            return _certified(self._http.post(address, body, deadline=GATHERING))

        _, answer = queries.first(queries.aggregators(self._committee), ask)
        certificate = decode(answer)
        certificate.verify(self._committee)
        return certificate, self._check(certificate.claim)

    def ask_operator(self, operator: str | None) -> tuple[str, DowntimeClaim]:
        """An operator's own word. Raises PeerError."""
        node_id, begin, end = self._asked
        peers = queries.operators(self._committee, operator)
        path, period = f"/nodes/{node_id}/downtime", {"from": begin, "to": end}
        name, page = queries.first_get(peers, self._http, path, **period)
        try:
            return name, self._check(DowntimeClaim.take(Members(page, "the answer")))
        except InvalidEncoding as error:
            raise BadAnswer(f"{name}: {error}") from None

    def _check(self, claim: object) -> DowntimeClaim:
        match claim:
            case DowntimeClaim(node_id, begin, end) if (node_id, begin, end) == self._asked:
                return claim
        raise BadAnswer("the answer is about something else than was asked for")


def _certified(answer: HttpResponse) -> Json:
    """Raises PeerError, or what the aggregator says is the matter where it says it by name."""
    if answer.status >= HTTPStatus.BAD_REQUEST:
        with suppress(BadAnswer):
            _refuse(answer.json())
    return answer.successful()


def _refuse(problem: Json) -> None:
    if isinstance(problem, dict) and (refusal := REFUSALS.get(str(problem.get("title")))):
        facts = {name: fact for name, fact in problem.items() if name not in PROBLEM}
        raise refusal(str(problem.get("detail"))[:LONGEST], answered=facts)


def decode(answer: Json) -> Certificate:
    """Raises BadAnswer: no certificate."""
    try:
        return Certificate.from_json(answer)
    except InvalidEncoding as error:
        raise BadAnswer(f"the answer is no certificate: {error}") from None


def _show_certificate(
    certificate: Certificate, claim: DowntimeClaim, committee: Committee, *, as_json: bool
) -> None:
    if as_json:
        told = certificates.facts(certificate) | {"seconds_up": certificates.seconds_up(claim)}
        print_json({"verdict": "verified", **told, "certificate": certificate.to_json()})
        return
    console.print(f"[green]verified[/]: {certificates.statement(certificate, committee)}")
    console.print(certificates.totals(claim))


def _show_word(operator: str, claim: DowntimeClaim, *, as_json: bool) -> None:
    told = {**claim.members(), "seconds_up": certificates.seconds_up(claim)}
    if as_json:
        print_json({"verdict": "uncertified", "operator": operator, **told})
        return
    console.print(f"{claim.node_id} in {certificates.period(claim)}, by {plain(operator)} alone")
    console.print(certificates.totals(claim))
    console.print("nobody has signed this")
