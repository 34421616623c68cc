"""`dragon stream`: resumes what was interrupted, and never mixes or repeats data."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import run_dragon
from dragon_cli.errors import UnusableFile
from dragon_cli.fleet import uploads
from dragon_cli.fleet.layout import Home
from dragon_cli.fleet.uploads import UploadRecord, UploadRecords, state_folder
from dragon_cli.render import outages
from scripted_streams import STREAM, Service, serve

CHUNK = 65_536


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("dragon_cli.commands.stream.interrupt_on_signals", lambda: None)
    return serve(Service(), Home(tmp_path / "fleet"), monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five and a half chunks."""
    path = tmp_path / "readings.bin"
    path.write_bytes(bytes(range(256)) * (22 * CHUNK // 4 // 256))
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(file: object, *options: object) -> tuple[int, str, str]:
        fixed = ("--stream", "readings", "--home", tmp_path / "fleet")
        return run_dragon(capsys, "stream", file, *fixed, *options)

    return run


def interrupted(run: Run, service: Service, file: Path, *options: object) -> str:
    """Upload two chunks and press Ctrl-C; return what stderr says."""
    service.interrupt_after = 2
    code, _, err = run(file, *options)
    assert code == 130
    assert len(service.chunks) == 2
    return err


def records(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "datadragon").glob("*"))


# -- interrupted uploads ---------------------------------------------------------------------------


def test_an_interrupted_upload_is_continued_by_the_same_command(
    run: Run, service: Service, file: Path
) -> None:
    err = interrupted(run, service, file)

    assert f"The stream has at least {2 * CHUNK} of {file.stat().st_size} bytes of {file}." in err
    command = re.search(r"^  dragon stream (.*)$", err, re.MULTILINE)
    assert command
    assert command[1].startswith(f"{file} --stream readings --home ")

    code, out, _ = run(file)

    assert code == 0
    assert service.data == file.read_bytes()
    assert f"Resuming at byte {2 * CHUNK} of {file.stat().st_size}." in out
    assert f"certified: {file.stat().st_size} bytes, chunks 0 to 5 of stream {STREAM}" in out


@pytest.mark.parametrize("where", ["receipts", "state", "lost"])
def test_the_place_of_the_progress_does_not_matter(
    run: Run, service: Service, file: Path, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "folder"
    options = {"receipts": ("--receipts", folder), "state": ("--state", folder), "lost": ()}[where]
    interrupted(run, service, file, *options)
    if where == "lost":
        records(tmp_path)[0].unlink()
    else:
        assert records(tmp_path) == []
        assert list(folder.iterdir())

    assert run(file, *options)[0] == 0

    assert service.data == file.read_bytes()


def test_progress_is_private_and_small(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    interrupted(run, service, file)

    (record,) = records(tmp_path)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700
    assert record.stat().st_size < 1000


@pytest.mark.parametrize("append", [(), ("--append",)], ids=["", "append"])
def test_a_complete_upload_is_not_repeated(
    run: Run, service: Service, file: Path, append: tuple[str, ...]
) -> None:
    service.chunks = [b"earlier"] if append else []
    assert run(file, *append)[0] == 0
    before = service.data

    code, out, _ = run(file)

    assert code == 0
    assert service.data == before
    assert f"complete already: {file.stat().st_size} bytes, chunks " in out
    assert "Nothing was uploaded." in out


def test_a_complete_upload_names_its_receipts(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    code, out, err = run(file, "--receipts", tmp_path / "receipts")
    assert (code, err) == (0, "")
    assert f"6 receipts in {tmp_path / 'receipts'}/" in out
    for written in (tmp_path / "receipts").glob("chunk-*"):
        written.unlink()

    _, again, _ = run(file, "--receipts", tmp_path / "receipts")

    assert "complete already" in again
    assert f"6 receipts in {tmp_path / 'receipts'}/" in again


def test_a_complete_upload_without_a_record_is_recognized(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    run(file)
    records(tmp_path)[0].unlink()

    code, out, _ = run(file)

    assert (code, "complete already" in out) == (0, True)
    assert service.data == file.read_bytes()


def test_appending_is_an_option(run: Run, service: Service, file: Path) -> None:
    run(file)
    service.interrupt_after = 1
    code, _, err = run(file, "--append")
    assert code == 130
    assert "--append" not in err  # the command that continues must not append again

    assert run(file)[0] == 0

    assert service.data == 2 * file.read_bytes()


def test_an_upload_stays_complete_after_other_data_was_appended(
    run: Run, service: Service, file: Path
) -> None:
    run(file)
    service.chunks.append(b"more")

    code, out, _ = run(file)

    assert code == 0
    assert "chunks 0 to 5" in out


# -- changed files ---------------------------------------------------------------------------------


def change(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def refused(result: tuple[int, str, str], reason: str) -> str:
    code, _, err = result
    assert code == 1
    *_, sentence, hint = err.splitlines()
    assert sentence.startswith(f"dragon: refused: {reason}: ")
    assert hint.startswith("hint: ")
    return sentence


@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_file_that_changed_after_an_interrupt_is_refused(
    run: Run, service: Service, file: Path, keeps_time: bool
) -> None:
    """The stream must not get a mixture of the old and the new file."""
    interrupted(run, service, file)
    before = file.stat()
    change(file, CHUNK + 5)
    times = (before.st_atime_ns, before.st_mtime_ns + (0 if keeps_time else 10**9))
    os.utime(file, ns=times)

    sentence = refused(run(file), "file_changed")

    assert len(service.chunks) == 2
    assert "changed since" in sentence
    assert f"chunk 1 of the stream differs from the file at byte {CHUNK}" in sentence


def test_a_file_of_another_size_is_refused(run: Run, service: Service, file: Path) -> None:
    interrupted(run, service, file)
    file.write_bytes(file.read_bytes() + b"!")

    sentence = refused(run(file), "file_changed")

    assert "The file has changed since its upload began" in sentence
    assert len(service.chunks) == 2


def test_a_file_that_changed_after_its_upload_is_refused(
    run: Run, service: Service, file: Path
) -> None:
    run(file)
    before = service.data
    change(file, 0)

    refused(run(file), "file_changed")

    assert service.data == before


def test_a_change_of_the_rest_is_no_mixture(run: Run, service: Service, file: Path) -> None:
    interrupted(run, service, file)
    change(file, 3 * CHUNK)

    assert run(file)[0] == 0

    assert service.data == file.read_bytes()


def test_a_change_during_the_upload_is_refused(run: Run, service: Service, file: Path) -> None:
    def touch() -> None:
        change(file, 0)
        os.utime(file, ns=(1, 1))

    service.on_piece = touch

    assert "has changed while it was uploaded" in refused(run(file), "file_changed")


@pytest.mark.parametrize("stored", [[b"other data"], [b"\0\1", b"\1\2"]], ids=str)
def test_other_data_in_the_stream_is_refused(
    run: Run, service: Service, file: Path, stored: list[bytes]
) -> None:
    service.chunks = list(stored)

    sentence = refused(run(file), "stream_not_empty")

    assert f"has {len(service.data)} bytes already" in sentence
    assert service.chunks == stored
    assert run(file, "--append")[0] == 0
    assert service.data == b"".join(stored) + file.read_bytes()


def test_a_damaged_record_is_an_error_with_a_next_step(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    interrupted(run, service, file)
    records(tmp_path)[0].write_text("{")

    code, _, err = run(file)

    assert code == 2
    assert "is not the record of an upload" in err
    assert "hint: Move the file away" in err


def test_a_foreign_file_among_the_receipts_is_refused(
    run: Run, service: Service, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "chunk-00000002.json").write_text("{}")

    code, _, err = run(file, "--receipts", tmp_path / "receipts")

    assert code == 2
    assert "is not the receipt of chunk 2" in err


# -- what comes next -------------------------------------------------------------------------------


def test_the_end_says_what_to_do_next_with_quoted_paths(
    run: Run, service: Service, tmp_path: Path
) -> None:
    spaced = tmp_path / "my readings.bin"
    spaced.write_bytes(bytes(CHUNK))

    _, out, _ = run(spaced)
    code, again, _ = run(spaced, "--receipts", tmp_path / "my receipts")

    assert f"Next: `dragon stream '{spaced}' --stream readings --home " in out
    assert "--receipts FOLDER` writes its receipts; nothing is sent again." in out
    file = tmp_path / "my receipts" / "chunk-00000000.json"
    assert code == 0
    assert f"1 receipt in {tmp_path / 'my receipts'}/. Next: " in again
    assert f"`dragon verify receipt '{file}'` verifies one." in again


def test_an_upload_need_not_wait(run: Run, service: Service, file: Path, tmp_path: Path) -> None:
    code, out, _ = run(file, "--no-wait")
    _, told, _ = run(file, "--no-wait", "--json")

    assert code == 0
    assert service.data == file.read_bytes()
    assert f"uploaded: {file.stat().st_size} bytes, chunks 0 to 5 of stream {STREAM}." in out
    assert f"Next: `dragon windows {STREAM} --watch`" in out
    assert json.loads(told)["certified"] is False
    assert run(file, "--no-wait", "--receipts", tmp_path / "receipts")[0] == 2


# -- outages ---------------------------------------------------------------------------------------


def test_a_disk_that_is_full_leaves_no_partial_receipt(
    run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, itertools.count()

    def full(descriptor: int) -> None:
        if next(calls) >= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        code, _, err = run(file, "--receipts", tmp_path / "receipts")
    assert code == 2
    assert "Cannot write" in err
    assert not list((tmp_path / "receipts").glob("*.part"))
    written = [path.read_text() for path in (tmp_path / "receipts").glob("chunk-*")]
    assert 0 < len(written) < 6
    assert all(json.loads(text) for text in written)


def test_a_service_that_is_away_is_waited_for(
    run: Run, service: Service, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = outages.Retries
    now = [0.0]

    def patient(patience: float | None, **callbacks: Any) -> Any:
        def sleep(seconds: float) -> None:
            now[0] += seconds

        return original(patience, **callbacks, monotonic=lambda: now[0], sleep=sleep)

    monkeypatch.setattr(outages, "Retries", patient)
    service.refusals = [503, 502, 429, 504, 503]

    code, _, err = run(file)

    assert code == 0
    assert err.splitlines() == [
        "Waiting for the stream service for at most 600 s: answered 503: not now",
        "The stream service is available again.",
    ]

    service.refusals = [503] * 1000
    code, _, err = run(file, "--patience", 60)
    assert code == 1
    *_, sentence, hint = err.splitlines()
    assert sentence.startswith("dragon: failed: unavailable: answered 503")
    assert hint == "hint: Run the same command again later; it continues where the stream ends."
    assert 60 <= now[0] < 100


def test_a_final_refusal_ends_the_command(run: Run, service: Service, file: Path) -> None:
    service.refusals = [409]

    code, _, err = run(file)

    assert code == 1
    assert err.startswith("dragon: failed: bad_answer: answered 409")


# -- records ---------------------------------------------------------------------------------------


def record_of(stream: str, file: Path) -> UploadRecord:
    return UploadRecord(stream, str(file), 1, 2, 3, 4, 5)


def test_records_are_bounded_in_number_and_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_RECORDS", 5)
    now = [1_700_000_000.0]
    kept = UploadRecords(tmp_path, wall=lambda: now[0])
    for number in range(9):
        kept.save(record_of(STREAM, Path(f"/{number}")), Path(f"/{number}"))
        newest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_ctime_ns)
        os.utime(newest, (now[0] + number, now[0] + number))

    assert len(list(tmp_path.iterdir())) <= 6
    assert kept.load(STREAM, Path("/8")) == record_of(STREAM, Path("/8"))
    assert kept.load(STREAM, Path("/0")) is None

    now[0] += uploads.MAX_RECORD_AGE_SECONDS + 100
    kept.save(record_of(STREAM, Path("/new")), Path("/new"))

    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", "/home/me/.local/state/datadragon"),
        ({"XDG_STATE_HOME": "/var/me"}, "linux", "/var/me/datadragon"),
        ({"XDG_STATE_HOME": "relative"}, "linux", "/home/me/.local/state/datadragon"),
        ({}, "darwin", "/home/me/Library/Application Support/datadragon"),
        ({"LOCALAPPDATA": "/users/me"}, "win32", "/users/me/datadragon"),
    ],
)
def test_the_state_folder_follows_the_platform(
    environ: dict[str, str], platform: str, expected: str
) -> None:
    assert state_folder(environ, platform, lambda: Path("/home/me")) == Path(expected)


def test_a_user_without_a_home_is_told_what_to_do() -> None:
    def home() -> Path:
        raise RuntimeError("no home")

    with pytest.raises(UnusableFile) as refusal:
        state_folder({}, "linux", home)
    assert refusal.value.__notes__ == ["Choose a folder for the progress with `--state`."]
