"""A weight in panels of columns: the order in which a product with one or two rows reads it, so that memory is one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..core import Contents, Tensor, bfloat16, float32, is_plain, no_grad
from ..ops.combine import cat
from ..ops.panels import COLUMNS, lay_out, panel_gated, panel_linear


class Panels:
    """A weight (N, K), laid out anew. It serves as long as the weight is the same, unchanged, and no gradient is asked for.

    >>> weight = al.nn.Parameter(al.ones(100, 800))
    >>> panels = Panels(weight)
    >>> with al.no_grad():
    ...     panels.serve(al.ones(1, 800), weight, None), panels.linear(al.ones(1, 800), None).shape
    (True, (1, 100))
    """

    ROWS: ClassVar[int] = 2
    LEAST: ClassVar[int] = 1 << 16  # elements of a weight that are worth it

    def __init__(self, weight: Tensor) -> None:
        self._contents = Contents(weight)
        self.n, self._k = weight.shape
        self._sizes = {self._k * rows for rows in range(self.ROWS + 1)}
        with no_grad():
            self.data = lay_out(weight)
        self._dtype, self._device = self.data.dtype, self.data.device
        self.following: Panels | None = None  # whose product is likely to be the next one: threads that wait fetch it meanwhile
        self.group: Together | None = None

    @classmethod
    def fit(cls, weight: Tensor) -> bool:
        """Whether a weight can be laid out, and is large enough for it."""
        if weight.ndim != 2 or weight.numel() < cls.LEAST or weight.device.type != "cpu" or not weight.is_contiguous():
            return False
        whole = weight.dtype is bfloat16 and weight.shape[1] % 2 == 0 and weight.data_ptr() % 4 == 0  # two steps are a word
        return weight.dtype is float32 or whole

    def serve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether `linear` gives what the plain product of these would."""
        if not (self.keeps(weight) and type(x) is Tensor and x.dtype is self._dtype and x.device is self._device and is_plain()):
            return False
        if x.numel() not in self._sizes or not x.ndim or x.shape[-1] != self._k:
            return False
        return bias is None or (bias.dtype is self._dtype and bias.shape == (self.n,))

    def keeps(self, weight: Tensor) -> bool:
        """Whether this is the weight that was laid out, unchanged."""
        return self._contents.kept(weight)

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x (..., K) of at most two rows @ the weight, transposed, + bias (N): the bits of `F.linear`."""
        y: Tensor = panel_linear(x, self.data, bias, self.ahead(), self.n)
        return y

    def ahead(self) -> Tensor | None:
        """What the next product is likely to read."""
        following = self.following
        return None if following is None else (following.group or following).data

    def leave(self) -> None:
        """Let go of the others."""
        self.following = self.group = None


class Together:
    """Panels of several weights (N, K), one behind the other, so that one product serves layers that read the same input."""

    def __init__(self, members: Sequence[Panels]) -> None:
        self.members = list(members)
        with no_grad():
            self.data = cat([member.data for member in members])
            starts = [sum(member.n for member in members[:i]) for i in range(len(members))]
            for start, member in zip(starts, members, strict=True):
                member.data, member.group = self.data.narrow(0, start, member.n), self
        self._places = list(zip(starts, (member.n for member in members), strict=True))
        self._n = sum(member.n for member in members)

    @staticmethod
    def fit(members: Sequence[Panels]) -> bool:
        """Whether these can lie together: different ones of one K and dtype, of whole panels, in no other group."""
        if len({id(member) for member in members}) < len(members) or any(member.group or member.n % COLUMNS for member in members):
            return False
        return len({(member.data.shape[1], member.data.dtype) for member in members}) == 1

    def linear(self, x: Tensor) -> list[Tensor]:
        """x (..., K) of at most two rows @ each weight, transposed."""
        y: Tensor = panel_linear(x, self.data, None, self.members[-1].ahead(), self._n)
        return [y.narrow(-1, start, n) for start, n in self._places]

    def gated(self, x: Tensor, scale: Tensor, eps: float, down: Panels) -> Tensor:
        """x + down(swiglu(gate(h), up(h))) of h = rms_norm(x) * scale, for x (..., K) of at most two rows; these are gate and up."""
        y: Tensor = panel_gated(x, scale, self.data, down.data, down.ahead(), self.members[0].n, eps)
        return y
