"""`dragon ziggy` reads and writes the original programs' files and never prints the key."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import starkvectors as vectors
from commands import run_dragon
from dragon.stark import files
from dragon.stark.parameter_sets import CLASSIC
from dragon.stark.signing import signature
from dragon.stark.ziggy import public_key
from dragon_cli.commands import ziggy
from dragon_cli.errors import AlreadyThere, UnusableFile
from dragon_cli.files import write_new

SIGNED = [f"ziggy_proof_{i}.json" for i in (1, 2, 3)]  # under ziggy-classic; 4 and 5 are not
FIRST = vectors.ziggy(SIGNED[0])
KEY = vectors.private_key(FIRST)
KEYS = vectors.ziggy("ziggy_keys_kat.json")["cases"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True, scope="module")
def _kept_kernels(pytestconfig: pytest.Config) -> Iterator[None]:
    """Keep the compiled kernels in pytest's cache, as the tests of the prover do."""
    with pytest.MonkeyPatch.context() as environment:
        assert pytestconfig.cache is not None
        environment.setenv("NUMBA_CACHE_DIR", str(pytestconfig.cache.mkdir("kernels")))
        yield


@pytest.fixture
def dragon(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `dragon ziggy …` and check that its output never contains the private key."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_dragon(capsys, "ziggy", *arguments)
        assert KEY.hex() not in (out + err).lower()
        assert KEY.hex().lstrip("0") not in (out + err).lower()
        return code, out, err

    return run


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The first vector's private and public input and its proof."""
    write(tmp_path / "private.json", FIRST["private_input_for_tests_only"])
    write(tmp_path / "public.json", FIRST["public_input"])
    write(tmp_path / "proof.json", FIRST)
    return tmp_path


def signing(folder: Path, *options: object) -> list[object]:
    own = ("--private", folder / "private.json", "--public", folder / "public.json")
    return ["sign", *own, "--output", folder / "signed.json", *options]


# Keys


def test_a_key_pair_is_written_in_the_original_format(dragon: Run, tmp_path: Path) -> None:
    made = tmp_path / "new" / "keys"

    code, out, err = dragon("keygen", "--output-dir", made, "--message", "naïve ☃")

    private, public = made / ziggy.PRIVATE_INPUT, made / ziggy.PUBLIC_INPUT
    key = files.read_ziggy_private_input(private.read_text())
    assert (code, err) == (0, "")
    assert files.read_ziggy_public_input(public.read_text()) == (public_key(key), "naïve ☃")
    assert private.stat().st_mode & 0o777 == 0o600
    assert made.stat().st_mode & 0o777 == 0o700
    assert key.hex() not in out


def test_every_new_key_is_different(dragon: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert dragon("keygen", "--output-dir", tmp_path / name)[0] == 0

    first, second = ((tmp_path / name / ziggy.PRIVATE_INPUT).read_text() for name in ("a", "b"))
    assert first != second


def test_keys_come_from_the_system_generator(
    dragon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_bytes", lambda size: {32: KEY}[size])

    code, out, _ = dragon("keygen", "--output-dir", tmp_path / "keys", "--json")

    told = json.loads(out)
    assert code == 0
    assert told["drawn"] is True
    assert {name: told[name] for name in ("message", "public_key")} == FIRST["public_input"]
    written = (tmp_path / "keys" / ziggy.PRIVATE_INPUT).read_text()
    assert json.loads(written) == FIRST["private_input_for_tests_only"]


@pytest.mark.parametrize("case", KEYS, ids=lambda case: case["private_key"][:8])
def test_an_existing_key_is_read_from_a_file(dragon: Run, tmp_path: Path, case: Any) -> None:
    digits = case["private_key"].removeprefix("0x")
    forms = [digits + "\n", "0x" + digits.upper(), json.dumps({"private_key": "0x" + digits})]

    for number, form in enumerate(forms):
        kept, made = write(tmp_path / "key", form), tmp_path / str(number)
        code, out, _ = dragon("keygen", "--private-key-file", kept, "--output-dir", made, "--json")

        assert code == 0
        assert json.loads(out)["public_key"] == case["public_key"]
        written = files.read_ziggy_private_input((made / ziggy.PRIVATE_INPUT).read_text())
        assert written.hex() == case["private_key_bytes"]


@pytest.mark.parametrize("there", [ziggy.PRIVATE_INPUT, ziggy.PUBLIC_INPUT])
def test_no_key_is_ever_overwritten(dragon: Run, tmp_path: Path, there: str) -> None:
    write(tmp_path / there, "mine")

    code, out, err = dragon("keygen", "--output-dir", tmp_path)

    assert (code, out) == (2, "")
    assert err.startswith("dragon: failed: already_there: ")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["", "0x", KEY.hex() + "00", KEY.hex()[:-1] + "g", '{"private_key": 7}', "[" * 4000]
)
def test_invalid_keys_are_refused_and_not_quoted(dragon: Run, tmp_path: Path, content: str) -> None:
    kept = write(tmp_path / "key", content)

    code, out, err = dragon("keygen", "--private-key-file", kept, "--output-dir", tmp_path / "made")

    assert (code, out) == (1, "")
    assert "the file is not a Ziggy private input" in err
    assert not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_created_ends_with_2(dragon: Run, tmp_path: Path) -> None:
    write(tmp_path / "file", "")

    code, _, err = dragon("keygen", "--output-dir", tmp_path / "file" / "keys")

    assert code == 2
    assert err.startswith("dragon: failed: unusable_file: ")


def test_invalid_utf_8_is_not_a_message(dragon: Run, tmp_path: Path) -> None:
    code, _, err = dragon("keygen", "--output-dir", tmp_path / "made", "--message", "\udcff")

    assert code == 2
    assert "`--message` must be UTF-8 text" in err
    assert not (tmp_path / "made").exists()


# Signing


@pytest.mark.parametrize("name", SIGNED)
def test_a_deterministic_signature_is_the_original_programs_byte_for_byte(
    dragon: Run, folder: Path, name: str
) -> None:
    vector = vectors.ziggy(name)
    write(folder / "private.json", vector["private_input_for_tests_only"])
    write(folder / "public.json", vector["public_input"])
    parameters = write(folder / "parameters.json", vector["proof_parameters"])

    code, out, err = dragon(*signing(folder, "--parameters", parameters, "--deterministic"))

    written = json.loads((folder / "signed.json").read_text())
    assert (code, err) == (0, "")
    assert f"proof of {vector['proof_length']} bytes" in out
    members = ("proof_hex", "proof_parameters", "public_input")
    assert written == {member: vector[member] for member in members}
    assert dragon("verify", folder / "signed.json", "--public", folder / "public.json")[0] == 0


def test_signatures_have_fresh_randomness_by_default(dragon: Run, folder: Path) -> None:
    proofs = {vectors.proof_bytes(FIRST)}
    for name in ("first.json", "second.json"):
        assert dragon(*signing(folder, "--output", folder / name))[0] == 0
        assert dragon("verify", folder / name, "--public", folder / "public.json")[0] == 0
        proofs.add(vectors.proof_bytes(json.loads((folder / name).read_text())))

    assert len(proofs) == 3


def test_signatures_of_new_keys_are_verified(dragon: Run, tmp_path: Path) -> None:
    dragon("keygen", "--output-dir", tmp_path, "--message", "[red]\x1b")
    private, public = tmp_path / ziggy.PRIVATE_INPUT, tmp_path / ziggy.PUBLIC_INPUT

    code, out, _ = dragon(
        "sign", "--private", private, "--public", public, "--output", tmp_path / "p", "--json"
    )
    verdict, said, _ = dragon("verify", tmp_path / "p")

    told = json.loads(out)
    assert (code, verdict) == (0, 0)
    assert told["message"] == "[red]\x1b"
    assert told["public_key"] == json.loads(public.read_text())["public_key"]
    assert 'verified: "[red]�" is signed by the key 0x' in said


def refused(dragon: Run, folder: Path, *options: object) -> str:
    """The name of the refusal; nothing was written."""
    before = sorted(folder.iterdir())
    code, out, err = dragon(*signing(folder, *options))
    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: ")
    assert sorted(folder.iterdir()) == before
    return err.removeprefix("dragon: refused: ").partition(": ")[0]


def test_the_public_input_of_another_key_is_refused(dragon: Run, folder: Path) -> None:
    other = {**FIRST["public_input"], "public_key": KEYS[1]["public_key"]}
    write(folder / "public.json", other)

    assert refused(dragon, folder) == "not_the_key"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stark: stark["fri"].update(proof_of_work_bits=9),
        lambda stark: stark["fri"].update(n_queries=37),
        lambda stark: stark.update(log_n_cosets=4),
        lambda stark: stark.update(slack="reference"),
        lambda stark: stark.update(slack="strict"),
    ],
)
def test_other_parameters_are_refused(
    dragon: Run, folder: Path, spoil: Callable[[Any], None]
) -> None:
    document = CLASSIC.parameters(1).document()
    spoil(document["stark"])
    parameters = write(folder / "parameters.json", document)

    assert refused(dragon, folder, "--parameters", parameters) == "key_has_one_use"


def test_invalid_parameters_are_refused_by_name(dragon: Run, folder: Path) -> None:
    document: Any = CLASSIC.parameters(1).document()
    document["stark"]["fri"]["n_queries"] = 0
    parameters = write(folder / "parameters.json", document)

    assert refused(dragon, folder, "--parameters", parameters) == "proof_refused (parameters)"


@pytest.mark.parametrize("file", ["private.json", "public.json"])
@pytest.mark.parametrize("content", ["", "{", "null", "{}", '{"private_key": "0x' + KEY.hex()])
def test_invalid_inputs_are_refused(dragon: Run, folder: Path, file: str, content: str) -> None:
    write(folder / file, content)

    assert refused(dragon, folder) in {"not_json", "wrong_type", "missing_member"}


def test_unwritable_outputs_are_refused_before_the_work(
    dragon: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ziggy, "_prove", lambda *_: pytest.fail("the work was begun"))
    write(folder / "signed.json", "mine")

    for options in ((), ("--output", folder / "none" / "signed.json")):
        code, out, err = dragon(*signing(folder, *options))
        assert (code, out) == (2, "")
        assert err.startswith("dragon: failed: ")
    assert (folder / "signed.json").read_text() == "mine"


def test_a_faulty_proof_is_not_written(
    dragon: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = bytearray(vectors.proof_bytes(FIRST))
    spoilt[-1] ^= 1
    monkeypatch.setattr(signature, "sign", lambda *_: bytes(spoilt))
    monkeypatch.setattr(signature, "sign_deterministically", lambda *_: bytes(spoilt))

    assert refused(dragon, folder) == "proof_refused (layer0_decommitment)"


# Verifying


def test_a_signature_of_the_original_programs_is_verified(dragon: Run, folder: Path) -> None:
    code, out, err = dragon("verify", folder / "proof.json")
    _, told, _ = dragon("verify", folder / "proof.json", "--json")

    assert (code, err) == (0, "")
    assert 'verified: "Hello World!" is signed by the key 0x1e3536d1' in out
    assert "compare them with `--public`" in out
    assert "provable 64.1, conjectured 122.0, binding of commitments 122.0: level 64.1" in out
    assert json.loads(told) == {
        "verdict": "verified",
        **FIRST["public_input"],
        "parameter_set": "ziggy-classic",
        "security": {"provable": 64.1, "conjectured": 122.0, "binding": 122.0, "level": 64.1},
    }


def test_a_forgery_under_weak_parameters_is_refused_for_its_parameters(
    dragon: Run, folder: Path
) -> None:
    cases = vectors.ziggy("reference_lenient.json")["cases"]
    forged = next(case for case in cases if case["name"] == "forged_signature_weak_parameters")
    file = write(folder / "forged.json", vectors.altered(FIRST, forged["ops"]))

    code, out, err = dragon("verify", file)
    _, told, _ = dragon("verify", file, "--json")

    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: proof_refused (parameters): ")
    assert json.loads(told)["facts"] == {"reason": "parameters"}


def test_a_changed_message_is_refused_by_the_check_that_fails(dragon: Run, folder: Path) -> None:
    changed = {**FIRST, "public_input": {**FIRST["public_input"], "message": "Hello world!"}}

    code, out, err = dragon("verify", write(folder / "changed.json", changed))

    assert (code, out) == (1, "")
    assert err.startswith("dragon: refused: proof_refused (oods): ")


@pytest.mark.parametrize(
    "other", [{"message": "Hello"}, {"public_key": KEYS[1]["public_key"]}], ids=str
)
def test_a_signature_of_another_statement_is_refused(
    dragon: Run, folder: Path, other: dict[str, Any]
) -> None:
    write(folder / "public.json", {**FIRST["public_input"], **other})

    code, _, err = dragon("verify", folder / "proof.json", "--public", folder / "public.json")

    assert code == 1
    assert err.startswith("dragon: refused: other_statement: ")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 9999, "not_json"),
        (b"null", "wrong_type"),
        (b"{}", "missing_member"),
        (b" " * (ziggy.MAX_FILE_BYTES + 1), "too_large"),
    ],
    ids=lambda value: str(value)[:9],
)
def test_invalid_files_are_refused_by_name(
    dragon: Run, folder: Path, content: bytes, name: str
) -> None:
    (folder / "garbage").write_bytes(content)

    code, out, err = dragon("verify", folder / "garbage")

    assert (code, out) == (1, "")
    assert err.startswith(f"dragon: refused: {name}: ")
    assert err.count("\n") <= 2


def test_missing_files_end_with_2(dragon: Run, folder: Path) -> None:
    for arguments in (["verify", folder / "none"], ["verify", folder], ["keygen"], ["sign"]):
        assert dragon(*arguments)[0] == 2


# Writing


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    file = write(tmp_path / "file", "theirs")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")

    for taken in (file, link):
        with pytest.raises(AlreadyThere):
            write_new(taken, "mine")

    assert file.read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()


def test_write_new_leaves_no_partial_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(UnusableFile, match="File too large"):
            write_new(tmp_path / "file", "x" * 5000)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert not (tmp_path / "file").exists()


# Starting


def test_the_command_does_not_load_the_compiler() -> None:
    probe = (
        "import sys, dragon_cli.main;"
        "print(*{'numba', 'numpy', 'dragon.stark.prover'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)

    assert done.stdout == "\n"
