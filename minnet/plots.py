"""What happened, to the eye? Loss curves, confusion and decision boundaries; the only file that imports matplotlib.

Each function returns a `matplotlib.figure.Figure` made without pyplot, so that no window is ever opened and nothing
is kept alive; in a notebook it shows as the cell's last value once ``%matplotlib inline`` is on. Colours are Okabe
and Ito's, which colour-blind readers can tell apart, and no meaning hangs on colour alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from minnet.history import History
from minnet.support.files import replacing
from minnet.support.text import shortened

Array = npt.NDArray[Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class Classifier(Protocol):
    """Anything that predicts: a `minnet.Network`, or a `minnet.Model` for raw samples."""

    def predict(self, x: Array) -> Array:
        """Compute class numbers (N,) for samples (N, D)."""


def new_axes(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return the axes given and their figure, or a new figure of that size in inches."""
    if ax is None:
        ax = Figure(figsize=(width, height), layout="constrained").add_subplot()
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("expected ax to belong to a figure")
    return figure, ax


def save_picture(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120, format="png")


def scale_losses(panel: Axes, low: float, high: float) -> None:
    """Give a panel a logarithmic axis for losses, with labels that read as plain numbers."""
    panel.set_ylim(low, high)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    panel.yaxis.set_major_formatter("{x:g}")  # 0.01 reads easier than a power, and needs no mathematical typesetting
    panel.yaxis.set_minor_locator(NullLocator())


def legend_above(panel: Axes, columns: int = 3) -> None:
    """Put a panel's legend where it hides no data."""
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": columns}
    panel.legend(**place, frameon=False, fontsize="small", columnspacing=1.2)


def plot_history(
    history: History, ax: Axes | Sequence[Axes] | None = None, title: str = "", kept: int | None = None
) -> Figure:
    """Plot losses and accuracies against epochs, with the loss of each batch faint behind.

    The legend gives the values at the end, or those of the epoch that was kept. Batch losses far below the evaluated
    ones are cut off.

    Parameters
    ----------
    history : History
        With at least one epoch.
    ax : Axes or a pair of Axes, optional
        Where to draw: the loss alone, or loss and accuracy. By default a new figure with both.
    title : str, optional
        Stands above.
    kept : int, optional
        The epoch whose weights the network has, if not the last one's, for a line.

    Raises
    ------
    ValueError
        If the history is empty.
    """
    if not history.epoch:
        raise ValueError("expected a history with at least one epoch, got an empty one")
    if ax is None:
        figure = Figure(figsize=(9, 3.6 if kept is None else 3.8), layout="constrained")
        figure.suptitle(shortened(title, 80))
        ax = list(figure.subplots(1, 2))
    panels = [ax] if isinstance(ax, Axes) else list(ax)
    few = len(history.epoch) <= 10

    def curves(panel: Axes, training: list[float], validation: list[float], form: str) -> None:
        for values, label, colour, line in (
            (training, "training", COLOURS[0], "-"),
            (validation, "validation", COLOURS[1], "--"),
        ):
            label = f"{label}: {format(values[-1 if kept is None else kept - 1], form)}"
            panel.plot(history.epoch, values, line, color=colour, label=label, marker="o" if few else "", markersize=4)
        if kept is not None:
            panel.axvline(kept, color="0.3", linewidth=1, linestyle=":", label=f"weights of epoch {kept}")
        panel.set_xlabel("epoch")
        panel.set_xlim(0, history.epoch[-1])
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)

    loss = panels[0]
    steps = np.arange(len(history.batch_loss)) * (history.epoch[-1] / len(history.batch_loss))
    loss.plot(steps, history.batch_loss, color="0.6", linewidth=0.6, alpha=0.6, label="each batch", rasterized=True)
    curves(loss, history.train_loss, history.validation_loss, "#.2g")
    loss.set_ylabel("cross-entropy (nats)")
    shown = np.maximum(history.train_loss + history.validation_loss, 1e-12)  # a loss of 0 has no logarithm
    low, high = 0.5 * shown.min(), 2 * max(shown.max(), history.batch_loss[0])
    scale_losses(loss, low, high)
    columns = 3 if kept is None else 2
    legend_above(loss, columns)
    if len(panels) > 1:
        curves(panels[1], history.train_accuracy, history.validation_accuracy, ".1%")
        panels[1].set_ylabel("accuracy (share of samples)")
        legend_above(panels[1], columns)
    return new_axes(loss, 0, 0)[0]


def plot_stack(history: History, groups: Mapping[str, Array] | None = None, title: str = "") -> Figure:
    """Plot the losses and accuracies of a stack of networks: the mean over networks, in a band of ± one deviation.

    Parameters
    ----------
    history : History
        Of a stack. Networks that diverged are left out, and counted in the legend.
    groups : mapping of str to array of int, optional
        Which networks belong together, by name, for one validation curve each; by default all of them are one group,
        whose training curve is drawn as well.
    title : str, optional
        Stands above.
    """
    diverged = history.diverged()
    everyone = np.arange(len(diverged))
    curves = [(name, "validation", who) for name, who in (groups or {"validation": everyone}).items()]
    if not groups:
        curves.insert(0, ("training", "train", everyone))
    figure = Figure(figsize=(9, 3.8 + 0.09 * len(curves)), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 2)
    bounds = [1.0]
    for k, (name, of, who) in enumerate(curves):
        style = ("-", "--", "-.", ":")[(k + k // 8) % 4]  # with the colours, 32 different looks
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": style}
        kept = ~diverged[who]
        lost = f", {(~kept).sum()} diverged" if not kept.all() else ""
        for panel, what, form in zip(panels, ("loss", "accuracy"), (".3g", ".1%"), strict=True):
            if not kept.any():
                panel.plot([], [], label=f"{name}: all diverged", **look)
                continue
            values = np.array(history.by_epoch()[f"{of}_{what}"])[:, who[kept]]
            mean, deviation = values.mean(axis=1), values.std(axis=1)
            panel.plot(history.epoch, mean, label=f"{name}: {mean[-1]:{form}} ± {deviation[-1]:{form}}{lost}", **look)
            low = np.maximum(mean - deviation, 0.5 * mean) if panel is panels[0] else mean - deviation
            panel.fill_between(history.epoch, low, mean + deviation, color=look["color"], alpha=0.2, linewidth=0)
            if panel is panels[0]:
                bounds += [low.min(), (mean + deviation).max()]
    bounds = bounds[1:] or bounds
    # What explodes leaves the picture, or all others would be one line at the bottom.
    lowest, highest = np.clip([min(bounds), max(bounds)], 1e-12, 100)
    scale_losses(panels[0], 0.7 * lowest, 1.5 * highest)
    for panel, label in zip(panels, ("cross-entropy (nats)", "accuracy (share of samples)"), strict=True):
        panel.set_ylabel(f"validation {label}" if groups else label)
        panel.set_xlabel("epoch")
        panel.set_xlim(0, history.epoch[-1])
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        legend_above(panel, 2)
    return figure


def plot_rates(
    lr: Array, losses: Mapping[str, Array], diverged: Mapping[str, Array], chance: float, title: str = ""
) -> Figure:
    """Plot the final validation loss against the learning rate: the mean over seeds, in a band from least to largest.

    Parameters
    ----------
    lr : array of shape (R,)
        The learning rates, rising, at least two.
    losses, diverged : mappings of str to array of shape (R, seeds)
        Final losses, and which networks diverged, for each curve by name.
    chance : float
        The loss of guessing, ln K, for a line.
    title : str, optional
        Stands above.
    """
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    figure.suptitle(title)
    ax = figure.add_subplot()
    middles, shown = np.sqrt(lr[:-1] * lr[1:]), [chance]
    edges = np.array([lr[0] ** 2 / middles[0], *middles, lr[-1] ** 2 / middles[-1]])
    for k, (name, values) in enumerate(losses.items()):
        fine = ~diverged[name].any(axis=1)
        colour, mean = COLOURS[k % len(COLOURS)], np.where(fine, values.mean(axis=1), np.nan)
        ax.plot(lr, mean, color=colour, marker=MARKERS[k], linestyle=("-", "--", "-.")[k % 3], label=name)
        ax.fill_between(lr, values.min(axis=1), values.max(axis=1), where=fine, color=colour, alpha=0.2, linewidth=0)
        shown += values[fine].ravel().tolist()
        for i in np.flatnonzero(~fine):  # each curve has a lane of its own at the top
            lane = {"ymin": 1 - 0.05 * (k + 1), "ymax": 1 - 0.05 * k}
            ax.axvspan(edges[i], edges[i + 1], **lane, color=colour, alpha=0.45, linewidth=0)
    lost = np.logical_or.reduce([d.any(axis=1) for d in diverged.values()])
    if lost.any():
        ax.axvspan(edges[lost.argmax()], edges[-1], color="0.9", zorder=0, label="some diverged")
    ax.axhline(chance, color="0.4", linewidth=0.8, linestyle=":", label="guessing")
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.set_major_formatter("{x:g}")
    scale_losses(ax, 0.7 * max(min(shown), 1e-12), 1.6 * min(max(shown), 10 * chance))
    ax.set_xlabel("learning rate")
    ax.set_ylabel("final validation loss (nats)")
    ax.grid(alpha=0.3)
    legend_above(ax, 4)
    return figure


def plot_comparison(histories: Mapping[str, History], axes: Sequence[Axes] | None = None, title: str = "") -> Figure:
    """Lay the curves of several runs over each other: training loss and validation accuracy against epochs.

    Parameters
    ----------
    histories : mapping of str to History
        The runs by name, each with at least one epoch.
    axes : pair of Axes, optional
        Where to draw; by default a new figure.
    title : str, optional
        Stands above.
    """
    if axes is None:
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        figure.suptitle(title)
        axes = list(figure.subplots(1, 2))
    loss, accuracy = axes
    everything = np.concatenate([[*h.train_loss, *h.batch_loss[:1]] for h in histories.values()])
    drawn = np.clip(everything[np.isfinite(everything)], 1e-12, 1e6)  # what is beyond is drawn on the border
    low, high = 0.5 * drawn.min(initial=1.0), 2 * drawn.max(initial=1.0)
    for k, (name, history) in enumerate(histories.items()):
        finite = np.isfinite(history.train_loss)
        end = f"{history.train_loss[-1]:.3g}" if finite.all() else f"NaN from epoch {int(finite.argmin()) + 1}"
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": ("-", "--", "-.", ":")[k % 4]}
        look |= {"marker": MARKERS[k % len(MARKERS)], "markersize": 4, "linewidth": 3 if k == 0 else 1.5}
        loss.plot(history.epoch, np.clip(history.train_loss, low, high), label=f"{name}: {end}", **look)
        label = f"{name}: {history.validation_accuracy[-1]:.1%}"
        accuracy.plot(history.epoch, history.validation_accuracy, label=label, **look)
    scale_losses(loss, low, high)
    loss.set_ylabel("training loss (nats)")
    accuracy.set_ylabel("validation accuracy")
    accuracy.set_ylim(-0.02, 1.02)
    for panel in (loss, accuracy):
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        legend_above(panel)
    return new_axes(loss, 0, 0)[0]


def plot_runs(histories: Mapping[str, History], title: str = "") -> Figure:
    """Lay the curves of any number of runs over each other: validation loss and accuracy against epochs.

    Parameters
    ----------
    histories : mapping of str to History
        The runs by name, each with at least one epoch.
    title : str, optional
        Stands above.
    """
    names = {name: shortened(name, 40) for name in histories}
    width = 8 + 0.09 * (8 + max(map(len, names.values())))
    figure = Figure(figsize=(width, max(3.8, 0.8 + 0.2 * len(names))), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    everything = np.concatenate([history.validation_loss for history in histories.values()])
    drawn = np.clip(everything[np.isfinite(everything)], 1e-12, 100)  # what is beyond is drawn on the border
    low, high = 0.8 * drawn.min(initial=1e6), 1.25 * drawn.max(initial=1e-12)
    low, high = (low, high) if drawn.size else (0.1, 10)
    for k, (name, history) in enumerate(histories.items()):
        look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": ("-", "--", "-.", ":")[k // 8 % 4]}
        look |= {"marker": MARKERS[k % len(MARKERS)], "markersize": 4, "markevery": max(1, len(history.epoch) // 8)}
        loss.plot(history.epoch, np.clip(history.validation_loss, low, high), label=names[name], **look)
        accuracy.plot(history.epoch, history.validation_accuracy, **look)
    scale_losses(loss, low, high)
    loss.set_ylabel("validation loss (nats)")
    accuracy.set_ylabel("validation accuracy (share of samples)")
    for panel in (loss, accuracy):
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def plot_confusion(
    t: Array, predicted: Array, class_names: Sequence[str], ax: Axes | None = None, title: str = ""
) -> Figure:
    """Plot how often each class was taken for which, on samples that were not trained on.

    Parameters
    ----------
    t : array of shape (N,) or (N, K)
        The targets; of rows, each one's largest entry counts.
    predicted : array of shape (N,)
        The class numbers predicted.
    class_names : sequence of str
        Names of the K classes.
    ax : Axes, optional
        Where to draw; by default a new figure.
    title : str, optional
        Stands above, over the number of samples that are right.
    """
    from sklearn.metrics import confusion_matrix

    t, K = np.asarray(t), len(class_names)
    t = t.argmax(axis=1) if t.ndim == 2 else t
    counts = confusion_matrix(t, predicted, labels=np.arange(K))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shortened(name, 24) for name in class_names] if K <= 30 else []
    size = 2.8 + 0.36 * min(K, 30) + 0.07 * max(map(len, ["", *names]))
    figure, ax = new_axes(ax, size, size)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if K <= 30:
        turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(K), names, **(turned if max(map(len, names)) > 2 else {}))
        ax.set_yticks(range(K), names)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[row, column] > 0.5 else "black"
            ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    else:
        figure.colorbar(image, ax=ax, label="share of the true class")
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    right = f"{counts.trace()} of {counts.sum()} right"
    ax.set_title("\n".join([*textwrap.wrap(title, 26 + 2 * K), right]), fontsize="medium")
    return figure


def plot_decision_boundary(
    classifier: Classifier,
    x: Array,
    t: Array,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] = ("x", "y"),
    ax: Axes | None = None,
) -> Figure:
    """Plot which class a classifier gives each point of the plane, with samples on top.

    Parameters
    ----------
    classifier : Classifier
        Takes samples like ``x``: a network takes standardised ones, as a `minnet.Dataset` holds them; a
        `minnet.Model` raw ones.
    x : array of shape (N, 2)
        The samples.
    t : array of shape (N,) or (N, K)
        Their targets; of rows, each one's largest entry counts.
    class_names : sequence of str, optional
        Names for the legend; by default the class numbers.
    feature_names : pair of str, default ("x", "y")
        Names for the two axes.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    ValueError
        If the samples have not exactly two features.
    """
    x, t = np.asarray(x), np.asarray(t)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"a decision boundary needs samples of shape (N, 2), got {x.shape}")
    t = t.argmax(axis=1) if t.ndim == 2 else t
    K = int(t.max()) + 1
    class_names = [str(k) for k in range(K)] if class_names is None else class_names
    figure, ax = new_axes(ax, 5.4, 4.6)
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * (high - low) + 1e-9
    across, up = (np.linspace(low[i] - margin[i], high[i] + margin[i], 300) for i in (0, 1))
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(x.dtype)
    regions = classifier.predict(grid).reshape(300, 300)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(class_names))]
    colour_map = ListedColormap(colours)
    ax.pcolormesh(across, up, regions, cmap=colour_map, vmin=-0.5, vmax=len(colours) - 0.5, alpha=0.3, rasterized=True)
    for k in range(K):
        look: dict[str, Any] = {"c": colours[k], "marker": MARKERS[k % len(MARKERS)], "label": class_names[k]}
        ax.scatter(x[t == k, 0], x[t == k, 1], s=14, edgecolors="white", linewidths=0.4, **look)
    ax.set_xlabel(feature_names[0])
    ax.set_ylabel(feature_names[1])
    ax.legend(loc="best")
    return figure
