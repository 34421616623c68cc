"""The compose override that `dragon init --compose` writes, for other numbers of operators.

The compose file of the project has four operators. Both `docker-compose` and `docker compose` read
`docker-compose.override.yml` automatically and apply it on top. The containers create the keys, so
that no key ever leaves its volume.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from dragon_cli.errors import OverrideExists

OVERRIDE: Final = "docker-compose.override.yml"
INCLUDED: Final = 4  # operators in the compose file itself
AGGREGATOR_THREADS: Final = 192  # limit of the aggregator's container, without its operators
THREADS_PER_OPERATOR: Final = 48

# One operator, as in the compose file; a test checks that the two agree.
_OPERATOR: Final = Template("""\
  operator-$n:
    image: $${IMAGE_PREFIX:-datadragon}/api:$${TAG:-latest}
    init: true
    read_only: true
    tmpfs: ["/tmp:size=16m,mode=1777"]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 256m
    memswap_limit: 256m
    cpu_quota: 100000
    pids_limit: 256
    dns_opt: ["timeout:1", "attempts:1"]
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
    restart: unless-stopped
    stop_grace_period: 6s
    networks: [fleet]
    depends_on: {init: {condition: service_completed_successfully}}
    healthcheck:
      test: [CMD, python, -m, dragon.node.health]
      interval: 30s
      timeout: 5s
      retries: 3
      start_period: 120s
    command: [serve, operator, --id, operator_$n]
    environment: {DRAGON_PORT: "$port", OPERATOR_OBJECTS_MB: "512"}
    ports: ["$${BIND_ADDRESS:-127.0.0.1}:$${OPERATOR_${n}_PORT:-$port}:$port"]
    volumes:
      - fleet:/fleet:ro
      - operator-$n-keys:/fleet/keys/operator_$n:ro
      - operator-$n-data:/fleet/data/operator_$n
""")
_LEFT_OUT: Final = Template("""\
  operator-$n:
    profiles: [left-out]
""")


def override(operators: int, settings: Mapping[str, object], first_port: int = 5001) -> str:
    """Return the text of the override.

    Args:
        operators: the number of operators.
        settings: options of `dragon init` with their values, for the container that runs it.
        first_port: the port of the first operator; the others follow.
    """
    extra = range(INCLUDED + 1, operators + 1)
    left_out = range(operators + 1, INCLUDED + 1)
    lines = [
        f"# {operators} operators. Written by `dragon init --compose`.",
        "services:",
        "  init:",
        "    environment:",
        *(f"      {_variable(name)}: {_quoted(value)}" for name, value in settings.items()),
        *(["    volumes:"] if extra else []),
        *(f"      - operator-{n}-keys:/fleet/keys/operator_{n}" for n in extra),
    ]
    if operators > INCLUDED:
        lines += ["  aggregator:", f"    pids_limit: {threads_for(operators)}"]
    parts = ["\n".join(lines) + "\n"]
    parts += [_OPERATOR.substitute(n=n, port=first_port + n - 1) for n in extra]
    parts += [_LEFT_OUT.substitute(n=n) for n in left_out]
    if extra:
        named = [f"  operator-{n}-{kind}: {{}}\n" for n in extra for kind in ("keys", "data")]
        parts.append("volumes:\n" + "".join(named))
    return "".join(parts)


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
