"""The shape of the repository, kept by a test because Python will not complain in time."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOLS = PROJECT["tool"]
PACKAGES = [ROOT / name for name in TOOLS["hatch"]["build"]["targets"]["wheel"]["packages"]]
HOMES = sorted({package.parent for package in PACKAGES})


def modules_in(package: Path) -> set[str]:
    files = {path.stem for path in package.rglob("*.py")}
    return files | {path.parent.name for path in package.rglob("__init__.py")}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_where_the_project_says(package: Path) -> None:
    assert (package / "__init__.py").is_file()


@pytest.mark.parametrize("home", HOMES, ids=lambda path: path.name)
def test_the_folder_around_a_package_is_not_one_itself(home: Path) -> None:
    """`operator/__init__.py` would stand in for the standard library's `operator` in every Python
    started at the root, and Flask would die on its first import."""
    assert not list(home.glob("*.py"))


@pytest.mark.parametrize("home", HOMES, ids=lambda path: path.name)
def test_a_home_holds_one_package(home: Path) -> None:
    packages = {path.parent for path in home.glob("*/__init__.py")}

    assert packages == {package for package in PACKAGES if package.parent == home}
    assert len(packages) == 1


def test_no_package_bears_the_name_of_a_home() -> None:
    homes = {home.name for home in HOMES}
    names = [package.name for package in PACKAGES]

    assert not homes & set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_module_takes_a_name_from_the_standard_library(package: Path) -> None:
    assert not modules_in(package) & sys.stdlib_module_names


def test_the_root_holds_no_module() -> None:
    assert not list(ROOT.glob("*.py"))


def test_tests_see_the_homes_and_not_the_root() -> None:
    seen = TOOLS["pytest"]["ini_options"]["pythonpath"]

    assert sorted(seen) == sorted([*(home.name for home in HOMES), "tests"])


def test_no_folder_of_tests_is_a_package() -> None:
    """`tests/operator/__init__.py` would be the next trap."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not (ROOT / "tests" / "operator").exists()


def test_every_tool_knows_every_package() -> None:
    names = sorted(package.name for package in PACKAGES)

    assert sorted(TOOLS["mypy"]["packages"]) == names
    assert sorted(TOOLS["importlinter"]["root_packages"]) == names


def test_python_at_the_root_still_finds_its_own_operator() -> None:
    """As in a container: the working directory and PYTHONPATH are both the root."""
    probe = "import operator, flask; assert operator.itemgetter(0)([7]) == 7"
    environ = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    finished = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=environ, check=False)

    assert finished.returncode == 0


def test_python_finds_every_package_through_the_homes() -> None:
    """Together, and the standard library's `operator` beside them."""
    imports = ", ".join(package.name for package in PACKAGES)
    probe = f"import {imports}, operator; assert operator.itemgetter(0)([7]) == 7"
    environ = {
        "PYTHONPATH": ":".join(str(home) for home in HOMES),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    finished = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=environ, check=False)

    assert finished.returncode == 0
