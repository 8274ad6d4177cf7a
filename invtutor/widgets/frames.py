"""A panel's pictures at all positions of its sliders, for pages that have no kernel to draw them."""

import base64
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invtutor.widgets.panel import Panel

__all__ = ["MIME", "frames"]

MIME = "application/vnd.invtutor.frames+json"
MOST = 64  # pictures of a panel, about; one of 900 × 500 pixels takes some 40 kB


def frames(panel: "Panel", most: int = MOST) -> dict[str, Any]:
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
