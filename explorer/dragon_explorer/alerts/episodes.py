"""Episodes: incidents as one rule sees them, on disk from their begin until their end is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

from sqlalchemy import Connection, text

from dragon_explorer.alerts.conditions import FACTS, OF_STREAMS, Condition

SCHEMA: Final = "dragon_explorer.alerts:migrations"
# Episodes about streams that are not closed; further ones are not recorded. The others are bounded
# by the nodes and services of the committee.
MAX_ACTIVE: Final = 2000
MAX_CLOSED: Final = 2000  # closed episodes that are kept for the page
NO_POSITION: Final = -1


@dataclass(slots=True)
class Episode:
    """One incident of one rule. Times are Unix seconds."""

    rule: str
    condition: Condition
    subject: str  # a node, a service, a stream, or the name of the condition
    begun: int
    sentence: str
    seen_at: float  # when the explorer noticed it
    begin_position: int = NO_POSITION  # of the event in the log that began it
    ended: int | None = None
    end_position: int = NO_POSITION  # of the event in the log that ended it
    ended_seen_at: float | None = None
    announced: bool = False  # a message about its begin is in the outbox
    closed: bool = False  # nothing more is told about it
    reminders: int = 0
    remind_at: float | None = None
    id: int = 0  # 0: not on disk yet

    @property
    def key(self) -> tuple[str, Condition, str]:
        return self.rule, self.condition, self.subject

    @property
    def lasts(self) -> bool:
        return self.ended is None

    def end(self, ended: int, noticed: float, position: int = NO_POSITION) -> None:
        """Note the end. Args: `position`, of the event in the log that ended it."""
        self.ended, self.ended_seen_at, self.end_position = ended, noticed, position

    @property
    def is_certified(self) -> bool:
        return FACTS[self.condition].certified


_COLUMNS: Final = tuple(name for name in Episode.__slots__ if name != "id")
_KEY: Final = ("rule", "condition", "subject", "begun", "begin_position")


class Episodes:
    """The active episodes within one transaction, and new ones."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.active = list(_select(connection, "closed = 0 ORDER BY id"))
        self._stored = {each.id: replace(each) for each in self.active}

    def find(self, rule: str, condition: Condition, subject: str) -> Episode | None:
        """The active episode of that key that lasts."""
        key = (rule, condition, subject)
        return next((each for each in self.active if each.key == key and each.lasts), None)

    def open(self, episode: Episode) -> bool:
        """Record a new episode. Returns False if it is known already, or if there are too many."""
        if episode.condition in OF_STREAMS and self._count_of_streams() >= MAX_ACTIVE:
            return False
        known = self._connection.execute(
            text(
                "SELECT 1 FROM episodes WHERE " + " AND ".join(f"{name} = :{name}" for name in _KEY)  # noqa: S608
            ),
            {name: getattr(episode, name) for name in _KEY},
        ).first()
        if known is None:
            self.active.append(episode)
        return known is None

    def _count_of_streams(self) -> int:
        return sum(each.condition in OF_STREAMS for each in self.active)

    def recent(self, key: tuple[str, Condition, str], since: int) -> int:
        """How many episodes of that key have begun since a time."""
        query = text(
            "SELECT COUNT(*) FROM episodes WHERE rule = :rule AND condition = :condition "
            "AND subject = :subject AND begun >= :since"
        )
        values = dict(zip(("rule", "condition", "subject"), key, strict=True))
        return int(self._connection.execute(query, {**values, "since": since}).scalar_one())

    def save(self) -> None:
        """Write what has changed, and delete the oldest closed episodes."""
        changed_ones = [each for each in self.active if self._stored.get(each.id) != each]
        if not changed_ones:
            return
        columns = ", ".join(_COLUMNS)
        values = ", ".join(f":{name}" for name in _COLUMNS)
        changed = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY)
        self._connection.execute(
            text(
                f"INSERT INTO episodes ({columns}) VALUES ({values}) "  # noqa: S608
                f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changed}"
            ),
            [asdict(each) for each in changed_ones],
        )
        self._connection.execute(
            text(
                "DELETE FROM episodes WHERE closed = 1 AND id <= "
                "(SELECT MAX(id) FROM episodes) - :kept"
            ),
            {"kept": MAX_CLOSED},
        )


def newest(connection: Connection, limit: int) -> list[Episode]:
    """The newest episodes: those that last, then the others."""
    return list(_select(connection, "1 ORDER BY ended IS NOT NULL, begun DESC LIMIT :n", n=limit))


def counts(connection: Connection) -> dict[str, int]:
    """How many episodes last, by condition."""
    query = text("SELECT condition, COUNT(*) FROM episodes WHERE ended IS NULL GROUP BY condition")
    return {row[0]: row[1] for row in connection.execute(query)}


def read_progress(connection: Connection) -> int | None:
    """How many entries of the log were read; None before the first time."""
    found = connection.execute(text("SELECT entries FROM progress WHERE id = 1")).first()
    return None if found is None else int(found[0])


def write_progress(connection: Connection, entries: int) -> None:
    connection.execute(
        text(
            "INSERT INTO progress (id, entries) VALUES (1, :entries) "
            "ON CONFLICT (id) DO UPDATE SET entries = excluded.entries"
        ),
        {"entries": entries},
    )


def _select(connection: Connection, where: str, **values: object) -> Iterator[Episode]:
    query = f"SELECT id, {', '.join(_COLUMNS)} FROM episodes WHERE {where}"  # noqa: S608
    for row in connection.execute(text(query), values).mappings():
        found = dict(row)
        found["condition"] = Condition(found["condition"])
        yield Episode(
            **{**found, "announced": bool(row["announced"]), "closed": bool(row["closed"])}
        )
