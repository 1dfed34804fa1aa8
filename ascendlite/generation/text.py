"""Text of tokens as they come: whole characters only, and nothing of a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from .protocol import TextCodec

_UNFINISHED = "\ufffd"  # what decoders give for a character whose bytes are not all there


class TextStream:
    """Turns tokens into pieces of text; `stopped` once a stop text has come, which is left out with all after it."""

    def __init__(self, codec: TextCodec, stops: Sequence[str] = ()) -> None:
        self._codec, self._stops = codec, tuple(stops)
        self._tokens: list[int] = []
        self._base = self._read = 0  # decoded from _base on, given up to _read: what is before changes no more
        self._held = ""
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that this token makes certain."""
        self._tokens.append(token)
        before = self._codec.decode(self._tokens[self._base : self._read])
        now = self._codec.decode(self._tokens[self._base :])
        if now.endswith(_UNFINISHED) or len(now) <= len(before):
            return ""
        self._base, self._read = self._read, len(self._tokens)
        return self._give(now[len(before) :], last=False)

    def finish(self) -> str:
        """What was held back."""
        before = self._codec.decode(self._tokens[self._base : self._read])
        rest = self._codec.decode(self._tokens[self._base :])[len(before) :]
        self._base = self._read = len(self._tokens)
        return "" if self.stopped else self._give(rest, last=True)

    def _give(self, new: str, last: bool) -> str:
        pending = self._held + new
        found = [at for at in (pending.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            given, self._held = pending[: min(found)], ""
        else:
            keep = 0 if last else self._beginning_of_a_stop(pending)
            given, self._held = pending[: len(pending) - keep], pending[len(pending) - keep :]
        self.text += given
        return given

    def _beginning_of_a_stop(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop text."""
        sizes = (n for stop in self._stops for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n]))
        return max(sizes, default=0)
