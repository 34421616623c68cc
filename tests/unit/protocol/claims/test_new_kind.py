"""A new kind of claim works in certificates, events, log and audit without other changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import pytest

from committees import Members as Committee4
from committees import make_members
from dragon import errors
from dragon.encoding import Json, Members, canonical, parse
from dragon.log.audit import audit
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import claims, event
from dragon.protocol.certificate import Certificate
from dragon.protocol.claims.base import EventClaim, Kind, kind_of, registered, utc
from dragon.protocol.claims.status import Status
from dragon.protocol.committee import Committee
from dragon.protocol.state import State
from dragon.storage.database import Database

SIGNERS = ["operator_1", "operator_2", "operator_3"]


@dataclass(frozen=True, slots=True)
class WeatherClaim(EventClaim):
    """The temperature at the operators' place in a round, in tenths of a degree."""

    KIND: ClassVar[str] = "weather"

    place: str
    tenths: int
    timestamp: int

    def members(self) -> dict[str, Json]:
        return {"place": self.place, "tenths": self.tenths, "timestamp": self.timestamp}

    @classmethod
    def take(cls, members: Members) -> Self:
        place = members.id("place")
        return cls(place, members.integer("tenths"), members.integer("timestamp"))


class WeatherKind(Kind[WeatherClaim]):
    claim = WeatherClaim
    default_quorum = "byzantine"

    def check(self, claim: WeatherClaim, committee: Committee) -> None:
        committee.rounds.check_start(claim.timestamp)

    def advance(self, claim: WeatherClaim, state: State) -> State:
        return replace(state, further={**state.further, f"weather {claim.place}": claim})

    def superseded(self, claim: WeatherClaim, state: State) -> errors.NotApplicable | None:
        last = state.further.get(f"weather {claim.place}")
        if last == claim:
            return errors.AppliedAlready("that weather is in the log already")
        if isinstance(last, WeatherClaim) and claim.timestamp <= last.timestamp:
            return errors.NotLater(
                "the log has a weather claim at the same time or later", last=last.timestamp
            )
        return None

    def ordering_key(self, claim: WeatherClaim) -> str:
        return f"@weather:{claim.place}"

    def sentence(self, claim: WeatherClaim) -> str:
        return f"{claim.place} had {claim.tenths / 10} degrees at {utc(claim.timestamp)}"


@pytest.fixture(autouse=True)
def _weather() -> Iterator[None]:
    with registered(WeatherKind()):
        yield


@pytest.fixture(scope="module")
def members() -> Committee4:
    return make_members(4)


def weather(members: Committee4, tenths: int, round_: int) -> Certificate:
    at = members.committee.rounds.start(round_)
    return members.certify(WeatherClaim("harbour", tenths, at), SIGNERS)


def test_a_certificate_of_a_new_kind_is_restored_from_its_json(members: Committee4) -> None:
    certificate = weather(members, 215, 3)
    read = Certificate.from_json(parse(canonical(certificate.to_json())))

    read.verify(members.committee)

    assert read == certificate
    assert event.decode(parse(canonical(certificate.to_json()))) == certificate


def test_a_certificate_of_a_new_kind_needs_its_quorum_and_its_rules(members: Committee4) -> None:
    committee = members.committee
    claim = WeatherClaim("harbour", 215, committee.rounds.start(3))

    with pytest.raises(errors.QuorumNotMet):
        members.certify(claim, SIGNERS[:2]).verify(committee)
    with pytest.raises(errors.OffRound):
        members.certify(replace(claim, timestamp=claim.timestamp + 1), SIGNERS).verify(committee)
    with pytest.raises(errors.BadSignature):
        replace(members.certify(claim, SIGNERS), claim=replace(claim, tenths=0)).verify(committee)


def test_operators_are_asked_for_a_new_kind_by_its_name() -> None:
    claim = WeatherClaim("harbour", 215, 5)

    assert claims.from_json(parse(canonical(claim.to_json()))) == claim
    assert kind_of(claim).sentence(claim) == "harbour had 21.5 degrees at 1970-01-01 00:00:05 UTC"


def test_a_log_applies_a_new_kind_and_the_audit_verifies_it(
    members: Committee4, tmp_path: Path
) -> None:
    committee, path = members.committee, tmp_path / "operator.db"
    first, second = weather(members, 215, 3), weather(members, 180, 4)
    up = members.status("operator_1", Status.UP, 3)
    database = Database(path, LOG_SCHEMA)
    log = Log(database, committee)
    body = canonical([item.to_json() for item in (first, up, first, second, first)]).decode()
    time = committee.rounds.start(4)

    applied = log.take(ProvenBatch(1, body, time, "{}", Position(1, "0" * 32)))

    assert [entry.event for entry in applied] == [first, up, second]
    assert log.refusals() == {"applied_already": 1, "not_later": 1}
    assert log.state.further == {"weather harbour": second.claim}
    reopened = Log(database, committee)
    assert (reopened.state, reopened.head()) == (log.state, log.head())
    database.close()
    assert audit(path, committee).root == log.head().root


def test_a_kind_is_registered_once() -> None:
    kind = kind_of(WeatherClaim("harbour", 0, 0))

    with pytest.raises(ValueError, match="registered already"), registered(kind):
        pass
