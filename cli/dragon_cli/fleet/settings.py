"""The settings that each service of a fleet gets, as environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from dragon.net import tls_names
from dragon_cli.fleet.layout import EXPLORER, PROVER, SEQUENCER, Home, service_kind


def environment(home: Home, service: str, *, host: str, port: int, rank: int = 0) -> dict[str, str]:
    """Return the settings of one service.

    Args:
        home: the folder of the fleet.
        service: the name of the service's folder, such as `operator_1` or `aggregator`.
        host, port: the address on which the service listens.
        rank: the rank of an aggregator.
    """
    listening = {"DRAGON_HOST": host, "DRAGON_PORT": str(port), **transport(home, service)}
    kind = service_kind(service)
    if kind in {"zkp", "stream"}:
        listening["DRAGON_SERVICE"] = service
    if kind == "zkp":
        return listening | {"ZKP_TOKEN_FILE": str(home.token(service))}
    common = listening | {
        "DRAGON_COMMITTEE": str(home.known_file),
        "SEQUENCER_NODES_FILE": str(home.nodes_file),
    }
    if kind == "stream":
        return common | _stream_service(home, service)
    if service == EXPLORER:
        return common | _explorer(home)
    database = str(home.database(service))
    if service == SEQUENCER:
        return common | {
            "SEQUENCER_KEYS_FILE": str(home.sequencer_keys),
            "SEQUENCER_APP": home.committee().sequencer.app,
            "SEQUENCER_DATABASE": database,
        }
    if kind == "aggregator":
        return common | {"AGGREGATOR_DATABASE": database, "AGGREGATOR_RANK": str(rank)}
    return common | _operator(home, service)


def _operator(home: Home, operator: str) -> dict[str, str]:
    following = home.next_key(operator)
    is_rotated = home.keystore(following).exists()
    is_lost = is_rotated and not home.keystore(operator).exists()
    present = following if is_lost else operator
    found = {
        "OPERATOR_ID": operator,
        "OPERATOR_KEYSTORE": str(home.keystore(present)),
        "OPERATOR_PASSWORD_FILE": str(home.password(present)),
        "OPERATOR_DATABASE": str(home.database(operator)),
    }
    if is_rotated:
        found["OPERATOR_NEXT_KEYSTORE"] = str(home.keystore(following))
        found["OPERATOR_NEXT_PASSWORD_FILE"] = str(home.password(following))
    return found


def _stream_service(home: Home, service: str) -> dict[str, str]:
    database = home.database(service)
    provers = home.provers() or {PROVER: "http://127.0.0.1:5200"}
    return {
        "STREAM_KEYSTORE": str(home.keystore(service)),
        "STREAM_PASSWORD_FILE": str(home.password(service)),
        "STREAM_TOKEN_FILE": str(home.token(service)),
        "STREAM_PROVER_URLS": ",".join(provers.values()),
        "STREAM_PROVER_TOKEN_FILE": str(home.prover_token(service)),
        "STREAM_DATABASE": str(database),
        "STREAM_DATA": str(database.with_name("streams")),
    }


def _explorer(home: Home) -> dict[str, str]:
    found = {"EXPLORER_DATABASE": str(home.database(EXPLORER))}
    if streams := home.stream_services():
        found["EXPLORER_STREAM_URLS"] = ",".join(streams.values())
    if home.public_file.exists():
        found["EXPLORER_PUBLIC_FILE"] = str(home.public_file)
    if home.alerts_file.exists():
        found["EXPLORER_ALERTS_FILE"] = str(home.alerts_file)
    return found


def transport(home: Home, service: str) -> dict[str, str]:
    """Return the TLS settings of a service; empty if the fleet does not use TLS."""
    found = {tls_names.CA: str(home.ca)} if home.ca else {}
    certificate = home.tls_certificate(service)
    if certificate.exists():
        found |= {
            tls_names.CERTFILE: str(certificate),
            tls_names.KEYFILE: str(home.tls_key(service)),
        }
    return found


def merged(environ: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults, overridden by the non-empty variables of the environment."""
    return {**defaults, **{name: value for name, value in environ.items() if value}}
