"""Verifying Zellular's finality proofs: one, several, and those of a busy ledger.

Everything is measured with plain integers and with compiled functions, which a service loads once
it has verified several proofs (`dragon_sequencer.compiled`).

One proof: `Proof.verify` for a proof that is not remembered: tag, state, stake, message, mapping to
the curve, decoding, two pairings with one final exponentiation. It is measured with a cached key of
the signers, and for a new set of signers. `py_ecc` receives the mapped and decoded points and
computes only the two pairings with one final exponentiation, which is the fastest way to use it.

Several proofs: one after the other, and together by `verify_each`.

A busy ledger: what a service verifies while it follows a ledger with a steady rate of events, each
final in its own segment, on a simulated clock. Before: it reads on at once after each page, and
verifies each proof that it is shown. Now: it gathers entries between two pages, and remembers.

Loading: what it takes to load the compiled functions in a new process. Memory is what the process
cannot share with other services: LLVM's own code is shared.

Goals: at most 12 ms a proof in plain integers, 2 ms compiled; at most 1 % of a processor core for
the proofs of a busy ledger.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from py_ecc.fields import optimized_bn128_FQ as FQ
from py_ecc.fields import optimized_bn128_FQ2 as FQ2
from py_ecc.fields import optimized_bn128_FQ12 as FQ12
from py_ecc.optimized_bn128.optimized_curve import G2
from py_ecc.optimized_bn128.optimized_pairing import final_exponentiate, pairing

from busy_ledger import APP, PER_SECOND, Before, Measured, Unremembered, follow
from dragon.log import follower
from dragon_sequencer import bn254, compiled, finality
from dragon_sequencer.devnet.network import Signer
from dragon_sequencer.finality import Proof
from dragon_sequencer.machine.curve import CompiledCurve
from dragon_sequencer.nodes import NodeList
from dragon_sequencer.proof_batch import verify_each
from dragon_stream.main import GATHER_PAUSE_SECONDS as STREAM_PAUSE_SECONDS
from fixtures import ledger_network
from timing import medians, ms, show, verdict

GOAL_MS: Final = 12
COMPILED_GOAL_MS: Final = 2
GOAL_PERCENT: Final = 1.0
CHAIN: Final = "ab" * 16


def with_py_ecc(message: bytes, signature: str, key: bn254.G2) -> bool:
    x, y = bn254.hash_to_curve(message)
    sig_x, sig_y = bn254.decode_signature(signature)
    hashed, signed = (FQ(x), FQ(y), FQ.one()), (FQ(sig_x), FQ(-sig_y), FQ.one())
    point = (FQ2(key[0]), FQ2(key[1]), FQ2.one())
    one = pairing(point, hashed, final_exponentiate=False)
    other = pairing(G2, signed, final_exponentiate=False)
    return bool(final_exponentiate(one * other) == FQ12.one())


def make_proof(signers: Sequence[Signer], index: int = 9) -> Proof:
    signed = finality.message(
        app=APP,
        chaining_hash=CHAIN,
        index=index,
        parent_index=index - 1,
        state=finality.FINAL_STATE,
        timestamp=1_732_522_695,
    )
    signature = bn254.encode_signature(bn254.sign([each.secret for each in signers], signed))
    return Proof(index, index - 1, CHAIN, 1_732_522_695, finality.FINAL_STATE, signature, (), 0)


def show_one(nodes: NodeList, signers: Sequence[Signer], most: int, of_oracle: int) -> None:
    proof = make_proof(signers)
    stated = proof.stated(app=APP, chaining_hash=CHAIN, nodes=nodes)

    def verify(listed: NodeList) -> None:
        proof.verify(app=APP, chaining_hash=CHAIN, nodes=listed)

    def verify_new_signers() -> None:
        verify(NodeList(list(nodes.nodes.values())))

    key = nodes.aggregate_key(())
    if key is None or not with_py_ecc(stated.message, proof.signature, key):
        raise SystemExit("py_ecc does not accept the proof")
    forgetful = NodeList(list(nodes.nodes.values()))
    forgetful.signatures = Before(nodes.aggregate_key)
    known, quick, first, again = medians(
        partial(verify, forgetful),
        compiled_too(partial(verify, forgetful)),
        verify_new_signers,
        partial(verify, nodes),
        repetitions=most,
    )
    pure_work = partial(with_py_ecc, stated.message, proof.signature, key)
    [pure] = medians(pure_work, repetitions=of_oracle)
    sys.setrecursionlimit(1000)  # py_ecc raises it on import
    judged = f"≤ {GOAL_MS}: {verdict(1000 * known <= GOAL_MS)}"
    quickly = f"≤ {COMPILED_GOAL_MS}: {verdict(1000 * quick <= COMPILED_GOAL_MS)}"
    rows = [
        ("ours, known signers", ms(known), judged, f"{pure / known:.0f}"),
        ("compiled, known signers", ms(quick), quickly, f"{pure / quick:.0f}"),
        ("ours, new signers", ms(first), "", f"{pure / first:.0f}"),
        ("ours, remembered", ms(again), "", f"{pure / again:,.0f}"),
        ("py_ecc, one final exponentiation", ms(pure), "", "1"),
    ]
    note = f"Medians of {most} alternating runs, processor time; py_ecc: {of_oracle}."
    show("A finality proof verified", ("proof", "ms", "goal", "times as fast"), rows, note)


def compiled_too(work: Callable[[], object]) -> Callable[[], object]:
    """The same work with compiled functions."""
    functions = CompiledCurve()

    def quick() -> None:
        compiled.use(functions)
        try:
            work()
        finally:
            compiled.use(None)

    return quick


def show_several(
    signers: Sequence[Signer], nodes: NodeList, counts: Sequence[int], most: int
) -> None:
    proofs, rows = [make_proof(signers, index) for index in range(9, 9 + max(counts))], []

    def verify(listed: NodeList, count: int) -> None:
        found = verify_each(proofs[:count], app=APP, nodes=listed, entropy=random.randbytes)
        if any(found):
            raise SystemExit("a valid proof was refused")

    lists = []
    for kind in (Before, Unremembered):
        lists.append(NodeList(list(nodes.nodes.values())))
        lists[-1].signatures = kind(nodes.aggregate_key)
    for count in counts:
        works = [partial(verify, listed, count) for listed in lists]
        singly, together, quick = medians(*works, compiled_too(works[-1]), repetitions=most)
        ratio = f"{together / singly:.2f}"
        rows.append((count, ms(singly), ms(together), ms(together / count), ratio, ms(quick)))
    columns = (
        *("proofs", "singly, ms", "together, ms", "ms a proof", "of the time before"),
        "compiled, together, ms",
    )
    note = f"Medians of {most} alternating runs, processor time. All have the same signers."
    show("Several proofs verified, as of all gateways", columns, rows, note)


def show_busy(seconds: float) -> None:
    before, delay_before = follow(Before, 0.0, seconds)
    rows, read = [], [("before", before, delay_before)]
    pauses = (
        ("stream service", STREAM_PAUSE_SECONDS),
        ("other services", follower.GATHER_PAUSE_SECONDS),
    )
    for name, pause in pauses:
        read.append((name, *follow(Measured, pause, seconds)))
    for name, pause in pauses:
        compiled.use(CompiledCurve())
        read.append((f"{name}, compiled", *follow(Measured, pause, seconds)))
        compiled.use(None)
    for name, found, delay in read:
        percent = 100 * found.seconds / seconds
        goal = f"≤ {GOAL_PERCENT:.0f} %: {verdict(percent <= GOAL_PERCENT)}"
        rows.append(
            (
                name,
                f"{found.proofs / seconds:.2f}",
                f"{percent:.2f}",
                "" if found is before else goal,
                f"{found.seconds / before.seconds:.2f}",
                f"{1000 * delay:.0f}",
            )
        )
    columns = (
        *("reader", "proofs a second", "% of a core", "goal"),
        *("of the time before", "sent to applied, ms"),
    )
    note = f"{seconds:.0f} s of a simulated clock, {PER_SECOND:.0f} events a second, 4 gateways."
    show("Finality proofs of a busy ledger", columns, rows, note)


# A process that has imported what a service needs for proofs, and then loads.
LOADING: Final = """
import time
from dragon_sequencer import compiled, connect, loading
def private():
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
begun, before = time.process_time(), private()
loading.load_compiled()
assert compiled.in_use()
print(time.process_time() - begun, private() - before)
"""


def show_loading(repetitions: int) -> None:
    found = []
    for _ in range(repetitions):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", LOADING],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(tuple(map(float, done.stdout.split()[-2:])))
    duration, kilobytes = (statistics.median(each) for each in zip(*found, strict=True))
    rows = [("imports, compiles, records, tests itself", ms(duration), f"{kilobytes / 1024:.1f}")]
    note = f"Medians of {repetitions} new processes, processor time."
    show("Compiled pairings loaded", ("loading", "ms", "MB of its own"), rows, note)


def main(
    *,
    repetitions: int = 101,
    oracle_repetitions: int = 7,
    counts: Sequence[int] = (1, 2, 4, 16),
    several: int = 21,
    seconds: float = 60,
    loads: int = 5,
) -> None:
    nodes, signers = ledger_network()
    show_one(nodes, signers, repetitions, oracle_repetitions)
    show_several(signers, nodes, counts, several)
    show_busy(seconds)
    show_loading(loads)


if __name__ == "__main__":
    main()
