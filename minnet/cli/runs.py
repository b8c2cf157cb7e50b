"""What can be done from a terminal with runs? ``minnet predict``, ``evaluate``, ``show``, ``compare``; ``datasets``."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import minnet
from minnet.cli.flags import Parser, add_command
from minnet.cli.output import writable, write_csv
from minnet.data.named import DATASETS, load_raw
from minnet.runs.config import Column, PathName, Switch
from minnet.support import expect
from minnet.support.text import listed, say


def add_commands(commands: Any) -> None:
    """Describe the commands."""
    model = {
        "run": "a run folder, or a model file",
        "file": "the samples, in the columns that the model was trained on",
    }
    proba = ("proba", Switch(), "the probability of each class, too")
    add_command(commands, predict, model, (), [proba, ("out", PathName(), "where to write; by default to stdout")])
    target = ("target", Column(), "the column that holds the classes; by default the run's")
    print_json = ("json", Switch(), "print the results as one JSON object")
    add_command(commands, evaluate, model, (), [target, print_json])
    add_command(commands, show, {"run": "a run folder"})
    picture = ("out", PathName(), "where to save the picture", "compare.png")
    add_command(commands, compare, {"runs+": "run folders, or folders of runs"}, (), [picture, print_json])
    add_command(commands, datasets, {})


def read_samples(run: str, file: str, target: str | None, labelled: bool) -> tuple[minnet.Model, Any]:
    """Load a model, and from a file the columns that it was trained on."""
    from minnet.data.tables import read_table

    model = minnet.load(run)
    table = read_table(file, target, labelled=labelled, features=model.feature_names, class_names=model.class_names)
    if table.ignored:
        say(f"not used, the model knows no such column: {listed(table.ignored)}")
    return model, table


def predict(settings: dict[str, Any], parser: Parser, run: str, file: str, **options: Any) -> int:
    """``minnet predict``: predict the classes of samples in a file: as CSV, a row for each of its rows."""
    out = writable(options["out"]) if "out" in options else None
    if out is not None and out.exists() and Path(file).exists() and out.samefile(file):
        raise ValueError(f"--out {out} is the file with the samples: choose another name")
    model, table = read_samples(run, file, None, labelled=False)
    y = model.network.predict_proba(model.standardize(table.x), average=model.network.theta.ndim == 2)
    proba = "proba" in options
    rows = [["class", *(model.class_names if proba else [])]]
    for row, k in zip(y.astype(str).tolist(), y.argmax(axis=1), strict=True):  # as few digits as tell floats apart
        rows.append([model.class_names[k], *(row if proba else [])])
    write_csv(rows, out)
    return 0


def evaluate(settings: dict[str, Any], parser: Parser, run: str, file: str, **options: Any) -> int:
    """``minnet evaluate``: evaluate a run on samples in a file: loss, accuracy, precision, recall and F1 by class."""
    from minnet.runs.folder import read_config
    from minnet.runs.report import class_report, describe_loss, figure

    target = settings.get("target")
    if target is None and (Path(run) / "config.json").is_file():
        target = read_config(Path(run)).get("target")
    model, table = read_samples(run, file, target, labelled=True)
    t, network, x = table.t, model.network, model.standardize(table.x)
    stack = network.theta.ndim == 2
    y = network.predict_proba(x, average=stack)
    predicted = y.argmax(axis=1)
    accuracy = float((predicted == t).mean())
    if stack:
        z = np.log(np.maximum(y, np.finfo(y.dtype).tiny))  # logits whose softmax is y
        loss = float(network.output.forward(z, expect.targets(t, network.K, z.dtype)))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            loss, _ = minnet.evaluate(network, x, t)
        if not math.isfinite(loss):
            row = int(np.abs(x).max(axis=1).argmax()) + 1
            raise FloatingPointError(f"{file}: the loss is not finite: are the features of row {row} too large?")
    text, classes = class_report(t, predicted, model.class_names)
    if "json" in options:
        print(json.dumps({"samples": len(t), "loss": loss, "accuracy": accuracy, "classes": classes}))
        return 0
    print(f"accuracy       {accuracy:.4f}  ({round(accuracy * len(t))} of {len(t)} samples right)")
    print(f"loss           {figure(loss)}  ({describe_loss(network)})")
    print(f"\n{text.rstrip()}")
    return 0


def show(settings: dict[str, Any], parser: Parser, run: str) -> int:
    """``minnet show``: summarise a run: settings, layers, curve, results."""
    from minnet.runs import report

    print(report.show(Path(run)))
    return 0


def compare(settings: dict[str, Any], parser: Parser, runs: list[str], out: str = "compare.png", **options: Any) -> int:
    """``minnet compare``: compare runs: what differs in their settings and results, and one picture of their curves."""
    from minnet.runs import report

    picture = writable(out)
    found = [report.read_run(folder) for folder in report.find_runs([Path(run) for run in runs])]
    rows, table = report.compare(found)
    curves = {str(run.folder): run.history for run in found if run.history is not None}
    if curves:
        from minnet.plots import plot_runs, save_picture

        save_picture(plot_runs(curves, title=f"{len(curves)} runs"), picture)
    if "json" in options:
        print(json.dumps({"runs": rows, "picture": out if curves else None}))
        return 0
    print(table)
    print(f"picture in     {out}" if curves else "no run has an epoch yet: there is no picture")
    return 0


def datasets(settings: dict[str, Any], parser: Parser) -> int:
    """``minnet datasets``: list the built-in data sets."""
    print(f"{'name':<15}{'samples':>8}{'features':>10}{'classes':>9}  what it is, and where it comes from")
    for name, (about, *_) in DATASETS.items():
        raw = load_raw(name)
        print(f"{name:<15}{len(raw.x):>8}{len(raw.feature_names):>10}{len(raw.class_names):>9}  {about}")
    print(f"{'openml:<name or number>':<42}  any data set for classification on openml.org, such as openml:mnist_784")
    return 0
