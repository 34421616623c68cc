"""The verifier imports the standard library only, and no part of the prover."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dragon.stark

PACKAGE = Path(dragon.stark.__file__).parent
PROVING = "prover"  # may use compiled code
READING = ("files", "readings_file")  # may use the JSON parser of the project
# Verification depends on no clock, randomness, environment, file or network.
IMPURE = {"os", "time", "random", "secrets", "pathlib", "io", "socket", "datetime", "threading"}

MODULES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in (PROVING, *(f"{name}.py" for name in READING))
)


def test_importing_the_verifier_loads_neither_prover_nor_compiled_code() -> None:
    loaded = (
        "import sys; import dragon.stark.blocks, dragon.stark.readings;"
        "import dragon.stark.ziggy, dragon.stark.security;"
        "import dragon.stark.airs.rescue_chain, dragon.stark.commitment;"
        "print(*sys.modules, sep='\\n')"
    )
    path = {"PYTHONPATH": str(PACKAGE.parent.parent)}
    run = subprocess.run(
        [sys.executable, "-c", loaded], env=path, check=True, capture_output=True, text=True
    )
    modules = run.stdout.split()

    assert "dragon.stark.verifier" in modules
    for forbidden in ("numba", "numpy", "llvmlite", "dragon.stark.prover", "rfc8785"):
        assert not [m for m in modules if m == forbidden or m.startswith(f"{forbidden}.")]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_verifier_uses_pure_parts_of_the_standard_library_only(module: Path) -> None:
    imported = imports_of(PACKAGE / module)

    own = {name for name in imported if name.startswith("dragon.")}
    foreign = {name.split(".")[0] for name in imported - own}
    assert foreign <= sys.stdlib_module_names - IMPURE
    assert all(
        name.startswith("dragon.stark.") or name == "dragon.errors"
        for name in own - {"dragon.stark"}
    )
    apart = ("dragon.stark.prover", *(f"dragon.stark.{name}" for name in READING))
    assert not [name for name in own if name.startswith(apart)]


def imports_of(path: Path) -> set[str]:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
            if node.module == "dragon.stark":
                imported |= {f"dragon.stark.{alias.name}" for alias in node.names}
    return imported
