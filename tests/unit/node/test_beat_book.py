"""The book takes a beat once, by cheap checks first, and knows how long it has been listening."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from committees import make_members, secret, with_heartbeats
from dragon import errors
from dragon.node.admission import Client
from dragon.node.beat_book import MIN_GAP_SECONDS, BeatBook, NewestBeat, Taken
from dragon.node.beat_verifier import UNKNOWN_BURST_MS, UNKNOWNS_BURST_MS
from dragon.protocol import bls
from dragon.protocol.beats import MAX_CLOCK_OFFSET_MS, Beat, SignedBeat
from dragon.protocol.committee import Committee

NODE, OTHER = "sensor_1", "sensor_2"
MEMBERS = with_heartbeats(make_members(targets=1), NODE, OTHER, every_seconds=20)
HOME = Client("198.51.100.7", is_member=False)  # from where the machine sends its beats
STRANGER = Client("203.0.113.1", is_member=False)
MEMBER = Client("192.0.2.2", is_member=True)
VERIFICATION_MS = 2.0
START = 1_732_522_000.0


@dataclass
class Service:
    """A book with its clocks, and what it passes on."""

    committee: Committee = MEMBERS.committee
    wall: float = START
    monotonic: float = 500.0
    processor: float = 0.0
    passed_on: list[SignedBeat] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = BeatBook(
            self,
            lambda: self.wall,
            lambda: self.monotonic,
            pass_on=self.passed_on.append,
            processor=self._processor,
        )

    def _processor(self) -> float:
        """Each reading is `VERIFICATION_MS` later: a verification lies between two."""
        self.processor += VERIFICATION_MS / 1000
        return self.processor

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def beat(
        self, offset: float = 0.0, *, key: bls.SecretKey | None = None, of: str = NODE
    ) -> SignedBeat:
        """A beat that states a time `offset` seconds from now."""
        beat = Beat(of, round(1000 * (self.wall + offset)))
        return SignedBeat.sign(beat, key or secret(of), self.committee.network_id)

    def send(self, signed: SignedBeat, sender: Client = HOME, passed_on_by: str = "") -> Taken:
        return self.book.take(signed, sender, passed_on_by)

    @property
    def newest(self) -> NewestBeat:
        return self.book.newest(NODE)

    def counted(self, result: str) -> float:
        [family] = self.book.counter.collect()
        return sum(each.value for each in family.samples if each.labels["result"] == result)


@pytest.fixture
def service() -> Service:
    return Service()


# Receiving


def test_a_genuine_beat_is_new_and_passed_on(service: Service) -> None:
    beat = service.beat(-0.25)

    assert service.send(beat) == Taken(is_new=True, offset_ms=-250, every_seconds=20)
    assert service.passed_on == [beat]
    assert service.counted("new") == 1


def test_the_age_of_a_beat_counts_from_its_arrival(service: Service) -> None:
    """Not from the time that it states: the machine's clock may be up to 30 s off."""
    service.send(service.beat(-25))
    service.sleep(7)

    assert service.newest == NewestBeat(7.0, age_seconds=7.0, offset_ms=-25_000)


def test_the_same_beat_again_changes_nothing(service: Service) -> None:
    beat = service.beat()
    service.send(beat)
    service.sleep(5)

    assert not service.send(beat, STRANGER).is_new
    assert service.newest.age_seconds == 5
    assert service.passed_on == [beat]
    assert service.counted("known") == 1


def test_a_beat_that_an_operator_passes_on_is_not_passed_on_again(service: Service) -> None:
    service.send(service.beat(), MEMBER, "operator_2")

    assert service.passed_on == []
    assert service.newest.passed_on_by == "operator_2"


def test_a_direct_beat_is_passed_on_even_if_it_was_received_from_an_operator_before(
    service: Service,
) -> None:
    """So nobody can keep a beat from others by claiming that it was passed on already."""
    beat = service.beat()
    service.send(beat, STRANGER, "operator_2")
    service.send(beat)
    service.send(beat)

    assert service.passed_on == [beat]


@pytest.mark.parametrize(
    ("node_id", "refusal"),
    [
        ("sensor_9", errors.UnknownNode),
        ("operator_1", errors.NotHeartbeatTarget),
        ("target_1", errors.NotHeartbeatTarget),
    ],
)
def test_only_targets_with_heartbeats_send_beats(
    service: Service, node_id: str, refusal: type[errors.DragonError]
) -> None:
    beat = replace(service.beat(), beat=Beat(node_id, round(1000 * service.wall)))

    with pytest.raises(refusal):
        service.send(beat)
    assert service.counted(refusal("").name) == 1


@pytest.mark.parametrize("name", ["operator_9", "sensor_1"])
def test_only_operators_pass_beats_on(service: Service, name: str) -> None:
    with pytest.raises(errors.UnknownSigner):
        service.send(service.beat(), MEMBER, name)


def test_a_machine_with_a_wrong_clock_is_told_so(service: Service) -> None:
    with pytest.raises(errors.BeatTooOld):
        service.send(service.beat(-MAX_CLOCK_OFFSET_MS / 1000 - 1))
    with pytest.raises(errors.BeatTooEarly):
        service.send(service.beat(MAX_CLOCK_OFFSET_MS / 1000 + 1))
    assert service.newest.age_seconds is None


def test_a_beat_before_the_newest_is_refused(service: Service) -> None:
    earlier = service.beat(-1)
    service.send(service.beat())

    with pytest.raises(errors.BeatNotLater):
        service.send(earlier)


def test_a_target_that_sends_too_many_beats_is_limited(service: Service) -> None:
    """Before its signature costs anything. The beats of a machine are seconds apart."""
    service.send(service.beat())
    service.sleep(MIN_GAP_SECONDS / 2)
    with pytest.raises(errors.RateLimited):
        service.send(service.beat())
    service.sleep(MIN_GAP_SECONDS / 2)

    assert service.send(service.beat()).is_new


def test_a_stolen_beat_counts_neither_again_nor_later(service: Service) -> None:
    stolen = service.beat()
    service.send(stolen)

    service.sleep(15)
    service.send(stolen, STRANGER)
    assert service.newest.age_seconds == 15
    service.sleep(MAX_CLOCK_OFFSET_MS / 1000)
    with pytest.raises(errors.BeatTooOld):
        service.send(stolen, STRANGER)


def test_a_stolen_beat_does_not_count_after_a_restart_either(service: Service) -> None:
    stolen = service.beat()
    service.send(stolen)
    service.sleep(MAX_CLOCK_OFFSET_MS / 1000 + 1)
    restarted = Service(wall=service.wall)

    with pytest.raises(errors.BeatTooOld):
        restarted.send(stolen, STRANGER)


@pytest.mark.parametrize(
    ("signature", "refusal"),
    [(bytes(96), errors.InvalidSignature), (secret(OTHER).sign(b"x"), errors.BadSignature)],
)
def test_a_forged_beat_changes_nothing(
    service: Service, signature: bytes, refusal: type[errors.DragonError]
) -> None:
    with pytest.raises(refusal):
        service.send(replace(service.beat(), signature=signature))
    assert service.newest.age_seconds is None
    assert service.passed_on == []


def test_a_beat_signed_with_the_key_of_another_target_is_refused(service: Service) -> None:
    with pytest.raises(errors.BadSignature):
        service.send(service.beat(key=secret(OTHER)))


# Floods


def flood(service: Service, count: int, sender: Client | None = None) -> int:
    """Send forged beats, each from another address unless one is given. Return how many cost."""
    verified = 0
    for number in range(count):
        forged = replace(service.beat(number / 1000), signature=secret(OTHER).sign(b"forged"))
        try:
            service.send(forged, sender or Client(f"203.0.113.{number}", is_member=False))
        except errors.BadSignature:
            verified += 1
        except errors.RateLimited:
            pass
    return verified


def test_forged_beats_of_one_address_cost_a_bounded_time(service: Service) -> None:
    assert flood(service, 50, STRANGER) <= UNKNOWN_BURST_MS / VERIFICATION_MS + 1


def test_forged_beats_of_many_addresses_cost_a_bounded_time(service: Service) -> None:
    assert flood(service, 250) <= UNKNOWNS_BURST_MS / VERIFICATION_MS + 1
    assert service.counted("rate_limited") > 100


def test_a_flood_of_forged_beats_does_not_keep_out_the_machine(service: Service) -> None:
    """Its address is familiar from its last genuine beat."""
    service.send(service.beat())
    service.sleep(1)
    flood(service, 250)

    assert service.send(service.beat()).is_new


def test_a_flood_of_forged_beats_does_not_keep_out_operators(service: Service) -> None:
    """Neither a member, nor an operator that is only known by the address of a genuine beat."""
    elsewhere = Client("198.51.100.99", is_member=False)
    service.send(service.beat(), elsewhere, "operator_2")
    service.sleep(1)
    flood(service, 250)

    assert service.send(service.beat(), MEMBER, "operator_3").is_new
    service.sleep(1)
    assert service.send(service.beat(), elsewhere, "operator_2").is_new


@pytest.mark.parametrize("relayed", [False, True])  # beats of the other target, by the operator
def test_the_owner_of_another_target_does_not_keep_out_an_operator(
    service: Service, relayed: bool
) -> None:
    """It sends genuine beats from its own addresses, and says that the operator passed them on."""
    elsewhere = Client("198.51.100.99", is_member=False)
    service.send(service.beat(), elsewhere, "operator_2")
    if relayed:
        service.send(service.beat(of=OTHER), elsewhere, "operator_2")
    for number in range(10):
        service.sleep(1)
        own = Client(f"203.0.113.{number}", is_member=False)
        service.send(service.beat(of=OTHER), own, "operator_2")
    flood(service, 250)

    assert service.send(service.beat(), elsewhere, "operator_2").is_new


def test_a_new_address_of_a_machine_is_limited_until_its_first_genuine_beat(
    service: Service,
) -> None:
    flood(service, 250)

    with pytest.raises(errors.RateLimited) as refused:
        service.send(service.beat())
    service.sleep(float(str(refused.value.facts["retry_after"])))
    assert service.send(service.beat()).is_new


# Listening


def test_a_book_has_listened_since_it_was_made(service: Service) -> None:
    service.sleep(12)

    assert service.newest == NewestBeat(12.0)


def test_nothing_is_known_of_a_node_that_sends_no_heartbeats(service: Service) -> None:
    service.sleep(12)

    assert service.book.newest("target_1") == NewestBeat(0.0)
    assert set(service.book.all()) == {NODE, OTHER}


def test_a_process_that_was_suspended_begins_to_listen_anew(service: Service) -> None:
    for _ in range(30):
        service.sleep(1)
        service.book.tick()
    assert service.newest.listening_seconds == 30

    service.sleep(120)
    service.book.tick()

    assert service.newest.listening_seconds == 0


@pytest.mark.parametrize("step", [-60.0, 60.0])
def test_a_clock_that_is_set_begins_to_listen_anew(service: Service, step: float) -> None:
    """While it was wrong, it refused the beats of all machines with a right clock."""
    service.send(service.beat())
    service.wall += step
    service.book.tick()
    for _ in range(60):
        service.sleep(1)
        service.book.tick()
        with pytest.raises((errors.BeatTooOld, errors.BeatTooEarly)):
            service.send(service.beat(-step))
    service.wall -= step
    service.book.tick()

    assert service.newest.listening_seconds == 0


def test_a_clock_that_is_corrected_slowly_changes_nothing(service: Service) -> None:
    for _ in range(30):
        service.sleep(1)
        service.wall += 0.4
        service.book.tick()

    assert service.newest.listening_seconds == 30


def test_a_target_that_a_handover_adds_is_listened_for_from_then(service: Service) -> None:
    for _ in range(100):
        service.sleep(1)
        service.book.tick()
    service.committee = with_heartbeats(MEMBERS, "sensor_3").committee
    service.book.tick()
    service.sleep(4)

    assert service.book.newest("sensor_3") == NewestBeat(4.0)
    assert service.newest.listening_seconds == 104


def test_a_beat_counts_across_a_handover_that_keeps_the_key(service: Service) -> None:
    service.send(service.beat())
    service.committee = replace(service.committee, name="next")
    service.sleep(3)

    assert service.newest.age_seconds == 3


def test_a_handover_that_rotates_the_key_begins_anew(service: Service) -> None:
    service.send(service.beat())
    check = replace(service.committee.targets[1].check, public_key=secret("new").public_key())
    rotated = replace(service.committee.targets[1], check=check)
    targets = (service.committee.targets[0], rotated, service.committee.targets[2])
    service.sleep(3)
    before = service.beat()
    service.committee = replace(service.committee, targets=targets)

    assert service.newest == NewestBeat(0.0)
    with pytest.raises(errors.BadSignature):
        service.send(before)


def test_a_target_that_a_handover_removes_is_forgotten(service: Service) -> None:
    service.send(service.beat())
    service.committee = replace(service.committee, targets=service.committee.targets[:1])

    assert service.newest == NewestBeat(0.0)
    with pytest.raises(errors.UnknownNode):
        service.send(service.beat(1))


def test_metrics_show_the_age_of_each_newest_beat(service: Service) -> None:
    service.send(service.beat())
    service.sleep(6)

    [family] = service.book.metrics()
    assert family.name == "datadragon_beat_age_seconds"
    assert [(each.labels, each.value) for each in family.samples] == [({"node_id": NODE}, 6.0)]
