"""Run `trio-openai chat`: print one answer, or hold a conversation.

The client is the blocking one. Ctrl-C then raises `KeyboardInterrupt` in this thread, wherever it is: while it waits
for an answer, which closes the stream, or while the user types.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

from trio_openai import OpenAIError, SyncOpenAI
from trio_openai._cli.connection import default_model, is_terminal, make_client, print_error, quiet_exit
from trio_openai._wire.text import Printable, printable

from .question import content_of

if TYPE_CHECKING:
    import argparse

    from trio_openai._cli.parsing import Parser

_DIM, _NORMAL = "\x1b[2m", "\x1b[0m"
_PROMPT, _MORE = "> ", "  "
# A model could otherwise send escape sequences, which change the terminal or its clipboard.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def run_chat(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 if the request failed; 130 if Ctrl-C stopped the only answer.
    """
    if (reconfigure := getattr(sys.stdout, "reconfigure", None)) is not None:
        reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" for what it lacks
    talks = options.prompt is None and is_terminal(sys.stdin) and is_terminal(sys.stdout)
    content = _content(options, "" if talks else _prompt(options))
    with make_client(options) as client:
        chat = TerminalChat(client, options)
        try:
            return chat.converse(content) if talks else chat.ask_once(content)
        except BrokenPipeError:
            quiet_exit()
            return 0
        except OpenAIError as error:
            print_error(options.parser.prog, error)
            return 1


def _content(options: argparse.Namespace, prompt: str) -> Any:
    """Return the content of the message: the prompt and the files. Exit with code 2 if a file cannot be used."""
    parser: Parser = options.parser
    try:
        return content_of(prompt, options.file)
    except (OSError, ValueError) as error:
        parser.error(f"--file cannot be used: {error}")


def _prompt(options: argparse.Namespace) -> str:
    """Return the prompt, with what comes from a pipe."""
    parser: Parser = options.parser
    try:
        piped = "" if options.prompt is not None and is_terminal(sys.stdin) else _read_stdin()
    except UnicodeDecodeError:
        parser.error("what comes from the pipe is not text in UTF-8; pass a picture with --file")
    prompt = "\n\n".join(text for text in (options.prompt, piped) if text)
    if not prompt and not options.file:
        parser.error('there is no prompt; give one, as in: trio-openai chat "Why is the sky blue?"')
    return prompt


def _read_stdin() -> str:
    return sys.stdin.read().strip("\n") if sys.stdin is not None else ""


class TerminalChat:
    """One run of the command: the messages so far, and the way answers are shown.

    Args:
        client: The client of the server.
        options: The arguments.
    """

    def __init__(self, client: SyncOpenAI, options: argparse.Namespace) -> None:
        self._client = client
        self._prog: str = options.parser.prog
        self._model: str | None = options.model
        self._params = dict(options.param)
        self._system = [{"role": "system", "content": options.system}] if options.system else []
        self._messages: list[Any] = []
        self._is_live = is_terminal(sys.stdout)
        self._is_dim = False
        self._text = ""  # of the latest answer, as far as it was printed

    def ask_once(self, content: Any) -> int:
        """Print the answer to one question, and return the exit code.

        Raises:
            OpenAIError: The request failed. What had arrived is printed.
        """
        try:
            self._answer({"role": "user", "content": content})
        except KeyboardInterrupt:
            return 130
        finally:
            self._end_line()
        return 0

    def converse(self, files: Any) -> int:
        """Answer questions until the user ends the program.

        Args:
            files: The content of the files, which belong to the first question; or an empty string.
        """
        _edit_lines()
        self._note("Ctrl-C stops an answer, Ctrl-D ends the program.")
        while True:
            try:
                question = self._read()
                if question is None:
                    return 0
                if not self._obey(question) and self._answer_in_turn(_joined(files, question)):
                    files = ""
            except KeyboardInterrupt:  # while the user types, or a second one while a stream was closed
                self._is_at_start = False
                self._end_line()

    def _obey(self, line: str) -> bool:
        """Carry out a line that is a command or empty. Return whether it was one."""
        if line == "/clear":
            self._messages.clear()
            self._note("forgotten")
        elif line.startswith("/") and " " not in line:
            self._note(f"there is no command {line}; there is only /clear")
        return not line or (line.startswith("/") and " " not in line)

    def _answer_in_turn(self, content: Any) -> bool:
        """Answer a question of a conversation. Return whether question and answer are part of it.

        They are if anything of the answer has arrived, also if Ctrl-C or an error ended it. Otherwise the question is
        forgotten, so that it can be asked again.
        """
        question = {"role": "user", "content": content}
        try:
            self._answer(question)
        except KeyboardInterrupt:
            self._is_at_start = False  # the terminal shows ^C
        except OpenAIError as error:
            self._end_line()
            print_error(self._prog, error)
        self._end_line()
        if self._text:
            self._messages += [question, {"role": "assistant", "content": self._text}]
        return bool(self._text)

    def _answer(self, question: dict[str, Any]) -> None:
        """Print an answer while it arrives.

        Raises:
            OpenAIError: The request failed.
            KeyboardInterrupt: Ctrl-C stopped the answer. Its stream is closed.
        """
        self._text = ""
        if self._model is None:
            self._model = default_model(self._client)
        messages: Any = [*self._system, *self._messages, question]
        with self._client.chat.completions.stream(
            model=self._model, messages=messages, extra_body=self._params
        ) as stream:
            halves = Printable()  # half a character waits for the other half
            for chunk in stream:
                for choice in chunk.choices[:1]:
                    self._show_thought(choice.delta)
                    self._show(halves.add(choice.delta.content or choice.delta.refusal or ""))
            self._show(halves.end())
            choices = stream.snapshot.choices
        reason = choices[0].finish_reason if choices else None
        if reason not in (None, "stop"):
            self._end_line()
            self._note(f"the answer ended early: {reason}")

    def _show(self, text: str) -> None:
        """Print a piece of the answer."""
        if text:
            self._brighten()
            self._text += text
            self._write(text.translate(_CONTROLS) if self._is_live else text)

    def _show_thought(self, delta: Any) -> None:
        """Print a piece of the model's reasoning, on a terminal."""
        thought = delta.raw.get("reasoning_content") or delta.raw.get("reasoning")
        if not (self._is_live and isinstance(thought, str)):
            return
        if not self._is_dim:
            self._is_dim = True
            self._write(_DIM)
        self._write(printable(thought).translate(_CONTROLS))

    def _brighten(self) -> None:
        """End the reasoning."""
        if self._is_dim:
            self._is_dim = False
            self._write(f"{_NORMAL}\n\n")

    def _end_line(self) -> None:
        """Let what comes next begin on a new line."""
        self._brighten()
        if not self._is_at_start:
            self._write("\n")

    def _read(self) -> str | None:
        """Return what the user types; None at the end."""
        lines: list[str] = []
        while True:
            self._is_at_start = False
            try:
                line = input(_MORE if lines else _PROMPT)
            except EOFError:
                self._end_line()
                return None
            self._is_at_start = True
            lines.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                return "\n".join(lines).strip()

    def _write(self, text: str) -> None:
        self._is_at_start = text.endswith("\n")
        sys.stdout.write(text)
        sys.stdout.flush()

    _is_at_start = True  # of a line

    def _note(self, text: str) -> None:
        print(f"{_DIM}({text}){_NORMAL}" if is_terminal(sys.stderr) else f"({text})", file=sys.stderr)


def _joined(files: Any, question: str) -> Any:
    """Return the content of a question and of files before it."""
    if isinstance(files, str):
        return f"{files}\n\n{question}" if files else question
    return [*files, {"type": "text", "text": question}]


def _edit_lines() -> None:
    """Let the user edit the line, and get back to earlier ones, if this Python can."""
    with contextlib.suppress(ImportError):  # on Windows, the terminal does it
        importlib.import_module("readline")  # `input` uses it
