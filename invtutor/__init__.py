"""invtutor: a course on invariant learning, and the small library that its lessons show."""

import os

# A waiting OpenMP thread spins by default and starves its neighbours when the cores are busy (a classroom server,
# Binder, two
# kernels at once): a small network then trains a hundred times slower. Must be set before torch loads; a user's
# value wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from invtutor.algorithms import ERM, Algorithm, IRMv1, MMREx, VREx
from invtutor.digits import Digits, load_digits
from invtutor.environments import Environment, World, colored_mnist
from invtutor.history import History, Spread, spread
from invtutor.networks import MLP
from invtutor.recipes import Recipe, Run, repeat, run, summarize
from invtutor.risks import accuracy, accuracy_curve, risk, risks
from invtutor.training import fit, training

__version__ = "0.1.0"

__all__ = [
    "ERM",
    "MLP",
    "Algorithm",
    "Digits",
    "Environment",
    "History",
    "IRMv1",
    "MMREx",
    "Recipe",
    "Run",
    "Spread",
    "VREx",
    "World",
    "accuracy",
    "accuracy_curve",
    "colored_mnist",
    "fit",
    "load_digits",
    "repeat",
    "risk",
    "risks",
    "run",
    "spread",
    "summarize",
    "training",
]
