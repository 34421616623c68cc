"""Log messages are one JSON object per line."""

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

from dragon.errors import DiskFull, LogStopped
from dragon.node import app as web
from dragon.node import log_format
from dragon.node.request_id import HEADER

log = log_format.get_logger("tests.web_logs")
ALWAYS = {"timestamp", "level", "service", "event", "logger"}


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """The log output of a service called `some_service`."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log_format.Lines("some_service"))
    handler.addFilter(log_format.Repeats())
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_line_has_the_common_members_and_the_fields(output: io.StringIO) -> None:
    log.warning("gateway_left", gateway="http://one", tries=3)

    [line] = lines(output)

    assert set(line) == ALWAYS | {"gateway", "tries"}
    assert (line["level"], line["service"]) == ("warning", "some_service")
    assert (line["event"], line["gateway"], line["tries"]) == ("gateway_left", "http://one", 3)
    assert line["timestamp"].endswith("+00:00")


def test_bound_fields_are_in_every_line(output: io.StringIO) -> None:
    bound = log.bind(node_id="operator_2")
    with structlog.contextvars.bound_contextvars(request_id="mine"):
        bound.info("first_thing")
        bound.info("second_thing")

    assert [(line["node_id"], line["request_id"]) for line in lines(output)] == [
        ("operator_2", "mine")
    ] * 2


def test_a_field_cannot_replace_a_common_member(output: io.StringIO) -> None:
    """It cannot collide with attributes of the standard library's records either."""
    log.info("true_name", level="x", service="x", timestamp=1, name="x", message="x", args=(1,))

    [line] = lines(output)

    assert (line["event"], line["level"], line["service"]) == ("true_name", "info", "some_service")
    assert line["timestamp"] != 1
    assert (line["name"], line["message"]) == ("x", "x")


@pytest.mark.parametrize("value", ["two\nlines", "\ud800", "\x00\x1b[31m", b"\xff", object(), "%s"])
def test_any_value_of_a_field_gives_one_line_of_json(output: io.StringIO, value: object) -> None:
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


def test_messages_of_libraries_are_logged(output: io.StringIO) -> None:
    logging.getLogger("gunicorn.error").warning("Worker (pid:%d) was sent SIGKILL!", 7)

    [line] = lines(output)

    assert (line["event"], line["logger"]) == ("library_message", "gunicorn.error")
    assert line["message"] == "Worker (pid:7) was sent SIGKILL!"


def test_messages_below_info_are_not_logged(output: io.StringIO) -> None:
    log.debug("small_thing")

    assert lines(output) == []


def test_a_fault_is_logged_with_the_request_id(output: io.StringIO) -> None:
    app: Flask = web.create("some_service", list)

    @app.get("/bug")
    def bug() -> str:
        raise KeyError("ours")

    @app.get("/stopped")
    def stopped() -> str:
        raise LogStopped("an alarm stands")

    for path in ("/bug", "/stopped", "/nowhere"):
        app.test_client().get(path, headers={HEADER: "mine"})

    fault, failure = lines(output)  # errors of the caller are not logged
    assert (fault["event"], fault["request_id"]) == ("unexpected_error", "mine")
    assert (failure["event"], failure["reason"]) == ("request_failed", "log_stopped")
    assert failure["request_id"] == "mine"


def test_a_process_logs_lines_of_json_on_standard_error() -> None:
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


def at(output: io.StringIO, event: str, seconds: float, **fields: object) -> None:
    """Log a warning at a time of the clock."""
    [handler] = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is output]
    record = logging.LogRecord("tests", logging.WARNING, __file__, 1, event, (), None)
    record.created, record.fields = seconds, fields
    handler.handle(record)


def test_a_repeated_warning_is_counted_instead_of_logged(output: io.StringIO) -> None:
    for number in range(1_000):
        at(output, "request_failed", 100 + number / 1_000, reason="overdue")
    at(output, "request_failed", 101, reason="busy")  # another kind
    at(output, "request_failed", 161, reason="overdue")

    logged = lines(output)
    assert len(logged) == log_format.MAX_REPEATS + 2
    assert logged[-1]["suppressed"] == 1_000 - log_format.MAX_REPEATS


def test_messages_that_quote_a_client_are_one_kind(output: io.StringIO) -> None:
    for number in range(1_000):
        at(output, f"Invalid request: {number}", 100)

    assert len(lines(output)) == log_format.MAX_REPEATS


def test_a_clock_that_is_set_back_suppresses_nothing_for_longer(output: io.StringIO) -> None:
    for _ in range(50):
        at(output, "request_failed", 1_000_000)
    at(output, "request_failed", 100)

    assert len(lines(output)) == log_format.MAX_REPEATS + 1


def test_the_number_of_kinds_that_are_counted_is_bounded(output: io.StringIO) -> None:
    for number in range(log_format.MAX_KINDS + 5):
        at(output, "request_failed", 100, reason=str(number))
    for _ in range(50):
        at(output, "request_failed", 100, reason="0")  # forgotten, so counted anew

    assert len(lines(output)) == log_format.MAX_KINDS + 5 + log_format.MAX_REPEATS


def test_the_traceback_of_a_full_disk_is_not_logged(output: io.StringIO) -> None:
    try:
        raise DiskFull("the disk with /data is full")
    except DiskFull:
        log.exception("windows_failed")

    assert lines(output) == []
