"""The compose override that `dragon init --compose` writes, for other numbers of services.

The compose file of the project has four operators, a prover and a stream service. Both
`docker-compose` and `docker compose` read `docker-compose.override.yml` automatically and apply it
on top. The containers create the keys, so that no key ever leaves its volume.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from dragon_cli.errors import OverrideExists

OVERRIDE: Final = "docker-compose.override.yml"
INCLUDED: Final = 4  # operators in the compose file itself
AGGREGATOR_THREADS: Final = 192  # limit of the aggregator's container, without its operators
THREADS_PER_OPERATOR: Final = 48
FIRST_PROVER_PORT: Final = 5200
FIRST_STREAM_PORT: Final = 5300
_DATA: Final = ("data",)  # a kind of volume
_KERNELS: Final = ("kernels",)  # compiled code


def _template(
    host: str, *, memory: str, cores: int, networks: str, start_period: str, own: str
) -> Template:
    """Return a service as in the compose file; a test checks that the two agree.

    Args:
        host: its name, `$n` for its number.
        memory, cores, networks, start_period: how it runs.
        own: its further lines, with `$n` and `$port`.
    """
    return Template(f"""\
  {host}:
    image: $${{IMAGE_PREFIX:-datadragon}}/zkp:$${{TAG:-latest}}
    init: true
    read_only: true
    tmpfs: ["/tmp:size=16m,mode=1777"]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: {memory}
    memswap_limit: {memory}
    cpu_quota: {cores}00000
    pids_limit: 256
    dns_opt: ["timeout:1", "attempts:1"]
    logging: {{driver: json-file, options: {{max-size: 10m, max-file: "3"}}}}
    restart: unless-stopped
    stop_grace_period: 6s
    networks: [{networks}]
    depends_on: {{init: {{condition: service_completed_successfully}}}}
    healthcheck:
      test: [CMD, python, -m, dragon.node.health]
      interval: 30s
      timeout: 5s
      retries: 3
      start_period: {start_period}
{own}""")


_OPERATOR: Final = _template(
    "operator-$n",
    memory="384m",
    cores=1,
    networks="fleet",
    start_period="120s",
    own="""\
    command: [serve, operator, --id, operator_$n]
    environment: {DRAGON_PORT: "$port", OPERATOR_OBJECTS_MB: "512"}
    ports: ["$${BIND_ADDRESS:-127.0.0.1}:$${OPERATOR_${n}_PORT:-$port}:$port"]
    volumes:
      - fleet:/fleet:ro
      - operator-$n-keys:/fleet/keys/operator_$n:ro
      - operator-$n-data:/fleet/data/operator_$n
      - operator-$n-kernels:/kernels
""",
)
_PROVER: Final = _template(
    "zkp-api-$n",
    memory="1280m",
    cores=2,
    networks="proofs",
    start_period="180s",
    own="""\
    command: [serve, zkp, --name, zkp_api_$n]
    environment: {DRAGON_PORT: "$port", ZKP_WORKERS: "$${ZKP_WORKERS:-2}"}
    volumes:
      - fleet:/fleet:ro
      - zkp-api-$n-keys:/fleet/keys/zkp_api_$n:ro
      - zkp-api-$n-kernels:/kernels
""",
)
_STREAM_SERVICE: Final = _template(
    "stream-api-$n",
    memory="512m",
    cores=2,
    networks="fleet, proofs",
    start_period="120s",
    own="""\
    command: [serve, stream, --name, stream_api_$n]
    environment: {DRAGON_PORT: "$port"}
    ports: ["$${BIND_ADDRESS:-127.0.0.1}:$${STREAM_${n}_PORT:-$port}:$port"]
    volumes:
      - fleet:/fleet:ro
      - stream-api-$n-keys:/fleet/keys/stream_api_$n:ro
      - stream-api-$n-data:/fleet/data/stream_api_$n
      - stream-api-$n-kernels:/kernels
""",
)
_LEFT_OUT: Final = Template("""\
  operator-$n:
    profiles: [left-out]
""")


def override(
    operators: int,
    settings: Mapping[str, object],
    first_port: int = 5001,
    *,
    provers: int = 1,
    stream_services: int = 1,
) -> str:
    """Return the text of the override.

    Args:
        operators: the number of operators.
        settings: options of `dragon init` with their values, for the container that runs it.
        first_port: the port of the first operator; the others follow.
        provers, stream_services: their numbers, from 1.
    """
    added = [
        _Added(
            "operator",
            _OPERATOR,
            range(INCLUDED + 1, operators + 1),
            first_port,
            (*_DATA, *_KERNELS),
        ),
        _Added("zkp_api", _PROVER, range(2, provers + 1), FIRST_PROVER_PORT, _KERNELS),
        _Added(
            "stream_api",
            _STREAM_SERVICE,
            range(2, stream_services + 1),
            FIRST_STREAM_PORT,
            (*_DATA, *_KERNELS),
        ),
    ]
    left_out = range(operators + 1, INCLUDED + 1)
    lines = [
        f"# {operators} operators. Written by `dragon init --compose`.",
        "services:",
        "  init:",
        "    environment:",
        *(f"      {_variable(name)}: {_quoted(value)}" for name, value in settings.items()),
        *(["    volumes:"] if any(each.numbers for each in added) else []),
        *(f"      - {volume}" for each in added for volume in each.key_volumes()),
    ]
    if operators > INCLUDED:
        lines += ["  aggregator:", f"    pids_limit: {threads_for(operators)}"]
    parts = ["\n".join(lines) + "\n"]
    parts += [service for each in added for service in each.services()]
    parts += [_LEFT_OUT.substitute(n=n) for n in left_out]
    if volumes := [f"  {volume}: {{}}\n" for each in added for volume in each.volumes()]:
        parts.append("volumes:\n" + "".join(volumes))
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Added:
    """Services of one kind that the compose file itself does not have."""

    folder: str  # in `keys`, without the number
    template: Template
    numbers: range
    first_port: int  # of the service with number 1
    kinds: Sequence[str]  # of volumes, besides that of the keys

    def key_volumes(self) -> list[str]:
        """Return where `init` mounts the volumes of their keys."""
        return [f"{self._host}-{n}-keys:/fleet/keys/{self.folder}_{n}" for n in self.numbers]

    def services(self) -> list[str]:
        """Return the services."""
        return [self.template.substitute(n=n, port=self.first_port + n - 1) for n in self.numbers]

    def volumes(self) -> list[str]:
        """Return the names of all their volumes."""
        return [f"{self._host}-{n}-{kind}" for n in self.numbers for kind in ("keys", *self.kinds)]

    @property
    def _host(self) -> str:
        return self.folder.replace("_", "-")


def threads_for(operators: int) -> int:
    """Return the thread limit of an aggregator that queries this many operators concurrently."""
    return AGGREGATOR_THREADS + THREADS_PER_OPERATOR * operators


def _variable(option: str) -> str:
    return "DRAGON_INIT_" + option.upper()


def _quoted(value: object) -> str:
    """Quote for YAML, which accepts JSON strings, and for compose, which expands `$`."""
    return json.dumps(str(value), ensure_ascii=False).replace("$", "$$")


def write_override(path: Path, text: str) -> None:
    """Write the override. Raises OverrideExists: the file exists and may hold manual changes."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OverrideExists(f"{path} already exists and is not overwritten.") from None
