"""`dragon stream --csv`: a column of a CSV file becomes the messages of a stream."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import run_dragon
from dragon.net.stream_client import StreamClient
from dragon.protocol.streams.closing import decide
from dragon_cli.errors import UnusableRow, WrongColumn
from dragon_cli.fleet.csv_rows import CsvRows
from dragon_cli.fleet.file_upload import LocalFile
from dragon_cli.fleet.layout import Home
from dragon_cli.reading_options import decoded
from scripted_streams import STREAM, Service, serve

NEW = ("--scale", 3, "--unit", "°C", "--low", 2, "--high", 8)
COLUMN = ("--csv", "--column", "temp")

ROOT = Path(__file__).parents[3]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("dragon_cli.commands.stream.interrupt_on_signals", lambda: None)
    return serve(Service(), Home(tmp_path / "fleet"), monkeypatch)


@pytest.fixture
def run(tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(file: object, *options: object, stream: str = "cold") -> tuple[int, str, str]:
        fixed = ("--stream", stream, "--home", tmp_path / "fleet")
        code, out, err = run_dragon(capsys, "stream", file, *fixed, *options)
        return code, " ".join(out.split()), " ".join(err.split())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, "time,temp\n1,4.25\n2,4.5\n3,-1\n4,\n5,n/a\n")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cold.csv"
    path.write_bytes(text.encode())
    return path


def padded(*texts: str) -> list[bytes]:
    return [text.encode().ljust(16) for text in texts]


# Messages


def rows(path: Path, column: str = "temp", **options: Any) -> list[bytes]:
    with LocalFile.open(path) as local:
        return list(CsvRows(local, column, 16, **options).messages())


def test_a_message_is_the_text_of_the_cell_and_spaces(file: Path) -> None:
    assert rows(file) == padded("4.25", "4.5", "-1", "", "n/a")


def test_anyone_can_make_the_same_message(file: Path) -> None:
    printed = subprocess.run(["printf", "%-16s", "4.25"], capture_output=True, check=True).stdout

    assert rows(file)[0] == printed


@given(st.lists(st.text(max_size=4), min_size=1), st.sampled_from(",;\t"))
def test_every_text_becomes_the_message_of_its_row(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], delimiter: str
) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows([("x", text) for text in texts])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    try:
        path.write_bytes(written.getvalue().encode())
    except UnicodeEncodeError:  # half of a surrogate pair has no bytes
        return

    found = rows(path, "2", delimiter=delimiter, has_header=False)

    assert found == padded(*(text.strip(" \t") for text in texts))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("\ufefftemp\r\n4.25\r\n\r\n", {}),
        ('a,"temp"\n1,"4.25"\n', {}),
        ("a, temp \n1,\t4.25 \n", {}),
        ("a;temp\n1;4.25\n", {"delimiter": ";"}),
        ("a,b\n1,4.25\n", {"column": "2"}),
        ("1,4.25\n", {"column": "2", "has_header": False}),
        ("2,temp\n1,4.25\n", {"column": "temp"}),
        ("x,1\n7,4.25\n", {"column": "1"}),
    ],
    ids=[
        "excel",
        "quoted",
        "spaces",
        "semicolon",
        "number",
        "no header",
        "name",
        "a name is first",
    ],
)
def test_usual_files_are_read(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    path = written(tmp_path, text)
    column = options.pop("column", "temp")

    assert rows(path, column, **options) == padded("4.25")


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("time,celsius\n", "temp", "no column 'temp'; its columns: 'time', 'celsius'"),
        ("", "temp", "its columns: none"),
        ("a,b\n", "3", "no column '3'"),
        ("a,b\n", "0", "no column '0'"),
        ("temp,temp\n", "temp", "2 columns 'temp'"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, text: str, column: str, said: str) -> None:
    with pytest.raises(WrongColumn, match=said):
        rows(written(tmp_path, text), column)


def test_without_a_header_a_column_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(WrongColumn, match="a number from 1, not 'temp'"):
        rows(written(tmp_path, "1,2\n"), has_header=False)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a,temp\n1,2\n3\n", "Line 3 has 1 columns, and none for 'temp'"),
        (b"temp\n1\n12345678901234567\n", "Line 3: '12345678901234567' has 17 bytes"),
        (b"temp\n1\n\xff\n", "Line 3 of the file is not UTF-8"),
        (b'temp\n1\n"2\n', "Line 3 of the file is not CSV"),
        (b"temp\n" + b"1" * (1 << 21), "Line 2 of the file has more than 1 MiB"),
    ],
)
def test_an_unusable_row_is_named_by_its_line(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "cold.csv"
    path.write_bytes(raw)

    with pytest.raises(UnusableRow, match=said):
        rows(path)


# Uploads


def test_a_new_stream_is_created_and_filled(run: Run, service: Service, file: Path) -> None:
    code, out, _ = run(file, *COLUMN, *NEW)

    assert code == 0
    assert service.settings is not None
    assert service.settings["readings"]["low"] == "2000"
    assert service.chunks == padded("4.25", "4.5", "-1", "", "n/a")
    assert f"certified: 5 rows, chunks 0 to 4 of stream {STREAM}" in out
    assert "1 row with a reading out of bounds: line 4 of the file." in out
    assert "2 rows without a reading, sent as data: lines 5, 6 of the file." in out
    assert "bytes" not in out


def test_the_result_for_programs_has_rows_and_no_bytes(run: Run, file: Path) -> None:
    found = json.loads(run(file, *COLUMN, *NEW, "--json")[1])

    assert (found["rows"], found["chunks"]) == (5, 5)
    assert "bytes" not in found


def test_an_existing_stream_keeps_its_readings(run: Run, service: Service, file: Path) -> None:
    run(file, *COLUMN, *NEW, "--length", 20, "--most", 9)
    before, service.chunks = service.settings, []

    assert run(file, *COLUMN)[0] == 0
    assert service.settings == before
    assert {len(chunk) for chunk in service.chunks} == {20}


def test_windows_without_the_claim_are_named(run: Run, service: Service, file: Path) -> None:
    statements = ("readings", "blocks", "readings")
    service.windows = [
        {"number": n, "first": 2 * n, "count": 2, "statement": statement}
        for n, statement in enumerate(statements)
    ]

    assert "1 of 3 windows carries no claim: window 1." in run(file, *COLUMN, *NEW)[1]
    service.windows[1]["statement"] = "readings"
    assert "All 3 windows claim" in run(file, *COLUMN)[1]


def test_an_interrupted_upload_continues_with_the_next_row(
    run: Run, service: Service, file: Path
) -> None:
    service.interrupt_after = 2
    code, _, err = run(file, *COLUMN, *NEW)
    assert (code, len(service.chunks)) == (130, 2)
    assert "The stream has at least 2 of 5 rows of" in err
    assert "--csv --column temp" in err

    code, out, _ = run(file, *COLUMN, *NEW)

    assert code == 0
    assert service.chunks == padded("4.25", "4.5", "-1", "", "n/a")
    assert "Resuming at row 3 of 5." in out


def test_a_complete_upload_is_not_repeated(run: Run, service: Service, file: Path) -> None:
    run(file, *COLUMN, *NEW)
    code, out, _ = run(file, *COLUMN)

    assert (code, len(service.chunks)) == (0, 5)
    assert "complete already: 5 rows" in out


def test_new_rows_of_a_file_that_has_grown_are_sent(run: Run, service: Service, file: Path) -> None:
    run(file, *COLUMN, *NEW)
    file.write_text(file.read_text() + "6,5.5\n")
    code, out, _ = run(file, *COLUMN)

    assert code == 0
    assert service.chunks == padded("4.25", "4.5", "-1", "", "n/a", "5.5")
    assert "6 rows, chunks 0 to 5" in out


def test_a_changed_row_is_refused(run: Run, service: Service, file: Path) -> None:
    run(file, *COLUMN, *NEW)
    file.write_text(file.read_text().replace("4.5", "4.6"))
    code, _, err = run(file, *COLUMN)

    assert (code, len(service.chunks)) == (1, 5)
    assert "row 2 is not message 1 of the stream" in err


def test_another_column_is_refused_without_append(run: Run, service: Service, file: Path) -> None:
    service.settings = None
    run(file, *COLUMN, *NEW)
    code, _, err = run(file, "--csv", "--column", "time")
    assert (code, len(service.chunks)) == (1, 5)
    assert "row 1 is not message 0" in err

    assert run(file, "--csv", "--column", "time", "--append")[0] == 0
    assert service.chunks[5:] == padded("1", "2", "3", "4", "5")


def test_data_of_somebody_else_is_refused(run: Run, service: Service, file: Path) -> None:
    run(file, *COLUMN, *NEW, "--state", file.parent / "one")
    service.chunks[0] = b"other"
    code, _, err = run(file, *COLUMN, "--state", file.parent / "two")

    assert code == 1
    assert "The stream has 5 messages already" in err.replace(f" {STREAM}", "")
    assert "--append" in err


def test_rows_from_a_pipe_are_sent_once(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipe() -> None:
        raw = io.BytesIO(b"temp\n4.25\n4.5\n")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw))

    pipe()
    assert run("-", *COLUMN, *NEW)[0] == 0
    assert service.chunks == padded("4.25", "4.5")
    pipe()
    code, _, err = run("-", *COLUMN)
    assert (code, len(service.chunks)) == (1, 2)
    assert "a pipe cannot be compared" in err


def test_a_row_of_another_client_in_between_ends_the_upload(
    run: Run, service: Service, file: Path
) -> None:
    service.interrupt_after = 2
    run(file, *COLUMN, *NEW)
    real = service.ingest

    def late(stream: str) -> Any:
        service.chunks.append(b"other")
        return real(stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamClient, "ingest", lambda _client, stream: late(stream))
        code, _, err = run(file, *COLUMN)

    assert code == 1
    assert "another client may have written to it" in err


# Refusals, before anything is created or sent


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--csv", *NEW), "Say with `--column`"),
        (("--column", "temp"), "`--column` is for CSV files: add `--csv`"),
        (("--no-header",), "`--no-header` is for CSV files"),
        (NEW, "A file without `--csv` has no readings"),
        ((*COLUMN, *NEW, "--delimiter", ";;"), "`--delimiter` is one character"),
        (COLUMN, "The service has no stream cold, and a new one needs its readings"),
        (("--csv", "--column", "celsius", *NEW), "The file has no column 'celsius'"),
        ((*COLUMN, *NEW, "--pointer", "/t"), "The messages of the stream are JSON"),
    ],
)
def test_wrong_options_create_no_stream(
    run: Run, service: Service, file: Path, options: tuple[object, ...], said: str
) -> None:
    code, _, err = run(file, *options)

    assert code == 2
    assert said in err
    assert service.settings is None


def test_an_unusable_row_leaves_all_rows_unsent(run: Run, service: Service, tmp_path: Path) -> None:
    code, _, err = run(written(tmp_path, "temp\n1\n12345678901234567\n"), *COLUMN, *NEW)

    assert (code, service.settings, service.chunks) == (1, None, [])
    assert "Line 3" in err
    assert "--length" in err


def test_other_readings_than_the_stream_has_are_refused(
    run: Run, service: Service, file: Path
) -> None:
    run(file, *COLUMN, *NEW)
    code, _, err = run(file, *COLUMN, *NEW[:-1], 9)

    assert code == 2
    assert "The stream cold has other readings, and they never change" in err


def test_a_stream_without_readings_takes_no_rows(run: Run, service: Service, file: Path) -> None:
    run(file)
    code, _, err = run(file, *COLUMN)

    assert code == 2
    assert "The stream cold has no readings" in err


def test_a_stream_with_readings_takes_no_parts_of_a_file(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    run(file, *COLUMN, *NEW)
    token = tmp_path / "token"
    token.write_text("t")
    for stream, options in (("cold", ()), (STREAM, ("--token-file", token))):
        code, _, err = run(file, *options, stream=stream)

        assert code == 2
        assert "The stream cold has readings" in err
        assert "--csv --column NAME" in err
    assert len(service.chunks) == 5


def test_a_stream_is_named_by_its_id_too(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    run(file, *COLUMN, *NEW, "--no-wait")
    token = tmp_path / "token"
    token.write_text("t")

    code, out, _ = run(file, *COLUMN, "--token-file", token, stream=STREAM)

    assert (code, len(service.chunks)) == (0, 5)
    assert "complete already" in out


# The example of the README


def test_the_example_has_one_day_without_the_claim() -> None:
    readings = decoded(
        {
            "scale": 2, "unit": "°C", "low": "2", "high": "8", "fall": "0.5", "rise": "0.5",
            "sum": "mean:3:6", "most": 25,
        }
    )  # fmt: skip
    messages = rows(ROOT / "examples" / "cold-chain.csv", "celsius")
    values = [readings.committed_value(message) for message in messages]
    days = [values[first : first + 24] for first in range(0, 72, 24)]
    last = [None, days[0][-1], days[1][-1]]

    claims = [str(decide(readings, *day).claim) for day in zip(days, last, strict=True)]

    assert len(values) == 72
    assert claims == ["readings", "none", "readings"]
