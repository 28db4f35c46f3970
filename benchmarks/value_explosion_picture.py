"""The picture of value_explosion.py: small multiples over batches, a band over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import matplotlib
from runs import RESULTS, ResultsFile

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402


class Line(NamedTuple):
    color: str
    width: float
    style: str


LINES = {
    "all cures off": Line("#c62828", 2.4, "-"),
    "relative clip alone": Line("#ef8a17", 1.3, "-"),
    "weight 0.25 alone": Line("#8e6bbf", 1.3, "-"),
    "standardized returns alone": Line("#5f8f5a", 1.3, "-"),
    "all cures on": Line("#0b5cad", 2.4, "-"),
}


class Panel(NamedTuple):
    field: str
    title: str
    note: str
    scale: str = "linear"
    limits: tuple[float | None, float | None] = (None, None)
    factor: float = 1.0
    wanted: float | None = None


PANELS = (
    Panel("total_loss", "Total loss", "log scale; in the unit the critic works in", "log"),
    Panel(
        "grad_clip_factor",
        "Gradient cut",
        "log scale; norm / max_grad_norm, 1 is uncut",
        "log",
        wanted=1.0,
    ),
    Panel("mean_episode_return", "Episode return", "mean of the episodes of a batch", wanted=1500),
    Panel(
        "explained_variance",
        "Explained variance",
        "of returns by values; 1 is perfect, 0 is blind",
        limits=(-0.65, 1.0),
        wanted=0.5,
    ),
    Panel("normalized_value_loss", "Critic's squared error", "in variances of its target", "log"),
    Panel("success_rate", "Success rate", "in percent", limits=(0, 100), factor=100.0, wanted=50.0),
)
INK, FAINT = "#222222", "#8a8a8a"


def draw(results: ResultsFile, settings: Iterable[str]) -> None:
    """Write value_explosion.svg and .png."""
    assert all(name in settings for name in LINES)
    style: Any = {"font.size": 9.5, "svg.hashsalt": "value", "text.color": INK}
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, 3, figsize=(11.5, 6.4), dpi=130)
        for ax, panel in zip(axes.flat, PANELS, strict=True):
            fill(ax, panel, results)
        for ax in axes[1]:
            ax.set_xlabel("batch", color=FAINT)
        finish(figure, axes, len({run["seed"] for run in results.runs}))
        for kind in ("svg", "png"):
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(RESULTS / f"value_explosion.{kind}", metadata=metadata)
        plt.close(figure)


def finish(figure: Any, axes: Any, seeds: int) -> None:
    figure.suptitle(
        "A value loss that explodes on raw returns, and the three cures",
        x=0.012,
        ha="left",
        y=0.985,
        fontsize=13,
        fontweight="bold",
    )
    figure.text(
        0.012,
        0.925,
        f"DoubleIntegrator-v0, the same {seeds} seeds for every line: their mean, and their range "
        "for all off and all on. Dotted: what is wanted.",
        color=FAINT,
    )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.005, 0.915), ncols=5, frameon=False
    )
    figure.tight_layout(rect=(0, 0, 1, 0.9), h_pad=1.8, w_pad=1.6)


def fill(ax: Axes, panel: Panel, results: ResultsFile) -> None:
    """One metric: every line of LINES over the batches."""
    for order, (name, line) in enumerate(LINES.items()):
        columns = by_batch(results, name, panel)
        batches = [b for b, column in enumerate(columns) if column]
        center = [math.fsum(columns[b]) / len(columns[b]) for b in batches]
        bold = line.width > 2
        ax.plot(
            batches,
            center,
            line.style,
            color=line.color,
            linewidth=line.width,
            alpha=1.0 if bold else 0.95,
            label=name,
            zorder=20 + order if bold else 10 + order,
        )
        if bold:
            low, high = [min(columns[b]) for b in batches], [max(columns[b]) for b in batches]
            ax.fill_between(batches, low, high, color=line.color, alpha=0.13, linewidth=0)
    if panel.wanted is not None:
        ax.axhline(panel.wanted, color=FAINT, linewidth=1.0, linestyle=":", zorder=1)
    ax.set_yscale(panel.scale)
    ax.set_ylim(*panel.limits)
    ax.set_title(panel.title, loc="left", fontweight="bold", fontsize=10.5, pad=18)
    ax.text(0, 1.03, panel.note, transform=ax.transAxes, color=FAINT, fontsize=8.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#bbbbbb")
    ax.tick_params(colors=FAINT, which="both", length=2.5)
    ax.minorticks_off()
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.margins(x=0.01)
    if panel.scale == "linear" and panel.field == "mean_episode_return":
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:+,.0f}" if value else "0")


def by_batch(results: ResultsFile, setting: str, panel: Panel) -> list[list[float]]:
    """For each batch the values of the seeds that have one."""
    series = [run["records"] for run in results.of(setting=setting)]
    length = max((len(records) for records in series), default=0)
    return [
        [panel.factor * r[b][panel.field] for r in series if r[b][panel.field] is not None]
        for b in range(length)
    ]
