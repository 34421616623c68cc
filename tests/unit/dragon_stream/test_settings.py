"""Settings of the stream service: defaults, limits, errors that name the setting, secrets."""

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
    """All settings without a default. Opening a real keystore is slow, so most tests do not."""
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


def test_other_settings_have_the_documented_defaults(environ: dict[str, str]) -> None:
    found = Settings.from_environ(environ)

    assert found.committee == COMMITTEE
    assert (found.secret, found.token, found.prover_tokens) == (KEY, TOKEN, (PROVER_TOKEN,))
    assert (found.database, found.data) == (Path("data/stream.db"), Path("data/streams"))
    assert (found.prover_urls, found.max_pending_windows) == (("http://127.0.0.1:5200",), 256)
    assert found.prover_requests == 4
    assert (found.host, found.port, found.threads) == ("127.0.0.1", 5300, 96)
    assert (found.connections, found.connections_per_address) == (1024, 512)
    assert found.origins == frozenset()
    assert found.tls.certfile is None


def test_origins_are_listed_with_commas(environ: dict[str, str]) -> None:
    given = {"STREAM_ORIGINS": "https://App.example:443, http://127.0.0.1:8080,"}
    origins = {"https://app.example", "http://127.0.0.1:8080"}
    assert Settings.from_environ(environ | given).origins == origins


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "*", "ftp://a", "a b"])
def test_an_origin_that_no_browser_sends_is_refused(environ: dict[str, str], origin: str) -> None:
    error = refusal(environ | {"STREAM_ORIGINS": f"https://app.example,{origin}"})
    assert error.facts == {"setting": "STREAM_ORIGINS"}
    assert f"contains {origin};" in str(error)


def test_settings_override_the_defaults(environ: dict[str, str]) -> None:
    given = {"STREAM_PROVER_URLS": "https://a:1, https://b:2/", "STREAM_WAITING": "2"}
    given |= {"DRAGON_HOST": "::", "DRAGON_PORT": "80", "DRAGON_THREADS": "24"}
    found = Settings.from_environ(environ | given)

    assert (found.prover_urls, found.max_pending_windows) == (("https://a:1", "https://b:2"), 2)
    assert found.prover_tokens == (PROVER_TOKEN, PROVER_TOKEN)
    assert (found.host, found.port, found.threads) == ("::", 80, 24)


def test_each_prover_may_have_a_token_of_its_own(environ: dict[str, str], folder: Path) -> None:
    files = f"{folder / 'prover-token'},{folder / 'token'}"
    environ |= {"STREAM_PROVER_TOKEN_FILE": files, "STREAM_PROVER_URLS": "http://a:1,http://b:2"}
    assert Settings.from_environ(environ).prover_tokens == (PROVER_TOKEN, TOKEN)

    error = refusal(environ | {"STREAM_PROVER_URLS": "http://a:1,http://b:2,http://c:3"})
    assert error.facts == {"setting": "STREAM_PROVER_TOKEN_FILE"}
    assert "2 files for 3 URLs" in str(error)


@pytest.mark.parametrize("url", ["prover:5200", "http://prover/path", "ftp://prover", "http://a b"])
def test_a_wrong_url_of_a_prover_is_refused(environ: dict[str, str], url: str) -> None:
    error = refusal(environ | {"STREAM_PROVER_URLS": f"http://a:1,{url}"})
    assert error.facts == {"setting": "STREAM_PROVER_URLS"}
    assert repr(url) in str(error)


def test_there_are_at_most_16_provers(environ: dict[str, str]) -> None:
    urls = ",".join(f"http://prover:{port}" for port in range(1, 18))
    assert "17 URLs" in str(refusal(environ | {"STREAM_PROVER_URLS": urls}))


def test_the_former_setting_of_one_prover_is_refused_by_name(environ: dict[str, str]) -> None:
    error = refusal(environ | {"STREAM_PROVER_URL": "http://prover:5200"})
    assert "set STREAM_PROVER_URLS" in str(error)


def test_the_key_is_read_from_the_keystore(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert Settings.from_environ(environ).secret == KEY


def test_a_keystore_that_cannot_be_opened_is_refused(
    environ: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for changed in ({"STREAM_KEYSTORE": str(folder / "none")}, {"STREAM_PASSWORD_FILE": "none"}):
        assert isinstance(refusal(environ | changed), KeystoreError)
    assert isinstance(refusal(environ | {"STREAM_KEYSTORE": str(folder / "token")}), KeystoreError)


def test_a_missing_setting_is_named(environ: dict[str, str]) -> None:
    for name in environ:
        left = {known: value for known, value in environ.items() if known != name}
        for lacking in (left, left | {name: ""}):
            error = refusal(lacking)
            assert error.facts == {"setting": name}
            assert name in str(error)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("STREAM_WAITING", 2, 100_000),
        ("STREAM_PROVER_REQUESTS", 1, 64),
        ("DRAGON_PORT", 1, 65_535),
        ("DRAGON_THREADS", 24, 256),
        ("DRAGON_CONNECTIONS", 16, 60_000),
        ("DRAGON_CONNECTIONS_PER_ADDRESS", 4, 60_000),
    ],
)
def test_a_number_outside_its_range_is_refused(
    environ: dict[str, str], name: str, least: int, most: int
) -> None:
    for value in (least, most):
        Settings.from_environ(environ | {name: str(value)})
    for wrong in (str(least - 1), str(most + 1), "many", "1e3", "-5", "30.0", "٣٠", "9" * 5000):
        error = refusal(environ | {name: wrong})
        assert all(word in str(error) for word in (name, str(least), str(most)))
        assert error.facts == {"setting": name}


@pytest.mark.parametrize("name", ["STREAM_TOKEN_FILE", "STREAM_PROVER_TOKEN_FILE"])
@pytest.mark.parametrize("token", [None, "", "short", "with spaces in it, though long"])
def test_a_missing_or_weak_token_is_refused(
    environ: dict[str, str], tmp_path: Path, name: str, token: str | None
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    error = refusal(environ | {name: str(file)})

    assert error.facts == {"setting": name}
    assert not token or token not in str(error)


def test_an_unusable_committee_file_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "committee.json").write_text("{}")

    for name in ("none", "committee.json"):
        error = refusal(environ | {"DRAGON_COMMITTEE": str(tmp_path / name)})
        assert error.facts == {"setting": "DRAGON_COMMITTEE"}
        assert str(tmp_path / name) in str(error)


@pytest.mark.parametrize("given", ["DRAGON_TLS_CERTFILE", "DRAGON_TLS_KEYFILE"])
def test_a_certificate_requires_its_key_and_the_reverse(
    environ: dict[str, str], given: str
) -> None:
    error = refusal(environ | {given: "file"})

    assert given in str(error)


def test_repr_contains_no_secret(environ: dict[str, str]) -> None:
    shown = repr(Settings.from_environ(environ))

    for hidden in (TOKEN, PROVER_TOKEN, "the password", KEY.encode().hex(), repr(KEY)):
        assert hidden not in shown
