"""Path and query parameters, read by the rules of `dragon.encoding`.

class Page(Query):
    after: Annotated[int, integer()] = 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from dragon.encoding import MAX_INTEGER, check_id, from_hex
from dragon.errors import IntegerOutOfRange, NotAnInteger, UnknownMember
from dragon.node.schemas import Schema


class Query(Schema):
    """What may stand behind the `?`. A misspelt filter must not pass for none."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Mapping[str, str]) -> Mapping[str, str]:
        names = {field.alias or name for name, field in cls.model_fields.items()}
        for name in given:
            if name not in names:
                message = f"there is no parameter {name[:64]!a} here"
                raise UnknownMember(message, member=name[:64])
        return given


class NoParameters(Query):
    """No parameters."""


@dataclass(frozen=True)
class Parameter:
    """How the text of a parameter becomes its value, and how that is described."""

    read: Callable[[str, str], object]  # text and name; raises a DragonError
    schema: Mapping[str, object]
    name: str = ""  # where it is not the attribute's

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
    """Refuses with NotAnInteger, IntegerOutOfRange."""

    def read(text: str, name: str) -> int:
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit():
            raise NotAnInteger(f"{name} is an integer", member=name)
        if len(text) > 17 or not least <= int(text) <= most:
            raise IntegerOutOfRange(f"{name} lies between {least} and {most}", member=name)
        return int(text)

    return Parameter(read, {"type": "integer", "minimum": least, "maximum": most}, name)


def identifier() -> Parameter:
    """Refuses with InvalidId."""
    schema = {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}
    return Parameter(lambda text, name: check_id(text, member=name), schema)


def hexadecimal(size: range) -> Parameter:
    """Refuses with InvalidHex."""
    pattern = f"^0x([0-9a-f]{{2}}){{{size.start},{size.stop - 1}}}$"
    schema = {"type": "string", "pattern": pattern}
    return Parameter(lambda text, name: from_hex(text, member=name, size=size), schema)
