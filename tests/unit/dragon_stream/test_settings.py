"""A stream service's settings: taken as they are said, refused by name, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from committees import make_members, secret
from dragon.errors import DragonError, KeystoreError, SettingsError
from dragon.storage import keystore
from dragon_stream.settings import Settings

COMMITTEE = make_members().committee
KEY = secret("the stream service")
TOKEN, PROVER_TOKEN = "the-token-of-the-service", "the-token-of-the-prover"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("settings")
    (made / "committee.json").write_text(json.dumps(COMMITTEE.to_json()))
    (made / "key.json").write_text(keystore.seal(KEY, "the password"))
    (made / "password").write_text("the password\n")
    (made / "token").write_text(f"{TOKEN}\n")
    (made / "prover-token").write_text(f"{PROVER_TOKEN}\n")
    return made


@pytest.fixture
def environ(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """All that has no default. The keystore is opened once and for all: that takes its time."""
    monkeypatch.setattr(keystore, "load", lambda _path, _password: KEY)
    return {
        "DRAGON_COMMITTEE": str(folder / "committee.json"),
        "STREAM_KEYSTORE": str(folder / "key.json"),
        "STREAM_PASSWORD_FILE": str(folder / "password"),
        "STREAM_TOKEN_FILE": str(folder / "token"),
        "STREAM_PROVER_TOKEN_FILE": str(folder / "prover-token"),
        "STREAM_DATABASE": "data/stream.db",
        "STREAM_DATA": "data/streams",
        "SEQUENCER_NODES_FILE": "nodes.json",
    }


def refusal(environ: dict[str, str]) -> DragonError:
    with pytest.raises((SettingsError, KeystoreError)) as refused:
        Settings.from_environ(environ)
    assert "\n" not in str(refused.value)
    return refused.value


def test_all_else_has_the_defaults_of_the_page(environ: dict[str, str]) -> None:
    found = Settings.from_environ(environ)

    assert found.committee == COMMITTEE
    assert (found.secret, found.token, found.prover_token) == (KEY, TOKEN, PROVER_TOKEN)
    assert (found.database, found.data) == (Path("data/stream.db"), Path("data/streams"))
    assert (found.prover_url, found.waiting) == ("http://127.0.0.1:5200", 256)
    assert (found.host, found.port, found.threads) == ("127.0.0.1", 5300, 96)
    assert found.tls.certfile is None


def test_what_is_said_is_taken(environ: dict[str, str]) -> None:
    said = {"STREAM_PROVER_URL": "https://prover:1", "STREAM_WAITING": "2"}
    said |= {"DRAGON_HOST": "::", "DRAGON_PORT": "80", "DRAGON_THREADS": "24"}
    found = Settings.from_environ(environ | said)

    assert (found.prover_url, found.waiting) == ("https://prover:1", 2)
    assert (found.host, found.port, found.threads) == ("::", 80, 24)


def test_the_key_is_that_of_the_keystore(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert Settings.from_environ(environ).secret == KEY


def test_a_keystore_that_does_not_open_is_refused(
    environ: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for changed in ({"STREAM_KEYSTORE": str(folder / "none")}, {"STREAM_PASSWORD_FILE": "none"}):
        assert isinstance(refusal(environ | changed), KeystoreError)
    assert isinstance(refusal(environ | {"STREAM_KEYSTORE": str(folder / "token")}), KeystoreError)


def test_whatever_has_no_default_is_named_when_it_is_missing(environ: dict[str, str]) -> None:
    for name in environ:
        left = {known: value for known, value in environ.items() if known != name}
        for lacking in (left, left | {name: ""}):
            assert str(refusal(lacking)) == f"the setting {name} is missing"


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("STREAM_WAITING", 2, 100_000),
        ("DRAGON_PORT", 1, 65_535),
        ("DRAGON_THREADS", 24, 256),
    ],
)
def test_a_number_beyond_its_bounds_is_refused(
    environ: dict[str, str], name: str, least: int, most: int
) -> None:
    for value in (least, most):
        Settings.from_environ(environ | {name: str(value)})
    for wrong in (str(least - 1), str(most + 1), "many", "1e3", "-5", "30.0", "٣٠", "9" * 5000):
        error = refusal(environ | {name: wrong})
        assert str(error) == f"the setting {name} must be an integer from {least} to {most}"
        assert error.facts == {"setting": name}


@pytest.mark.parametrize("name", ["STREAM_TOKEN_FILE", "STREAM_PROVER_TOKEN_FILE"])
@pytest.mark.parametrize("token", [None, "", "short", "with spaces in it, though long"])
def test_a_token_that_is_none_is_refused(
    environ: dict[str, str], tmp_path: Path, name: str, token: str | None
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    error = refusal(environ | {name: str(file)})

    assert error.facts == {"setting": name}
    assert not token or token not in str(error)


def test_a_file_that_is_no_committee_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "committee.json").write_text("{}")

    missing = {"DRAGON_COMMITTEE": str(tmp_path / "none")}
    assert "cannot be read" in str(refusal(environ | missing))
    changed = {"DRAGON_COMMITTEE": str(tmp_path / "committee.json")}
    assert "is refused" in str(refusal(environ | changed))


@pytest.mark.parametrize("given", ["DRAGON_TLS_CERTFILE", "DRAGON_TLS_KEYFILE"])
def test_a_certificate_goes_with_its_key(environ: dict[str, str], given: str) -> None:
    error = refusal(environ | {given: "file"})

    assert f"is missing; {given} needs it" in str(error)


def test_no_secret_is_shown(environ: dict[str, str]) -> None:
    shown = repr(Settings.from_environ(environ))

    for kept in (TOKEN, PROVER_TOKEN, "the password", KEY.encode().hex(), repr(KEY)):
        assert kept not in shown
