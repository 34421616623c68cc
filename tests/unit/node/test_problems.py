"""Every error of a service becomes a problem document that discloses nothing internal."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask import Flask, Response, abort
from werkzeug.exceptions import HTTPException, MethodNotAllowed, default_exceptions
from werkzeug.test import TestResponse

from dragon import errors
from dragon.net.stream_client import NO_HANDSHAKE
from dragon.node import problems
from dragon.node.http_errors import BadHandshake

TREE = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.DragonError)
]

# The HTTP status of each branch of the tree; a leaf has the status of its branch.
EXPECTED: dict[type[errors.DragonError], int] = {
    errors.InvalidEncoding: 400,
    errors.InvalidPoint: 422,
    errors.CertificateError: 422,
    errors.UnknownNode: 404,
    errors.NotApplicable: 409,
    errors.WrongDigest: 422,
    errors.InvalidProof: 422,
    errors.InvalidStream: 422,
    errors.ReceiptRefused: 422,
    errors.DisclosureRefused: 422,
    errors.ProofRefused: 422,
    errors.ProvingError: 422,
    errors.WorkerDied: 503,
    errors.AttestationRefused: 409,
    errors.BeatRefused: 409,
    errors.LedgerError: 503,
    errors.LogError: 503,
    errors.DiskError: 503,
    errors.DiskFull: 507,
    errors.ArchiveUnavailable: 503,
    errors.PeerError: 502,
    errors.NotFound: 404,
    errors.NotCertified: 503,
    errors.UnsuitablePeriod: 422,
    errors.Unauthorized: 401,
    errors.ForeignOrigin: 403,
    errors.NotListed: 403,
    errors.AlreadyMade: 409,
    errors.StreamStopped: 409,
    errors.WrongOffset: 409,
    errors.TooManySockets: 503,
    errors.Busy: 429,
    errors.Overdue: 503,
    errors.InvalidCommittee: 500,
    errors.KeystoreError: 500,
    errors.SettingsError: 500,
    errors.StepFailed: 500,
    errors.DragonError: 500,
}


WITH_REASON = (
    errors.AttestationRefused,
    errors.DisclosureRefused,
    errors.ProofRefused,
    errors.SpotCheckRefused,
    errors.StreamReportRefused,
)


def made(kind: type[errors.DragonError]) -> errors.DragonError:
    if kind is errors.QuorumNotMet:
        return errors.QuorumNotMet(signers=2, needed=3)
    if issubclass(kind, WITH_REASON):
        return kind("reason", "what went wrong")
    return kind("what went wrong", fact=7)


def raising(error: Exception) -> Flask:
    """An app whose only page raises `error`."""
    app = Flask("raising")
    problems.install(app)

    @app.get("/")
    def page() -> str:
        raise error

    return app


def document(answer: TestResponse) -> dict[str, object]:
    """Decode a response and check what all problem documents have in common."""
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    value = json.loads(answer.data)
    assert isinstance(value, dict)
    assert value["status"] == answer.status_code
    assert {"type", "title", "status", "detail"} <= set(value)
    return value


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_has_the_status_of_its_branch(kind: type[errors.DragonError]) -> None:
    branch = next(base for base in kind.__mro__ if base in EXPECTED)

    assert problems.status_of(made(kind)) == EXPECTED[branch]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_problem_document(
    kind: type[errors.DragonError],
) -> None:
    error = made(kind)

    said = document(raising(error).test_client().get("/"))

    assert said["type"] == f"urn:datadragon:problem:{error.name.replace('_', '-')}"
    assert said["title"] == error.name
    assert said["detail"] == str(error)
    assert {name: said[name] for name in error.facts} == error.facts


def test_an_error_defined_by_a_service_has_the_status_of_its_branch() -> None:
    class DiskFull(errors.LogError):
        """An error that a service defines."""

    said = document(raising(DiskFull("no space left")).test_client().get("/"))

    assert (said["status"], said["title"]) == (503, "disk_full")


def test_facts_cannot_replace_the_members_of_the_document() -> None:
    error = errors.BadAnswer("what went wrong", status=418, title="x", type="y")

    said = document(raising(error).test_client().get("/"))

    assert (said["status"], said["title"]) == (502, "bad_answer")


@pytest.mark.parametrize("fact", [b"\xff", {1, 2}, object(), errors, 10**40, "\ud800"])
def test_a_fact_that_is_not_json_is_converted_to_text(fact: object) -> None:
    document(raising(errors.NotFound("gone", fact=fact)).test_client().get("/"))


def test_a_busy_service_sends_retry_after() -> None:
    answer = raising(errors.Busy("too many at once")).test_client().get("/")

    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    "bug",
    [
        RuntimeError("the secret is 0xc0ffee"),
        KeyError("0xc0ffee"),
        AssertionError("0xc0ffee"),
        RecursionError("0xc0ffee"),
        MemoryError("0xc0ffee"),
        UnicodeDecodeError("utf-8", b"0xc0ffee", 0, 1, "0xc0ffee"),
    ],
    ids=lambda bug: type(bug).__name__,
)
def test_an_unexpected_exception_is_logged_and_not_disclosed(
    bug: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer = raising(bug).test_client().get("/")

    said = document(answer)
    assert said["status"] == 500
    assert said["detail"] == "an unexpected error occurred in this service; its log has the details"
    assert "c0ffee" not in answer.text
    assert "Traceback" not in answer.text
    assert "unexpected_error" in caplog.text
    assert caplog.records[-1].exc_info is not None


def test_debug_mode_discloses_nothing() -> None:
    app = raising(RuntimeError("0xc0ffee"))
    app.testing = app.debug = True

    assert "c0ffee" not in app.test_client().get("/").text


ABORTS: list[tuple[Callable[[], object], int]] = [
    (lambda: abort(400), 400),
    (lambda: abort(401), 401),
    (lambda: abort(413), 413),
    (lambda: abort(415), 415),
    (lambda: abort(418), 418),
    (lambda: abort(503, "later"), 503),
]


@pytest.mark.parametrize(("stop", "status"), ABORTS)
def test_an_http_error_becomes_a_problem_document(stop: Callable[[], object], status: int) -> None:
    app = Flask("aborting")
    problems.install(app)
    app.add_url_rule("/", view_func=lambda: stop() or "")

    said = document(app.test_client().get("/"))

    assert (said["status"], said["type"]) == (status, "about:blank")


def test_unknown_paths_and_methods_become_problem_documents() -> None:
    client = raising(errors.NotFound("x")).test_client()

    missing, refused = client.get("/nothing"), client.post("/")

    assert document(missing)["title"] == "Not Found"
    assert document(refused)["title"] == "Method Not Allowed"
    assert "GET" in refused.headers["Allow"]


def test_other_responses_are_not_changed() -> None:
    app = Flask("fine")
    problems.install(app)
    app.add_url_rule("/", view_func=lambda: Response("fine", 404, mimetype="text/plain"))

    answer = app.test_client().get("/")

    assert (answer.status_code, answer.text, answer.mimetype) == (404, "fine", "text/plain")


# No text of a library


LIBRARY_TEXT = "The browser (or proxy) sent a request with 0xc0ffee"


@pytest.mark.parametrize(
    "kind", sorted(default_exceptions.values(), key=lambda kind: kind.code or 0)
)
def test_the_text_of_a_library_is_not_passed_on(kind: type[HTTPException]) -> None:
    """Whatever Werkzeug says, by default or about one request."""
    own = kind.description or ""
    for error in (kind(), kind(LIBRARY_TEXT) if kind is not MethodNotAllowed else kind()):
        said = document(raising(error).test_client().get("/"))

        assert (said["status"], said["type"]) == (kind.code, "about:blank")
        assert not own or own not in str(said["detail"])
        assert LIBRARY_TEXT not in str(said)
        assert len(str(said["detail"])) > 10


def test_a_path_and_a_method_that_do_not_exist_are_explained() -> None:
    client = raising(errors.NotFound("x")).test_client()

    assert document(client.get("/nothing"))["detail"] == (
        "there is nothing at this address; /openapi.json lists the addresses of this service"
    )
    assert document(client.post("/"))["detail"] == (
        "this address does not take POST; it takes GET, HEAD, OPTIONS"
    )


def test_a_socket_without_a_handshake_says_so() -> None:
    """As behind a proxy that drops `Upgrade`: the router refuses it before the socket's checks."""
    app = raising(errors.NotFound("x"))
    app.add_url_rule("/socket", view_func=lambda: "", endpoint="socket", websocket=True)

    said = document(app.test_client().get("/socket"))

    assert (said["status"], str(said["detail"]).partition(":")[0]) == (400, NO_HANDSHAKE)


def test_a_handshake_that_is_refused_has_the_projects_sentence() -> None:
    said = document(raising(BadHandshake("no handshake")).test_client().get("/"))

    assert (said["status"], said["detail"]) == (400, "no handshake")
