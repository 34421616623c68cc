"""What services say is one JSON object a line, with fields of its own and nobody else's."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from flask import Flask

from dragon.errors import LogStopped
from dragon.node import app as web
from dragon.node import log_format
from dragon.node.request_id import HEADER

log = log_format.get_logger("tests.web_logs")
ALWAYS = {"timestamp", "level", "service", "event", "logger"}


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """What a service called `some_service` says."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log_format.Lines("some_service"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_has_time_level_service_name_and_fields(output: io.StringIO) -> None:
    log.warning("gateway_left", gateway="http://one", tries=3)

    [line] = lines(output)

    assert set(line) == ALWAYS | {"gateway", "tries"}
    assert (line["level"], line["service"]) == ("warning", "some_service")
    assert (line["event"], line["gateway"], line["tries"]) == ("gateway_left", "http://one", 3)
    assert line["timestamp"].endswith("+00:00")


def test_what_is_bound_stands_in_every_line(output: io.StringIO) -> None:
    bound = log.bind(node_id="operator_2")
    with structlog.contextvars.bound_contextvars(request_id="mine"):
        bound.info("first_thing")
        bound.info("second_thing")

    assert [(line["node_id"], line["request_id"]) for line in lines(output)] == [
        ("operator_2", "mine")
    ] * 2


def test_a_field_cannot_replace_what_every_line_has(output: io.StringIO) -> None:
    """Nor can it get in the way of the standard library's own records."""
    log.info("true_name", level="x", service="x", timestamp=1, name="x", message="x", args=(1,))

    [line] = lines(output)

    assert (line["event"], line["level"], line["service"]) == ("true_name", "info", "some_service")
    assert line["timestamp"] != 1
    assert (line["name"], line["message"]) == ("x", "x")


@pytest.mark.parametrize("value", ["two\nlines", "\ud800", "\x00\x1b[31m", b"\xff", object(), "%s"])
def test_whatever_a_field_holds_the_line_stays_one_line_of_json(
    output: io.StringIO, value: object
) -> None:
    log.info("odd_field", value=value)

    assert output.getvalue().count("\n") == 1
    assert output.getvalue().isascii()
    assert lines(output)[0]["event"] == "odd_field"


def test_an_exception_is_one_field(output: io.StringIO) -> None:
    try:
        raise RuntimeError("what went wrong")
    except RuntimeError:
        log.exception("loop_failed")

    [line] = lines(output)

    assert "RuntimeError: what went wrong" in line["exception"]
    assert line["level"] == "error"


def test_libraries_are_heard_too(output: io.StringIO) -> None:
    logging.getLogger("gunicorn.error").warning("Worker (pid:%d) was sent SIGKILL!", 7)

    [line] = lines(output)

    assert (line["event"], line["logger"]) == ("library_message", "gunicorn.error")
    assert line["message"] == "Worker (pid:7) was sent SIGKILL!"


def test_less_than_info_is_not_said(output: io.StringIO) -> None:
    log.debug("small_thing")

    assert lines(output) == []


def test_a_fault_is_logged_with_the_requests_name(output: io.StringIO) -> None:
    app: Flask = web.create("some_service", list)

    @app.get("/bug")
    def bug() -> str:
        raise KeyError("ours")

    @app.get("/stopped")
    def stopped() -> str:
        raise LogStopped("an alarm stands")

    for path in ("/bug", "/stopped", "/nowhere"):
        app.test_client().get(path, headers={HEADER: "mine"})

    fault, failure = lines(output)  # and nothing about what is the caller's fault
    assert (fault["event"], fault["request_id"]) == ("unexpected_error", "mine")
    assert (failure["event"], failure["reason"]) == ("request_failed", "log_stopped")
    assert failure["request_id"] == "mine"


def test_a_configured_process_says_everything_on_standard_error_in_lines() -> None:
    program = (
        "import logging, warnings\n"
        "from dragon.node import log_format as logs\n"
        "logs.configure('op')\n"
        "logs.get_logger('a').info('one_thing', x=1)\n"
        "logging.getLogger('b').warning('another %s', 'thing')\n"
        "logging.getLogger('alembic').info('chatter')\n"
        "warnings.warn('old')\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b""
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in said] == ["one_thing", "library_message", "library_message"]
    assert {line["service"] for line in said} == {"op"}
