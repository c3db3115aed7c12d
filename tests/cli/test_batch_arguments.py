"""The arguments of `trio-openai batch`: its help, and one sentence for each usage error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trio_openai._cli.batch.arguments import HELP, add_arguments, parameter, shard
from trio_openai._cli.main import main
from trio_openai._cli.parsing import Parser


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "Name a river."}\n')
    return str(path)


def test_the_help_fits_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["batch", "--help"])
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 40
    assert max(map(len, said)) <= 80


def test_the_help_describes_every_option() -> None:
    parser = Parser(help_text=HELP)
    add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    assert options - {"--help"} == set(re.findall(r"--[a-z-]+", HELP))


def test_the_help_imports_neither_trio_nor_httpx() -> None:
    code = (
        "import sys; from trio_openai._cli.main import main\n"
        "try: main(['batch', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(str({'trio', 'httpx', 'attrs', 'trio_openai.batch'} & sys.modules.keys() or ''))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).stderr == b"\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the file of requests, as in: trio-openai batch in.jsonl -o out.jsonl"),
        (["IN"], "name the file of results with -o, as in: trio-openai batch in.jsonl -o out.jsonl"),
        (["IN", "-o"], "--output needs a value after it"),
        (["IN", "-o", "IN"], "the input and the output are both IN; choose another name after -o"),
        (["/no/such.jsonl", "-o", "out"], "there is no file /no/such.jsonl; check its name"),
        (["/", "-o", "out"], "/ is a folder; name a file of requests"),
        (["IN", "more", "-o", "out"], "unexpected argument 'more'; quote it if it belongs to the one before"),
        (["IN", "-o", "out", "--max-cst", "3"], "there is no option --max-cst; did you mean --max-cost?"),
        (["IN", "-o", "out", "--qqq"], "there is no option --qqq; see trio-openai batch --help"),
        (["IN", "-o", "out", "--max", "3"], "there is no option --max; did you mean --max-cost?"),
        (["IN", "-o", "out", "--limit", "0"], "--limit takes a whole number from 1, not '0'"),
        (["IN", "-o", "out", "--max-concurrent", "1.5"], "--max-concurrent takes a whole number from 1, not '1.5'"),
        (["IN", "-o", "out", "--rpm", "-1"], "--rpm takes a number above 0, not '-1'"),
        (["IN", "-o", "out", "--rpm", "nan"], "--rpm takes a number above 0, not 'nan'"),
        (["IN", "-o", "out", "--tpm", "many"], "--tpm takes a number above 0, not 'many'"),
        (["IN", "-o", "out", "--shard", "5/4"], "--shard takes I/N with I from 1 to N, such as 1/4, not '5/4'"),
        (["IN", "-o", "out", "--param", "x"], "--param takes NAME=VALUE, such as temperature=0, not 'x'"),
        (["IN", "-o", "out", "--url", "chat"], "--url takes a path such as /v1/responses, not 'chat'"),
        (["IN", "-o", "-", "--parquet"], "a Parquet file cannot be written to stdout; name a file after -o"),
        (["IN", "-o", "out", "--text", "--parquet"], "choose one of --text and --parquet"),
        (
            ["IN", "-o", "out", "--max-cost", "1"],
            "--max-cost needs the prices of your models; name their file with --prices",
        ),
        (["IN", "-o", "out", "--prices", "/no.json"], "there is no price file /no.json; check its name"),
        (
            ["IN", "-o", "out", "--api-key-env", "NO_SUCH_KEY"],
            "--api-key-env names NO_SUCH_KEY, which is not set; set it with: export NO_SUCH_KEY=...",
        ),
        (
            ["IN", "-o", "out", "--base-url", "http://a", "--api-key-env", "A", "--api-key-env", "B"],
            "give --api-key-env once, or once for each of the 1 --base-url; not 2 times",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_one_sentence_and_exits_with_code_2(
    capsys: pytest.CaptureFixture[str], lines: str, arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["batch", *(argument.replace("IN", lines) for argument in arguments)])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"trio-openai batch: {told.replace('IN', lines)}\n"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--base-url", "nonsense"], "--base-url"),
        (["--prices", "IN"], "price"),
    ],
    ids=["an invalid URL", "a price file with other contents"],
)
def test_an_error_that_the_library_finds_in_the_arguments_exits_with_code_2(
    capsys: pytest.CaptureFixture[str], lines: str, tmp_path: Path, more: list[str], told: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        more = [argument.replace("IN", lines) for argument in more]
        main(["batch", lines, "-o", str(tmp_path / "out"), "--model", "m", *more])
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_without_a_key_the_error_names_the_variable(
    capsys: pytest.CaptureFixture[str], lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(["batch", lines, "-o", str(tmp_path / "out"), "--model", "m"])
    (line,) = capsys.readouterr().err.splitlines()
    expected = "there is no API key: set OPENAI_API_KEY, or name its variable with --api-key-env"
    assert line == f"trio-openai batch: {expected}"


def test_an_unknown_command_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bach"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("trio-openai: there is no command bach; choose from 'chat', 'batch'")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("temperature=0", ("temperature", 0)),
        ("top_p=0.5", ("top_p", 0.5)),
        ('stop=["a", "b"]', ("stop", ["a", "b"])),
        ("store=true", ("store", True)),
        ("user=me", ("user", "me")),
        ("user=", ("user", "")),
        ("user=a=b", ("user", "a=b")),
        ("x=NaN", ("x", "NaN")),
        ('x="7"', ("x", "7")),
    ],
)
def test_a_parameter_is_json_or_else_text(text: str, value: tuple[str, object]) -> None:
    assert parameter(text) == value


def test_shard_counts_from_1() -> None:
    assert shard("1/4") == (1, 4)
    assert shard("4/4") == (4, 4)
