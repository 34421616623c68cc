"""`dragon report --certified` and `dragon verify report`: the file shows what was signed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reward_month
from commands import run_dragon
from committees import make_members
from dragon import errors
from dragon.agreements.payout import Earning
from dragon.agreements.report import CertifiedReport, Terms
from dragon.agreements.rule import Entry, Tier
from dragon.agreements.rule_file import decode_rule
from dragon.encoding import canonical, to_hex
from dragon.protocol.period import PeriodLeaf, PeriodReport
from dragon.protocol.trust import Trust
from dragon_cli.report.certified import Verified, as_csv, pays, share
from dragon_cli.report.certified_html import as_html, verify_html
from dragon_cli.report.spreadsheets import plain_cell
from epochs import Network

PAGE = as_html(reward_month.paid())
TRUST = Trust.of(reward_month.members().committee)
RULE = reward_month.rule_text()
SHA256 = to_hex(decode_rule(RULE).sha256)
PAYING = ("--rule", "rule.toml", "--payout", "1000")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dragon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command in a copy of examples/reward-month, with its committee."""
    for file in reward_month.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGON_COMMITTEE", "committee.json")

    def run(*arguments: str) -> tuple[int, str, str]:
        return run_dragon(capsys, *arguments)

    return run


def certified(dragon: Run, *options: str) -> tuple[int, str, str]:
    return dragon("report", "--certificate", "november.json", *options)


def document(result: tuple[int, str, str]) -> dict[str, Any]:
    assert result[0] == 0, result
    found: dict[str, Any] = json.loads(result[1])
    return found


# -- the forms of a report -------------------------------------------------------------------------


def test_the_example_is_what_the_code_makes() -> None:
    """A file that was handed on must stay verifiable: another template needs another format."""
    for name, text in reward_month.files().items():
        assert (reward_month.FOLDER / name).read_text("utf-8") == text, reward_month.__doc__


def test_all_forms_have_the_same_figures(dragon: Run) -> None:
    told = document(certified(dragon, *PAYING, "--json"))
    rows = list(csv.DictReader(io.StringIO(certified(dragon, *PAYING, "--format", "csv")[1])))
    table = certified(dragon, *PAYING)[1]
    code, page, err = certified(dragon, *PAYING, "--format", "html")

    assert (code, err, page) == (0, "", PAGE)
    assert [row["node_id"] for row in rows] == [node["node_id"] for node in told["nodes"]]
    for row, node in zip(rows, told["nodes"], strict=True):
        assert all(int(row[name]) == node[name] for name in node if name.startswith("seconds_"))
    paid = {node["node_id"]: node for node in told["payout"]["nodes"]}
    assert sorted(paid) == reward_month.RELAYS
    for row in rows:
        node = paid.get(row["node_id"], {"amount": "", "units": ""})
        assert (row["payout"], row["payout_units"]) == (node["amount"], node["units"])
        assert row["rule_sha256"] == SHA256 == told["payout"]["rule_sha256"]
    for node in paid.values():
        assert re.search(rf"^{node['node_id']} .* {node['amount']}$", table, re.MULTILINE)
        cells = f"<td>{node['amount']}</td></tr>"
        assert re.search(rf"{node['node_id']}</th>.*{cells}", page)
    units = [int(each["units"]) for each in paid.values()]
    assert sum(units) + int(told["payout"]["undistributed_units"]) == reward_month.UNITS


def test_the_document_is_a_file_of_its_certificate(dragon: Run) -> None:
    told = document(certified(dragon, "--json"))

    members = {name: told[name] for name in ("certificate", "leaves")}
    assert PeriodReport.from_json(members).verify(TRUST)
    assert "payout" not in told


def test_a_report_without_payout_is_verified(dragon: Run) -> None:
    assert certified(dragon, "--format", "html", "--output", "plain.html")[0] == 0

    code, out, err = dragon("verify", "report", "plain.html")
    assert (code, err) == (0, "")
    assert "Payout" not in out
    assert document(dragon("verify", "report", "plain.html", "--json"))["payout"] is None


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    assert not re.search(r"(src=|href=|url\(|@import|https?:)", PAGE.partition("<script")[0])
    assert re.findall(r"<script[^>]*>", PAGE) == [
        '<script type="application/json" id="certified-report">'
    ]
    assert "default-src 'none'" in PAGE


def test_data_cannot_leave_their_block() -> None:
    rule = decode_rule(RULE + b"# </script><script>alert(1)</script> & <!--\n")

    page = as_html(reward_month.certified(Terms(rule, 1)))

    assert page.count("<script") == page.count("</script") == 1
    assert "&lt;/script&gt;" in page
    assert verify_html(page.encode(), TRUST).payout is not None


class _Cells(HTMLParser):
    """The rows of all tables, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_page_shows_each_leaf_and_each_earning() -> None:
    """An oracle that knows nothing of the template: plain arithmetic on the leaves."""
    reader = _Cells()
    reader.feed(PAGE)
    shown = {tuple(row) for row in reader.rows}
    seconds = reward_month.END - reward_month.BEGIN

    for leaf in reward_month.LEAVES:
        up = seconds - leaf.seconds_down - leaf.seconds_unknown
        down, maintenance = leaf.seconds_down, leaf.seconds_maintenance
        parts = [f"{part} s" for part in (up, down, maintenance, leaf.seconds_unknown)]
        assert (leaf.node_id, f"{100 * up / seconds:.3f}", *parts) in shown
    weights = dict.fromkeys(reward_month.RELAYS, 1) | {"relay-osaka": 3}
    paid = {"relay-berlin": 100, "relay-lagos": 100, "relay-lima": 90, "relay-osaka": 50}
    for leaf in (each for each in reward_month.LEAVES if each.node_id in weights):
        per_cent = paid.get(leaf.node_id, 0)
        units = 10**9 * weights[leaf.node_id] * per_cent // (100 * sum(weights.values()))
        [row] = [row for row in shown if row[:1] == (leaf.node_id,) and "." in row[5]]
        assert row[5] == f"{units // 10**6}.{units % 10**6:06}"
        assert row[4] == (f"{per_cent} %" if per_cent else "nothing")


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 10, "0.000"), (10, 10, "100.000"), (99_999_999, 10**8, "99.999"), (0, 0, "–")],
)
def test_a_share_is_never_shown_higher_than_it_is(part: int, whole: int, shown: str) -> None:
    assert share(Earning("a", Entry("a", 1, None), part, whole, None, 1)) == shown


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        (None, "nothing"),
        (Tier(Fraction(0), None), "its share"),
        (Tier(Fraction(0), Fraction(1)), "100 %"),
        (Tier(Fraction(0), Fraction(0)), "0 %"),
        (Tier(Fraction(0), Fraction(9995, 100_000)), "9.995 %"),
    ],
)
def test_what_a_tier_pays_is_shown_exactly(tier: Tier | None, words: str) -> None:
    assert pays(Earning("a", Entry("a", 1, None), 1, 1, tier, 1)) == words


def test_no_id_becomes_a_formula_in_a_spreadsheet() -> None:
    leaves = (PeriodLeaf("-1-2", 0, 0, 0), PeriodLeaf("a-1", 0, 0, 0))
    verified = Verified.of(CertifiedReport(reward_month.period(leaves)), TRUST)

    assert [row["node_id"] for row in csv.DictReader(io.StringIO(as_csv(verified)))] == [
        "'-1-2",
        "a-1",
    ]
    for begin in "=+-@\t\r":
        assert plain_cell(f"{begin}1") == f"'{begin}1"


# -- wrong usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--certified"], "requires `--month` or `--from`"),
        (["--payout", "1000", "--month", "2026-11"], "`--payout` and `--rule` require each other"),
        (["--rule", "rule.toml", "--month", "2026-11"], "require each other"),
        (
            ["--certificate", "november.json", "--month", "2026-11"],
            "names the period; omit `--month`",
        ),
        (["--certificate", "november.json", "--node", "a"], "about all nodes and needs no log"),
        (["--certified", "--month", "2026-11", "--operator", "a"], "omit `--operator`"),
        (["--certified", "--month", "2026-11", "--root", "0x"], "omit `--root`"),
        (["--certificate", "november.json", "--rule", "rule.toml", "--payout", "1e3"], "plain"),
        (
            ["--certificate", "november.json", "--rule", "rule.toml", "--payout", "0.0000001"],
            r"has more decimals than the rule allows \(6\)",
        ),
    ],
)
def test_wrong_usage(dragon: Run, options: list[str], message: str) -> None:
    code, out, err = dragon("report", *options)

    assert (code, out) == (2, "")
    assert re.search(message, err)


@pytest.mark.parametrize(
    ("file", "reason", "message"),
    [
        ("rule.toml", "wrong_file", "is not a period report"),
        ("committee.json", "wrong_file", "it is a committee file"),
        ("november.html", "wrong_file", "it is a certified report"),
    ],
)
def test_another_file_is_no_period_certificate(
    dragon: Run, file: str, reason: str, message: str
) -> None:
    code, out, err = dragon("report", "--certificate", file)

    assert (code, out) == (1, "")
    assert f"{reason}: {file}" in err
    assert message in err


def test_a_faulty_rule_is_refused_with_its_path(dragon: Run) -> None:
    Path("rule.toml").write_bytes(RULE.replace(b"99.9", b"99.9.9"))

    code, _, err = certified(dragon, *PAYING)

    assert code == 1
    assert "refused: invalid_rule: rule.toml: the rule is not TOML at line " in err
    assert "hint: See docs/agreements.md: it describes every member of a rule." in err


def test_a_rule_that_lacks_a_member_is_refused_with_the_page_that_describes_it(
    dragon: Run,
) -> None:
    Path("rule.toml").write_text("decimals = 6")

    code, _, err = certified(dragon, *PAYING)

    assert code == 1
    assert "refused: missing_member: rule.toml: " in err
    assert "hint: See docs/agreements.md: it describes every member of a rule." in err


def test_a_payout_that_does_not_cover_the_amounts_is_refused(dragon: Run) -> None:
    text = re.sub(rb"weight = \d", b"amount = 250.5", RULE)
    Path("rule.toml").write_bytes(text)

    assert "refused: payout_too_small: " in certified(dragon, *PAYING)[2]
    told = document(certified(dragon, *PAYING[:3], "1252.5", "--json"))
    assert told["payout"]["nodes"][0]["amount"] == "250.500000"


# -- `dragon verify report` ------------------------------------------------------------------------


def test_a_report_is_verified_offline(dragon: Run) -> None:
    code, out, err = dragon("verify", "report", "november.html")

    assert (code, err) == (0, "")
    assert out.startswith("verified: the report on 9 nodes in the 2592000 s from 2026-11-01 ")
    assert "Every figure of the file follows from the signed seconds." in out
    assert f"Rule: SHA-256 {SHA256}." in out
    assert "compare them with `--rule` and `--payout`" in out
    confirmed = dragon("verify", "report", "november.html", *PAYING)[1]
    assert "Rule and payout are those of `--rule` and `--payout`." in confirmed
    told = document(dragon("verify", "report", "november.html", "--json"))
    assert told["verdict"] == "verified"
    assert told["payout"]["rule_sha256"] == SHA256
    assert told["kind"] == "period"


def test_line_ends_that_mail_has_changed_are_no_alteration() -> None:
    assert verify_html(PAGE.replace("\n", "\r\n").encode(), TRUST)
    windows = reward_month.certified(Terms(decode_rule(RULE.replace(b"\n", b"\r\n")), 5))
    assert verify_html(as_html(windows).encode(), TRUST).payout == windows.payout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<td>142.857142</td>", "<td>142.857143</td>"),
        (">600 s</td>", ">0 s</td>"),
        ('class="up">99.970<', 'class="up">99.999<'),
        ("<dd>1000.000000 USDC</dd>", "<dd>2000.000000 USDC</dd>"),
        ("up_percent = 99.9\n", "up_percent = 90.0\n"),
        (SHA256, to_hex(bytes(32))),
        ("2026-11-01 00:00:00 UTC to", "2026-10-01 00:00:00 UTC to"),
        ("</style>", ".up { display: none }</style>"),
        ("</main>", "<p>relay-berlin gets 1000 USDC.</p></main>"),
        ("<main>", "<main><!-- -->"),
        ("</html>\n", "</html>\n\n"),
        ("</html>\n", ""),
        ('{"format":1', '{ "format":1'),
    ],
)
def test_an_altered_page_is_report_altered(old: str, new: str) -> None:
    altered = PAGE.replace(old, new)
    assert altered != PAGE

    with pytest.raises(errors.ReportAltered, match=r"line \d+ shows "):
        verify_html(altered.encode(), TRUST)


def test_the_refusal_names_both_figures(dragon: Run) -> None:
    Path("bad.html").write_text(PAGE.replace(">600 s</td>", ">0 s</td>"))

    code, out, err = dragon("verify", "report", "bad.html")

    assert (code, out) == (1, "")
    assert "refused: report_altered: bad.html: line " in err
    assert "shows 'relay-berlin 99.970 2591220 s " in err
    assert "0 s 0 s 180 s', but the certified data give " in err


def with_data(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A page made anew from data that were changed: everything that it shows follows from them."""
    data: dict[str, Any] = reward_month.paid().report.to_json()
    change(data)
    report = CertifiedReport.from_json(data)
    return as_html(Verified(report, TRUST.newest, report.payout())).encode()


def test_other_leaves_are_invalid_proof() -> None:
    def less_down(data: dict[str, Any]) -> None:
        data["leaves"][4]["seconds_down"] = 0

    with pytest.raises(errors.InvalidProof):
        verify_html(with_data(less_down), TRUST)
    with pytest.raises(errors.InvalidProof):
        verify_html(with_data(lambda data: data["leaves"].pop(0)), TRUST)


def test_another_signature_is_refused() -> None:
    other = reward_month.period(begin=reward_month.BEGIN + 1).certificate.to_json()

    def moved(data: dict[str, Any]) -> None:
        data["certificate"]["aggregated_signature"] = other["aggregated_signature"]

    with pytest.raises(errors.BadSignature):
        verify_html(with_data(moved), TRUST)


def test_another_committee_is_refused(dragon: Run) -> None:
    other = make_members(name="relays", genesis=1).committee
    Path("other.json").write_text(json.dumps(other.to_json()))

    code, _, err = dragon("verify", "report", "november.html", "--committee", "other.json")

    assert code == 1
    assert "refused: wrong_committee: " in err


def test_a_committee_that_has_handed_over_is_superseded() -> None:
    network = Network()
    period = reward_month.period()
    signed = network.epochs[0].certify(period.claim, reward_month.SIGNERS)
    report = CertifiedReport(PeriodReport.of(signed, period.leaves))
    page = as_html(Verified.of(report, Trust.of(network.epochs[0].committee))).encode()
    network.step()

    with pytest.raises(errors.Superseded):
        verify_html(page, Trust(network.lineage()))
    assert verify_html(page, Trust(network.lineage(), trust_from=0)).committee.epoch == 0


def test_other_terms_than_expected_are_other_terms(dragon: Run) -> None:
    generous = decode_rule(RULE.replace(b"pays_percent = 50", b"pays_percent = 90"))
    report = as_html(reward_month.certified(Terms(generous, reward_month.UNITS)))
    Path("generous.html").write_text(report)
    Path("plain.html").write_text(as_html(reward_month.certified()))

    assert dragon("verify", "report", "generous.html")[0] == 0
    for file, payout, message in (
        ("generous.html", "1000", "The report pays by the rule with SHA-256 0x"),
        ("november.html", "999", "The report pays 1000.000000; `--payout` is 999.000000."),
        ("plain.html", "1000", "The report has no payout."),
    ):
        code, out, err = dragon("verify", "report", file, *PAYING[:3], payout)
        assert (code, out) == (1, "")
        assert f"refused: other_terms: {message}" in err


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (b"", "wrong_file", "it is empty"),
        (b"<!doctype html>\n<html></html>", "wrong_file", "an HTML page without a certificate"),
        (canonical(TRUST.newest.to_json()), "wrong_file", "it is a committee file"),
        (PAGE.encode().replace(b'"format":1', b'"format":2'), "unknown_value", "format 2"),
        (PAGE.encode().replace(b'"leaves"', b'"leaf"'), "missing_member", "leaves"),
        (PAGE.encode().replace(b'{"format"', b'{"new":1,"format"'), "unknown_member", "new"),
        (PAGE.encode().replace(b'"units":"10', b'"units":"010'), "unknown_value", "units"),
        (PAGE.encode().replace(b'"units":"10', b'"units":"-10'), "unknown_value", "units"),
        (PAGE.encode().replace(b"decimals = 6", b"decimals = x"), "invalid_rule", "not TOML"),
        (PAGE.encode().replace(b"relay-*", b"relay-x*"), "unknown_node", "relay-x*"),
        (PAGE.encode() + b"\xff", "not_json", "not a text in UTF-8"),
        (PAGE.encode() + bytes(16 << 20), "too_large", "larger than"),
    ],
)
def test_a_malformed_file_is_refused(
    dragon: Run, content: bytes, reason: str, message: str
) -> None:
    Path("bad.html").write_bytes(content)

    code, out, err = dragon("verify", "report", "bad.html")

    assert (code, out) == (1, "")
    assert f"refused: {reason}: " in err
    assert message in err


def test_the_largest_report_is_verified() -> None:
    """8,192 nodes: a file of less than 8 MB."""
    leaves = tuple(PeriodLeaf(f"node-{at:027}", 10_000 + at, at, 180) for at in range(8192))
    period = reward_month.period(leaves)
    rule = decode_rule(
        RULE.replace(b"relay-osaka", f"node-{0:027}".encode()).replace(b"relay", b"node")
    )
    report = CertifiedReport(period, Terms(rule, 10**24))

    page = as_html(Verified(report, TRUST.newest, report.payout())).encode()

    assert len(page) < 8 << 20
    assert verify_html(page, TRUST).report == report
