"""What does cross-validation say? Mean and deviation over folds, and predictions of rows that were not learned."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.preprocessing import Several
from minnet.data.table import Table
from minnet.network import Network
from minnet.runs.beside import Beside, diverged, mcnemar, said, score_test
from minnet.runs.build import first_width, make_network, make_stack
from minnet.runs.calibration import Calibration, temperature_of
from minnet.runs.config import VARIED, Config
from minnet.runs.folder import OUT_OF_FOLD, RESULTS, STACK_FILE, Summary, draw_reliability, pictures, write_metrics
from minnet.runs.folds import narrow, widen
from minnet.runs.model import Model, save
from minnet.runs.report import class_report, describe_scores, figure, mean_and_deviation
from minnet.runs.sweep import Group, Result, Setting, by_name, rank
from minnet.support.files import write_json, write_text
from minnet.support.scores import MONITORS
from minnet.support.stack import Array
from minnet.support.text import shortened, table

REFIT = "refit"  # the group of the network that is trained on all rows
SETTINGS = [name for name in VARIED if name not in ("fold", "seed")]
LOSSES = ("train_loss", "validation_loss")
FIGURES = (*LOSSES, *(f"test_{name}" for name in (*MONITORS, "auc")))
NONE = np.empty(0)
SHOWN = ("validation_loss", "test_loss", "test_accuracy")


@dataclass(eq=False)
class Member:
    """A network that did not diverge, alone.

    Attributes
    ----------
    fold, kept : int
        The number of the fold that it did not learn, and the epoch whose weights it has, both from 1.
    config, dataset, network : Config, Dataset, Network
        What it is, and which rows it learned from.
    figures : dict of str to float
        How it did, by name.
    """

    fold: int
    kept: int
    config: Config
    dataset: Dataset
    network: Network
    figures: dict[str, float]

    @cached_property
    def calibration(self) -> Calibration:
        """What it says of the rows of its fold."""
        temperature = temperature_of(self.network, self.dataset)
        return Calibration.of(self.network, self.dataset, temperature)

    def figure(self, name: str) -> float:
        """Return a figure; NaN if it has none of that name, such as of a ROC curve where the fold tests one class."""
        return self.figures.get(name, math.nan)

    @property
    def width(self) -> int:
        """The outputs of its first layer."""
        return first_width(self.config, self.dataset)


class Tested(NamedTuple):
    """What networks say of the rows that they did not learn from.

    Attributes
    ----------
    fold, row : arrays of shape (N,)
        Of which fold it was the test part, and where in the source it stands, from 0.
    t : array of shape (N,)
        The right class.
    before, y : arrays of shape (N, K)
        The probability of each class, without temperatures and with: the mean over the seeds of the fold.
    """

    fold: Array
    row: Array
    t: Array
    before: Array
    y: Array

    @classmethod
    def by_one_each(cls, members: Iterable[Member]) -> "Tested":
        """Let each row be predicted by the first network alone that did not learn from it."""
        return cls.of(those[0] for those in by_fold(members).values())

    @classmethod
    def of(cls, members: Iterable[Member]) -> "Tested":
        """Let each row be predicted by the networks that did not learn from it."""
        parts = []
        for fold, those in by_fold(members).items():
            each = [member.calibration for member in those]
            row = those[0].dataset.rows["test"]
            before = np.mean([calibration.before for calibration in each], axis=0)
            y = np.mean([calibration.after for calibration in each], axis=0)
            folds = np.full(len(row), fold)
            parts.append((folds, row, each[0].t, before, y))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    @property
    def predicted(self) -> Array:
        """The class numbers predicted: shape (N,)."""
        predicted: Array = self.y.argmax(axis=1)
        return predicted

    def right(self, folds: Array) -> Array:
        """Tell which rows of some folds are predicted right."""
        those = np.isin(self.fold, folds)
        right: Array = self.predicted == self.t
        return right[those]


def by_fold(members: Iterable[Member]) -> dict[int, list[Member]]:
    """Sort networks by the fold that they did not learn."""
    folds: dict[int, list[Member]] = {}
    for member in members:
        folds.setdefault(member.fold, []).append(member)
    return dict(sorted(folds.items()))


class CrossValidation:
    """What came of all folds of a run.

    Parameters
    ----------
    configs, datasets : sequences of Config and Dataset
        Of each network.
    result : Result
        Of all networks, in that order; at least one did not diverge.

    Attributes
    ----------
    members : dict of int to Member
        The networks that did not diverge, by their places in the stack.
    ranking, chosen : list of Setting, list of Member
        How the settings fared, the best first, and the networks of that one.
    tested, calibration : Tested, Calibration
        What these say of the rows that they did not learn from, and what their temperatures change.
    """

    def __init__(self, configs: Sequence[Config], datasets: Sequence[Dataset], result: Result) -> None:
        self.configs, self.datasets = configs, datasets
        self.result, self.history = result, result.history
        self.folds = configs[0].folds or 1
        self.losses = {name: self.history.final(name) for name in LOSSES}
        self.wide = max(dataset.D for dataset in datasets)
        diverged = self.history.diverged()
        self.lost = int(diverged.sum())
        self.members = {s: self.member(s) for s in range(len(configs)) if not diverged[s]}
        varied = [name for name in SETTINGS if len(self.values(name)) > 1]
        self.ranking = rank(configs, self.history, varied)
        self.chosen = self.of(self.ranking[0])
        self.tested = Tested.of(self.chosen)
        _, _, t, before, after = self.tested
        T = np.mean([member.calibration.temperature for member in self.chosen])
        self.calibration = Calibration(float(T), before, after, t)

    def values(self, name: str) -> set[Any]:
        """List the values that a setting has."""
        return {getattr(config, name) for config in self.configs}

    def member(self, s: int) -> Member:
        """Take network s out of the stack, without the features that only others have, and score it."""
        config = self.configs[s]
        dataset = self.datasets[s]
        network = make_network(config, dataset)
        H = first_width(config, dataset)
        network.theta[...] = narrow(self.result.theta[s], H, dataset.D, self.wide)
        figures = {name: each[s] for name, each in self.losses.items()}
        scores, _ = score_test(network, dataset)
        for name, value in scores.items():
            figures[f"test_{name}"] = value
        kept = int(self.history.kept[-1][s])
        return Member(config.fold or 1, kept, config, dataset, network, figures)

    def of(self, setting: Setting) -> list[Member]:
        """List the networks of a setting that did not diverge."""
        return [self.members[s] for s in setting.networks.tolist() if s in self.members]

    def figures(self, setting: Setting) -> dict[int, dict[str, float]]:
        """Give the figures of each fold of a setting, by its number: the mean over seeds, of those that are finite."""
        found = {}
        for fold, members in by_fold(self.of(setting)).items():
            means = {name: np.mean([member.figure(name) for member in members]) for name in FIGURES}
            found[fold] = {name: float(mean) for name, mean in means.items() if np.isfinite(mean)}
        return found

    def means(self, setting: Setting) -> dict[str, Array]:
        """Give each figure of a setting that any fold has, one for each of these."""
        columns: dict[str, list[float]] = {}
        for figures in self.figures(setting).values():
            for name, value in figures.items():
                columns.setdefault(name, []).append(value)
        return {name: np.array(columns[name]) for name in FIGURES if name in columns}

    def classes(self) -> tuple[str, list[dict[str, Any]]]:
        """Tell how each class was predicted, of all rows that were tested: to read, and as data."""
        return class_report(self.tested.t, self.tested.predicted, self.datasets[0].class_names)

    def guessing(self) -> dict[str, Any]:
        """Tell what always saying the commonest class gives."""
        counts = np.bincount(self.tested.t)
        name = self.datasets[0].class_names[counts.argmax()]
        return {"class": name, "test_accuracy": float(counts.max() / counts.sum())}

    def refit_epochs(self) -> int:
        """Return how long a network for all rows is trained: the mean epoch kept of the best setting."""
        kept = [member.kept for member in self.chosen]
        return max(1, round(float(np.mean(kept))))

    def place(self, fold: Any) -> tuple[Any, Any]:
        """Return which repeat a fold is of, and which of its folds, both from 1."""
        repeat, k = divmod(fold - 1, self.folds)
        return repeat + 1, k + 1


def model(found: CrossValidation) -> Model:
    """Make the model in which the networks of the best setting answer together, each with its preprocessing."""
    members = found.chosen
    configs = [member.config for member in members]
    datasets = [member.dataset for member in members]
    temperatures = np.array([member.calibration.temperature for member in members])
    if len(members) == 1:
        return Model.of(members[0].network, datasets[0], temperatures[0])
    stack = make_stack(configs, datasets)
    for theta, member in zip(stack.theta, members, strict=True):
        theta[...] = widen(member.network.theta, member.width, member.dataset.D, stack.D)
    preprocessing = Several([dataset.preprocessing for dataset in datasets])
    return Model(stack, preprocessing, datasets[0].class_names, temperatures)


def out_of_fold(found: CrossValidation) -> str:
    """Format a row for each row that was tested in each repeat, as CSV."""
    names = found.datasets[0].class_names
    fold, row, t, _, y = found.tested
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["row", "repeat", "fold", "class", "predicted", *names])
    repeats, _ = found.place(fold)
    for n in np.lexsort((row, repeats)):
        place = found.place(fold[n])
        labels = names[t[n]], names[y[n].argmax()]
        rows.writerow([row[n] + 1, *place, *labels, *y[n].astype(str)])
    return text.getvalue()


def results(found: CrossValidation, ending: dict[str, Any]) -> dict[str, Any]:
    """Give what came out as data."""
    config, history = found.configs[0], found.history
    best = found.ranking[0]
    content: dict[str, Any] = {
        "dataset": found.datasets[0].name,
        "seed": config.seed,
        "folds": found.folds,
        "repeats": config.repeats,
        "networks": len(found.configs),
        "diverged": found.lost,
        "epochs": len(history.epoch),
        "parameters": found.result.theta.shape[-1],
    }
    means = found.means(best)
    for name, values in means.items():
        content |= {name: values.mean(), f"{name}_deviation": values.std()}
    content["each_fold"] = []
    for fold, figures in found.figures(best).items():
        repeat, k = found.place(fold)
        content["each_fold"].append({"repeat": repeat, "fold": k, **figures})
    if len(found.ranking) > 1:
        content["ranking"] = [fared(setting, found.means(setting), means) for setting in found.ranking]
    _, classes = found.classes()
    content |= {"seconds": math.fsum(history.seconds), "ended": ending, "classes": classes}
    return {**content, "proof": found.result.proof}


def fared(setting: Setting, means: Mapping[str, Array], names: Iterable[str]) -> dict[str, Any]:
    """Give how a setting fared as data: its values, and the mean of each figure."""
    entry: dict[str, Any] = {**setting.values, "diverged": setting.diverged}
    for name in names:
        entry[name] = float(means[name].mean()) if name in means else None
    return entry


def compared(found: CrossValidation) -> list[str]:
    """Compare settings in a table, the best first."""
    best = found.ranking[0]
    names = (*best.values, *SHOWN, "diverged")
    rows = [[name.replace("_", " ") for name in names]]
    for setting in found.ranking:
        means = found.means(setting)
        cells = [mean_and_deviation(means.get(name, NONE)) for name in SHOWN]
        cells.append(f"{setting.diverged} of {len(setting.networks)}")
        rows.append([*map(str, setting.values.values()), *cells])
    said = f"best           {best.name}: validation loss {figure(best.loss)}"
    return [*table(rows, ">" * len(rows[0])), said]


def describe(found: CrossValidation) -> list[str]:
    """Say what came out: of each setting if there are several, and of the best one."""
    lines = compared(found) if len(found.ranking) > 1 else []
    scores = {}
    for name, values in found.means(found.ranking[0]).items():
        if name.startswith("test_"):
            scores[name.removeprefix("test_")] = values
    counts = np.bincount(found.tested.t, minlength=found.datasets[0].K)
    guess = found.guessing()
    always = f"; always {shortened(guess['class'], 30)!r} gives {guess['test_accuracy']:.4f}"
    repeats = found.configs[0].repeats
    times = f" × {repeats}" if repeats > 1 else ""
    what = f"{found.folds}{times} folds: mean ± standard deviation"
    lines += describe_scores(scores, counts, found.chosen[0].network, "test ", always, what)
    if found.lost:
        lines.append(f"diverged       {found.lost} of {len(found.configs)} networks, which are left out")
    return lines


def compare(found: CrossValidation, configs: Sequence[Config], datasets: Sequence[Dataset], beside: Result) -> Beside:
    """Compare folds with the logistic regressions that were trained beside them: as data, and to read.

    McNemar's test takes each row once, as the first network of the first repeat tested it.
    """
    if beside.ended.reason == "diverged":
        return diverged("all of it diverged")
    other = CrossValidation(configs, datasets, beside)
    means = other.means(other.ranking[0])
    figures = {name: float(values.mean()) for name, values in means.items()}
    ours, theirs = Tested.by_one_each(found.chosen), Tested.by_one_each(other.chosen)
    both = np.intersect1d(ours.fold, theirs.fold)
    once = both[both <= found.folds]
    chance = mcnemar(ours.right(once), theirs.right(once))
    return said(figures, mean_and_deviation(means["test_accuracy"]), chance)


def refit_group(found: CrossValidation, samples: Table) -> Group:
    """Make the group of one network for all rows of a table, with the best setting."""
    config = replace(
        found.chosen[0].config, seed=found.configs[0].seed, folds=None, repeats=1, fold=None, refit=False,
        patience=None, epochs=found.refit_epochs(),
    )  # fmt: skip
    everything, one = np.arange(len(samples.t)), 0
    if samples.sample_weight is not None:
        one = int(samples.sample_weight.argmax())  # which counts at all
    rows = {"train": everything, "validation": everything, "test": np.array([one])}  # nothing is left to test on
    with np.errstate(over="ignore"):
        dataset = Dataset.of_rows(samples, rows, config.dtype)
    return Group([config], [dataset], stacked=False, name=REFIT, D=dataset.D)


def refitted(group: Group, result: Result, temperature: float) -> Model:
    """Make the model of the network that was trained on all rows, with the temperature of the folds."""
    network = make_network(group.configs[0], group.datasets[0])
    network.theta[...] = result.theta
    return Model.of(network, group.datasets[0], temperature)


def write_folds(
    folder: Path, found: CrossValidation, ending: dict[str, Any], refit: Model | None, beside: Beside
) -> Summary:
    """Write all files of a run of folds that has ended into its folder, ``results.json`` last; return what they say.

    The model is the one that was trained on all rows, if there is one, with the folds in ``stack.safetensors``; else
    these answer together.
    """
    (folder / RESULTS).unlink(missing_ok=True)
    figures, lines = beside
    content = results(found, ending)
    content["calibration"] = found.calibration.results()
    content["baseline"] = {"commonest": found.guessing(), **figures}
    mean = model(found)
    said = f"the mean of {len(found.chosen)} networks; --refit trains one on all rows instead"
    if refit:
        epochs = found.refit_epochs()
        content["refit"] = {"epochs": epochs}
        said = f"trained on all rows, for {epochs} epochs: the mean of what the folds kept"
        save(folder / STACK_FILE, mean)
    save(folder / "model.safetensors", refit or mean)
    report, _ = found.classes()
    write_text(folder / "report.txt", "\n".join([report, *lines, "", *found.calibration.table(), ""]))
    write_text(folder / OUT_OF_FOLD, out_of_fold(found))
    seeds = [config.seed for config in found.configs]
    folds = [config.fold or 1 for config in found.configs]
    write_metrics(folder, found.history, seeds, folds)
    with pictures(folder):
        draw_folds(folder, found)
    write_json(folder / RESULTS, content)
    return Summary(content, [*describe(found), *lines, found.calibration.line(), f"model          {said}"])


def draw_folds(folder: Path, found: CrossValidation) -> None:
    """Draw the mean curves of all folds in a band, and what was confused of all rows that were tested."""
    from minnet import plots

    dataset, tested = found.datasets[0], found.tested
    folds = len(found.values("fold"))
    curves = plots.plot_stack(found.history, by_name(found.ranking), title=f"{dataset.name}, {folds} folds")
    plots.save_picture(curves, folder / "loss.png")
    title = f"{dataset.name}, each row by the fold that tested it"
    picture = plots.plot_confusion(tested.t, tested.predicted, dataset.class_names, title=title)
    plots.save_picture(picture, folder / "confusion.png")
    draw_reliability(folder, title, found.calibration)
