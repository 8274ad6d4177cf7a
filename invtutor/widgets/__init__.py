"""Panels: sliders that redraw one picture, with the same numbers as text below it.

Callbacks may come from another thread than the notebook's cells (JupyterLab serves widgets over kernel subshells), so
a panel owns one object `Figure`, draws under a lock and shows PNG bytes; no pyplot, no Output widget, no thread.
"""

from invtutor.widgets.digit_stepper import DigitStepper
from invtutor.widgets.filling_table import filling
from invtutor.widgets.gradient_rules import gradient_rules_panel, threshold_panel
from invtutor.widgets.live_panel import Live, live
from invtutor.widgets.panel import Panel
from invtutor.widgets.sample_weights import budget_panel, stages_panel, temperature_panel
from invtutor.widgets.sliders import flip_rate_panel, penalty_panel
from invtutor.widgets.stepper import Stepper

__all__ = [
    "DigitStepper",
    "Live",
    "Panel",
    "Stepper",
    "budget_panel",
    "filling",
    "flip_rate_panel",
    "gradient_rules_panel",
    "live",
    "penalty_panel",
    "stages_panel",
    "temperature_panel",
    "threshold_panel",
]
