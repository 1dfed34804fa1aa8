"""The optimizer runs that torch recorded in optim.npz: name -> (class, options)."""

from __future__ import annotations

from typing import Any

STEPS = 6

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd_dampening_decay": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "sgd_maximize": ("SGD", {"lr": 0.05, "momentum": 0.9, "maximize": True}),
    "adam": ("Adam", {"lr": 0.02}),
    "adam_decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    "adam_maximize": ("Adam", {"lr": 0.02, "maximize": True, "weight_decay": 0.1}),
    "adam_decoupled": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw_decay": ("AdamW", {"lr": 0.02, "betas": (0.9, 0.95), "weight_decay": 0.3, "eps": 1e-6}),
    "adamw_amsgrad_maximize": ("AdamW", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.02, "centered": True, "alpha": 0.9}),
    "rmsprop_momentum_decay": ("RMSprop", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop_all": (
        "RMSprop",
        {"lr": 0.02, "momentum": 0.5, "centered": True, "maximize": True, "eps": 1e-3},
    ),
    "adadelta": ("Adadelta", {"lr": 0.7}),
    "adadelta_all": ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.02}),
    "adamax_all": ("Adamax", {"lr": 0.02, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.02}),
    "nadam_decay": ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.01}),
    "nadam_decoupled": ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    "radam": ("RAdam", {"lr": 0.02}),
    "radam_long": ("RAdam", {"lr": 0.02, "betas": (0.7, 0.8), "weight_decay": 0.1}),
    "radam_decoupled": ("RAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    "rprop": ("Rprop", {"lr": 0.02}),
    "rprop_all": ("Rprop", {"lr": 0.02, "etas": (0.4, 1.5), "step_sizes": (0.01, 0.03), "maximize": True}),
    "adafactor": ("Adafactor", {"lr": 0.05}),
    "adafactor_all": ("Adafactor", {"lr": 0.05, "beta2_decay": -0.6, "eps": (1e-6, 1e-2), "d": 1.5, "weight_decay": 0.1, "maximize": True}),
    "asgd": ("ASGD", {"lr": 0.05}),
    "asgd_all": ("ASGD", {"lr": 0.05, "lambd": 0.02, "alpha": 0.6, "t0": 1, "weight_decay": 0.1, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad_all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-5},
    ),
}

# L-BFGS through Rosenbrock's valley, from a start; steps of several iterations
LBFGS_START, LBFGS_STEPS = (-1.2, 1.0), 5
LBFGS_CASES: dict[str, dict[str, Any]] = {
    "lbfgs_wolfe": {"max_iter": 6, "line_search_fn": "strong_wolfe"},
    "lbfgs_short_memory": {"max_iter": 8, "history_size": 2, "line_search_fn": "strong_wolfe"},
    "lbfgs_fixed": {"lr": 0.1, "max_iter": 4},
}

# torch's Muon on matrices, wide, square and tall
MUON_SHAPES = ((4, 6), (5, 5), (16, 8))
MUON_CASES: dict[str, dict[str, Any]] = {
    "muon_steps": {"lr": 0.02, "ns_steps": 5},
    "muon_plain": {"lr": 0.02, "ns_steps": 3, "nesterov": False, "momentum": 0.5},
    "muon_rms": {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.3},
    "muon_settled": {"lr": 0.02, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 12, "adjust_lr_fn": "original", "eps": 1e-3},
}
