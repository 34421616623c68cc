"""Values that a shell completes: nodes, operators, aggregators, streams and alert routes.

They are hints while somebody types: nothing is verified, a service is waited for at most one
second, and whatever fails gives no values and no message.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from dragon_cli.fleet.layout import Home

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

WAIT_SECONDS: Final = 0.8  # for a service; with the start of the program about a second
MAX_FILE_BYTES: Final = 4 << 20
MAX_ANSWER_BYTES: Final = 1 << 20
# A shell would read other characters as code, and a file or service may hold anything.
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)

_Pairs: TypeAlias = Iterable[tuple[str, str]]  # a value, and what it is
Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completer(find: Callable[[click.Context], _Pairs]) -> Completer:
    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Imported here, because every command imports this module.
        from click.shell_completion import CompletionItem  # noqa: PLC0415

        try:
            found = dict(find(context))
        except Exception:  # whatever it is: somebody is typing a command
            return []
        fitting = [
            CompletionItem(value, help=what if _SAFE.fullmatch(what) else None)
            for value, what in found.items()
            if value.startswith(incomplete) and _SAFE.fullmatch(value)
        ]
        # Long ids only if no name fits.
        return [each for each in fitting if not each.value.startswith("0x")] or fitting

    return complete


def _home(context: click.Context) -> Home:
    """The folder of the fleet; of commands that read a committee file only, that file's folder."""
    if file := context.params.get("committee_file"):
        return Home(Path(file).parent)
    return Home(Path(context.params.get("home") or os.environ.get("DRAGON_HOME") or "fleet"))


def _committee(context: click.Context) -> Mapping[str, Any]:
    """The committee file, which is only read: to check its keys would take too long."""
    path = context.params.get("committee_file") or _home(context).committee_file
    with Path(path).open("rb") as file:
        found: Mapping[str, Any] = json.loads(file.read(MAX_FILE_BYTES))
    return found


def _operators(context: click.Context) -> _Pairs:
    return [(each["id"], "operator") for each in _committee(context)["operators"]]


def _targets(context: click.Context) -> _Pairs:
    return [(each["id"], "target") for each in _committee(context)["targets"]]


def _nodes(context: click.Context) -> _Pairs:
    return [*_operators(context), *_targets(context)]


def _members(context: click.Context) -> _Pairs:
    found = _committee(context)
    roles = ("operators", "experts", "owners")
    return [(each["id"], role[:-1]) for role in roles for each in found.get(role, [])]


def _leaves(context: click.Context) -> _Pairs:
    """The nodes of a period report, which is only read."""
    with Path(context.params["file"]).open("rb") as file:
        found = json.loads(file.read(MAX_FILE_BYTES))
    return [(leaf["node_id"], "node") for leaf in found["leaves"]]


def _ranks(context: click.Context) -> _Pairs:
    return [(str(each["rank"]), "aggregator") for each in _committee(context)["aggregators"]]


def _routes(context: click.Context) -> _Pairs:
    import tomllib  # noqa: PLC0415 - imported here, because every command imports this module

    path = context.params.get("file") or _home(context).alerts_file
    with Path(path).open("rb") as file:
        found = tomllib.loads(file.read(MAX_FILE_BYTES).decode())
    return [(name, "route") for name in found["routes"]]


def _streams(context: click.Context) -> list[tuple[str, str]]:
    """The name and the id of every stream of the service, or of all services of the fleet."""
    # Imported here, because every command imports this module.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from dragon.net.http_client import HttpClient  # noqa: PLC0415
    from dragon.net.session import make_session  # noqa: PLC0415

    home = _home(context)
    http = HttpClient(make_session(context.params.get("ca") or home.ca))

    def ask(url: str) -> list[tuple[str, str]]:
        with suppress(Exception):  # one service less
            answer: Any = http.get(
                f"{url}/streams", deadline=WAIT_SECONDS, max_bytes=MAX_ANSWER_BYTES
            ).successful()
            return [(each["name"], each["stream"]) for each in answer["streams"]]
        return []

    services = home.stream_services()
    if name := context.params.get("service"):
        services = {name: services[name]}
    urls = [context.params["url"]] if context.params.get("url") else [*services.values()]
    with ThreadPoolExecutor(max(1, len(urls))) as executor:
        return [each for found in executor.map(ask, urls) for each in found]


def _services(context: click.Context) -> _Pairs:
    return [(name, url) for name, url in _home(context).stream_services().items()]


def _streams_by_name_or_id(context: click.Context) -> _Pairs:
    named = _streams(context)
    return [*named, *((id_, name) for name, id_ in named)]


def _stream_ids(context: click.Context) -> _Pairs:
    return [(id_, name) for name, id_ in _streams(context)]


complete_nodes: Final = _completer(_nodes)
complete_leaves: Final = _completer(_leaves)
complete_operators: Final = _completer(_operators)
complete_targets: Final = _completer(_targets)
complete_members: Final = _completer(_members)
complete_ranks: Final = _completer(_ranks)
complete_routes: Final = _completer(_routes)
complete_services: Final = _completer(_services)
complete_streams: Final = _completer(_streams_by_name_or_id)
complete_stream_ids: Final = _completer(_stream_ids)
