"""Time and size of proofs, their growth, the time of each stage, and the start of a prover.

Readings proofs are measured beside blocks proofs of the same window, which say less.

Reference: StarkWare's C++ build, in process, one thread, on two cores of an AMD EPYC (Zen 4):
a classic signature in 3.05 ms (verified in 0.59 ms, 17.4 KB), a Rescue chain of 12,288 without zero
knowledge in 3.78 s, and in 2.30 s with two threads. It does not support windows.

One thread is measured in processor time, two threads in elapsed time. Kernels are compiled before,
except where a table says otherwise.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import environ
from pathlib import Path

from dragon.stark import compiled
from dragon.stark.airs.rescue_chain import RescueChainAir
from dragon.stark.blocks import verify_window
from dragon.stark.commitment import encode_output, reading_opening
from dragon.stark.parameter_sets import fri_schedule
from dragon.stark.parameters import Parameters
from dragon.stark.prover.blocks import hash_many, prove_blocks
from dragon.stark.prover.compiled_verifier import CompiledVerifier
from dragon.stark.prover.prover import StageListener, ignore_stages
from dragon.stark.prover.readings import prove_readings
from dragon.stark.prover.rescue_chain import chain_output, prove_rescue_chain
from dragon.stark.prover.ziggy import prove_ziggy
from dragon.stark.reading_bounds import ReadingBounds
from dragon.stark.readings import verify_readings
from dragon.stark.rescue import rescue_hash
from dragon.stark.verifier import verify
from dragon.stark.ziggy import public_key, verify_signature
from timing import medians, ms, show, verdict

IDENTITY = list(range(1, 9))
KEY = bytes(range(32))
SOURCE = random.Random(5)  # noqa: S311  # no secret is at stake
KIB_IN_MIB = 1024
BLINDED = "the same in zero knowledge"

Prover = Callable[[int, StageListener], bytes]
Made = tuple[Prover, Callable[[bytes], None]]


def window(chunks: int) -> Made:
    """A prover of a window with the parameters `standard`, and its verifier."""
    openings = [SOURCE.randbytes(60) for _ in range(chunks)]
    identity, commitments = encode_output(rescue_hash(IDENTITY)), hash_many(openings)

    def prove(threads: int, on_stage: StageListener = ignore_stages) -> bytes:
        secrets = [IDENTITY, *openings]
        rho = SOURCE.randbytes(32)
        return prove_blocks("standard", secrets, b"bench", rho, threads=threads, on_stage=on_stage)

    return prove, lambda proof: verify_window("standard", identity, commitments, b"bench", proof)


def readings(count: int) -> tuple[Made, Made]:
    """The same window proven without and with bounds: of readings, of steps, and an exact sum."""
    values = [SOURCE.randrange(-400, 8500) for _ in range(count)]
    openings = [reading_opening(SOURCE.randbytes(32), SOURCE.randbytes(20), v) for v in values]
    identity, commitments = encode_output(rescue_hash(IDENTITY)), hash_many(openings)
    bounds = ReadingBounds(-400, 8500, -8900, 8900, sum(values), sum(values))

    def blocks(threads: int, on_stage: StageListener = ignore_stages) -> bytes:
        secrets = [IDENTITY, *openings]
        rho = SOURCE.randbytes(32)
        return prove_blocks("standard", secrets, b"bench", rho, threads=threads, on_stage=on_stage)

    def bounded(threads: int, on_stage: StageListener = ignore_stages) -> bytes:
        secrets, rho = (IDENTITY, openings, False, bounds), SOURCE.randbytes(32)
        return prove_readings(
            "standard", *secrets, b"bench", rho, threads=threads, on_stage=on_stage
        )

    public = (identity, commitments)
    return (
        (blocks, lambda proof: verify_window("standard", *public, b"bench", proof)),
        (
            bounded,
            lambda proof: verify_readings("standard", *public, False, bounds, b"bench", proof),
        ),
    )


def signature() -> Made:
    key = encode_output(public_key(KEY))

    def prove(threads: int, on_stage: StageListener = ignore_stages) -> bytes:
        return prove_ziggy(KEY, b"bench", SOURCE.randbytes(32), threads=threads, on_stage=on_stage)

    return prove, partial(verify_signature, key, b"bench")


def chain(length: int, *, zero_knowledge: bool) -> Made:
    witness = [[SOURCE.randrange(1 << 60) for _ in range(4)] for _ in range(length + 1)]
    air = RescueChainAir(chain_output(witness), length)
    n = Parameters(2, 56, 18, (0,), 1, zero_knowledge).trace_length(air.original_length)
    parameters = Parameters(2, 56, 18, *fri_schedule(n), zero_knowledge)

    def prove(threads: int, on_stage: StageListener = ignore_stages) -> bytes:
        return prove_rescue_chain(
            witness,
            parameters,
            SOURCE.randbytes(32),
            output=air.output,
            threads=threads,
            on_stage=on_stage,
        )

    return prove, lambda proof: verify(air, parameters, proof)


def median(work: Callable[[], object], clock: Callable[[], float], repetitions: int) -> float:
    work()
    times = []
    for _ in range(repetitions):
        begun = clock()
        work()
        times.append(clock() - begun)
    return statistics.median(times)


def stages(prove: Prover, repetitions: int) -> dict[str, float]:
    """Median processor time of each stage with one thread, in seconds."""
    runs: list[dict[str, float]] = []
    for _ in range(repetitions):
        marks: list[tuple[str, float]] = []

        def note(stage: str, marks: list[tuple[str, float]] = marks) -> None:
            marks.append((stage, time.process_time()))

        prove(1, note)
        ends = [at for _, at in marks[1:]]
        runs.append({name: end - at for (name, at), end in zip(marks, ends, strict=False)})
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def in_another_process(script: str, folder: str) -> tuple[float, list[float]]:
    """Run a script in another process. Return its elapsed time and the numbers that it prints."""
    root = Path(__file__).parents[1]
    environment = environ | {
        "NUMBA_CACHE_DIR": folder,
        "PYTHONPATH": f"{root / 'core'}:{root / 'bench'}",
    }
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True
    )
    return time.perf_counter() - begun, [float(word) for word in done.stdout.split()]


WARM = "from dragon.stark.prover.warmup import warm_up; warm_up(lambda *_: None)"


def starting(chunks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cold, _ = in_another_process(WARM, folder)
        warm, _ = in_another_process(WARM, folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        _, (peak,) = in_another_process(f"import proofs; proofs.say_peak({chunks})", folder)
    rows = [
        ("start with an empty kernel cache", f"{cold:.1f} s", f"≤ 60 s: {verdict(cold <= 60)}"),
        ("start with a warm cache", f"{warm:.2f} s", f"≤ 3 s: {verdict(warm <= 3)}"),
        (f"memory at {chunks} chunks", f"{peak:.0f} MiB", f"≤ 300: {verdict(peak <= 300)}"),
        ("compiled code on disk", f"{size / 2**20:.1f} MiB", ""),
    ]
    columns = ("what", "measured", "goal")
    show("Start and memory of a prover", columns, rows, "Elapsed time.")


def say_peak(chunks: int) -> None:
    """Print the peak memory of this process in MiB after one window. Run it in a new process.

    It reads /proc, because `getrusage` includes the parent process.
    """
    prove, _ = window(chunks)
    prove(2, ignore_stages)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sys.stdout.write(f"{int(status['VmHWM'].split()[0]) / KIB_IN_MIB}\n")


@dataclass(frozen=True)
class Case:
    """What is proven, how often it is measured, and the goal in ms with `threads` threads."""

    name: str
    made: Made
    repetitions: int
    reference: str = "-"
    goal: float = 0
    threads: int = 1


def cases(chunks: tuple[int, int], length: int, most: int) -> list[Case]:
    small, large = chunks
    plain, blinded = (chain(length, zero_knowledge=each) for each in (False, True))
    repetitions = [min(most, each) for each in (101, 21, 5, 3, 3)]
    return [
        Case("ziggy-classic", signature(), repetitions[0], "3.05", 1.5),
        Case(f"window of {small} chunks", window(small), repetitions[1], goal=25),
        Case(f"window of {large} chunks", window(large), repetitions[2], goal=400, threads=2),
        Case(f"chain of {length}", plain, repetitions[3], "3780", 600),
        Case(BLINDED, blinded, repetitions[4]),
    ]


def proving(chosen: list[Case]) -> None:
    rows = []
    for case in chosen:
        prove, check = case.made
        proof = prove(1, ignore_stages)
        one = median(partial(prove, 1, ignore_stages), time.process_time, case.repetitions)
        two = median(partial(prove, 2, ignore_stages), time.perf_counter, case.repetitions)
        checked = median(partial(check, proof), time.process_time, min(3, case.repetitions))
        reached = 1000 * (one if case.threads == 1 else two) <= case.goal
        threads = "" if case.threads == 1 else "two threads "
        judged = f"{threads}≤ {case.goal} ms: {verdict(reached)}"
        if case.name == BLINDED:
            # Alternating, so that a slow second is slow for both.
            works = [partial(each.made[0], 1, ignore_stages) for each in chosen[-2:]]
            plain, blinded = medians(*works, repetitions=case.repetitions)
            judged = f"{blinded / plain:.2f} × plain, ≤ 2.2: {verdict(blinded <= 2.2 * plain)}"
        size = f"{len(proof):,}"
        rows.append((case.name, ms(one), ms(two), case.reference, judged, ms(checked), size))
    columns = ("proof", "ms", "two threads", "C++ ms", "goal", "checked ms", "bytes")
    show("Proving", columns, rows, "Verified by the plain-Python verifier.")


def profile(chosen: list[Case]) -> None:
    profiles = [stages(case.made[0], case.repetitions) for case in chosen]
    names = dict.fromkeys(name for measured in profiles for name in measured)
    rows = [(name, *(ms(measured.get(name, 0.0)) for measured in profiles)) for name in names]
    rows.append(("sum", *(ms(sum(measured.values())) for measured in profiles)))
    columns = ("stage, ms", *(case.name for case in chosen))
    show("Where the time goes", columns, rows, "One thread.")


def growth(sizes: tuple[int, ...]) -> None:
    rows = []
    for blocks in sizes:
        prove, _ = window(blocks - 1)
        size = len(prove(1, ignore_stages))
        one = median(partial(prove, 1, ignore_stages), time.process_time, 3)
        rows.append((blocks, ms(one), f"{1e6 * one / blocks:.0f}", f"{size:,}", size // blocks))
    columns = ("blocks", "ms", "µs a block", "bytes", "bytes a block")
    show("Windows under `standard`, by size", columns, rows, "One thread.")


def beside_blocks(counts: tuple[int, ...], most: int) -> None:
    """Alternate both proofs of the same window, so that a slow second is slow for both."""
    rows = []
    for count in counts:
        repetitions = min(most, 21 if count < 1000 else 9)
        pair = readings(count)
        made: list[list[bytes]] = [[], []]
        works = [
            lambda prove=prove, kept=kept: kept.append(prove(1, ignore_stages))
            for (prove, _), kept in zip(pair, made, strict=True)
        ]
        proving = medians(*works, repetitions=repetitions)
        checks = [partial(check, kept[0]) for (_, check), kept in zip(pair, made, strict=True)]
        checking = medians(*checks, repetitions=min(most, 5))
        sizes = [statistics.mean(map(len, kept)) for kept in made]
        figures = ((proving, ms), (checking, ms), (sizes, "{:,.0f}".format))
        cells = [
            cell
            for (plain, bounded), shown in figures
            for cell in (shown(plain), shown(bounded), f"{bounded / plain:.2f}")
        ]
        rows.append((count, *cells))
    measured = ("blocks ms", "ms", "×", "blocks checked", "checked", "×")
    columns = ("readings", *measured, "blocks bytes", "bytes", "×")
    note = "Under `standard`, one thread; bytes are means. Verified by the plain-Python verifier."
    show("Readings proofs beside blocks proofs of the same window", columns, rows, note)


def compiled_beside_plain(counts: tuple[int, ...], most: int) -> None:
    """Alternate both verifiers of the same proof."""
    rows = []
    for count in counts:
        prove, check = window(count)
        proof = prove(1, ignore_stages)

        def with_kernels(check: Callable[[bytes], None] = check, proof: bytes = proof) -> None:
            compiled.use(CompiledVerifier())
            try:
                check(proof)
            finally:
                compiled.use(None)

        both = medians(partial(check, proof), with_kernels, repetitions=min(most, 21))
        rows.append((count, *map(ms, both), f"{both[0] / both[1]:.1f}"))
    columns = ("chunks", "plain ms", "compiled ms", "times faster")
    note = "Under `standard`, one thread. Operators use the compiled verifier if it is installed."
    show("Verification with compiled kernels", columns, rows, note)


def main(
    *,
    chunks: tuple[int, int] = (63, 1023),
    length: int = 12_288,
    sizes: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096),
    readings_counts: tuple[int, ...] = (63, 255, 1023),
    most: int = 101,
    cold: bool = True,
) -> None:
    """Run all with at most `most` repetitions. `cold` also compiles all kernels (30 s)."""
    chosen = cases(chunks, length, most)
    proving(chosen)
    profile(chosen)
    growth(sizes)
    beside_blocks(readings_counts, most)
    compiled_beside_plain(readings_counts, most)
    if cold:
        starting(chunks[1])


if __name__ == "__main__":
    main()
