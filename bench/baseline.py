"""The code of an earlier commit, to run the current benchmarks with it.

The commit is checked out into a git worktree in `.bench/`, on the same disk as the current code,
and removed at the end. Its folder `bench/` is replaced with the current one, so that both commits
are measured in the same way; its `tests/` stay, because benchmarks use their helpers.

Both run with the same interpreter and libraries. The folders of the packages come first on
PYTHONPATH, before those of the installed (editable) project; `check_imports` verifies that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ".bench"
IMPORT_CHECK: Final = "import sys, importlib\nfor name in sys.argv[1:]:\n    " + (
    "print(importlib.import_module(name).__file__)"
)


class BaselineError(SystemExit):
    """The commit cannot be measured. The text says why."""


def git(*arguments: str, root: Path) -> str:
    """Run git. Return its output.

    Raises:
        BaselineError: git fails, or is not installed.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise BaselineError("git is missing; it is needed to check out the base commit") from None
    if done.returncode:
        raise BaselineError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def resolve(commit: str, root: Path = ROOT) -> str:
    """The full id of a commit. Raises BaselineError: there is no such commit."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", root=root)
    except BaselineError:
        raise BaselineError(
            f"BASE={commit} is no commit of this repository; `git log` lists them"
        ) from None


def describe(root: Path = ROOT) -> str:
    """The short id of the current commit, with a sign if files differ from it."""
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", root=root)
        return git("rev-parse", "--short=12", "HEAD", root=root) + (
            " and changes" if changed else ""
        )
    except BaselineError:
        return "unknown"


@contextmanager
def worktree(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """Check a commit out, with the current benchmarks. The folder is removed at the end.

    Args:
        commit: full id, from `resolve`.
    """
    (root / FOLDER).mkdir(exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f"{commit[:12]}-", dir=root / FOLDER))
    try:
        git("worktree", "add", "--detach", "--force", str(path), commit, root=root)
        shutil.rmtree(path / "bench", ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / "bench", path / "bench", ignore=ignored)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        git("worktree", "prune", root=root)


def packages(root: Path) -> list[Path]:
    """The folders of all packages that a tree installs, from its pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return [root / each for each in listed]


def environment(root: Path) -> dict[str, str]:
    """The environment of a benchmark that measures the code in `root`."""
    folders = dict.fromkeys(str(package.parent) for package in packages(root))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def check_imports(root: Path, environ: Mapping[str, str]) -> None:
    """Verify that every package is imported from `root`.

    Raises:
        BaselineError: one is imported from elsewhere, or cannot be imported.
    """
    names = [package.name for package in packages(root)]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_CHECK, *names],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BaselineError(f"the packages cannot be imported: {last_line(done.stderr)}")
    for package, file in zip(packages(root), done.stdout.splitlines(), strict=True):
        if not Path(file).resolve().is_relative_to(package.resolve()):
            raise BaselineError(f"{package.name} is imported from {file}, not from {package}")


def last_line(text: str) -> str:
    """The last line of a program's output that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
