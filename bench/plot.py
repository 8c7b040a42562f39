"""The picture of the benches: how fast documents come, and what accounts cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import StrMethodFormatter

from bench.figures import Cost, Curve, Figures
from source_stripe_native.stripe.rate_limit import MOST_PER_ENDPOINT

PICTURE: Final = Path(__file__).with_name("benches.png")
PAGE: Final = 100
STYLE: Final[dict[str, Any]] = {"linewidth": 1.6, "marker": "o", "markersize": 3.5}
COLOURS: Final = ("#1f5a96", "#c8641e", "#4d8c57")
TICKS: Final = (500, 1_000, 2_500, 10_000, 25_000, 100_000)
"""Documents per second that are named."""
LIMIT: Final = "#a03030"


def draw(figures: Figures) -> None:
    canvas = Canvas(figsize=(10, 7), dpi=120, layout="constrained")
    above, below = canvas.subfigures(2, 1, height_ratios=(1.25, 1), squeeze=False)[:, 0]
    above.suptitle("A backfill of one stream, charges", fontsize=11)
    _speed(above.subplots(), figures.curves)
    below.suptitle("A round over quiet connected accounts", fontsize=11)
    _costs(below.subplots(1, 3), figures.costs)
    canvas.savefig(PICTURE)


def _speed(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve, colour in zip(curves, COLOURS, strict=True):
        documents, rates = zip(*curve.rates(), strict=True)
        axes.plot(documents, rates, label=curve.name, color=colour, **STYLE)
    most = MOST_PER_ENDPOINT * PAGE
    label = f"Stripe's limit: {MOST_PER_ENDPOINT} requests/s to an endpoint, {PAGE} documents each"
    axes.axhline(most, color=LIMIT, linestyle="--", linewidth=1.2, label=label)
    axes.set(xlabel="documents captured", ylabel="documents per second", xscale="log", yscale="log")
    axes.set_yticks(TICKS)
    axes.set_ylim(TICKS[0], TICKS[-1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(frameon=False, fontsize=9)
    _sober(axes)


def _costs(panels: Sequence[Axes], costs: Sequence[Cost]) -> None:
    accounts = [each.accounts for each in costs]
    values = {
        "event requests per account": [each.requests_per_account for each in costs],
        "CPU per account, ms": [each.cpu * 1e3 / each.accounts for each in costs],
        "peak memory, MB": [each.peak / 1e6 for each in costs],
    }
    for axes, (name, heights), colour in zip(panels, values.items(), COLOURS, strict=True):
        axes.plot(accounts, heights, color=colour, **STYLE)
        axes.set(xlabel="connected accounts", ylabel=name)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_ylim(0, 1.25 * max(heights))
        _sober(axes)


def _sober(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)
