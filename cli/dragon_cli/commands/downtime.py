"""`dragon downtime`: a certificate of how long a node was down."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json, Members
from dragon.errors import BadAnswer, InvalidEncoding, NotCertified, NotSettled
from dragon.net.http_client import HttpClient, HttpResponse
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.downtime import DowntimeClaim
from dragon.protocol.committee import Committee
from dragon_cli.completions import complete_nodes, complete_operators
from dragon_cli.fleet import current, queries
from dragon_cli.fleet.layout import Home
from dragon_cli.options import NEW_FILE, ca_option, home_option, json_option
from dragon_cli.render import certificates
from dragon_cli.render.output import console, plain, print_verified
from dragon_cli.render.text import print_json
from dragon_cli.times import FORMS, TimeInput, TimeType, cut_at_settled, period
from dragon_cli.trust import check_node

CERTIFY_SECONDS: Final = 15.0  # the aggregator asks all operators before it answers
MAX_DETAIL_CHARACTERS: Final = 200  # of an aggregator's explanation

PROBLEM_MEMBERS: Final = frozenset({"type", "title", "status", "detail"})  # of RFC 9457
REFUSALS: Final = {"not_settled": NotSettled, "not_certified": NotCertified}


@click.command(short_help="Certify a node's uptime and downtime.")
@click.argument("node", shell_complete=complete_nodes)
@click.option(
    "--from",
    "begin",
    metavar="TIME",
    type=TimeType(),
    required=True,
    help=f"Begin of the period: {FORMS}.",
)
@click.option(
    "--to",
    "end",
    metavar="TIME",
    type=TimeType(),
    help="End of the period, exclusive (default: of a day or month its end, otherwise now).",
)
@click.option("--output", type=NEW_FILE, help="File to which the certificate is written.")
@click.option(
    "--uncertified",
    is_flag=True,
    help="Show the totals of one operator; this proves nothing.",
)
@click.option(
    "--operator",
    shell_complete=complete_operators,
    help="Operator to query with `--uncertified` (default: the first to respond).",
)
@home_option
@ca_option
@json_option
def downtime(
    node: str,
    begin: TimeInput,
    end: TimeInput | None,
    output: Path | None,
    uncertified: bool,
    operator: str | None,
    home: Path,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Request and verify a certificate of NODE's uptime and downtime for a period.

    A period that ends now is cut where the log is settled.
    """
    wanted = period(begin, end, time.time())
    if uncertified and output:
        raise click.UsageError("`--output` writes a certificate; `--uncertified` requests none.")
    if operator and not uncertified:
        raise click.UsageError("`--operator` requires `--uncertified`.")
    http = queries.connect(Home(home), ca)
    committee = current.committee(Home(home), http)
    node_id = check_node(Home(home), node)
    last = wanted.end
    if wanted.is_open and not uncertified:
        last = cut_at_settled(wanted, queries.settled_until(committee, http))
    query = _DowntimeQuery(committee, http, node_id, wanted.begin, last)
    if uncertified:
        _show_uncertified(*query.ask_operator(operator), as_json=as_json)
        return
    certificate, claim = query.ask_aggregator()
    if output:
        output.write_text(json.dumps(certificate.to_json(), indent=2) + "\n")
    _show_certificate(certificate, claim, committee, as_json=as_json)


class _DowntimeQuery:
    """A request for the downtime of one node in one period."""

    def __init__(
        self, committee: Committee, http: HttpClient, node_id: str, begin: int, end: int
    ) -> None:
        self._committee = committee
        self._http = http
        self._subject = (node_id, begin, end)

    def ask_aggregator(self) -> tuple[Certificate, DowntimeClaim]:
        """Return a verified certificate.

        Raises PeerError, NotSettled, NotCertified, CertificateError.
        """
        node_id, begin, end = self._subject
        body: Json = {"node_id": node_id, "from": begin, "to": end}

        def ask(url: str) -> Json:
            address = f"{url}/downtime-certificates"
            return _successful(self._http.post(address, body, deadline=CERTIFY_SECONDS))

        _, answer = queries.first(queries.aggregators(self._committee), ask)
        certificate = _decode(answer)
        certificate.verify(self._committee)
        return certificate, self._check(certificate.claim)

    def ask_operator(self, operator: str | None) -> tuple[str, DowntimeClaim]:
        """Return name and uncertified totals of an operator. Raises PeerError."""
        node_id, begin, end = self._subject
        peers = queries.operators(self._committee, operator)
        path, period = f"/nodes/{node_id}/downtime", {"from": begin, "to": end}
        name, page = queries.first_get(peers, self._http, path, **period)
        try:
            return name, self._check(DowntimeClaim.take(Members(page, "the answer")))
        except InvalidEncoding as error:
            raise BadAnswer(f"{name}: {error}") from None

    def _check(self, claim: object) -> DowntimeClaim:
        match claim:
            case DowntimeClaim(node_id, begin, end) if (node_id, begin, end) == self._subject:
                return claim
        raise BadAnswer("The answer is about another node or period than requested.")


def _successful(answer: HttpResponse) -> Json:
    """Return the answer. Raises PeerError, or the refusal that the aggregator names."""
    if answer.status >= HTTPStatus.BAD_REQUEST:
        with suppress(BadAnswer):
            _raise_refusal(answer.json())
    return answer.successful()


def _raise_refusal(problem: Json) -> None:
    if isinstance(problem, dict) and (refusal := REFUSALS.get(str(problem.get("title")))):
        facts = {name: fact for name, fact in problem.items() if name not in PROBLEM_MEMBERS}
        raise refusal(str(problem.get("detail"))[:MAX_DETAIL_CHARACTERS], answered=facts)


def _decode(answer: Json) -> Certificate:
    """Raises BadAnswer: not a certificate."""
    try:
        return Certificate.from_json(answer)
    except InvalidEncoding as error:
        raise BadAnswer(f"The answer is not a certificate: {error}") from None


def _show_certificate(
    certificate: Certificate, claim: DowntimeClaim, committee: Committee, *, as_json: bool
) -> None:
    if as_json:
        report = certificates.facts(certificate) | {"seconds_up": certificates.seconds_up(claim)}
        print_json({"verdict": "verified", **report, "certificate": certificate.to_json()})
        return
    print_verified(certificates.statement(certificate, committee))
    console.print(certificates.totals(claim))


def _show_uncertified(operator: str, claim: DowntimeClaim, *, as_json: bool) -> None:
    report = {**claim.members(), "seconds_up": certificates.seconds_up(claim)}
    if as_json:
        print_json({"verdict": "uncertified", "operator": operator, **report})
        return
    console.print(
        f"{claim.node_id} in {certificates.period(claim)}, according to {plain(operator)}:"
    )
    console.print(certificates.totals(claim))
    console.print("These totals are not certified.")
