"""The disk cache of kernels: reuse, damaged files, missing directories, permissions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dragon.stark.prover import cache, preparation, warmup
from dragon.stark.prover.kernels.jit import KERNELS, Kernel, Words


def doubled(values: Words) -> None:
    for i in range(values.size):
        values[i] += values[i]


def works(kernel: Kernel) -> bool:
    values = np.array([1, 2], dtype=np.uint64)
    kernel(values)
    return bool(values.tolist() == [2, 4])


def new_kernel() -> Kernel:
    return Kernel(doubled, "void(uint64[::1])")


def was_found(kernel: Kernel) -> bool:
    return bool(sum(kernel._dispatcher.stats.cache_hits.values()) == 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.kernel"))


def test_a_second_start_reads_what_the_first_compiled(folder: Path) -> None:
    first, second = new_kernel(), new_kernel()

    assert works(first)
    assert works(second)

    assert not was_found(first)
    assert was_found(second)
    assert len(files(folder)) == 1
    assert folder.stat().st_mode & 0o077 == 0


def test_a_kernel_knows_whether_its_file_is_in_the_cache(folder: Path) -> None:
    kernel = new_kernel()
    assert not kernel.is_cached()

    assert works(kernel)

    assert kernel.is_cached()
    assert new_kernel().is_cached()
    files(folder)[0].unlink()
    assert not kernel.is_cached()


@pytest.mark.usefixtures("folder")
def test_kernels_are_compiled_only_if_each_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_kernel(), new_kernel()
    monkeypatch.setattr(preparation, "KERNELS", [first])
    assert not warmup.is_compiled()

    first.prepare()
    assert warmup.is_compiled()

    second._cache._name = "another"
    monkeypatch.setattr(preparation, "KERNELS", [first, second])
    assert not warmup.is_compiled()


@pytest.mark.parametrize(
    "damage",
    [lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:],
     lambda raw: b"nonsense" * 20],
    ids=["empty", "cut short", "changed", "nonsense"],
)  # fmt: skip
def test_a_damaged_file_is_replaced(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    assert works(new_kernel())
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))

    again, after = new_kernel(), new_kernel()

    assert works(again)
    assert not was_found(again)
    assert works(after)
    assert was_found(after)


def test_kernels_work_without_a_writable_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kernels"))

    assert works(new_kernel())


def test_each_kind_of_processor_has_separate_files(folder: Path) -> None:
    """Machines of different kinds can share one directory."""
    script = (
        "from dragon.stark.prover.montgomery import geometric, integers\n"
        "print(integers(geometric(24, 1, 3)) == [3**i for i in range(24)])\n"
    )
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(folder),
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "PYTHONPATH": str(Path(cache.__file__).parents[3]),
    }
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False
    )
    assert elsewhere.stdout.strip() == b"True", elsewhere.stderr

    (known,) = [kernel for kernel in KERNELS if kernel.name == "powers"]
    here = Kernel(known._dispatcher.py_func, known._signature)
    here.prepare()

    assert not was_found(here)
    assert len(list(folder.glob("powers-*.kernel"))) == 2


def test_only_the_latest_files_of_a_kernel_are_kept(folder: Path) -> None:
    folder.mkdir()
    old = [folder / f"doubled-{k}.kernel" for k in range(cache.MAX_FILES_PER_KERNEL + 2)]
    for age, path in enumerate(reversed(old)):
        path.write_bytes(b"")
        os.utime(path, (1000 - age, 1000 - age))

    assert works(new_kernel())

    assert len(files(folder)) == cache.MAX_FILES_PER_KERNEL
    assert not old[0].exists()
    assert old[-1].exists()


def test_warming_up_reports_its_progress() -> None:
    reports: list[tuple[str, int, int]] = []

    warmup.warm_up(lambda *step: reports.append(step))

    count = len(KERNELS)
    assert [name for name, _, _ in reports] == [*(kernel.name for kernel in KERNELS), ""]
    assert [(done, total) for _, done, total in reports] == [(k, count) for k in range(count + 1)]


def test_names_of_kernels_are_distinct() -> None:
    names = [kernel.name for kernel in KERNELS]

    assert len(set(names)) == len(names)


def test_file_names_depend_on_every_module_that_kernels_import() -> None:
    kernels = Path(cache.__file__).parent / "kernels"
    text = "".join(path.read_text() for path in kernels.glob("*.py"))
    imported = set(re.findall(r"^from dragon\.([\w.]+) import", text, re.MULTILINE))

    within = {name for name in imported if name.startswith("stark.prover.kernels")}
    others = {f"stark.{name}" for name in cache.CONSTANT_MODULES} | {"stark.prover.cache"}
    assert imported - within == others


def test_kernels_are_not_read_from_a_directory_that_others_can_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the cache contain code that is run."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    assert cache.is_private()  # it does not exist yet, and will be created private
    (tmp_path / "kernels").mkdir()
    for mode, private in ((0o755, True), (0o777, False), (0o700, True)):
        (tmp_path / "kernels").chmod(mode)
        assert cache.is_private() is private
