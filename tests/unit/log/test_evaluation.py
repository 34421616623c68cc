"""All ways to evaluate the same batches come to the result of the rules, applied one by one."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committees import make_members
from dragon import errors
from dragon.encoding import canonical
from dragon.log import batch_items, batch_verification
from dragon.log.evaluation import Evaluator
from dragon.log.ledger import Position, ProvenBatch
from dragon.log.schema import LOG_SCHEMA
from dragon.log.store import Log
from dragon.protocol import event, merkle
from dragon.protocol.claims.checkpoint import CheckpointClaim
from dragon.protocol.claims.status import Status
from dragon.protocol.event import Event
from dragon.protocol.state import State
from dragon.protocol.transition import transition
from dragon.storage.database import Database
from examples import examples

MEMBERS = make_members()
COMMITTEE = MEMBERS.committee
ROUNDS = COMMITTEE.rounds
NODES = ("operator_1", "operator_2")
STRANGERS = make_members(name="another")


@cache
def genuine(node: str, round_: int) -> Event:
    return MEMBERS.status(node, Status.UP if round_ % 2 else Status.DOWN, round_)


@cache
def forged(node: str, round_: int) -> Event:
    status = Status.UP if round_ % 2 else Status.DOWN
    return dataclasses.replace(
        MEMBERS.status(node, status, round_), signature=genuine(node, round_ + 1).signature
    )


@cache
def without_quorum(node: str, round_: int) -> Event:
    return MEMBERS.status(node, Status.UP, round_, ["operator_3"])


@cache
def text(make: str, node: str, round_: int) -> str:
    match make:
        case "malformed":
            return '{"kind":"status","kind":"status"}'
        case "unknown kind":
            return '{"kind":"weather"}'
        case "stranger":
            value = STRANGERS.status(node, Status.UP, round_)
        case "forged":
            value = forged(node, round_)
        case "without quorum":
            value = without_quorum(node, round_)
        case _:
            value = genuine(node, round_)
    return canonical(value.to_json()).decode()


MAKES = ["genuine", "genuine", "genuine", "forged", "without quorum"]
MAKES += ["malformed", "unknown kind", "stranger"]
ITEMS = st.builds(text, st.sampled_from(MAKES), st.sampled_from(NODES), st.integers(1, 5))
BODIES = st.one_of(
    st.lists(ITEMS, max_size=5).map(lambda items: f"[{','.join(items)}]"), st.just("[1,]")
)


def proven(index: int, body: str) -> ProvenBatch:
    return ProvenBatch(index, body, 0, "{}", Position(index, f"{index:032x}"))


@dataclasses.dataclass
class Result:
    """Leaf hashes of the entries, and index, place and reason of the refusals."""

    leaves: list[bytes]
    refused: list[tuple[int, int, str]]


def by_the_rules(batches: Sequence[ProvenBatch]) -> Result:
    """Apply the rules event by event, without batches of signatures and without memory."""
    state, result = State.of(COMMITTEE), Result([], [])
    for batch in batches:
        try:
            items = event.decode_batch(batch.body)
        except errors.InvalidEncoding as error:
            result.refused.append((batch.index, 0, error.name))
            continue
        ended = False
        for place, item in enumerate(items):
            if ended:
                result.refused.append((batch.index, place, "after_forged"))
                continue
            try:
                decoded = event.decode_item(item)
                root_at = merkle.Tree(result.leaves).root
                state = transition(state, decoded, root_at=root_at)
            except errors.DragonError as error:
                result.refused.append((batch.index, place, error.name))
                not_ending = errors.InvalidEncoding | errors.UnknownKind | errors.WrongCommittee
                ended = isinstance(error, errors.CertificateError) and not isinstance(
                    error, not_ending
                )
            else:
                result.leaves.append(merkle.leaf_hash(event.leaf(decoded, batch.index)))
    return result


@contextmanager
def opened(path: Path) -> Iterator[Log]:
    database = Database(path, LOG_SCHEMA)
    try:
        yield Log(database, COMMITTEE)
    finally:
        database.close()


def read(log: Log) -> Result:
    refused = [(one.ledger_index, one.place, one.reason) for one in log.refused(1000)]
    return Result([entry.leaf_hash for entry in log.entries()], refused[::-1])


def chunks(batches: Sequence[ProvenBatch], sizes: Sequence[int]) -> Iterator[list[ProvenBatch]]:
    left, turn = list(batches), 0
    while left:
        size = sizes[turn % len(sizes)]
        yield left[:size]
        left, turn = left[size:], turn + 1


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(BODIES, min_size=1, max_size=6),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([1, 2, 100]),
    st.booleans(),
)
def test_all_ways_to_evaluate_come_to_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    bodies: list[str],
    sizes: list[int],
    remembered: int,
    reopens: bool,
) -> None:
    """One by one, together, in other transactions, after restarts, and whatever is remembered."""
    batches = [proven(index, body) for index, body in enumerate([*bodies, *bodies], start=1)]
    expected = by_the_rules(batches)
    folder = tmp_path_factory.mktemp("logs")

    with opened(folder / "together.db") as log:
        log.take(*batches)
        together = read(log)
        entries, heads = log.entries(), [log.head(size) for size in range(log.head().size + 1)]
    with (
        mock.patch.object(batch_items, "MAX_REMEMBERED_BATCHES", remembered),
        mock.patch.object(batch_verification, "MAX_REMEMBERED_FORGERIES", remembered),
        mock.patch.object(batch_verification, "GROUP_SIZE", 2),
    ):
        if reopens:
            for chunk in chunks(batches, sizes):
                with opened(folder / "parts.db") as log:
                    log.take(*chunk)
        else:
            with opened(folder / "parts.db") as log:
                for chunk in chunks(batches, sizes):
                    log.take(*chunk)
    with opened(folder / "parts.db") as log:
        in_parts = read(log)

    assert together == expected
    assert in_parts == expected
    for head in heads[1 :: max(1, len(heads) // 3)]:
        with opened(folder / f"late{head.size}.db") as log:
            log.begin_at(CheckpointClaim(head.size, head.root, 0), entries[: head.size])
            log.take(*batches)
            assert log.head() == heads[-1]


def with_checkpoints(rng: random.Random) -> list[ProvenBatch]:
    """Random batches, some with a checkpoint of what the rules apply of those before."""
    batches: list[ProvenBatch] = []
    for index in range(1, 9):
        round_ = 5 * index
        items = [
            text(rng.choice(MAKES), rng.choice(NODES), round_ - rng.choice([0, 1, 2, 13, 14]))
            for _ in range(rng.randrange(4))
        ]
        leaves = by_the_rules(batches).leaves
        if leaves and rng.random() < 0.7:
            size = rng.randint(max(1, len(leaves) - 2), len(leaves))
            root = merkle.Tree(leaves).root(size)
            certified = MEMBERS.certify(
                CheckpointClaim(size, root, ROUNDS.start(round_)), MEMBERS.secrets
            )
            if rng.random() < 0.2:
                certified = dataclasses.replace(certified, signature=genuine(NODES[0], 1).signature)
            items.insert(rng.randint(0, len(items)), canonical(certified.to_json()).decode())
        batches.append(proven(index, f"[{','.join(items)}]"))
    return batches


@settings(max_examples=examples(25), deadline=None)
@given(st.randoms(use_true_random=False))
def test_checkpoints_in_any_transaction_come_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random
) -> None:
    """After every transaction, state and root in memory and in the file are those of the rules."""
    batches = with_checkpoints(rng)
    expected = by_the_rules(batches)
    folder = tmp_path_factory.mktemp("logs")

    for name, sizes in {"together": [8], "single": [1], "parts": [3, 1, 2]}.items():
        with opened(folder / f"{name}.db") as log:
            for chunk in chunks(batches, sizes):
                log.take(*chunk)
                leaves = by_the_rules(batches[: chunk[-1].index]).leaves
                assert log.head().root == merkle.Tree(leaves).root()
            assert read(log) == expected
            state = log.state
        with opened(folder / f"{name}.db") as reopened:
            assert reopened.state == state
            assert reopened.head().root == merkle.Tree(expected.leaves).root()


@pytest.mark.parametrize("distrusts", [False, True])
def test_a_chain_of_masking_forgeries_needs_few_evaluations(distrusts: bool) -> None:
    """Each forged event, if it were trusted, would hide the forged event in the next batch."""
    evaluator = Evaluator(os.urandom)
    evaluator._distrusts = distrusts
    batches = [proven(index, f"[{text('forged', NODES[0], 40 - index)}]") for index in range(1, 20)]
    verifier = evaluator._verifier

    with mock.patch.object(verifier, "verify", side_effect=verifier.verify) as verify:
        outcome = evaluator.evaluate(State.of(COMMITTEE), batches, lambda _: lambda _: bytes(32))

    assert len(outcome.refusals) == 19
    assert verify.call_count <= 2


def test_genuine_batches_are_verified_together() -> None:
    """One group check for first events, and another for the rest of the batches."""
    evaluator = Evaluator(os.urandom)
    batches = [
        proven(1, f"[{text('genuine', NODES[0], 1)},{text('genuine', NODES[0], 2)}]"),
        proven(2, f"[{text('genuine', NODES[0], 3)},{text('genuine', NODES[1], 2)}]"),
    ]
    verifier = evaluator._verifier

    with mock.patch.object(verifier, "verify", side_effect=verifier.verify) as verify:
        outcome = evaluator.evaluate(State.of(COMMITTEE), batches, lambda _: lambda _: bytes(32))

    assert len(outcome.entries) == 4
    assert [(len(call.args[0]), call.kwargs) for call in verify.call_args_list] == [
        (2, {"together": True}),
        (2, {"together": True}),
    ]


def test_other_threads_may_run_after_every_check() -> None:
    """A check keeps the interpreter lock; without a pause, requests wait for many checks."""
    evaluator = Evaluator(os.urandom)
    batches = [proven(index, f"[{text('forged', NODES[0], index)}]") for index in range(1, 4)]

    with mock.patch.object(batch_verification, "_pause") as pause:
        evaluator.evaluate(State.of(COMMITTEE), batches, lambda _: lambda _: bytes(32))

    assert pause.call_count == 1 + 3  # one group, which fails, and its events one by one
