"""Copy the examples into the pages: `python docs/embed.py`. `--check` only lists the pages that are out of date.

A page marks the place with a comment, and the fence below it has the text of that file:

    <!-- docs/examples/first_stream.py -->
    ```python
    ...
    ```

A name such as `docs/examples/promises.py#time` stands for a part of a file: the lines between `# --- time` and `# ---`.

The text stands in the page itself, so GitHub shows it too. The tests run the files and check that the pages match them.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(r"^<!-- (docs/examples/[\w./]+)(?:#(\w+))? -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def shown_on(page: str) -> list[str]:
    """Return the example files that a page shows, in its order."""
    return [match[1] for match in MARK.finditer(page)]


def text_of(name: str, part: str | None = None) -> str:
    """Return the text of an example file, or of a part of it without its indentation."""
    text = (ROOT / name).read_text()
    if part:
        found = re.search(rf"^ *# --- {part}\n(.*?)^ *# ---$", text, re.DOTALL | re.MULTILINE)
        if not found:
            raise ValueError(f"{name} has no part {part}")
        text = textwrap.dedent(found[1])
    return text.removesuffix("\n") + "\n"  # some outputs have no line end


def _filled(mark: re.Match[str]) -> str:
    name, part, language, _ = mark.groups()
    comment = f"<!-- {name}{'#' + part if part else ''} -->"
    return f"{comment}\n```{language}\n{text_of(name, part)}```"


def with_examples(page: str) -> str:
    """Return the page with the present text of every example file."""
    return MARK.sub(_filled, page)


def out_of_date() -> dict[Path, str]:
    """Return the pages that differ from their example files, with the text that they should have."""
    texts = {page: with_examples(page.read_text()) for page in PAGES}
    return {page: text for page, text in texts.items() if text != page.read_text()}


def main() -> None:
    stale = out_of_date()
    for page, text in stale.items():
        print(page.relative_to(ROOT))
        if "--check" not in sys.argv:
            page.write_text(text)
    if "--check" in sys.argv and stale:
        sys.exit("These pages differ from their examples. Run: python docs/embed.py")


if __name__ == "__main__":
    main()
