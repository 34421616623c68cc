"""Wire shapes: each member is declared once; decoding, encoding and JSON Schema follow from it.

A shape is a frozen dataclass. The annotation of each field names the codec of its member:

    @dataclass(frozen=True, slots=True)
    class Reading(Shape):
        sensor: Annotated[str, Id()]
        begin: Annotated[int, Integer(name="from")]
        unit: Annotated[str | None, Id(optional=True)] = None  # absent from the JSON if None

Members are decoded in the order of the fields; the first invalid member determines the error.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self, TypeAlias, get_args, get_origin, get_type_hints

from dragon.encoding import DECIMAL_PATTERN, MAX_INTEGER, Json, Members, to_hex
from dragon.protocol import signing

# A bound of an integer: fixed, or computed from the fields before it.
Bound: TypeAlias = int | Callable[[Mapping[str, Any]], int]


@dataclass(frozen=True, kw_only=True)
class Codec(ABC):
    """The JSON form of one member."""

    name: str = ""  # the member's name, if it differs from the field's name
    optional: bool = False  # whether the member may be absent; the field is None then

    @abstractmethod
    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> Any:
        """Take the member out of an object and decode it. Raises InvalidEncoding.

        Args:
            before: the fields that were decoded before, by name.
        """

    @abstractmethod
    def encode(self, value: Any) -> Json:
        """Return the JSON value of a field."""

    @abstractmethod
    def schema(self) -> dict[str, Json]:
        """Return the JSON Schema of the member."""


@dataclass(frozen=True, kw_only=True)
class Id(Codec):
    """The id of a node or expert, or the name of a stream."""

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> str:
        return members.id(name)

    def encode(self, value: str) -> Json:
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}


@dataclass(frozen=True, kw_only=True)
class Integer(Codec):
    """An integer within bounds; both bounds are allowed values."""

    least: Bound = 0
    most: Bound = MAX_INTEGER

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> int:
        return members.integer(name, least=_at(self.least, before), most=_at(self.most, before))

    def encode(self, value: int) -> Json:
        return value

    def schema(self) -> dict[str, Json]:
        """The bounds that hold for every object; a computed bound lies within them."""
        least = self.least if isinstance(self.least, int) else 0
        most = self.most if isinstance(self.most, int) else MAX_INTEGER
        return {"type": "integer", "minimum": least, "maximum": most}


@dataclass(frozen=True, kw_only=True)
class Decimal(Codec):
    """An integer as a string of decimal digits, for integers that may pass 2^53 - 1."""

    least: int
    most: int

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> int:
        return members.decimal(name, least=self.least, most=self.most)

    def encode(self, value: int) -> Json:
        return str(value)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": DECIMAL_PATTERN}


@dataclass(frozen=True, kw_only=True)
class Hex(Codec):
    """Bytes as `0x` and lower-case hexadecimal digits."""

    size: int | range = 32  # bytes

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> bytes:
        return members.hex(name, size=self.size)

    def encode(self, value: bytes) -> Json:
        return to_hex(value)

    def schema(self) -> dict[str, Json]:
        if isinstance(self.size, range):
            bounds = f"{self.size[0]},{self.size[-1]}"
            return {"type": "string", "pattern": f"^0x([0-9a-f]{{2}}){{{bounds}}}$"}
        return {"type": "string", "pattern": f"^0x[0-9a-f]{{{2 * self.size}}}$"}


@dataclass(frozen=True, kw_only=True)
class Word(Codec):
    """One of a closed list of words."""

    words: Collection[str]
    type: Callable[[str], str] = str

    def take(self, members: Members, name: str, before: Mapping[str, Any]) -> str:
        return self.type(members.word(name, self.words))

    def encode(self, value: str) -> Json:
        return str(value)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "enum": [str(word) for word in self.words]}


HASH: Final = Hex(size=32)


class Shape:
    """A frozen dataclass with one JSON form, declared as the module's docstring shows."""

    __slots__ = ()

    def members(self) -> dict[str, Json]:
        """Return the members of the JSON object."""
        return {
            codec.name: codec.encode(value)
            for field, codec in codecs_of(type(self))
            if (value := getattr(self, field)) is not None
        }

    @classmethod
    def take(cls, members: Members) -> Self:
        """Take the members out of a larger object. Raises InvalidEncoding."""
        taken: dict[str, Any] = {}
        for field, codec in codecs_of(cls):
            if codec.optional and codec.name not in members:
                taken[field] = None
            else:
                taken[field] = codec.take(members, codec.name, taken)
        made = cls(**taken)
        made.check_members()
        return made

    def check_members(self) -> None:
        """Check rules that concern several members. Raises InvalidEncoding."""


class SignedShape(Shape):
    """A shape that can be signed. `KIND` separates its signatures from those of other shapes."""

    __slots__ = ()
    KIND: ClassVar[str]

    def root(self, bound_to: bytes) -> bytes:
        """Return the 32 bytes that are signed, bound to the kind and to an id.

        Args:
            bound_to: id of the committee or of the network, see `dragon.protocol.signing`.
        """
        return signing.root(self.KIND, bound_to, self.members())


_CODECS: Final[dict[type[Shape], tuple[tuple[str, Codec], ...]]] = {}


def codecs_of(shape: type[Shape]) -> tuple[tuple[str, Codec], ...]:
    """Return the fields of a shape in order, each with its codec. All codecs have names."""
    if (known := _CODECS.get(shape)) is None:
        hints = get_type_hints(shape, include_extras=True)
        names = [field.name for field in fields(shape)]  # type: ignore[arg-type]
        known = _CODECS[shape] = tuple((name, _codec(name, hints[name])) for name in names)
    return known


def schema_of(shape: type[Shape]) -> dict[str, dict[str, Json]]:
    """Return the JSON Schema of each member, by name, in order."""
    return {codec.name: codec.schema() for _, codec in codecs_of(shape)}


def _codec(field: str, hint: Any) -> Codec:
    if get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return Word(name=field, words=list(hint), type=hint)
    [codec] = (each for each in get_args(hint)[1:] if isinstance(each, Codec))
    values = {each.name: getattr(codec, each.name) for each in fields(codec)}
    return type(codec)(**{**values, "name": codec.name or field})


def _at(bound: Bound, before: Mapping[str, Any]) -> int:
    return bound if isinstance(bound, int) else bound(before)
