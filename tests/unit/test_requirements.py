"""The pinned, hashed lists are what `pyproject.toml` asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
PROVER, ARCHIVE, ALERTS = EXTRAS["prover"], EXTRAS["archive"], EXTRAS["alerts"]
ASKED = {
    "requirements.txt": DEPENDENCIES + PROVER + ARCHIVE + ALERTS,
    "requirements-api.txt": DEPENDENCIES + ALERTS,
    "requirements-dev.txt": PROJECT["dependency-groups"]["dev"],
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(name: str) -> list[str]:
    """One line for each pinned package, comments left out."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def pins(name: str) -> dict[str, list[Version]]:
    """Package → its versions: more than one where they differ between platforms."""
    found: dict[str, list[Version]] = {}
    for line in entries(name):
        requirement = Requirement(HASH.sub("", line))
        [exact] = requirement.specifier
        assert exact.operator == "==", line
        known = found.setdefault(canonicalize_name(requirement.name), [])
        known.append(Version(exact.version))
    return found


@pytest.mark.parametrize("name", ASKED)
def test_every_line_is_one_exact_version_with_hashes(name: str) -> None:
    assert entries(name)
    for line in entries(name):
        assert HASH.search(line), line
        assert "http" not in line.partition("--hash")[0], line
        assert Requirement(HASH.sub("", line)).specifier


@pytest.mark.parametrize(
    ("name", "asked"), [(name, asked) for name, listed in ASKED.items() for asked in listed]
)
def test_every_direct_dependency_is_pinned_to_a_version_that_satisfies_it(
    name: str, asked: str
) -> None:
    requirement, pinned = Requirement(asked), pins(name)

    versions = pinned[canonicalize_name(requirement.name)]

    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("name", ["requirements-api.txt", "requirements-dev.txt"])
def test_the_lists_agree_where_they_overlap(name: str) -> None:
    ours, theirs = pins("requirements.txt"), pins(name)

    assert {name: ours[name] for name in ours.keys() & theirs} == {
        name: theirs[name] for name in ours.keys() & theirs
    }


def test_what_prover_and_stream_service_add_is_compiled_code() -> None:
    assert pins("requirements.txt").keys() - pins("requirements-api.txt").keys() == {
        "llvmlite",
        "numba",
        "numpy",
        "obstore",
    }


# The server's worker is subclassed, which no minor version of gunicorn promises to leave alone.
CEILINGS = {"gunicorn"}


def test_every_direct_dependency_has_a_floor_and_a_ceiling_only_where_it_must() -> None:
    for asked in (*ASKED["requirements.txt"], *ASKED["requirements-dev.txt"]):
        requirement = Requirement(asked)
        bounds = sorted(bound.operator for bound in requirement.specifier)
        assert bounds == (["<", ">="] if requirement.name in CEILINGS else [">="]), asked
