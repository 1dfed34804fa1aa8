"""The flags between the pipes of a core. Written out, so that editors know them."""

from __future__ import annotations

from enum import Enum

from ascendlite.npu.lang.declare import Pipe


class HardEvent(Enum):
    """Source and destination pipe of a flag: V_MTE2 is set by V and waited for by MTE2."""

    S_V = Pipe.S, Pipe.V
    S_M = Pipe.S, Pipe.M
    S_MTE1 = Pipe.S, Pipe.MTE1
    S_MTE2 = Pipe.S, Pipe.MTE2
    S_MTE3 = Pipe.S, Pipe.MTE3
    S_FIX = Pipe.S, Pipe.FIX
    V_S = Pipe.V, Pipe.S
    V_M = Pipe.V, Pipe.M
    V_MTE1 = Pipe.V, Pipe.MTE1
    V_MTE2 = Pipe.V, Pipe.MTE2
    V_MTE3 = Pipe.V, Pipe.MTE3
    V_FIX = Pipe.V, Pipe.FIX
    M_S = Pipe.M, Pipe.S
    M_V = Pipe.M, Pipe.V
    M_MTE1 = Pipe.M, Pipe.MTE1
    M_MTE2 = Pipe.M, Pipe.MTE2
    M_MTE3 = Pipe.M, Pipe.MTE3
    M_FIX = Pipe.M, Pipe.FIX
    MTE1_S = Pipe.MTE1, Pipe.S
    MTE1_V = Pipe.MTE1, Pipe.V
    MTE1_M = Pipe.MTE1, Pipe.M
    MTE1_MTE2 = Pipe.MTE1, Pipe.MTE2
    MTE1_MTE3 = Pipe.MTE1, Pipe.MTE3
    MTE1_FIX = Pipe.MTE1, Pipe.FIX
    MTE2_S = Pipe.MTE2, Pipe.S
    MTE2_V = Pipe.MTE2, Pipe.V
    MTE2_M = Pipe.MTE2, Pipe.M
    MTE2_MTE1 = Pipe.MTE2, Pipe.MTE1
    MTE2_MTE3 = Pipe.MTE2, Pipe.MTE3
    MTE2_FIX = Pipe.MTE2, Pipe.FIX
    MTE3_S = Pipe.MTE3, Pipe.S
    MTE3_V = Pipe.MTE3, Pipe.V
    MTE3_M = Pipe.MTE3, Pipe.M
    MTE3_MTE1 = Pipe.MTE3, Pipe.MTE1
    MTE3_MTE2 = Pipe.MTE3, Pipe.MTE2
    MTE3_FIX = Pipe.MTE3, Pipe.FIX
    FIX_S = Pipe.FIX, Pipe.S
    FIX_V = Pipe.FIX, Pipe.V
    FIX_M = Pipe.FIX, Pipe.M
    FIX_MTE1 = Pipe.FIX, Pipe.MTE1
    FIX_MTE2 = Pipe.FIX, Pipe.MTE2
    FIX_MTE3 = Pipe.FIX, Pipe.MTE3

    def __init__(self, source: Pipe, target: Pipe) -> None:
        self.source, self.target = source, target
