"""Errors that only the command line raises; all others are in `dragon.errors`."""

from __future__ import annotations

from collections.abc import Mapping

from dragon import errors
from dragon.errors import DragonError, InvalidEncoding, NotFound, SettingsError, StepFailed


class MissingExtra(SettingsError):
    """The packages of the extra `prover`, which compiled code needs, are not installed."""


class NoCommittee(SettingsError):
    """The committee file does not exist."""


class NotACommittee(SettingsError):
    """The file given as committee file is a file of another kind."""


class WrongFile(InvalidEncoding):
    """The file is of another kind than the requested one."""


class WrongService(SettingsError):
    """The URL is that of another service than the requested one."""


class NoHome(NoCommittee):
    """The folder of the fleet does not exist."""


class CommitteeExists(SettingsError):
    """The folder holds a committee already; a committee is never overwritten."""


class OverrideExists(SettingsError):
    """The compose override exists already; it is never overwritten."""


class UnusableFile(SettingsError):
    """A file or a folder cannot be read or written."""


class AmbiguousStream(SettingsError):
    """Several stream services of the fleet have a stream of this name."""


class WrongReadings(SettingsError):
    """The words of options or of a file do not describe readings of a stream."""


class WrongColumn(SettingsError):
    """The CSV file has no such column, or more than one."""


class UnusableRow(DragonError):
    """A row of a CSV file cannot be sent as a message."""


class AlreadyThere(SettingsError):
    """The file to write exists already; no file is overwritten."""


class PortInUse(StepFailed):
    """Another program listens on the port of a service."""


class NotListed(NotFound):
    """The committee lists no operator or aggregator, the fleet no service, of this name."""


class NotCovered(NotFound):
    """No certified checkpoint covers the receipt's event yet."""


class ClockBehind(StepFailed):
    """The clock of this machine is behind the newest certified checkpoint."""


class FileChanged(DragonError):
    """The file is not the one of which a part was uploaded before."""


class StreamNotEmpty(DragonError):
    """The stream has data already that does not belong to the file."""


class ReceiptRefused(errors.ReceiptRefused):
    """A check of a receipt failed. `report` holds the result of every check, for programs."""

    def __init__(
        self, message: str, *fields: str, check: str, report: Mapping[str, object]
    ) -> None:
        super().__init__(message, *fields, check=check)
        self.report = report


class ReceiptSuperseded(ReceiptRefused, errors.ReceiptSuperseded):
    """The receipt's committee has handed over. `report` holds all checks."""


class KeystoreRefused(DragonError):
    """The password does not open the keystore, or the keystore holds another key."""


class NotAMember(DragonError):
    """The committee lists no member with this key."""


class NotTheKey(DragonError):
    """The private key does not belong to the public key."""


class KeyHasOneUse(DragonError):
    """A Ziggy key signs under one set of parameters only."""


class OtherParameters(DragonError):
    """The proof names other parameters than the accepted ones."""


class OtherStatement(DragonError):
    """The proof is about another statement than the expected one."""


class OtherTerms(DragonError):
    """The report pays by another rule, or another amount, than the expected one."""


class OtherStream(ReceiptRefused, errors.OtherStream):
    """The receipt belongs to another stream than the expected one. `report` holds all checks."""


class LogNotCurrent(StepFailed):
    """The log of the operator does not show which committee holds: missing, stopped or old."""


class OtherCommittee(DragonError):
    """The file holds another committee than the one that was confirmed."""


class ApprovedAnother(DragonError):
    """The owner has approved another committee already."""


class HoldsAlready(DragonError):
    """The committee has its seat already."""


class NodeListMissing(SettingsError):
    """The node list was not given that a committee names for the first time."""


class KeysElsewhere(SettingsError):
    """Too few operators have their keys in this home to change the committee from here."""
