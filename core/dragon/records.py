"""`dataclass` as in the standard library, made in a tenth of the time.

The standard library compiles six methods of every frozen dataclass, a millisecond for each class,
which every start of `dragon` and of a service pays for. Here only `__init__` is compiled, and only
when it is first used; the other methods are closures. Use it with the arguments and the meaning of
`dataclasses.dataclass`.

Only what the classes of this project need is made here: frozen classes, all fields of which are
arguments of `__init__`. Other classes are left to the standard library. A frozen class of one maker
cannot derive from a frozen class of the other; Python says so when the class is defined.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from operator import attrgetter, ge, gt, le, lt
from reprlib import recursive_repr
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")

_UNSET: Final = object()  # the argument of a field that has a factory, if none was given


def _frozen_dataclass(
    *, eq: bool = True, order: bool = False, slots: bool = False, kw_only: bool = False
) -> Callable[[type[T]], type[T]]:
    """Return the decorator. Raises TypeError: a field is not an argument of `__init__`."""

    def decorate(bare: type[T]) -> type[T]:
        # The standard library finds the fields, and compiles nothing.
        plain = dataclasses.dataclass(
            init=False, repr=False, eq=False, slots=slots, kw_only=kw_only
        )
        made: type[T] = plain(bare)
        found = fields(made)  # type: ignore[arg-type]
        if not all(each.init for each in found):
            message = f"{made.__name__} needs `dataclasses.dataclass`: a field has `init=False`"
            raise TypeError(message)
        compared = [each for each in found if each.compare]
        _add(made, __repr__=_representation(found), **_guards(made, {each.name for each in found}))
        if eq:
            _add(made, **_comparisons(compared))
        if order:
            _add(made, **_orders(compared))
        if slots:
            _add(made, **_state([each.name for each in found]))
        if "__init__" not in vars(made):
            made.__init__ = _Initializer(made, found)  # type: ignore[assignment]
        return made

    return decorate


class _Initializer:
    """Stands for `__init__` in a class until the first object is made."""

    def __init__(self, made: type, found: Sequence[Field[Any]]) -> None:
        self._made, self._found = made, found

    def __get__(self, instance: object, owner: type) -> Any:
        """Put the compiled `__init__` into the class, and return it as Python looks it up."""
        compiled = _compile(self._made, self._found)
        self._made.__init__ = compiled  # type: ignore[misc]
        return compiled.__get__(instance, owner)


def _add(made: type, **methods: Callable[..., Any]) -> None:
    """Add the methods that the class does not define itself."""
    for name, method in methods.items():
        if vars(made).get(name) is None:  # Python notes None for `__hash__` beside an own `__eq__`
            method.__qualname__ = f"{made.__qualname__}.{name}"
            setattr(made, name, method)


def _compile(made: type, found: Sequence[Field[Any]]) -> FunctionType:
    """Compile `__init__`. Its defaults are arguments of the function around it."""
    given: dict[str, Any] = {"_set": object.__setattr__, "_UNSET": _UNSET}
    parameters, lines = ["self"], []
    by_position_first = sorted(found, key=lambda field: field.kw_only is True)
    for each in by_position_first:
        if each.kw_only and "*" not in parameters:
            parameters.append("*")
        parameter, value = each.name, each.name
        if each.default_factory is not MISSING:
            given[f"_make_{each.name}"] = each.default_factory
            parameter += "=_UNSET"
            value = f"_make_{each.name}() if {each.name} is _UNSET else {each.name}"
        elif each.default is not MISSING:
            given[f"_default_{each.name}"] = each.default
            parameter += f"=_default_{each.name}"
        parameters.append(parameter)
        lines.append(f"_set(self, {each.name!r}, {value})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n  ".join(lines or ["pass"])
    text = f"def make({', '.join(given)}):\n def __init__({', '.join(parameters)}):\n  {body}\n"
    compiled: dict[str, Any] = {}
    exec(f"{text} return __init__", vars(sys.modules[made.__module__]), compiled)  # noqa: S102
    init: FunctionType = compiled["make"](**given)
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {**{each.name: each.type for each in found}, "return": None}
    return init


def _representation(found: Sequence[Field[Any]]) -> Callable[[Any], str]:
    names = [each.name for each in found if each.repr]

    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _comparisons(compared: Sequence[Field[Any]]) -> dict[str, Callable[..., Any]]:
    """Return `__eq__` and `__hash__`, which compare the fields as tuples do."""
    values = _tuple_of([each.name for each in compared])
    hashed = _tuple_of([each.name for each in compared if each.hash is not False])

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        if other.__class__ is self.__class__:
            return values(self) == values(other)
        return NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(hashed(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _orders(compared: Sequence[Field[Any]]) -> dict[str, Callable[..., Any]]:
    """Return the methods that put objects of one class in order, as tuples of their fields."""
    values = _tuple_of([each.name for each in compared])

    def ordered_by(comparison: Callable[[Any, Any], Any]) -> Callable[[Any, object], Any]:
        def compare(self: Any, other: object) -> Any:
            if other.__class__ is self.__class__:
                return comparison(values(self), values(other))
            return NotImplemented

        return compare

    return {f"__{each.__name__}__": ordered_by(each) for each in (lt, le, gt, ge)}


def _tuple_of(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that reads these attributes of an object."""
    if len(names) > 1:
        return attrgetter(*names)
    if names:
        only = attrgetter(names[0])
        return lambda self: (only(self),)
    return lambda _: ()


def _guards(made: type, names: set[str]) -> dict[str, Callable[..., None]]:
    """Return `__setattr__` and `__delattr__`, which keep objects as they are."""

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)  # type: ignore[arg-type]

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)  # type: ignore[arg-type]

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _state(names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Return what copies and pickles need: frozen objects with slots refuse the usual way."""

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: Sequence[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, **options):
        """See `dataclasses.dataclass`."""
        if frozen and options.keys() <= {"eq", "order", "slots", "kw_only"}:
            return _frozen_dataclass(**options)
        return dataclasses.dataclass(cls, frozen=frozen, **options)
