"""The public names, and the examples of docs/library.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dragon
from public_interface import STREAM_URL, surroundings
from stream_simulation import StreamWorld

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/library.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    with surroundings(tmp_path_factory.mktemp("library")) as world:
        yield world


@pytest.mark.usefixtures("fleet")
def test_the_examples_of_the_page_run_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}

    for number, example in enumerate(EXAMPLES):
        code = example.replace("http://127.0.0.1:5300", STREAM_URL)
        exec(compile(code, f"docs/library.md, example {number}", "exec"), names)

    said = capsys.readouterr().out
    assert len(EXAMPLES) == 15
    assert "quorum_not_met {'signers': 2, 'needed': 3}" in said
    assert "operator_1 up " in said
    assert re.search(r"^complete$", said, re.MULTILINE)
    assert "operator_2 was down for 35 s" in said
    assert "1 windows without a gap, 1 chunks" in said
    assert "780 bytes in 1 chunks" in said
    assert "operator_3 records " in said
    assert "saw up answered at " in said


def test_the_page_lists_every_public_name() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## The committee")[0], re.MULTILINE)

    assert sorted(listed) == sorted(dragon.__all__)


@pytest.mark.parametrize("name", dragon.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(dragon, name) is not None
    assert name in dir(dragon)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        dragon.unknown  # noqa: B018


def test_importing_the_package_loads_nothing_else() -> None:
    probe = "import sys, dragon; print(*(n for n in sys.modules if n.startswith('dragon')))"

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["dragon"]


@pytest.mark.parametrize("package", PACKAGES["targets"]["wheel"]["packages"])
def test_every_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
