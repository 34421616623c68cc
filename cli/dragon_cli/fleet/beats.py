"""Send the beats of one target: to operators in turn, until enough of them have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from dragon import errors
from dragon.errors import DragonError, PeerError
from dragon.net.beat_client import BeatClient, BeatTaken
from dragon.net.http_client import HttpClient
from dragon.protocol import bls
from dragon.protocol.beats import Beat, SignedBeat
from dragon.protocol.committee import Committee, byzantine_faults
from dragon_cli.hints import with_hint

TIMEOUT_SECONDS: Final = 3.0  # for each operator
BEATS_PER_LIMIT: Final = 3  # by default, within the time after which the target is down
MIN_PAUSE_SECONDS: Final = 1.0  # between two beats, by default
MAX_PAUSE_SECONDS: Final = 300.0  # between two beats, by default
FIRST_RETRY_SECONDS: Final = 1.0  # after a beat that nobody took; doubled each time

# The machine can do nothing about these by itself.
FATAL: Final = (
    errors.BeatTooOld,
    errors.BeatTooEarly,
    errors.UnknownNode,
    errors.NotHeartbeatTarget,
    errors.BadSignature,
    errors.InvalidSignature,
)
HINTS: Final[Mapping[type[DragonError], str]] = {
    errors.BeatTooOld: "Set the clock of this machine, for example with NTP.",
    errors.BeatTooEarly: "Set the clock of this machine, for example with NTP.",
    errors.BeatNotLater: (
        "The clock of this machine was set back, or another machine uses the same key."
    ),
    errors.UnknownNode: (
        "The committee has to list the target first: `dragon target add --heartbeat`."
    ),
    errors.BadSignature: (
        "Compare the key with the committee file: `dragon key show`, `dragon committee show`."
    ),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one beat, by operator."""

    signed: SignedBeat
    taken: dict[str, BeatTaken] = field(default_factory=dict)
    refused: dict[str, DragonError] = field(default_factory=dict)
    failed: dict[str, PeerError] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the result for programs."""
        return {
            "node_id": self.signed.node_id,
            "time_ms": self.signed.time_ms,
            "accepted": {name: each.offset_ms for name, each in self.taken.items()},
            "refused": {name: each.name for name, each in self.refused.items()},
            "unreachable": {name: str(each) for name, each in self.failed.items()},
        }

    def check(self) -> None:
        """Raise the reason why no operator has taken the beat; nothing if one has."""
        if self.taken:
            return
        for name, refusal in self.refused.items():
            raise _explained(name, refusal)
        listed = "; ".join(f"{name}: {error}" for name, error in self.failed.items())
        raise errors.Unreachable(f"No operator took the beat. {listed}.")


class BeatSender:
    """Sends beats of one target. Their times always rise, also if the clock is set back."""

    def __init__(
        self, node_id: str, secret: bls.SecretKey, http: HttpClient, wall: Callable[[], float]
    ) -> None:
        """Args: `wall`, returns Unix seconds."""
        self._node_id = node_id
        self._secret = secret
        self._http = http
        self._wall = wall
        self._last_ms = -1
        self._turn = 0  # of the operator that is asked first

    def send(self, committee: Committee, urls: Mapping[str, str]) -> Sent:
        """Send one beat until one operator more than may be faulty has taken it.

        So at least one of them is honest, and passes it on to all others. Each beat begins with
        another operator.

        Args:
            committee: the network for which the beat is signed.
            urls: of the operators, by name.
        """
        self._last_ms = max(round(1000 * self._wall()), self._last_ms + 1)
        beat = Beat(self._node_id, self._last_ms)
        sent = Sent(SignedBeat.sign(beat, self._secret, committee.network_id))
        needed = min(len(urls), byzantine_faults(len(committee.operators)) + 1)
        for name in self._in_turn(list(urls)):
            self._send_to(name, urls[name], sent)
            if len(sent.taken) >= needed:
                break
        self._turn += needed
        return sent

    def _in_turn(self, names: list[str]) -> list[str]:
        first = self._turn % len(names)
        return names[first:] + names[:first]

    def _send_to(self, name: str, url: str, sent: Sent) -> None:
        try:
            client = BeatClient(url, self._http)
            sent.taken[name] = client.send(sent.signed, deadline=TIMEOUT_SECONDS)
        except PeerError as error:
            sent.failed[name] = error
        except DragonError as refusal:
            sent.refused[name] = refusal


def fatal_refusal(sent: Sent, committee: Committee) -> DragonError | None:
    """Return the refusal that ends the sending, if enough operators agree; else None.

    One operator more than may be faulty must refuse, or all that answered if they are fewer.
    """
    fatal = {name: each for name, each in sent.refused.items() if isinstance(each, FATAL)}
    faults = byzantine_faults(len(committee.operators))
    if sent.taken or not fatal or (len(fatal) <= faults and sent.failed):
        return None
    name, refusal = next(iter(fatal.items()))
    return _explained(name, refusal)


def default_pause(every_seconds: int) -> float:
    """Return the seconds between two beats: a few beats may be lost before the target is down."""
    return min(MAX_PAUSE_SECONDS, max(MIN_PAUSE_SECONDS, every_seconds / BEATS_PER_LIMIT))


def retry_pause(failures: int, pause: float) -> float:
    """Return the seconds until the next beat after a number of beats that nobody took."""
    return min(pause, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16))


def clock_offset_ms(sent: Sent) -> int | None:
    """Return the median offset of the machine's clock; None if no operator took the beat."""
    offsets = sorted(each.offset_ms for each in sent.taken.values())
    return offsets[len(offsets) // 2] if offsets else None


def _explained(name: str, refusal: DragonError) -> DragonError:
    """Return the refusal with the operator's name, and what to do about it."""
    made = type(refusal)(f"{name}: {refusal}", **refusal.facts)
    hint = next((HINTS[kind] for kind in type(refusal).__mro__ if kind in HINTS), None)
    return with_hint(made, hint) if hint else made
