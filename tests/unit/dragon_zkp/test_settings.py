"""The prover service's settings and its token file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragon.errors import SettingsError
from dragon_zkp.settings import Settings


def test_settings_are_read_and_the_token_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    settings = Settings.from_environ(
        {"ZKP_TOKEN_FILE": str(tmp_path / "token"), "ZKP_WORKERS": "3", "ZKP_DEADLINE_MS": "2500"}
    )
    assert (settings.token, settings.workers, settings.deadline_seconds) == (
        "0123456789abcdef",
        3,
        2.5,
    )
    assert (settings.host, settings.port, settings.max_waiting) == ("127.0.0.1", 5200, 8)
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.parametrize(
    "token", ["", "short", "has spaces in its middle", "caf\xe9" * 8, "a\n" * 16]
)
def test_a_file_without_a_valid_token_is_refused(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token, "latin-1")
    with pytest.raises(SettingsError, match="needs a token") as refused:
        Settings.from_environ({"ZKP_TOKEN_FILE": str(tmp_path / "token")})
    assert refused.value.facts == {"setting": "ZKP_TOKEN_FILE"}


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ZKP_TOKEN_FILE is missing"):
        Settings.from_environ({})
    with pytest.raises(SettingsError, match="none cannot be read"):
        Settings.from_environ({"ZKP_TOKEN_FILE": str(tmp_path / "none")})
