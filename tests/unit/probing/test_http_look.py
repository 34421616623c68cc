"""Looks of kind `http`: statuses, texts and redirects."""

from __future__ import annotations

import pytest

from dragon.errors import Unreachable
from dragon.net.http_client import MAX_RESPONSE_BYTES, HttpResponse
from dragon.probing import http_look
from dragon.probing.http_look import MAX_REDIRECTS
from dragon.probing.judgement import Judgement
from dragon.protocol.claims.status import Status
from dragon.protocol.target_checks import HttpCheck
from simulation import Clock
from targets import ScriptedNetwork

URL = "https://site.example/"
UP = Judgement(Status.UP, "answered")


def answer(status: int = 200, body: bytes = b"", location: str | None = None) -> HttpResponse:
    return HttpResponse(status, body, location=location)


def look(network: ScriptedNetwork, check: HttpCheck | None = None) -> Judgement:
    return http_look.look(check or HttpCheck(), URL, network, lambda: 0.0)


def judge(check: HttpCheck, response: HttpResponse) -> Judgement:
    return look(ScriptedNetwork({URL: response}), check)


@pytest.mark.parametrize("status", [200, 204, 299])
def test_by_default_each_successful_status_is_up(status: int) -> None:
    assert judge(HttpCheck(), answer(status)) == UP


@pytest.mark.parametrize("status", [199, 300, 404, 503])
def test_by_default_any_other_status_is_down(status: int) -> None:
    assert judge(HttpCheck(), answer(status)) == Judgement.down(f"status_{status}")


def test_the_ranges_of_the_check_decide() -> None:
    check = HttpCheck(status=((200, 204), (401, 401)))

    found = [judge(check, answer(status)).status for status in (204, 205, 401, 402)]

    assert found == [Status.UP, Status.DOWN, Status.UP, Status.DOWN]


def test_a_redirect_that_is_not_followed_is_shown_with_its_status_and_location() -> None:
    network = ScriptedNetwork({URL: answer(302, location="https://elsewhere.example/")})

    assert look(network) == Judgement.down("status_302", "https://elsewhere.example/")
    assert network.calls == [("GET", URL)]


def test_a_redirect_is_up_if_its_status_is_expected() -> None:
    assert judge(HttpCheck(status=((200, 399),)), answer(301, location="https://a/")) == UP


def test_a_redirect_to_a_listed_host_is_followed() -> None:
    check = HttpCheck(redirect_hosts=("www.site.example",), headers={"accept": "text/html"})
    network = ScriptedNetwork(
        {
            URL: answer(301, location="//www.site.example/a"),
            "https://www.site.example/a": answer(308, location="b"),
            "https://www.site.example/b": answer(),
        }
    )

    assert look(network, check) == UP
    assert len(network.calls) == 3
    assert {sent[2]["accept"] for sent in network.sent} == {"text/html"}


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/",
        "https://site.example/",  # the target's own host has to be listed too
        "ftp://www.site.example/",
        "https://www.site.example.other.example/",
        "https://www.site.example@other.example/",
        "https://www.site.example:port/",
        "http://[::1",
        "https://other.example\\@www.site.example/",  # one parser's user, another one's path
        "//other.example\\@www.site.example/",
        "https://name:password@www.site.example/",  # operators send no credentials
    ],
)
def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed(location: str) -> None:
    network = ScriptedNetwork({URL: answer(302, location=location)})

    found = look(network, HttpCheck(redirect_hosts=("www.site.example",)))

    assert (found.status, found.reason) == (Status.DOWN, "redirect_host")
    assert len(network.calls) == 1


def test_an_ipv6_host_is_listed_in_brackets() -> None:
    network = ScriptedNetwork(
        {URL: answer(302, location="http://[::1]/"), "http://[::1]/": answer()}
    )

    assert look(network, HttpCheck(redirect_hosts=("[::1]",))) == UP


def test_at_most_five_redirects_are_followed() -> None:
    check = HttpCheck(redirect_hosts=("site.example",))
    network = ScriptedNetwork({URL: answer(302, location=URL)})

    assert look(network, check) == Judgement.down("too_many_redirects", "more than 5")
    assert len(network.calls) == MAX_REDIRECTS + 1 == 6


def test_a_redirect_without_a_location_is_judged_itself() -> None:
    check = HttpCheck(redirect_hosts=("site.example",))

    assert judge(check, answer(302)) == Judgement.down("status_302")


def test_the_timeout_covers_all_redirects() -> None:
    clock = Clock(0.0)

    def slow() -> HttpResponse:
        clock.sleep(0.7)
        return answer(302, location=URL)

    network = ScriptedNetwork({URL: slow})
    check = HttpCheck(redirect_hosts=("site.example",), timeout_ms=1000)

    found = http_look.look(check, URL, network, lambda: clock.now)

    assert found.reason == "timeout"
    assert [round(sent[0], 3) for sent in network.sent] == [1.0, 0.3]


def test_a_redirect_to_a_private_address_is_refused_with_that_reason() -> None:
    inner = "http://inner.example/"
    network = ScriptedNetwork(
        {
            URL: answer(302, location=inner),
            inner: Unreachable("no answer: private", reason="private_address"),
        }
    )

    assert look(network, HttpCheck(redirect_hosts=("inner.example",))).reason == "private_address"


@pytest.mark.parametrize("body", [b"", b"Wel", b"WELCOME"])
def test_a_missing_text_is_down_with_the_beginning_of_the_body(body: bytes) -> None:
    found = judge(HttpCheck(contains="Welcome"), answer(body=body))

    assert found == Judgement.down("text_missing", body.decode())


def test_an_expected_text_may_be_anywhere_in_what_was_read() -> None:
    assert judge(HttpCheck(contains="grüezi"), answer(body=b"<p>" + "grüezi".encode())) == UP


def test_a_forbidden_text_is_down_and_shown() -> None:
    check = HttpCheck(lacks="Maintenance")

    assert judge(check, answer(body=b"all is well")) == UP
    assert judge(check, answer(body=b"<h1>Maintenance</h1>")) == Judgement.down(
        "text_forbidden", "Maintenance</h1>"
    )


def test_the_detail_has_at_most_64_bytes_in_printable_ascii() -> None:
    found = judge(HttpCheck(contains="x"), answer(body=b"\x00\x1b[31m\xff\r\n" + b"a" * 100))

    assert found.detail == r"\x00\x1b[31m\xff\r\n" + "a" * 55
    assert found.detail.isprintable()


def test_the_answer_to_head_has_no_body() -> None:
    network = ScriptedNetwork({URL: answer(body=b"ignored")})

    assert look(network, HttpCheck(method="HEAD")) == UP
    assert network.calls == [("HEAD", URL)]


def test_only_the_first_64_kib_are_asked_for() -> None:
    network = ScriptedNetwork({URL: answer()})
    look(network)

    assert network.sent == [(1.0, b"", {}, True)]
    assert MAX_RESPONSE_BYTES == 64 * 1024


def test_no_answer_has_the_reason_of_the_client() -> None:
    network = ScriptedNetwork({URL: Unreachable("no answer in time", reason="timeout")})

    assert look(network) == Judgement.down("timeout", "no answer in time")
