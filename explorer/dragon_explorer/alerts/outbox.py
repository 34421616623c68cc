"""The outbox: messages on disk, and their deliveries by route until they are done.

A message is delivered at least once: its delivery is noted after the receiver has accepted it. Its
id is the same for every attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from dragon.storage.database import Database

WAITING, DELIVERED, FAILED, DROPPED = "waiting", "delivered", "failed", "dropped"
OUTCOMES: Final = (DELIVERED, FAILED, DROPPED)
MAX_WAITING: Final = 500  # deliveries of one route; the oldest are dropped beyond
MAX_POSTPONED_SECONDS: Final = 3600  # until the next attempt; pauses are shorter
MAX_KEPT: Final = 2000  # deliveries that are kept after they are done


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: for people as title and text, for programs as a body in JSON."""

    id: str
    rule: str
    type: str  # condition and phase, such as `node_down.begun`
    created: float  # Unix seconds
    title: str
    text: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one route. Times are Unix seconds."""

    id: int
    message: Message
    route: str
    state: str
    created: float
    attempts: int
    not_before: float
    error: str  # why the last attempt failed
    finished: float | None


class Outbox:
    """The tables of messages and deliveries. Any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.version = 0  # grows when a delivery changes

    def add(self, connection: Connection, message: Message, routes: Sequence[str]) -> None:
        """Add a message within the caller's transaction. A known message is not added again."""
        connection.execute(
            text(
                "INSERT OR IGNORE INTO messages (id, rule, type, created, title, text, body) "
                "VALUES (:id, :rule, :type, :created, :title, :text, :body)"
            ),
            {name: getattr(message, name) for name in Message.__slots__},
        )
        for route in routes:
            values = {
                "message": message.id,
                "route": route,
                "now": message.created,
                "kept": MAX_WAITING,
            }
            connection.execute(
                text(
                    "INSERT OR IGNORE INTO deliveries (message, route, state, created, not_before) "
                    "VALUES (:message, :route, 'waiting', :now, :now)"
                ),
                values,
            )
            connection.execute(
                text(
                    "UPDATE deliveries SET state = 'dropped', finished = :now, error = "
                    "'too many messages wait for this route' WHERE state = 'waiting' "
                    "AND route = :route AND id <= (SELECT id FROM deliveries WHERE route = :route "
                    "AND state = 'waiting' ORDER BY id DESC LIMIT 1 OFFSET :kept)"
                ),
                values,
            )
        _prune(connection)
        self.version += 1

    def due(self, route: str, now: float) -> Delivery | None:
        """The oldest delivery of a route that may be attempted now.

        A delivery that waits for a distant time was postponed before the clock was set back.
        """
        where = (
            "d.state = 'waiting' AND route = :route AND "
            "(not_before <= :now OR not_before > :distant) ORDER BY d.id LIMIT 1"
        )
        with self._database.read() as connection:
            distant = now + MAX_POSTPONED_SECONDS
            found = _select(connection, where, route=route, now=now, distant=distant)
        return found[0] if found else None

    def note_delivered(self, delivery: Delivery, now: float) -> None:
        """Note that the receiver accepted it; what waits for the route may be attempted at once."""
        with self._database.write() as connection:
            _finish(connection, delivery, DELIVERED, now, "")
            connection.execute(
                text(
                    "UPDATE deliveries SET not_before = :now WHERE route = :route "
                    "AND state = 'waiting' AND own_pause = 0"
                ),
                {"now": now, "route": delivery.route},
            )
        self.version += 1

    def note_failed(self, delivery: Delivery, now: float, error: str) -> None:
        """Note that it is given up."""
        with self._database.write() as connection:
            _finish(connection, delivery, FAILED, now, error)
        self.version += 1

    def postpone(
        self, delivery: Delivery, not_before: float, error: str, *, own_pause: bool
    ) -> None:
        """Note a failed attempt and the time of the next one."""
        query = text(
            "UPDATE deliveries SET attempts = attempts + 1, not_before = :not_before, "
            "own_pause = :own_pause, error = :error WHERE id = :id AND state = 'waiting'"
        )
        values = {
            "id": delivery.id,
            "not_before": not_before,
            "own_pause": int(own_pause),
            "error": error,
        }
        with self._database.write() as connection:
            connection.execute(query, values)
        self.version += 1

    def newest(self, limit: int) -> list[Delivery]:
        """The newest deliveries, newest first."""
        with self._database.read() as connection:
            return _select(connection, "1 ORDER BY d.id DESC LIMIT :limit", limit=limit)

    def waiting(self) -> dict[str, tuple[int, float]]:
        """By route: how many deliveries wait, and since when the oldest one does."""
        query = text(
            "SELECT route, COUNT(*), MIN(created) FROM deliveries "
            "WHERE state = 'waiting' GROUP BY route"
        )
        with self._database.read() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def created_since(connection: Connection, rule: str, since: float) -> list[tuple[float, str]]:
    """When the messages of a rule since a time were made, oldest first, and their types."""
    query = text(
        "SELECT created, type FROM messages WHERE rule = :rule AND created >= :since ORDER BY 1"
    )
    rows = connection.execute(query, {"rule": rule, "since": since})
    return [(row[0], row[1]) for row in rows]


def drop_routes(connection: Connection, known: Sequence[str], now: float) -> None:
    """Drop what waits for routes that the file does not describe any more."""
    rows = connection.execute(text("SELECT DISTINCT route FROM deliveries WHERE state = 'waiting'"))
    for route in {row[0] for row in rows} - set(known):
        connection.execute(
            text(
                "UPDATE deliveries SET state = 'dropped', finished = :now, error = "
                "'the route is no longer in the file' WHERE route = :route AND state = 'waiting'"
            ),
            {"route": route, "now": now},
        )


def _finish(connection: Connection, delivery: Delivery, state: str, now: float, error: str) -> None:
    connection.execute(
        text(
            "UPDATE deliveries SET state = :state, finished = :now, error = :error, "
            "attempts = attempts + 1 WHERE id = :id AND state = 'waiting'"
        ),
        {"id": delivery.id, "state": state, "now": now, "error": error},
    )


def _prune(connection: Connection) -> None:
    connection.execute(
        text(
            "DELETE FROM deliveries WHERE state != 'waiting' AND id <= "
            "(SELECT MAX(id) FROM deliveries) - :kept"
        ),
        {"kept": MAX_KEPT},
    )
    connection.execute(
        text("DELETE FROM messages WHERE id NOT IN (SELECT message FROM deliveries)")
    )


_SELECTED: Final = (
    "d.id, m.id AS message, rule, type, m.created AS made, title, text, body, route, state, "
    "d.created, attempts, not_before, error, finished "
    "FROM deliveries d JOIN messages m ON m.id = d.message"
)


def _select(connection: Connection, where: str, **values: object) -> list[Delivery]:
    query = f"SELECT {_SELECTED} WHERE {where}"
    return [
        Delivery(
            row.id,
            Message(row.message, row.rule, row.type, row.made, row.title, row.text, row.body),
            row.route,
            row.state,
            row.created,
            row.attempts,
            row.not_before,
            row.error,
            row.finished,
        )
        for row in connection.execute(text(query), values)
    ]
