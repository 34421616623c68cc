"""Things that exist once for each member, and end when their member leaves."""

from __future__ import annotations

from dragon.net.per_member import PerMember


def test_a_thing_is_made_once_and_ends_when_its_member_leaves() -> None:
    made: list[str] = []
    ended: list[str] = []

    def make(member: str) -> str:
        made.append(member)
        return member.upper()

    things = PerMember(make, ended.append)
    assert [things.use(each, str) for each in ("a", "b", "a")] == ["A", "B", "A"]
    assert made == ["a", "b"]

    things.keep(["b", "c"])
    assert ended == ["A"]
    assert things.use("a", str) == "A"
    assert made == ["a", "b", "a"]

    things.close()
    assert sorted(ended) == ["A", "A", "B"]


def test_work_may_use_the_thing_of_another_member() -> None:
    """An executor may run the work within `submit`, on the same thread."""
    things: PerMember[str] = PerMember(str.upper, lambda _: None)

    assert things.use("a", lambda a: a + things.use("b", str)) == "AB"
