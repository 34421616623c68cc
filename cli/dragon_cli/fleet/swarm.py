"""The stack file of a founded fleet, for `docker stack deploy` (Docker Swarm).

Keys become secrets, public files become configs. The name of each contains a part of its SHA-256,
because Swarm never changes one that exists: a file that changes gets a new name, and the next
deployment replaces it. Data stays in volumes of the node on which a service runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from dragon.errors import SettingsError
from dragon_cli.errors import UnusableFile
from dragon_cli.fleet.layout import SEQUENCER, Home, aggregator_name, service_kind

STACK: Final = "docker-stack.yml"
USER_ID: Final = 10001  # of the user in the images
DIGEST_CHARS: Final = 12  # of a file's SHA-256, in the name of a secret or config
_HOME: Final = "/fleet"  # in the containers
_PUBLIC: Final = ("committee.json", "lineage.json", "nodes.json", "services.json", "ca.crt")
_NAMED: Final = ("zkp", "stream")  # kinds of services that `--name` selects
# Kinds that verify or make many proofs run from the larger image, which has compiled code.
_COMPILED: Final = ("operator", "aggregator", "explorer", "zkp", "stream")
_KERNELS: Final = ("operator", "zkp", "stream")  # kinds that keep compiled kernels
_MEMORY: Final = {"operator": "384M", "zkp": "1280M", "stream": "512M"}
_CORES: Final = {"zkp": "2.0", "stream": "2.0"}
_SETTINGS: Final = {
    "operator": {"OPERATOR_OBJECTS_MB": "512"},
    "aggregator": {"AGGREGATOR_OBJECTS_MB": "256"},
}
# A service with data stops before its successor starts: two processes never share a database.
_STOP_FIRST: Final = {"parallelism": 1, "order": "stop-first", "monitor": "60s"}
_START_FIRST: Final = {"parallelism": 1, "order": "start-first", "monitor": "60s"}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Swarm:
    """The stack of one fleet.

    `published`: names of services whose ports are opened on all addresses of their node.
    `pinned`: whether each service with data runs only on the node with the label
    `datadragon.<service>=true`.
    """

    home: Home
    published: Sequence[str] = ()
    pinned: bool = False

    def text(self) -> str:
        """Return the stack file.

        Raises:
            SettingsError: the fleet is not founded for containers, or a published service is not
                in it.
            UnusableFile: a file of the fleet cannot be read.
        """
        urls = self.services()
        if unknown := sorted(set(self.published) - urls.keys()):
            known = ", ".join(urls)
            raise SettingsError(f"`--publish` {unknown[0]} is no service; expected one of {known}")
        document = {
            "version": "3.9",  # the engine's client requires one
            "services": {host(name): self._service(name, url) for name, url in urls.items()},
            "networks": {
                "fleet": {"driver": "overlay"},
                "proofs": {"driver": "overlay", "internal": True},
            },
            "volumes": {volume: {} for name in urls for volume in self._volumes(name).values()},
            "configs": {self._named(path): self._file(path) for path in self._configs()},
            "secrets": {
                self._named(path): self._file(path) for name in urls for path in self._keys(name)
            },
        }
        head = "# Docker Swarm. Written by `dragon swarm`; write it again after each change.\n"
        return head + "\n".join(_lines(document)) + "\n"

    def services(self) -> dict[str, str]:
        """Return the URLs of all services by name.

        Raises SettingsError: a URL does not have the host name of its service.
        """
        committee = self.home.committee()
        urls = {SEQUENCER: self.home.sequencer_url()} if self.home.sequencer_keys.exists() else {}
        urls |= {operator.id: operator.url for operator in committee.operators}
        for rank, aggregator in enumerate(committee.aggregators):
            urls[aggregator_name(rank)] = aggregator.url
        urls |= self.home.services()
        for name, url in urls.items():
            if urlsplit(url).hostname != host(name):
                raise SettingsError(
                    f"{name} has the URL {url}, expected the host name {host(name)}. Found the "
                    "fleet with `dragon init --containers`."
                )
        return urls

    def _service(self, name: str, url: str) -> Document:
        kind, port = service_kind(name), urlsplit(url).port or 0
        found: Document = {
            "image": f"${{IMAGE_PREFIX:-datadragon}}/{_image(kind)}:${{TAG:-latest}}",
            "command": _command(kind, name),
            "init": True,
            "read_only": True,
            "cap_drop": ["ALL"],
            "environment": {"DRAGON_PORT": str(port), **_SETTINGS.get(kind, {})},
            "networks": {"zkp": ["proofs"], "stream": ["fleet", "proofs"]}.get(kind, ["fleet"]),
            "stop_grace_period": "6s",
            "healthcheck": {
                # Not `/readyz`: Swarm gives a service its name only when it is healthy, and an
                # operator is ready only when it reaches others by their names.
                "test": ["CMD", "python", "-m", "dragon.node.health", "--path", "/healthz"],
                "interval": "15s",
                "timeout": "10s",
                "retries": 3,
                "start_period": "180s",
            },
            "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
            "deploy": self._deployment(kind, name),
            "volumes": [
                {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 16 << 20}},  # noqa: S108
                *(f"{volume}:{target}" for target, volume in self._volumes(name).items()),
            ],
            "configs": [
                {"source": self._named(path), "target": f"{_HOME}/{path.name}"}
                for path in self._configs()
            ],
        }
        if keys := [self._secret(path) for path in self._keys(name)]:
            found["secrets"] = keys
        if name in self.published:
            found["ports"] = [{"target": port, "published": port, "mode": "host"}]
        return found

    def _deployment(self, kind: str, name: str) -> Document:
        update = _START_FIRST if kind == "zkp" and name not in self.published else _STOP_FIRST
        limits = {
            "cpus": _CORES.get(kind, "1.0"),
            "memory": _MEMORY.get(kind, "256M"),
            "pids": 384 + 48 * len(self.home.committee().operators)
            if kind == "aggregator"
            else 256,
        }
        found: Document = {
            "replicas": 1,
            "endpoint_mode": "dnsrr",  # the name is the container's own address
            "update_config": {**update, "failure_action": "rollback"},
            "rollback_config": update,
            "restart_policy": {"condition": "any", "delay": "2s"},
            "resources": {"limits": limits},
        }
        if self.pinned and kind != "zkp":
            found["placement"] = {"constraints": [f"node.labels.datadragon.{name} == true"]}
        return found

    def _volumes(self, name: str) -> dict[str, str]:
        """Return the volumes of a service: from the folder in the container to the name."""
        kind = service_kind(name)
        found = {} if kind == "zkp" else {f"{_HOME}/data/{name}": f"{host(name)}-data"}
        return found | ({"/kernels": f"{host(name)}-kernels"} if kind in _KERNELS else {})

    def _configs(self) -> list[Path]:
        return [path for name in _PUBLIC if (path := self.home.path / name).exists()]

    def _keys(self, name: str) -> list[Path]:
        folder = self.home.keys / name
        return sorted(path for path in folder.glob("*") if path.is_file())

    def _secret(self, path: Path) -> Document:
        target = f"{_HOME}/keys/{path.parent.name}/{path.name}"
        owner = str(USER_ID)
        return {"source": self._named(path), "target": target, "uid": owner, "mode": 0o400}

    def _named(self, path: Path) -> str:
        """Return the name of a secret or config, which changes with the file."""
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARS]
        except OSError as error:
            raise UnusableFile(f"cannot read {path}: {error.strerror}") from None
        parts = path.relative_to(self.home.path).parts
        return "-".join((*(part.replace(".", "-") for part in parts), digest)).removeprefix("keys-")

    def _file(self, path: Path) -> Document:
        return {"file": f"./{path.relative_to(self.home.path)}"}


def host(name: str) -> str:
    """Return the host name of a service, which is its name in the stack."""
    return name.replace("_", "-")


def _image(kind: str) -> str:
    return "zkp" if kind in _COMPILED else "api"


def _command(kind: str, name: str) -> list[str]:
    match kind:
        case "operator":
            return ["serve", kind, "--id", name]
        case "aggregator":
            return ["serve", kind, *(["--rank", name.partition("_")[2]] if "_" in name else [])]
        case _ if kind in _NAMED:
            return ["serve", kind, "--name", name]
        case _:
            return ["serve", kind]


def _lines(value: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Write a mapping as YAML. Lists, and mappings without further mappings, take one line each."""
    for key, item in value.items():
        start = f"{'  ' * depth}{key}:"
        if isinstance(item, Mapping) and any(isinstance(v, Mapping) for v in item.values()):
            yield start
            yield from _lines(item, depth + 1)
        elif isinstance(item, list) and any(isinstance(each, Mapping) for each in item):
            yield start
            yield from (f"{'  ' * depth}  - {_flow(each)}" for each in item)
        else:
            yield f"{start} {_flow(item)}"


def _flow(value: object) -> str:
    """Write a value on one line; YAML reads JSON."""
    return json.dumps(value, ensure_ascii=False)
