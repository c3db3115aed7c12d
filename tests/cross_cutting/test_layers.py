"""The structure of the package: imports point down, folder by folder, and the core does no I/O."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import trio_openai

ROOT = Path(trio_openai.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# From top to bottom. A folder stands for all of its modules. Entries of one row do not import each other.
LAYERS = [
    ["__main__"],
    ["_cli"],
    ["testing", "local"],
    ["__init__"],
    ["batch"],
    ["_batch"],
    ["sync"],
    ["_sync"],
    ["azure", "servers", "otel"],
    ["_client"],
    ["_endpoints"],
    ["_tools"],
    ["_concurrent"],
    ["_stream"],
    ["_request"],
    ["_http"],
    ["_limits"],
    ["_observers"],
    ["_protocols"],
    ["_wire"],
    ["types"],
    ["errors"],
    ["_deadlines", "_httpx", "_lazy_names", "_mistakes", "_statistics", "_version"],
]
SANS_IO_FOLDERS = ("_deadlines", "_protocols", "_wire", "types", "errors")
SANS_IO_FILES = (
    "_batch.journal",
    "_batch.results",
    "_batch.rows",
    "_batch.statistics",
    "_batch.table",
    "_http.socks",
    "_limits.adaptive",
    "_limits.health",
    "_limits.rate",
    "_tools.conversation",
    "_tools.normalize",
    "_tools.tool",
)
FORBIDDEN = {
    *("trio", "httpx", "httpx2", "anyio", "asyncio", "socket", "ssl", "selectors", "threading", "httptools", "h11"),
    *("time", "datetime", "random", "secrets", "uuid", "os", "subprocess", "logging", "warnings"),
}
FOLDERS = sorted(path.parent for path in MODULES if path.name == "__init__.py" and path.parent != ROOT)


def name_of(path: Path) -> str:
    """Return the module's name below `trio_openai`; `__init__` for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path, *, lazy: bool = True, typing: bool = True) -> frozenset[str]:
    """Return the absolute names of the modules that a file imports.

    Args:
        path: the file.
        lazy: also those imported inside functions.
        typing: also those imported for type checkers only.
    """
    found: set[str] = set()
    nodes: list[ast.AST] = [parsed(path)]
    while nodes:
        for child in ast.iter_child_nodes(nodes.pop()):
            if isinstance(child, ast.Import):
                found |= {alias.name for alias in child.names}
            elif isinstance(child, ast.ImportFrom):
                found |= from_import(child, path)
            elif (typing or not is_type_checking(child)) and (lazy or not is_function(child)):
                nodes.append(child)
    return frozenset(found)


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def from_import(node: ast.ImportFrom, path: Path) -> set[str]:
    package = ("trio_openai", *path.relative_to(ROOT).parent.parts)
    base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
    module = ".".join(filter(None, (base, node.module)))
    known = {f"trio_openai.{name}" for name in NAMES}
    inside = {f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in known}
    return inside or {module}


def own_imports(path: Path, *, late: bool = True) -> set[str]:
    """Return the modules of the package that a file imports, by their names below it."""
    found = {name for name in imports(path, lazy=late, typing=late) if name.partition(".")[0] == "trio_openai"}
    return {name.partition(".")[2] or "__init__" for name in found}


def layer_of(name: str) -> int:
    folder = name.partition(".")[0]
    for number, members in enumerate(LAYERS):
        if folder in members:
            return number
    raise LookupError(f"{folder} is in no layer: add it to LAYERS in {__file__}, and to docs/design.md")


def test_imports_point_down() -> None:
    """Include imports for type checkers. A reader of a file then never needs a folder above it."""
    for path in MODULES:
        own = name_of(path)
        for imported in own_imports(path):
            if imported.partition(".")[0] != own.partition(".")[0]:
                assert layer_of(own) < layer_of(imported), f"{own} imports {imported}, which is above it"


def test_no_module_imports_itself_through_others() -> None:
    """Include imports inside functions and under `TYPE_CHECKING`."""
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"{' -> '.join((*above, name))} is a cycle"
        if name not in done and name in NAMES:
            for imported in sorted(own_imports(NAMES[name]) - {name}):
                visit(imported, (*above, name))
            done.add(name)

    for name in NAMES:
        visit(name, ())


def test_no_two_classes_have_the_same_name() -> None:
    """Keep one meaning per word, so that a class can be found by its name."""
    defined: dict[str, set[str]] = {}
    for module, path in NAMES.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name.strip("_"), set()).add(module)
    shared = {name: modules for name, modules in defined.items() if len(modules) > 1}
    assert shared == {}


def test_core_imports_no_io_no_clock_and_no_randomness() -> None:
    core = [path for path in MODULES if name_of(path).partition(".")[0] in SANS_IO_FOLDERS]
    for path in [*core, *(NAMES[name] for name in SANS_IO_FILES)]:
        used = {name.removeprefix("trio_openai._").partition(".")[0] for name in imports(path, typing=False)}
        assert used.isdisjoint(FORBIDDEN), f"{name_of(path)} imports {used & FORBIDDEN}"


def test_layers_list_every_module() -> None:
    present = {name.partition(".")[0] for name in NAMES}
    assert {member for members in LAYERS for member in members} == present


def test_every_folder_documents_its_purpose_and_imports() -> None:
    for folder in FOLDERS:
        text = " ".join((ast.get_docstring(parsed(folder / "__init__.py")) or "").split())
        if folder.name.startswith("_") and folder.parent == ROOT:
            assert "May import" in text, folder
            start = re.search(r"Start reading in `([\w/]+\.py)`", text)
            assert start, folder
            assert (folder / start[1]).is_file(), start[1]


def test_only_the_outer_layers_import_httpx() -> None:
    """Allow it in `_stream` only for the type of `response`."""
    users = {name for name, path in NAMES.items() if "trio_openai._httpx" in imports(path, typing=False)}
    others = {name for name in users if name.partition(".")[0] not in ("_http", "_request", "_cli", "testing", "local")}
    assert others <= {
        "sync",
        "azure",
        "servers",
        "_stream.stream",
        "_stream.source",
        "_sync.calls",
        "_sync.stream",
    }


def test_only_one_module_imports_httpx_or_httpx2() -> None:
    """Include imports inside functions and under `TYPE_CHECKING`. Either package is then enough at run time."""
    users = {name for name, path in NAMES.items() if {"httpx", "httpx2"} & imports(path)}
    assert users == {"_httpx"}


def test_library_runs_with_httpx2_alone() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "try: from trio_openai import TrioOpenAI; client = TrioOpenAI(api_key='none')\n"
        "except ImportError as error: print(error)\n"
        "else: print(type(client._session.http).__module__, type(client._session.options.url).__module__)"
    )
    assert run(program.format(missing="['httpx']")) == "httpx2 httpx2"
    assert run(program.format(missing="['httpx2']")) == "httpx httpx"
    assert run(program.format(missing="['httpx', 'httpx2']")).startswith("trio_openai needs httpx or httpx2")


def test_only_one_module_imports_a_json_library() -> None:
    users = {name for name, path in NAMES.items() if "orjson" in imports(path)}
    assert users == {"_wire.json"}
    assert not [path for path in MODULES if path.stem != "json" and "preconf.orjson" in path.read_text("utf-8")]


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_core_runs_without_trio_and_httpx() -> None:
    """Import the core into an empty package, without the public modules."""
    assert run(
        "import sys, types\n"
        f"package = types.ModuleType('trio_openai'); package.__path__ = [{str(ROOT)!r}]\n"
        "sys.modules['trio_openai'] = package\n"
        "sys.modules.update(dict.fromkeys(['trio', 'httpx', 'anyio', 'asyncio', 'httptools']))\n"
        "from trio_openai._wire.lifecycle import Decision, Lifecycle\n"
        "from trio_openai._protocols.chat import protocol\n"
        "r = Lifecycle(protocol.ChatProtocol)\n"
        "r.receive_head()\n"
        "r.receive_data(b'data: {\"choices\": [{\"delta\": {\"content\": \"Hi\"}}]}\\n\\ndata: [DONE]\\n\\n')\n"
        "while r.next() is not Decision.RELEASE: pass\n"
        "print(r.verdict, r.snapshot().choices[0].message.content)\n"
    ) == "done by [DONE] Hi"  # fmt: skip


def test_import_loads_nothing_heavy() -> None:
    ours = [
        *("testing", "local", "azure", "_request.raw_response", "_stream.raw", "_http.proxy", "_concurrent.many"),
        *(
            "_limits.limiter",
            "_http.multipart",
            "_tools.run",
            "_observers.records",
            "_observers.watch",
            "_request.watched",
        ),
    ]
    heavy = [*(f"trio_openai.{name}" for name in ours), "openai", "pydantic", "asyncio", "xllamacpp", "h11"]
    heavy += ["msgspec"] if importlib.util.find_spec("orjson") else []  # else it decodes JSON
    use = "import sys, trio_openai; trio_openai.TrioOpenAI(api_key='none').chat.completions.stream; "
    assert run(f"{use}print(*set({heavy}) & set(sys.modules))") == ""


def test_library_runs_without_orjson_and_msgspec() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "import trio_openai; trio_openai.TrioOpenAI(api_key='none').chat.completions.stream\n"
        "from trio_openai._wire.json import backend, decode_json\n"
        "print(backend(), decode_json(b'[1, NaN]'))"
    )
    assert run(program.format(missing="['orjson']")) == "msgspec [1, nan]"
    assert run(program.format(missing="['orjson', 'msgspec']")) == "stdlib [1, nan]"


def test_import_emits_no_warning() -> None:
    assert run("import warnings; warnings.simplefilter('error'); from trio_openai import *") == ""


@pytest.mark.parametrize("package", ["trio_openai", "trio_openai.types"])
def test_table_of_public_names_matches_the_imports_for_type_checkers(package: str) -> None:
    path = NAMES["__init__" if package == "trio_openai" else "types"]
    importlib.import_module(package)
    block = next(node for node in parsed(path).body if is_type_checking(node))
    table = vars(sys.modules[package])["_MODULE_OF"]
    named = {}
    for node in ast.walk(block):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                public = [name for name, module in table.items() if module == node.module]
                named |= dict.fromkeys(public if alias.name == "*" else [alias.name], node.module)
    assert named == table


def test_tables_of_the_design_page_name_existing_functions() -> None:
    """Check the two tables that follow a byte in and a parameter out, since code moves and pages do not."""
    page = (ROOT.parent / "docs" / "design.md").read_text("utf-8")
    rows = re.findall(r"^\| \d+ \| `([\w/.]+)`: `([\w.]+)` \|", page, re.MULTILINE)
    assert len(rows) > 15
    for file, function in rows:
        node: ast.AST = parsed(ROOT / file)
        for name in function.split("."):
            inside = [one for one in ast.walk(node) if isinstance(one, ast.ClassDef) or is_function(one)]
            node = next((one for one in inside if getattr(one, "name", "") == name), ast.Pass())
            assert not isinstance(node, ast.Pass), f"{file} has no {function}"
