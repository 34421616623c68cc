"""The file `alerts.toml`: rules that say what to tell, and routes that say where.

Every mistake is one sentence that begins with the key. No sentence quotes a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from dragon.errors import SettingsError
from dragon_explorer.alerts.conditions import FACTS, HELD_BACK, OF_NODES, Condition
from dragon_explorer.alerts.reading import Mistakes, Table
from dragon_explorer.alerts.routes import Route, read_route, url_fault
from dragon_explorer.toml_files import UnusableToml, read_toml

SETTING: Final = "EXPLORER_ALERTS_FILE"
MAX_ROUTES: Final = 16
MAX_RULES: Final = 64
MAX_PATTERNS: Final = 256  # of nodes in one rule
REMIND_SECONDS: Final = 3600  # until the first reminder, unless a rule says otherwise
MIN_REMIND_SECONDS: Final = 60
MAX_REMIND_SECONDS: Final = 7 * 86_400
MAX_AFTER_SECONDS: Final = 86_400
_FILE_KEYS: Final = ("explorer_url", "routes", "rules")
HOLD: Final = "hold_during_maintenance"
_RULE_KEYS: Final = ("name", "on", "nodes", "routes", "after", "remind", "resolved", HOLD)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which incidents are told to which routes."""

    name: str
    on: frozenset[Condition]
    routes: tuple[str, ...]
    nodes: tuple[str, ...] = ("*",)  # patterns of ids
    after_seconds: int | None = None  # how long a live condition must last; None: its default
    remind_seconds: int | None = REMIND_SECONDS  # until the first reminder; None: no reminders
    resolved: bool = True  # whether the end of an incident is told
    hold_during_maintenance: bool = False  # whether incidents in announced maintenance must wait

    @property
    def conditions(self) -> frozenset[Condition]:
        """The conditions, with flapping where the rule is about nodes that are down."""
        more = {Condition.FLAPPING} if Condition.NODE_DOWN in self.on else set()
        return self.on | more

    def after(self, condition: Condition) -> int:
        """How long a condition must last before it is told, in seconds."""
        default = FACTS[condition].after_seconds
        if default is None:
            return 0
        return default if self.after_seconds is None else self.after_seconds

    def selects(self, node_id: str) -> bool:
        """Whether the rule is about this node."""
        return any(fnmatchcase(node_id, pattern) for pattern in self.nodes)


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """The content of the file."""

    rules: tuple[Rule, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    explorer_url: str = ""  # beginning of links in messages; without a slash at its end

    @classmethod
    def load(cls, path: Path, nodes: Collection[str] | None) -> AlertsConfig:
        """Read the file. Raises SettingsError: `facts["mistakes"]` lists everything wrong."""
        config, mistakes = read(path, nodes)
        if mistakes:
            count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
            message = f"the alerts file {path} has {count}: {'; '.join(mistakes)}"
            raise SettingsError(message, setting=SETTING, mistakes=list(mistakes))
        return config


def read(path: Path, nodes: Collection[str] | None) -> tuple[AlertsConfig, list[str]]:
    """Read the file, and return it with all mistakes, each a sentence.

    Args: `nodes`, ids of the nodes that rules may name; without it patterns are not compared.
    """
    mistakes = Mistakes()
    top = Table("", _parse(path, mistakes), mistakes)
    if mistakes.found:
        return AlertsConfig(), mistakes.found
    top.only(_FILE_KEYS)
    url = top.text("explorer_url").rstrip("/")
    _check_url(url, mistakes)
    named = top.tables_by_name("routes", MAX_ROUTES)
    routes = {name: read_route(name, table, path.parent) for name, table in named.items()}
    rules = [_rule(table, set(named), nodes) for table in top.tables("rules", MAX_RULES)]
    _check_together(rules, named, mistakes)
    known = {name: route for name, route in routes.items() if route is not None}
    return AlertsConfig(tuple(rules), known, url), mistakes.found


def _parse(path: Path, mistakes: Mistakes) -> dict[str, Any]:
    try:
        return read_toml(path)
    except UnusableToml as error:
        mistakes.add(str(path), str(error))
        return {}


def _check_url(url: str, mistakes: Mistakes) -> None:
    """Note what is wrong with the beginning of links, which appears in every message."""
    if not url:
        return
    if not url.startswith(("http://", "https://")):
        mistakes.add("explorer_url", "must begin with http:// or https://")
    elif (fault := url_fault(url)) is not None:
        mistakes.add("explorer_url", fault)


def _rule(table: Table, routes: set[str], nodes: Collection[str] | None) -> Rule:
    table.only(_RULE_KEYS)
    words = table.texts("on", required=True)
    conditions = frozenset(Condition(word) for word in words if word in list(Condition))
    for word in words:
        if word not in list(Condition):
            table.wrong("on", f"has {word!a}; expected one of {', '.join(Condition)}")
    chosen = table.texts("routes", required=True)
    for name in chosen:
        if name not in routes:
            listed = ", ".join(sorted(routes)) or "no route"
            table.wrong("routes", f"has {name!a}; the file describes {listed}")
    if len(conditions) == len(set(words)):  # else the mistake is in `on`
        _check_uses(table, conditions)
    return Rule(
        name=table.name("name"),
        on=conditions,
        routes=tuple(dict.fromkeys(chosen)),
        nodes=_patterns(table, nodes) or ("*",),
        after_seconds=table.seconds("after", most=MAX_AFTER_SECONDS),
        remind_seconds=_remind(table),
        resolved=table.boolean("resolved", default=True),
        hold_during_maintenance=table.boolean(HOLD, default=False),
    )


def _check_uses(table: Table, conditions: frozenset[Condition]) -> None:
    """Note keys that have no effect on any condition of the rule."""
    for key, effect, of in (
        ("nodes", "selects nothing", OF_NODES),
        (HOLD, "holds nothing back", HELD_BACK),
    ):
        if key in table.values and not conditions & set(of):
            table.wrong(key, f"{effect}: none of {', '.join(of)} is in `on`")


def _remind(table: Table) -> int | None:
    if table.values.get("remind") is False:
        return None
    seconds = table.seconds("remind", least=MIN_REMIND_SECONDS, most=MAX_REMIND_SECONDS)
    return REMIND_SECONDS if seconds is None else seconds


def _patterns(table: Table, nodes: Collection[str] | None) -> tuple[str, ...]:
    patterns = table.texts("nodes")
    if len(patterns) > MAX_PATTERNS:
        table.wrong("nodes", f"must not have more than {MAX_PATTERNS} patterns")
    for pattern in patterns if nodes is not None else ():
        if not any(fnmatchcase(node_id, pattern) for node_id in nodes or ()):
            table.wrong("nodes", f"has {pattern!a}, which matches no node of the committee")
    return patterns[:MAX_PATTERNS]


def _check_together(rules: list[Rule], routes: Mapping[str, Table], mistakes: Mistakes) -> None:
    if not rules and not mistakes.found:
        mistakes.add("rules", "is missing; without a [[rules]] table nothing is sent")
        return
    names = [rule.name for rule in rules if rule.name]
    for name in sorted({name for name in names if names.count(name) > 1}):
        mistakes.add("rules", f"has two rules with the name {name!a}; names must differ")
    used = {route for rule in rules for route in rule.routes}
    for route in sorted(routes.keys() - used):
        mistakes.add(f"routes.{route}", "is used by no rule; add it to `routes` of a rule")
