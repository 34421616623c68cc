"""The README repeats what the code knows; here they are held together."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from dragon_sequencer import errors
from dragon_sequencer.client import Patience, SequencerClient
from dragon_sequencer.devnet import main
from dragon_sequencer.devnet.faults import TAMPERINGS, Faults

README = (Path(__file__).parents[2] / "sequencer_client" / "README.md").read_text()
LEAVES = [
    name
    for name, value in vars(errors).items()
    if isinstance(value, type)
    and value.__module__ == errors.__name__
    and not value.__subclasses__()
]
REQUIRED = {
    "SEQUENCER_KEYS_FILE": "/keys",
    "SEQUENCER_NODES_FILE": "/nodes",
    "SEQUENCER_APP": "dragon",
    "SEQUENCER_DATABASE": "/db",
}


@pytest.mark.parametrize("name", LEAVES)
def test_every_refusal_is_named(name):
    assert f"`{name}`" in README


def test_the_settings_are_those_that_are_read():
    listed = dict(re.findall(r"^\| `(SEQUENCER_\w+)` \| (\S+) \|", README, re.MULTILINE))
    settings = main.Settings.from_environ(REQUIRED)

    assert {name for name, default in listed.items() if default == "–"} == set(REQUIRED)
    assert {name: int(default) for name, default in listed.items() if default != "–"} == {
        "SEQUENCER_MIN_AGE_MS": settings.min_age_ms,
        "SEQUENCER_PAGE_BYTES": settings.page_bytes,
        "SEQUENCER_FAULTS": int(settings.faults),
        "SEQUENCER_HOLD_MS": settings.hold_ms,
    }
    assert len(listed) == len(dataclasses.fields(settings))


def test_the_times_are_the_defaults():
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| ([\d.]+) \|", README, re.MULTILINE))

    assert {name: float(value) for name, value in listed.items()} == dataclasses.asdict(Patience())


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Faults)])
def test_every_fault_is_explained(field):
    assert f"`{field}`" in README


@pytest.mark.parametrize("how", [how for how in TAMPERINGS if how])
def test_every_way_of_tampering_is_explained(how):
    assert f"`{how}`" in README


@pytest.mark.parametrize("method", [name for name in vars(SequencerClient) if name[0] != "_"])
def test_every_method_is_listed(method):
    assert method in {"connect", "close"} or f"| `{method}(" in README
