"""The parts of views that need no fleet: sentences, participation, badges, the public page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from committees import make_members
from dragon.errors import SettingsError
from dragon_explorer.history.spans import Sums
from dragon_explorer.live.board import Part
from dragon_explorer.public_page import Note, PublicFile, PublicNode, PublicPage, is_listed
from dragon_explorer.settings import Settings
from dragon_explorer.toml_files import MAX_FILE_BYTES
from dragon_explorer.views.committee import participation
from dragon_explorer.views.feed import rfc3339
from dragon_explorer.views.health import Agreement, OperatorState, is_fresh, sentence
from dragon_explorer.views.log import operator_entry
from dragon_explorer.views.public import duration

COMMITTEE = make_members(4, targets=2).committee


@pytest.mark.parametrize(
    ("agreeing", "expected"),
    [
        (4, "4 of 4 operators agree. Certification survives one more fault."),
        (3, "3 of 4 operators agree. One more fault stops certification."),
        (2, "2 of 4 operators agree. Certification needs 3: nothing is certified now."),
    ],
)
def test_the_health_of_the_quorum_is_a_sentence(agreeing: int, expected: str) -> None:
    assert sentence(4, agreeing, 3) == expected


def test_more_faults_are_counted() -> None:
    assert sentence(10, 10, 7).endswith("Certification survives 3 more faults.")


@pytest.mark.parametrize(
    ("at", "error", "expected"),
    [
        (None, "", False),
        (80.0, "", True),
        (79.0, "", False),
        (90.0, "no answer in time", True),
        (89.0, "no answer in time", False),
    ],
)
def test_an_answer_is_current_until_a_request_fails(
    at: float | None, error: str, expected: bool
) -> None:
    assert is_fresh(Part(None, at, error), 100) is expected


def test_participation_separates_refusals_from_silence() -> None:
    counts = {"signed": 6, "blind": 1, "timeout": 2, "status_code": 1}

    found = participation("1h", {name: Sums(count) for name, count in counts.items()})

    assert (found.expected, found.signed, found.percent) == (10, 6, 60.0)
    assert found.refused == {"blind": 1}
    assert found.silent == {"timeout": 2, "status_code": 1}
    assert participation("1h", {}).percent is None


@pytest.mark.parametrize(
    ("agreement", "size", "expected"),
    [
        ("equal", 8, "equal"),
        ("equal", 7, "missing"),
        ("different", 3, "different"),
        ("ahead", 99, "ahead"),
        ("silent", None, "silent"),
    ],
)
def test_an_entry_is_equal_if_the_log_is_and_reaches_it(
    agreement: Agreement, size: int | None, expected: str
) -> None:
    state = OperatorState("operator_1", "", agreement, True, (), size, None, 5, "")

    assert operator_entry(state, position=7).entry == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "less than a second"),
        (1, "1 second"),
        (125, "2 minutes 5 seconds"),
        (3600, "1 hour"),
        (93_784, "1 day 2 hours"),
    ],
)
def test_durations_are_words(seconds: int, expected: str) -> None:
    assert duration(seconds) == expected


def test_times_of_the_feed_are_those_of_rfc_3339() -> None:
    assert rfc3339(1_732_522_000) == "2024-11-25T08:06:40Z"


# The public page


def load(tmp_path: Path, text: str) -> PublicPage:
    path = tmp_path / "public.toml"
    path.write_text(text)
    return PublicPage.load(path, COMMITTEE)


def test_the_public_page_is_configured_by_a_file(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        'title = "Example"\ntext = "Hello."\nhosts = ["Status.Example.org"]\n'
        '[[nodes]]\nid = "target_2"\nname = "Website"\n[[nodes]]\nid = "operator_1"\n',
    )

    assert found.nodes == (
        PublicNode("target_2", "Website"),
        PublicNode("operator_1", "operator_1"),
    )
    assert (found.title, found.text) == ("Example", "Hello.")
    assert found.hosts == {"status.example.org"}


def test_nodes_of_a_group_are_neighbours(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        '[[nodes]]\nid = "target_1"\ngroup = "Shop"\n'
        '[[nodes]]\nid = "operator_1"\ngroup = "Machines"\n'
        '[[nodes]]\nid = "target_2"\ngroup = "Shop"\n',
    )

    assert [(each.id, each.group) for each in found.nodes] == [
        ("target_1", "Shop"),
        ("target_2", "Shop"),
        ("operator_1", "Machines"),
    ]


NOTE = (
    '[[notes]]\ntitle = "New database"\ntext = "The website may be slow."\n'
    "begin = 2026-12-06T08:00:00Z\nend = 2026-12-06T13:00:00+01:00\nnodes = ['target_1']\n"
)


def test_the_owner_of_the_page_writes_notes(tmp_path: Path) -> None:
    [note] = load(tmp_path, NOTE).notes

    assert (note.title, note.text) == ("New database", "The website may be slow.")
    assert note.begin == 1_796_544_000
    assert note.end == note.begin + 4 * 3600
    assert note.nodes == ("target_1",)
    assert load(tmp_path, "[[notes]]\ntitle = 'x'").notes == (Note("x"),)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    page = load(tmp_path, NOTE)
    path = tmp_path / "public.toml"
    file = PublicFile(page, COMMITTEE, path)
    file.step()
    assert (file.page, file.version) == (page, 0)

    path.write_text("title = 'Another'")
    file.step()
    assert (file.page.title, file.page.notes, file.version) == ("Another", (), 1)

    path.write_text("titel = 'Wrong'")
    file.step()
    path.unlink()
    file.step()
    assert (file.page.title, file.version) == ("Another", 1)

    path.write_text("title = 'Right'")
    file.step()
    assert (file.page.title, file.version) == ("Right", 2)


def test_a_page_without_a_file_stays() -> None:
    file = PublicFile(PublicPage("x"), COMMITTEE)
    file.step()
    assert file.page.title == "x"


def test_without_nodes_the_page_shows_all_targets(tmp_path: Path) -> None:
    assert [each.id for each in load(tmp_path, "").nodes] == ["target_1", "target_2"]
    assert load(tmp_path, "").title == "test"
    only_operators = make_members(4).committee
    assert len(PublicPage.of_all(only_operators).nodes) == 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title = 7", "`title`"),
        (f'title = "{"x" * 81}"', "80 characters"),
        ("tilte = 'x'", "'tilte' is unknown"),
        ("title", "not TOML"),
        ("hosts = 'x'", "list of host names"),
        (f"hosts = {['x'] * 17}", "more than 16"),
        ("nodes = ['target_1']", r"\[\[nodes\]\]"),
        ("[[nodes]]\nid = 'nobody'", "no node 'nobody'"),
        ("[[nodes]]\nid = 'target_1'\nnmae = ''", "'nmae' of a node is unknown"),
        ("[[nodes]]\nid = 'target_1'\ngroup = 7", "`group`"),
        (2 * "[[nodes]]\nid = 'target_1'\n", "listed twice"),
        ("notes = 'x'", r"\[\[notes\]\]"),
        ("[[notes]]\ntext = 'x'", "no `title`"),
        ("[[notes]]\ntitle = 'x'\ntxet = 'x'", "'txet' of a note is unknown"),
        ("[[notes]]\ntitle = 'x'\nbegin = '2026'", "with a time zone"),
        ("[[notes]]\ntitle = 'x'\nbegin = 2026-12-06T08:00:00", "with a time zone"),
        ("[[notes]]\ntitle = 'x'\nend = 2026-12-06", "with a time zone"),
        (NOTE.replace("+01:00", "+09:00"), "later than its `begin`"),
        (NOTE.replace("target_1", "operator_1"), "shows no node 'operator_1'"),
        ("[[notes]]\ntitle = 'x'\nnodes = 'x'", "list of node ids"),
        (17 * "[[notes]]\ntitle = 'x'\n", "more than 16 notes"),
        ("#" * (MAX_FILE_BYTES + 1), "more than"),
        ("x = " + "[" * 20_000, "nested too deeply"),
        ("x = " + "9" * 5000, "too long"),
        *((f"hosts = ['{host}']", "without a port") for host in ("a:80", "https://a", "a.", "")),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        load(tmp_path, text)

    assert "public.toml" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        PublicPage.load(tmp_path / "none.toml", COMMITTEE)


# Settings


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    file = tmp_path / "committee.json"
    file.write_text(json.dumps(COMMITTEE.to_json()))
    return {
        "DRAGON_COMMITTEE": str(file),
        "EXPLORER_DATABASE": str(tmp_path / "explorer.db"),
        "SEQUENCER_NODES_FILE": str(tmp_path / "nodes.json"),
        **more,
    }


def test_settings_have_defaults(tmp_path: Path) -> None:
    found = Settings.from_environ(environ(tmp_path))

    assert (found.port, found.threads, found.stream_urls) == (5400, 16, ())
    assert found.public is None  # the page follows the committee


def test_stream_services_are_listed(tmp_path: Path) -> None:
    urls = "http://127.0.0.1:5300/, https://streams.example:443"

    found = Settings.from_environ(environ(tmp_path, EXPLORER_STREAM_URLS=urls))

    assert found.stream_urls == ("http://127.0.0.1:5300", "https://streams.example:443")


@pytest.mark.parametrize(
    "urls",
    [
        *("localhost:5300", "http://a/path", "ftp://a"),
        ",".join(f"http://a{number}" for number in range(17)),
    ],
)
def test_wrong_urls_are_refused(tmp_path: Path, urls: str) -> None:
    with pytest.raises(SettingsError, match="EXPLORER_STREAM_URLS"):
        Settings.from_environ(environ(tmp_path, EXPLORER_STREAM_URLS=urls))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("status.example.org", True),
        ("STATUS.example.org:443", True),
        ("explorer.example.org", False),
        ("status.example.org.", True),
        ("status.example.org.:443", True),
        ("status.example.org:", True),
        ("other.example.org.", False),
        ("[::1]:5400", False),
        *((wrong, True) for wrong in ("", "a b", 'a"><script>', "a:b", "a/b")),  # least is shown
    ],
)
def test_the_public_page_knows_its_hosts(host: str, expected: bool) -> None:
    assert is_listed(host, frozenset({"status.example.org"})) is expected
    assert not is_listed(host, frozenset())
