"""Lists in pages: parameters `after` and `limit`, and `next`, which is null on the last page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

from dragon.encoding import MAX_INTEGER
from dragon.node.parameters import Query, integer

MAX_PAGE_SIZE: Final = 1000  # items of one page
DEFAULT_PAGE_SIZE: Final = 100

Item = TypeVar("Item")
Cursor = TypeVar("Cursor")


class LimitQuery(Query):
    """The number of items that a page may have."""

    limit: Annotated[int, integer(1, MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE


class IdPageQuery(LimitQuery):
    """A page of rows with ids above `after`, in ascending order."""

    after: Annotated[int, integer()] = 0


class PositionPageQuery(LimitQuery):
    """A page of items with numbers above `after`, in ascending order. Numbers start at 0."""

    after: Annotated[int, integer(-1)] = -1


class NewestFirstPageQuery(LimitQuery):
    """A page of rows with ids below `after`, in descending order."""

    after: Annotated[int, integer()] = MAX_INTEGER


def page(
    found: Sequence[Item], limit: int, cursor: Callable[[Item], Cursor]
) -> tuple[Sequence[Item], Cursor | None]:
    """Cut a list to one page.

    Args:
        found: the items after the caller's cursor. A list that is read from a database has to be
            read up to `limit` + 1 items, so that the end is recognized.
        limit: items of one page.
        cursor: what names an item as `after` of the next page.

    Returns:
        The items of the page, and `next`: the last item's cursor if more items follow, else None.
    """
    listed = found[:limit]
    return listed, cursor(listed[-1]) if len(found) > len(listed) else None
