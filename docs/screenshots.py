"""Take pictures of pages of the built site: `python docs/screenshots.py SITE FOLDER [PAGE ...]`.

Build the site first: `python -m mkdocs build --strict`. Every page is shown at 1400 and 400 pixels, light and dark. It
needs chromium. Look for clipped boxes and broken words: the script also lists elements that are wider than the screen.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTHS = (1400, 400)
SCHEMES = {"light": "default", "dark": "slate"}
MEASURE = """
<pre id="measured"></pre><script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll(".md-content *")].filter(one => {
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const scrolls = one.closest(".md-typeset__scrollwrap, .highlight, svg");
    return box.width && box.right > innerWidth + 1 && !scrolls && style.position !== "absolute";
  });
  document.getElementById("measured").textContent =
    [...new Set(wide.map(one => one.tagName + " " + one.textContent.trim().slice(0, 60)))].join("\\n");
});
</script>
"""


def main(site: Path, folder: Path, wanted: list[str]) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("chromium is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    pages = [page for page in sorted(site.rglob("index.html")) if not wanted or page.parent.name in wanted]
    with tempfile.TemporaryDirectory() as profile:
        for page in pages:
            name = "-".join(page.parent.relative_to(site).parts) or "home"
            for scheme, palette in SCHEMES.items():
                text = re.sub(r'data-md-color-scheme="\w+"', f'data-md-color-scheme="{palette}"', page.read_text())
                text = text.replace('id="__palette"', 'id="__no_palette"').replace("</body>", f"{MEASURE}</body>")
                copy = page.with_name("_screenshot.html")
                copy.write_text(text)
                for width in WIDTHS:
                    # A window cannot be narrower than 500 pixels, so a narrow page is shown in a frame.
                    command = [chromium, "--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
                    command += [f"--user-data-dir={profile}", "--allow-file-access-from-files"]
                    command += ["--virtual-time-budget=3000", f"--window-size={max(width, 500)},2400"]
                    shown = copy
                    if width < 500:
                        shown = page.with_name("_frame.html")
                        frame = f'<iframe src="_screenshot.html" style="border:0;width:{width}px;height:2400px"></iframe>'
                        shown.write_text(f'<body style="margin:0">{frame}</body>')
                    picture = folder / f"{name}-{width}-{scheme}.png"
                    subprocess.run([*command, f"--screenshot={picture}", shown.as_uri()], capture_output=True, check=True)
                    shown.unlink()
                    copy.write_text(text)
                copy.unlink()
            print(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
