"""Files and folders have exact permissions, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragon.storage import permissions
from dragon.storage.database import Database


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o077], ids=["open", "closed"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("wanted", [permissions.PUBLIC_FOLDER, permissions.PRIVATE_FOLDER])
def test_a_folder_and_its_new_parents_have_the_mode(tmp_path: Path, wanted: int) -> None:
    tmp_path.chmod(0o750)

    permissions.make_folder(tmp_path / "a" / "b", wanted)
    permissions.make_folder(tmp_path / "a" / "b", 0o700)

    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [wanted, wanted]
    assert mode(tmp_path) == 0o750


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("wanted", [permissions.PUBLIC_FILE, permissions.PRIVATE_FILE])
def test_a_new_file_has_the_mode(tmp_path: Path, wanted: int) -> None:
    os.close(permissions.open_new(tmp_path / "new", wanted))

    assert mode(tmp_path / "new") == wanted
    with pytest.raises(FileExistsError):
        permissions.open_new(tmp_path / "new", wanted)


@pytest.mark.usefixtures("umask")
def test_others_cannot_reach_the_files_of_a_database(tmp_path: Path) -> None:
    database = Database(tmp_path / "data" / "service" / "one.db")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a)")
    modes = [mode(file) for file in (tmp_path / "data" / "service").iterdir()]
    database.close()

    assert len(modes) == 3  # with `-wal` and `-shm`
    assert all(each & 0o022 == 0 for each in modes)
    assert mode(tmp_path / "data" / "service") == mode(tmp_path / "data") == 0o700


def test_forbidding_keeps_the_other_bits(umask: int) -> None:
    permissions.forbid_writing_by_others()

    assert os.umask(umask) == umask | 0o022


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="File exists"):
        permissions.make_folder(tmp_path / "file", 0o700)
