"""A database is brought up to date when it is behind, and refused when it is ahead."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from committees import make_members
from dragon.errors import DatabaseTooNew
from dragon.log.archive import archive
from dragon.log.audit import audit
from dragon.log.schema import LOG_SCHEMA
from dragon.storage.blobs import SCHEMA as OBJECTS
from dragon.storage.database import Database
from dragon.storage.schema import is_behind, known
from dragon_aggregator.outbox import SCHEMA as OUTBOX
from dragon_cli.fleet.create import Plan, Ports, make_fleet
from dragon_cli.fleet.layout import Home
from dragon_cli.main import main
from dragon_operator.journal_file import SCHEMA as JOURNAL
from dragon_operator.verdict_store import SCHEMA as VERDICTS
from dragon_stream.store import SCHEMA as STREAMS
from ports import free_block

SCHEMAS = [LOG_SCHEMA, OBJECTS, OUTBOX, JOURNAL, VERDICTS, STREAMS]

OPEN = """
import sys
from pathlib import Path
from dragon.log.schema import LOG_SCHEMA
from dragon.storage.database import Database

Database(Path(sys.argv[1]), LOG_SCHEMA, "dragon_operator:migrations").close()
print("alembic" in sys.modules)
"""


def loads_alembic(path: Path) -> bool:
    arguments = [sys.executable, "-c", OPEN, str(path)]
    said = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout
    return {"True": True, "False": False}[said.strip()]


def behind(schema: str, path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        return is_behind(schema, path, database.execute)


def set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE schema_log SET version_num = ?", (revision,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log's database, up to date."""
    Database(tmp_path / "operator.db", LOG_SCHEMA).close()
    return tmp_path / "operator.db"


@pytest.fixture
def newer(path: Path) -> Path:
    set_revision(path, "log_0099")
    return path


@pytest.mark.parametrize("location", SCHEMAS)
def test_the_revisions_are_those_that_alembic_finds(location: str) -> None:
    config = Config()
    config.set_main_option("script_location", location)
    scripts = ScriptDirectory.from_config(config)

    assert known(location).head == scripts.get_current_head()
    assert known(location).revisions == {each.revision for each in scripts.walk_revisions()}


@pytest.mark.usefixtures("computed_anew")
@pytest.mark.parametrize("location", SCHEMAS)
def test_a_new_database_is_behind_until_it_is_opened(tmp_path: Path, location: str) -> None:
    path = tmp_path / "new.db"
    assert behind(location, path)

    Database(path, location).close()

    assert not behind(location, path)


def test_alembic_is_loaded_only_for_a_database_that_is_behind(tmp_path: Path) -> None:
    path = tmp_path / "operator.db"

    assert loads_alembic(path)
    assert not loads_alembic(path)


@pytest.mark.usefixtures("computed_anew")
@pytest.mark.parametrize("location", SCHEMAS)
def test_a_database_of_any_earlier_release_is_brought_up_to_date(
    tmp_path: Path, location: str
) -> None:
    for number, revision in enumerate(sorted(known(location).revisions)):
        path = tmp_path / f"{number}.db"
        config, database = Config(), Database(path)
        config.set_main_option("script_location", location)
        with database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        database.close()
        assert behind(location, path) == (revision != known(location).head)

        Database(path, location).close()

        assert not behind(location, path)


def test_an_outbox_of_an_earlier_release_keeps_its_events(tmp_path: Path) -> None:
    path, config = tmp_path / "aggregator.db", Config()
    config.set_main_option("script_location", OUTBOX)
    database = Database(path)
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "outbox_0001")
        connection.exec_driver_sql(
            "INSERT INTO outbox (node_id, event, not_before) VALUES ('operator_2', '{}', 7.5)"
        )
    database.close()

    Database(path, OUTBOX).close()

    with closing(sqlite3.connect(path)) as opened:
        rows = opened.execute("SELECT ordering_key, event, not_before, sends FROM outbox")
        assert rows.fetchall() == [("operator_2", "{}", 7.5, 0)]


def test_a_database_of_a_newer_release_is_refused_by_its_name(newer: Path) -> None:
    before = newer.read_bytes()

    for use in (
        lambda: Database(newer, LOG_SCHEMA),
        lambda: audit(newer, make_members().committee),
        lambda: archive(newer),
    ):
        with pytest.raises(DatabaseTooNew) as refused:
            use()
        assert str(refused.value) == (
            f"{newer} was written by a newer release of DataDragon (schema log_0099; this release "
            f"knows {known(LOG_SCHEMA).head}); install that release, or use another file"
        )

    assert newer.read_bytes() == before


def test_a_command_ends_with_code_three(newer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["log", "archive", str(newer)])

    out, err = capsys.readouterr()
    assert (done.value.code, out) == (3, "")
    assert err.startswith(f"dragon: failed: database_too_new: {newer} was written by a newer")


@pytest.mark.processes
def test_a_service_ends_with_code_three_and_one_sentence(newer: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "fleet")
    make_fleet(home, Plan(ports=Ports(operators=free_block(6))), genesis=1_700_000_000)
    dragon = [sys.executable, "-m", "dragon_cli.main", "serve", "operator", "--id", "operator_1"]

    done = subprocess.run(
        [*dragon, "--home", str(home.path)],
        env={**os.environ, "OPERATOR_DATABASE": str(newer)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1
    assert said[0].startswith(f"dragon: database_too_new: {newer} was written by a newer release")
    assert "Traceback" not in done.stdout + done.stderr
