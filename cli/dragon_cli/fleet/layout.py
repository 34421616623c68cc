"""A fleet's folder: where `dragon init` puts things and every other command finds them.

fleet/
  committee.json          who may sign; give it to whoever wants to verify
  nodes.json              the sequencer network's node list
  services.json           where the services are that no committee lists: prover, stream service
  ca.crt                  with `init --tls`: the authority that clients believe
  keys/                   private, one folder a service: what only that service may read
  data/                   one folder a service: its database
  output/                 one file a service: what it prints
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dragon.net import tls
from dragon_cli.errors import NoCommittee, UnusableFile
from dragon.protocol.committee import Committee
from dragon.errors import DragonError, SettingsError

PROVER: Final = "zkp_api"
STREAMS: Final = "stream_api"
SOURCES: Final = "sources"  # no service: whoever makes streams, and has the stream service's token


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @property
    def committee_file(self) -> Path:
        return self.path / "committee.json"

    @property
    def nodes_file(self) -> Path:
        return self.path / "nodes.json"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def unfinished(self) -> Path:
        """There while `dragon init` is at work: keys beside it belong to no committee."""
        return self.path / "unfinished"

    @property
    def services_file(self) -> Path:
        return self.path / "services.json"

    def services(self) -> dict[str, str]:
        """The fleet's services that its committee does not list, and where they are reached.

        Raises SettingsError: the file cannot be read.
        """
        if not self.services_file.exists():
            return {}
        try:
            return {str(k): str(v) for k, v in json.loads(self.services_file.read_text()).items()}
        except (OSError, ValueError, AttributeError):
            raise SettingsError(f"{self.services_file} is no list of services") from None

    def token(self, service: str) -> Path:
        """What its callers have to show."""
        return self.keys / service / "token"

    @property
    def prover_token(self) -> Path:
        """The prover's token, in the stream service's own folder."""
        return self.keys / STREAMS / "prover-token"

    @property
    def sequencer_keys(self) -> Path:
        return self.keys / "sequencer" / "keys.json"

    def keystore(self, operator: str) -> Path:
        return self.keys / operator / "keystore.json"

    def password(self, operator: str) -> Path:
        return self.keys / operator / "password"

    @property
    def authority_file(self) -> Path:
        return self.path / "ca.crt"

    @property
    def authority_key(self) -> Path:
        return self.keys / "ca" / "ca.key"

    def tls_certificate(self, service: str) -> Path:
        return self.keys / service / "tls.crt"

    def tls_key(self, service: str) -> Path:
        return self.keys / service / "tls.key"

    @property
    def ca(self) -> Path | None:
        """Whom this fleet's clients believe over https; None: the system's authorities."""
        return self.authority_file if self.authority_file.exists() else None

    def transport(self, service: str) -> dict[str, str]:
        """The settings of a service's transport encryption; none where there is none."""
        found = {tls.CA: str(self.ca)} if self.ca else {}
        certificate = self.tls_certificate(service)
        if certificate.exists():
            found |= {tls.CERTFILE: str(certificate), tls.KEYFILE: str(self.tls_key(service))}
        return found

    def database(self, service: str) -> Path:
        """`operator_1` → `data/operator_1/operator.db`; named for what the service is."""
        return self.path / "data" / service / f"{service.partition('_')[0]}.db"

    def output(self, service: str) -> Path:
        return self.path / "output" / f"{service}.log"

    def sequencer_url(self) -> str:
        """Where the development sequencer is reached: the first node's socket.

        Raises SettingsError: the node list cannot be read.
        """
        try:
            nodes = json.loads(self.nodes_file.read_text())
            return str(next(iter(nodes.values()))["socket"])
        except (OSError, ValueError, LookupError, AttributeError, TypeError, StopIteration):
            raise SettingsError(f"{self.nodes_file} is no node list") from None

    def committee(self) -> Committee:
        """Raises NoCommittee: there is none yet. InvalidCommittee: it is not to be trusted."""
        return load_committee(self.committee_file)

    def environment(self, service: str, *, host: str, port: int, rank: int = 0) -> dict[str, str]:
        """The settings of one service of this fleet: an operator's id, aggregator or sequencer."""
        if service == PROVER:
            listening = {"DRAGON_HOST": host, "DRAGON_PORT": str(port)}
            token = {"ZKP_TOKEN_FILE": str(self.token(PROVER))}
            return listening | token | self.transport(service)
        common = {
            "DRAGON_COMMITTEE": str(self.committee_file),
            "SEQUENCER_NODES_FILE": str(self.nodes_file),
            "DRAGON_HOST": host,
            "DRAGON_PORT": str(port),
            **self.transport(service),
        }
        database = str(self.database(service))
        if service == STREAMS:
            return common | self._stream_service(database)
        if service == "sequencer":
            return common | {
                "SEQUENCER_KEYS_FILE": str(self.sequencer_keys),
                "SEQUENCER_APP": self.committee().sequencer.app,
                "SEQUENCER_DATABASE": database,
            }
        if service.startswith("aggregator"):
            return common | {"AGGREGATOR_DATABASE": database, "AGGREGATOR_RANK": str(rank)}
        return common | {
            "OPERATOR_ID": service,
            "OPERATOR_KEYSTORE": str(self.keystore(service)),
            "OPERATOR_PASSWORD_FILE": str(self.password(service)),
            "OPERATOR_DATABASE": database,
        }

    def _stream_service(self, database: str) -> dict[str, str]:
        return {
            "STREAM_KEYSTORE": str(self.keystore(STREAMS)),
            "STREAM_PASSWORD_FILE": str(self.password(STREAMS)),
            "STREAM_TOKEN_FILE": str(self.token(STREAMS)),
            "STREAM_PROVER_URL": self.services().get(PROVER, "http://127.0.0.1:5200"),
            "STREAM_PROVER_TOKEN_FILE": str(self.prover_token),
            "STREAM_DATABASE": database,
            "STREAM_DATA": str(Path(database).with_name("streams")),
        }


def load_committee(path: Path) -> Committee:
    """Raises NoCommittee, UnusableFile. DragonError: what is wrong with the one there is."""
    try:
        return Committee.load(path.read_bytes())
    except FileNotFoundError:
        raise NoCommittee(f"there is no committee at {path}") from None
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from None
    except DragonError as error:
        error.args = (f"{path}: {error}",)  # beside another file on the same command line
        raise


def port_of(url: str) -> int:
    """The port of a service's address. Raises SettingsError: it names none."""
    port = urlsplit(url).port
    if port is None:
        raise SettingsError(f"{url} names no port")
    return port


def merged(environ: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """What the environment says, and the fleet's own values where it says nothing."""
    return {**defaults, **{name: value for name, value in environ.items() if value}}
