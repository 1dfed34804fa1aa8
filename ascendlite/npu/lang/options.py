"""The manual's enumerations. Each member is the word that the instructions take: ac.CMPMODE.LT is "LT"."""

from __future__ import annotations

from enum import StrEnum

from ascendlite.npu.lang.order import EVENTS


class CMPMODE(StrEnum):
    """Comparisons of Compare and CompareScalar."""

    LT, GT, EQ, LE, GE, NE = "LT", "GT", "EQ", "LE", "GE", "NE"


class RoundMode(StrEnum):
    """How Cast rounds."""

    CAST_NONE = "CAST_NONE"
    CAST_RINT = "CAST_RINT"
    CAST_FLOOR = "CAST_FLOOR"
    CAST_CEIL = "CAST_CEIL"
    CAST_ROUND = "CAST_ROUND"
    CAST_TRUNC = "CAST_TRUNC"
    CAST_ODD = "CAST_ODD"
    CAST_HYBRID = "CAST_HYBRID"


class SELMODE(StrEnum):
    """Where Select takes its mask and its second source from."""

    VSEL_CMPMASK_SPR = "VSEL_CMPMASK_SPR"
    VSEL_TENSOR_SCALAR_MODE = "VSEL_TENSOR_SCALAR_MODE"
    VSEL_TENSOR_TENSOR_MODE = "VSEL_TENSOR_TENSOR_MODE"


class ReduceOrder(StrEnum):
    """What WholeReduceMax and WholeReduceMin write."""

    ORDER_VALUE_INDEX = "ORDER_VALUE_INDEX"
    ORDER_INDEX_VALUE = "ORDER_INDEX_VALUE"
    ORDER_ONLY_VALUE = "ORDER_ONLY_VALUE"
    ORDER_ONLY_INDEX = "ORDER_ONLY_INDEX"


EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 = range(EVENTS)
