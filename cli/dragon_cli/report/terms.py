"""What a certified report pays: the options `--rule` and `--payout`."""

from __future__ import annotations

from pathlib import Path

import click

from dragon.agreements.amounts import parse_amount
from dragon.agreements.report import Terms
from dragon.agreements.rule import Rule
from dragon.agreements.rule_file import MAX_RULE_BYTES, decode_rule
from dragon.errors import DragonError, InvalidEncoding, UnknownValue
from dragon_cli.files import read_bytes
from dragon_cli.hints import RULE_HINT, with_hint


def load_terms(rule_file: Path | None, payout: str | None) -> Terms | None:
    """Return what is paid; None without both options.

    Raises UsageError: one of them is missing, or the payout is no amount; as `load_rule`.
    """
    if rule_file is None and payout is None:
        return None
    if rule_file is None or payout is None:
        raise click.UsageError("`--payout` and `--rule` require each other.")
    rule = load_rule(rule_file)
    return Terms(rule, payout_units(payout, rule))


def load_rule(path: Path) -> Rule:
    """Read a rule file. Raises as `decode_rule`; the message starts with the path."""
    try:
        return decode_rule(read_bytes(path, most=MAX_RULE_BYTES))
    except DragonError as error:
        if str(path) not in str(error):
            error.args = (f"{path}: {error}",)
        if isinstance(error, InvalidEncoding):
            raise with_hint(error, RULE_HINT) from None
        raise


def payout_units(text: str, rule: Rule) -> int:
    """Return the smallest units of `--payout`. Raises UsageError."""
    try:
        return parse_amount(text, rule.decimals, member="`--payout`")
    except UnknownValue as error:
        raise click.UsageError(f"{error}.") from None
