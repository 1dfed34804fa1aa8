"""What a checkpoint holds of a model that learns in part: with LoRA the frozen weights are those of the file that they came from.

They are not written again; their checksum is, and a run that goes on refuses others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import cast

from ascendlite import nn
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError
from ascendlite.interop.raw import tensor_bytes
from ascendlite.structure import Value


class Learned:
    """A model as checkpoints see it: all of it where everything learns, else what learns and the buffers.

    >>> model = al.nn.Linear(2, 2)
    >>> sorted(Learned(model).state_dict())
    ['bias', 'weight']
    >>> _ = model.weight.requires_grad_(False)
    >>> sorted(Learned(model).state_dict())
    ['bias']
    """

    def __init__(self, model: nn.Module, frozen: frozenset[str] | None = None) -> None:
        self.model = model
        found = (name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad)
        self.frozen = frozenset(found) if frozen is None else frozen  # the names that are left out

    def state_dict(self) -> dict[str, Value]:
        """What learns, and buffers."""
        return {name: value for name, value in self.model.state_dict().items() if name not in self.frozen}

    def load_state_dict(self, state_dict: Mapping[str, Value]) -> None:
        """Put it back; a whole state is taken as well."""
        wanted = cast("dict[str, Tensor]", self.state_dict())
        if not self.frozen or set(state_dict) >= set(self.model.state_dict()):
            self.model.load_state_dict(state_dict)
            return
        different = sorted(set(wanted) ^ set(state_dict)) or [n for n, t in wanted.items() if t.shape != cast(Tensor, state_dict[n]).shape]
        if different:
            raise ArgumentError(
                f"resume: {different[0]!r} differs between the checkpoint and what learns of the model ({len(different)} such names); "
                "freeze the same weights and add the same LoRA as in the run that is gone on with"
            )
        with no_grad():
            for name, value in wanted.items():
                value.copy_(cast(Tensor, state_dict[name]))

    def checksum(self) -> str:
        """Of the frozen weights; empty where there are none."""
        if not self.frozen:
            return ""
        found = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            if name in self.frozen:
                found.update(name.encode())
                found.update(tensor_bytes(value.detach().cpu().contiguous(), "resume"))
        return found.hexdigest()
