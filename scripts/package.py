"""Build the packages and check them as their users will: python scripts/package.py [FOLDER].

The sdist and the wheel are built into FOLDER (default: dist). Then four things are checked.

1. `twine check --strict` accepts both, so an index will show the README.
2. The sdist has exactly the files that git tracks in the folders that belong to it.
3. The wheel has exactly the files that git tracks in trio_openai, and its metadata.
4. The wheel works in an empty environment: only what it requires gets installed, and a first stream is read there.

It needs the extra `package`, git, and an index of packages. It takes about half a minute.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_IN_THE_SDIST = (".ci/", ".github/", ".pre-commit-config.yaml", ".readthedocs.yml")
"""What only serves the repository."""

FIRST_STREAM = """\
import importlib.util
import trio
import trio_openai
from trio_openai.testing import Reply, ScriptedServer

assert "site-packages" in trio_openai.__file__, trio_openai.__file__
for name in ("pytest", "pydantic", "openai", "rich"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"


async def main():
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply.chat("Hello there."))
        await server.start(nursery)
        async with server.client() as client:
            messages = [{"role": "user", "content": "Hi"}]
            async with client.chat.completions.stream(model="m", messages=messages) as stream:
                assert "".join([text async for text in stream.text_deltas]) == "Hello there."
            assert stream.verdict.state == "done", stream.verdict
        nursery.cancel_scope.cancel()


trio.run(main)
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command and return what it printed. Print that, and stop, if the command fails."""
    done = subprocess.run(command, cwd=cwd, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout}\nThis failed: {' '.join(map(str, command))}")
    return done.stdout


def tracked(*paths: str) -> set[str]:
    """Return the files that git tracks."""
    return set(run("git", "ls-files", "-z", *paths).split("\0")) - {""}


def compare(name: str, found: set[str], expected: set[str]) -> None:
    """Stop with a list of the differences, if there are any."""
    lines = [f"  surplus: {path}" for path in sorted(found - expected)]
    lines += [f"  missing: {path}" for path in sorted(expected - found)]
    if lines:
        sys.exit("\n".join([f"{name} does not have the files that it should have:", *lines]))
    print(f"{name}: {len(found)} files")


def check_sdist(sdist: Path) -> None:
    """Check the list of files in the sdist."""
    with tarfile.open(sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers() if not member.isdir()}
    expected = {path for path in tracked() if not path.startswith(NOT_IN_THE_SDIST)}
    compare(sdist.name, found, expected | {"PKG-INFO"})


def check_wheel(wheel: Path) -> None:
    """Check the list of files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    metadata = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    expected = tracked("trio_openai") | metadata
    assert "trio_openai/py.typed" in expected
    compare(wheel.name, found, expected)


def stream_from(wheel: Path) -> None:
    """Install the wheel into an empty environment, and read a first stream from a scripted server there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "venv")
        python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel.resolve())
        run(python, "-I", "-W", "error", "-c", FIRST_STREAM, cwd=folder)
        print(f"{wheel.name}: installs into an empty environment, and streams")


def main(folder: Path) -> None:
    """Build the packages into a folder, and check them."""
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} has files already: please remove them, so that it is clear which ones get checked.")
    run(sys.executable, "-m", "build", "--outdir", folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    print(run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel), end="")
    check_sdist(sdist)
    check_wheel(wheel)
    stream_from(wheel)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").absolute())
