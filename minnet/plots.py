"""What happened, to the eye? Curves, confusion, reliability and more; the only file that imports matplotlib.

Each function returns a `matplotlib.figure.Figure` made without pyplot, so that no window is ever opened and nothing
is kept alive; in a notebook it shows as the cell's last value once ``%matplotlib inline`` is on. Colours are Okabe
and Ito's, which colour-blind readers can tell apart, and no meaning hangs on colour alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, LogLocator, MaxNLocator

from minnet.history import History
from minnet.support import expect
from minnet.support.files import replacing
from minnet.support.stack import Array
from minnet.support.text import printable, shortened

if TYPE_CHECKING:
    from minnet.runs.calibration import Reliability
    from minnet.runs.importance import Importance

# Blue, vermilion, bluish green, reddish purple, orange, sky blue, yellow, black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = "os^DvPX*"
DASHES = ("-", "--", "-.", ":")
SPLITS = {"training": "train", "validation": "validation"}
MEASURES = (("loss", "cross-entropy (nats)", ".3g"), ("accuracy", "accuracy (share of samples)", ".1%"))


class Classifier(Protocol):
    """Anything that predicts: a `minnet.Network`, or a `minnet.Model` for raw samples."""

    def predict(self, x: Array) -> Array:
        """Compute class numbers (N,) for samples (N, D)."""


def literal(name: str, width: int = 80) -> str:
    """Write a name so that matplotlib shows it letter by letter, in at most about ``width`` of them.

    Left to itself, it takes what stands between two dollars for mathematics, and leaves what begins with an underscore
    out of legends.
    """
    name = shortened(printable(name), width).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Make a figure of a size in inches, with a title above."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(literal(title, int(9 * width)))
    return figure


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to."""
    return cast(Figure, ax.get_figure(root=True))


def save_picture(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120, format="png")


def look(k: int) -> dict[str, Any]:
    """Give the k-th colour and marker, eight in turn."""
    return {"color": COLOURS[k % 8], "marker": MARKERS[k % 8], "markersize": 4}


def draw_curve(
    panel: Axes, k: int, x: npt.ArrayLike, y: npt.ArrayLike, label: str = "", band: Sequence[Array] = ()
) -> None:
    """Draw the k-th curve of a panel in one of 32 looks, with about eight markers on it, in a band if there is one."""
    dashes = DASHES[(k + k // 8) % 4]
    every = max(1, np.size(x) // 8)
    panel.plot(x, y, label=literal(label, 60), linestyle=dashes, markevery=every, **look(k))
    if band:
        low, high = band
        panel.fill_between(x, low, high, color=COLOURS[k % 8], alpha=0.2, linewidth=0)


def scale_losses(panel: Axes, losses: Sequence[npt.ArrayLike], most: float = 50) -> None:
    """Give a panel a logarithmic axis on which losses up to ``most`` fit.

    What explodes leaves the picture, or all others would be one line at the bottom.
    """
    values = np.hstack([[], *losses])
    shown = np.clip(values[np.isfinite(values)], 1e-12, most)  # a loss of 0 has no logarithm
    low, high = (shown.min(), shown.max()) if shown.size else (0.2, 5)
    margin = max(1.1, (high / low) ** 0.1)
    low /= margin
    high *= margin
    panel.set(ylim=(low, high), yscale="log")
    if high < 5 * low:
        ticks: Locator = MaxNLocator(5)
    elif high < 100 * low:
        ticks = LogLocator(subs=(1, 2, 5))
    else:
        ticks = LogLocator(subs=(1,))
    panel.yaxis.set_major_locator(ticks)
    panel.yaxis.set_major_formatter("{x:g}")  # 0.01 reads easier than a power, and needs no mathematical typesetting
    panel.yaxis.minorticks_off()


def legend_above(panel: Axes, columns: int = 2) -> None:
    """Put a panel's legend where it hides no data."""
    _, labels = panel.get_legend_handles_labels()
    if max(map(len, labels)) > 36:  # two of them are wider than a panel
        columns = 1
    panel.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, frameon=False, fontsize="small", columnspacing=1.2
    )


def label_epochs(panel: Axes, what: str) -> None:
    """Label a panel of curves against epochs, once they are drawn."""
    panel.set(xlabel="epoch", ylabel=what, xlim=(0, None))
    panel.locator_params(axis="x", integer=True)
    panel.grid(alpha=0.3)


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
    given: Any = new_figure(9, 3.8, title).subplots(1, 2) if ax is None else ax
    panels = np.ravel(given)
    loss, epochs = panels[0], len(history.epoch)
    of_batches = history.batch_loss
    steps = np.linspace(0, epochs, len(of_batches), endpoint=False)
    loss.plot(steps, of_batches, color="0.75", linewidth=0.6, label="each batch", rasterized=True)
    scale_losses(loss, [history.train_loss, history.validation_loss, of_batches[:1]], most=np.inf)
    for panel, (measure, what, form) in zip(panels, MEASURES, strict=False):
        for k, (name, split) in enumerate(SPLITS.items()):
            values = getattr(history, f"{split}_{measure}")
            value = values[(kept or epochs) - 1]
            draw_curve(panel, k, history.epoch, values, f"{name}: {value:{form}}")
        if kept:
            panel.axvline(kept, color="0.3", linestyle=":", label=f"weights of epoch {kept}")
        label_epochs(panel, what)
        legend_above(panel)
    return figure_of(loss)


def mean_in_band(values: Array) -> tuple[Array, Array, tuple[Array, Array]]:
    """Give mean and deviation of columns (epochs, S) over the networks, and a band of one deviation to either side."""
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    low = np.maximum(mean - deviation, 0.5 * mean)  # above 0, for the logarithm
    return mean, deviation, (low, mean + deviation)


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
    curves = [(name, split, np.arange(len(diverged))) for name, split in SPLITS.items()]
    if groups:
        curves = [(name, "validation", members) for name, members in groups.items()]
    figure = new_figure(9, 3.8 + 0.19 * len(curves), title)
    for panel, (measure, what, form) in zip(figure.subplots(1, 2), MEASURES, strict=True):
        bands: list[Array] = []
        for k, (name, split, members) in enumerate(curves):
            kept = members[~diverged[members]]
            if not kept.size:
                draw_curve(panel, k, [], [], f"{name}: all diverged")
                continue
            values = np.array(getattr(history, f"{split}_{measure}"))[:, kept]
            mean, deviation, band = mean_in_band(values)
            lost = f", {len(members) - len(kept)} diverged" if len(kept) < len(members) else ""
            label = f"{name}: {mean[-1]:{form}} ± {deviation[-1]:{form}}{lost}"
            draw_curve(panel, k, history.epoch, mean, label, band)
            bands += band
        if measure == "loss":
            scale_losses(panel, bands)
        label_epochs(panel, f"validation {what}" if groups else what)
        legend_above(panel)
    return figure


def plot_rates(lr: Array, losses: Mapping[str, Array], chance: float, title: str = "") -> Figure:
    """Plot validation losses against the learning rate: the mean over seeds, in a band from least to largest.

    Parameters
    ----------
    lr : array of shape (R,)
        The learning rates, rising, at least two.
    losses : mapping of str to array of shape (R, seeds)
        Losses of the weights kept for each curve by name, NaN of networks that diverged.
    chance : float
        The loss of guessing, ln K, for a line.
    title : str, optional
        Stands above.
    """
    ax = new_figure(6.6, 4.4, title).add_subplot()
    ends = 0.7 * lr[0], 1.5 * lr[-1]
    ax.set(xscale="log", xlim=ends, xlabel="learning rate", ylabel="validation loss (nats)")
    ax.xaxis.set_major_formatter("{x:g}")
    means = np.array([values.mean(axis=1) for values in losses.values()])
    for k, (name, values) in enumerate(losses.items()):
        draw_curve(ax, k, lr, means[k], name, (values.min(axis=1), values.max(axis=1)))
    lost = np.isnan(means).any(axis=0)
    if lost.any():
        ax.axvspan(0.7 * lr[lost][0], ends[1], color="0.9", zorder=0, label="some diverged")
    ax.axhline(chance, color="0.4", linestyle=":", label="guessing")
    scale_losses(ax, [*means, chance], most=8 * chance)
    ax.grid(alpha=0.3)
    legend_above(ax, 4)
    return figure_of(ax)


def mean_curve(history: History, name: str) -> tuple[Array, tuple[Array, ...], float]:
    """Give a column of a history, a band around it, and what it says of the weights kept.

    Of a stack it is the mean over the networks that have not diverged, in a band of ± one deviation.
    """
    values, kept = np.array(getattr(history, name)), np.asarray(history.final(name))
    if values.ndim == 1:
        return values, (), float(kept)
    alive = ~history.diverged()
    if not alive.any():
        return np.full(len(values), np.nan), (), np.nan
    mean, _, band = mean_in_band(values[:, alive])
    return mean, band, float(kept[alive].mean())


def networks_of(history: History) -> str:
    """Say how many networks a history is of, for a legend; nothing of one."""
    lost = np.count_nonzero(history.diverged())
    if not np.ndim(history.kept[-1]):
        return ""
    S = len(history.kept[-1])
    if lost == S:
        return f", all {S} diverged"
    left_out = f" ({lost} diverged)" if lost else ""
    return f", mean of {S - lost}{left_out}"


def plot_runs(histories: Mapping[str, History], split: str = "validation", title: str = "") -> Figure:
    """Lay the curves of any number of runs over each other: a loss and the validation accuracy against epochs.

    The legend gives the values of the weights kept.

    Parameters
    ----------
    histories : mapping of str to History
        The runs by name, each with at least one epoch; a stack is drawn as the mean over its networks, without those
        that diverged, in a band of ± one deviation.
    split : {"validation", "training"}, default "validation"
        Of which split the loss is.
    title : str, optional
        Stands above.
    """
    losses = [mean_curve(history, f"{SPLITS[split]}_loss") for history in histories.values()]
    longest = max(map(len, histories))
    width = 9.6 + 0.09 * min(60, longest)
    height = max(3.8, 0.8 + 0.2 * len(losses))
    figure = new_figure(width, height, title)
    loss, accuracy = figure.subplots(1, 2)
    scale_losses(loss, [each for mean, band, _ in losses for each in (mean, *band)])
    for k, (name, history) in enumerate(histories.items()):
        mean, band, kept = losses[k]
        right, right_band, share = mean_curve(history, "validation_accuracy")
        label = f"{name}{networks_of(history)}: {kept:.3g}, {share:.1%}"
        curve, *edges = (np.clip(each, *loss.get_ylim()) for each in (mean, *band))
        draw_curve(loss, k, history.epoch, curve, label, edges)
        draw_curve(accuracy, k, history.epoch, right, band=right_band)
    label_epochs(loss, f"{split} loss (nats)")
    label_epochs(accuracy, "validation accuracy (share of samples)")
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def class_numbers(t: npt.ArrayLike) -> Array:
    """Return targets as class numbers; of rows, each one's largest entry counts."""
    t = np.asarray(t)
    return t.argmax(axis=1) if t.ndim == 2 else t


def plot_confusion(
    t: Array, predicted: Array, class_names: Sequence[str], ax: Axes | None = None, title: str = ""
) -> Figure:
    """Plot how often each class was taken for which, on samples that were not trained on.

    Of more than 60 classes, colours tell the shares, without names and counts.

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
    K = len(class_names)
    pairs = K * class_numbers(t) + predicted
    counts = np.bincount(pairs, minlength=K * K).reshape(K, K)
    samples = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(samples, 1)
    names = [literal(name, 24) for name in class_names] if K <= 60 else []
    longest = max(map(len, names), default=0)
    cell = 0.36 if K <= 30 else 0.26
    size = 2.8 + cell * (K if names else 30) + 0.07 * longest
    ax = ax or new_figure(size, size).add_subplot()
    figure = figure_of(ax)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if names:
        turned = (40 if K <= 30 else 60) * (longest > 2)
        ha = "right" if turned else "center"
        ax.set_xticks(range(K), names, rotation=turned, rotation_mode="anchor", ha=ha)
        ax.set_yticks(range(K), names)
        fontsize = min(9, 100 * (cell + 1 / K) / len(str(counts.max())))
        for row, column in np.argwhere(counts):
            colour = "white" if share[row, column] > 0.5 else "black"
            ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=fontsize)
    else:
        figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.6)
    ax.set(xlabel="predicted class", ylabel="true class")
    right = f"{literal(title, 200)}\n{counts.trace()} of {counts.sum()} right"
    ax.set_title(right.removeprefix("\n"), fontsize="medium", wrap=True)
    return figure


def plot_reliability(reliabilities: Mapping[str, "Reliability"], title: str = "") -> Figure:
    """Plot how often predictions were right against how sure they were, with how many there are below.

    Each bin of predictions is a point. Grey is where it would lie in 95 of 100 data sets if the probabilities were
    right: a bin of a few samples may be far off by chance.

    Parameters
    ----------
    reliabilities : mapping of str to Reliability
        By name, such as that before a temperature and that after it: see `minnet.runs.calibration.reliability`.
    title : str, optional
        Stands above.
    """
    columns, bins = len(reliabilities), reliabilities.values()
    figure = new_figure(1 + 4 * columns, 5.2, title)
    panels = figure.subplots(2, columns, sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    left = min(0.5, *(each.confidence[0] for each in bins))
    most = max(each.samples.max() for each in bins)
    for k, (name, each) in enumerate(reliabilities.items()):
        above, below = panels[:, k]
        draw_reliability(above, k, each)
        above.set_title(f"{literal(name, 40)}: calibration error {each.error:.3f}", fontsize="medium")
        bars = below.bar(each.confidence, each.samples, width=0.02, color=COLOURS[k % 8])
        below.bar_label(bars, fontsize="x-small", padding=1, rotation=90 * (most > 999))
        below.set_xlabel("probability of the class predicted")
    above.set(xlim=(left - 0.03, 1.03), ylim=(0, 1))  # which all others share
    below.set_ylim(0, 1.5 * most)
    panels[0, 0].set_ylabel("accuracy (share that is right)")
    panels[1, 0].set_ylabel("samples")
    handles = above.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def draw_reliability(panel: Axes, k: int, bins: "Reliability") -> None:
    """Draw the accuracy of bins against how sure the network was, in the k-th look, and where chance would put them."""
    from scipy.stats import binom

    least, largest = binom.interval(0.95, bins.samples, bins.confidence)
    low, height = least / bins.samples, (largest - least) / bins.samples
    chance = "where 95 % of bins lie if calibrated"
    panel.bar(bins.confidence, height, bottom=low, width=0.02, color="0.85", label=chance)
    panel.plot([0, 1], [0, 1], color="0.4", linestyle=":", label="perfectly calibrated")
    panel.plot(bins.confidence, bins.accuracy, linestyle="", clip_on=False, zorder=3, **look(k))
    panel.grid(alpha=0.3)


def plot_importance(importances: Sequence["Importance"], title: str = "") -> Figure:
    """Plot what columns are worth, as bars with a deviation to either side: at most thirty, and how many are left out.

    Parameters
    ----------
    importances : sequence of Importance
        The column that is worth the most first, at least one: see `minnet.runs.importance.importances`.
    title : str, optional
        Stands above.
    """
    shown, more = importances[:30], len(importances[30:])
    ax = new_figure(7, 1.5 + 0.26 * len(shown), title).add_subplot()
    places = range(len(shown))
    means = [each.mean for each in shown]
    deviations = [each.deviation for each in shown]
    ax.barh(places, means, xerr=deviations, color=COLOURS[5])
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(places, [literal(each.name, 30) for each in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)  # the first is on top
    left_out = f"\n{more} more columns, worth less, are not shown" if more else ""
    ax.set_xlabel(f"accuracy lost when the column is permuted{left_out}")
    ax.grid(axis="x", alpha=0.3)
    return figure_of(ax)


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
    TypeError, ValueError
        If the samples are not floating-point numbers with exactly two features.
    """
    x, t = expect.features("a decision boundary", x, D=2), class_numbers(t)
    ax = ax or new_figure(5.4, 4.6).add_subplot()
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * (high - low) + 1e-9
    across, up = np.linspace(low - margin, high + margin, 300, axis=1)
    points = np.stack(np.meshgrid(across, up), axis=-1)
    grid = points.reshape(-1, 2).astype(x.dtype)
    regions = classifier.predict(grid).reshape(300, 300)
    ax.pcolormesh(
        across, up, regions % 8, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=7.5, alpha=0.3, rasterized=True
    )
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    for k, name in enumerate(class_names or map(str, range(t.max() + 1))):
        ax.plot(*x[t == k].T, label=literal(name, 24), linestyle="", **edge, **look(k))
    across_name, up_name = map(literal, feature_names)
    ax.set(xlabel=across_name, ylabel=up_name)
    ax.legend(loc="best")  # which, unlike the default, does not warn where drawing takes long
    return figure_of(ax)
