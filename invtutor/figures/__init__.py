"""Pictures. Every function draws into the Axes it is given, or into a new figure of its own, and returns the Axes.

No pyplot and no global settings: a slider's callback may run in another thread than the cell that is drawing.
Blue and orange come first, lines differ by dash and marker too, and up to five lines are labeled where they end.
"""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invtutor.figures.base import COLORS, NORMAL, Screen, freeze, new_figure, png
from invtutor.figures.gallery import INKS, digits, recolor
from invtutor.figures.gradients import along_threshold, bowls, pixel_maps, survivors, two_classes, weight_paths
from invtutor.figures.guesses import guessed
from invtutor.figures.lines import accuracy_curves, along_penalty, environment_risks, histories, move_cursor
from invtutor.figures.planes import arrow, borders, path, place, plane, regions, shades
from invtutor.figures.scales import dummy_scales
from invtutor.figures.tables import beside, differences
from invtutor.figures.words import in_words

__all__ = [
    "COLORS",
    "INKS",
    "NORMAL",
    "Artist",
    "Axes",
    "Figure",
    "Screen",
    "accuracy_curves",
    "along_penalty",
    "along_threshold",
    "arrow",
    "beside",
    "borders",
    "bowls",
    "differences",
    "digits",
    "dummy_scales",
    "environment_risks",
    "freeze",
    "guessed",
    "histories",
    "in_words",
    "move_cursor",
    "new_figure",
    "path",
    "pixel_maps",
    "place",
    "plane",
    "png",
    "recolor",
    "regions",
    "shades",
    "survivors",
    "two_classes",
    "weight_paths",
]
