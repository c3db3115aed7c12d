"""Write the pages of the reference about the endpoints: `python docs/reference_pages.py`. `--check` only compares them.

The text comes from the docstrings, the tables from the signatures. Both are the ones that `help()` shows. The pages are
plain Markdown, so GitHub shows them too. The other pages of the reference are made by mkdocstrings.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import griffe

import trio_openai
from trio_openai import TrioOpenAI
from trio_openai.types import NAMES
from trio_openai.types.params import CallParams, FileInput, JSONObject

HERE = Path(__file__).parent / "reference"
WRITTEN = "<!-- python docs/reference_pages.py writes this page -->"
EVERY_PAGE = (
    "Give the parameters by name. What you leave out is not sent. Write `.with_raw_response` before the name of a "
    "method to get a `RawResponse` that holds the result; see [Raw access](../raw.md). `SyncOpenAI` has the same "
    "methods, which block instead of being awaited, except `start_stream` and `call`."
)
POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
EVERY_CALL = tuple(CallParams.__annotations__)
OWN = ("nursery", "buffer", "key", "stream", "ask_again", "max_rounds", "max_concurrent", "on_error", "approve")
"""Parameters that only some of an endpoint's ways to call it have. They stand in a table of their own."""
SHOWN = {"run_tools": ("tools",)}
"""Parameters that the example of a method shows although they are not required."""
SPELLED_OUT = {
    "Approve": "Callable[[ToolRequest], Awaitable[bool | str] | bool | str]",
    "OnError": "Literal['tell_model', 'raise'] | Callable[[ToolCallDone, Exception], str]",
    "Files": "Mapping[str, FileInput | Sequence[FileInput]] | Iterable[tuple[str, FileInput]]",
    "WebhookHeaders": "Mapping[str, str] | Iterable[tuple[str, str]]",
}
"""The types behind names that are not public."""
DOORS = ("create", "__call__", "stream", "start_stream", "call", "run_tools", "stream_bytes")


@attrs.frozen
class Page:
    """A page about some endpoints.

    Attributes:
        title: The heading.
        about: The first paragraph.
        endpoints: The attributes of the client that the page describes, such as "chat.completions".
        methods: The methods to describe, of an object that has others as well.
    """

    title: str
    about: str
    endpoints: tuple[str, ...]
    methods: tuple[str, ...] = ()


PAGES = {
    "chat": Page(
        "Chat completions",
        "Send a conversation to a model and get its next message. See [Streaming](../streaming.md), "
        "[Structured outputs](../structured-outputs.md) and [Tools](../tools.md) for examples.",
        ("chat.completions", "chat.completions.messages"),
    ),
    "responses": Page(
        "Responses",
        "Ask a model through the newer API, which can store the conversation and use the server's own tools. See "
        "[Streaming](../streaming.md) and [Tools](../tools.md) for examples.",
        ("responses", "responses.retrieve", "responses.input_items", "responses.input_tokens"),
    ),
    "conversations": Page(
        "Conversations",
        "Keep conversations at the server, and name them with `responses.create(conversation=...)`.",
        ("conversations", "conversations.items"),
    ),
    "completions": Page("Completions", "Let a model continue a text through the oldest API.", ("completions",)),
    "images": Page(
        "Images", "Make images from a description, or from other images.", ("images.generate", "images.edit")
    ),
    "audio": Page(
        "Audio",
        "Get the text of a recording, translate it, or have a text spoken.",
        ("audio.transcriptions", "audio.translations", "audio.speech"),
    ),
    "models": Page(
        "Models, embeddings, moderations",
        "List the models of the server, turn texts into vectors, and check texts and images for harmful content.",
        ("models", "embeddings", "moderations"),
    ),
    "files": Page(
        "Files and batches",
        "Upload and download files, and have the server answer the requests in a file.",
        ("files", "files.content", "batches"),
    ),
    "webhooks": Page("Webhooks", "Check that a request to your program comes from OpenAI.", ("webhooks",)),
    "any-endpoint": Page(
        "Any endpoint",
        "Send a request to an endpoint that has no method of its own. See [Other endpoints](../endpoints.md) for "
        "examples.",
        ("",),
        ("request", "get", "post", "put", "patch", "delete", "stream_request"),
    ),
}

CLIENT: Any = TrioOpenAI(api_key="none")


def found(path: str) -> Any:
    """Return the attribute of the client with this path."""
    owner = CLIENT
    for name in filter(None, path.split(".")):
        owner = getattr(owner, name)
    return owner


def methods_of(page: Page) -> Iterator[tuple[str, Any]]:
    """Find the methods that a page describes, with their paths, in the order of the page."""
    for path in page.endpoints:
        owner = found(path)
        names = page.methods or [name for name in dir(owner) if is_method(owner, name)]
        if callable(owner):
            names = ["__call__", *names]
        for name in sorted(names, key=lambda name: DOORS.index(name) if name in DOORS else len(DOORS)):
            yield f"{path}.{name}".strip(".").removesuffix(".__call__"), getattr(owner, name)


def is_method(owner: Any, name: str) -> bool:
    """Return whether a name is a public method of an endpoint."""
    return name[0] != "_" and name != "with_raw_response" and inspect.isroutine(getattr(owner, name))


# ------------------------------------------------------------------------------------------------------------ Markdown


def type_text(annotation: Any) -> str:
    """Return a type as a program would write it."""
    if isinstance(annotation, str):
        return " | ".join(SPELLED_OUT.get(member, member) for member in annotation.split(" | "))
    members = list(typing.get_args(annotation)) if is_union(annotation) else [annotation]
    names: list[str] = []
    for alias, name in ((FileInput, "FileInput"), (JSONObject, "JSONObject")):
        if set(typing.get_args(alias)) <= set(members):
            members = [member for member in members if member not in typing.get_args(alias)]
            names.append(name)
    return " | ".join([*names, *map(member_text, members)])


def is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def member_text(annotation: Any) -> str:
    """Return the text of a type that is not a union."""
    if annotation is types.NoneType:
        return "None"
    name: str = annotation.__forward_arg__ if isinstance(annotation, typing.ForwardRef) else annotation.__name__
    inner = ", ".join("..." if one is ... else type_text(one) for one in typing.get_args(annotation))
    return f"{name}[{inner}]" if inner else name


@functools.cache
def homes() -> dict[str, str]:
    """Return where each public class is described: a page and an anchor, by its name."""
    found = {}
    modules = {f"types.{module}": names.split() for module, names in NAMES.items()}
    for path in sorted(HERE.glob("*.md")):
        for shown in re.findall(r"^::: trio_openai\.([\w.]+)$", path.read_text(), re.MULTILINE):
            for name in modules.get(shown, [shown.rpartition(".")[2]]):
                anchor = f"{shown}.{name}" if shown in modules else shown
                found[name] = f"{path.name}#trio_openai.{anchor}"
    return found


def linked(text: str) -> str:
    """Return a type as code that links to the classes in it. A bar would end the cell of a table, so it is escaped."""
    if not any(name in homes() for name in re.findall(r"\w+", text)):
        return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"
    parts = []
    for part in re.findall(r"(?:[^|\[]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])+", text):  # between bars outside of brackets
        member = part.strip()
        shown = f"<code>{member.replace('|', '&#124;')}</code>" if "|" in member else f"`{member}`"
        home = [homes()[name] for name in re.findall(r"\w+", member) if name in homes()]
        parts.append(f"[{shown}]({home[-1]})" if home else shown)
    return " &#124; ".join(parts)


def table(signature: inspect.Signature, names: list[str], descriptions: dict[str, str]) -> str:
    """Return a table of parameters."""
    rows = ["| Parameter | Type | Default | Description |", "|---|---|---|---|"]
    for name in names:
        one = signature.parameters[name]
        required = one.default is one.empty
        default = "required" if required else "the client's `timeout`" if name == "timeout" else f"`{one.default!r}`"
        rows.append(f"| `{name}` | {linked(type_text(one.annotation))} | {default} | {descriptions[name]} |")
    return "\n".join(['<div class="parameters" markdown>', "", *rows, "", "</div>"])


def wrapped(text: str, width: int = 120) -> str:
    """Return prose with lines of at most this many columns. Paragraphs and lists stay."""
    parts = text.split("\n\n")
    return "\n\n".join(
        part
        if part.startswith(("* ", "- ", "    ", "|", "```"))
        else textwrap.fill(part, width, break_on_hyphens=False)
        for part in parts
    )


def parsed(doc: str) -> dict[str, list[Any]]:
    """Return the sections of a docstring by their kinds."""
    sections: dict[str, list[Any]] = {}
    for section in griffe.Docstring(inspect.cleandoc(doc)).parse("google", warnings=False):
        sections.setdefault(section.kind.value, []).append(section.value)
    return sections


def descriptions(method: Any) -> dict[str, str]:
    """Return what a docstring says about each parameter, on one line."""
    entries = [one for part in parsed(method.__doc__).get("parameters", ()) for one in part]
    return {one.name: " ".join(one.description.split()) for one in entries}


def call_of(path: str, method: Any, signature: inspect.Signature) -> str:
    """Return the shortest call of a method."""
    shown = SHOWN.get(path.rpartition(".")[2], ())
    required = [one for one in signature.parameters.values() if one.default is one.empty or one.name in shown]
    if path.startswith("responses.") and "text_format" in signature.parameters:
        required = [signature.parameters["model"], signature.parameters["input"], *required]
        required.sort(key=lambda one: one.kind)
    arguments = ", ".join(one.name if one.kind is POSITIONAL else f"{one.name}=..." for one in required)
    call = f"client.{path}({arguments})"
    returns = str(signature.return_annotation)
    if returns.startswith(("StreamManager", "AbstractAsyncContextManager")):
        name = "run" if "ToolRun" in returns else "stream"
        lines = f"async with {call} as {name}:\n    ..."
    elif returns.startswith("Listing"):
        lines = f"async for item in {call}:\n    ..."
    else:
        lines = f"await {call}" if inspect.iscoroutinefunction(inspect.unwrap(method)) else call
    if len(lines.split("\n")[0]) > 54:  # what fits on a phone
        lines = lines.replace(f"({arguments})", f"(\n    {arguments}\n)")
    return f"```python\n{lines}\n```"


def groups_of(page: Page) -> dict[str, list[tuple[str, Any]]]:
    """Group the methods of a page: the ways to call one endpoint take the same parameters, so they stand together."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    for path, method in methods_of(page):
        owner, _, name = path.rpartition(".")
        together = hasattr(found(owner), "start_stream") and name in DOORS
        groups.setdefault(owner if together else path, []).append((path, method))
    return groups


def method_text(path: str, method: Any, *, shared: str) -> str:
    """Describe a method.

    Args:
        path: Its path from the client.
        method: The method.
        shared: The heading of the table of the parameters that it shares with others, or nothing.
    """
    signature, sections, described = inspect.signature(method), parsed(method.__doc__), descriptions(method)
    if path in PAGES["any-endpoint"].methods:
        described = {**descriptions(CLIENT.request), **described}
    names = [name for name in signature.parameters if name not in (*EVERY_CALL, "params")]
    if shared:
        names = [name for name in names if name in OWN or signature.parameters[name].kind is POSITIONAL]
    heading = f"Call {path}" if callable(found(path)) and hasattr(found(path), "with_raw_response") else path
    level = "###" if "." in path else "##"
    lines = [f"{level} {heading}", call_of(path, method, signature), *map(wrapped, sections["text"])]
    if names:
        lines.append(table(signature, names, described))
    also = "also takes" if names else "takes"
    if shared:
        lines.append(f"It {also} the [parameters](#{slug(shared)}) of this endpoint.")
    elif {"timeout", "params"} & signature.parameters.keys():
        lines.append(f"It {also} the [options of every call](#options-of-every-call).")
    if str(signature.return_annotation) != "None":
        about = [one.description for part in sections.get("returns", ()) for one in part]
        lines.append(wrapped(" ".join([f"**Returns** {linked(type_text(signature.return_annotation))}.", *about])))
    raises = [one for part in sections.get("raises", ()) for one in part]
    if raises:
        items = [wrapped(f"`{one.annotation}`: {one.description}", 118).replace("\n", "\n  ") for one in raises]
        lines.append("**Raises**\n\n" + "\n".join(f"- {item}" for item in items))
    return "\n\n".join(lines)


def slug(heading: str) -> str:
    """Return the anchor of a heading, on GitHub as on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page_text(name: str, page: Page) -> str:
    """Return the whole page."""
    lines = [f"# {page.title}", WRITTEN, wrapped(page.about)]
    if name not in ("any-endpoint", "webhooks"):
        lines.append(wrapped(EVERY_PAGE))
    last = ""
    for key, methods in groups_of(page).items():
        endpoint = key if key in page.endpoints else key.rpartition(".")[0]
        if endpoint != last:
            last = endpoint
            about = parsed(type(found(endpoint)).__doc__ or "")["text"][0]
            lines += [f"## {endpoint}", wrapped(re.sub(r" `client\.[\w.]+`\.(?=\n|$)", "", about))]
        shared = f"Parameters of {key}" if len(methods) > 1 else ""
        lines += [method_text(path, method, shared=shared) for path, method in methods]
        if shared:
            method = methods[0][1]
            signature = inspect.signature(method)
            named = [name for name, one in signature.parameters.items() if one.kind is not POSITIONAL]
            lines += [
                f"### {shared}",
                "The methods above take these parameters, and the [options of every call](#options-of-every-call).",
                table(signature, [name for name in named if name not in (*OWN, *EVERY_CALL)], descriptions(method)),
            ]
    if name != "webhooks":
        some = CLIENT.models.list
        lines += ["## Options of every call", table(inspect.signature(some), list(EVERY_CALL), descriptions(some))]
    return "\n\n".join(lines) + "\n"


def index_text() -> str:
    """Return the page that lists all public names."""
    rows = ["| Name | Page | What it is |", "|---|---|---|"]
    pages = {path: path.read_text() for path in sorted(HERE.glob("*.md")) if path.stem not in {*PAGES, "index"}}
    names: list[str] = vars(trio_openai)["__all__"]
    for name in sorted((name for name in names if name[0] != "_"), key=str.lower):
        mark = "trio_openai.errors" if name.endswith("Error") else f"trio_openai.{name}"
        path = next(path for path, text in pages.items() if f"::: {mark}\n" in text)
        title = pages[path].split("\n")[0].removeprefix("# ")
        doc = "Any event of a run." if name == "RunEvent" else inspect.getdoc(getattr(trio_openai, name)) or ""
        about = " ".join(doc.split("\n\n")[0].split())
        rows.append(f"| `{name}` | [{title}]({path.name}) | {about} |")
    endpoints = [
        f"| `client.{path}` | [{page.title}]({name}.md#{slug(path)}) |"
        for name, page in PAGES.items()
        for path in page.endpoints
        if path
    ]
    return (
        "\n\n".join(
            [
                "# Reference",
                WRITTEN,
                wrapped(
                    "Look up what a name means and which arguments it takes. `help()` shows the same text in a Python "
                    "session. Everything public is imported from `trio_openai`, and the objects of the API from "
                    "`trio_openai.types`. Names that begin with an underscore are private and may change."
                ),
                "## Endpoints",
                "Each page has a table of all parameters, with their types and defaults.",
                "\n".join(["| Endpoint | Page |", "|---|---|", *endpoints]),
                "`client.request`, `client.get` and their siblings reach [any endpoint](any-endpoint.md).",
                "## Names",
                "\n".join(rows),
                "## Objects of the API",
                wrapped(
                    "The classes of `trio_openai.types` are on six pages. The server sends "
                    "[objects of chat](types-chat.md), "
                    "[objects of responses](types-responses.md) and [objects of other endpoints](types-others.md). A "
                    "request has [dictionaries of chat](types-chat-params.md), [dictionaries of "
                    "responses](types-response-params.md), and [parameters](types-params.md)."
                ),
            ]
        )
        + "\n"
    )


def out_of_date() -> dict[Path, str]:
    """Return the pages that differ from the docstrings, with the text that they should have."""
    texts = {HERE / f"{name}.md": page_text(name, page) for name, page in PAGES.items()}
    texts[HERE / "index.md"] = index_text()
    return {path: text for path, text in texts.items() if not path.exists() or path.read_text() != text}


def main() -> None:
    stale = out_of_date()
    for path, text in stale.items():
        print(path)
        if "--check" not in sys.argv:
            path.write_text(text)
    if "--check" in sys.argv and stale:
        sys.exit("These pages differ from the docstrings. Run: python docs/reference_pages.py")


if __name__ == "__main__":
    main()
