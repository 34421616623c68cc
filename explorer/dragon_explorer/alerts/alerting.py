"""Alerts as a whole: engine, outbox and the workers of the routes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dragon.net.http_client import HttpClient
from dragon.net.runtime import Runtime
from dragon.storage.database import Database
from dragon.storage.disk import Disk
from dragon_explorer.alerts import episodes
from dragon_explorer.alerts.channels import channel
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig
from dragon_explorer.alerts.delivery import ATTEMPT_FAILED, Worker
from dragon_explorer.alerts.engine import Engine
from dragon_explorer.alerts.episodes import SCHEMA, Episode
from dragon_explorer.alerts.outbox import DELIVERED, FAILED, Outbox, drop_routes
from dragon_explorer.alerts.problems import Watch
from dragon_explorer.replaceable import open_replaceable
from dragon_explorer.sources import Sources

OUTCOMES: Final = (DELIVERED, ATTEMPT_FAILED, FAILED)


def open_database(log_file: Path) -> Database:
    """Open `explorer-alerts.db` beside `explorer.db`."""
    return open_replaceable(log_file.with_name(f"{log_file.stem}-alerts.db"), SCHEMA)


@dataclass(frozen=True)
class Alerting:
    """The alerts of one explorer."""

    config: AlertsConfig
    database: Database
    outbox: Outbox
    engine: Engine
    workers: Sequence[Worker]

    @classmethod
    def assemble(
        cls,
        config: AlertsConfig,
        sources: Sources,
        database: Database,
        runtime: Runtime,
        *,
        disks: Sequence[Disk] = (),
        client: Callable[[Path | None], HttpClient] = HttpClient.create,
    ) -> Self:
        """Connect the parts.

        Args:
            disks: the explorer's own.
            client: makes the HTTP client of a webhook, which trusts a CA file or the system's
                authorities. The fleet's CA is for the fleet's services only.

        Raises SettingsError: a CA file cannot be used.
        """
        wall = runtime.wall
        outbox = Outbox(database)
        with database.write() as connection:
            drop_routes(connection, list(config.routes), wall())
        engine = Engine(
            sources=sources,
            watch=Watch(sources, disks),
            config=config,
            database=database,
            outbox=outbox,
            wall=wall,
        )
        workers = [
            Worker(name, channel(route, client, wall), outbox, wall, runtime.entropy)
            for name, route in config.routes.items()
        ]
        return cls(config, database, outbox, engine, workers)

    def loops(self) -> list[Callable[[threading.Event], None]]:
        """The functions that run on threads of their own until the event is set."""
        return [self.engine.run, *(worker.run for worker in self.workers)]

    def reasons(self) -> Iterator[str]:
        """Why no alert can be made or noted; nothing if all is well."""
        if self.engine.fault:
            yield f"damaged: no alerts are made: {self.engine.fault}"

    def newest_episodes(self, limit: int) -> list[Episode]:
        """The newest episodes: those that last, then the others."""
        with self.database.read() as connection:
            return episodes.newest(connection, limit)

    def metrics(self, wall: float) -> Iterator[Metric]:
        """The metrics of incidents and deliveries. `wall`: the current Unix seconds."""
        with self.database.read() as connection:
            lasting = episodes.counts(connection)
        incidents = GaugeMetricFamily(
            "datadragon_alert_incidents",
            "Incidents that last, by condition; one that several rules watch counts for each.",
            labels=["condition"],
        )
        for condition in Condition:
            incidents.add_metric([str(condition)], lasting.get(str(condition), 0))
        yield incidents
        yield from self._deliveries(wall)

    def _deliveries(self, wall: float) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "datadragon_alert_attempts",
            "Attempts to deliver a message since the start, by route and outcome: delivered, "
            "attempt_failed (will be repeated, or is given up), failed (given up).",
            labels=["route", "outcome"],
        )
        waiting = GaugeMetricFamily(
            "datadragon_alert_waiting_messages",
            "Messages that wait for delivery, by route.",
            labels=["route"],
        )
        oldest = GaugeMetricFamily(
            "datadragon_alert_oldest_waiting_seconds",
            "Age of the oldest message that waits for delivery, in seconds, by route; 0 if none.",
            labels=["route"],
        )
        found = self.outbox.waiting()
        for worker in self.workers:
            count, since = found.get(worker.name, (0, wall))
            for outcome in OUTCOMES:
                attempts.add_metric([worker.name, outcome], worker.counts.get(outcome, 0))
            waiting.add_metric([worker.name], count)
            oldest.add_metric([worker.name], max(0.0, wall - since))
        yield from (attempts, waiting, oldest)
