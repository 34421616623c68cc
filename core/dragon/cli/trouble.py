"""What can go wrong on the command line only; everything else is in `dragon.errors`."""

from __future__ import annotations

from dragon.errors import DragonError, NotFound, SettingsError, StepFailed


class NoCommittee(SettingsError):
    """There is no committee file where it was looked for."""


class CommitteeExists(SettingsError):
    """A committee is never overwritten."""


class OverrideExists(SettingsError):
    """A compose override is never overwritten."""


class UnusableFile(SettingsError):
    """A file or a folder cannot be read or written."""


class PortInUse(StepFailed):
    """Something else listens where a service should."""


class NotListed(NotFound):
    """The committee lists no operator or aggregator of that name."""


class KeystoreRefused(DragonError):
    """The keystore does not hold what it says, or not under this password."""


class NotAMember(DragonError):
    """The key belongs to nobody in the committee."""
