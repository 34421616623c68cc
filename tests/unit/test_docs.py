"""The pages repeat what the code knows; here they are held together.

The formats of `docs/protocol.md` are held by `test_protocol_examples`, its HTTP part is held here,
against the answers of a fleet in this process.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import json
import re
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, get_args

import click
import pytest
import requests
from flask import Flask

import dragon_aggregator.settings
import dragon_operator.settings
import dragon_stream.settings
import dragon_zkp.settings
from committees import GENESIS, make_members
from dragon import errors, event, keystore
from dragon.claim import RefusalReason, Status, Suspicion
from dragon.claim import from_json as claim_from_json
from dragon.cli.main import with_all
from dragon.encoding import Json, canonical, to_hex
from dragon.errors import AttestationRefused, SettingsError
from dragon.log.repository import Alarm
from dragon.stream.chunks import encode_chunks
from dragon.stream.judgement import Judgement
from dragon.stream.submission import Submission, WindowObjects
from dragon.stream_claim import EndorsementClaim, Fault, Verdict, WindowClaim
from dragon.web import forms, problem
from dragon_aggregator.app import create_app as create_aggregator
from dragon_operator.admission import BURST, Admission
from dragon_operator.app import create_app as create_operator
from dragon_operator.verdicts import Found
from dragon_operator.voting import MOST_FOUND
from streams import Owner, Window, make_owner
from world import World

ROOT = Path(__file__).parents[2]
HOMES = ("core", "operator", "aggregator", "sequencer_client", "stream_api", "zkp_api")
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "README.md",
        "operator/README.md",
        "aggregator/README.md",
        "sequencer_client/README.md",
        "stream_api/README.md",
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
ALL_SERVICES = (*SERVICES, "zkp_api", "stream_api")
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
        found: click.Command = with_all()
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
        "STREAM_KEYSTORE": str(folder / "key.json"),
        "STREAM_PASSWORD_FILE": str(folder / "password"),
        "STREAM_TOKEN_FILE": str(folder / "password"),
        "STREAM_PROVER_TOKEN_FILE": str(folder / "password"),
        "STREAM_DATABASE": str(folder / "stream.db"),
        "STREAM_DATA": str(folder / "data"),
        "OPERATOR_DATABASE": str(folder / "operator.db"),
        "AGGREGATOR_DATABASE": str(folder / "aggregator.db"),
        "DRAGON_COMMITTEE": str(folder / "committee.json"),
        "SEQUENCER_NODES_FILE": str(folder / "nodes.json"),
    }


READ: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    "operator": dragon_operator.settings.Settings.from_environ,
    "aggregator": dragon_aggregator.settings.Settings.from_environ,
    "zkp_api": dragon_zkp.settings.Settings.from_environ,
    "stream_api": dragon_stream.settings.Settings.from_environ,
}


def settings_of(service: str) -> dict[str, tuple[str, str]]:
    """Default and meaning of each setting in the table of a README."""
    table = rows(PAGES[f"{service}/README.md"], "setting")
    return {quoted(cells[0])[0]: (cells[1], cells[2]) for cells in table}


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_the_settings_of_a_readme_are_those_that_are_read(
    service: str, environ: dict[str, str]
) -> None:
    recording = Recording(environ)

    READ[service](recording)

    assert set(settings_of(service)) == recording.asked


@pytest.mark.parametrize("service", ALL_SERVICES)
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


@pytest.mark.parametrize("service", ALL_SERVICES)
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


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_the_bounds_of_a_readme_are_the_constants(service: str) -> None:
    table = rows(PAGES[f"{service}/README.md"], "bound")

    assert len(table) >= 8
    for what, stated, constant in table:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)( KiB| s| rounds)?", stated)
        assert found, what
        size = float(found[1]) * (1024 if found[2] == " KiB" else 1)
        assert resolve(quoted(constant)[0]) == size, what


@pytest.mark.parametrize("service", [*SERVICES, "stream_api"])
def test_the_reasons_for_not_being_ready_are_those_of_the_code(service: str) -> None:
    package = f"dragon_{service.removesuffix('_api')}"
    source = SOURCES[ROOT / service / package / "app.py"]
    given = re.findall(r'^ {8,12}yield f?"(\w+): ', source, re.MULTILINE)

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
        ("stream_api/README.md", "problem"),
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


@functools.cache
def windows_of(owner: Owner, length: int) -> tuple[Window, ...]:
    """The first windows of a stream that began with its committee."""
    windows: list[Window] = []
    for _ in range(length):
        last = windows[-1] if windows else None
        windows.append(owner.window([b"21.5", b"21.7"], last, began_ms=1000 * GENESIS))
    return tuple(windows)


@functools.cache
def submission_of(owner: Owner, number: int) -> tuple[Submission, tuple[bytes, bytes]]:
    """A window as its owner hands it in, and its objects."""
    window = windows_of(owner, number + 1)[number]
    proof = owner.prove(window)
    return owner.submission(window, proof), (encode_chunks(window.chunks), proof)


WAITING: Final = 3  # the number of the window of which an object is missing


def put(world: World, body: bytes, sha256: bytes = b"") -> requests.Response:
    address = f"http://aggregator-0:5100/objects/{to_hex(sha256 or hashlib.sha256(body).digest())}"
    return world.session("anybody").put(address, data=body)


def hand_in(world: World, number: int) -> None:
    submission, objects = submission_of(make_owner(world.members), number)
    world.post("aggregator_0", "/windows", submission.to_json())
    for body in objects:
        assert put(world, body).status_code == 201


def endorsement_of(world: World, **changed: Any) -> dict[str, Json]:
    """What the expert has said in the fleet, or what is changed in it."""
    stream = make_owner(world.members).descriptor.id
    said: dict[str, Any] = {"first": 0, "last": 1, "verdict": Verdict.VALID, "note": bytes(32)}
    said |= {"expert": "expert_1", "timestamp": GENESIS + 14}
    return world.members.endorse(EndorsementClaim(stream, **{**said, **changed})).to_json()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everybody up and certified so, and a stream with two windows that an expert has endorsed.
    Then one node out, and a ledger that finalizes nothing: the outbox holds what was sent, the last
    rounds hold gatherings, and of the stream's next windows one is certified and one incomplete."""
    members = make_members(targets=1, experts=1)
    with World(tmp_path_factory.mktemp("world"), members) as world:
        world.run(3)
        for number in range(2):
            hand_in(world, number)
        world.settle()
        world.post("aggregator_0", "/endorsements", endorsement_of(world))
        world.settle()
        world.submit("no event", {"kind": "nothing"})
        world.stop("target_1")
        world.network.set_faults(stalled=True)
        hand_in(world, 2)
        submission, _ = submission_of(make_owner(members), WAITING)
        world.post("aggregator_0", "/windows", submission.to_json())
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
            f"{method} {path}"
            for method in (rule.methods or ())
            if method in {"GET", "POST", "PUT"}
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
        parts = re.fullmatch(
            r"curl(?P<file> -T [\w.]+)? '?localhost:\d+(?P<path>/[^\s']*)'?(?: -d '(?P<body>.*)')?",
            command,
        )
        assert parts, command
        method = "PUT" if parts["file"] else "POST" if parts["body"] else "GET"
        found.append((f"{method} {parts['path']}", parts["body"] or "", json.loads(answer)))
    return found


IN_PATHS: Final = (
    (r"/nodes/\w+/", "/nodes/<node_id>/"),
    (r"/events/\d+$", "/events/<position>"),
    (r"/streams/0x\w+", "/streams/<stream>"),
    (r"/windows/\d+$", "/windows/<number>"),
    (r"/objects/0x\w+$", "/objects/<sha256>"),
)


def endpoint_of(called: str) -> str:
    path = called.partition("?")[0]
    for pattern, name in IN_PATHS:
        path = re.sub(pattern, name, path)
    return path


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


CERTIFICATES: Final = {"status": forms.StatusCertificate, "window": forms.WindowCertificate}


def is_event(value: object, *, shortened: bool) -> bool:
    if shortened:
        return isinstance(value, dict) and set(value) == set(
            CERTIFICATES[value["kind"]].model_fields
        )
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


def answer_head(service: str, endpoint: str) -> str:
    """What heads the table of an endpoint's answer; empty where the answer is bytes."""
    text = ENDPOINTS[service][endpoint]
    heads = re.findall(r"^\| (answer \d+) \|", text, re.MULTILINE)
    if "`application/octet-stream`" in text:
        assert not heads
        return ""
    assert len(heads) == 1, endpoint
    return str(heads[0])


def real_answers(world: World) -> Iterator[tuple[str, str, requests.Response]]:
    """Service, endpoint and answer, all kinds of them."""
    owner = make_owner(world.members)
    stream = to_hex(owner.descriptor.id)
    certified, _ = submission_of(owner, 2)
    waiting, (chunks, _) = submission_of(owner, WAITING)
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
                "/streams",
                "/streams?limit=1",
                f"/streams/{stream}",
                f"/streams/{stream}/windows/1",
                f"/objects/{to_hex(certified.header.hash)}",
                f"/objects/{stream}",
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
                "/windows",
                "/windows?limit=1",
                f"/objects/{to_hex(certified.header.hash)}",
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
    for name in ("operator_1", "aggregator_0"):
        service = name.partition("_")[0]
        for submission in (certified, announced(waiting), waiting):
            if (service, submission) != ("operator", waiting):  # it would be `behind`
                answer = world.post(name, "/windows", submission.to_json())
                yield service, "POST /windows", answer
    yield "aggregator", "PUT /objects/<sha256>", put(world, chunks)
    said = endorsement_of(world, timestamp=int(world.clock.now))
    yield "aggregator", "POST /endorsements", world.post("aggregator_0", "/endorsements", said)
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


def announced(submission: Submission) -> Submission:
    return Submission(submission.descriptor, submission.header, submission.header_signature)


def suspicion_of(
    world: World, operator: str, timestamp: int, status: Status = Status.DOWN
) -> dict[str, Json]:
    suspicion = Suspicion("operator_4", status, timestamp, operator)
    signature = world.members.secrets[operator].sign(suspicion.root(world.committee.id))
    return {**suspicion.members(), "signature": to_hex(signature)}


def test_the_answers_have_the_members_and_types_of_the_page(fleet: World) -> None:
    seen: dict[tuple[str, str], Seen] = {}
    for service, endpoint, answer in real_answers(fleet):
        head, paths = answer_head(service, endpoint), seen.setdefault((service, endpoint), set())
        if not head:
            asked = str(answer.url).rpartition("/")[2]
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert to_hex(hashlib.sha256(answer.content).digest()) == asked
            continue
        code = 503 if answer.status_code == 503 and endpoint == "GET /readyz" else int(head[-3:])
        types = table(service, endpoint, head)

        assert answer.status_code == code, (endpoint, answer.text)
        assert answer.headers["Content-Type"] == "application/json"
        compare(answer.json(), types, "", paths)

    assert set(seen) == {(service, each) for service in SERVICES for each in ENDPOINTS[service]}
    for (service, endpoint), paths in seen.items():
        expected = set(table(service, endpoint, answer_head(service, endpoint)))
        if (service, endpoint) == ("aggregator", "GET /readyz"):
            expected.discard("reasons[]")  # it is ready here
        assert paths == expected | {p for p in paths if p.endswith("[]")}, endpoint


@pytest.mark.parametrize("service", SERVICES)
def test_the_answers_of_a_readme_have_the_members_of_the_protocol(service: str) -> None:
    for called, _, answer in examples(service):
        endpoint = endpoint_of(called)
        if head := answer_head(service, endpoint):
            compare(answer, table(service, endpoint, head), "", set(), shortened=True)
        else:  # an object that can be shown: canonical JSON
            digest = hashlib.sha256(canonical(answer)).digest()
            assert called.endswith(f"/objects/{to_hex(digest)}")


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
NAMED: Final = ("chunks", "proof", "objects_signature")  # all of them, or none


def body_for(world: World, endpoint: str) -> dict[str, Json]:
    """Everything that such a body may hold, and for most of them more."""
    if endpoint == "POST /windows":
        return submission_of(make_owner(world.members), WAITING)[0].to_json()
    if endpoint == "POST /endorsements":
        return endorsement_of(world)
    whole: dict[str, Json] = {"node_id": "operator_4", "status": "down", "timestamp": 0}
    whole |= {"kind": "status", "operator": "operator_1", "signature": to_hex(bytes(96))}
    return {**whole, "from": 1, "to": 2}


def changed(body: dict[str, Json], path: str, *value: Json) -> dict[str, Json]:
    """A copy in which the member at `path` has another value, or is left out."""
    name, _, inner = path.partition(".")
    if inner:
        part = body[name]
        assert isinstance(part, dict)
        return {**body, name: changed(part, inner, *value)}
    left = {key: each for key, each in body.items() if key != name}
    return {**left, name: value[0]} if value else left


@pytest.mark.parametrize(("service", "endpoint"), BODIES)
def test_a_body_has_exactly_the_members_of_the_page(
    fleet: World, service: str, endpoint: str
) -> None:
    types, seen = table(service, endpoint, "body"), set[str]()
    whole = body_for(fleet, endpoint)
    body = {name: whole[name] for name in types if "." not in name}
    name, path = f"{service}_{int(service == 'operator')}", endpoint.partition(" ")[2]
    compare(body, types, "", seen)
    assert seen == set(types)

    assert fleet.post(name, path, body).status_code != 400
    for place in ["", *(f"{each}." for each in types if types[each] == "object")]:
        more = fleet.post(name, path, changed(body, f"{place}more", 1))
        assert (more.status_code, more.json()["title"]) == (400, "unknown_member")
    for member in types:
        less = fleet.post(name, path, changed(body, member))
        assert (less.status_code, less.json()["title"]) == (400, "missing_member")
        assert less.json()["member"] == member.rpartition(".")[2]


@pytest.mark.parametrize("service", SERVICES)
def test_a_window_names_all_of_its_objects_or_none(fleet: World, service: str) -> None:
    marked = table(service, "POST /windows", "body")
    body = body_for(fleet, "POST /windows")
    text = ENDPOINTS[service]["POST /windows"]
    (comment,) = [c[2] for c in rows(text, "body") if "with the next two or none" in c[2]]

    bare = {name: value for name, value in body.items() if name not in NAMED}
    answer = fleet.post(f"{service}_{int(service == 'operator')}", "/windows", bare)

    assert comment
    assert tuple(marked)[-3:] == NAMED
    assert answer.status_code in {200, 202}


def test_the_states_of_a_window_are_those_of_the_code() -> None:
    listed = [quoted(cells[0])[0] for cells in rows(PROTOCOL, "state")]

    assert listed == list(get_args(forms.Standing.model_fields["state"].annotation))


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
    path = endpoint.partition(" ")[2]
    stream = to_hex(make_owner(fleet.members).descriptor.id)
    inside = {"position": "0", "number": "0", "node_id": "operator_2"}
    for part, value in {**inside, "stream": stream, "sha256": stream}.items():
        path = path.replace(f"<{part}>", value)
    values = {"integer": "1", "id": "operator_2", "16 to 32 bytes": "0x" + "00" * 16}
    values["32 bytes"] = "0x" + "00" * 32

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

    def submitted(owner: Owner, **descriptor: Json) -> requests.Response:
        whole = submission_of(owner, 0)[0].to_json()
        for member, value in descriptor.items():
            whole = changed(whole, f"descriptor.{member}", value)
        answer: requests.Response = world.post("aggregator_0", "/windows", whole)
        return answer

    def endorsed(signature: str = "", **members: Any) -> requests.Response:
        said = endorsement_of(world, **members)
        body = {**said, "signature": signature or said["signature"]}
        answer: requests.Response = world.post("aggregator_0", "/endorsements", body)
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
    owner, at = make_owner(world.members), int(world.clock.now)
    yield "invalid-identity", submitted(owner, identity="0x" + "ff" * 32)
    yield "invalid-header-key", submitted(owner, header_key=to_hex(bytes(48)))
    yield "unproven-header-key", submitted(owner, proof_of_possession=to_hex(bytes(96)))
    yield "wrong-committee", submitted(make_owner(make_members(name="other")))
    named = submission_of(owner, WAITING)[0].objects
    assert named
    yield "wrong-digest", put(world, b"another", named.proof)
    yield "applied-already", endorsed()
    yield "stale", endorsed(timestamp=at - world.committee.rounds.max_age - 1)
    yield "early", endorsed(timestamp=at + world.committee.rounds.early + 1)
    yield "no-such-window", endorsed(timestamp=at, last=99)
    yield "invalid-signature", endorsed(to_hex(bytes(96)), timestamp=at)
    world.clock.now = float(GENESIS + 15)  # when the expert had just spoken
    yield "not-later", endorsed(first=1)
    world.clock.now = float(at)


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


# -- what an operator does with a window -----------------------------------------------------------


def reasons_of(head: str) -> list[list[str]]:
    """The last column of a numbered table of refusals."""
    text = PROTOCOL.split(f"\n| | {head} | as |\n|---|---|---|\n")[1].split("\n\n")[0]
    lines = text.splitlines()
    assert [line.split(" | ")[0] for line in lines] == [f"| {n + 1}" for n in range(len(lines))]
    return [quoted(line.rpartition(" | ")[2]) for line in lines]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[World]:
    """A fleet whose logs have the first window of a stream."""
    with World(tmp_path) as world:
        world.run(2, peers=False)
        hand_in(world, 0)
        world.settle()
        yield world


def refusal(call: Callable[[], object], said: list[str]) -> list[str]:
    """The reason. It goes into `said` with what is said of it: no two steps say the same."""
    with pytest.raises(AttestationRefused) as refused:
        call()
    said.append(f"{refused.value.reason}: {refused.value}")
    return [str(refused.value.reason)]


def found(submission: Submission, **changed: Any) -> Found:
    assert submission.objects
    known = Found.of(submission, submission.objects.proof, Judgement(Fault.NONE))
    return dataclasses.replace(known, **changed)


def test_a_window_is_not_signed_in_the_order_of_the_page(watched: World) -> None:
    """Each claim is wrong in one respect, and in the later ones too where they go together."""
    words: list[str] = []
    world, own = watched, watched.own("operator_1")
    submission, _ = submission_of(make_owner(world.members), 1)
    good, astray, other = (
        found(submission),
        found(submission, header=bytes(32), previous=bytes(32)),
        found(submission, header=bytes([1]) * 32),
    )
    for verdict in (good, astray, other):
        own.voting.verdicts.keep(verdict)
    now = world.committee.rounds.start(world.committee.rounds.number(world.clock.now))

    def claim(of: Found, **changed: Any) -> WindowClaim:
        place = (of.stream, of.number, of.previous, of.header)
        said = WindowClaim(*place, of.verdict, of.reason, of.proof, of.parameters, now)
        return dataclasses.replace(said, **changed)

    def refused(said: WindowClaim) -> list[str]:
        return refusal(lambda: own.attester.attest(said), words)

    past = claim(astray, number=0, proof=bytes(32), timestamp=now - 3600)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(own.attester._slots.hold(to_hex(good.stream)))
        reasons = [refused(dataclasses.replace(past, timestamp=1))]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(own.log), "alarm", lambda _: Alarm("diverged", ""))
        patched.setattr(type(own.peers), "clock_is_wrong", lambda _: True)
        reasons.append(refused(past))
        early = claim(astray, number=0, proof=bytes(32))
        reasons.append(refused(early))
        patched.setattr(type(own.peers), "clock_is_wrong", lambda _: False)
        reasons.append(refused(early))
    reasons.append(refused(early))
    reasons.append(refused(claim(astray, proof=bytes(32))))
    invalid = claim(astray, verdict=Verdict.INVALID, reason=Fault.STARK)
    reasons.append(refused(invalid))
    reasons.append(refused(claim(astray)))
    assert own.attester.attest(claim(good))
    reasons.append(refused(claim(other)))

    assert reasons == reasons_of("a `window` is refused")
    assert len(set(words)) == len(words)


def test_a_window_is_not_judged_in_the_order_of_the_page(  # noqa: PLR0915 - a list of 17 steps
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    voting, owner = watched.own("operator_1").voting, make_owner(watched.members)
    stream = owner.descriptor.id
    (good, (chunks, proof)), (follower, _) = submission_of(owner, 1), submission_of(owner, 2)

    def handed(*, sign: bool = True, bodies: Any = (b"[]", b"[]"), **changed: Any) -> Submission:
        header = dataclasses.replace(good.header, **changed)
        named = WindowObjects.of(header, *bodies)
        signatures = owner.sign(header), owner.header_secret.sign(named.root(watched.committee.id))
        if not sign:
            signatures = bytes(96), bytes(96)
        return Submission(owner.descriptor, header, signatures[0], named, signatures[1])

    def refused(submission: Submission) -> list[str]:
        return refusal(lambda: voting.look(submission), words)

    future = {"last_received_ms": 1 << 50, "previous": bytes(32)}
    voting.admission._listed = frozenset()
    reasons = [refused(handed(sign=False, number=0, **future))]
    voting.admission._listed = None
    reasons.append(refused(handed(sign=False, number=0, **future)))
    reasons.append(refused(handed(sign=False, number=65, **future)))
    reasons.append(refused(handed(sign=False, number=64, **future)))
    astray = handed(previous=bytes(32))
    unnamed = dataclasses.replace(astray, objects_signature=bytes(96))
    reasons.append(refused(dataclasses.replace(handed(**future), objects_signature=bytes(96))))
    use_up(voting.admission, stream)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(voting.slots.hold(stream.hex()))
        reasons.append(refused(unnamed))
        reasons.append(refused(astray))
    with monkeypatch.context() as patched:
        patched.setattr(type(voting.objects), "put", no_room)
        reasons.append(refused(astray))
        watched.clock.sleep(3600)
        reasons.append(refused(astray))
    voting.objects.put(stream, 1, astray.header.encode(), follower.header.encode())
    use_up(voting.admission, stream)
    reasons.append(refused(astray))
    voting.verdicts.keep(found(good))
    reasons.append(refused(follower))
    voting.objects.put(stream, 1, good.header.encode(), handed(count=1).header.encode())
    for number in range(MOST_FOUND):
        voting.verdicts.keep(found(good, number=1000 + number))
    reasons.append(refused(handed(count=1)))
    watched.clock.sleep(3600)
    reasons.append(refused(handed(count=1)))
    voting.verdicts.settle(stream, 2000)
    reasons.append(refused(handed(count=1)))
    voting.objects.put(stream, 1, b"[]", chunks)
    reasons.append(refused(handed(count=1)))
    reasons.append(refused(handed(bodies=(chunks, b"nowhere"))))
    voting.objects.put(stream, 1, proof)
    reasons.append(refused(handed(bodies=(chunks, proof), chunks_root=bytes(32))))

    listed = reasons_of("a window is refused by an operator")
    assert listed.pop() == []  # the judgement's own: it is `malformed` here
    assert reasons.pop() == ["malformed"]
    assert reasons == listed
    assert len(set(words)) == len(words) - 1  # the share that is used up comes twice


def no_room(*_: object) -> None:
    raise errors.Busy("no room")


def use_up(admission: Admission, stream: bytes) -> None:
    with suppress(AttestationRefused):
        for number in range(2 * BURST + 1):
            admission.take(stream, number.to_bytes(32))
