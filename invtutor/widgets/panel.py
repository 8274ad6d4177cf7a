"""A panel: controls that redraw one picture, with the same numbers as text below it."""

import base64
import html
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count, product
from typing import Any

import ipywidgets
from IPython.display import display

from invtutor import figures
from invtutor.fields import Range, fit, require
from invtutor.figures import Figure

__all__ = ["MIME", "Panel", "Shown", "blank", "choice", "frames", "plain", "require_possible", "slider"]


MIME = "application/vnd.invtutor.frames+json"  # of a panel's pictures in a page without a kernel
KEYS = "Arrow keys move it; in Jupyter Notebook, which has its own use for them, Page Up and Page Down."
MOVING: Mapping[str, Any] = {"continuous_update": True, "style": {"description_width": "initial"}}
MOST = 64  # pictures of a panel, about; one of 900 × 500 pixels takes some 40 kB


def blank(width: int, height: int) -> Any:
    """An empty image widget that takes its place from the start, less where the page is narrow: nothing jumps."""
    # A page reserves the proportions of these two. No tooltip: ipywidgets 8.1 then fails to show the image at all.
    size = {"width": str(width), "height": str(height)}
    return ipywidgets.Image(format="png", **size, layout=ipywidgets.Layout(max_width="100%", height="auto"))


def slider(words: str, value: float, within: tuple[float, float], step: float, tooltip: str, **options: Any) -> Any:
    """A slider over the numbers of a range, which draws while it moves."""
    low, high = within
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=words, tooltip=f"{tooltip} {KEYS}", **MOVING, **options
    )


def choice(words: str, values: Mapping[str, Any], value: Any, tooltip: str, **options: Any) -> Any:
    """A slider over a few values, each by the words that stand for it, which draws while it moves."""
    return ipywidgets.SelectionSlider(
        options=list(values.items()), value=value, description=words, tooltip=f"{tooltip} {KEYS}", **MOVING, **options
    )


def plain(markup: str) -> str:
    """The words of HTML, without its markup."""
    return html.unescape(re.sub("<[^>]+>", "", markup.replace("<br>", " ")))


def require_possible(name: str, control: Any, value: Any) -> None:
    """Raises ValueError for a value that a control has not: widgets would cut it to their range, or speak of traits."""
    if hasattr(control, "options"):
        known = [option[1] if isinstance(option, tuple) else option for option in control.options]
        require(name, value in known, f"one of {', '.join(map(str, known))}", value)
    elif isinstance(control.value, bool | int | float):
        fit(name, type(control.value), value, Range(control.min, control.max) if hasattr(control, "min") else None)


class Shown:
    """What a notebook shows of a panel: its widgets, or the numbers where no widget can be shown."""

    controls: dict[str, Any]
    html: Any
    ui: Any
    error: Exception | None = None
    """Of the last attempt; it is shown, too."""

    @property
    def text(self) -> str:
        """The numbers of the present picture, without markup."""
        return plain(self.html.value)

    def __repr__(self) -> str:
        return f"[{', '.join(control.description for control in self.controls.values())}] {self.text}"

    def _ipython_display_(self) -> None:
        # Where no widget can be shown (GitHub, a terminal) the numbers stand in its place.
        display(self.ui._repr_mimebundle_() | {"text/plain": repr(self)}, raw=True)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error


class Panel(Shown):
    """Controls, a picture that follows them, and the picture's numbers as text for whoever cannot see it.

    controls: widgets by name; each needs a `value` and a visible `description`.
    draw: called as `draw(figure, **values)` with the reused figure and the values of the controls; it draws anew, or
        moves the artists that it has marked as animated (`figures.Screen`), and returns the numbers as text or HTML.
    width, height: of the picture, in pixels; they never change, so that nothing jumps.

    An error in `draw` is shown below the picture and kept in `error`; the constructor and `set` raise it too.
    Raises ValueError for a control without a description.
    """

    def __init__(
        self,
        controls: Mapping[str, Any],
        draw: Callable[..., str],
        *,
        width: int = 900,
        height: int = 400,
    ):
        for name, control in controls.items():
            require("controls", control.description, "widgets with a visible description", name)
        self.controls = dict(controls)
        self._draw = draw
        self._screen = figures.Screen(figures.new_figure(width, height))
        self._lock = threading.RLock()
        self._tickets = count(1)
        self._newest = self._shown = 0
        self._held = False
        self.image = blank(width, height)
        self.html = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="5em", max_width=f"{width}px"))
        row = ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        self.ui = ipywidgets.VBox([row, self.image, self.html])
        self._refresh()
        self._raise()
        for control in controls.values():
            control.observe(self._refresh, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """The present value of each control."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Set controls from Python and redraw once. Raises ValueError for an unknown name and for a value that the
        control cannot have, and what `draw` raises."""
        for name, value in values.items():
            require("values", name in self.controls, f"values for some of {', '.join(self.controls)}", name)
            require_possible(name, self.controls[name], value)
        with self._lock:
            self._held = True
            try:
                for name, value in values.items():
                    self.controls[name].value = value
            finally:
                self._held = False
            self._refresh()
            self._raise()

    def picture(self) -> Figure:
        """The present figure, to be shown as a static picture beside the panel."""
        return self._screen.figure

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        if os.environ.get("INVTUTOR_FRAMES"):  # a book is being made, whose pages have no kernel
            display({MIME: frames(self), "text/plain": repr(self)}, raw=True)

    def _refresh(self, change: object = None) -> None:
        ticket = self._newest = next(self._tickets)
        with self._lock:
            if self._held or ticket <= self._shown:
                return  # a frame that was begun after this change has shown it already
            newest = self._newest  # read before the values: whatever they hold by then is shown
            try:
                words = self._draw(self._screen.figure, **self.values)
                self.image.value, self.html.value = self._screen.png(), words
                self.error = None
            except Exception as error:
                self.error = error
                words = html.escape(f"{type(error).__name__}: {error}")
                self.html.value = f"<b>This picture could not be drawn. {words}</b>"
            self._shown = newest


def frames(panel: Panel, most: int = MOST) -> dict[str, Any]:
    """The panel drawn at the positions of its controls, at all of them or at an even choice with both ends.

    most: how many pictures, about; with several controls for all combinations. Returns plain values: `controls`, each
    with its label and the words of its positions; `start`, the number of each control's present position; `frames`, for
    every combination the numbers of its positions, the picture as PNG in base64, its alt text, and the text twin as
    HTML; the pictures' `width` and `height` in pixels. The panel ends as it began.
    """
    before = panel.values
    each = max(2, int(most ** (1 / len(before))))
    places = {name: _places(control, each) for name, control in panel.controls.items()}
    start = [_nearest([value for _, value in places[name]], value) for name, value in before.items()]
    found = []
    for at in product(*(range(len(options)) for options in places.values())):
        chosen = {name: options[number] for (name, options), number in zip(places.items(), at, strict=True)}
        panel.set(**{name: value for name, (_, value) in chosen.items()})
        where = ", ".join(f"{panel.controls[name].description} {words}" for name, (words, _) in chosen.items())
        picture = {"png": base64.b64encode(panel.image.value).decode(), "alt": f"The picture for {where}."}
        found.append({"at": list(at), "text": panel.html.value, **picture})
    panel.set(**before)
    controls = [
        {"label": panel.controls[name].description, "positions": [words for words, _ in options], "start": number}
        for (name, options), number in zip(places.items(), start, strict=True)
    ]
    width, height = panel.picture().canvas.get_width_height()
    return {"controls": controls, "start": start, "width": width, "height": height, "frames": found}


def _places(control: Any, most: int) -> list[tuple[str, Any]]:
    """Words and values of a control's positions, the present one among them."""
    if hasattr(control, "options"):
        every = [option if isinstance(option, tuple) else (str(option), option) for option in control.options]
    elif hasattr(control, "min"):
        steps = round((control.max - control.min) / control.step)
        values = [round(control.min + i * control.step, 9) for i in range(steps + 1)]
        every = [(format(value, control.readout_format), value) for value in values]
    elif isinstance(control.value, bool):
        every = [("no", False), ("yes", True)]
    else:
        every = [(str(control.value), control.value)]
    if len(every) <= most:
        return every
    kept = {round(i * (len(every) - 1) / (most - 1)) for i in range(most)}
    kept.add(_nearest([value for _, value in every], control.value))
    return [every[i] for i in sorted(kept)]


def _nearest(values: Sequence[Any], value: Any) -> int:
    if value in values:
        return values.index(value)
    return min(range(len(values)), key=lambda i: abs(values[i] - value))
