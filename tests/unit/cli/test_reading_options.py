"""The words that describe readings: as options, in a file, and what a stream is created with."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import run_dragon
from dragon.protocol.streams.reading_text import decimal_text
from dragon.protocol.streams.readings import Readings
from dragon_cli.errors import WrongReadings
from dragon_cli.fleet import streams
from dragon_cli.fleet.layout import SOURCES, Home
from dragon_cli.reading_words import readings_member, scaled
from dragon_cli.render.readings import readings_lines, statement_text
from scripted_streams import Service

COLD = {"scale": 3, "unit": "°C", "low": "2", "high": "8"}
COLD_OPTIONS = ("--scale", 3, "--unit", "°C", "--low", 2, "--high", 8)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(streams, "HttpClient", lambda _session: made)
    return made


@pytest.fixture
def create(tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> Run:
    home = Home(tmp_path / "fleet")
    home.token(SOURCES).parent.mkdir(parents=True)
    home.token(SOURCES).write_text("token")

    def run(*options: object) -> tuple[int, str, str]:
        words = ["stream", "create", "cold", "--home", home.path, *options]
        return run_dragon(capsys, *words)

    return run


# Words


def test_bounds_become_integers_of_the_scale() -> None:
    member = readings_member({**COLD, "low": "-2.5", "sum": "mean:3:6.25"})

    assert member == {
        "form": "plain", "scale": 3, "rounding": "exact", "unit": "°C", "length": 16,
        "low": "-2500", "high": "8000", "fall": "10500", "rise": "10500",
        "sum": {"kind": "mean", "low": "3000", "high": "6250"}, "carry": False, "most": 63,
    }  # fmt: skip
    assert Readings.from_json(member).to_json() == member


@given(st.decimals(-(10**9), 10**9, places=6))
def test_a_number_scales_exactly_or_is_refused(number: Decimal) -> None:
    assert scaled("low", f"{number:f}", 6) == int(number * 10**6)
    if number % 1:
        with pytest.raises(WrongReadings, match="has more than 0 decimals"):
            scaled("low", f"{number:f}", 0)


@given(st.integers(-(10**20), 10**20), st.integers(0, 18))
def test_a_scaled_integer_is_shown_as_the_number_that_it_was(value: int, scale: int) -> None:
    assert scaled("low", decimal_text(value, scale), scale) == value


@pytest.mark.parametrize(
    "text", ["", "1e3", "+1", "1,5", "٣", "nan", " 1", "1.", ".5", "--1", "0x1"]
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(WrongReadings, match="not a decimal number"):
        scaled("low", text, 3)


def test_a_bound_on_steps_sets_carry() -> None:
    """Else a large step could be put between two windows."""
    falls = readings_member({**COLD, "fall": "0"})
    rises = readings_member({**COLD, "rise": "0.5"})

    assert (falls["fall"], falls["rise"], falls["carry"]) == ("0", "6000", True)
    assert (rises["fall"], rises["rise"], rises["carry"]) == ("6000", "500", True)


def test_a_bound_on_steps_that_the_range_implies_is_none() -> None:
    member = readings_member({**COLD, "rise": "100"})

    assert (member["rise"], member["carry"]) == ("6000", False)


def test_carry_is_an_option_of_its_own() -> None:
    assert readings_member({**COLD, "carry": True})["carry"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", {"kind": "none"}),
        ("total:-1:1.5", {"kind": "total", "low": "-1000", "high": "1500"}),
        ("mean:2:8", {"kind": "mean", "low": "2000", "high": "8000"}),
        ("stated:0.999", {"kind": "stated", "width": "999"}),
    ],
)
def test_sums_have_four_kinds(text: str, expected: dict[str, str]) -> None:
    assert readings_member({**COLD, "sum": text})["sum"] == expected


@pytest.mark.parametrize(
    "text", ["", "mean", "mean:1", "mean:1:2:3", "none:1", "stated", "median:1"]
)
def test_another_sum_is_refused(text: str) -> None:
    with pytest.raises(WrongReadings, match="sum"):
        readings_member({**COLD, "sum": text or ":"})


def test_a_pointer_means_json() -> None:
    member = readings_member({**COLD, "pointer": "/a/b"})

    assert (member["form"], member["pointer"], member["length"]) == ("json", "/a/b", 256)
    with pytest.raises(WrongReadings, match="needs `pointer`"):
        readings_member({**COLD, "form": "json"})
    with pytest.raises(WrongReadings, match="`form` is plain"):
        readings_member({**COLD, "form": "plain", "pointer": "/a"})


@pytest.mark.parametrize("missing", ["scale", "unit", "low", "high"])
def test_each_required_word_is_named(missing: str) -> None:
    words = {name: value for name, value in COLD.items() if name != missing}

    with pytest.raises(WrongReadings, match=f"`{missing}`"):
        readings_member(words)


# The command


def test_a_stream_is_created_with_what_the_options_say(create: Run, service: Service) -> None:
    code, out, _ = create(*COLD_OPTIONS, "--rise", 0.5, "--sum", "mean:3:6", "--most", 25)

    assert code == 0
    assert service.settings is not None
    assert service.settings["readings"]["rise"] == "500"
    assert (service.settings["mode"], service.settings["window_chunks"]) == ("message", None)
    text = " ".join(out.split())
    assert "created: stream cold 0x" in text
    assert "every committed reading is from 2 to 8 °C" in text
    assert "every committed reading is at most 0.5 °C above the one before" in text
    assert "from each window to the next (`carry` is set)" in text
    assert "the mean of its committed readings is from 3 to 6 °C" in text
    assert "dragon stream --csv FILE --column COLUMN --stream cold" in text


def test_windows_with_a_bound_on_their_total_have_one_size(create: Run, service: Service) -> None:
    assert create(*COLD_OPTIONS, "--sum", "total:2:300", "--most", 25)[0] == 0
    assert service.settings is not None
    assert service.settings["window_chunks"] == 25


def test_a_scale_of_zero_is_a_scale(create: Run, service: Service) -> None:
    code, out, err = create("--scale", 0, "--unit", "W", "--low", 0, "--high", 5)

    assert code == 0, err
    assert service.settings is not None
    assert service.settings["readings"]["scale"] == 0
    assert "every committed reading is from 0 to 5 W" in " ".join(out.split())


def test_a_scale_of_zero_is_not_ignored_beside_a_file(create: Run, tmp_path: Path) -> None:
    file = tmp_path / "readings.toml"
    file.write_text(WORDS)
    code, _, err = create("--readings", file, "--scale", 0)

    assert code == 2
    assert "omit `--scale`" in err


def test_a_stream_is_found_again_by_the_same_command(create: Run) -> None:
    create(*COLD_OPTIONS)
    code, out, _ = create(*COLD_OPTIONS, "--json")
    found = json.loads(out)

    assert (code, found["created"], found["readings"]["low"]) == (0, False, "2000")
    code, _, err = create(*COLD_OPTIONS[:-1], 9)
    assert code == 1
    assert "other settings" in err


def test_a_stream_without_readings_is_created_too(create: Run, service: Service) -> None:
    code, out, _ = create("--mode", "message", "--window-chunks", 31)

    assert code == 0
    assert service.settings is not None
    assert "readings" not in service.settings
    assert (service.settings["mode"], service.settings["window_chunks"]) == ("message", 31)
    assert "dragon stream FILE --stream cold" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--low", 2), "Readings need `scale`, `unit` and `high`"),
        (("--low", 2), "hint: The words of readings are in docs/readings.md."),
        ((*COLD_OPTIONS, "--rise", "0.0005"), "more than 3 decimals"),
        ((*COLD_OPTIONS[:-1], 1), "`low` (2) must not exceed `high` (1)"),
        ((*COLD_OPTIONS, "--length", 3), "length must be between"),
        ((*COLD_OPTIONS, "--sum", "mean:1:9"), "mean's low"),
        ((*COLD_OPTIONS[:2], "--unit", "", *COLD_OPTIONS[4:]), "unit"),
        ((*COLD_OPTIONS, "--window-chunks", 64), "`--window-chunks` 64 does not fit"),
        ((*COLD_OPTIONS, "--carry", "--window-chunks", 63), "with the carried one"),
        ((*COLD_OPTIONS, "--mode", "bytes"), "omit `--mode bytes`"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_created(
    create: Run, service: Service, options: tuple[object, ...], said: str
) -> None:
    code, _, err = create(*options)

    assert code == 2
    assert said in " ".join(err.split())
    assert service.settings is None


# Files


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cold.toml"
    path.write_text(text)
    return path


WORDS = 'scale = 3\nunit = "°C"\nlow = 2\nhigh = 8\n'


def test_a_file_has_the_same_words(create: Run, service: Service, tmp_path: Path) -> None:
    more = 'fall = 0.1\nrise = "0.5"\nsum = "stated:0"\nmost = 25\ncarry = true\n'

    assert create("--readings", written(tmp_path, WORDS + more))[0] == 0
    assert service.settings is not None
    assert service.settings["readings"] == readings_member(
        {**COLD, "fall": "0.1", "rise": "0.5", "sum": "stated:0", "most": 25}
    )


def test_a_number_of_a_file_is_never_rounded(create: Run, tmp_path: Path) -> None:
    """0.1 + 2^-60 and 0.1 are the same in binary floating point."""
    code, _, err = create(
        "--readings", written(tmp_path, WORDS + "rise = 0.1000000000000000008673617\n")
    )

    assert code == 2
    assert "decimal" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("low = ", "not TOML"),
        (WORDS + "maximum = 9\n", "the word `maximum` is unknown"),
        (WORDS + "rise = true\n", "`rise` must be a number"),
        (WORDS + "most = 2.5\n", "`most` must be an integer"),
        (WORDS + "carry = 1\n", "`carry` must be true or false"),
        (WORDS + "sum = 3\n", "`sum` must be a text"),
        (WORDS + "most = 5000\n", "most must be between"),
        ("scale = 19\n" + WORDS.partition("\n")[2], "scale must be between 0 and 18"),
    ],
)
def test_a_wrong_file_is_refused_by_name(create: Run, tmp_path: Path, text: str, said: str) -> None:
    code, _, err = create("--readings", written(tmp_path, text))

    assert code == 2
    assert said in " ".join(err.split())
    assert "cold.toml" in err


def test_a_file_takes_the_place_of_the_options(create: Run, tmp_path: Path) -> None:
    code, _, err = create("--readings", written(tmp_path, WORDS), "--high", 9)

    assert code == 2
    assert "omit `--high`" in err


# Words for people


def lines(**words: Any) -> str:
    return "\n".join(readings_lines(Readings.from_json(readings_member({**COLD, **words}))))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"fall": "0"}, "no committed reading falls below the one before"),
        ({"rise": "0"}, "no committed reading rises above the one before"),
        ({"fall": "-1"}, "at least 1 °C above the one before"),
        ({"rise": "-1"}, "at least 1 °C below the one before"),
        ({"sum": "total:0:500"}, "no statement about a period of time"),
        ({"sum": "stated:0"}, "exactly what its header states"),
        ({"sum": "stated:0.9"}, "within an interval of 0.9 °C what its header states"),
        ({"rounding": "half-even"}, "rounded to 3 decimals"),
        ({"pointer": "/temp"}, "at /temp of its JSON"),
    ],
)
def test_each_part_of_a_claim_is_said(words: dict[str, str], said: str) -> None:
    assert said in lines(**words)


def test_what_is_not_claimed_is_not_said() -> None:
    assert "one before" not in lines()
    assert "sum" not in lines()
    assert "next" not in lines()


def test_a_statement_has_two_names() -> None:
    assert [statement_text(each) for each in ("readings", "blocks", "none", None)] == [
        "readings", "no claim", "no claim", "",
    ]  # fmt: skip
