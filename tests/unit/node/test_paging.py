"""Pages of a list: what a page holds, and what names the next one."""

from __future__ import annotations

import pytest

from dragon.node.paging import page


def cursor(item: str) -> str:
    return f"after {item}"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("", ([], None)),
        ("a", (["a"], None)),
        ("ab", (["a", "b"], None)),
        ("abc", (["a", "b"], "after b")),
        ("abcdef", (["a", "b"], "after b")),
    ],
)
def test_a_page_names_the_next_one_only_if_items_follow(
    found: str, expected: tuple[list[str], str | None]
) -> None:
    assert page(list(found), 2, cursor) == expected
