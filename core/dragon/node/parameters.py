"""Path and query parameters, decoded by the rules of `dragon.encoding`.

class LogsQuery(Query):
    after: Annotated[int, integer()] = 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from dragon.encoding import MAX_INTEGER, MAX_INTEGER_DIGITS, check_id, from_hex
from dragon.errors import IntegerOutOfRange, NotAnInteger, UnknownMember, UnknownValue
from dragon.node.schemas import Schema


class Parameters(Schema):
    """The parameters of a route. Built at once: many threads use them."""

    model_config = ConfigDict(defer_build=False)


class Query(Parameters):
    """The query parameters of a route. Unknown ones are refused, so that no typo is ignored."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Mapping[str, str]) -> Mapping[str, str]:
        names = {field.alias or name for name, field in cls.model_fields.items()}
        for name in given:
            if name not in names:
                message = f"unknown parameter {name[:64]!a}, expected {_listed(names)}"
                raise UnknownMember(message, member=name[:64])
        return given

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Describe the parameters. An empty default means "none", and has no valid form."""
        schema = super().model_json_schema(*args, **kwargs)
        properties = {
            name: {key: value for key, value in each.items() if (key, value) != ("default", "")}
            for name, each in schema.get("properties", {}).items()
        }
        return {**schema, "properties": properties}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class NoParameters(Query):
    """No parameters."""


@dataclass(frozen=True)
class Parameter:
    """How a parameter is decoded, and how OpenAPI describes it."""

    read: Callable[[str, str], object]  # takes text and name; raises a DragonError
    schema: Mapping[str, object]
    name: str = ""  # if it differs from the attribute's name

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def read(text: str, info: ValidationInfo) -> object:
            return self.read(text, self.name or info.field_name or "")

        return BeforeValidator(read).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(
        self, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


def integer(least: int = 0, most: int = MAX_INTEGER, name: str = "") -> Parameter:
    """An integer from `least` to `most`. Refused with NotAnInteger, IntegerOutOfRange."""

    def read(text: str, name: str) -> int:
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit():
            raise NotAnInteger(f"{name} must be an integer", member=name)
        if len(text) > MAX_INTEGER_DIGITS or not least <= int(text) <= most:
            raise IntegerOutOfRange(f"{name} must be between {least} and {most}", member=name)
        return int(text)

    return Parameter(read, {"type": "integer", "minimum": least, "maximum": most}, name)


def boolean() -> Parameter:
    """`true` or `false`. Refused with UnknownValue."""

    def read(text: str, name: str) -> bool:
        if text not in ("true", "false"):
            raise UnknownValue(f"{name} must be true or false", member=name)
        return text == "true"

    return Parameter(read, {"type": "boolean"})


def identifier() -> Parameter:
    """An id of a node, an operator or a stream. Refused with InvalidId."""
    schema = {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}
    return Parameter(lambda text, name: check_id(text, member=name), schema)


def hexadecimal(size: range) -> Parameter:
    """Bytes in hexadecimal; `size` is the range of their number. Refused with InvalidHex."""
    pattern = f"^0x([0-9a-f]{{2}}){{{size.start},{size.stop - 1}}}$"
    schema = {"type": "string", "pattern": pattern}
    return Parameter(lambda text, name: from_hex(text, member=name, size=size), schema)
