"""Client that reads entries of the log from operators. Any of them may answer; none is trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeVar

from dragon import errors
from dragon.encoding import Json, Members
from dragon.net.http_client import HttpClient
from dragon.protocol.log_entry import ProvenEntry

DEADLINE_SECONDS: Final = 5.0  # for one request
MAX_ENTRY_BYTES: Final = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CertifiedHead:
    """The newest certified checkpoint that an operator's log has applied, as it says."""

    size: int
    timestamp: int  # Unix seconds


@dataclass(slots=True)
class LogClient:
    """Asks operators, first the one that answered last. What they answer is not verified."""

    http: HttpClient
    operators: Mapping[str, str]  # name → URL
    _last: str = field(default="", init=False)  # name of the operator that answered last

    def certified(self) -> CertifiedHead | None:
        """Return the newest certified checkpoint; None without one. Raises PeerError."""

        def ask(url: str) -> CertifiedHead | None:
            answer = self._get(url, "/checkpoint")
            head = answer.get("certified") if isinstance(answer, dict) else None
            if head is None:
                return None
            members = Members(head, "the certified checkpoint")
            return CertifiedHead(members.integer("size"), members.integer("timestamp"))

        return self._first(ask)

    def entry(self, position: int, *, size: int) -> ProvenEntry:
        """Return an entry with its proof of inclusion in the log of `size` entries.

        Raises PeerError; NotFound: no operator has the entry.
        """
        found = self._first(lambda url: self._entry(url, f"/events/{position}", size=size))
        if (found.entry.position, found.size) != (position, size):
            raise errors.BadAnswer(f"the answer is not entry {position} of {size}")
        return found

    def anchored(self, position: int) -> ProvenEntry | None:
        """Return an entry with the mark that vouches for it for longest; None without a mark.

        Raises PeerError; NotFound: no operator has the entry.
        """
        found = self._first(lambda url: self._entry(url, f"/events/{position}", anchored="true"))
        return found if found.anchor else None

    def first_checkpoint(self, since: int) -> ProvenEntry:
        """Return the first checkpoint in the log from a time on (Unix seconds), with its mark.

        Raises PeerError; NotFound: no operator has one yet that a later mark covers.
        """
        return self._first(lambda url: self._entry(url, f"/checkpoints/{since}"))

    def _entry(self, url: str, path: str, **params: str | int) -> ProvenEntry:
        answer = self._get(url, path, **params)
        if isinstance(answer, dict) and answer.get("anchor") is None:
            answer = {name: value for name, value in answer.items() if name != "anchor"}
        try:
            return ProvenEntry.from_json(answer)
        except errors.UnknownKind as error:
            raise errors.BadAnswer(f"the answer is no entry of the log: {error}") from None

    def _get(self, url: str, path: str, **params: str | int) -> Json:
        answer = self.http.get(
            url + path, deadline=DEADLINE_SECONDS, params=params, max_bytes=MAX_ENTRY_BYTES
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            raise errors.NotFound(answer.detail())
        return answer.successful()

    def _first(self, ask: Callable[[str], T]) -> T:
        """Return the first usable answer. Raises NotFound, PeerError: that of the first operator.

        An answer that an operator does not have something is final only if no other has it.
        """
        failures: list[errors.DragonError] = []
        for name in sorted(self.operators, key=lambda each: each != self._last):
            try:
                found = ask(self.operators[name])
            except errors.InvalidEncoding as error:
                failures.append(errors.BadAnswer(f"{name}: the answer is invalid: {error}"))
            except (errors.NotFound, errors.PeerError) as error:
                error.args = (f"{name}: {error}",)
                failures.append(error)
            else:
                self._last = name
                return found
        missing = [each for each in failures if isinstance(each, errors.NotFound)]
        raise (missing or failures)[0]
