"""The recorded pieces of the plain code that products of pairings and sums of points consist of.

Most pieces read and write the first registers: f of F_p¹² in 0 to 11, another element g in 12 to
23; or a point in 0 to 2. `base` is that of a call.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from dragon_sequencer import bn254, complete_addition, pairing, tower
from dragon_sequencer.machine.instructions import Instruction, Operation
from dragon_sequencer.machine.processor import encoded
from dragon_sequencer.machine.recording import FIRST_TEMPORARY, Constants, Recording

F12_REGISTERS: Final = 12
LINE_REGISTERS: Final = 4
POINT_REGISTERS: Final = 3
_FACTORS: Final = range(24, 26)  # of the lines of a pair
_ONE_ELEMENT: Final = range(F12_REGISTERS)
_TWO_ELEMENTS: Final = range(2 * F12_REGISTERS)
_POINT: Final = range(POINT_REGISTERS)

Numbers = Sequence[Any]  # values, where the plain code has integers


class Piece(NamedTuple):
    """A part of the code."""

    start: int
    stop: int
    reach: int  # the number of registers from the base of a call that it may use


class Library:
    """All pieces, recorded once. Immutable, so threads may share it.

    Attributes:
        code: the instructions, see `Processor.run`.
        constants: the registers from `FIRST_CONSTANT`.
        first_free: the first register that no piece uses by itself.
    """

    def __init__(self) -> None:
        self._shared = Constants()
        self._made: list[Instruction] = []
        self._pieces: dict[str, Piece] = {}
        self._record_field()
        self._record_lines()
        self._record_points()
        self.code: Final[array[int]] = encoded(self._made)
        self.constants: Final = self._shared.content
        self.first_free: Final = 1 + max(FIRST_TEMPORARY, *(each.target for each in self._made))

    def __getitem__(self, name: str) -> Piece:
        return self._pieces[name]

    def _record_field(self) -> None:
        """Arithmetic in F_p¹²."""
        for name in ("square", "square_cyclotomic", "conjugate", "invert"):
            self._record_unary(name, getattr(tower, name))
        for times in (1, 2, 3):
            self._record_unary(f"frobenius {times}", partial(tower.frobenius, times=times))
        with_two = Recording(self._shared)
        f, g = _halves(_arguments(with_two, _TWO_ELEMENTS), F12_REGISTERS)
        product = tower.multiply(_element(f), _element(g))
        self._add("multiply", with_two.instructions(_flat(product), _ONE_ELEMENT))
        self._load("load f", _ONE_ELEMENT)
        self._load("load g", _TWO_ELEMENTS[F12_REGISTERS:])
        self._store("store f", _ONE_ELEMENT)

    def _record_unary(self, name: str, function: Callable[[Any], Any]) -> None:
        recording = Recording(self._shared)
        result = function(_element(_arguments(recording, _ONE_ELEMENT)))
        self._add(name, recording.instructions(_flat(result), _ONE_ELEMENT))

    def _record_lines(self) -> None:
        """Lines of a Miller loop. Their factors replace the coordinates of the point."""
        recording = Recording(self._shared)
        factors: Numbers = pairing.line_factors(*_relative(recording, 2))
        self._add("factors", recording.instructions(factors, range(2), relative=True))
        self._load("choose factors", _FACTORS)

        recording = Recording(self._shared)
        line: Any = tuple(_relative(recording, LINE_REGISTERS))
        scaled: Numbers = pairing.scaled_line(line, *_arguments(recording, _FACTORS))
        f = _element(_arguments(recording, _ONE_ELEMENT))
        result = tower.multiply_by_line(f, *scaled)
        self._add("line", recording.instructions(_flat(result), _ONE_ELEMENT))

    def _record_points(self) -> None:
        """Points of G1: their sums, and the search for one."""
        for name, function in (
            ("double", complete_addition.double),
            ("affine", complete_addition.affine),
        ):
            recording = Recording(self._shared)
            point: Any = tuple(_arguments(recording, _POINT))
            self._add(name, recording.instructions(function(point), _POINT))

        recording = Recording(self._shared)
        point = tuple(_arguments(recording, _POINT))
        other: Any = tuple(_relative(recording, POINT_REGISTERS))
        added = complete_addition.add(point, other)
        self._add("add", recording.instructions(added, _POINT))
        self._load("load point", _POINT)
        self._store("store point", _POINT)

        recording = Recording(self._shared)
        root = bn254.curve_root_plain(*_arguments(recording, range(1)))
        self._add("curve root", recording.instructions(root, range(2)))

    def _load(self, name: str, targets: Sequence[int]) -> None:
        """A piece that copies registers from the base to these."""
        loads = [Instruction(Operation.LOAD, to, at, at) for at, to in enumerate(targets)]
        self._add(name, loads)

    def _store(self, name: str, sources: Sequence[int]) -> None:
        """A piece that copies these registers to the base."""
        stores = [Instruction(Operation.STORE, at, each, each) for at, each in enumerate(sources)]
        self._add(name, stores)

    def _add(self, name: str, made: Sequence[Instruction]) -> None:
        start = len(self._made)
        self._made += made
        read = [each.a for each in made if each.operation is Operation.LOAD]
        written = [each.target for each in made if each.operation is Operation.STORE]
        reach = 1 + max(read + written, default=-1)
        self._pieces[name] = Piece(start, len(self._made), reach)


def _arguments(recording: Recording, registers: Sequence[int]) -> list[Any]:
    return [recording.argument(number) for number in registers]


def _relative(recording: Recording, count: int) -> list[Any]:
    return [recording.relative(number) for number in range(count)]


def _halves(values: Numbers, middle: int) -> tuple[Numbers, Numbers]:
    return values[:middle], values[middle:]


def _element(values: Numbers) -> Any:
    """The element of F_p¹² with these twelve coefficients."""
    low, high = _halves(values, 6)
    return tuple(low), tuple(high)


def _flat(element: tuple[Numbers, Numbers]) -> Numbers:
    return *element[0], *element[1]
