"""What differs between two committees, for the people who have to agree to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dragon.encoding import Json, to_hex
from dragon.protocol import target_words
from dragon.protocol.committee import Committee, Target
from dragon.protocol.target_checks import HttpCheck

QUORUM_FOR: Final = "quorum for "  # how the name of such a difference begins
KEY_CHARACTERS: Final = 18  # of a public key in a sentence: 0x and 16 digits


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. What is absent is an empty text."""

    what: str  # for example "operator operator_5", "round length"
    before: str
    after: str

    @property
    def sentence(self) -> str:
        """The difference in words."""
        if not self.before:
            return f"{self.what} joins: {self.after}"
        if not self.after:
            return f"{self.what} leaves: {self.before}"
        return f"{self.what}: {self.before} → {self.after}"

    def to_json(self) -> dict[str, Json]:
        return {"what": self.what, "before": self.before, "after": self.after}


def differences(before: Committee, after: Committee) -> list[Difference]:
    """Return all differences that somebody has to agree to, in a fixed order.

    Epoch, network, previous committee and sealed log follow from the place of the committee, and
    are not listed.
    """
    found: list[Difference] = []
    for kind, listed in _LISTS.items():
        found += _listed(kind, listed(before), listed(after))
    found += _targets(before.targets_by_id, after.targets_by_id)
    one, other = dict(_rules(before)), dict(_rules(after))
    found += [
        Difference(what, one.get(what, ""), other.get(what, ""))
        for what in {**one, **other}
        if one.get(what) != other.get(what)
    ]
    return found


def is_quorum(difference: Difference) -> bool:
    """Return whether a difference is the number of signatures that a kind of claim needs."""
    return difference.what.startswith(QUORUM_FOR)


def allows_private(difference: Difference) -> bool:
    """Return whether a difference lets operators look at private addresses for a target."""
    if difference.what.endswith(f", {target_words.PRIVATE}"):
        return difference.after == target_words.ALLOWED
    allowed = target_words.PRIVATE_ALLOWED
    return allowed in difference.after and allowed not in difference.before


def redirect_hosts(committee: Committee) -> list[str]:
    """Return every host to which redirects of targets are followed, in order, each once."""
    checks = (each.check for each in committee.targets)
    return sorted(
        {host for each in checks if isinstance(each, HttpCheck) for host in each.redirect_hosts}
    )


def urls(committee: Committee) -> list[str]:
    """Return every URL that services of this committee talk to, in order, each once."""
    nodes = (url for url in committee.urls.values() if url)
    return sorted({*nodes, *(each.url for each in committee.aggregators)})


def _listed(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(f"{kind} {name}", before.get(name, ""), after.get(name, ""))
        for name in sorted({**before, **after})
        if before.get(name) != after.get(name)
    ]


def _targets(before: Mapping[str, Target], after: Mapping[str, Target]) -> Iterator[Difference]:
    """Yield targets that join or leave as a whole, and each changed member of the others."""
    for name in sorted({**before, **after}):
        one, other = before.get(name), after.get(name)
        if one is None or other is None or type(one.check) is not type(other.check):
            if one != other:
                stated = (target_words.stated(each) if each else "" for each in (one, other))
                yield Difference(f"target {name}", *stated)
            continue
        here, there = target_words.members(one), target_words.members(other)
        for what, value in there.items():
            if value != here[what]:
                yield Difference(f"target {name}, {what}", here[what], value)


def _operators(committee: Committee) -> dict[str, str]:
    return {each.id: f"{each.url}, key {_key(each.public_key.raw)}" for each in committee.operators}


def _experts(committee: Committee) -> dict[str, str]:
    return {each.id: f"key {_key(each.public_key.raw)}" for each in committee.experts}


def _owners(committee: Committee) -> dict[str, str]:
    return {each.id: f"key {_key(each.public_key.raw)}" for each in committee.owners}


def _aggregators(committee: Committee) -> dict[str, str]:
    return {each.url: f"rank {each.rank}" for each in committee.aggregators}


def _node_lists(committee: Committee) -> dict[str, str]:
    return {to_hex(each): "accepted" for each in committee.sequencer.nodes_sha256}


_LISTS: Final = {
    "operator": _operators,
    "expert": _experts,
    "owner": _owners,
    "aggregator": _aggregators,
    "node list": _node_lists,
}


def _rules(committee: Committee) -> Iterator[tuple[str, str]]:
    yield "name", committee.name
    yield "genesis", str(committee.rounds.genesis)
    yield "round length", f"{committee.rounds.seconds} s"
    yield "maintenance notice", f"{committee.maintenance_notice} s"
    for kind, rule in committee.quorum_rules.items():
        needed, of = committee.quorum(kind), len(committee.operators)
        yield f"{QUORUM_FOR}{kind}", f"{needed} of {of} ({rule})"
    yield "sequencer app", committee.sequencer.app
    yield "stake for finality", f"{committee.sequencer.threshold_percent} %"


def _key(raw: bytes) -> str:
    return to_hex(raw)[:KEY_CHARACTERS] + "…"
