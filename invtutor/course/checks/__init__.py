"""Self-checks for the exercises, a module per group of lessons; `verdict` says what a check is."""

from invtutor.course.checks.and_mask import (
    check_and_mask,
    check_and_mask_method,
    check_geometric_mean,
    check_product,
    check_signs_needed,
    check_turn,
)
from invtutor.course.checks.clues import (
    check_accuracy,
    check_best_clue,
    check_clean,
    check_color,
    check_count,
    check_paint,
    check_pooled,
)
from invtutor.course.checks.elsewhere import (
    check_background,
    check_group_weights,
    check_singles,
    check_worst_and_average,
)
from invtutor.course.checks.maple import (
    check_balancing_budget,
    check_draw,
    check_influence,
    check_maple,
    check_projection,
)
from invtutor.course.checks.meta_irm import (
    check_deviation,
    check_inner_step,
    check_orders,
    check_outer_losses,
    check_update,
)
from invtutor.course.checks.methods import check_annealing, check_irmv1, check_meta_irm, check_mmrex, check_vrex
from invtutor.course.checks.penalties import (
    check_curve,
    check_gray,
    check_halves,
    check_maximum_excess,
    check_objective,
    check_penalty,
    check_reach,
    check_slope,
    check_slope_halves,
    check_variance,
)
from invtutor.course.checks.side_by_side import check_paired_differences, check_training_domains, check_worst_rate
from invtutor.course.checks.training import check_erm, check_risk, check_training
from invtutor.course.checks.verdict import Verdict

__all__ = ["Verdict", "check_accuracy", "check_and_mask", "check_and_mask_method", "check_annealing"]
__all__ += ["check_background", "check_balancing_budget", "check_best_clue", "check_clean", "check_color"]
__all__ += ["check_count", "check_curve", "check_deviation", "check_draw", "check_erm", "check_geometric_mean"]
__all__ += ["check_gray", "check_group_weights", "check_halves", "check_influence", "check_inner_step", "check_irmv1"]
__all__ += ["check_maple", "check_maximum_excess", "check_meta_irm", "check_mmrex", "check_objective", "check_orders"]
__all__ += ["check_outer_losses", "check_paint", "check_paired_differences", "check_penalty", "check_pooled"]
__all__ += ["check_product", "check_projection", "check_reach", "check_risk", "check_signs_needed", "check_singles"]
__all__ += ["check_slope", "check_slope_halves", "check_training", "check_training_domains", "check_turn"]
__all__ += ["check_update", "check_variance", "check_vrex", "check_worst_and_average", "check_worst_rate"]
