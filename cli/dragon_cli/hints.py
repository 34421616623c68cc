"""What the user can do about an error. An error without a hint has no obvious next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from dragon import errors
from dragon.errors import DragonError
from dragon_cli import errors as cli_errors

E = TypeVar("E", bound=DragonError)

CHANGED_EVIDENCE: Final = "Collect it again with `dragon evidence`: the file was changed."
RULE_HINT: Final = "See docs/agreements.md: it describes every member of a rule."

HINTS: Final[Mapping[type[DragonError], str]] = {
    errors.SettingsError: "`--help` lists a command's options, docs/operating.md the settings.",
    cli_errors.MissingExtra: "`pip install 'datadragon[prover]'` adds numba and numpy.",
    cli_errors.NoCommittee: "`dragon init` creates one; `--home` or `--committee` selects another.",
    cli_errors.NoHome: "`dragon init` creates a fleet; `--home` selects the folder of another.",
    cli_errors.NotACommittee: "It is `committee.json` in the folder of a fleet.",
    cli_errors.AmbiguousStream: "Choose one with `--service`, or name the stream by its id.",
    cli_errors.WrongReadings: "The words of readings are in docs/readings.md.",
    cli_errors.WrongColumn: "`--column` takes a name of the first row, or a number from 1.",
    cli_errors.UnusableRow: "Correct the row, and run the same command again.",
    cli_errors.WrongFile: "Check which file was given.",
    cli_errors.WrongService: "`dragon status` lists the services of a fleet.",
    cli_errors.CommitteeExists: "Choose another folder with `--home`.",
    cli_errors.OverrideExists: "Move the file away first; containers read their settings from it.",
    cli_errors.AlreadyThere: "Choose another name, or move the existing file away.",
    cli_errors.FileChanged: (
        "Restore the file and run the command again, or append the file as it is now with "
        "`--append`."
    ),
    cli_errors.ClockBehind: "Correct the clock of this machine.",
    cli_errors.StreamNotEmpty: "Choose another stream, or append on purpose with `--append`.",
    cli_errors.UnusableFile: "Check the path and its permissions.",
    cli_errors.NotListed: "The committee file lists all operators and aggregators.",
    cli_errors.LogNotCurrent: "Start the operator, and let it read the ledger to its end.",
    cli_errors.KeysElsewhere: (
        "Use `dragon committee assemble --after`; each owner approves the file on the own host."
    ),
    cli_errors.OtherCommittee: (
        "Compare the file with the other owners; `dragon committee show` prints its id."
    ),
    cli_errors.ApprovedAnother: "`dragon committee withdraw` takes that approval back.",
    cli_errors.HoldsAlready: "`dragon committee diff` shows what differs between two files.",
    cli_errors.NodeListMissing: (
        "Give the list here with `--nodes FILE`, and to the services of this host "
        "(SEQUENCER_NODES_FILE)."
    ),
    errors.NoOwner: "`dragon target add ID URL --owner MEMBER` gives a target an owner.",
    errors.TooLate: "`dragon committee show` shows the notice that the committee asks for.",
    errors.TooFar: "A window begins at most 90 days ahead, and has at most 7 days.",
    errors.EnoughAnnounced: (
        "Wait until a window has ended: `dragon maintenance list NODE --open` lists them."
    ),
    errors.UnknownNode: "`dragon nodes` lists the nodes of the committee.",
    errors.Unreachable: "Is the fleet running? `dragon up` starts one on this machine.",
    errors.Unavailable: "Run the same command again later; it continues where the stream ends.",
    errors.NotSettled: ("Certificates become available about two minutes after the period ends."),
    errors.UnsuitablePeriod: (
        "Request a period after the network's first round, or a shorter one if there are too many."
    ),
    errors.NotCertified: "Try again in a minute; `--json` shows the answer of each operator.",
    errors.UnknownSigner: (
        "The file was altered, or your committee file is not the newest: `dragon committee update`."
    ),
    errors.WrongCommittee: (
        "`dragon committee update` learns newer committees; or use the file of the right network."
    ),
    errors.LineageForked: (
        "Keep both files: they show who signed twice. Ask the owners which committee is theirs."
    ),
    errors.LineageUnproven: (
        "The first checkpoint of a new committee takes a few rounds: get the lineage again."
    ),
    errors.LineageError: "`dragon committee update` writes the whole lineage, `lineage.json`.",
    errors.UnknownOwner: (
        "Give `dragon committee assemble` the member file of `dragon key new ID --owner`."
    ),
    errors.AppliedAlready: "There is nothing left to do.",
    errors.InvalidCommittee: "Get the file again from its author; it is never edited by hand.",
    errors.BrokenSuccession: (
        "Have it assembled again: `dragon committee assemble --after` with the newest lineage."
    ),
    errors.RecycledId: "A member that returns, or changes its role, needs another id and key.",
    errors.RecycledKey: "`dragon key new` makes another key.",
    errors.OversizedEvent: "Fewer or shorter ids, or a change in several steps, make it smaller.",
    errors.NotJson: "Check that the file was saved completely.",
    errors.StreamReportRefused: "Get the report again, and the stream's id from the data's owner.",
    errors.ClaimMissing: "Ask the stream's owner about these windows; without the option, the "
    "report is verified.",
    errors.EndNotShown: "Ask for the report again when a later window is certified.",
    errors.SpotCheckRefused: "Ask for another answer, or make a new request.",
    errors.SpotCheckFailed: "Keep request and answer: together they show what failed.",
    errors.EvidenceError: CHANGED_EVIDENCE,
    errors.InvalidRule: RULE_HINT,
    errors.PayoutTooSmall: "Raise `--payout`, or lower the amounts of the rule.",
    errors.ReportAltered: "Use none of its figures; get the report again from its author.",
    errors.InvalidProof: "Get the event and the root from another operator, and compare.",
    errors.DatabaseTooOld: "Version 0.1 still verifies the file with `dragon verify log`.",
    errors.Stale: "Compare with another operator's log: honest operators refuse such an event.",
    errors.LogDamaged: "If the service is running, stop it, or verify a copy of the file.",
    errors.HandedOver: (
        "Found a new network first (`dragon committee assemble --refound`); `--refounded` names "
        "its file."
    ),
    errors.InUse: "Stop the service that uses the files; `ps` shows its process.",
    errors.DatabaseTooNew: "`dragon --version` shows the installed release; install the newer one.",
    errors.WrongJournal: "See docs/operating.md: how to move and how to restore an operator.",
    errors.Diverged: "Compare with the logs of other operators, as docs/operating.md describes.",
    errors.KeystoreError: "Check both paths and their permissions: keystore and password file.",
    errors.NotEnoughMemory: "Raise the memory limit (`mem_limit`), or use a keystore with PBKDF2.",
    cli_errors.ReceiptRefused: (
        "Check that committee and data belong to the receipt, or request the receipt again."
    ),
    cli_errors.ReceiptSuperseded: "`dragon receipt complete FILE` adds a mark that counts.",
    cli_errors.OtherStream: (
        "Names of streams are self-chosen; ask the owner of the data for the id of the stream."
    ),
    cli_errors.NotCovered: "Checkpoints are certified about once a minute; try again then.",
    errors.NoSuchWindow: "`GET /streams/<id>` of an operator shows how many windows its log has.",
    cli_errors.KeystoreRefused: "Check that the password belongs to this keystore.",
    cli_errors.NotAMember: "`dragon key show` prints the key; compare it with the committee file.",
    cli_errors.NotTheKey: "`dragon ziggy keygen` writes a matching pair of files.",
    cli_errors.KeyHasOneUse: "Omit `--parameters`: keys sign under ziggy-classic only.",
    cli_errors.OtherParameters: "Select the parameters that you accept with `--set`.",
    cli_errors.OtherTerms: "Compare both rules, and ask the author for a new report.",
    cli_errors.OtherStatement: "Request a proof of the statement that you expect.",
    cli_errors.PortInUse: (
        "Stop that program, or choose other ports: `--base-port` of `dragon init` or `dragon demo`."
    ),
}

UPGRADE_HINT: Final = "Let the proxy pass on the headers `Upgrade` and `Connection`, over HTTP/1.1."


def with_hint(error: E, hint: str) -> E:
    """Give one error its own hint in place of its kind's; an empty text means no hint."""
    error.add_note(hint)
    return error


def hint_for(error: DragonError) -> str | None:
    """Return the error's own hint, else that of its most precise kind, else None."""
    notes: list[str] = getattr(error, "__notes__", [])
    if notes:
        return notes[-1] or None
    return next((HINTS[kind] for kind in type(error).__mro__ if kind in HINTS), None)
