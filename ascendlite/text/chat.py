"""Conversations as text: a model's own Jinja template, or plain lines for models that have none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NotRequired, Protocol, TypedDict

from ascendlite.errors import ArgumentError, FileFormatError


class Message(TypedDict):
    """One turn, in the words of OpenAI's API; `arguments` of a tool call is a JSON text."""

    role: str
    content: NotRequired[str | None]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, object]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class ChatFormat(Protocol):
    """How a model wants conversations written, and how its answers are read."""

    stops: tuple[str, ...]
    """Texts that end an answer, for models without a token that does."""

    def render(self, messages: Sequence[Message], *, tools: Sequence[dict[str, object]] | None = None, thinking: str | None = None) -> str:
        """The text up to where the model's answer begins. `thinking`: a mode that the format knows, None its default."""

    def parse(self, answer: str, *, thinking: str | None = None) -> Message:
        """The turn that an answer is; `thinking` as it was rendered."""


def split_thinking(answer: str, opened: bool) -> tuple[str, str]:
    """Reasoning and the rest of an answer; `opened`: the prompt ended with <think>.

    >>> split_thinking("<think>hm</think>yes", opened=False)
    ('hm', 'yes')
    """
    head, _, rest = answer.partition("</think>")
    before, tag, inside = head.partition("<think>")
    if tag and not before.strip():
        return inside.strip("\n"), rest.lstrip("\n")
    if opened:
        return head.strip("\n"), rest.lstrip("\n")
    return "", answer


class TemplateChat:
    """The Jinja template that comes with a model, run in Jinja's sandbox.

    >>> chat = TemplateChat("{% for m in messages %}[{{ m.role }}] {{ m.content }}\\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}")
    >>> chat.render([{"role": "user", "content": "hi"}])
    '[user] hi\\n[assistant]'
    """

    stops: tuple[str, ...] = ()
    _MODES = {None: None, "off": False, "on": True}

    def __init__(self, template: str, *, begin: str = "", end: str = "", source: str = "chat template") -> None:
        try:
            import jinja2
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise ImportError("chat: the model's chat template needs the package 'jinja2': pip install 'ascendlite[text]'") from None
        self._source, self._tokens = source, {"bos_token": begin, "eos_token": end}
        self._error = jinja2.TemplateError
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
        environment.globals["raise_exception"] = self._refuse
        environment.globals["strftime_now"] = lambda text: datetime.now().strftime(text)
        try:
            self._template = environment.from_string(template)
        except jinja2.TemplateError as error:
            raise FileFormatError(f"{source}: not a Jinja template ({error})") from error
        self.opens_thinking = "<think>" in template

    def _refuse(self, text: str) -> None:
        raise ArgumentError(f"{self._source}: {text}")

    def render(self, messages: Sequence[Message], *, tools: Sequence[dict[str, object]] | None = None, thinking: str | None = None) -> str:
        """The text up to where the answer begins; `thinking` "on" or "off" is the template's enable_thinking."""
        if thinking not in self._MODES:
            raise ArgumentError(f"chat: thinking is {thinking!r}; this model's template knows on and off")
        flags = {} if thinking is None else {"enable_thinking": self._MODES[thinking]}
        try:
            return str(
                self._template.render(
                    messages=[dict(m) for m in messages], tools=list(tools) if tools else None, add_generation_prompt=True, **self._tokens, **flags
                )
            )
        except self._error as error:
            raise ArgumentError(f"{self._source}: the template does not take this conversation: {error}") from error

    def parse(self, answer: str, *, thinking: str | None = None) -> Message:
        """The turn that an answer is, its reasoning apart."""
        reasoning, content = split_thinking(answer, opened=False)
        message: Message = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        return message


class PlainChat:
    """Speakers' names before their lines: for models that learned no chat format.

    >>> PlainChat().render([{"role": "user", "content": "hi"}])
    'User: hi\\nAssistant:'
    """

    stops: tuple[str, ...] = ("\nUser:",)

    def render(self, messages: Sequence[Message], *, tools: Sequence[dict[str, object]] | None = None, thinking: str | None = None) -> str:
        """The lines, up to the one that the model writes."""
        if tools or thinking is not None:
            raise ArgumentError("chat: a model without a chat format knows neither tools nor thinking modes; leave them out")
        lines = [f"{m['role'].capitalize()}: {m.get('content') or ''}\n" for m in messages]
        return "".join(lines) + "Assistant:"

    def parse(self, answer: str, *, thinking: str | None = None) -> Message:
        """The turn that an answer is."""
        return {"role": "assistant", "content": answer.strip()}
