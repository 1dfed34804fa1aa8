"""The schedules that torch recorded in schedulers.json: name -> (class, options); the rates are 0.5, 0.1."""

from __future__ import annotations

from typing import Any

STEPS = 24

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "step": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "multi_step": ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.3}),
    "constant": ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
    "linear": ("LinearLR", {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 6}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "cosine": ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
    "warm_restarts": ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2, "eta_min": 0.02}),
    "warm_restarts_equal": ("CosineAnnealingWarmRestarts", {"T_0": 5}),
    "one_cycle": ("OneCycleLR", {"max_lr": [1.0, 0.3], "total_steps": 24}),
    "one_cycle_three_phase": (
        "OneCycleLR",
        {
            "max_lr": 1.0,
            "epochs": 4,
            "steps_per_epoch": 6,
            "three_phase": True,
            "anneal_strategy": "linear",
            "pct_start": 0.2,
        },
    ),
    "one_cycle_no_momentum": ("OneCycleLR", {"max_lr": 1.0, "total_steps": 30, "cycle_momentum": False}),
    "polynomial": ("PolynomialLR", {"total_iters": 9, "power": 1.5}),
    "cyclic": ("CyclicLR", {"base_lr": [0.1, 0.2], "max_lr": 0.9, "step_size_up": 4, "step_size_down": 3}),
    "cyclic_halves": ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.9, "step_size_up": 3, "mode": "triangular2", "base_momentum": 0.5}),
    "cyclic_range": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.9, "step_size_up": 3, "mode": "exp_range", "gamma": 0.9, "cycle_momentum": False},
    ),
}

# metrics for ReduceLROnPlateau, and its runs
METRICS = [
    1.0,
    0.9,
    0.95,
    0.94,
    0.93,
    0.92,
    0.89,
    0.895,
    0.893,
    0.892,
    0.891,
    0.8905,
    0.5,
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
]
PLATEAU_CASES: dict[str, dict[str, Any]] = {
    "plateau": {"patience": 2, "factor": 0.5},
    "plateau_abs": {
        "patience": 1,
        "threshold": 0.02,
        "threshold_mode": "abs",
        "cooldown": 2,
        "min_lr": [0.2, 0.001],
    },
    "plateau_max": {"mode": "max", "patience": 1, "factor": 0.3},
}
