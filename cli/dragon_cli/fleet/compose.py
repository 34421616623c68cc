"""`dragon init --compose`: another number of operators in containers.

The compose file at the root has four. What is written here lies over it, so that the file itself
stays as it is: both `docker-compose` and `docker compose` read `docker-compose.override.yml` by
themselves. Containers make the keys, so that none is ever outside the volume of its owner.
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
THREADS: Final = 128  # that the aggregator may have, and so many for each operator beside them
THREADS_EACH: Final = 16
NEEDED: Final = 3  # which its aggregator waits for

# One operator, as the compose file has it; a test holds that the two agree.
_OPERATOR: Final = Template("""\
  operator-$n:
    image: $${IMAGE_PREFIX:-datadragon}/api:$${TAG:-latest}
    init: true
    read_only: true
    tmpfs: ["/tmp:size=16m,mode=1777"]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 256m
    pids_limit: 128
    dns_opt: ["timeout:1", "attempts:1"]
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
    restart: unless-stopped
    stop_grace_period: 6s
    networks: [fleet]
    depends_on: {init: {condition: service_completed_successfully}}
    healthcheck:
      test: [CMD, python, -m, dragon.node.health]
      interval: 3s
      timeout: 3s
      retries: 5
      start_period: 120s
    command: [serve, operator, --id, operator_$n]
    environment: {DRAGON_PORT: "$port", OPERATOR_OBJECTS_MB: "512"}
    ports: ["$${BIND_ADDRESS:-127.0.0.1}:$port:$port"]
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
    """The text of an override for that many operators; `settings` are for `init`, by option."""
    extra = range(INCLUDED + 1, operators + 1)
    left_out = range(operators + 1, INCLUDED + 1)
    lines = [
        f"# {operators} operators; written by `dragon init --compose`.",
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
    """What an aggregator of so many operators may have: it asks each on threads of its own."""
    return THREADS + THREADS_EACH * operators


def _variable(option: str) -> str:
    return "DRAGON_INIT_" + option.upper()


def _quoted(value: object) -> str:
    """As YAML takes it, which knows JSON's strings, with nothing for compose to replace."""
    return json.dumps(str(value), ensure_ascii=False).replace("$", "$$")


def write_override(path: Path, text: str) -> None:
    """Raises OverrideExists: a file is there, and it may hold somebody's own changes."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OverrideExists(f"{path} is there already and is not overwritten") from None
