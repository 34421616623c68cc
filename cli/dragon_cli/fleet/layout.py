"""The folder of a fleet: what `dragon init` writes and every other command reads.

fleet/
  committee.json          who may sign; needed to verify anything, and public
  lineage.json            once the committee has changed: all committees, and their handovers
  nodes.json              node list of the sequencer network
  services.json           URLs of services that no committee lists: provers, streams, explorer
  public.toml             optional: what the explorer's public page shows
  alerts.toml             optional: whom the explorer tells about outages
  ca.crt                  with `init --tls`: certificate of the fleet's CA
  keys/                   private, one folder for each service, readable by that service only
  data/                   one folder for each service: its database
  output/                 one file for each service: its output
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dragon.errors import SettingsError
from dragon.protocol.committee import Committee
from dragon_cli.errors import NoCommittee, NoHome, UnusableFile
from dragon_cli.file_kinds import FileKind, reading

PROVER: Final = "zkp_api"
STREAMS: Final = "stream_api"
EXPLORER: Final = "explorer"
SOURCES: Final = "sources"  # not a service: holds the token of those who may create streams
SEQUENCER: Final = "sequencer"
MAX_NUMBERED: Final = 16  # provers, and stream services, of one fleet
# The argument of `dragon serve` for each service that is no operator; aggregators have ranks.
_KINDS: Final = {SEQUENCER: "sequencer", PROVER: "zkp", STREAMS: "stream", EXPLORER: "explorer"}
_AGGREGATOR: Final = re.compile(r"aggregator(_[0-9]+)?", re.ASCII)
# The first of several has no number: `zkp_api`, `zkp_api_2`, `zkp_api_3` …
_NUMBERED: Final = re.compile(rf"({PROVER}|{STREAMS})(?:_([2-9]|[1-9][0-9]{{1,2}}))?", re.ASCII)
_OTHER_FOLDERS: Final = frozenset((SOURCES, "ca"))  # in the folder of keys


def service_kind(name: str) -> str:
    """Return the argument of `dragon serve` for a service such as `zkp_api` or an operator's id."""
    if _AGGREGATOR.fullmatch(name):
        return "aggregator"
    numbered = _NUMBERED.fullmatch(name)
    return _KINDS.get(numbered[1] if numbered else name, "operator")


def numbered_name(first: str, number: int) -> str:
    """Return the name of a prover or stream service. Args: `number`, from 1."""
    return first if number == 1 else f"{first}_{number}"


def service_number(name: str) -> int:
    """Return the number of a prover or stream service, from 1; 1 for any other service."""
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[2]) if numbered and numbered[2] else 1


def is_reserved(name: str) -> bool:
    """Return whether no member may have this id in a home, because a service has that folder."""
    return name in _OTHER_FOLDERS or service_kind(name) != "operator"


def aggregator_name(rank: int) -> str:
    """Return the name of the aggregator with that rank, as in folders and output files."""
    return f"aggregator_{rank}" if rank else "aggregator"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of a fleet, and the paths in it. A service is named as its folder."""

    path: Path

    @property
    def committee_file(self) -> Path:
        """The committee file."""
        return self.path / "committee.json"

    @property
    def lineage_file(self) -> Path:
        """All committees of the network and the handovers between them; missing in epoch 0."""
        return self.path / "lineage.json"

    @property
    def known_file(self) -> Path:
        """The file with all that is known of the committees: the lineage, or one committee."""
        return self.lineage_file if self.lineage_file.exists() else self.committee_file

    @property
    def nodes_file(self) -> Path:
        """The node list of the sequencer network."""
        return self.path / "nodes.json"

    @property
    def keys(self) -> Path:
        """The folder of all private keys."""
        return self.path / "keys"

    @property
    def unfinished(self) -> Path:
        """A marker that exists while `dragon init` runs: the keys belong to no committee yet."""
        return self.path / "unfinished"

    @property
    def services_file(self) -> Path:
        """The URLs of provers, stream services and explorer."""
        return self.path / "services.json"

    @property
    def public_file(self) -> Path:
        """What the explorer's public page shows; may be missing."""
        return self.path / "public.toml"

    @property
    def alerts_file(self) -> Path:
        """Rules and routes of the explorer's alerts; the file may be missing."""
        return self.path / "alerts.toml"

    def services(self) -> dict[str, str]:
        """Return the URLs of the services that the committee does not list, by name.

        Raises SettingsError: the file cannot be read.
        """
        if not self.services_file.exists():
            return {}
        try:
            return {str(k): str(v) for k, v in json.loads(self.services_file.read_text()).items()}
        except (OSError, ValueError, AttributeError, RecursionError):
            message = f"{self.services_file} is not a list of services (JSON: name to URL)."
            raise SettingsError(message) from None

    def provers(self) -> dict[str, str]:
        """Return the URLs of the provers by name, in order of their numbers.

        Raises SettingsError.
        """
        return self._numbered("zkp")

    def stream_services(self) -> dict[str, str]:
        """Return the URLs of the stream services by name, in order of their numbers.

        Raises SettingsError.
        """
        return self._numbered("stream")

    def service_at(self, url: str) -> str:
        """Return the name of the stream service at a URL; for an unknown URL that of the first.

        Raises SettingsError.
        """
        services = self.stream_services().items()
        return next((name for name, found in services if found.rstrip("/") == url), STREAMS)

    def _numbered(self, kind: str) -> dict[str, str]:
        found = {name: url for name, url in self.services().items() if service_kind(name) == kind}
        return {name: found[name] for name in sorted(found, key=service_number)}

    def token(self, service: str) -> Path:
        """The token that callers of a service must present."""
        return self.keys / service / "token"

    def sources_token(self, service: str = STREAMS) -> Path:
        """The token of a stream service, for those who may create streams there."""
        file = self.token(SOURCES)
        number = service_number(service)
        return file if number == 1 else file.with_name(f"{file.name}_{number}")

    def prover_token(self, service: str = STREAMS) -> Path:
        """The provers' token, in the folder of a stream service."""
        return self.keys / service / "prover-token"

    @property
    def sequencer_keys(self) -> Path:
        """The keys of the development sequencer."""
        return self.keys / "sequencer" / "keys.json"

    def keystore(self, service: str) -> Path:
        """The keystore of an operator, an expert or the stream service."""
        return self.keys / service / "keystore.json"

    def password(self, service: str) -> Path:
        """The password of a keystore."""
        return self.keys / service / "password"

    @staticmethod
    def next_key(member: str) -> str:
        """The folder of a member's next key, beside the present one, while it is rotated."""
        return f"{member}/next"

    def has_key(self, member: str) -> bool:
        """Return whether a member's present or next key is in this home."""
        return self.keystore(member).exists() or self.keystore(self.next_key(member)).exists()

    @property
    def authority_file(self) -> Path:
        """The certificate of the fleet's CA."""
        return self.path / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The private key of the fleet's CA."""
        return self.keys / "ca" / "ca.key"

    def tls_certificate(self, service: str) -> Path:
        """The TLS certificate of a service."""
        return self.keys / service / "tls.crt"

    def tls_key(self, service: str) -> Path:
        """The private key of a service's TLS certificate."""
        return self.keys / service / "tls.key"

    @property
    def ca(self) -> Path | None:
        """The CA file for clients of this fleet, or None: use the system trust store."""
        return self.authority_file if self.authority_file.exists() else None

    def database(self, service: str) -> Path:
        """The database of a service: `operator_1` → `data/operator_1/operator.db`."""
        return self.path / "data" / service / f"{service_kind(service)}.db"

    def output(self, service: str) -> Path:
        """The file to which `dragon up` writes the output of a service."""
        return self.path / "output" / f"{service}.log"

    def sequencer_url(self) -> str:
        """Return the URL of the development sequencer: the socket of the first node.

        Raises SettingsError: the node list cannot be read.
        """
        try:
            nodes = json.loads(self.nodes_file.read_text())
            return str(next(iter(nodes.values()))["socket"])
        except (
            OSError,
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
            StopIteration,
            RecursionError,
        ):
            message = f"Cannot read the node list {self.nodes_file}: missing, or not a node list."
            raise SettingsError(message) from None

    def check_exists(self) -> None:
        """Raise NoHome if the folder does not exist."""
        if not self.path.is_dir():
            raise NoHome(f"The folder {self.path} does not exist.")

    def committee(self) -> Committee:
        """Load the committee. Raises NoHome, and as `load_committee`."""
        self.check_exists()
        return load_committee(self.committee_file)


def load_committee(path: Path) -> Committee:
    """Load and check a committee file.

    Raises:
        NoCommittee: the file does not exist.
        UnusableFile: the file cannot be read.
        NotACommittee: the file is of another kind.
        DragonError: the content is invalid; the message starts with the path.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NoCommittee(f"Committee file {path} does not exist.") from None
    except OSError as error:
        raise UnusableFile(f"Cannot read {path}: {error.strerror}.") from None
    with reading(path, raw, FileKind.COMMITTEE):  # the command line may name several files
        return Committee.load(raw)


def port_of(url: str) -> int:
    """Return the port of a URL. Raises SettingsError: the URL has none."""
    port = urlsplit(url).port
    if port is None:
        raise SettingsError(f"The URL {url} has no port.")
    return port
