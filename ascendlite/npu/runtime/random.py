"""Random numbers of the device: the same sequence as the CPU's, so that a seed gives the same bits on both."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Generator, Tensor
from ascendlite.core._core import default_generator
from ascendlite.npu.runtime.device import state


def manual_seed(seed: int) -> Generator:
    """Start the default random sequence of `seed`; returns the default generator."""
    generator: Generator = default_generator.manual_seed(seed)
    return generator


def manual_seed_all(seed: int) -> None:
    """Start the default random sequence of `seed` on all dies: they share it."""
    default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default random sequence from a seed of the operating system; returns it."""
    value: int = default_generator.seed()
    return value


def seed_all() -> None:
    """Start the default random sequence of all dies from a seed of the operating system: they share it."""
    default_generator.seed()


def initial_seed() -> int:
    """The seed that the default random sequence started from."""
    value: int = default_generator.initial_seed()
    return value


def get_rng_state(device: object = "npu") -> Tensor:
    """The state of the default random sequence, for `set_rng_state`."""
    found: Tensor = default_generator.get_state()
    return found


def set_rng_state(new_state: Tensor, device: object = "npu") -> None:
    """Go back to a state of the default random sequence."""
    default_generator.set_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """The state of each die's random sequence, which is one and the same."""
    return [get_rng_state(index) for index in range(state.chip.dies)]


def set_rng_state_all(new_states: Sequence[Tensor]) -> None:
    """Go back to states that `get_rng_state_all` gave."""
    for index, one in enumerate(new_states):
        set_rng_state(one, index)
