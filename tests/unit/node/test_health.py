"""The health check of a container."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from authorities import Papers
from dragon.net.tls import Tls
from dragon.node import health

READY = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"status":"ready"}'
BLIND = b'HTTP/1.1 503 No\r\n\r\n{"status":"not ready","reasons":["blind\x1b[2J"]}'


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Certificates in a folder like a fleet's, with the authority in `ca.crt`."""
    return Papers.make(tmp_path_factory.mktemp("home"))


@contextmanager
def answering(*pieces: bytes, shown: Tls | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers one request with `pieces`, 0.1 s apart. Yields port and requests."""
    listener, heads = socket.create_server(("127.0.0.1", 0)), []

    def run() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            if shown and shown.certfile:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(shown.certfile, shown.keyfile)
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                heads.append(connection.recv(65_536))
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.1 if len(pieces) > 1 else 0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield str(listener.getsockname()[1]), heads
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def said(*arguments: str, **environ: str) -> str:
    """Run the check and return the reason why the service is not ready; empty if it is."""
    try:
        health.check(list(arguments), environ)
    except (health.Unhealthy, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def test_a_service_that_answers_200_is_healthy() -> None:
    with answering(READY) as (port, heads):
        assert said(DRAGON_PORT=port, DRAGON_HOST="0.0.0.0") == ""
    with answering(READY) as (port, more):
        assert said("--port", port, "--path", "/node/ready", DRAGON_PORT="1") == ""

    assert heads[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")
    assert more[0].startswith(b"GET /node/ready HTTP/1.1\r\n")


def test_the_reason_is_printable_and_short() -> None:
    with answering(BLIND) as (port, _):
        assert said("--port", port) == '503: {"status":"not ready","reasons":["blind [2J"]}'
    with answering(b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 1000) as (port, _):
        assert said("--port", port) == "500: " + "x" * 300


def test_a_service_that_works_in_spite_of_its_reasons_is_healthy() -> None:
    """Else an aggregator that waits for healthy operators would never end the silence."""
    head = b"HTTP/1.1 503 No\r\n\r\n"
    silent = b'{"reasons":["silent: no checkpoint for 86400 s","not_certifying: nothing"]}'
    ahead = b'{"reasons":["silent: no checkpoint for 9 s","journal: a round that begins in 9 s"]}'
    others = (
        b'{"reasons":["silent: no checkpoint for 9 s","ledger: no"]}',
        b'{"reasons":[]}',
        b'{"reasons":[1]}',
        b"[" * 10_000,
    )
    for body in (silent, ahead):
        with answering(head + body) as (port, _):
            assert said("--port", port) == ""
    for body in others:
        with answering(head + body) as (port, _):
            assert said("--port", port).startswith("503: ")


@pytest.mark.parametrize("raw", [b"", b"garbage", b"200"])
def test_an_answer_that_is_not_http_is_unhealthy(raw: bytes) -> None:
    with answering(raw) as (port, _):
        assert said("--port", port) == "the answer is not HTTP"


def test_wrong_usage_is_unhealthy() -> None:
    assert said() == "the port is missing: give --port or set DRAGON_PORT"
    assert said("--port") == said("--nonsense", "1")
    assert "invalid literal" in said("--port", "x")


def test_a_dripping_answer_times_out_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.25)
    with answering(*[b"H"] * 6) as (port, _):
        begun = time.monotonic()
        assert said("--port", port) in {"TimeoutError", "timed out"}

    assert time.monotonic() - begun < 2
    assert said("--port", "1").startswith("[Errno")


def test_over_tls_the_authority_of_the_fleet_is_trusted(papers: Papers) -> None:
    shown, home = papers.service("operator-1", "operator-1"), str(papers.folder)
    for arguments, environ in (
        (["--home", home], {}),
        ([], {"DRAGON_HOME": home}),
        ([], {"DRAGON_TLS_CA": str(papers.ca)}),
        (["--name", "operator-1"], {"DRAGON_TLS_CA": str(papers.ca)}),
    ):
        with answering(READY, shown=shown) as (port, _):
            assert said("--port", port, *arguments, **environ) == ""


def test_a_certificate_in_a_key_folder_is_checked_without_an_authority_of_the_fleet(
    papers: Papers, tmp_path: Path
) -> None:
    shown = papers.service("public")
    folder = tmp_path / "keys" / "operator_1"
    folder.mkdir(parents=True)
    (folder / "tls.crt").write_bytes(Path(shown.certfile or "").read_bytes())

    with answering(READY, shown=shown) as (port, _):
        assert "CERTIFICATE_VERIFY_FAILED" in said("--port", port, "--home", str(tmp_path))


def test_a_service_without_a_certificate_is_asked_in_clear_though_it_trusts_an_authority(
    papers: Papers, tmp_path: Path
) -> None:
    """As behind a proxy, in a fleet with an authority of its own."""
    (tmp_path / "keys" / "operator_1").mkdir(parents=True)
    (tmp_path / "ca.crt").write_bytes(papers.ca.read_bytes())

    with answering(READY) as (port, _):
        assert said("--port", port, "--home", str(tmp_path), DRAGON_TLS_CA=str(papers.ca)) == ""


def test_over_tls_other_certificates_are_refused(papers: Papers, tmp_path: Path) -> None:
    strange = Papers.make(tmp_path).service("stranger")
    for environ in (
        {"DRAGON_HOME": str(papers.folder)},
        {"DRAGON_TLS_CERTFILE": str(strange.certfile)},
    ):
        with answering(READY, shown=strange) as (port, _):
            assert "CERTIFICATE_VERIFY_FAILED" in said("--port", port, **environ)
    with answering(READY, shown=papers.service("one")) as (port, _):
        wrong = said("--port", port, "--name", "other", DRAGON_TLS_CA=str(papers.ca))
        assert "Hostname mismatch" in wrong


def test_it_imports_few_modules() -> None:
    code = (
        "import sys; before = set(sys.modules); import dragon.node.health;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules if name not in before}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    for heavy in ("ssl", "argparse", "json", "http", "urllib", "typing", "flask", "requests"):
        assert heavy not in loaded

    with answering(BLIND) as (port, _):
        done = subprocess.run(
            [sys.executable, "-m", "dragon.node.health", "--port", port],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (1, 1, "")
