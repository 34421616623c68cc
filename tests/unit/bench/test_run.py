"""`make bench` with two commits of a small repository. No time is asserted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

GIT = (
    "git",
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@example.org",
    "-c",
    "commit.gpgsign=false",
)
PROJECT = '[tool.hatch.build.targets.wheel]\npackages = ["core/measured"]\n'
SCRIPT = """
import json, os, sys
import measured
row = [["size", str(measured.SIZE), "≤ 5: reached"]]
with open(os.environ["DRAGON_BENCH_TABLES"], "a") as file:
    table = {"title": "T", "columns": ["what", "B", "goal"], "rows": row, "note": ""}
    file.write(json.dumps(table) + "\\n")
"""


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path, code: str) -> str:
    (root / "core" / "measured" / "__init__.py").write_text(code)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Change the size")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a package, one benchmark, and a first commit in which the size is 10."""
    for folder in ("core/measured", "bench"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "bench" / "finality.py").write_text(SCRIPT)
    (tmp_path / ".gitignore").write_text("/.bench/\n__pycache__/\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path, "SIZE = 10\n")
    return tmp_path


def results(root: Path) -> Any:
    return json.loads((root / "bench" / "results.json").read_text())["benchmarks"]["finality"]


def test_both_commits_are_measured_and_printed_side_by_side(
    load: Any, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commit(repository, "SIZE = 4\n")

    code = load("run").main(["finality", "--base", "HEAD~1", "--record"], root=repository)

    assert code == 0
    [figure] = results(repository)["base"]["figures"]
    assert (figure["before"], figure["now"]) == (10, 4)
    assert results(repository)["base"]["turns"] == 2
    assert "0.40" in capfd.readouterr().out


def test_changes_that_are_not_committed_are_measured_and_named(load: Any, repository: Path) -> None:
    (repository / "core" / "measured" / "__init__.py").write_text("SIZE = 20\n")

    load("run").main(["finality", "--base", "HEAD", "--turns", "1", "--record"], root=repository)

    assert results(repository)["base"]["figures"][0]["now"] == 20
    assert results(repository)["conditions"]["commit"].endswith(" and changes")


def test_a_base_that_lacks_what_a_benchmark_needs_is_not_measurable(
    load: Any, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commit(repository, "OTHER = 1\n")
    commit(repository, "SIZE = 4\n")

    code = load("run").main(["finality", "--base", "HEAD~1", "--record"], root=repository)

    assert code == 0
    assert "has no attribute 'SIZE'" in results(repository)["base"]["not_measurable"]
    assert "finality: not measurable at" in capfd.readouterr().out


def test_a_base_at_which_a_benchmark_ends_early_is_compared_as_far_as_it_came(
    load: Any, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = (
        f"{SCRIPT}\nif measured.SIZE == 10:\n    raise OSError('the second table is missing')\n"
    )
    (repository / "bench" / "finality.py").write_text(script)
    commit(repository, "SIZE = 4\n")

    code = load("run").main(["finality", "--base", "HEAD~1", "--record"], root=repository)

    assert code == 0
    base, printed = results(repository)["base"], capfd.readouterr().out
    assert [(each["before"], each["now"]) for each in base["figures"]] == [(10, 4)]
    assert "the second table is missing" in base["ended_early"]
    assert "not_measurable" not in base
    assert "finality: ended early at" in printed
    assert "0.40" in printed


def test_a_base_whose_packages_cannot_be_imported_is_refused(load: Any, repository: Path) -> None:
    commit(repository, "raise OSError('a library is missing')\n")
    commit(repository, "SIZE = 4\n")

    with pytest.raises(SystemExit, match="a library is missing"):
        load("run").main(["finality", "--base", "HEAD~1"], root=repository)

    assert list((repository / ".bench").iterdir()) == []


def test_a_benchmark_that_fails_now_is_named(
    load: Any, repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commit(repository, "OTHER = 1\n")

    assert load("run").main(["finality", "--record"], root=repository) == 1
    assert "finality failed: exit code 1: AttributeError" in capfd.readouterr().out


def test_results_of_other_benchmarks_are_kept(load: Any, repository: Path) -> None:
    path = repository / "bench" / "results.json"
    path.write_text('{"format": 1, "benchmarks": {"proofs": {"tables": []}}}')

    load("run").main(["finality", "--record"], root=repository)

    assert set(json.loads(path.read_text())["benchmarks"]) == {"finality", "proofs"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_worktree_is_removed_even_after_an_interruption(
    load: Any, repository: Path, error: type[BaseException]
) -> None:
    baseline = load("baseline")

    def interrupted() -> None:
        with baseline.worktree(baseline.resolve("HEAD", repository), repository):
            assert len(list((repository / ".bench").iterdir())) == 1
            raise error

    with pytest.raises(error):
        interrupted()

    assert list((repository / ".bench").iterdir()) == []
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_an_unknown_base_is_refused(load: Any, repository: Path) -> None:
    with pytest.raises(SystemExit, match="BASE=nothing is no commit"):
        load("run").main(["finality", "--base", "nothing"], root=repository)


def test_packages_from_elsewhere_are_refused(load: Any, repository: Path, tmp_path: Path) -> None:
    baseline = load("baseline")
    elsewhere = tmp_path / "elsewhere" / "measured"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").write_text("SIZE = 3\n")

    baseline.check_imports(repository, baseline.environment(repository))
    with pytest.raises(SystemExit, match=r"measured is imported from .*elsewhere"):
        baseline.check_imports(repository, {"PYTHONPATH": str(elsewhere.parent)})


def test_an_unknown_benchmark_is_refused(load: Any) -> None:
    with pytest.raises(SystemExit, match="unknown benchmark 'speed'"):
        load("run").main(["speed"])
