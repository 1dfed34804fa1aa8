"""Why an op runs on the card's own CPU: the operator that CANN runs there too, or what stands in the way of a kernel.

Source of the operators: the registry of AI CPU operators that MindSpore hands to CANN (mindspore/ops/_op_impl/aicpu, Apache 2.0), and for
StatelessRandperm and Bincount CANN's own repository ops-math.
"""

from __future__ import annotations

from typing import Final

# Op -> operator of CANN's AI CPU.
OPERATORS: Final[dict[str, str]] = {
    "bessel_j0": "BesselJ0", "bessel_j1": "BesselJ1", "bessel_y0": "BesselY0", "bessel_y1": "BesselY1", "modified_bessel_k0": "BesselK0",
    "modified_bessel_k1": "BesselK1", "scaled_modified_bessel_k0": "BesselK0e", "scaled_modified_bessel_k1": "BesselK1e",
    "bincount": "Bincount", "bitwise_left_shift": "LeftShift", "bitwise_right_shift": "RightShift", "col2im": "Col2im",
    "digamma": "Digamma", "gcd": "Gcd", "histc": "Histogram", "i0": "BesselI0", "i0e": "BesselI0e", "i1e": "BesselI1e", "igamma": "Igamma", "igammac": "Igammac", "im2col": "Im2col",
    "lcm": "Lcm", "linspace": "LinSpace", "logspace": "LogSpace", "ndtri": "Ndtri", "number_runs": "UniqueConsecutive",
    "philox_poisson": "RandomPoisson", "plane_gather": "MaxUnpool2D", "plane_scatter": "MaxUnpool2D", "randperm": "StatelessRandperm",
    "searchsorted": "SearchSorted", "sort_rows": "Unique", "triangle_indices": "TrilIndices", "trigamma": "Polygamma", "zeta": "Zeta",
}  # fmt: skip
# Op -> why there is no kernel yet.
MISSING: Final[dict[str, str]] = {
    **dict.fromkeys((
        "airy_ai", "spherical_bessel_j0", "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
        *(f"{kind}chebyshev_polynomial_{letter}" for kind in ("", "shifted_") for letter in "tuvw"),
    ), "no operator of CANN: its loop runs until the degree or the size of each element, which vector cores can't"),
    "copy_": "its formats that no cast of the vector core reaches",
    "exponent": "no operator of CANN (frexp); bits of a float are not there in wide modes",
    "mantissa": "no operator of CANN (frexp); bits of a float are not there in wide modes",
    "fp4_decode": "the 910 family has no fp4", "fp4_encode": "the 910 family has no fp4", "i1": "no kernel yet; the AI CPU runs it as it does BesselI0",
    **dict.fromkeys(("panels", "panel_linear", "panel_gated"), "an order of weights for the CPU's caches: reading_weights leaves those on a card as they are"),
    "sparse_attention_mass": "no kernel yet: the weights of the chosen rows, summed over heads",
}  # fmt: skip


def reason(name: str) -> str:
    """Why the op is on the AI CPU.

    >>> from ascendlite.npu.reasons import reason
    >>> reason("randperm")
    "CANN's StatelessRandperm"
    """
    return f"CANN's {OPERATORS[name]}" if name in OPERATORS else MISSING.get(name, "made by this program: it has no kernel")
