"""Learning-rate schedules: torch's values, state dicts that resume, clear complaints."""

from __future__ import annotations

import copy
import warnings

import pytest

import ascendlite as al
from ascendlite.optim import lr_scheduler as schedules
from tests.goldenfile import records
from tests.goldens.scheduler_cases import CASES, METRICS, PLATEAU_CASES, STEPS

GOLDEN = records("schedulers.json")


def optimizer() -> al.optim.SGD:
    first, second = (al.nn.Parameter(al.zeros(1)) for _ in range(2))
    return al.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.1}], lr=0.5, momentum=0.9)


def sequential(opt: al.optim.Optimizer) -> schedules.SequentialLR:
    parts = [
        schedules.LinearLR(opt, 0.1, total_iters=5),
        schedules.CosineAnnealingLR(opt, T_max=12),
        schedules.ConstantLR(opt, 0.5, total_iters=3),
    ]
    return schedules.SequentialLR(opt, parts, milestones=[5, 17])


def make(name: str, opt: al.optim.Optimizer) -> schedules.LRScheduler:
    if name == "sequential":
        return sequential(opt)
    if name == "lambda":
        return schedules.LambdaLR(opt, [lambda t: 0.9**t, lambda t: 1 / (1 + t)])
    if name == "multiplicative":
        return schedules.MultiplicativeLR(opt, lambda t: 1 - 0.3 / t)
    if name == "chained":
        return schedules.ChainedScheduler([schedules.ConstantLR(opt, 0.1, total_iters=4), schedules.ExponentialLR(opt, 0.9)])
    kind, options = CASES[name]
    return getattr(schedules, kind)(opt, **options)


@pytest.mark.parametrize("name", [*CASES, "lambda", "sequential", "multiplicative", "chained"])
def test_the_rates_are_torchs(name: str) -> None:
    opt = optimizer()
    schedule = make(name, opt)
    for t in range(STEPS + 1):
        assert GOLDEN[name]["lr"][t] == pytest.approx(schedule.get_last_lr(), rel=1e-12), t
        assert GOLDEN[name]["lr"][t] == pytest.approx([g["lr"] for g in opt.param_groups], rel=1e-12), t
        assert GOLDEN[name]["momentum"][t] == pytest.approx(
            [g["momentum"] for g in opt.param_groups], rel=1e-12
        ), t
        if t < STEPS:
            opt.step()
            schedule.step()


@pytest.mark.parametrize("name", PLATEAU_CASES)
def test_a_plateau_lowers_the_rate_when_torch_does(name: str) -> None:
    opt = optimizer()
    schedule = schedules.ReduceLROnPlateau(opt, **PLATEAU_CASES[name])
    for metric, expected in zip(METRICS, GOLDEN[name]["lr"], strict=True):
        schedule.step(metric)
        assert expected == pytest.approx(schedule.get_last_lr(), rel=1e-12)


@pytest.mark.parametrize("name", [*CASES, "lambda", "sequential", "multiplicative", "chained"])
def test_a_resumed_schedule_goes_on(name: str) -> None:
    opt = optimizer()
    schedule = make(name, opt)
    for _ in range(7):
        opt.step()
        schedule.step()
    other = optimizer()
    resumed = make(name, other)
    resumed.load_state_dict(copy.deepcopy(schedule.state_dict()))
    other.load_state_dict(opt.state_dict())
    for t in range(8, STEPS):
        other.step()
        resumed.step()
        assert GOLDEN[name]["lr"][t] == pytest.approx(resumed.get_last_lr(), rel=1e-12)


def test_warmup_cosine_rises_falls_and_stays() -> None:
    opt = al.optim.SGD([al.nn.Parameter(al.zeros(1))], lr=1.0)
    schedule = schedules.WarmupCosine(opt, warmup_steps=4, total_steps=12, min_ratio=0.1)
    rates = [schedule.get_last_lr()[0]]
    for _ in range(16):
        opt.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    assert [0.25, 0.5, 0.75, 1.0, 1.0] == rates[:5]
    assert 0.55 == pytest.approx(rates[8])
    assert [pytest.approx(0.1)] * 5 == rates[12:]


def test_stepping_the_schedule_first_warns() -> None:
    schedule = schedules.StepLR(optimizer(), 2)
    with pytest.warns(UserWarning, match=r"before optimizer\.step"):
        schedule.step()


def test_stepping_in_order_is_silent() -> None:
    opt = optimizer()
    schedule = schedules.StepLR(opt, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opt.step()
        schedule.step()


MISTAKES = [
    (lambda: schedules.StepLR(1, 2), TypeError, "int is not an Optimizer"),
    (
        lambda: schedules.LambdaLR(optimizer(), [lambda t: 1.0]),
        ValueError,
        "Expected 2 lr_lambdas, but got 1",
    ),
    (lambda: schedules.ConstantLR(optimizer(), 1.5), ValueError, r"between 0 and 1, got 1\.5"),
    (lambda: schedules.LinearLR(optimizer(), 0.0), ValueError, "greater than 0"),
    (lambda: schedules.OneCycleLR(optimizer(), 0.1), ValueError, "either total_steps OR"),
    (
        lambda: schedules.OneCycleLR(optimizer(), 0.1, total_steps=0),
        ValueError,
        "positive integer total_steps, but got 0",
    ),
    (lambda: schedules.OneCycleLR(optimizer(), [0.1], total_steps=5), ValueError, "max_lr has 1 values"),
    (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 0), ValueError, "positive integer T_0"),
    (lambda: schedules.ReduceLROnPlateau(optimizer(), factor=1.0), ValueError, "Factor should be < 1.0"),
    (lambda: schedules.ReduceLROnPlateau(optimizer(), "best"), ValueError, "mode best is unknown"),
    (lambda: schedules.SequentialLR(optimizer(), [], []), ValueError, "at least one scheduler"),
    (lambda: schedules.StepLR(optimizer(), 2, last_epoch=3), KeyError, "initial_lr"),
    (lambda: schedules.WarmupCosine(optimizer(), 5, 3), ValueError, "warmup_steps 5 .* total_steps 3"),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES)
def test_mistakes_are_named(mistake, error, text) -> None:
    with pytest.raises(error, match=text):
        mistake()


def test_one_cycle_can_not_be_outrun() -> None:
    opt = optimizer()
    schedule = schedules.OneCycleLR(opt, 0.1, total_steps=3)
    for _ in range(3):
        opt.step()
        schedule.step()
    with pytest.raises(ValueError, match=r"Tried to step 4 times.*3"):
        schedule.step()
