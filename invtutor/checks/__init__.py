"""Self-checks for the exercises, a module per group of lessons; `verdict` says what a check is."""

from invtutor.checks.and_mask import check_and_mask, check_geometric_mean, check_signs_needed
from invtutor.checks.ground import (
    check_accuracy,
    check_best_clue,
    check_color,
    check_curve,
    check_gray,
    check_maximum_excess,
    check_objective,
    check_pooled,
    check_slope,
    check_variance,
)
from invtutor.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "check_accuracy",
    "check_and_mask",
    "check_best_clue",
    "check_color",
    "check_curve",
    "check_geometric_mean",
    "check_gray",
    "check_maximum_excess",
    "check_objective",
    "check_pooled",
    "check_signs_needed",
    "check_slope",
    "check_variance",
]
