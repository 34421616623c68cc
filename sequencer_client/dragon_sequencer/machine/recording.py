"""Recordings: the instructions that a function of plain integers would need.

The plain code of fields, curves and pairings computes sums, differences, products, and powers with
constant exponents, always in the same order. So it is called once with a `Value` in place of each
integer, and what it does is written down. The compiled code is therefore the plain code: there is
no second implementation of the tower or of a pairing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dragon_sequencer.machine.instructions import Instruction, Operation, exponent, register
from dragon_sequencer.machine.steps import Steps
from dragon_sequencer.tower import P

FIRST_CONSTANT: Final = 64  # registers below are for arguments and results
FIRST_TEMPORARY: Final = 128
_MAX_SMALL: Final = 27  # factors up to this are sums
_COMMUTATIVE: Final = (Operation.ADD, Operation.MULTIPLY)


class Constants:
    """The registers with constants, which all recordings share."""

    def __init__(self) -> None:
        self._registers: dict[bytes, int] = {}

    def place(self, content: bytes) -> int:
        """The register with this content. Raises OverflowError: there are too many."""
        found = self._registers.setdefault(content, FIRST_CONSTANT + len(self._registers))
        if found >= FIRST_TEMPORARY:
            raise OverflowError("recordings need too many constants")
        return found

    @property
    def content(self) -> bytes:
        """The registers from `FIRST_CONSTANT`."""
        return b"".join(self._registers)


class Value:
    """A number that a recorded function computes with. It has no value that could be compared."""

    __slots__ = ("_recording", "place")

    def __init__(self, recording: Recording, place: int) -> None:
        self._recording = recording
        self.place = place  # the number of its step, or −1 − r for the register r

    def __add__(self, other: Value | int) -> Value:
        return self if _is_zero(other) else self._recording.step(Operation.ADD, self, other)

    __radd__ = __add__

    def __sub__(self, other: Value | int) -> Value:
        return self if _is_zero(other) else self._recording.step(Operation.SUBTRACT, self, other)

    def __rsub__(self, other: int) -> Value:
        return self._recording.step(Operation.SUBTRACT, other, self)

    def __neg__(self) -> Value:
        return 0 - self

    def __mul__(self, other: Value | int) -> Value | int:
        if not isinstance(other, int) or not 0 <= other <= _MAX_SMALL:
            return self._recording.step(Operation.MULTIPLY, self, other)
        if other < 2:
            return self if other else 0
        if not other % 3:
            return self._recording.triple(self) * (other // 3)
        half = self * (other // 2)
        return half + half + (self if other % 2 else 0)

    __rmul__ = __mul__

    def __mod__(self, modulus: int) -> Value:
        """The value itself: every instruction reduces its result."""
        if modulus != P:
            raise ValueError("numbers are reduced modulo p only")
        return self

    def __pow__(self, power: int, modulus: int) -> Value:
        """A power. −1 means the inverse, which of 0 is 0 here."""
        if modulus != P or power < -1 or not power:
            raise ValueError("an exponent must be positive or −1, and the modulus p")
        return self._recording.power(self, P - 2 if power == -1 else power)

    def __bool__(self) -> bool:
        raise TypeError("a recorded function cannot decide: it is recorded once for all numbers")

    def __eq__(self, other: object) -> bool:
        return bool(self)

    __hash__ = None  # type: ignore[assignment]


def _is_zero(number: Value | int) -> bool:
    return isinstance(number, int) and number == 0


class Recording:
    """What one function computes."""

    def __init__(self, constants: Constants) -> None:
        self._constants = constants
        self._steps = Steps[Operation]()

    def argument(self, number: int) -> Value:
        """The value that a register has when the recorded instructions begin."""
        return Value(self, -1 - number)

    def relative(self, number: int) -> Value:
        """The value of a register that is counted from the base of a call."""
        return self._take(Operation.LOAD, self.argument(number))

    def power(self, value: Value, power: int) -> Value:
        """The value to the power of a positive number."""
        return self._take(Operation.POWER, value, self._fixed(exponent(power)))

    def triple(self, value: Value) -> Value:
        """3·value."""
        return self._take(Operation.TRIPLE, value)

    def step(self, operation: Operation, a: Value | int, b: Value | int) -> Value:
        """The result of ADD, SUBTRACT or MULTIPLY."""
        first, second = self._value(a), self._value(b)
        if operation in _COMMUTATIVE and first.place > second.place:
            first, second = second, first
        return self._take(operation, first, second)

    def instructions(
        self, results: Sequence[Value | int], targets: Iterable[int], *, relative: bool = False
    ) -> list[Instruction]:
        """The instructions that compute `results`, and write them to the registers `targets`.

        Targets are written after everything is computed, so they may be those of arguments.

        Args:
            results: values, or integers for constants.
            targets: a register for each result.
            relative: whether targets are counted from the base of a call.
        """
        values = [self._value(each) for each in results]
        if not relative:  # a target may be an argument that is a result too
            values = [
                self._take(Operation.COPY, each) if each.place < 0 else each for each in values
            ]
        # Grouped: a processor then predicts which instruction comes next.
        steps, places = self._steps.placed(
            [each.place for each in values], FIRST_TEMPORARY, grouped=True
        )
        made = [
            Instruction(step.name, step.target, step.operands[0], step.operands[-1])
            for step in steps
        ]
        writing = Operation.STORE if relative else Operation.COPY
        made += [
            Instruction(writing, target, place, place)
            for place, target in zip(places, targets, strict=True)
        ]
        return made

    def _value(self, number: Value | int) -> Value:
        return self._fixed(register(number)) if isinstance(number, int) else number

    def _fixed(self, content: bytes) -> Value:
        return self.argument(self._constants.place(content))

    def _take(self, operation: Operation, *operands: Value) -> Value:
        return Value(self, self._steps.take(operation, *(each.place for each in operands)))
