"""Classes of `dragon.records` behave as those of the standard library, the oracle of this test."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from functools import cached_property
from typing import Any, ClassVar, get_type_hints

import pytest

from dragon import records


def define(dataclass: Any) -> dict[str, type[Any]]:
    """Define the same classes with one of the two decorators."""

    @dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        KIND: ClassVar[str] = "point"

        x: int
        y: int = 7
        tags: tuple[str, ...] = field(default_factory=tuple)

    @dataclass(frozen=True, slots=True)
    class Named(Point):
        name: str = field(default="nameless", compare=False)
        secret: bytes = field(default=b"", repr=False)
        note: str = field(default="", hash=False)

    @dataclass(frozen=True, kw_only=True)
    class Options:
        least: int
        name: str = ""

        @cached_property
        def double(self) -> int:
            return 2 * self.least

    @dataclass(frozen=True)
    class Checked:
        value: int
        later: int = field(default=1, kw_only=True)

        def __post_init__(self) -> None:
            if self.value < 0:
                raise ValueError("negative")

    @dataclass(frozen=True, slots=True)
    class Loop:
        inside: list[Any]

    @dataclass(frozen=True, slots=True)
    class Empty:
        pass

    @dataclass(frozen=True, slots=True)
    class Own:  # noqa: PLW1641 - the decorator adds `__hash__`
        value: int

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True, eq=False)
    class Same:
        value: int

    @dataclass(frozen=True, order=True)
    class Version:
        major: int
        minor: int = 0
        note: str = field(default="", compare=False)

    class Derived(Point):
        """No dataclass itself."""

    classes = (Point, Named, Options, Checked, Loop, Empty, Own, Same, Version, Derived)
    return {each.__name__: each for each in classes}


OURS, THEIRS = define(records.dataclass), define(dataclasses.dataclass)
Made = dict[str, type[Any]]


def outcome(act: Callable[[Made], object], classes: Made) -> object:
    """What an action returns, or the error that it raises, in a form that can be compared."""
    try:
        return act(classes)
    except Exception as error:
        return type(error), str(error).replace("define.<locals>.", "")


def changed(value: object, name: str) -> None:
    setattr(value, name, 1)


def deleted(value: object, name: str) -> None:
    delattr(value, name)


def matched(value: object, point: type[Any]) -> object:
    match value:
        case point(x, y):
            return x, y
    return None


ACTIONS: dict[str, Callable[[Made], object]] = {
    "arguments by position": lambda made: repr(made["Point"](1, 2, ("a",))),
    "arguments by name": lambda made: repr(made["Point"](x=1, tags=("b",))),
    "defaults": lambda made: repr(made["Point"](1)),
    "a missing argument": lambda made: made["Point"](),
    "too many arguments": lambda made: made["Point"](1, 2, (), 4),
    "an unknown argument": lambda made: made["Point"](1, z=2),
    "keywords only": lambda made: repr(made["Options"](least=3)),
    "a keyword by position": lambda made: made["Options"]("a", 3),
    "a keyword after positions": lambda made: repr(made["Checked"](3, later=4)),
    "a check after the start": lambda made: made["Checked"](-1),
    "a derived class": lambda made: repr(made["Named"](1, 2, (), "a", b"hidden", "n")),
    "no field": lambda made: repr(made["Empty"]()),
    "no field, equal": lambda made: made["Empty"]() == made["Empty"](),
    "an own comparison": lambda made: made["Own"](1) == made["Own"](2),
    "an own text": lambda made: repr(made["Own"](1)),
    "a hash beside an own comparison": lambda made: hash(made["Own"](1)) == hash(made["Own"](1)),
    "no comparison": lambda made: made["Same"](1) == made["Same"](1),
    "a hash without a comparison": lambda made: vars(made["Same"]).get("__hash__"),
    "an order": lambda made: [
        (a < b, a <= b, a > b, a >= b)
        for a in (made["Version"](1, 2), made["Version"](1, 2, "same"), made["Version"](2))
        for b in (made["Version"](1, 2), made["Version"](0, 9))
    ],
    "an order of different classes": lambda made: made["Version"](1) < 2,
    "a class that derives and adds nothing": lambda made: repr(made["Derived"](1)),
    "a property that is kept": lambda made: made["Options"](least=3).double,
    "assignment to a field": lambda made: changed(made["Point"](1), "x"),
    "assignment to another name": lambda made: changed(made["Checked"](1), "z"),
    "deletion of a field": lambda made: deleted(made["Point"](1), "x"),
    "deletion of another name": lambda made: deleted(made["Checked"](1), "z"),
    "slots": lambda made: hasattr(made["Point"](1), "__dict__"),
    "no slots": lambda made: vars(made["Checked"](1)),
    "equal": lambda made: made["Named"](1, name="a") == made["Named"](1, name="b"),
    "unequal": lambda made: made["Named"](1) == made["Named"](2),
    "unequal in what is not hashed": lambda made: (
        made["Named"](1, note="a") == made["Named"](1, note="b")
    ),
    "another class": lambda made: made["Named"](1) == made["Point"](1),
    "equal hashes": lambda made: (
        hash(made["Named"](1, name="a", note="b")) == hash(made["Named"](1))
    ),
    "other hashes": lambda made: hash(made["Named"](1)) == hash(made["Named"](2)),
    "a field without a hash": lambda made: hash(made["Loop"]([])),
    "replace": lambda made: repr(dataclasses.replace(made["Named"](1, 2), y=5)),
    "replace an unknown field": lambda made: dataclasses.replace(made["Point"](1), z=5),
    "as a dictionary": lambda made: dataclasses.asdict(made["Named"](1, 2, ("a",))),
    "fields": lambda made: [each.name for each in dataclasses.fields(made["Named"])],
    "a shallow copy": lambda made: repr(copy.copy(made["Point"](1, 2))),
    "a deep copy": lambda made: repr(copy.deepcopy(made["Loop"]([1, [2]]))),
    "a copy without slots": lambda made: repr(copy.copy(made["Checked"](1))),
    "a pattern": lambda made: matched(made["Point"](1, 2), made["Point"]),
    "names of patterns": lambda made: made["Named"].__match_args__,
    "names of keywords in patterns": lambda made: made["Checked"].__match_args__,
    "documentation": lambda made: made["Point"].__doc__,
    "a signature": lambda made: str(inspect.signature(made["Point"])).partition("tags")[0],
    "types": lambda made: get_type_hints(made["Named"].__init__),
}


@pytest.mark.parametrize("act", ACTIONS.values(), ids=ACTIONS.keys())
def test_a_class_behaves_as_one_of_the_standard_library(act: Callable[[Made], object]) -> None:
    assert outcome(act, OURS) == outcome(act, THEIRS)


def test_an_object_that_contains_itself_has_a_text() -> None:
    for made in (OURS, THEIRS):
        loop = made["Loop"]([])
        loop.inside.append(loop)

        assert repr(loop) == "define.<locals>.Loop(inside=[...])"


@records.dataclass(frozen=True, slots=True)
class Sent:
    """Defined in the module, because `pickle` looks classes up by their names."""

    number: int
    text: str = "a"


def test_an_object_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sent(3, "b"))) == Sent(3, "b")


def test_an_object_stays_as_it_is() -> None:
    sent = Sent(3)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'number'"):
        sent.number = 4  # type: ignore[misc]
    assert sent.number == 3


def test_a_field_that_is_no_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="Late needs"):

        @records.dataclass(frozen=True)
        class Late:
            value: int = field(init=False, default=1)


def test_other_classes_are_left_to_the_standard_library() -> None:
    @records.dataclass(slots=True)
    class Open:
        value: int

    opened = Open(1)
    opened.value = 2
    assert opened == Open(2)
