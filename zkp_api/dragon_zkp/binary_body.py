"""A request body of bytes, read from the front."""

from __future__ import annotations

from dragon.errors import MissingMember, TooLarge

NUMBER_BYTES = 4


class BinaryBody:
    """The bytes of a body that are not taken yet. Numbers are 4 bytes, big endian."""

    def __init__(self, raw: bytes) -> None:
        self._left = memoryview(raw)

    @property
    def size(self) -> int:
        """The number of bytes that are left."""
        return len(self._left)

    def take(self, size: int) -> bytes:
        """Take bytes. Raises MissingMember: the body ends too early."""
        if len(self._left) < size:
            message = f"the body ends too early: {size} bytes expected, {len(self._left)} left"
            raise MissingMember(message)
        taken, self._left = bytes(self._left[:size]), self._left[size:]
        return taken

    def take_counted(self, most: int, what: str, size: int = 1) -> bytes:
        """Take a number, then so many parts of `size` bytes.

        Raises MissingMember: the body ends too early. TooLarge: there are more than `most` parts.
        """
        number = int.from_bytes(self.take(NUMBER_BYTES), "big")
        if number > most:
            raise TooLarge(f"{number} {what}; at most {most} are accepted")
        return self.take(size * number)
