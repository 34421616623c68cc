"""The stream services of a fleet: which one has a stream, and which one gets a new one.

Each service has its own streams. A fleet with a single one, or a command with `--url`, asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from dragon.encoding import Json
from dragon.errors import BadAnswer, NotFound, PeerError, Unreachable
from dragon.net.http_client import HttpClient
from dragon.net.retries import Retries
from dragon.net.stream_client import StreamClient
from dragon_cli.errors import AmbiguousStream, NotListed
from dragon_cli.fleet import queries
from dragon_cli.fleet.layout import MAX_NUMBERED, Home
from dragon_cli.fleet.streams import connect
from dragon_cli.hints import with_hint

DEADLINE_SECONDS: Final = 5.0  # for the answers of all services
MAX_ANSWER_BYTES: Final = 2 << 20
DOWN_HINT: Final = "Try again when it answers, or choose another service with `--service`."


@dataclass(frozen=True, slots=True)
class ServiceAt:
    """The stream service that the options of a command name."""

    url: str | None = None  # `--url`
    name: str | None = None  # `--service`, as in the list of the fleet's services

    def client(
        self,
        home: Home,
        ca: Path | None,
        stream: str,
        *,
        may_be_new: bool = False,
        retries: Retries | None = None,
    ) -> StreamClient:
        """Return a client of the service that has the stream; it has no token yet.

        Args:
            stream: id (0x…) or name.
            may_be_new: with a name that no service knows, return the one with the fewest streams.
            retries: repeats requests after temporary failures; None: every failure is raised.

        Raises:
            UsageError: both options are given.
            NotListed: the fleet has no service of this name.
            NotFound: no service has the stream.
            AmbiguousStream: several services have a stream of this name.
            Unreachable: the services that answer do not have it, and another does not answer.
        """
        if self.url and self.name:
            raise click.UsageError("Use only one of `--url` and `--service`.")
        services = home.stream_services()
        if self.name:
            if self.name not in services:
                listed = ", ".join(services) or "none"
                message = f"The fleet has no stream service {self.name}; it has {listed}."
                raise with_hint(NotListed(message), f"They are listed in {home.services_file}.")
            return connect(home, services[self.name], ca, retries)
        if self.url or len(services) < 2:
            return connect(home, self.url, ca, retries)
        http = queries.connect(home, ca)

        def choose() -> str:
            known = KnownStreams.ask(services, http)
            return known.service(stream, may_be_new=may_be_new)

        chosen = retries.call(choose) if retries else choose()
        return connect(home, services[chosen], ca, retries)


@dataclass(frozen=True, slots=True)
class KnownStreams:
    """What the stream services of a fleet say about their streams."""

    streams: Mapping[str, list[dict[str, Json]]]  # descriptions, by service that answers
    silent: Mapping[str, str]  # why others do not answer

    @classmethod
    def ask(cls, services: Mapping[str, str], http: HttpClient) -> KnownStreams:
        """Ask all services (name → URL) concurrently, within one deadline. Never raises PeerError.

        Services are in the order of `services`.
        """

        def answer(name: str) -> list[dict[str, Json]] | PeerError:
            try:
                return _streams(http, services[name])
            except PeerError as error:
                return error

        with ThreadPoolExecutor(MAX_NUMBERED) as executor:
            answers = dict(zip(services, executor.map(answer, services), strict=True))
        return cls(
            {name: said for name, said in answers.items() if not isinstance(said, PeerError)},
            {name: str(said) for name, said in answers.items() if isinstance(said, PeerError)},
        )

    def service(self, stream: str, *, may_be_new: bool) -> str:
        """Return the name of the service that has a stream. Raises as `ServiceAt.client`."""
        having = [name for name, listed in self.streams.items() if _has(listed, stream)]
        if len(having) == 1:
            return having[0]
        if having:
            message = f"Several stream services have a stream {stream!a}: {', '.join(having)}."
            raise AmbiguousStream(message)
        if self.silent:
            raise with_hint(self._unreachable(stream), DOWN_HINT)
        if may_be_new and not stream.startswith("0x"):
            return min(self.streams, key=lambda name: len(self.streams[name]))
        listed = (str(each.get("name")) for each in self._all())
        names = ", ".join(sorted(listed)) or "none"
        missing = NotFound(f"No stream service has a stream {stream!a}; their streams: {names}.")
        raise with_hint(missing, "")

    def _all(self) -> list[dict[str, Json]]:
        return [each for listed in self.streams.values() for each in listed]

    def _unreachable(self, stream: str) -> Unreachable:
        silent = "; ".join(f"{name} does not answer: {why}" for name, why in self.silent.items())
        others = ", ".join(self.streams)
        known = f"{others} {'has' if len(self.streams) == 1 else 'have'} no stream {stream!a}, and "
        return Unreachable(f"{known if others else ''}{silent}.", silent=dict(self.silent))


def _streams(http: HttpClient, url: str) -> list[dict[str, Json]]:
    """Return the descriptions of a service's streams. Raises PeerError."""
    answer = http.get(
        f"{url}/streams", deadline=DEADLINE_SECONDS, max_bytes=MAX_ANSWER_BYTES
    ).successful()
    if not isinstance(answer, dict) or not isinstance(answer.get("streams"), list):
        raise BadAnswer("the answer contains no list `streams`")
    return queries.rows(answer, "streams")


def _has(listed: list[dict[str, Json]], stream: str) -> bool:
    member = "stream" if stream.startswith("0x") else "name"
    return any(each.get(member) == stream for each in listed)
