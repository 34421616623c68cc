"""What can go wrong on the command line only; everything else is in `dragon.errors`."""

from __future__ import annotations

from collections.abc import Mapping

from dragon import errors
from dragon.errors import DragonError, NotFound, SettingsError, StepFailed


class NoCommittee(SettingsError):
    """There is no committee file where it was looked for."""


class CommitteeExists(SettingsError):
    """A committee is never overwritten."""


class OverrideExists(SettingsError):
    """A compose override is never overwritten."""


class UnusableFile(SettingsError):
    """A file or a folder cannot be read or written."""


class AlreadyThere(SettingsError):
    """Something stands where a file was to be written; nothing is overwritten."""


class MissingExtra(SettingsError):
    """Compiled code is needed, and the packages of the extra `prover` are not installed."""


class PortInUse(StepFailed):
    """Something else listens where a service should."""


class NotListed(NotFound):
    """The committee lists no operator or aggregator of that name."""


class NotCovered(NotFound):
    """No certified checkpoint covers a receipt's event yet."""


class ReceiptRefused(errors.ReceiptRefused):
    """As the core's, with what a program is told of every check."""

    def __init__(self, message: str, *fields: str, check: str, told: Mapping[str, object]) -> None:
        super().__init__(message, *fields, check=check)
        self.told = told


class KeystoreRefused(DragonError):
    """The keystore does not hold what it says, or not under this password."""


class NotAMember(DragonError):
    """The key belongs to nobody in the committee."""


class NotTheKey(DragonError):
    """A private key is not that of the public key beside it."""


class KeyHasOneUse(DragonError):
    """A key that signs under one set of parameters signs under no other."""


class OtherParameters(DragonError):
    """A proof is said to be made with other parameters than those that are accepted."""


class OtherStatement(DragonError):
    """A proof is about something else than what is expected."""
