"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import click

from dragon.net import tls_names
from dragon.protocol.committee import MAX_MAINTENANCE_NOTICE
from dragon_cli.completions import complete_operators, complete_services
from dragon_cli.durations import parse_duration

_Decorator: TypeAlias = Callable[[Any], Any]

DEFAULT_LISTED: Final = 50  # rows of a list, unless `--limit` says otherwise
_COMMITTEE_ID: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)

EXISTING_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
INPUT_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
NEW_FILE: Final = click.Path(path_type=Path, dir_okay=False)

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default="fleet",
    show_default=True,
    envvar="DRAGON_HOME",
    show_envvar=True,
    help="Folder of the fleet.",
)
ca_option = click.option(
    "--ca",
    type=EXISTING_FILE,
    envvar=tls_names.CA,
    show_envvar=True,
    help=(
        "CA file used to verify HTTPS servers (default: the fleet's CA, otherwise the system "
        "trust store)."
    ),
)
committee_option = click.option(
    "--committee",
    "committee_file",
    type=NEW_FILE,
    envvar="DRAGON_COMMITTEE",
    show_envvar=True,
    help=(
        "Committee file or lineage; get it from a source that you trust (default: "
        "lineage.json in the folder of the fleet, DRAGON_HOME, otherwise its committee.json)."
    ),
)
trust_from_option = click.option(
    "--trust-from",
    metavar="EPOCH",
    type=click.IntRange(0),
    help="Oldest epoch whose keys you trust (default: the newest epoch known).",
)


def trust_options(command: Callable[..., Any]) -> Any:
    """Add the options that say whose signatures count."""
    return committee_option(trust_from_option(command))


class UrlType(click.ParamType[str]):
    """An http:// or https:// URL with a host."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL without a slash at its end. Raises BadParameter."""
        try:
            parts, port = urlsplit(str(value)), urlsplit(str(value)).port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme in ("http", "https") and parts.hostname and port != 0:
            return str(value).rstrip("/")
        message = f"{value!a} is not a URL with http:// or https://"
        if "://" not in str(value):
            message += f"; did you mean http://{value}?"
        raise click.BadParameter(message, ctx, param)


class CommitteeIdType(click.ParamType[bytes]):
    """The full id of a committee."""

    name = "0xID"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return the id, 32 bytes. Raises BadParameter."""
        if isinstance(value, bytes):
            return value
        digits = str(value).lower()
        if _COMMITTEE_ID.fullmatch(digits):
            return bytes.fromhex(digits[2:])
        message = f"{value!a} is not the id of a committee: 0x and 64 hexadecimal digits."
        raise click.BadParameter(message, ctx, param)


class NoticeType(click.ParamType[int]):
    """The maintenance notice of a committee, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds. Raises BadParameter."""
        if isinstance(value, int):
            return value
        try:
            seconds = 0 if value in ("0", "0s") else parse_duration(str(value))
            if seconds <= MAX_MAINTENANCE_NOTICE:
                return seconds
        except ValueError:
            pass
        message = f"{value!a} is not a notice from 0s to 7d, such as 90m, 2h or 1d."
        raise click.BadParameter(message, ctx, param)


own_operator_option = click.option(
    "--operator",
    "operator_id",
    metavar="ID",
    shell_complete=complete_operators,
    help="Operator of this host (default: OPERATOR_ID, or the only one of the home).",
)
all_option = click.option(
    "--all", "all_", is_flag=True, help="All operators that have their keystore in the home."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
operator_option = click.option(
    "--operator",
    shell_complete=complete_operators,
    help="Operator to query (default: the first to respond).",
)
targets_option = click.option(
    "--targets",
    type=EXISTING_FILE,
    multiple=True,
    help="File that lists targets with their checks, as TOML, or as JSON if it ends with .json.",
)
notice_option = click.option(
    "--maintenance-notice",
    type=NoticeType(),
    help="Time by which maintenance is announced ahead, from 0s to 7d (default: 1h).",
)
file_argument = click.argument("file", type=EXISTING_FILE)
_url_option = click.option(
    "--url", type=UrlType(), help="URL of the stream service (default: the fleet's)."
)
_service_option = click.option(
    "--service",
    shell_complete=complete_services,
    help=(
        "Stream service of the fleet, such as stream_api_2 (default: the one that has the stream; "
        "for a new stream the one with the fewest)."
    ),
)


def stream_service_options(command: Callable[..., Any]) -> Any:
    """Add `--url` and `--service`; the command gets both as the argument `at`, a `ServiceAt`."""

    @functools.wraps(command)
    def run(*args: Any, url: str | None, service: str | None, **kwargs: Any) -> Any:
        # Imported here because every command imports this module.
        from dragon_cli.fleet.stream_services import ServiceAt  # noqa: PLC0415

        return command(*args, at=ServiceAt(url, service), **kwargs)

    return _url_option(_service_option(run))


token_option = click.option(
    "--token-file",
    type=NEW_FILE,
    help=(
        "File that contains the token: the stream's for an id, the service's for a name "
        "(default: the fleet's)."
    ),
)


def _port_option(option: str, default: int, text: str, highest: int = 65535) -> _Decorator:
    return click.option(
        option,
        type=click.IntRange(1, highest),
        default=default,
        show_default=True,
        help=text,
    )


base_port_option = _port_option(
    "--base-port", 5001, "Port of the first operator; the others follow.", highest=65000
)
aggregator_port_option = _port_option("--aggregator-port", 5100, "Port of the aggregator.")
sequencer_port_option = _port_option("--sequencer-port", 6001, "Port of the development sequencer.")
prover_port_option = _port_option("--prover-port", 5200, "Port of the prover.")
stream_port_option = _port_option("--stream-port", 5300, "Port of the stream service.")
explorer_port_option = _port_option("--explorer-port", 5400, "Port of the explorer.")
payout_option = click.option(
    "--payout",
    metavar="AMOUNT",
    help="Amount to pay for the period, such as 1000 or 12.50; requires `--rule`.",
)
rule_option = click.option(
    "--rule",
    "rule_file",
    type=EXISTING_FILE,
    help="Reward rule (TOML), which says what a share of up time earns; requires `--payout`.",
)


def limit_option(most: int, text: str) -> _Decorator:
    """Return the option `--limit` of a list, at most `most`, by default 50."""
    return click.option(
        "--limit",
        type=click.IntRange(1, most),
        default=DEFAULT_LISTED,
        show_default=True,
        help=text,
    )
