"""The organisations of docs/founding.md: each in a compose project with a network of its own.

They share no volume and no folder. A name such as `alpha.example` leads to a published port, as it
would on hosts of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPSConnection
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import docker
import yaml
from docker.models.containers import Container

from authorities import Papers
from dragon.encoding import to_hex
from dragon.protocol.committee import Committee
from sequencers import sequencer_process
from stack import PROJECT, SERVICE, clean_up
from walkthrough import ALL, ROOT, Host, sections

NAME_SERVICE: Final = ROOT / "tests" / "name_service"
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
_ID: Final = re.compile(r"0x[0-9a-f]+…")  # how the page shortens the id of a committee
_NEXT: Final = re.compile(r"-o (epoch-[0-9]+\.json)")
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
        own = {ALPHA: name}
        if name in OPERATORS:
            operator, port = OPERATORS[name]
            own |= {"operator_1": operator, "5001": str(port)}
        names = {"PYTHONPATH": str(NAME_SERVICE), "DRAGON_TEST_ADDRESS": self.address}
        host = Host(name, self.folder / name, own, {**self.images, **names})
        host.prepare()
        made = self.papers.service(name, f"{name}.example")
        for path in (made.certfile, made.keyfile):
            shutil.copy(path or "", host.folder)
        shutil.copy(self.nodes, host.folder / "nodes.json")
        (host.folder / "fleet").mkdir()
        shutil.copy(self.papers.ca, host.folder / "fleet")
        return host

    def follow(
        self, section: str, *names: str, blocks: slice = slice(None), genesis: str = ""
    ) -> dict[str, str]:
        """Let organisations type their blocks of a section, and send each other the next committee.

        Args:
            section: the heading in the page.
            names: who is there; blocks of others are left out.
            blocks: which blocks of the section.
            genesis: what is typed in place of the page's date.

        Returns what each saw, by its name.
        """
        seen: dict[str, str] = dict.fromkeys(names, "")
        for block in sections(PAGE.read_text(encoding="utf-8"))[section][blocks]:
            hosts = [self.host(name) for name in names if block.who in (*ALL, name)]
            if "docker-compose up" in block.text:
                self.adapt(*hosts)
            text = block.text.replace("2026-12-01T12:00:00Z", genesis)
            text = text.replace("--round-seconds 5", f"--round-seconds {ROUND_SECONDS}")
            if _ID.search(text):
                text = _ID.sub(to_hex(self.next_committee(hosts[0]).id), text)
            with ThreadPoolExecutor(4) as pool:
                shown = pool.map(Host.does, hosts, [replace(block, text=text)] * len(hosts))
                for host, printed in zip(hosts, shown, strict=True):
                    seen[host.name] += printed
            for host in hosts:
                if not os.getuid():
                    host.sh("chown -R 10001:10001 fleet")
                if made := _NEXT.search(text):
                    self.send(host.name, made[1], *names)
        return seen

    def next_committee(self, host: Host) -> Committee:
        """Return the newest committee that an organisation has been sent."""
        newest = max(host.folder.glob("epoch-*.json"))
        return Committee.load(newest.read_bytes())

    def send(self, sender: str, file: str, *receivers: str) -> None:
        """Send a file that is public from one host to others."""
        for name in receivers:
            if name != sender:
                shutil.copy(self.host(sender).folder / file, self.host(name).folder)

    def adapt(self, *hosts: Host) -> None:
        """Set what differs because all hosts are one machine, and this user may be root."""
        user, group = (os.getuid(), os.getgid()) if os.getuid() else (10001, 10001)
        for host in hosts:
            host.set(
                DRAGON_UID=str(user),
                DRAGON_GID=str(group),
                BIND_ADDRESS=self.address,
                COMPOSE_PROJECT_NAME=f"{PREFIX}-{host.name}",
                DRAGON_KNOWN_CLIENTS=_BRIDGES,
            )
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

    def copy_kernels(self, host: str) -> None:
        """Put the compiled kernels of the image there: a first start takes a minute without."""
        folder = self.host(host).folder / "fleet" / "data" / "kernels"
        image = f"{self.images['IMAGE_PREFIX']}/zkp:{self.images['TAG']}"
        self.engine.containers.run(
            image,
            ["-c", f"cp /kernels/* /copy && chown {os.getuid()}:{os.getgid()} /copy/*"],
            entrypoint="sh",
            user="0",
            volumes={str(folder): {"bind": "/copy"}},
            remove=True,
        )

    def container(self, host: str, service: str = "operator") -> Container:
        labels = [f"{PROJECT}={PREFIX}-{host}", f"{SERVICE}={service}"]
        [found] = self.engine.containers.list(all=True, filters={"label": labels})
        assert isinstance(found, Container)
        return found

    def is_healthy(self, host: str, service: str = "operator") -> bool:
        """Whether a container passes its health check."""
        state = self.container(host, service).attrs["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    def identical(self, *names: str) -> bool:
        """Whether the logs of these organisations have the same entries."""
        found = [self.get(name, "/checkpoint") for name in names]
        return len({(each["size"], each["root"]) for each in found}) == 1

    def run(self, host: str, *command: str, service: str = "operator") -> str:
        """Run a command in a container; return its output. AssertionError: it fails."""
        code, output = self.container(host, service).exec_run(list(command))
        text = str(output.decode(errors="replace"))
        assert code == 0, f"{host}: {' '.join(command)}\n{text}"
        return text

    def get(self, host: str, path: str) -> Any:
        """Return the answer of an organisation's operator, or of its stream service."""
        port = OPERATORS[host][1] if host in OPERATORS else 5300
        context = ssl.create_default_context(cafile=self.papers.ca)
        context.check_hostname = False  # this machine does not know the names
        connection = HTTPSConnection(self.address, port, timeout=5, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{host}{path}: {answer.status} {body[:300]!r}"
        return json.loads(body)

    def close(self) -> None:
        for project in PROJECTS:
            clean_up(self.engine, project)
        self.engine.close()


def short_ids(seen: Mapping[str, str]) -> set[str]:
    """Return the short ids that the organisations would compare by voice."""
    return {found for text in seen.values() for found in _SHORT_ID.findall(text)}


def _gateway(config: Mapping[str, str]) -> str:
    """The engine's own address in a network: its first, unless the engine names another.

    An engine that has just started for the first time names none for its default bridge.
    """
    return config.get("Gateway") or str(next(IPv4Network(config["Subnet"]).hosts()))


@contextmanager
def organisations(folder: Path, images: Mapping[str, str]) -> Iterator[Organisations]:
    """Prepare the organisations; everything that they start is removed at the end."""
    engine = docker.from_env(timeout=60)
    bridge: dict[str, Any] = engine.networks.get("bridge").attrs
    address = _gateway(bridge["IPAM"]["Config"][0])
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
