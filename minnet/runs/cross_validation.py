"""What does cross-validation say? Mean and deviation over folds, and predictions of rows that were not learned."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.preprocessing import Several
from minnet.network import Network
from minnet.runs.beside import diverged, mcnemar, said, score_test
from minnet.runs.build import first_width, make_network, make_stack, read
from minnet.runs.calibration import Calibration, temperature_of
from minnet.runs.config import VARIED, Config
from minnet.runs.folder import OUT_OF_FOLD, RESULTS, STACK_FILE, Summary, draw_reliability, pictures, write_metrics
from minnet.runs.folds import narrow, widen
from minnet.runs.model import Model, save
from minnet.runs.report import class_report, describe_scores, figure, mean_and_deviation
from minnet.runs.sweep import Group, Result, Setting, rank
from minnet.support.files import write_json, write_text
from minnet.support.stack import Array
from minnet.support.text import shortened, table

REFIT = "refit"  # the group of the network that is trained on all rows
SHOWN = ("validation_loss", "test_loss", "test_accuracy")


class Tested(NamedTuple):
    """What the folds of the best setting say of the rows that they did not learn from.

    Attributes
    ----------
    fold, row : arrays of shape (N,)
        Of which fold it was the test part, and where in the source it stands, from 0.
    t, y : arrays of shape (N,) and (N, K)
        The right class, and the probability of each, with the temperature, the mean over seeds.
    """

    fold: Array
    row: Array
    t: Array
    y: Array


class CrossValidation:
    """What came of all folds of a run.

    Parameters
    ----------
    configs, datasets : sequences of Config and Dataset
        Of each network.
    result : Result
        Of all networks, in that order; at least one did not diverge.
    """

    def __init__(self, configs: Sequence[Config], datasets: Sequence[Dataset], result: Result) -> None:
        self.configs, self.datasets, self.history = configs, datasets, result.history
        self.alive = ~self.history.diverged()
        self.wide = max(dataset.D for dataset in self.datasets)
        self.networks = [self.network(s, theta) for s, theta in enumerate(result.theta)]
        varied = [name for name in VARIED if name not in ("fold", "seed") and len(self.values(name)) > 1]
        self.ranking = rank(self.configs, self.history, varied)
        self.chosen = self.of(self.ranking[0])
        self.figures = self.measure()
        self.temperatures = {s: temperature_of(self.networks[s], self.datasets[s]) for s in self.chosen}
        self.tested, self.calibration = self.test()

    def values(self, name: str) -> set[Any]:
        """List the values that a setting has."""
        return {getattr(config, name) for config in self.configs}

    def network(self, s: int, theta: Array) -> Network:
        """Make the single network that network s of the stack is."""
        config, dataset = self.configs[s], self.datasets[s]
        network = make_network(config, dataset)
        network.theta[...] = narrow(theta, first_width(config, dataset), dataset.D, self.wide)
        return network

    def of(self, setting: Setting) -> list[int]:
        """List the networks of a setting that did not diverge."""
        return [s for s in setting.networks.tolist() if self.alive[s]]

    def measure(self) -> dict[str, Array]:
        """Compute the figures of each network, of its own splits: arrays of shape (S,), NaN where it diverged."""
        found = {name: self.history.final(name) for name in ("train_loss", "validation_loss")}
        for s in np.flatnonzero(self.alive).tolist():
            scores, _ = score_test(self.networks[s], self.datasets[s])
            for name, value in scores.items():
                found.setdefault(f"test_{name}", np.full(len(self.networks), np.nan))[s] = value
        return found

    def by_fold(self, setting: Setting) -> dict[int, dict[str, float]]:
        """Give the figures of each fold of a setting, by its number: the mean over seeds."""
        members: dict[int, list[int]] = {}
        for s in self.of(setting):
            members.setdefault(self.fold(s), []).append(s)
        return {
            fold: {
                name: float(values[who].mean())
                for name, values in self.figures.items()
                if np.isfinite(values[who]).all()  # where a fold tests one class only, there is no ROC curve
            }
            for fold, who in sorted(members.items())
        }

    def fold(self, s: int) -> int:
        """Return the number of the fold that network s did not learn, from 1."""
        return self.configs[s].fold or 1

    def means(self, setting: Setting) -> dict[str, Array]:
        """Give each figure of a setting, one for each fold that has it."""
        folds = self.by_fold(setting).values()
        return {name: np.array([each[name] for each in folds if name in each]) for name in self.figures}

    def test(self) -> tuple[Tested, Calibration]:
        """Let each row be predicted by the networks that did not learn from it, without their temperatures and with."""
        parts, without = [], []
        for fold in sorted({self.fold(s) for s in self.chosen}):
            who = [s for s in self.chosen if self.fold(s) == fold]
            dataset = self.datasets[who[0]]
            each = [Calibration.of(self.networks[s], dataset, self.temperatures[s]) for s in who]
            without.append(np.mean([calibration.before for calibration in each], axis=0))
            y = np.mean([calibration.after for calibration in each], axis=0)
            rows = dataset.rows["test"]
            parts.append((np.full(len(rows), fold), rows, dataset.labels("test"), y))
        tested, mean = Tested(*map(np.concatenate, zip(*parts, strict=True))), np.mean([*self.temperatures.values()])
        return tested, Calibration(float(mean), np.concatenate(without), tested.y, tested.t)

    def model(self) -> Model:
        """Make the model in which the networks of the best setting answer together, each with its preprocessing."""
        if len(self.chosen) == 1:
            (s,) = self.chosen
            return Model.of(self.networks[s], self.datasets[s], self.temperatures[s])
        configs, datasets = [self.configs[s] for s in self.chosen], [self.datasets[s] for s in self.chosen]
        stack = make_stack(configs, datasets)
        for theta, s, config, dataset in zip(stack.theta, self.chosen, configs, datasets, strict=True):
            theta[...] = widen(self.networks[s].theta, first_width(config, dataset), dataset.D, stack.D)
        preprocessing = Several([dataset.preprocessing for dataset in datasets])
        return Model(
            stack, preprocessing, datasets[0].class_names, np.array([self.temperatures[s] for s in self.chosen])
        )

    def out_of_fold(self) -> str:
        """Format a row for each row that was tested in each repeat, as CSV."""
        names, folds = self.datasets[0].class_names, self.configs[0].folds or 1
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["row", "repeat", "fold", "class", "predicted", *names])
        fold, row, t, y = self.tested
        for n in np.lexsort((row, (fold - 1) // folds)):
            repeat, k = divmod(int(fold[n]) - 1, folds)
            said = [names[t[n]], names[y[n].argmax()], *y[n].astype(str)]
            rows.writerow([row[n] + 1, repeat + 1, k + 1, *said])
        return text.getvalue()

    def results(self, ending: dict[str, Any]) -> dict[str, Any]:
        """Give what came out as data."""
        config, means = self.configs[0], self.means(self.ranking[0])
        _, classes = self.classes()
        folds = config.folds or 1
        found: dict[str, Any] = {
            "dataset": self.datasets[0].name,
            "seed": config.seed,
            "folds": folds,
            "repeats": config.repeats,
            "networks": len(self.networks),
            "diverged": int((~self.alive).sum()),
            "epochs": len(self.history.epoch),
            "parameters": max(network.theta.size for network in self.networks),
        }
        for name, values in means.items():
            if values.size:
                found |= {name: values.mean(), f"{name}_deviation": values.std()}
        found["each_fold"] = [
            {"repeat": (fold - 1) // folds + 1, "fold": (fold - 1) % folds + 1, **figures}
            for fold, figures in self.by_fold(self.ranking[0]).items()
        ]
        if len(self.ranking) > 1:
            found["ranking"] = [
                {**setting.values, "diverged": setting.diverged}
                | {name: float(values.mean()) if values.size else None for name, values in self.means(setting).items()}
                for setting in self.ranking
            ]
        return {**found, "seconds": math.fsum(self.history.seconds), "ended": ending, "classes": classes}

    def classes(self) -> tuple[str, list[dict[str, Any]]]:
        """Tell how each class was predicted, of all rows that were tested."""
        return class_report(self.tested.t, self.tested.y.argmax(axis=1), self.datasets[0].class_names)

    def lines(self) -> list[str]:
        """Say what came out: of each setting if there are several, and of the best one."""
        config, dataset, means = self.configs[0], self.datasets[0], self.means(self.ranking[0])
        lines = self.compared() if len(self.ranking) > 1 else []
        times = f" × {config.repeats}" if config.repeats > 1 else ""
        counts = np.bincount(self.tested.t, minlength=dataset.K)
        name, share = shortened(dataset.class_names[counts.argmax()], 30), counts.max() / counts.sum()
        scores = {
            name.removeprefix("test_"): values for name, values in means.items() if name[:5] == "test_" and values.size
        }
        what = f"{config.folds}{times} folds: mean ± standard deviation"
        lines += describe_scores(
            scores, counts, self.networks[0], "test ", f"; always {name!r} gives {share:.4f}", what
        )
        if not self.alive.all():
            lines.append(f"diverged       {(~self.alive).sum()} of {len(self.alive)} networks, which are left out")
        return lines

    def compared(self) -> list[str]:
        """Compare settings in a table, the best first."""
        names = (*self.ranking[0].values, *SHOWN, "diverged")
        rows = [[name.replace("_", " ") for name in names]]
        for setting in self.ranking:
            means = self.means(setting)
            cells = [mean_and_deviation(means[name]) for name in SHOWN]
            cells.append(f"{setting.diverged} of {len(setting.networks)}")
            rows.append([*map(str, setting.values.values()), *cells])
        best = f"best           {self.ranking[0].name}: validation loss {figure(self.ranking[0].loss)}"
        return [*table(rows, ">" * len(rows[0])), best]

    def refit_epochs(self) -> int:
        """Return how long a network for all rows is trained: the mean epoch kept of the best setting."""
        return max(1, round(float(np.asarray(self.history.kept[-1])[self.chosen].mean())))

    def refit_group(self) -> Group:
        """Make the group of one network for all rows, with the best setting."""
        config = replace(
            self.configs[self.chosen[0]], seed=self.configs[0].seed, folds=None, repeats=1, fold=None, refit=False,
            patience=None, epochs=self.refit_epochs(),
        )  # fmt: skip
        samples = read(config)
        everything = np.arange(len(samples.t))
        rows = {"train": everything, "validation": everything, "test": everything[:1]}  # nothing is left to test on
        with np.errstate(over="ignore"):
            dataset = Dataset.of_rows(samples, rows, config.dtype)
        return Group([config], [dataset], stacked=False, name=REFIT, D=dataset.D)


def refitted(group: Group, result: Result, temperature: float) -> Model:
    """Make the model of the network that was trained on all rows, with the temperature of the folds."""
    network = make_network(group.configs[0], group.datasets[0])
    network.theta[...] = result.theta
    return Model.of(network, group.datasets[0], temperature)


def compare(found: CrossValidation, configs: Sequence[Config], datasets: Sequence[Dataset], beside: Result) -> Any:
    """Compare folds with the logistic regressions that were trained beside them: as data, and to read.

    McNemar's test takes each row once, as the first repeat tested it.
    """
    if beside.ended.reason == "diverged":
        return diverged("all of it diverged")
    other = CrossValidation(configs, datasets, beside)
    means = other.means(other.ranking[0])
    folds, ours, theirs = configs[0].folds or 1, found.tested, other.tested
    once = np.isin(ours.fold, theirs.fold) & (ours.fold <= folds)
    right, their_right = (each.y.argmax(axis=1) == each.t for each in (ours, theirs))
    alike = np.isin(theirs.fold, ours.fold) & (theirs.fold <= folds)
    figures = {name: float(values.mean()) for name, values in means.items() if values.size}
    return said(figures, mean_and_deviation(means["test_accuracy"]), mcnemar(right[once], their_right[alike]))


def write_folds(
    folder: Path,
    found: CrossValidation,
    ending: dict[str, Any],
    refit: Model | None,
    compared: tuple[dict[str, Any], list[str]],
) -> Summary:
    """Write all files of a run of folds that has ended into its folder, ``results.json`` last; return what they say.

    The model is the one that was trained on all rows, if there is one, with the folds in ``stack.safetensors``; else
    these answer together.
    """
    (folder / RESULTS).unlink(missing_ok=True)
    results, lines, folds = found.results(ending), found.lines(), found.model()
    most = int(np.bincount(found.tested.t).argmax())
    guessing = {"class": folds.class_names[most], "test_accuracy": float((found.tested.t == most).mean())}
    results["calibration"] = found.calibration.results()
    results["baseline"] = {"commonest": guessing, **compared[0]}
    beside = [*compared[1], found.calibration.line()]
    lines += beside
    if refit:
        save(folder / STACK_FILE, folds)
        results["refit"] = {"epochs": found.refit_epochs()}
        lines.append(
            f"model          trained on all rows, for {found.refit_epochs()} epochs: the mean of what the folds kept"
        )
    else:
        lines.append(f"model          the mean of {len(found.chosen)} networks; --refit trains one on all rows instead")
    save(folder / "model.safetensors", refit or folds)
    write_text(folder / "report.txt", "\n".join([found.classes()[0], *beside, ""]))
    write_text(folder / OUT_OF_FOLD, found.out_of_fold())
    seeds, numbers = [config.seed for config in found.configs], [*map(found.fold, range(len(found.configs)))]
    write_metrics(folder, found.history, seeds, numbers)
    with pictures(folder):
        draw_folds(folder, found)
    write_json(folder / RESULTS, results)
    return Summary(results, lines)


def draw_folds(folder: Path, found: CrossValidation) -> None:
    """Draw the mean curves of all folds in a band, and what was confused of all rows that were tested."""
    from minnet import plots

    dataset, folds = found.datasets[0], len({found.fold(s) for s in range(len(found.networks))})
    several = sorted(found.ranking, key=lambda setting: [*setting.values.values()])
    groups = {setting.name: setting.networks for setting in several} if len(several) > 1 else None
    curves = plots.plot_stack(found.history, groups, title=f"{dataset.name}, {folds} folds")
    plots.save_picture(curves, folder / "loss.png")
    title, predicted = f"{dataset.name}, each row by the fold that tested it", found.tested.y.argmax(axis=1)
    picture = plots.plot_confusion(found.tested.t, predicted, dataset.class_names, title=title)
    plots.save_picture(picture, folder / "confusion.png")
    draw_reliability(folder, f"{dataset.name}, each row by the fold that tested it", found.calibration)
