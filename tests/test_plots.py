"""Do the pictures show the numbers, without pyplot, in figures of one's own if asked?"""

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from minnet import History
from minnet.plots import (
    plot_confusion,
    plot_decision_boundary,
    plot_history,
    plot_importance,
    plot_rates,
    plot_reliability,
    plot_runs,
    plot_stack,
    save_picture,
)
from minnet.runs.calibration import Reliability
from minnet.runs.importance import Importance
from tests.conftest import make_network


def made_up_history(epochs: int = 3) -> History:
    falling = [1 / (epoch + 1) for epoch in range(epochs)]
    return History(
        epoch=list(range(1, epochs + 1)), train_loss=falling, validation_loss=[2 * v for v in falling],
        train_accuracy=[1 - v / 2 for v in falling], validation_accuracy=[1 - v for v in falling],
        penalty=falling, gradient_norm=falling, lr=falling, kept=list(range(1, epochs + 1)), seconds=falling,
        batch_loss=[1.0, 0.5] * epochs,
    )  # fmt: skip


def made_up_stack(scale: float = 1.0, epochs: int = 3) -> History:
    """Give the history of two networks; the second one's numbers are larger."""
    history = made_up_history(epochs)
    for name in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "batch_loss"):
        setattr(history, name, [np.array([v, scale * v]) for v in getattr(history, name)])
    history.kept = [np.array([k, k]) for k in history.kept]
    return history


def test_the_history_is_drawn_as_it_is(tmp_path: Path) -> None:
    history = made_up_history()
    figure = plot_history(history, title="a run")
    loss, accuracy = figure.axes
    drawn = {str(line.get_label()).split(":")[0]: line for line in loss.get_lines()}
    np.testing.assert_array_equal(drawn["training"].get_xdata(), history.epoch)
    np.testing.assert_array_equal(drawn["training"].get_ydata(), history.train_loss)
    np.testing.assert_array_equal(drawn["validation"].get_ydata(), history.validation_loss)
    np.testing.assert_allclose(np.asarray(drawn["each batch"].get_xdata()), [0, 0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_array_equal(drawn["each batch"].get_ydata(), history.batch_loss)
    np.testing.assert_array_equal(accuracy.get_lines()[1].get_ydata(), history.validation_accuracy)
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_ylabel() == "cross-entropy (nats)"
    assert "share" in accuracy.get_ylabel()
    assert drawn["training"].get_linestyle() != drawn["validation"].get_linestyle()  # not by colour alone
    figure.savefig(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("scale", [1e-9, 0.0, 1.0, 1e6])
def test_losses_of_any_size_leave_labels_on_the_axis(scale: float) -> None:
    history = made_up_history()
    history.train_loss = [scale * v for v in history.train_loss]
    history.validation_loss = list(history.train_loss)
    history.batch_loss = [scale * v for v in history.batch_loss]
    figure = plot_history(history)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels() if low <= tick.get_position()[1] <= high]
    assert len([label for label in labels if label]) >= 1


def test_losses_that_are_not_finite_leave_the_others_on_the_axis() -> None:
    history = made_up_history()
    history.validation_loss, history.batch_loss = [math.nan, math.inf, 0.5], [math.nan] * 6
    low, high = plot_history(history).axes[0].get_ylim()
    assert 0.2 < low < 1 / 3
    assert 1 < high < 1.5


def test_a_single_epoch_is_visible() -> None:
    assert plot_history(made_up_history(1)).axes[0].get_lines()[1].get_marker() == "o"
    assert plot_stack(made_up_stack(epochs=1)).axes[0].get_lines()[0].get_marker() == "o"
    with pytest.raises(ValueError, match="at least one epoch"):
        plot_history(History())


def test_pictures_go_into_axes_of_ones_own() -> None:
    figure = Figure()
    axes = figure.subplots(2, 2).ravel()
    assert plot_history(made_up_history(), ax=axes[0]) is figure
    assert plot_history(made_up_history(), ax=axes[:2]) is figure
    assert plot_confusion(np.array([0, 1]), np.array([0, 1]), ["a", "b"], ax=axes[2]) is figure
    x = np.random.default_rng(0).normal(size=(9, 2))
    assert plot_decision_boundary(make_network((2, 2)), x, np.arange(9) % 2, ax=axes[3]) is figure
    assert len(figure.axes) == 4


def test_learning_rates_that_diverged_are_shaded() -> None:
    losses = np.array([[0.5, 0.6], [0.3, 0.2], [np.nan, 0.4]])
    figure = plot_rates(np.array([0.01, 0.1, 1]), {"momentum 0": losses}, 1.1)
    (ax,) = figure.axes
    mean = ax.get_lines()[0]
    np.testing.assert_allclose(np.ma.getdata(mean.get_ydata())[:2], [0.55, 0.25])
    assert np.isnan(np.asarray(mean.get_ydata())[2])
    assert "some diverged" in ax.get_legend_handles_labels()[1]


def test_a_comparison_lays_runs_over_each_other_and_survives_nan() -> None:
    right, wrong = made_up_history(), made_up_history()
    wrong.train_loss = [1e20, math.nan, math.nan]
    loss, accuracy = plot_runs({"right": right, "wrong": wrong}, "training", "both").axes
    first, second = loss.get_lines()
    np.testing.assert_array_equal(first.get_ydata(), right.train_loss)
    low, high = loss.get_ylim()
    assert (np.asarray(second.get_ydata())[0], np.isnan(np.asarray(second.get_ydata())[1:]).all()) == (high, True)
    assert low < min(right.train_loss)
    assert first.get_label() == "right: 0.333, 66.7%"
    assert second.get_label() == "wrong: nan, 66.7%"
    np.testing.assert_array_equal(accuracy.get_lines()[1].get_ydata(), wrong.validation_accuracy)
    assert (loss.get_ylabel(), accuracy.get_ylabel()[:19]) == ("training loss (nats)", "validation accuracy")


def test_a_stack_among_runs_is_its_mean_in_a_band_and_the_legend_tells_the_weights_kept() -> None:
    single, stack, lost = made_up_history(), made_up_stack(3.0), made_up_stack(math.nan)
    single.kept = [1, 2, 2]
    loss, accuracy = plot_runs({"single": single, "stack": stack, "lost": lost}).axes
    own, mean, left = loss.get_lines()
    np.testing.assert_array_equal(own.get_ydata(), single.validation_loss)
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), 2 * np.array(single.validation_loss))
    np.testing.assert_array_equal(left.get_ydata(), single.validation_loss)  # of the one that did not diverge
    assert own.get_label() == f"single: {single.validation_loss[1]:.3g}, {single.validation_accuracy[1]:.1%}"
    assert str(mean.get_label()).startswith("stack, mean of 2: 1.33, ")
    assert str(left.get_label()).startswith("lost, mean of 1 (1 diverged): 0.667, ")
    assert [len(panel.collections) for panel in (loss, accuracy)] == [2, 2]  # a band for each stack
    stack.validation_loss = [np.full(2, math.nan)] * 3
    assert str(plot_runs({"s": stack}).axes[0].get_lines()[0].get_label()) == "s, all 2 diverged: nan, nan%"


def test_any_number_of_runs_is_drawn_with_a_name_each() -> None:
    histories = {f"runs/{'x' * k}-{k}": made_up_history(k + 1) for k in range(40)}
    histories["runs/-0"].validation_loss = [math.nan]
    histories["runs/x-1"].validation_loss = [1.0, math.inf]
    figure = plot_runs(histories, title="forty")
    loss, accuracy = figure.axes
    assert len(loss.get_lines()) == len(accuracy.get_lines()) == 40
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in loss.get_lines()}
    assert len(looks) == 32
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 40
    assert max(len(text.get_text()) for text in legend.get_texts()) == 60
    np.testing.assert_array_equal(loss.get_lines()[9].get_ydata(), histories["runs/xxxxxxxxx-9"].validation_loss)
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert box.x1 <= figure.bbox.x1
    low, high = plot_runs({"a": histories["runs/-0"]}).axes[0].get_ylim()
    assert low < 1 < high


@pytest.mark.parametrize("scale", [1.0, 1e9, 1e30])
def test_a_stack_that_explodes_leaves_an_axis_that_can_be_read(scale: float) -> None:
    history = made_up_stack(scale)
    figure = plot_stack(history, {"a": np.array([0]), "b": np.array([1])})
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < high <= 150
    plot_stack(history, {"b": np.array([1])}).draw_without_rendering()


def test_long_names_leave_the_panels_room() -> None:
    names = [f"momentum {momentum}, weight decay {decay}" for momentum in (0, 0.9) for decay in (0, 0.001)]
    figure = plot_stack(made_up_stack(), {name: np.array([0, 1]) for name in names})
    figure.draw_without_rendering()  # with a warning, which is an error, if nothing was left of the panels
    for panel in figure.axes:
        legend: Any = panel.get_legend()
        assert panel.bbox.width > 0.35 * figure.bbox.width
        assert 0 <= legend.get_window_extent().x0 < legend.get_window_extent().x1 <= figure.bbox.x1


def test_the_epoch_whose_weights_were_kept_is_marked() -> None:
    history = made_up_history()
    for panel in plot_history(history, kept=2).axes:
        (line,) = [line for line in panel.get_lines() if line.get_label() == "weights of epoch 2"]
        assert list(np.asarray(line.get_xdata())) == [2, 2]
    panel = plot_history(history, kept=2).axes[0]
    assert f"training: {history.train_loss[1]:.3g}" in [line.get_label() for line in panel.get_lines()]


def test_the_confusion_counts_each_pair() -> None:
    t, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1])
    for targets in (t, np.eye(3)[t]):
        ax = plot_confusion(targets, predicted, ["ant", "bee", "cat"], title="insects?").axes[0]
        shown = {text.get_position(): text.get_text() for text in ax.texts}
        assert shown == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (1, 2): "1"}
        assert ax.get_title() == "insects?\n3 of 5 right"
        assert [label.get_text() for label in ax.get_yticklabels()] == ["ant", "bee", "cat"]
        image = ax.get_images()[0]
        assert isinstance(image, AxesImage)
        np.testing.assert_allclose(np.asarray(image.get_array())[0], [2 / 3, 1 / 3, 0])
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


RELIABILITY = Reliability(np.array([1, 20, 400]), np.array([0.4, 0.7, 0.99]), np.array([0.0, 0.75, 0.985]))


def pictures(name: str, axes: Sequence[Axes] | None = None) -> dict[str, Figure]:
    """Make each picture, with a name wherever one is taken; in axes of one's own, four of them, those that take any."""
    history, labels, x = made_up_history(), np.arange(6) % 2, np.random.default_rng(0).normal(size=(6, 2))
    rates = {name: np.array([[0.5], [0.4]]), "other": np.array([[0.5], [np.nan]])}
    some: list[Axes | None] = [None] * 4 if axes is None else list(axes)
    return {
        "history": plot_history(history, None if axes is None else axes[:2], title=name),
        "confusion": plot_confusion(labels, labels, [name, "other"], some[2], title=name),
        "boundary": plot_decision_boundary(make_network((2, 2)), x, labels, [name, "other"], [name, name], some[3]),
        "stack": plot_stack(made_up_stack(), {name: np.array([0]), "other": np.array([1])}, title=name),
        "rates": plot_rates(np.array([0.1, 1]), rates, 1.1, title=name),
        "runs": plot_runs({name: history, "other": history}, title=name),
        "reliability": plot_reliability({name: RELIABILITY, "other": RELIABILITY}, title=name),
        "importance": plot_importance([Importance(name, 0.1, 0.01)], title=name),
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, str, bool]]:
    """Note each line of text that is drawn: whose it is, what it says, and whether it is taken for mathematics."""
    preprocess, lines = Text._preprocess_math, set()  # type: ignore[attr-defined]

    def note(text: Text, line: str) -> Any:
        line, mathematics = preprocess(text, line)
        lines.add((id(text), line, bool(mathematics)))
        return line, mathematics

    monkeypatch.setattr(Text, "_preprocess_math", note)
    return lines


NAMES = {
    "<$10_$20": "<$10_$20",
    "$10k to $20k": "$10k to $20k",
    r"$\frac$": r"$\frac$",
    r"a\$b$": r"a\$b$",
    "_a": " _a",
    "__$x$": " __$x$",
    "a\x1b[31m\0b\udc80c": "a [31m b c",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_letter_by_letter(name: str, drawn: set[tuple[int, str, bool]], tmp_path: Path) -> None:
    found = {}
    for picture, figure in pictures(name).items():
        drawn.clear()
        save_picture(figure, tmp_path / "a.png")
        found[picture] = sum(NAMES[name] in line for _, line, _ in drawn)
        assert not any(mathematics for _, _, mathematics in drawn)
    entries = {"confusion": 2, "boundary": 3, "stack": 2, "rates": 1, "runs": 1, "reliability": 1, "importance": 1}
    assert found == {picture: (picture != "boundary") + entries.get(picture, 0) for picture in found}  # and a title


@pytest.mark.parametrize("name", NAMES)
def test_names_in_axes_of_ones_own_are_too(name: str, drawn: set[tuple[int, str, bool]], tmp_path: Path) -> None:
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = list(figure.subplots(2, 2).ravel())
    figure.suptitle("one's own $x^2$")
    assert list(pictures(name, axes).values())[:3] == [figure] * 3
    save_picture(figure, tmp_path / "a.png")
    assert sum(NAMES[name] in line for _, line, _ in drawn) == 3 + 3
    assert [line for _, line, mathematics in drawn if mathematics] == ["one's own $x^2$"]


@pytest.mark.parametrize("K", [2, 3, 10])
def test_titles_fit_into_the_picture_however_long(K: int) -> None:
    t = np.arange(K)
    figure = plot_confusion(t, t, [f"class {k}" for k in t], title="openml:a-very-long-name-of-a-data-set, test part")
    figure.draw_without_rendering()
    title = figure.axes[0].title.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= figure.bbox.x1
    assert title.y1 <= figure.bbox.y1


@pytest.mark.parametrize("length", [1, 30, 200])
@pytest.mark.parametrize("K", [2, 4, 30, 60])
def test_class_names_of_any_length_leave_room_for_the_cells(K: int, length: int) -> None:
    names = [f"{k}{'n' * length}" for k in range(K)]
    t = np.repeat(np.arange(K), 1234)
    figure = plot_confusion(t, t, names)
    figure.draw_without_rendering()  # a warning that there is no room would be an error
    (ax,) = figure.axes
    assert ax.get_window_extent().width / figure.dpi > 0.2 * K
    counts = [text.get_window_extent() for text in ax.texts]
    assert len(counts) == K
    assert max(count.width for count in counts) < ax.get_window_extent().width / K
    box = ax.get_tightbbox()
    assert box is not None
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert max(map(len, labels)) <= 24


def test_a_confusion_of_many_classes_has_a_colour_bar_instead_of_numbers() -> None:
    t = np.arange(70)
    figure = plot_confusion(t, t, [str(k) for k in range(70)])
    assert len(figure.axes) == 2
    assert not figure.axes[0].texts


def test_reliability_shows_accuracy_against_confidence_and_how_many_there_are() -> None:
    after = RELIABILITY._replace(accuracy=RELIABILITY.confidence)
    figure = plot_reliability({"before": RELIABILITY, "after": after}, "a run")
    figure.draw_without_rendering()
    before, better, below, _ = figure.axes
    _, points = before.get_lines()
    np.testing.assert_array_equal(points.get_xdata(), RELIABILITY.confidence)
    np.testing.assert_array_equal(points.get_ydata(), RELIABILITY.accuracy)
    np.testing.assert_array_equal(before.get_lines()[0].get_xdata(), before.get_lines()[0].get_ydata())
    assert [text.get_text() for text in below.texts] == ["1", "20", "400"]
    assert before.get_title() == f"before: calibration error {RELIABILITY.error:.3f}"
    assert better.get_title() == "after: calibration error 0.000"
    one, many = before.patches[0], before.patches[2]
    assert isinstance(one, Rectangle)
    assert isinstance(many, Rectangle)
    assert (one.get_y(), one.get_height()) == (0, 1)  # a single sample may be right or wrong
    assert many.get_height() < 0.03
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "perfectly calibrated",
        "where 95 % of bins lie if calibrated",
    ]


@pytest.mark.parametrize("samples", [1, 20, 12345])
def test_reliability_has_room_for_its_numbers(samples: int) -> None:
    bins = np.arange(1, 16) / 15 - 0.01
    figure = plot_reliability({"one": Reliability(np.full(15, samples), bins, bins)})
    figure.draw_without_rendering()
    below = figure.axes[1]
    boxes = [text.get_window_extent() for text in below.texts]
    assert all(box.y1 <= below.bbox.y1 for box in boxes)
    assert all(first.x1 <= second.x0 for first, second in itertools.pairwise(boxes))


def test_a_network_that_is_always_sure_leaves_an_axis_that_can_be_read() -> None:
    sure = Reliability(np.array([20]), np.array([1.0]), np.array([1.0]))
    figure = plot_reliability({"sure": sure})
    figure.draw_without_rendering()
    assert figure.axes[0].get_xlim()[0] < 0.5


def test_importance_has_a_bar_for_each_column_with_its_deviation_and_counts_those_left_out() -> None:
    found = [Importance(f"column {k}", 0.5 - k / 50, k / 100) for k in range(33)]
    (ax,) = plot_importance(found, "a run").axes
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    np.testing.assert_allclose([bar.get_width() for bar in bars], [each.mean for each in found[:30]])
    assert [label.get_text() for label in ax.get_yticklabels()] == [each.name for each in found[:30]]
    assert ax.get_xlabel().endswith("\n3 more columns, worth less, are not shown")
    low, high = ax.get_ylim()
    assert low > 29
    assert high < 0  # the first is on top
    (ax,) = plot_importance(found[:2]).axes
    assert "more" not in ax.get_xlabel()


def test_the_decision_boundary_is_the_classifiers() -> None:
    class RightOfOne:
        def predict(self, x: np.ndarray) -> np.ndarray:
            return (x[:, 0] > 1).astype(int)

    x = np.array([[0.0, 0.0], [2.0, 1.0], [0.5, 3.0]])
    figure = plot_decision_boundary(RightOfOne(), x, np.eye(2)[[0, 1, 0]], ["left", "right"], ["p", "q"])
    ax = figure.axes[0]
    (mesh,) = [collection for collection in ax.collections if type(collection).__name__ == "QuadMesh"]
    regions = np.asarray(mesh.get_array()).reshape(300, 300)
    across = np.linspace(-0.16, 2.16, 300)
    np.testing.assert_array_equal(regions, np.tile(across > 1, (300, 1)))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("p", "q")
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["left", "right"]
    with pytest.raises(ValueError, match=r"x of shape \(N, 2\), N at least 1 .* got \(3, 3\)"):
        plot_decision_boundary(RightOfOne(), np.ones((3, 3)), np.zeros(3, int))


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, minnet.cli, minnet.plots as p; p.plot_confusion([0, 1], [0, 1], ['a', 'b']);"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
