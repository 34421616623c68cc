"""The organisations of docs/founding.md: each in a compose project with a network of its own.

They share no volume and no folder. A name such as `alpha.example` leads to a published port, as it
would on hosts of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import docker
import yaml
from docker.models.containers import Container

from authorities import Papers
from sequencers import sequencer_process
from stack import PROJECT, SERVICE, clean_up
from walkthrough import ALL, ROOT, Host, sections

PAGE: Final = ROOT / "docs" / "founding.md"
ALPHA: Final = "alpha"
PREFIX: Final = "datadragon-e2e"
# By organisation: the id and the port of its operator.
OPERATORS: Final = {
    "alpha": ("operator_1", 5001),
    "beta": ("operator_2", 5002),
    "gamma": ("operator_3", 5003),
    "delta": ("operator_4", 5004),
    "epsilon": ("operator_5", 5005),
}
FOUNDERS: Final = tuple(OPERATORS)[:4]
DATA: Final = "data"  # owns data, and has no operator
ROUND_SECONDS: Final = 2
PROJECTS: Final = [f"{PREFIX}-{name}" for name in (*OPERATORS, DATA)]
_SHORT_ID: Final = re.compile(r"by voice: ((?:[0-9a-f]{4} ?){10})$", re.MULTILINE)
_BRIDGES: Final = "172.16.0.0/12,192.168.0.0/16"  # all come from the one machine


@dataclass(slots=True)
class Organisations:
    """All hosts, and the page that they follow."""

    engine: docker.DockerClient
    address: str  # of this machine, on which all ports are published
    papers: Papers
    nodes: Path
    folder: Path
    images: Mapping[str, str]
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, name: str) -> Host:
        """The host of an organisation; prepared when it is first asked for."""
        if name not in self.hosts:
            self.hosts[name] = self._prepared(name)
        return self.hosts[name]

    def _prepared(self, name: str) -> Host:
        own = {"alpha": name}
        if name in OPERATORS:
            operator, port = OPERATORS[name]
            own |= {"operator_1": operator, "5001": str(port)}
        host = Host(name, self.folder / name, own, self.images)
        host.prepare()
        made = self.papers.service(name, f"{name}.example")
        for path in (made.certfile, made.keyfile):
            shutil.copy(path or "", host.folder)
        shutil.copy(self.nodes, host.folder / "nodes.json")
        (host.folder / "fleet").mkdir()
        shutil.copy(self.papers.ca, host.folder / "fleet")
        return host

    def follow(self, section: str, everybody: tuple[str, ...] = FOUNDERS) -> dict[str, str]:
        """Type the blocks of a section; return what each organisation saw, by its name."""
        changes = {
            "2026-12-01T12:00:00Z": time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime()),
            "--round-seconds 5": f"--round-seconds {ROUND_SECONDS}",
        }
        seen: dict[str, str] = {}
        for block in sections(PAGE.read_text(encoding="utf-8"))[section]:
            who = everybody if block.who in ALL else (block.who,)
            hosts = [self.host(name) for name in who]
            if "docker-compose up" in block.text:
                self.adapt(*hosts)
            with ThreadPoolExecutor(4) as pool:
                printed = pool.map(lambda host: host.does(block, changes), hosts)  # noqa: B023
                for name, text in zip(who, printed, strict=True):
                    seen[name] = seen.get(name, "") + text
        return seen

    def adapt(self, *hosts: Host) -> None:
        """Do what differs because all hosts are one machine, and this user may be root."""
        user, group = (os.getuid(), os.getgid()) if os.getuid() else (10001, 10001)
        for host in hosts:
            host.set(
                DRAGON_UID=str(user),
                DRAGON_GID=str(group),
                BIND_ADDRESS=self.address,
                COMPOSE_PROJECT_NAME=f"{PREFIX}-{host.name}",
                DRAGON_KNOWN_CLIENTS=_BRIDGES,
            )
            if not os.getuid():
                host.sh("chown -R 10001:10001 fleet")
            self._resolve_names(host)

    def _resolve_names(self, host: Host) -> None:
        settings = dict(re.findall(r"^(\w+)=(.*)$", (host.folder / ".env").read_text(), re.M))
        files = [name for name in settings["COMPOSE_FILE"].split(":") if name != "names.yml"]
        services: set[str] = set()
        for file in files:
            services |= yaml.safe_load((host.folder / file).read_text())["services"].keys()
        names = [f"{name}.example:{self.address}" for name in (*OPERATORS, DATA)]
        quick = {"healthcheck": {"interval": "3s"}, "extra_hosts": names}
        (host.folder / "names.yml").write_text(
            yaml.safe_dump({"services": dict.fromkeys(sorted(services), quick)})
        )
        host.set(COMPOSE_FILE=":".join([*files, "names.yml"]))

    def exchange(self, pattern: str, *among: str) -> None:
        """Send the files of a pattern from each host to all others."""
        sent = [file for name in among for file in self.host(name).folder.glob(pattern)]
        for name in among:
            for file in sent:
                if file.parent != self.host(name).folder:
                    shutil.copy(file, self.host(name).folder)

    def container(self, host: str, service: str = "operator") -> Container:
        labels = [f"{PROJECT}={PREFIX}-{host}", f"{SERVICE}={service}"]
        [found] = self.engine.containers.list(all=True, filters={"label": labels})
        assert isinstance(found, Container)
        return found

    def run(self, host: str, *command: str, service: str = "operator") -> str:
        """Run a command in a container; return its output. AssertionError: it fails."""
        code, output = self.container(host, service).exec_run(list(command))
        text = str(output.decode(errors="replace"))
        assert code == 0, f"{host}: {' '.join(command)}\n{text}"
        return text

    def close(self) -> None:
        for project in PROJECTS:
            clean_up(self.engine, project)
        self.engine.close()


def short_ids(seen: Mapping[str, str]) -> set[str]:
    """Return the short ids that the organisations would compare by voice."""
    return {found for text in seen.values() for found in _SHORT_ID.findall(text)}


@contextmanager
def organisations(folder: Path, images: Mapping[str, str]) -> Iterator[Organisations]:
    """Prepare the organisations; everything that they start is removed at the end."""
    engine = docker.from_env(timeout=60)
    bridge: dict[str, Any] = engine.networks.get("bridge").attrs
    address = str(bridge["IPAM"]["Config"][0]["Gateway"])
    for project in PROJECTS:  # also what a run left that was killed
        clean_up(engine, project)
    papers = folder / "papers"
    papers.mkdir()
    with sequencer_process(folder / "sequencer", address, "datadragon") as nodes:
        made = Organisations(engine, address, Papers.make(papers), nodes, folder / "hosts", images)
        try:
            yield made
        finally:
            made.close()
