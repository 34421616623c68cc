"""Mistakes that users make, each with its exact sentence, next step and exit code."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from dragon_cli.fleet import foreground
from dragon_cli.fleet.layout import Home
from dragon_cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dragon(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("DRAGON_HOME", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        check_words(out + err)
        return int(done.value.code or 0), out, err

    return run


def check_words(text: str) -> None:
    """No traceback, class name or text of a library reaches a user."""
    assert "Traceback" not in text
    assert not re.search(r"\b[A-Z][a-z]+[A-Z]\w*(Error|Exception|Schema|Refused)\b", text), text
    assert not re.search(r"\b(Errno|urllib3|requests\.|sqlite3?\.|codec can't|Max retries)", text)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("with a space") / "my fleet"
    with pytest.raises(SystemExit) as done:
        main(["init", "--home", str(home), "--operators", "3"])
    assert not done.value.code
    return home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(b"data")
    return path


@contextmanager
def http_service(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """Answers each request for a path on one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    request = accepted.recv(65_536).decode()
                    if not request:
                        continue
                    status, body = answer(request.split()[1])
                    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
                    accepted.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)

        thread = Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


# URLs


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "localhost:5300",
            "is not a URL with http:// or https://; did you mean http://localhost:5300?",
        ),
        ("localhost", "is not a URL with http:// or https://; did you mean http://localhost?"),
        ("ftp://localhost:5300", "is not a URL with http:// or https://"),
        ("http://", "is not a URL with http:// or https://"),
        ("http://host:99999", "is not a URL with http:// or https://"),
    ],
)
@pytest.mark.parametrize("command", ["stream", "windows", "votes", "receipt"])
def test_a_url_without_a_scheme(dragon: Run, file: Path, command: str, url: str, said: str) -> None:
    arguments: list[object] = {
        "stream": ["stream", file, "--stream", "s"],
        "windows": ["windows", "s"],
        "votes": ["votes", "s", "0"],
        "receipt": ["receipt", "complete", file],
    }[command]

    code, out, err = dragon(*arguments, "--url", url)

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: Invalid value for '--url': '{url}' {said}"


def test_the_url_of_another_service(dragon: Run, fleet: Path, file: Path) -> None:
    title = json.dumps({"info": {"title": "DataDragon operator", "x": 1.5}}).encode()
    with http_service(lambda _: (200, title)) as url:
        code, out, err = dragon(
            "stream", file, "--stream", "s", "--home", fleet, "--url", url + "/"
        )

    assert (code, out) == (2, "")
    assert err == (
        f"dragon: failed: wrong_service: The service at {url} is the operator, not the stream "
        "service.\nhint: `dragon status` lists the services of a fleet.\n"
    )


def test_a_proxy_that_drops_the_upgrade(
    dragon: Run, fleet: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake reaches the service as an ordinary request."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stream = {"stream": "0x" + "07" * 32, "token": "t", "bytes": 0, "chunks": 0}
    no_handshake = {"detail": "no WebSocket handshake arrived: the header Upgrade is missing"}

    def answer(path: str) -> tuple[int, bytes]:
        if path.endswith("/ingest"):
            return 400, json.dumps(no_handshake).encode()
        return 200, json.dumps(stream).encode()

    with http_service(answer) as url:
        code, _, err = dragon(
            "stream", file, "--stream", "s", "--home", fleet, "--url", url, "--patience", 0
        )

    assert code == 1
    assert err == (
        "dragon: failed: bad_answer: no WebSocket handshake arrived: a proxy does not pass on "
        "`Upgrade` (answered 400)\nhint: Let the proxy pass on the headers `Upgrade` and "
        "`Connection`, over HTTP/1.1.\n"
    )


# Files


def test_a_nodes_file_given_as_committee(dragon: Run, fleet: Path, file: Path) -> None:
    nodes = fleet / "nodes.json"

    for command in ("receipt", "certificate", "event", "downtime", "period", "log"):
        code, out, err = dragon("verify", command, file, "--committee", nodes)

        assert (code, out) == (2, "")
        assert err == (
            f"dragon: failed: not_a_committee: {nodes} is not a committee file: it is a node list "
            "of a sequencer network.\n"
            "hint: It is `committee.json` in the folder that `dragon init` creates.\n"
        )


CONTENTS = {
    "binary data": b"\xff\xfe\x00random",
    "text that is not JSON": b"hello",
    "empty": b" \n",
    "a certificate or key for TLS": b"-----BEGIN CERTIFICATE-----\n",
    "a database, such as an operator's log": b"SQLite format 3\0" + bytes(84),
    "a certificate": b'{"signers": [], "aggregated_signature": "0x"}',
    "an error message of a service": b'{"title": "x", "status": 404, "detail": "y"}',
}


@pytest.mark.parametrize("what", CONTENTS)
def test_a_random_file_as_receipt(dragon: Run, fleet: Path, file: Path, what: str) -> None:
    file.write_bytes(CONTENTS[what])

    code, out, err = dragon("verify", "receipt", file, "--committee", fleet / "committee.json")

    assert (code, out) == (1, "")
    assert err == (
        f"dragon: refused: wrong_file: {file} is not a receipt: it is {what}.\n"
        "hint: `dragon stream FILE --stream NAME --receipts FOLDER` writes receipts.\n"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("committee.json", "a committee file"),
        ("services.json", "a list of a fleet's services"),
        ("keys/operator_1/keystore.json", "a keystore"),
    ],
)
def test_another_file_of_the_fleet_as_receipt(
    dragon: Run, fleet: Path, name: str, what: str
) -> None:
    code, _, err = dragon(
        "verify", "receipt", fleet / name, "--committee", fleet / "committee.json"
    )

    assert code == 1
    assert f"{fleet / name} is not a receipt: it is {what}.\n" in err


def test_a_text_as_log(dragon: Run, fleet: Path, file: Path) -> None:
    code, _, err = dragon("verify", "log", file, "--committee", fleet / "committee.json")

    assert code == 1
    assert err.startswith(
        f"dragon: refused: wrong_file: {file} is not an operator's log: it is text that is not JSON"
    )


def test_a_wrong_password(dragon: Run, fleet: Path, file: Path) -> None:
    keystore = fleet / "keys/operator_1/keystore.json"

    code, out, err = dragon("key", "verify", keystore, "--password-file", file)

    assert (code, out) == (1, "")
    assert err == (
        f"dragon: refused: keystore_refused: Cannot decrypt keystore {keystore}: wrong password, "
        "or the file is damaged.\nhint: Check that the password belongs to this keystore.\n"
    )


# Folders


@pytest.mark.parametrize("after", range(0, 12, 3))
def test_a_full_disk_in_init_leaves_nothing(
    dragon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The disk is full at one of the files; what was in the folder before stays."""
    home, opened = tmp_path / "new" / "fleet", [0]
    original = os.open

    def full(path: object, flags: int, *rest: object, **options: object) -> int:
        if flags & os.O_CREAT:
            opened[0] += 1
            if opened[0] > after:
                raise OSError(28, "No space left on device", str(path))
        return original(path, flags, *rest, **options)  # type: ignore[arg-type]

    (tmp_path / "other").touch()
    monkeypatch.setattr(os, "open", full)

    code, out, err = dragon("init", "--home", home)

    assert (code, out) == (2, "")
    assert err == (
        f"dragon: failed: unusable_file: Cannot create {home}: the disk is full.\n"
        "hint: Free space on the disk, then run the same command again.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_failed_init_deletes_nothing_that_was_there(
    dragon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    assert dragon("init", "--home", tmp_path)[0] == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["notes.txt"]


@pytest.mark.parametrize(
    "command",
    [
        ["status"], ["nodes"], ["rounds"], ["logs"], ["incidents"], ["windows", "s"],
        ["votes", "s", "0"], ["report", "--from", "30d"], ["downtime", "n", "--from", "30d"],
        ["stream", __file__, "--stream", "s"], ["source", "sensor", "--stream", "s"],
        *(["serve", name] for name in ("aggregator", "sequencer", "stream", "zkp")),
        ["serve", "operator", "--id", "operator_1"], ["init", "--refound"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_home_that_does_not_exist(dragon: Run, tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "no where"

    code, out, err = dragon(*command, "--home", home)

    assert (code, out) == (2, "")
    assert err == (
        f"dragon: failed: no_home: The folder {home} does not exist.\n"
        "hint: `dragon init` creates a fleet; `--home` selects the folder of another.\n"
    )


def test_suggested_commands_quote_paths(dragon: Run, tmp_path: Path) -> None:
    home = tmp_path / "my fleet"

    _, out, _ = dragon("init", "--home", home, "--operators", "3")

    assert f"`dragon up --home '{home}'` starts the fleet." in out


# Services


def test_an_operator_without_id(dragon: Run, fleet: Path) -> None:
    code, _, err = dragon("serve", "operator", "--home", fleet)

    assert code == 2
    assert err.splitlines()[-1] == (
        "Error: `dragon serve operator` requires `--id`, one of operator_1, operator_2, operator_3."
    )


@pytest.mark.parametrize("service", ["operator", "aggregator", "sequencer", "zkp", "stream"])
def test_a_port_in_use(dragon: Run, fleet: Path, service: str) -> None:
    pytest.importorskip("numba")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ["--id", "operator_1"] if service == "operator" else []

        code, out, err = dragon("serve", service, *options, "--home", fleet, "--port", port)

    assert (code, out) == (3, "")
    assert err == (
        f"dragon: port_in_use: port {port} on 127.0.0.1 is in use; stop the process that uses it, "
        "or choose another port with `--port` or DRAGON_PORT\n"
    )


class StartedFleet:
    """A fleet that starts at once; `compiling` are its provers that compile."""

    def __init__(self, home: Path, compiling: Sequence[str]) -> None:
        self.home, self.addresses = Home(home), {"zkp_api": "http://127.0.0.1:5200"}
        self.committee = SimpleNamespace(keys=["zkp_api"])
        self.compiling = lambda: compiling

    def start_all(self, _server: object) -> None:
        """Start nothing."""

    def wait_ready(self, say: Callable[[str], object]) -> None:
        say("Waiting for zkp_api: [it] does not answer yet.")


@pytest.mark.parametrize("compiling", [[], ["zkp_api"]])
def test_up_says_what_it_waits_for_and_that_kernels_are_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compiling: list[str]
) -> None:
    fleet: Any = StartedFleet(tmp_path, compiling)

    foreground._start(fleet, None, lambda: None)

    said = " ".join(capsys.readouterr().out.split())
    assert "Waiting for zkp_api: [it] does not answer yet. All services ready after" in said
    assert ("The prover still compiles its kernels" in said) == bool(compiling)


# Nothing of a library


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", bytes(99)],
    ids=["cut", "ssh", "short", "zeros"],
)
@pytest.mark.parametrize("command", [["windows", "s"], ["stream", __file__, "--stream", "s"]])
def test_no_answer_shows_a_library_or_a_class(
    dragon: Run, fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: list[str], answer: bytes,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    accepted.recv(65_536)
                    accepted.sendall(answer)

        thread = Thread(target=run, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        patience = ["--patience", 0] if command[0] == "stream" else []
        code, out, err = dragon(*command, "--home", fleet, "--url", url, *patience)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)

    assert (code, out) == (1, "")
    assert err.startswith("dragon: failed: ")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://name.invalid", "http://[::1]:1"]
)
def test_no_unreachable_address_shows_a_library_or_a_class(
    dragon: Run, fleet: Path, url: str
) -> None:
    code, _, err = dragon("windows", "s", "--home", fleet, "--url", url)

    assert code == 1
    assert err.startswith("dragon: failed: unreachable: no answer")


@pytest.mark.parametrize("name", ["committee", "services", "keystore"])
@pytest.mark.parametrize("content", [b"\xff", b"{", b"[]", b"7", b"{}", b"[" * 9000, b'{"a": 1.5}'])
def test_no_damaged_file_shows_a_library_or_a_class(
    dragon: Run, tmp_path: Path, name: str, content: bytes
) -> None:
    """The checks are in the fixture `dragon`."""
    file = tmp_path / {"committee": "committee.json", "services": "services.json"}.get(name, "k")
    file.write_bytes(content)

    arguments = {
        "committee": ["status", "--home", tmp_path],
        "services": ["windows", "s", "--home", tmp_path],
        "keystore": ["key", "show", file],
    }[name]
    assert dragon(*arguments)[0] in (1, 2)
