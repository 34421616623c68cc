"""Run the commands of a page of the documentation as the organisations in it would.

A block of the page names after its language who types it: `sh everybody`, `sh each` or `sh alpha`,
with `ini` for lines of `.env`. `everybody` types the same; `each` types Alpha's commands with names
of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ALL: Final = ("everybody", "each")
_SECTION: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK: Final = re.compile(r"^```(sh|ini) (\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The page names the old command; an engine may have only the new one.
_COMPOSE: Final = (
    'command -v docker-compose >/dev/null || docker-compose() { docker compose "$@"; }'
)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, or lines of `.env`, that somebody types."""

    language: str
    who: str
    text: str


def sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks that somebody types, by the heading of their section."""
    titles = [*_SECTION.finditer(page)]
    ends = [*(each.start() for each in titles[1:]), len(page)]
    return {
        title[1]: [Block(*found.groups()) for found in _BLOCK.finditer(page, title.end(), end)]
        for title, end in zip(titles, ends, strict=True)
    }


@dataclass(frozen=True, slots=True)
class Host:
    """The host of one organisation: a folder of its own, and what it types in place of Alpha."""

    name: str
    folder: Path
    own_names: Mapping[str, str] = field(default_factory=dict)  # Alpha's → its own
    environ: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put there what a clone of the repository has, as far as it is needed."""
        (self.folder / "deploy").mkdir(parents=True)
        shutil.copy(ROOT / "deploy" / "host.env.example", self.folder / "deploy")
        for name in ("operator", "aggregator", "stream"):
            shutil.copy(ROOT / f"docker-compose.{name}.yml", self.folder)

    def does(self, block: Block) -> str:
        """Type a block; return what the commands print. AssertionError: one fails."""
        text = block.text
        if block.who == "each":
            names = re.compile("|".join(map(re.escape, self.own_names)) or "$^")
            text = names.sub(lambda found: self.own_names[found[0]], text)
        if block.language == "ini":
            self.set(**dict(line.split("=", 1) for line in text.splitlines()))
            return ""
        return self.sh(text)

    def _environ(self) -> dict[str, str]:
        """The environment of a shell in which `dragon` is on the PATH, as the page asks for."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, **self.environ, "PATH": path}

    def sh(self, commands: str, seconds: float = 180) -> str:
        """Run shell commands in the folder; return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{_COMPOSE}\n{commands}"],
            cwd=self.folder,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {commands}\n{done.stdout[-3000:]}"
        return done.stdout

    @contextmanager
    def background(self, command: str) -> Iterator[None]:
        """Let a command run in the folder meanwhile; it is terminated at the end."""
        with (self.folder / "background.log").open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)

    def set(self, **settings: str) -> None:
        """Set lines of `.env`, as somebody does who edits it."""
        file = self.folder / ".env"
        text = file.read_text()
        for name, value in settings.items():
            line = re.compile(rf"^#?{name}=.*$", re.MULTILINE)
            text = line.sub(f"{name}={value}", text) if line.search(text) else text
            if not line.search(text):
                text += f"{name}={value}\n"
        file.write_text(text)

    def files(self) -> Iterator[Path]:
        """Yield every file on this host."""
        return (path for path in sorted(self.folder.rglob("*")) if path.is_file())
