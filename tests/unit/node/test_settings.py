"""A missing or invalid setting is named in one sentence that contains no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import dragon_aggregator.settings
import dragon_operator.settings
from committees import make_members, secret
from dragon.encoding import to_hex
from dragon.errors import DragonError, KeystoreError, SettingsError
from dragon.node.settings import Environment
from dragon.protocol.committee import MAX_FILE_BYTES
from dragon.storage.eip2335 import Pbkdf2, Sealed

MEMBERS = make_members(targets=1, experts=1)
OPERATOR = dragon_operator.settings.Settings.from_environ
AGGREGATOR = dragon_aggregator.settings.Settings.from_environ
Read = Callable[[Mapping[str, str]], object]


def seal_lightly(name: str) -> str:
    """An operator's keystore of two iterations, quick to open; test_keystore.py has ours."""
    kdf, key = Pbkdf2(bytes(32), 2), secret(name)
    return Sealed.make(kdf, b"the password", bytes(16), key.encode(), "").write()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Committee, keystores and passwords, as in a fleet's folder."""
    made = tmp_path_factory.mktemp("fleet")
    (made / "committee.json").write_text(json.dumps(MEMBERS.committee.to_json()))
    (made / "key.json").write_text(seal_lightly("operator_2"))
    (made / "other.json").write_text(seal_lightly("operator_3"))
    (made / "password").write_text("the password\n")
    (made / "wrong").write_text("another password\n")
    return made


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    """The settings that an operator and an aggregator need."""
    return {
        "DRAGON_COMMITTEE": str(folder / "committee.json"),
        "OPERATOR_ID": "operator_2",
        "OPERATOR_KEYSTORE": str(folder / "key.json"),
        "OPERATOR_PASSWORD_FILE": str(folder / "password"),
        "OPERATOR_DATABASE": "data/operator.db",
        "AGGREGATOR_DATABASE": "data/aggregator.db",
        "SEQUENCER_NODES_FILE": "nodes.json",
    }


def refusal(read: Read, environ: Mapping[str, str]) -> DragonError:
    with pytest.raises((SettingsError, KeystoreError)) as refused:
        read(environ)
    error = refused.value
    assert "\n" not in str(error)
    assert "the password" not in str(error)
    return error


def test_an_operators_settings_are_read(environ: dict[str, str]) -> None:
    settings = OPERATOR(environ)

    assert settings.operator == "operator_2"
    assert settings.committee == MEMBERS.committee
    assert settings.secret == secret("operator_2")
    assert settings.database == Path("data/operator.db")
    assert (settings.host, settings.port) == ("127.0.0.1", 5001)


def test_an_aggregators_settings_are_read(environ: dict[str, str]) -> None:
    settings = AGGREGATOR({**environ, "AGGREGATOR_RANK": "2", "DRAGON_PORT": "5199"})

    assert settings.committee == MEMBERS.committee
    assert (settings.rank, settings.port) == (2, 5199)
    assert settings.nodes_files == (Path("nodes.json"),)


LISTED = (OPERATOR, "OPERATOR_STREAMS_FILE"), (AGGREGATOR, "AGGREGATOR_STREAMS_FILE")


@pytest.mark.parametrize(("read", "name"), LISTED)
def test_a_list_of_streams_is_read(
    environ: dict[str, str], tmp_path: Path, read: Any, name: str
) -> None:
    path = tmp_path / "streams.txt"
    path.write_text(f"0x{'0a' * 32}\n\n0x{'0b' * 32}\n")

    assert read(environ).listed_streams is None
    listed = read({**environ, name: str(path)}).listed_streams
    assert listed == {b"\x0a" * 32, b"\x0b" * 32}

    for wrong in ("0x0a", "sensor-1", "é"):
        path.write_text(wrong)
        assert refusal(read, {**environ, name: str(path)}).facts == {"setting": name}
    path.unlink()
    assert refusal(read, {**environ, name: str(path)}).facts == {"setting": name}


def test_the_representation_does_not_contain_the_secret(environ: dict[str, str]) -> None:
    shown = repr(OPERATOR(environ)) + str(OPERATOR(environ))

    for private in (secret("operator_2").encode().hex(), str(secret("operator_2").scalar)):
        assert private not in shown
    assert "secret" not in shown


NEEDED: list[tuple[Read, str]] = [
    (OPERATOR, "DRAGON_COMMITTEE"),
    (OPERATOR, "OPERATOR_ID"),
    (OPERATOR, "OPERATOR_KEYSTORE"),
    (OPERATOR, "OPERATOR_PASSWORD_FILE"),
    (OPERATOR, "OPERATOR_DATABASE"),
    (OPERATOR, "SEQUENCER_NODES_FILE"),
    (AGGREGATOR, "DRAGON_COMMITTEE"),
    (AGGREGATOR, "AGGREGATOR_DATABASE"),
    (AGGREGATOR, "SEQUENCER_NODES_FILE"),
]


@pytest.mark.parametrize(("read", "name"), NEEDED, ids=lambda item: str(item)[:24])
@pytest.mark.parametrize("left", ["missing", "empty"])
def test_a_missing_setting_is_named(
    environ: dict[str, str], read: Read, name: str, left: str
) -> None:
    del environ[name]
    if left == "empty":
        environ[name] = ""

    error = refusal(read, environ)

    assert str(error) == f"the setting {name} is missing"
    assert error.facts == {"setting": name}


NUMBERS = [
    (OPERATOR, "DRAGON_PORT", 1, 65535),
    (OPERATOR, "DRAGON_THREADS", None, 256),
    (AGGREGATOR, "AGGREGATOR_RANK", 0, 63),
    (AGGREGATOR, "DRAGON_PORT", 1, 65535),
    (AGGREGATOR, "DRAGON_THREADS", None, 256),
]


@pytest.mark.parametrize(("read", "name", "least", "most"), NUMBERS)
def test_a_number_outside_its_bounds_is_refused(
    environ: dict[str, str], read: Read, name: str, least: int | None, most: int
) -> None:
    wrong = ["-1", "1.5", "five", " 5", "5 ", "+5", "0x10", "1e3", "²", "٣", "1_0", str(most + 1)]
    # More digits than allowed, starting like a valid number.
    wrong += ["0" * 17 + "19999999", "0" * 18 + "9999999", "0" * 18 + "9" * 5000]
    if least:
        wrong.append(str(least - 1))

    for value in wrong:
        error = refusal(read, {**environ, name: value})
        assert f"the setting {name} must be an integer from " in str(error), value
        assert error.facts == {"setting": name}

    for value in (str(most), *([str(least)] if least is not None else [])):
        read({**environ, name: value})


def test_an_empty_setting_means_the_default(environ: dict[str, str]) -> None:
    assert OPERATOR({**environ, "DRAGON_PORT": ""}).port == 5001


# Files that the settings name


INVALID_COMMITTEES: dict[str, tuple[Callable[[], bytes], str]] = {
    "no JSON": (lambda: b"committee", "not_json"),
    "no committee": (lambda: b"{}", "missing_member"),
    "a list": (lambda: b"[]", "wrong_type"),
    "too large": (lambda: b"{}" + b" " * MAX_FILE_BYTES, "too_large"),
    "two operators": (lambda: _without_operators(2), "too_few_operators"),
}


def _without_operators(left: int) -> bytes:
    value = MEMBERS.committee.to_json()
    operators = value["operators"]
    assert isinstance(operators, list)
    return json.dumps({**value, "operators": operators[:left]}).encode()


@pytest.mark.parametrize("what", INVALID_COMMITTEES)
@pytest.mark.parametrize("read", [OPERATOR, AGGREGATOR], ids=["operator", "aggregator"])
def test_a_refused_committee_file_is_named_with_the_reason(
    environ: dict[str, str], tmp_path: Path, read: Read, what: str
) -> None:
    make, reason = INVALID_COMMITTEES[what]
    path = tmp_path / "committee.json"
    path.write_bytes(make())

    error = refusal(read, {**environ, "DRAGON_COMMITTEE": str(path)})

    assert str(error).startswith(f"the committee file {path} is refused: {reason}: ")
    assert error.facts == {"setting": "DRAGON_COMMITTEE"}


def test_an_unreadable_committee_file_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        error = refusal(OPERATOR, {**environ, "DRAGON_COMMITTEE": str(path)})
        assert str(error).startswith(f"the committee file {path} cannot be read: ")


@pytest.mark.parametrize("operator", ["target_1", "expert_1", "Operator 1", "../operator_1"])
def test_an_id_that_no_operator_can_have_is_refused(environ: dict[str, str], operator: str) -> None:
    error = refusal(OPERATOR, {**environ, "OPERATOR_ID": operator})

    assert operator in str(error)
    assert error.facts == {"setting": "OPERATOR_ID"}


def test_an_operator_that_no_committee_lists_yet_starts_without_a_seat(
    environ: dict[str, str],
) -> None:
    settings = OPERATOR({**environ, "OPERATOR_ID": "operator_9"})

    assert settings.operator == "operator_9"
    assert settings.seat.secret_in(settings.committee) is None


def test_an_operator_whose_key_is_rotated_signs_with_the_listed_one(
    environ: dict[str, str], folder: Path
) -> None:
    """Before the handover with the present key, after it with the next one."""
    listed, other = str(folder / "key.json"), str(folder / "other.json")
    password = {"OPERATOR_NEXT_PASSWORD_FILE": str(folder / "password")}
    before = {**environ, **password, "OPERATOR_NEXT_KEYSTORE": other}
    after = {**before, "OPERATOR_KEYSTORE": other, "OPERATOR_NEXT_KEYSTORE": listed}

    for keys in (before, after):
        settings = OPERATOR(keys)
        assert settings.seat.secret_in(settings.committee) == secret("operator_2")
    error = refusal(OPERATOR, {**before, "OPERATOR_NEXT_PASSWORD_FILE": ""})
    assert error.facts == {"setting": "OPERATOR_NEXT_PASSWORD_FILE"}


def test_the_keystore_of_another_operator_is_refused(environ: dict[str, str], folder: Path) -> None:
    error = refusal(OPERATOR, {**environ, "OPERATOR_KEYSTORE": str(folder / "other.json")})

    assert error.facts == {"setting": "OPERATOR_KEYSTORE"}
    assert to_hex(MEMBERS.committee.keys["operator_2"].raw) in str(error)


@pytest.mark.parametrize("name", ["OPERATOR_KEYSTORE", "OPERATOR_PASSWORD_FILE"])
def test_a_missing_key_file_is_named(environ: dict[str, str], name: str, tmp_path: Path) -> None:
    path = tmp_path / "none"

    error = refusal(OPERATOR, {**environ, name: str(path)})

    assert isinstance(error, KeystoreError)
    assert str(path) in str(error)


def test_a_wrong_password_is_refused(environ: dict[str, str], folder: Path) -> None:
    error = refusal(OPERATOR, {**environ, "OPERATOR_PASSWORD_FILE": str(folder / "wrong")})

    assert isinstance(error, KeystoreError)
    assert "another password" not in str(error)


def test_a_setting_without_a_default_is_required() -> None:
    environment = Environment({"A": "a"})

    assert environment.text("A", "b") == "a"
    assert environment.text("B", "b") == "b"
    assert environment.path("A") == Path("a")
    with pytest.raises(SettingsError):
        environment.text("B")


def test_proxies_are_addresses_and_networks() -> None:
    values = Environment({"DRAGON_PROXIES": "10.0.0.0/8, 2001:db8::1,,192.0.2.1"})

    found = values.networks("DRAGON_PROXIES")

    assert [str(each) for each in found] == ["10.0.0.0/8", "2001:db8::1/128", "192.0.2.1/32"]
    assert Environment({}).networks("DRAGON_PROXIES") == ()


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0"])
def test_a_proxy_that_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="DRAGON_PROXIES") as caught:
        Environment({"DRAGON_PROXIES": f"192.0.2.1,{value}"}).networks("DRAGON_PROXIES")
    assert caught.value.facts["setting"] == "DRAGON_PROXIES"


def test_known_clients_are_names_addresses_and_networks() -> None:
    values = Environment({"DRAGON_KNOWN_CLIENTS": "stream-api, 10.0.0.0/8,prometheus.example"})

    found = values.hosts("DRAGON_KNOWN_CLIENTS")

    assert found == ("stream-api", "10.0.0.0/8", "prometheus.example")
    assert Environment({}).hosts("DRAGON_KNOWN_CLIENTS") == ()


@pytest.mark.parametrize("value", ["a b", "10.0.0.1/8", "https://one.example", "10.0.0.256", "*"])
def test_a_known_client_that_has_no_valid_form_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="DRAGON_KNOWN_CLIENTS"):
        Environment({"DRAGON_KNOWN_CLIENTS": value}).hosts("DRAGON_KNOWN_CLIENTS")


def test_node_lists_are_separated_by_commas(environ: dict[str, str]) -> None:
    settings = OPERATOR({**environ, "SEQUENCER_NODES_FILE": "nodes.json, next/nodes.json"})
    assert settings.nodes_files == (Path("nodes.json"), Path("next/nodes.json"))

    assert "names no file" in str(refusal(OPERATOR, {**environ, "SEQUENCER_NODES_FILE": " , "}))


def test_a_node_list_may_have_a_comma_in_its_path(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "nodes, old.json"
    path.write_text("{}")

    assert OPERATOR({**environ, "SEQUENCER_NODES_FILE": str(path)}).nodes_files == (path,)
