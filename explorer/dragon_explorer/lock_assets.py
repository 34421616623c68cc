"""Fetch the scripts and styles of other projects that lie in this repository, at pinned hashes.

    python -m dragon_explorer.lock_assets          # part of `make lock`

The npm registry serves each package as an archive. Its hash must equal the one below, so nobody can
put another file in its place. To upgrade, change version and hash (`npm view NAME dist.integrity`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STATIC: Final = "explorer/dragon_explorer/static/vendor"
AXE: Final = "tests/browser/vendor"
REGISTRY: Final = "https://registry.npmjs.org"
TIMEOUT_SECONDS: Final = 60
MAX_ARCHIVE_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the npm registry, and where its files go."""

    name: str
    version: str
    sha512: str  # of the archive, base64, as the registry states it
    files: Mapping[str, str]  # path in the archive → path in this repository


PACKAGES: Final = (
    Package(  # fragments that refresh themselves; BSD Zero Clause
        "htmx.org",
        "2.0.11",
        "Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        {
            "package/dist/htmx.min.js": f"{STATIC}/htmx.min.js",
            "package/LICENSE": f"{STATIC}/htmx.LICENSE.txt",
        },
    ),
    Package(  # charts of response times; MIT
        "uplot",
        "1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "package/dist/uPlot.iife.min.js": f"{STATIC}/uPlot.iife.min.js",
            "package/dist/uPlot.min.css": f"{STATIC}/uPlot.min.css",
            "package/LICENSE": f"{STATIC}/uPlot.LICENSE.txt",
        },
    ),
    Package(  # rules of accessibility, for tests only; MPL 2.0
        "axe-core",
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        {
            "package/axe.min.js": f"{AXE}/axe.min.js",
            "package/LICENSE": f"{AXE}/axe.LICENSE.txt",
        },
    ),
)


class WrongHash(Exception):
    """The registry served another archive than the pinned one."""


def fetch(package: Package) -> bytes:
    """Return the archive of a package. Raises WrongHash, OSError."""
    url = f"{REGISTRY}/{package.name}/-/{package.name}-{package.version}.tgz"
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - https
        archive: bytes = answer.read(MAX_ARCHIVE_BYTES)
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != package.sha512:
        raise WrongHash(f"{url} has the SHA-512 {found}; expected {package.sha512}")
    return archive


def unpack(package: Package, archive: bytes, root: Path) -> None:
    """Write the files of a package below `root`."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for inside, outside in package.files.items():
            member = members.extractfile(inside)
            if member is None:
                raise FileNotFoundError(f"{package.name} has no file {inside}")
            target = root / outside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(member.read())


def main() -> int:
    """Fetch every package. Returns the exit code."""
    for package in PACKAGES:
        unpack(package, fetch(package), ROOT)
    _write_sums(ROOT)
    return 0


def _write_sums(root: Path) -> None:
    """Write the SHA-256 of each file into its folder, where a test compares them."""
    by_folder: dict[Path, list[str]] = {}
    for path in sorted(root / each for package in PACKAGES for each in package.files.values()):
        line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        by_folder.setdefault(path.parent, []).append(line)
    for folder, lines in by_folder.items():
        (folder / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
