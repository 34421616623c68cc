"""The images go through a registry, as when a fleet runs on other hosts than the builder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
import requests

from stack import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180, func_only=True)]

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry, a process on this host."""
    program = shutil.which("docker-registry")
    assert program, "docker-registry is missing; tests/e2e/engine.sh installs it"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(folder=tmp_path / "registry", port=port))
    with (tmp_path / "registry.log").open("wb") as output:
        process = subprocess.Popen([program, "serve", str(config)], stdout=output, stderr=output)
    try:
        wait_until(lambda: _answers(port), "the registry answers", 20)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(tmp_path / "registry", ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/v2/", timeout=1).ok
    except requests.ConnectionError:
        return False


def test_a_pushed_image_is_pulled_and_is_the_same(
    image: str, registry: str, report: list[str]
) -> None:
    begun = time.monotonic()
    with closing(docker.from_env(timeout=120)) as engine:
        built = engine.images.get(image)
        elsewhere = f"{registry}/datadragon/api"
        built.tag(elsewhere, "e2e")
        pushed = engine.images.push(elsewhere, "e2e", stream=True, decode=True)
        faults = [line["error"] for line in pushed if "error" in line]
        assert not faults
        engine.images.remove(f"{elsewhere}:e2e")

        pulled = engine.images.pull(elsewhere, "e2e")

        assert pulled.id == built.id
        ran = engine.containers.run(pulled.id, ["--version"], remove=True, network_mode="none")
        assert b"dragon" in ran
        engine.images.remove(f"{elsewhere}:e2e")
    report.append(f"pushed to a registry and pulled in {time.monotonic() - begun:.0f} s")
