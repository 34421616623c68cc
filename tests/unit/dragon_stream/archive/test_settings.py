"""The settings of the archive: defaults, files with keys, errors that name the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragon.errors import SettingsError
from dragon_stream.archive import opening
from dragon_stream.archive.objects import NoStore
from dragon_stream.archive.opening import open_store
from dragon_stream.archive.settings import ArchiveSettings

SECRET = "the-secret-of-the-access-key"
KEYS = {"AWS_ACCESS_KEY_ID": "an-access-key", "AWS_SECRET_ACCESS_KEY": SECRET}
ENVIRON = {"STREAM_ARCHIVE": "s3://bucket/a/b", **KEYS}


def read(**environ: str) -> ArchiveSettings:
    found = ArchiveSettings.from_environ({**ENVIRON, **environ})
    assert found is not None
    return found


def refusal(**environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        ArchiveSettings.from_environ({**ENVIRON, **environ})
    assert SECRET not in str(refused.value)
    return refused.value


def test_without_the_setting_there_is_no_archive() -> None:
    assert ArchiveSettings.from_environ({}) is None
    assert isinstance(open_store(None), NoStore)


def test_defaults() -> None:
    found = read()
    assert (found.bucket, found.prefix, found.url) == ("bucket", "a/b/", "s3://bucket/a/b")
    assert (found.region, found.endpoint, found.local_bytes) == ("us-east-1", None, 4_096_000_000)
    assert SECRET not in repr(found)
    assert (found.access_key, found.secret_key) == ("an-access-key", SECRET)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/"])
def test_a_bucket_without_prefix(url: str) -> None:
    found = read(STREAM_ARCHIVE=url)
    assert (found.prefix, found.url) == ("", "s3://bucket")


@pytest.mark.parametrize(
    "url", ["bucket", "s3://", "https://bucket", "s3://B/x", "s3://bucket/a//b", "s3://bucket/ä?"]
)
def test_another_place_is_refused(url: str) -> None:
    assert refusal(STREAM_ARCHIVE=url).facts["setting"] == "STREAM_ARCHIVE"


def test_a_bound_without_an_archive_is_refused() -> None:
    with pytest.raises(SettingsError, match="STREAM_LOCAL_MB needs STREAM_ARCHIVE"):
        ArchiveSettings.from_environ({"STREAM_LOCAL_MB": "100"})


def test_the_bound_has_a_least_value() -> None:
    assert read(STREAM_LOCAL_MB="256").local_bytes == 256_000_000
    assert refusal(STREAM_LOCAL_MB="255").facts["setting"] == "STREAM_LOCAL_MB"


@pytest.mark.parametrize("url", ["minio:9000", "ftp://minio", "https://u:p@minio", "http://m/x"])
def test_an_endpoint_is_scheme_host_and_port(url: str) -> None:
    assert read(AWS_ENDPOINT_URL="https://minio:9000/").endpoint == "https://minio:9000"
    assert refusal(AWS_ENDPOINT_URL=url).facts["setting"] == "AWS_ENDPOINT_URL"


def test_half_a_key_is_refused() -> None:
    assert refusal(AWS_SECRET_ACCESS_KEY="").facts["setting"] == "AWS_SECRET_ACCESS_KEY"
    assert refusal(AWS_ACCESS_KEY_ID="").facts["setting"] == "AWS_ACCESS_KEY_ID"


def test_keys_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"[other]\naws_access_key_id = b\naws_secret_access_key = {SECRET}%\n")
    found = read(
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_SHARED_CREDENTIALS_FILE=str(path),
        AWS_PROFILE="other",
    )
    assert (found.access_key, found.secret_key) == ("b", f"{SECRET}%")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        (f"{SECRET}\n", "does not have the format"),
        (f"[other]\naws_secret_access_key = {SECRET}\n", r"has no section \[default\]"),
        (f"[default]\naws_secret_access_key = {SECRET}\n", "AWS_ACCESS_KEY_ID is missing"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "credentials"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=says) as refused:
        ArchiveSettings.from_environ(
            {"STREAM_ARCHIVE": "s3://bucket", "AWS_SHARED_CREDENTIALS_FILE": str(path)}
        )
    assert SECRET not in str(refused.value)


def test_the_library_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LIBRARY", "no_such_library")
    with pytest.raises(SettingsError, match=r"install datadragon\[archive\]"):
        open_store(read())


def test_a_missing_authority_file_is_refused(tmp_path: Path) -> None:
    assert refusal(AWS_CA_BUNDLE=str(tmp_path / "no")).facts["setting"] == "AWS_CA_BUNDLE"
