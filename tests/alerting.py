"""Alerts on a simulated fleet: rules, a receiver in memory, and what it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dragon.net.http_client import HttpClient
from dragon_explorer.alerts.alerting import Alerting, open_database
from dragon_explorer.alerts.channels import Attempt
from dragon_explorer.alerts.conditions import Condition
from dragon_explorer.alerts.config import AlertsConfig, Rule
from dragon_explorer.alerts.delivery import Worker
from dragon_explorer.alerts.outbox import Message
from dragon_explorer.alerts.routes import Route
from dragon_explorer.app import create_app
from explorer_fleet import EXPLORER, ExplorerWorld


@dataclass
class Receiver:
    """A channel in memory. `answers` are given in turn; then everything is accepted."""

    answers: list[Attempt] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)  # every attempt

    def send(self, message: Message) -> Attempt:
        self.messages.append(message)
        return self.answers.pop(0) if self.answers else Attempt()

    @property
    def types(self) -> list[str]:
        return [message.type for message in self.messages]

    @property
    def titles(self) -> list[str]:
        return [message.title.partition("] ")[2] for message in self.messages]

    def incidents(self, number: int = -1) -> list[Mapping[str, Any]]:
        """The incidents in the body of a message."""
        found: list[Mapping[str, Any]] = json.loads(self.messages[number].body)["data"]["incidents"]
        return found


def config(*on: Condition, **settings: Any) -> AlertsConfig:
    """One rule about these conditions, with one route."""
    rule = Rule("rule", frozenset(on), ("team",), **settings)
    route = Route("team", "webhook", "https://hooks.example.org/secret-path")
    return AlertsConfig((rule,), {"team": route})


def no_client(_: Path | None) -> HttpClient:
    raise AssertionError("no request may be sent")


@dataclass
class Alerts:
    """The alerts of a world's explorer, driven by hand."""

    world: ExplorerWorld
    config: AlertsConfig
    receiver: Receiver = field(default_factory=Receiver)

    def __post_init__(self) -> None:
        self.restart()

    def close(self) -> None:
        self.database.close()

    def restart(self) -> None:
        """Assemble the alerts anew, as after a crash of the explorer."""
        runtime = self.world.runtime(EXPLORER)
        self.database = open_database(self.world.database_file(EXPLORER))
        client: Callable[[Path | None], HttpClient] = lambda _: runtime.http  # noqa: E731
        made = Alerting.assemble(
            self.config, self.world.explorer.sources, self.database, runtime, client=client
        )
        workers = [
            Worker(name, self.receiver, made.outbox, runtime.wall, runtime.entropy)
            for name in self.config.routes
        ]
        self.alerting = replace(made, workers=workers)

    def step(self, seconds: float = 0.0) -> None:
        """Let the engine and the workers do what is due, second by second."""
        ends = self.world.clock.now + seconds
        while True:
            now = self.world.clock.now
            self.world.explorer.follower.catch_up()
            self.world.clock.now = now
            while self.alerting.engine.step():
                pass
            for worker in self.alerting.workers:
                while worker.step():
                    pass
            if self.world.clock.now >= ends:
                return
            self.world.clock.now = min(ends, self.world.clock.now + 1)

    def app(self) -> Any:
        """An app of the explorer with these alerts."""
        return create_app(replace(self.world.explorer, alerting=self.alerting))
