"""`ascendlite chat`: a conversation with a model, in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ascendlite.errors import ArgumentError

from . import sampling

if TYPE_CHECKING:
    from ascendlite.text import Message

    from .opened import Opened

_DESCRIPTION = """Converse with a model. Ctrl-C ends an answer; on an empty line, or with Ctrl-D, it ends the chat.

MODEL is smollm2 (get it with: ascendlite fetch smollm2), a GGUF file, a Hugging Face folder, or a run that
`ascendlite posttrain` or `ascendlite train` made. Without a terminal, every line of the input is a turn."""
_EXAMPLES = """examples:
  ascendlite chat smollm2
  ascendlite chat smollm2 --message "What is the capital of France?" --temperature 0
  ascendlite chat runs/posttrain-1 --thinking high"""
_COMMANDS = """/new        start again, with the same system text
/undo       take the last turn back
/system T   start again with another system text
/thinking M a mode of thinking that the model knows; without M its default
/exit       leave"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "chat",
        help="converse with a model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="smollm2, a GGUF file, a folder, or a run")
    parser.add_argument("--message", metavar="TEXT", help="say this, print the answer, and leave")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first (default: what its template says)")
    parser.add_argument("--thinking", metavar="MODE", help="chat, high or max for DeepSeek-V4, on or off for models with a template")
    sampling.add_flags(parser, temperature=0.7, count=512, count_flag="--max-tokens")
    return parser


class Conversation:
    """The turns so far, and the model's memory of them."""

    def __init__(self, opened: Opened, options: argparse.Namespace, write: Callable[[str], object]) -> None:
        from ascendlite.generation import Past

        self.opened, self.options, self.write = opened, options, write
        self.system: str | None = options.system
        self.thinking: str | None = options.thinking
        self.turns: list[Message] = []
        self.past = Past()
        self.tokens, self.seconds = 0, 0.0

    def start_again(self, system: str | None) -> None:
        """Forget all turns."""
        self.system, self.turns = system, []

    def _prompt(self, turns: list[Message]) -> list[int]:
        """Tokens of the conversation; the oldest turns are left out where the model's length is too small for all."""
        first: list[Message] = [{"role": "system", "content": self.system}] if self.system is not None else []
        limit = self.opened.model.max_length
        while True:
            text = self.opened.chat.render([*first, *turns], thinking=self.thinking)
            tokens = [int(token) for token in self.opened.shown.encode(text)]
            if len(tokens) < limit or len(turns) < 2:
                break
            turns = turns[2:]
        if len(tokens) >= limit:
            raise ArgumentError(f"chat: the question has {len(tokens)} tokens, the model's texts at most {limit}; ask in fewer words")
        return tokens

    def say(self, text: str) -> None:
        """Ask, and write the answer as it comes; Ctrl-C ends it."""
        from ascendlite.generation import stream

        o = self.options
        asked: list[Message] = [*self.turns, {"role": "user", "content": text}]
        prompt = self._prompt(asked)
        past = None if o.speculate else self.past
        written = stream(
            self.opened.model, prompt, tokenizer=self.opened.shown, past=past, max_new_tokens=o.max_tokens, temperature=o.temperature,
            top_k=o.top_k, top_p=o.top_p, min_p=o.min_p, repetition_penalty=o.repetition_penalty,
            stop=(*o.stop, *self.opened.chat.stops), stop_tokens=self.opened.stop_tokens, seed=o.seed + len(self.turns),
            speculate=o.speculate,
        )  # fmt: skip
        answer, finish, start = "", None, time.perf_counter()
        try:
            for token in written:
                answer, finish = answer + token.text, token.finish
                self.tokens += 1
                self.write(token.text)
        except KeyboardInterrupt:
            self.write(" [stopped]")
        self.seconds += time.perf_counter() - start
        self.write("\n")
        if finish == "context":
            self.write(f"[the text is as long as the model can read, {self.opened.model.max_length} tokens; /new starts again]\n")
        self.turns = [*asked, self._turn(answer)]

    def _turn(self, answer: str) -> Message:
        try:
            return self.opened.chat.parse(answer, thinking=self.thinking)
        except ArgumentError:  # cut, or not what the format says: kept as it was written
            return {"role": "assistant", "content": answer}


def _command(line: str, talk: Conversation) -> bool:
    """Do what a line that starts with a slash says; false ends the chat."""
    name, _, rest = line.partition(" ")
    if name in ("/exit", "/quit"):
        return False
    if name == "/new":
        talk.start_again(talk.system)
    elif name == "/undo":
        talk.turns = talk.turns[:-2]
    elif name == "/system":
        talk.start_again(rest.strip() or None)
    elif name == "/thinking":
        talk.thinking = rest.strip() or None
    else:
        talk.write(_COMMANDS + "\n")
    return True


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _turns(talk: Conversation, interactive: bool) -> None:
    """Read lines and answer them, to the end of the input."""
    while True:
        try:
            line = input("> ") if interactive else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            _show("\n")
            return
        if not interactive and not line:
            return
        line = line.strip()
        if line.startswith("/"):
            if not _command(line, talk):
                return
        elif line:
            try:
                talk.say(line)
            except ArgumentError as error:
                if not interactive:
                    raise
                _show(f"{error}\n")


def run(options: argparse.Namespace) -> int:
    """Converse."""
    sampling.check_flags(options, "chat")
    from .opened import open_model

    opened = open_model(options.model, dtype=options.dtype, device=options.device, adapter=options.adapter)
    talk = Conversation(opened, options, _show)
    if options.message is not None:
        talk.say(options.message)
        return 0
    interactive = sys.stdin.isatty()
    if interactive:
        with contextlib.suppress(ImportError):  # where there is one, lines can be edited and called back
            import readline  # noqa: F401
        _show(f"{opened.about}\n/help shows what can be said besides; Ctrl-C ends an answer, Ctrl-D the chat\n")
    _turns(talk, interactive)
    if interactive and talk.tokens:
        _show(f"{talk.tokens:,} tokens at {talk.tokens / talk.seconds:.1f} a second\n")
    return 0
