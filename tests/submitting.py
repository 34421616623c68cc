"""Windows of streams, as their owners submit them to the aggregators of a simulated fleet."""

from __future__ import annotations

import hashlib

from dragon.encoding import to_hex
from dragon.protocol.claims.window import InvalidReason, WindowClaim
from dragon.protocol.streams.chunks import encode_chunks
from dragon.protocol.streams.finding import Finding
from dragon.protocol.streams.submission import Submission
from simulation import World
from streams import Owner, Window

DATA = (b"21.5",)


def now_ms(world: World) -> int:
    return int(1000 * world.clock.now)


def first(world: World, owner: Owner, *data: bytes) -> Window:
    """The stream's first window, half a second old."""
    return owner.window(data or DATA, began_ms=now_ms(world) - 500)


def put(world: World, name: str, body: bytes) -> int:
    host = next(host for host, known in world.names.items() if known == name)
    address = f"http://{host}/objects/{to_hex(hashlib.sha256(body).digest())}"
    return world.session("owner").put(address, data=body).status_code


def submit(world: World, submission: Submission, *objects: bytes, to: str = "aggregator_0") -> str:
    """Submit a window and its objects, as its owner does. Return the window's state."""
    answer = world.post(to, "/windows", submission.to_json())
    assert answer.status_code == 202, answer.text
    for body in objects:
        assert put(world, to, body) == 201
    return str(world.post(to, "/windows", submission.to_json()).json()["state"])


def submit_complete(world: World, owner: Owner, window: Window, proof: bytes, **to: str) -> str:
    objects = encode_chunks(window.chunks), proof
    return submit(world, owner.submission(window, proof), *objects, **to)


def step(world: World, seconds: float = 1.1) -> None:
    """Wait long enough for another vote, and let all services finish."""
    world.clock.sleep(seconds)
    world.settle()


def voted(world: World, owner: Owner, name: str = "aggregator_0") -> dict[str, str]:
    """Each operator's answer about the stream's first pending window, by an aggregator."""
    listed = world.get(name, "/windows?limit=1000").json()["windows"]
    votes = next(each for each in listed if each["stream"] == to_hex(owner.descriptor.id))["votes"]
    assert all(isinstance(vote["detail"], str) for vote in votes)
    return {vote["operator"]: vote["answer"] for vote in votes}


def round_start(world: World) -> int:
    """The start of the current round, Unix seconds."""
    rounds = world.committee.rounds
    return rounds.start(rounds.number(world.clock.now))


def claim_of(
    world: World,
    owner: Owner,
    window: Window,
    proof: bytes,
    fault: InvalidReason = InvalidReason.NONE,
) -> WindowClaim:
    """The claim that would be signed in this round."""
    digest = hashlib.sha256(proof).digest()
    return Finding(fault).claim(owner.descriptor, window.header, digest, round_start(world))


def attested(world: World, name: str, claim: WindowClaim) -> str:
    """Return `signed` or the refusal reason."""
    answer = world.post(name, "/attestations", claim.to_json())
    return "signed" if answer.status_code == 200 else str(answer.json()["reason"])
