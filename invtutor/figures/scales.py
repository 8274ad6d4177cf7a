"""What a number in front of all logits does to the risks: IRM's dummy scale w."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from invtutor.figures.base import COLORS, DASHES, DIM, NORMAL, new_figure, note, tidy

__all__ = ["dummy_scales"]

Curves = Mapping[str, Sequence[float]]


def dummy_scales(panels: Mapping[str, Curves], scales: Sequence[float]) -> tuple[Figure, str]:
    """A panel for each network, in it a line for each environment: its risk when all logits are multiplied by w, less
    its risk at w = 1. A disc lies where a line is lowest, an arrow leads there from w = 1. With the words that say it.

    panels: by network, by environment, one risk per scale.
    """
    figure = new_figure(800, 380)
    words = []
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    at_one = min(range(len(scales)), key=lambda i: abs(scales[i] - 1))
    for ax, (name, curves) in zip(axes, panels.items(), strict=True):
        tidy(ax)
        ax.axvline(1.0, color=DIM, linewidth=1)
        found = []
        for i, (environment, risks) in enumerate(curves.items()):
            values = [risk - risks[at_one] for risk in risks]
            style = {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i % len(DASHES)]}
            ax.plot(scales, values, linewidth=2, **style)
            best = min(range(len(scales)), key=values.__getitem__)
            low, color = values[best], style["color"]
            ax.plot([scales[best]], [low], "o", color=color, markersize=8, zorder=3)
            level = -0.026 - 0.0065 * i  # the arrows lie below all lines, one under the other
            if abs(scales[best] - 1) > 0.05:
                head = {"arrowstyle": "->", "color": color, "linewidth": 1.8}
                ax.annotate("", (scales[best], level), (1.0, level), arrowprops=head)
            side = 1 if scales[best] >= 1 else -1
            said = f"{environment}: best w = {scales[best]:.2f}"
            note(ax, said, (1.0, level), (-6 * side, 0), ha="right" if side > 0 else "left", va="center", color=color)
            found.append(f"{scales[best]:.2f} for {environment}")
        ax.set_title(name, fontsize=NORMAL + 2)
        ax.set(xlabel="every logit is multiplied by w", ylim=(-0.026 - 0.0065 * (len(curves) + 0.5), 0.06))
        words.append(f"{name}: lowest at w = {' and '.join(found)}")
    axes[0].set_ylabel("risk − risk at w = 1, nats")
    return figure, f"Risk against the scale w of all logits, a line per environment. {'; '.join(words)}."
