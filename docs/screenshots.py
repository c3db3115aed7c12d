"""Take pictures of the pages of the built site: `python docs/screenshots.py SITE FOLDER [PAGE ...]`.

Build the site first: `python -m mkdocs build --strict`. Each page is shown at 1400 and 400 pixels, light and dark. It
needs chromium. The script also prints the elements that are cut off on the right. Look for the rest yourself.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

WIDTHS = (1400, 400)
SCHEMES = {"light": "default", "dark": "slate"}
HEIGHT = 2400
# A window cannot be narrower than 500 pixels, so every page is shown in a frame.
FRAME = """
<body style="margin: 0"><iframe src="{path}?scheme={scheme}" style="border: 0; width: {width}px; height: {height}px">
</iframe><pre id="cut"></pre><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument;
  const cut = [...page.querySelectorAll(".md-content *")].filter(one => {{
    const box = one.getBoundingClientRect();
    const scrolls = one.closest(".md-typeset__scrollwrap, pre, svg, [hidden], .md-typeset__table");
    return box.width && box.right > {width} + 1 && !scrolls;
  }});
  document.getElementById("cut").textContent =
    [...new Set(cut.map(one => one.tagName + " " + one.textContent.trim().slice(0, 60)))].join("\\n");
}});
</script></body>
"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the site: `?scheme=` chooses the colors of a page, and `?width=` shows it in a frame."""

    def do_GET(self) -> None:
        """Serve a page or a file."""
        address = urlsplit(self.path)
        wanted = {name: values[0] for name, values in parse_qs(address.query).items()}
        if not wanted:
            super().do_GET()
            return
        if "width" in wanted:
            text = FRAME.format(path=address.path, height=HEIGHT, **wanted)
        else:
            text = (Path(self.directory) / address.path[1:] / "index.html").read_text()
            text = re.sub(r'data-md-color-scheme="\w+"', f'data-md-color-scheme="{wanted["scheme"]}"', text)
            text = text.replace('id="__palette"', 'id="__unused"')
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def main(site: Path, folder: Path, wanted: list[str]) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("chromium is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [page.parent.relative_to(site) for page in sorted(site.rglob("index.html"))]
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--virtual-time-budget=4000"]
        for page in pages:
            if wanted and page.as_posix() not in wanted:
                continue
            name = page.as_posix().strip(".").replace("/", "-") or "home"
            path = f"/{page.as_posix()}/" if page.parts else "/"
            for width in WIDTHS:
                for scheme, palette in SCHEMES.items():
                    prefers = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
                    window = [f"--window-size={max(width, 500)},{HEIGHT}", f"--user-data-dir={profile}", prefers]
                    picture = folder / f"{name}-{width}-{scheme}.png"
                    address = f"http://127.0.0.1:{server.server_port}{path}?width={width}&scheme={palette}"
                    command = [browser, *options, *window, f"--screenshot={picture}", "--dump-dom", address]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                cut = re.search(r'<pre id="cut">(.+?)</pre>', done.stdout, re.DOTALL)
                print(f"{name} at {width}:", f"cut off:\n{cut[1]}" if cut else "fits", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
