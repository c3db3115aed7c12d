"""The import graph: the core does no I/O, and imports go one way, as `trio_openai/__init__.py` draws it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trio_openai

ROOT = Path(trio_openai.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
CORE = [path for path in MODULES if path.relative_to(ROOT).parts[0] in ("_sansio", "types", "errors.py")]
FORBIDDEN = {
    *("trio", "httpx", "httpx2", "anyio", "asyncio", "socket", "ssl", "selectors", "threading", "httptools", "h11"),
    *("time", "datetime", "random", "secrets", "uuid", "os", "subprocess", "logging", "warnings"),
}

# From the surface to the core. A package stands for all that is in it; those in one row may import each other.
LAYERS = [
    ["__main__"],
    ["_cli", "testing.__main__"],
    ["_demo", "local"],
    ["testing"],
    ["sync"],
    ["_sync_endpoints"],
    ["_sync_raw_types"],
    ["_sync_calls"],
    ["_sync_stream", "_sync_views", "_portal"],
    ["azure"],
    ["__init__"],
    ["_client"],
    ["_endpoints"],
    ["_tool_run", "_tool_events"],
    ["_given_calls", "_many", "_race"],
    ["_calls", "_raw"],
    ["_parsed_stream"],
    ["_stream"],
    ["_deltas", "_pump", "_raw_stream"],
    ["_source", "_bytes"],
    ["_fanout", "_progress", "_record", "_request"],
    ["_keys", "_secrets", "_tracebacks", "_redirects"],
    ["_permits"],
    ["_lifetime"],
    ["_nursery"],
    ["_limiter"],
    ["_body", "_upload"],
    ["_transport"],
    ["_proxy"],
    ["_slots"],
    ["_connection", "_http1"],
    ["_reading"],
    ["_lenient"],
    ["_sansio"],
    ["_hints", "_misuse"],
    ["types", "errors"],
    ["_late", "_statistics", "_stuck", "_version"],
]
CORE_LAYERS = [
    ["reader_raw", "replay"],
    ["reader"],
    ["dialects_parsed"],
    ["dialect_chat", "dialect_response", "dialect_completion", "dialects_tagged"],
    ["dialects"],
    ["deltas_chat", "deltas_response"],
    ["deltas"],
    ["snapshot_chat", "snapshot_response", "window"],
    ["answers"],
    ["choice_chat"],
    ["items_response"],
    ["parts_response"],
    ["conversation"],
    ["spacing"],
    ["limits", "parts", "randomness", "sent_back", "tool_calls", "usage"],
    ["tools"],
    ["structured"],
    ["arguments", "coalesce", "convert", "encode", "failures", "partial", "policy", "schema", "socks", "sse"],
    ["large"],
    ["json"],
    ["json_deep", "text"],
]


def name_of(path: Path) -> str:
    """The module's name below `trio_openai`; `__init__` for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports(node: ast.AST, path: Path, *, lazy: bool = True) -> set[str]:
    """Absolute names of what a module imports at run time; without `lazy`, only what its import imports."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if not lazy and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            found |= from_import(child, path)
        else:
            found |= imports(child, path, lazy=lazy)
    return found


def from_import(node: ast.ImportFrom, path: Path) -> set[str]:
    package = ("trio_openai", *path.relative_to(ROOT).parent.parts)
    base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
    module = ".".join(filter(None, (base, node.module)))
    inside = [f"{module}.{alias.name}" for alias in node.names if (module + "." + alias.name) in known_modules()]
    return set(inside) or {module}


def known_modules() -> set[str]:
    return {f"trio_openai.{name_of(path)}" for path in MODULES}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def layer_of(name: str, layers: list[list[str]]) -> int:
    """The number of the layer that a module is in, from above."""
    for member in (name, name.partition(".")[0]):
        for number, members in enumerate(layers):
            if member in members:
                return number
    raise LookupError(f"{name} is in no layer: draw it in trio_openai/__init__.py and here")


def ids(path: Path) -> str:
    return name_of(path)


@pytest.mark.parametrize("path", CORE, ids=ids)
def test_the_core_imports_no_io_no_clock_and_no_chance(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(parsed(path), path)}.isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_imports_go_one_way(path: Path) -> None:
    own = layer_of(name_of(path), LAYERS)
    for imported in imports(parsed(path), path):
        package, _, name = imported.partition(".")
        if package == "trio_openai":
            other = layer_of(name or "__init__", LAYERS)
            assert own <= other, f"{name_of(path)} imports {imported}, which is above it"


@pytest.mark.parametrize("path", [path for path in CORE if path.parent.name == "_sansio"], ids=ids)
def test_imports_go_one_way_within_the_core(path: Path) -> None:
    if path.stem == "__init__":
        assert imports(parsed(path), path) <= {"__future__"}
        return
    for imported in imports(parsed(path), path):
        if imported.startswith("trio_openai._sansio."):
            other = layer_of(imported.removeprefix("trio_openai._sansio."), CORE_LAYERS)
            assert layer_of(path.stem, CORE_LAYERS) <= other, f"{path.stem} imports {imported}, which is above it"


def test_no_cycle_is_hidden_in_a_layer() -> None:
    graph = {
        f"trio_openai.{name_of(path)}".removesuffix(".__init__"): imports(parsed(path), path, lazy=False)
        for path in MODULES
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"{' -> '.join((*above, name))} is a cycle"
        if name in done or name not in graph:
            return
        for imported in graph[name]:
            visit(imported, (*above, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_the_layers_are_those_that_are_drawn() -> None:
    drawn = re.findall(r"^    (_?\w+)(?:, (\w+))?  ", trio_openai.__doc__ or "", re.MULTILINE)
    names = [name for row in drawn for name in row if name]
    last = re.search(r"^    (types), (errors)$", trio_openai.__doc__ or "", re.MULTILINE)
    assert last is not None
    order = [layer_of(name, LAYERS) for name in [*names, *last.groups()]]
    assert order == sorted(order)
    library = LAYERS[LAYERS.index(["__init__"]) + 1 : -1]
    missing = {member for row in library for member in row} - {*names, *last.groups()}
    assert all(name in (trio_openai.__doc__ or "") for name in missing)


def test_only_one_module_knows_which_library_decodes_json() -> None:
    users = {name_of(path) for path in MODULES if "orjson" in imports(parsed(path), path)}
    assert users == {"_sansio.json"}
    assert not [path for path in MODULES if path.stem != "json" and "preconf.orjson" in path.read_text("utf-8")]


def test_the_library_runs_where_there_is_no_orjson_and_no_msgspec() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "import trio_openai; trio_openai.TrioOpenAI(api_key='none').chat.completions.stream\n"
        "from trio_openai._sansio.json import backend, decode_json\n"
        "print(backend(), decode_json(b'[1, NaN]'))"
    )
    assert run(program.format(missing="['orjson']")) == "msgspec [1, nan]"
    assert run(program.format(missing="['orjson', 'msgspec']")) == "stdlib [1, nan]"


def test_only_the_border_imports_httpx() -> None:
    """`_sansio`, `types` and `errors` never; the stream and its source only for the type of the `response`."""
    library = [path for path in MODULES if layer_of(name_of(path), LAYERS) > LAYERS.index(["__init__"])]
    users = {name_of(path) for path in library if "httpx" in imports(parsed(path), path)}
    border = {"_request", "_keys", "_secrets", "_body", "_transport", "_proxy", "_connection", "_http1", "_redirects"}
    assert users <= {"_client", "_calls", "_stream", "_source", "_slots", *border}


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_core_runs_where_there_is_no_trio_and_no_httpx() -> None:
    """As a package of its own: the surface is not there either."""
    assert run(
        "import sys, types\n"
        f"package = types.ModuleType('trio_openai'); package.__path__ = [{str(ROOT)!r}]\n"
        "sys.modules['trio_openai'] = package\n"
        "sys.modules.update(dict.fromkeys(['trio', 'httpx', 'anyio', 'asyncio', 'httptools']))\n"
        "from trio_openai._sansio import reader, dialect_chat, dialect_response, policy\n"
        "r = reader.Reader(dialect_chat.ChatDialect())\n"
        "r.receive_data(b'data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\\n\\ndata: [DONE]\\n\\n')\n"
        "while r.next_event() is not reader.END: pass\n"
        "print(r.verdict, r.dialect.snapshot().choices[0].message.content)\n"
    ) == "done by [DONE] Hi"  # fmt: skip


def test_importing_the_library_imports_nothing_heavy() -> None:
    ours = ["testing", "local", "azure", "_raw", "_raw_stream", "_proxy", "_many", "_limiter", "_upload", "_tool_run"]
    heavy = [*(f"trio_openai.{name}" for name in ours), "openai", "pydantic", "asyncio", "xllamacpp", "h11", "msgspec"]
    use = "import sys, trio_openai; trio_openai.TrioOpenAI(api_key='none').chat.completions.stream; "
    assert run(f"{use}print(*set({heavy}) & set(sys.modules))") == ""


def test_importing_the_library_says_nothing() -> None:
    assert run("import warnings; warnings.simplefilter('error'); from trio_openai import *") == ""
