"""docs/proofs.md repeats figures, constants and names of the code; here it is held to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from math import floor
from pathlib import Path

import pytest

import dragon.stark
import starkvectors as vectors
from dragon.cli import trouble
from dragon.cli.main import main
from dragon.stark import field
from dragon.stark.airs.blocks import BlocksAir
from dragon.stark.bounds import fixed_size, largest_size
from dragon.stark.hashchain import HashChain
from dragon.stark.refusal import Reason
from dragon.stark.rescue import rescue_hash, round_constants
from dragon.stark.security import BINDING_BITS, set_security
from dragon.stark.sets import BLOCK_ROWS, SETS
from dragon.stark.ziggy import secret_preimage
from dragon_zkp import requests

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proofs.md").read_text(encoding="utf-8")
PACKAGE = Path(dragon.stark.__file__).parent
SIZES = (1, 16, 64, 256, 1024, 4096)


def rows(head: str) -> list[list[str]]:
    """The cells of every row of the table whose first column is headed so."""
    table = PAGE.split(f"\n| {head} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()[2:]]


def block(name: str) -> str:
    return PAGE.split(f"```{name}\n", 1)[1].split("```", 1)[0]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# Figures


def test_every_set_is_listed_at_every_size_that_it_admits() -> None:
    listed = [(quoted(cells[0])[0], int(cells[1])) for cells in rows("set")]

    admitted = [
        (name, blocks)
        for name, chosen in SETS.items()
        for blocks in SIZES
        if blocks <= max(candidate.max_blocks for candidate in chosen.candidates)
    ]
    assert listed == admitted


@pytest.mark.parametrize("cells", rows("set"), ids=lambda cells: f"{cells[0]} {cells[1]}")
def test_every_figure_of_a_set_is_computed_again(cells: list[str]) -> None:
    chosen, n_blocks = SETS[quoted(cells[0])[0]], int(cells[1])
    parameters = chosen.parameters(n_blocks)
    lengths = parameters.lengths(BLOCK_ROWS * n_blocks)
    air = BlocksAir(((0, 0, 0, 0),) * n_blocks, b"")
    security = set_security(chosen, n_blocks)
    bits = (security.provable, security.conjectured, security.binding, security.level)

    assert cells[2:] == [
        str(lengths.trace_length),
        str(1 << parameters.log_n_cosets),
        str(parameters.n_queries),
        str(parameters.proof_of_work_bits),
        str(largest_size(air, parameters, lengths)),
        *(str(floor(10 * figure) / 10) for figure in bits),
    ]


def test_the_sizes_named_in_the_text_are_right() -> None:
    longest = vectors.blocks("proof_standard_b64.json")["proof_length"]
    classic, standard = SETS["ziggy-classic"].parameters(1), SETS["standard"].parameters(4)
    four = BlocksAir(((0, 0, 0, 0),) * 4, b"")

    assert f"the vector with 64 blocks under `standard` has {longest} bytes" in PAGE
    assert f"{fixed_size(four, classic)} for `ziggy-classic`" in PAGE
    assert f"{fixed_size(four, standard)} for `standard` with four blocks" in PAGE
    assert f"* binding = {BINDING_BITS:.0f}:" in PAGE
    assert f"at most {BINDING_BITS:.0f} bits" in PAGE


def test_the_price_of_the_strong_set_is_as_stated() -> None:
    work, size = [], []
    for n_blocks in (1 << k for k in range(13)):
        cost = []
        for name in ("strong", "standard"):
            parameters = SETS[name].parameters(n_blocks)
            lengths = parameters.lengths(BLOCK_ROWS * n_blocks)
            air = BlocksAir(((0, 0, 0, 0),) * n_blocks, b"")
            cost.append((lengths.domain_size, largest_size(air, parameters, lengths)))
        work.append(cost[0][0] / cost[1][0])
        size.append(cost[0][1] / cost[1][1])

    assert max(work) == 2
    assert 1.5 < max(size) < 1.6


def test_the_candidates_of_the_sets_are_those_of_the_code() -> None:
    told = PAGE.split("Candidates (log β, q, largest B): ", 1)[1].split(". ", 1)[0]
    candidates = [
        f"({each.log_n_cosets}, {each.n_queries}, {each.max_blocks})"
        for chosen in SETS.values()
        for each in chosen.candidates
    ]

    assert re.findall(r"\([^)]*\)", told) == candidates
    grinding = [chosen.proof_of_work_bits for chosen in SETS.values()]
    assert "Grinding is {}, {} and {} bits".format(*grinding) in PAGE


# The format


def test_the_constants_of_the_format_are_those_of_the_code() -> None:
    assert f"So 1 is encoded as `{field.encode([1]).hex()}`" in PAGE
    assert f"Rescue(1, 2, …, 8) = {rescue_hash(range(1, 9))}" in PAGE
    assert field.P == 2**61 + 20 * 2**32 + 1
    derived = int.from_bytes(sha256(b"MarvellousK17").digest(), "big") % field.P
    assert round_constants()[1][5] == derived


def test_the_seeds_are_those_of_the_code() -> None:
    classic, strict = re.findall(r'^"([\w ]+)" 0x00 ‖ (.*)$', PAGE, re.MULTILINE)
    outputs = ((1, 2, 3, 4), (5, 6, 7, 8))
    first, second = (field.encode(output) for output in outputs)
    parameters = SETS["standard"].parameters(2)

    assert classic[1] == "P ‖ m"
    seed = BlocksAir(outputs[:1], b"m").channel_seed(SETS["ziggy-classic"].parameters(1))
    assert seed == classic[0].encode() + b"\0" + first + b"m"
    assert strict[1] == "H(pfile) ‖ BE64(B) ‖ P_0 ‖ … ‖ P_{B-1} ‖ m"
    seed = BlocksAir(outputs, b"m").channel_seed(parameters)
    count = (2).to_bytes(8, "big")
    assert seed == strict[0].encode() + b"\0" + parameters.digest() + count + first + second + b"m"


def test_the_parameter_file_shown_is_that_of_the_code() -> None:
    canonical, digest = block("text pfile").splitlines()
    parameters = SETS["standard"].parameters(4)

    assert canonical.encode() == parameters.canonical()
    assert digest == parameters.digest().hex()


def test_the_seed_of_a_key_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[bytes] = []

    class Recording(HashChain):
        def __init__(self, seed: bytes) -> None:
            seeds.append(seed)
            super().__init__(seed)

    monkeypatch.setattr("dragon.stark.ziggy.HashChain", Recording)
    secret_preimage(bytes(range(32)))

    [named] = re.findall(r"chain with the seed `([^`]*)` ‖ 0x00 ‖ key", PAGE)
    assert seeds == [named.encode() + b"\0" + bytes(range(32))]


def test_the_reasons_of_refusal_are_the_closed_list() -> None:
    [told] = [cells[1] for cells in rows("refused as") if cells[0] == "`proof_refused`"]

    assert quoted(told) == [str(reason) for reason in Reason]
    verifier = PAGE.split("**Verifier**, in this order", 1)[1].split("\n\n", 1)[0]
    assert set(quoted(verifier)) == {str(reason) for reason in Reason} - {"non_canonical"}


def test_the_other_refusals_are_errors_of_the_command_line() -> None:
    named = {quoted(cells[0])[0] for cells in rows("refused as")} - {"proof_refused"}

    kinds = (
        trouble.KeyHasOneUse,
        trouble.NotTheKey,
        trouble.OtherStatement,
        trouble.OtherParameters,
    )
    assert named == {kind("").name for kind in kinds}


# The map of modules


def modules() -> set[str]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            found.add(".".join(("dragon.stark", *parts)))
    return found


def test_the_map_names_every_module_and_no_other() -> None:
    mapped = {name for cells in rows("section") for cell in cells for name in quoted(cell)}

    assert mapped == modules()


def test_verifier_and_prover_stand_in_their_own_columns() -> None:
    for _, _, verifier, prover in rows("section"):
        assert not [name for name in quoted(verifier) if ".prover" in name]
        assert all(name.startswith("dragon.stark.prover.") for name in quoted(prover))


# The examples


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the page's first program has run."""
    monkeypatch.chdir(tmp_path)
    run("make-window")
    return tmp_path


def run(name: str) -> None:
    exec(block(f"python {name}"), {})


@pytest.fixture
def dragon_(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run_command(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(line.split()[1:])
        return int(done.value.code or 0), *capsys.readouterr()

    return run_command


def shown(command: str) -> str:
    """What the page says that a command prints."""
    return PAGE.split(f"$ {command}\n", 1)[1].split("\n\n", 1)[0].split("```", 1)[0]


def test_the_examples_of_a_window_work(
    example: Path, dragon_: Callable[..., tuple[int, str, str]], pytestconfig: pytest.Config
) -> None:
    asked = json.loads((example / "request.json").read_text())
    job = requests.prove_from_json(json.dumps(asked).encode(), bytes(32))
    with pytest.MonkeyPatch.context() as environment:
        assert pytestconfig.cache is not None
        environment.setenv("NUMBA_CACHE_DIR", str(pytestconfig.cache.mkdir("kernels")))
        from dragon_zkp.worker import do  # noqa: PLC0415

        (example / "proof.bin").write_bytes(do(job))
    run("make-verification")

    command = "dragon proof verify window.json --proof proof.bin --set standard"
    assert dragon_(command) == (0, shown(command), "")
    code, out, _ = dragon_("dragon proof verify verification.json")
    assert code == 0
    assert out.startswith(shown("dragon proof verify verification.json").removesuffix("…"))
    command = "dragon proof verify verification.json --set strong"
    code, _, err = dragon_(command)
    assert (code, err.splitlines()[0]) == (1, shown(command).strip())
    requests.verify_from_json(json.loads((example / "verification.json").read_text()))
    assert asked["secrets"]["identity"] not in (example / "window.json").read_text()
    assert asked["secrets"]["identity"] not in (example / "verification.json").read_text()


def test_the_commands_shown_for_signatures_take_these_options() -> None:
    from dragon.cli.main import with_all  # noqa: PLC0415

    for line in re.findall(r"dragon ziggy [^`\n]*--[^`\n]*", PAGE):
        command = with_all().commands["ziggy"].commands[line.split()[2]]  # type: ignore[attr-defined]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= known, line
