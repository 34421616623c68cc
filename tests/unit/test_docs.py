"""The pages repeat what the code knows; here they are held together.

The formats of `docs/protocol.md` are held by `test_protocol_examples`, its HTTP part is held here,
against the answers of a fleet in this process.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import pytest
import requests
from flask import Flask

import dragon_aggregator.settings
import dragon_operator.settings
import dragon_zkp.settings
from committees import make_members
from dragon import errors, event, keystore
from dragon.claim import RefusalReason, Status, Suspicion
from dragon.claim import from_json as claim_from_json
from dragon.cli.main import dragon as dragon_command
from dragon.encoding import Json, canonical, to_hex
from dragon.errors import SettingsError
from dragon.web import problem
from dragon_aggregator.app import create_app as create_aggregator
from dragon_operator.app import create_app as create_operator
from world import World

ROOT = Path(__file__).parents[2]
HOMES = ("core", "operator", "aggregator", "sequencer_client", "zkp_api")
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "README.md",
        "operator/README.md",
        "aggregator/README.md",
        "sequencer_client/README.md",
        "zkp_api/README.md",
        "docs/operating.md",
        "docs/proofs.md",
        "docs/protocol.md",
        *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs" / "adr").glob("*.md")),
    )
}
PROTOCOL, ARCHITECTURE = PAGES["docs/protocol.md"], PAGES["ARCHITECTURE.md"]
SOURCES = {
    path: path.read_text(encoding="utf-8") for home in HOMES for path in (ROOT / home).rglob("*.py")
}
CONTAINERS = [(ROOT / name).read_text() for name in ("docker-compose.yml", "build_api.sh")]
TESTS = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py")]
SERVICES = ("operator", "aggregator")
WITH_PROVER = (*SERVICES, "zkp_api")
REASON = "reason of `/readyz`"  # heads a table of each README


def section(page: str, title: str, rank: str = "##") -> str:
    """The text from a heading to the next one of its rank or above."""
    text = page.split(f"\n{rank} {title}\n", 1)[1]
    return re.split(rf"^#{{1,{len(rank)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of every row of the tables whose first column is headed so."""
    found, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells[0].strip("| ") == head:
            inside = True
        elif inside and not line.startswith("|---"):
            found.append([cell.strip("| ") for cell in cells])
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# -- links and names -----------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def links(name: str) -> Iterator[tuple[str, str]]:
    """Relative links of a page, as (path from the root, anchor)."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            resolved = (ROOT / name).parent / path if path else ROOT / name
            yield str(resolved.resolve().relative_to(ROOT)), anchor


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    for path, anchor in links(name):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in anchors(PAGES[path]), f"{path}#{anchor}"


def test_every_page_is_reached_from_the_architecture() -> None:
    reached, waiting = set(), ["ARCHITECTURE.md"]
    while waiting:
        if (name := waiting.pop()) not in reached and name in PAGES:
            reached.add(name)
            waiting += [path for path, _ in links(name)]

    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*") if page.is_file()}
    assert pages <= reached


@functools.cache
def defined_names() -> frozenset[str]:
    """Names that modules of the code and of what the tests share define, as `Class` and as
    `Class.member`, and the classes and constants that they use of others."""
    names: set[str] = {path.name for path in ROOT.iterdir()}
    for text in CONTAINERS:
        names |= set(re.findall(r"[A-Z]+_[A-Z_]+", text))
    for source in [*SOURCES.values(), *TESTS]:
        names |= set(re.findall(r"\b[A-Z]\w*", source))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{member}" for member in members_of(node)}
    return frozenset(names)


def members_of(node: ast.ClassDef) -> Iterator[str]:
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            yield part.name
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id


@pytest.mark.parametrize("name", [name for name in PAGES if name != "README.md"])
def test_every_name_of_our_code_in_a_page_is_in_the_code(name: str) -> None:
    known = defined_names()
    text = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    camel = re.compile(r"(?:[A-Z][a-z]+\w*|[A-Z]+_[A-Z_]+)(?:\.\w+)?")

    named = [word for word in quoted(text) if camel.fullmatch(word) and len(word) > 2]

    assert set(named) - known <= {"CamelCase"}


@pytest.mark.parametrize("name", PAGES)
def test_every_file_and_module_named_in_a_page_exists(name: str) -> None:
    text = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)

    for word in quoted(text):
        if re.fullmatch(r"(?:core|operator|aggregator|sequencer_client|tests)/[\w./]*", word):
            assert (ROOT / word).exists(), word
        if re.fullmatch(r"dragon\w*(?:\.\w+)+", word):
            assert resolve(word) is not None, word


@pytest.mark.parametrize("name", PAGES)
def test_every_command_named_in_a_page_exists(name: str) -> None:
    for line in quoted(re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)):
        found: click.Command = dragon_command
        for word in line.split()[1:] if line.startswith("dragon ") else []:
            if not isinstance(found, click.Group) or not word.isalpha():
                break  # what follows are options and arguments
            assert word in found.commands, line
            found = found.commands[word]


def resolve(dotted: str) -> Any:
    """The module, or the attribute in one, of that name."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(f"there is no {dotted}")


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("docs/adr/")])
def test_a_decision_has_context_options_choice_and_price(name: str) -> None:
    number = int(Path(name).name.partition("-")[0])

    assert PAGES[name].startswith(f"# {number}. ")
    assert re.findall(r"^## (.*)$", PAGES[name], re.MULTILINE) == [
        "Context",
        "Options",
        "Choice",
        "Price",
    ]


# -- the drawing ---------------------------------------------------------------------------------


def drawn(name: str) -> list[list[str]]:
    """The layers of a drawing, from above; what stands three blanks behind them is for people."""
    drawing = ARCHITECTURE.split(f"```text {name}\n", 1)[1].split("```", 1)[0]
    lines = [re.split(r" {3,}", line.strip())[0] for line in drawing.splitlines()]
    return [line.split(" | ") for line in lines if line and line != "│"]


@pytest.mark.parametrize(
    ("drawing", "contract"),
    [
        (
            "imports-between-packages",
            "Services rest on the sequencer client and the core, and never on each other",
        ),
        ("imports-inside-the-core", "Inside the core, imports point down"),
    ],
)
def test_the_drawing_of_imports_is_the_contract(drawing: str, contract: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["name"] == contract)

    assert drawn(drawing) == [layer.split(" | ") for layer in layers]


# -- settings ------------------------------------------------------------------------------------


class Recording(dict[str, str]):
    """An environment that notes what it was asked for, and the default that was offered."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that any service cannot do without."""
    folder, members = tmp_path_factory.mktemp("home"), make_members()
    (folder / "committee.json").write_bytes(canonical(members.committee.to_json()))
    password = "a-password-or-token"
    (folder / "key.json").write_text(keystore.seal(members.secrets["operator_1"], password))
    (folder / "password").write_text(password)
    return {
        "OPERATOR_ID": "operator_1",
        "OPERATOR_KEYSTORE": str(folder / "key.json"),
        "OPERATOR_PASSWORD_FILE": str(folder / "password"),
        "ZKP_TOKEN_FILE": str(folder / "password"),
        "OPERATOR_DATABASE": str(folder / "operator.db"),
        "AGGREGATOR_DATABASE": str(folder / "aggregator.db"),
        "DRAGON_COMMITTEE": str(folder / "committee.json"),
        "SEQUENCER_NODES_FILE": str(folder / "nodes.json"),
    }


READ: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    "operator": dragon_operator.settings.Settings.from_environ,
    "aggregator": dragon_aggregator.settings.Settings.from_environ,
    "zkp_api": dragon_zkp.settings.Settings.from_environ,
}


def settings_of(service: str) -> dict[str, tuple[str, str]]:
    """Default and meaning of each setting in the table of a README."""
    table = rows(PAGES[f"{service}/README.md"], "setting")
    return {quoted(cells[0])[0]: (cells[1], cells[2]) for cells in table}


@pytest.mark.parametrize("service", WITH_PROVER)
def test_the_settings_of_a_readme_are_those_that_are_read(
    service: str, environ: dict[str, str]
) -> None:
    recording = Recording(environ)

    READ[service](recording)

    assert set(settings_of(service)) == recording.asked


@pytest.mark.parametrize("service", WITH_PROVER)
def test_a_setting_without_a_default_cannot_be_left_out(
    service: str, environ: dict[str, str]
) -> None:
    for name, (default, _) in settings_of(service).items():
        left = {key: value for key, value in environ.items() if key != name}
        if default == "–":
            with pytest.raises(SettingsError, match=name):
                READ[service](left)
        else:
            assert READ[service](left) == READ[service]({**left, name: default})


@pytest.mark.parametrize("service", WITH_PROVER)
def test_the_bounds_of_a_setting_are_those_of_the_readme(
    service: str, environ: dict[str, str]
) -> None:
    bounded = {
        name: [int(bound) for bound in found.groups()]
        for name, (_, meaning) in settings_of(service).items()
        if (found := re.match(r"(\d+) to (\d+)", meaning))
    }

    assert len(bounded) >= 2
    for name, (least, most) in bounded.items():
        for allowed in (least, most):
            READ[service]({**environ, name: str(allowed)})
        for beyond in (least - 1, most + 1):
            with pytest.raises(SettingsError, match=f"{least} to {most}"):
                READ[service]({**environ, name: str(beyond)})


# -- bounds, reasons, problems, output -----------------------------------------------------------


@pytest.mark.parametrize("service", WITH_PROVER)
def test_the_bounds_of_a_readme_are_the_constants(service: str) -> None:
    table = rows(PAGES[f"{service}/README.md"], "bound")

    assert len(table) >= 8
    for what, stated, constant in table:
        found = re.fullmatch(r"(\d+)( KiB| s| rounds)?", stated)
        assert found, what
        size = int(found[1]) * (1024 if found[2] == " KiB" else 1)
        assert resolve(quoted(constant)[0]) == size, what


@pytest.mark.parametrize("service", SERVICES)
def test_the_reasons_for_not_being_ready_are_those_of_the_code(service: str) -> None:
    source = SOURCES[ROOT / service / f"dragon_{service}" / "app.py"]
    given = re.findall(r'^        yield f?"(\w+): ', source, re.MULTILINE)

    listed = [quoted(cells[0])[0] for cells in rows(PAGES[f"{service}/README.md"], REASON)]

    assert listed == given


@pytest.mark.parametrize("page", ["operator/README.md", "docs/protocol.md"])
def test_the_reasons_of_refusal_are_the_closed_list(page: str) -> None:
    listed = [reason for cells in rows(PAGES[page], "reason") for reason in quoted(cells[0])]

    assert listed == [str(reason) for reason in RefusalReason]


def classes() -> dict[str, type[errors.DragonError]]:
    """Every error by the slug of its problem document."""
    found = {}
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.DragonError):
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
            found[snake.replace("_", "-")] = value
    return found


def statuses_in(table: list[list[str]]) -> dict[str, list[int]]:
    return {
        slug: [int(status) for status in cells[1].split(", ")]
        for cells in table
        for slug in quoted(cells[0])
    }


@pytest.mark.parametrize(
    ("page", "head"),
    [
        ("docs/protocol.md", "slug"),
        ("operator/README.md", "problem"),
        ("aggregator/README.md", "problem"),
        ("zkp_api/README.md", "problem"),
    ],
)
def test_the_problems_of_a_page_are_errors_with_their_status(page: str, head: str) -> None:
    known = classes()
    listed = statuses_in(rows(PAGES[page], head))
    listed.pop("about:blank", None)

    assert len(listed) >= 15
    for slug, stated in listed.items():
        kind = known[slug]
        assert [problem.status_of(kind.__new__(kind))] == stated, slug


def test_every_problem_of_the_protocol_is_in_a_readme_and_the_other_way_round() -> None:
    listed = {slug for cells in rows(PROTOCOL, "slug") for slug in quoted(cells[0])}
    by_service = {
        slug
        for service in SERVICES
        for cells in rows(PAGES[f"{service}/README.md"], "problem")
        for slug in quoted(cells[0])
    }

    assert by_service - {"about:blank"} == listed


def test_every_line_that_operators_should_watch_for_is_printed() -> None:
    """`logger.warning("name …` and its like; the level is the page's second column."""
    printed = set()
    for source in SOURCES.values():
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                message = call.args[0] if call.args else None
                if isinstance(message, ast.Constant) and isinstance(message.value, str):
                    printed.add((call.func.attr, message.value.split(" ")[0]))
    levels = {"info": ["info"], "warning": ["warning"], "error": ["error", "exception"]}

    for name, level, *_ in rows(PAGES["docs/operating.md"], "name"):
        assert any((method, quoted(name)[0]) in printed for method in levels[level]), name


# -- endpoints -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everybody up and certified so, then one node out, and a ledger that finalizes nothing: the
    outbox holds what was sent, and the last rounds hold gatherings."""
    members = make_members(targets=1)
    with World(tmp_path_factory.mktemp("world"), members) as world:
        world.run(3)
        world.submit("no event", {"kind": "nothing"})
        world.stop("target_1")
        world.network.set_faults(stalled=True)
        world.stop("operator_4")
        world.run(2)
        yield world
        world.network.set_faults(stalled=False)


def app_of(world: World, service: str) -> Flask:
    if service == "operator":
        return create_operator(world.own("operator_1"))
    return create_aggregator(world.own("aggregator_0"))


def routes(app: Flask) -> set[str]:
    """`METHOD /path` of every endpoint, but those that describe or measure the others."""
    found = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule)
        found |= {
            f"{method} {path}" for method in (rule.methods or ()) if method in {"GET", "POST"}
        }
    return {each for each in found if not re.match("GET /(openapi|metrics)", each)}


def endpoints(title: str) -> dict[str, str]:
    """The text on each endpoint beneath a heading of the protocol's HTTP part."""
    found = re.split(r"^#### `(.*)`$", section(PROTOCOL, title, "###"), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


ENDPOINTS: Final = {
    service: {**endpoints("Every operator and aggregator"), **endpoints(title)}
    for service, title in (("operator", "Operators"), ("aggregator", "Aggregators"))
}


def examples(service: str) -> list[tuple[str, str, Json]]:
    """Every `curl` of a README with its answer: `METHOD /path?query`, body, answer."""
    text = section(PAGES[f"{service}/README.md"], "Endpoints")
    pairs = re.findall(r"```sh\n(curl .*)\n```\n```json\n(.*)\n```", text)
    assert len(pairs) == text.count("```") / 4
    found = []
    for command, answer in pairs:
        parts = re.fullmatch(r"curl '?localhost:\d+(/[^\s']*)'?(?: -d '(.*)')?", command)
        assert parts, command
        method = "POST" if parts[2] else "GET"
        found.append((f"{method} {parts[1]}", parts[2] or "", json.loads(answer)))
    return found


def endpoint_of(called: str) -> str:
    path = re.sub(r"/nodes/\w+/", "/nodes/<node_id>/", called.partition("?")[0])
    return re.sub(r"/\d+$", "/<position>", path)


@pytest.mark.parametrize("service", SERVICES)
def test_the_endpoints_of_the_pages_are_those_of_the_app(fleet: World, service: str) -> None:
    exist = routes(app_of(fleet, service))

    assert set(ENDPOINTS[service]) == exist
    assert {endpoint_of(called) for called, _, _ in examples(service)} == exist


@pytest.mark.parametrize("service", SERVICES)
def test_the_changelog_lists_every_endpoint(fleet: World, service: str) -> None:
    line = next(
        line
        for line in PAGES["CHANGELOG.md"].splitlines()
        if line.startswith(f"- **{service.title()}**")
    )

    assert {word for word in quoted(line) if "/" in word} == routes(app_of(fleet, service))


# -- bodies --------------------------------------------------------------------------------------

Types = dict[str, str]
Seen = set[str]


def table(service: str, endpoint: str, head: str) -> Types:
    """Path → type, of one of an endpoint's tables."""
    return {quoted(c[0])[0]: c[1] for c in rows(ENDPOINTS[service][endpoint], head)}


def is_bytes(value: object, size: str, *, shortened: bool) -> bool:
    if not isinstance(value, str):
        return False
    if shortened and value.endswith("…"):
        return True
    bounds = [int(number) for number in re.findall(r"\d+", size)]
    found = re.fullmatch(r"0x((?:[0-9a-f]{2})*)", value)
    return found is not None and bounds[0] <= len(found[1]) // 2 <= bounds[-1]


def is_event(value: object, *, shortened: bool) -> bool:
    if shortened:
        return isinstance(value, dict) and len(value) == 8
    return event.decode(value) is not None  # type: ignore[arg-type]


def fits(value: object, type_: str, *, shortened: bool = False) -> bool:
    """Whether a value is of one of the types in a cell, such as `integer or null`."""
    for each in re.split(r", | or ", type_):
        plain = {
            "null": value is None,
            "boolean": isinstance(value, bool),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "text": isinstance(value, str),
            "id": isinstance(value, str) and re.fullmatch("[a-z0-9_-]{1,32}", value) is not None,
            "list": isinstance(value, list),
            "object": isinstance(value, dict),
        }
        if each.startswith("`"):
            fit = value == each.strip("`")
        elif each == "event":
            fit = is_event(value, shortened=shortened)
        elif each == "claim":
            fit = claim_from_json(value) is not None  # type: ignore[arg-type]
        elif each.endswith("bytes"):
            fit = is_bytes(value, each, shortened=shortened)
        else:
            fit = plain[each]
        if fit:
            return True
    return False


def compare(value: object, types: Types, path: str, seen: Seen, *, shortened: bool = False) -> None:
    """Hold a value against a table: exactly these members, each of its type."""
    if path:
        assert fits(value, types[path], shortened=shortened), f"{path}: {value}"
        seen.add(path)
    members = {
        name
        for name in types
        if re.fullmatch(rf"{re.escape(path)}{'[.]' if path else ''}\w+", name)
    }
    if isinstance(value, dict) and types.get(path) not in {"event", "claim"}:
        prefix = f"{path}." if path else ""
        assert {f"{prefix}{name}" for name in value} == members, path
        for name, inner in value.items():
            compare(inner, types, f"{prefix}{name}", seen, shortened=shortened)
    for inner in value if isinstance(value, list) else []:
        item = {**types, f"{path}[]": types.get(f"{path}[]", "object")}
        compare(inner, item, f"{path}[]", seen, shortened=shortened)


def real_answers(world: World) -> Iterator[tuple[str, str, requests.Response]]:
    """Service, endpoint and answer, all kinds of them."""
    asked = {
        "operator": [
            ("operator_1", path)
            for path in (
                "/healthz",
                "/readyz",
                "/status",
                "/status?nonce=0x" + "ab" * 32,
                "/nodes",
                "/nodes?limit=2",
                "/nodes/operator_2/downtime?from=1&to=99",
                "/refused",
                "/refused?limit=1",
                "/events",
                "/events?limit=2",
                "/logs",
                "/logs?limit=2",
                "/checkpoint",
                "/events/1",
                "/events/0?size=1",
            )
        ],
        "aggregator": [
            ("aggregator_0", path)
            for path in (
                "/healthz",
                "/readyz",
                "/rounds?limit=120",
                "/outbox",
                "/checkpoint",
                "/refused",
            )
        ],
    }
    for service, calls in asked.items():
        for name, path in calls:
            yield service, f"GET {endpoint_of(path)}", world.get(name, path)
    now = world.committee.rounds.start(world.committee.rounds.number(world.clock.now))
    claim: Json = {"kind": "status", "node_id": "operator_4", "status": "down", "timestamp": now}
    yield "operator", "POST /attestations", world.post("operator_2", "/attestations", claim)
    report: Json = {"node_id": "operator_4", "status": "down"}
    yield "operator", "POST /reports", world.post("operator_2", "/reports", report)
    suspicion = suspicion_of(world, "operator_1", now)
    yield "aggregator", "POST /suspicions", world.post("aggregator_0", "/suspicions", suspicion)
    world.restart("operator_3")  # has not read the ledger yet
    yield "operator", "GET /readyz", world.get("operator_3", "/readyz")
    world.settle()
    world.clock.sleep(world.committee.rounds.settled_after)
    world.submit(7)  # one more segment, by which the past is settled
    period: Json = {"node_id": "operator_4", "from": 1, "to": 99}
    yield (
        "aggregator",
        "POST /downtime-certificates",
        world.post("aggregator_0", "/downtime-certificates", period),
    )


def suspicion_of(
    world: World, operator: str, timestamp: int, status: Status = Status.DOWN
) -> dict[str, Json]:
    suspicion = Suspicion("operator_4", status, timestamp, operator)
    signature = world.members.secrets[operator].sign(suspicion.root(world.committee.id))
    return {**suspicion.members(), "signature": to_hex(signature)}


def test_the_answers_have_the_members_and_types_of_the_page(fleet: World) -> None:
    seen: dict[tuple[str, str], Seen] = {}
    for service, endpoint, answer in real_answers(fleet):
        head = "answer 202" if "answer 202" in ENDPOINTS[service][endpoint] else "answer 200"
        code = 503 if answer.status_code == 503 and endpoint == "GET /readyz" else int(head[-3:])
        types = table(service, endpoint, head)

        assert answer.status_code == code, (endpoint, answer.text)
        assert answer.headers["Content-Type"] == "application/json"
        compare(answer.json(), types, "", seen.setdefault((service, endpoint), set()))

    assert set(seen) == {(service, each) for service in SERVICES for each in ENDPOINTS[service]}
    for (service, endpoint), paths in seen.items():
        head = "answer 202" if "answer 202" in ENDPOINTS[service][endpoint] else "answer 200"
        expected = set(table(service, endpoint, head))
        if (service, endpoint) == ("aggregator", "GET /readyz"):
            expected.discard("reasons[]")  # it is ready here
        assert paths == expected | {p for p in paths if p.endswith("[]")}, endpoint


@pytest.mark.parametrize("service", SERVICES)
def test_the_answers_of_a_readme_have_the_members_of_the_protocol(service: str) -> None:
    for called, _, answer in examples(service):
        endpoint = endpoint_of(called)
        text = ENDPOINTS[service][endpoint]
        head = "answer 202" if "answer 202" in text else "answer 200"
        compare(answer, table(service, endpoint, head), "", set(), shortened=True)


@pytest.mark.parametrize("service", SERVICES)
def test_the_bodies_of_a_readme_are_those_of_the_protocol(service: str) -> None:
    for called, body, _ in examples(service):
        if body:
            types = table(service, endpoint_of(called), "body")
            compare(json.loads(body), types, "", set(), shortened=True)


BODIES = [
    (service, endpoint)
    for service in SERVICES
    for endpoint in ENDPOINTS[service]
    if endpoint.startswith("POST ")
]


@pytest.mark.parametrize(("service", "endpoint"), BODIES)
def test_a_body_has_exactly_the_members_of_the_page(
    fleet: World, service: str, endpoint: str
) -> None:
    whole: dict[str, Json] = {"node_id": "operator_4", "status": "down", "timestamp": 0}
    whole |= {"kind": "status", "operator": "operator_1", "signature": to_hex(bytes(96))}
    whole |= {"from": 1, "to": 2}
    types = table(service, endpoint, "body")
    body = {name: whole[name] for name in types}
    name, path = f"{service}_{int(service == 'operator')}", endpoint.partition(" ")[2]
    compare(body, types, "", set())

    assert fleet.post(name, path, body).status_code != 400
    more = fleet.post(name, path, {**body, "more": 1})
    assert (more.status_code, more.json()["title"]) == (400, "unknown_member")
    for member in body:
        less = fleet.post(name, path, {key: body[key] for key in body if key != member})
        assert (less.status_code, less.json()["title"]) == (400, "missing_member")
        assert less.json()["member"] == member


QUERIES = [
    (service, endpoint)
    for service in SERVICES
    for endpoint in ENDPOINTS[service]
    if endpoint.startswith("GET ") and endpoint not in {"GET /healthz", "GET /readyz"}
]


@pytest.mark.parametrize(("service", "endpoint"), QUERIES)
def test_a_query_has_exactly_the_parameters_of_the_page(
    fleet: World, service: str, endpoint: str
) -> None:
    types = table(service, endpoint, "query")
    name = f"{service}_{int(service == 'operator')}"
    path = endpoint.partition(" ")[2].replace("<position>", "0").replace("<node_id>", "operator_2")
    values = {"integer": "1", "id": "operator_2", "16 to 32 bytes": "0x" + "00" * 16}

    query = "&".join(
        f"{key}={9 if key == 'to' else values[type_.removesuffix(', optional')]}"
        for key, type_ in types.items()
    )
    assert fleet.get(name, f"{path}?{query}").status_code == 200
    more = fleet.get(name, f"{path}?more=1")
    assert (more.status_code, more.json()["title"]) == (400, "unknown_member")
    for key in types:
        answer = fleet.get(name, f"{path}?{key}=**")
        assert answer.status_code == 400
        assert answer.json()["title"] in {"not_an_integer", "invalid_id", "invalid_hex"}


@pytest.mark.parametrize(
    ("service", "endpoint"),
    [
        (service, endpoint)
        for service in SERVICES
        for endpoint in ENDPOINTS[service]
        if "`limit`" in ENDPOINTS[service][endpoint]
    ],
)
def test_a_limit_has_the_bounds_of_the_page(fleet: World, service: str, endpoint: str) -> None:
    cells = next(r for r in rows(ENDPOINTS[service][endpoint], "query") if r[0] == "`limit`")
    least, most = (int(number) for number in re.findall(r"\d+", cells[2])[:2])
    name, path = f"{service}_{int(service == 'operator')}", endpoint.partition(" ")[2]

    codes = [
        fleet.get(name, f"{path}?limit={limit}").status_code
        for limit in (least - 1, least, most, most + 1)
    ]

    assert codes == [400, 200, 200, 400]


# -- problems ------------------------------------------------------------------------------------


def spoilt(world: World) -> Iterator[tuple[str, requests.Response]]:
    """A slug, and an answer that should be that problem."""
    now = world.committee.rounds.start(world.committee.rounds.number(world.clock.now))
    good = suspicion_of(world, "operator_1", now)

    def reported(raw: str) -> requests.Response:
        answer: requests.Response = world.post("operator_1", "/reports", raw=raw.encode())
        return answer

    def suspected(**members: Json) -> requests.Response:
        answer: requests.Response = world.post("aggregator_0", "/suspicions", {**good, **members})
        return answer

    yield "not-json", reported("{")
    yield "duplicate-member", reported('{"status":"up","status":"up"}')
    yield "lone-surrogate", reported(r'{"node_id":"\ud800","status":"up"}')
    yield "wrong-type", reported("[]")
    yield "unknown-member", reported('{"node_id":"operator_2","status":"up","more":1}')
    yield "missing-member", reported("{}")
    yield "invalid-id", reported('{"node_id":"A","status":"up"}')
    yield "unknown-value", reported('{"node_id":"operator_2","status":"asleep"}')
    yield "unknown-node", reported('{"node_id":"nobody","status":"up"}')
    yield "attestation-refused", reported('{"node_id":"operator_1","status":"down"}')
    yield "not-an-integer", world.get("operator_1", "/logs?limit=1.5")
    yield "integer-out-of-range", world.get("operator_1", "/logs?limit=-1")
    yield "invalid-hex", world.get("operator_1", "/status?nonce=0x00")
    yield "not-found", world.get("operator_1", "/events/99")
    yield "unknown-signer", suspected(operator="nobody")
    yield "off-round", suspected(timestamp=now + 1)
    yield "bad-signature", suspected(operator="operator_2")


def hold_problem(answer: requests.Response, slug: str, status: int) -> None:
    stated = answer.json()
    types = {quoted(cells[0])[0]: cells[1] for cells in rows(PROTOCOL, "problem")}

    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (stated["type"], stated["status"]) == (slug, status)
    assert stated["status"] == answer.status_code
    compare({name: stated[name] for name in types}, types, "", set())


def test_a_problem_has_the_form_type_and_status_of_the_page(fleet: World) -> None:
    listed = statuses_in(rows(PROTOCOL, "slug"))
    for slug, answer in spoilt(fleet):
        hold_problem(answer, f"urn:datadragon:problem:{slug}", listed.pop(slug)[0])

    # These take a service in trouble, or a time that is settled.
    trouble = {"busy", "unreachable", "log-stopped", "not-settled", "not-certified"}
    assert set(listed) == trouble


def test_a_report_that_no_aggregator_takes_is_unreachable(fleet: World) -> None:
    fleet.stop("aggregator_0")
    answer = fleet.post("operator_3", "/reports", {"node_id": "operator_4", "status": "down"})
    fleet.resume("aggregator_0")

    hold_problem(answer, "urn:datadragon:problem:unreachable", 502)
    assert answer.json()["reason"] == "aggregators"


@contextmanager
def all_taken(slots: threading.Semaphore) -> Iterator[None]:
    taken = 0
    while slots.acquire(blocking=False):
        taken += 1
    yield
    slots.release(taken)


def test_too_many_suspicions_or_reports_are_busy(fleet: World) -> None:
    now = fleet.committee.rounds.start(fleet.committee.rounds.number(fleet.clock.now))
    news = suspicion_of(fleet, "operator_2", now, Status.UP)  # the outbox says down
    report: Json = {"node_id": "operator_4", "status": "down"}
    with all_taken(fleet.own("aggregator_0").watch._suspecting):
        suspected = fleet.post("aggregator_0", "/suspicions", news)
    with all_taken(fleet.own("operator_1").reporter._slots):
        reported = fleet.post("operator_1", "/reports", report)

    for answer in (suspected, reported):
        hold_problem(answer, "urn:datadragon:problem:busy", 429)
        assert answer.headers["Retry-After"] == "1"


def test_the_problems_of_http_itself_are_about_blank(fleet: World) -> None:
    answers = [
        fleet.get("operator_1", "/nowhere"),
        fleet.post("operator_1", "/status", {}),
        fleet.post("operator_1", "/reports", raw=b" " * (16 * 1024 + 1)),
    ]

    for answer, status in zip(answers, (404, 405, 413), strict=True):
        hold_problem(answer, "about:blank", status)


def test_a_claim_in_a_wrong_form_is_malformed_beside_its_own_name(fleet: World) -> None:
    answer = fleet.post("operator_1", "/attestations", {"kind": "status"})

    hold_problem(answer, "urn:datadragon:problem:missing-member", 400)
    assert answer.json()["reason"] == str(RefusalReason.MALFORMED)
