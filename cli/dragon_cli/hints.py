"""What the user can do about an error. A kind that is not here leaves nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dragon import errors
from dragon.errors import DragonError
from dragon_cli import errors as cli_errors

HINTS: Final[Mapping[type[DragonError], str]] = {
    errors.SettingsError: "`--help` lists a command's options, docs/operating.md the settings.",
    cli_errors.MissingExtra: "`pip install 'datadragon[prover]'` adds numba and numpy.",
    cli_errors.NoCommittee: "`dragon init` makes one; `--home` or `--committee` names another.",
    cli_errors.CommitteeExists: "`--home` names another folder.",
    cli_errors.OverrideExists: "Move it away first; containers read every setting from it.",
    cli_errors.AlreadyThere: "Choose another name, or move away what is there.",
    cli_errors.UnusableFile: "Check the path, and who may read and write there.",
    cli_errors.NotListed: "The committee file lists its operators and aggregators.",
    errors.UnknownNode: "`dragon nodes` lists the nodes that the committee watches.",
    errors.Unreachable: "Is the fleet up? `dragon up` starts one on this machine.",
    errors.NotSettled: "Ask for a time that ends earlier, or ask again in a few minutes.",
    errors.NotCertified: "Ask again in a minute; `--json` says what each operator answered.",
    errors.WrongCommittee: "Get the committee file that it was made for from somebody you trust.",
    errors.InvalidCommittee: "Get the file again from whoever made it; nobody edits it by hand.",
    errors.NotJson: "Check that the file was saved whole, as the service answered it.",
    errors.InvalidProof: "Ask another operator for the event and the root, and compare.",
    errors.Stale: "Compare with another operator's log: no honest one takes an event so late.",
    errors.LogDamaged: "If its service is running, stop it first or check a copy of the file.",
    errors.DatabaseTooNew: "`dragon --version` shows which release this is.",
    errors.Diverged: "Compare with the logs of other operators, as docs/operating.md says.",
    errors.KeystoreError: "Check the paths of keystore and password file, and who may read them.",
    errors.NotEnoughMemory: "Raise the memory limit (`mem_limit`), or use a keystore with PBKDF2.",
    cli_errors.ReceiptRefused: "Compare committee and data; else ask its owner for the receipt again.",
    cli_errors.NotCovered: "Checkpoints are certified about once a minute; ask again then.",
    errors.NoSuchWindow: "The operators' `/streams/<id>` says how many windows the log has.",
    cli_errors.KeystoreRefused: "Check that the password is this keystore's own, the file whole.",
    cli_errors.NotAMember: "`dragon key show` prints the key; compare it with the committee file.",
    cli_errors.NotTheKey: "`dragon ziggy keygen` makes a pair of files that belong together.",
    cli_errors.KeyHasOneUse: "Leave `--parameters` out: ziggy-classic is all that a key signs under.",
    cli_errors.OtherParameters: "Whoever relies on a proof chooses its parameters, with `--set`.",
    cli_errors.OtherStatement: "Ask its bearer for the proof of the statement that you expect.",
    cli_errors.PortInUse: "Stop what listens there, or choose other ports with `dragon init`.",
    errors.StepFailed: "What each service said is in the fleet's folder, under `output`.",
}


def hint_for(error: DragonError) -> str | None:
    """The hint of the most precise kind that has one."""
    return next((HINTS[kind] for kind in type(error).__mro__ if kind in HINTS), None)
