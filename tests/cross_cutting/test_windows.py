"""Windows: the package imports and streams without anything that only POSIX has.

These tests run on any system. They hide the modules and names that Windows lacks, in a separate process.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard

import pytest

import trio_openai

ROOT = Path(trio_openai.__file__).parent
MODULES = {
    ".".join(("trio_openai", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": """
        chown chroot confstr ctermid eventfd fchdir fork forkpty getegid geteuid getgid getgroups getloadavg getpgid
        getpgrp getpriority getsid getuid initgroups killpg lchown lockf mkfifo mknod nice openpty posix_fadvise
        posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev register_at_fork sched_getaffinity
        sched_yield sendfile setpgid setsid setuid statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3
        wait4 waitid O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK WNOHANG
    """,
    "select": "epoll kqueue poll",
    "signal": """
        ITIMER_REAL SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH
        alarm pause pthread_kill pthread_sigmask setitimer sigwait
    """,
    "socket": "AF_NETLINK AF_UNIX MSG_DONTWAIT MSG_NOSIGNAL SO_PEERCRED SO_REUSEPORT TCP_CORK recv_fds send_fds",
    "time": "clock_gettime tzset",
}
ASKED_FOR_FIRST = {("select", "poll"), ("select", "epoll")}
"""Names that the library uses if they exist. `test_a_first_stream_without_posix` runs the other branch."""

HIDE = """\
import importlib, sys
import httpx, trio, trio.testing, cattrs, attrs, httptools
import subprocess, tempfile, webbrowser, getpass, shutil, pathlib, concurrent.futures
for name in {modules}:
    sys.modules[name] = None
for module, names in {names}.items():
    for name in names.split():
        if name not in {kept}:
            vars(importlib.import_module(module)).pop(name, None)
"""
STREAM = """\
from trio_openai.testing import Reply, ScriptedServer
messages = [{"role": "user", "content": "Hi"}]


async def main():
    async with trio.open_nursery() as nursery:
        server = ScriptedServer([Reply.chat("Hello there."), Reply.chat("And again.")])
        await server.start(nursery)
        async with server.client() as client:
            for _ in range(2):  # the second one asks whether the connection of the first is still usable
                async with client.chat.completions.stream(model="m", messages=messages) as stream:
                    print(*[text async for text in stream.text_deltas], sep="")
            print(server.statistics().accepted)
        nursery.cancel_scope.cancel()


trio.run(main)
"""


def run_without_posix(program: str, *, kept: tuple[str, ...] = ()) -> str:
    """Run a program without what only POSIX has, after the imports of other packages. Return what it printed."""
    hide = HIDE.format(modules=sorted(POSIX_MODULES), names=POSIX_NAMES, kept=kept)
    command = [sys.executable, "-W", "error", "-c", hide + program]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_module_imports_without_posix() -> None:
    names = [name for name in MODULES if not name.endswith("__main__")]
    assert len(names) > 100
    assert run_without_posix(f"for name in {names}:\n    importlib.import_module(name)\n") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there the test above runs the same")
def test_a_first_stream_without_posix() -> None:
    kept = ("epoll", "kqueue", "AF_UNIX")  # trio itself needs them here
    assert run_without_posix(STREAM, kept=kept) == "Hello there.\nAnd again.\n1\n"


@pytest.mark.parametrize("name", MODULES)
def test_no_module_uses_what_only_posix_has(name: str) -> None:
    used, tree = set(), ast.parse(MODULES[name].read_text("utf-8"))
    guarded = {id(statement) for node in ast.walk(tree) if falls_back(node) for statement in node.body}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names) if id(node) not in guarded:
                used |= {alias.name for alias in names} & POSIX_MODULES
            case ast.ImportFrom(module=str(module), names=names):
                used |= {module} & POSIX_MODULES
                used |= {f"{module}.{alias.name}" for alias in names if is_posix(module, alias.name)}
            case ast.Attribute(value=ast.Name(id=module), attr=attr) if is_posix(module, attr):
                used.add(f"{module}.{attr}")
    assert used == set()


def falls_back(node: ast.AST) -> TypeGuard[ast.Try]:
    """Return whether a statement is a `try` that goes on without what cannot be imported."""
    return isinstance(node, ast.Try) and any("ImportError" in ast.dump(handler) for handler in node.handlers)


def is_posix(module: str, name: str) -> bool:
    """Return whether only POSIX has this name, and the library does not ask whether it exists."""
    return name in POSIX_NAMES.get(module, "").split() and (module, name) not in ASKED_FOR_FIRST
