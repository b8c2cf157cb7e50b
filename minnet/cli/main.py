"""What can be done from a terminal? The ``minnet`` command: results on stdout, progress on stderr, a line an error.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import minnet
from minnet.data import Dataset
from minnet.data.named import DATASETS, check_name, load_dataset, load_raw
from minnet.data.tables import is_file_name
from minnet.runs.build import (
    ACTIVATIONS,
    NORMALIZATIONS,
    SCHEDULES,
    make_network,
    memory_bound,
    number_classes,
    read_dataset,
)  # fmt: skip
from minnet.runs.checkpoints import stopping_signals
from minnet.runs.job import command_train, progress, say
from minnet.runs.sweep import MOMENTA, RATES, Setting, train_grid
from minnet.support.text import nearest
from minnet.training import MONITORS, History

DATA_FLAGS = ("target", "ignore", "weights", "test", "validation")


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    raises = False

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        if self.raises:
            raise ValueError(message)
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise a ValueError instead of leaving, while what is parsed was not typed by the user."""
        self.raises = True
        try:
            yield
        finally:
            self.raises = False


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that states defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        stated = action.default is not None and action.default is not False and action.default != []
        return super()._get_help_string(action) if stated else action.help


def number(kind: type[float] | type[int], condition: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    """Make an argument type that takes numbers for which a condition holds."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and condition(value)):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return parse


def several(kind: Callable[[str], float]) -> Callable[[str], list[float]]:
    """Make an argument type that takes one or several values with commas between them."""
    return lambda text: [kind(part) for part in text.split(",")]


def size(text: str) -> float:
    """Parse a size in bytes, such as 500M or 2G."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    try:
        value = float(text[:-1]) * units[text[-1].upper()] if text[-1:].upper() in units else float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a size above 0, such as 500M or 2G, got {text!r}")
    return value


def widths(text: str) -> list[int]:
    """Parse the widths of hidden layers, such as 64,32; "none" is none."""
    if text == "none":
        return []
    try:
        hidden = [int(width) for width in text.split(",")]
    except ValueError:
        hidden = [0]
    if min(hidden) < 1:
        raise argparse.ArgumentTypeError(f"expected widths such as 64 or 64,32 (or none), got {text!r}")
    return hidden


def path(text: str) -> str:
    """Parse the name of a file or folder to write."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


def names(text: str) -> list[str]:
    """Parse names with commas between them."""
    return [name for name in text.split(",") if name]


def dataset_name(text: str) -> str:
    """Parse the name of a data set, or of a file."""
    if is_file_name(text):
        return text
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or a file: .csv, .parquet, .npz, x.npy,y.npy") from None


def check_subject(text: str) -> str:
    """Parse what to check: the name of a data set, or FILE.py:ClassName."""
    return text if ".py:" in text else dataset_name(text)


count = number(int, lambda value: value >= 1, "an integer of at least 1")
rate = number(float, lambda value: value > 0, "a finite number above 0")
part = number(float, lambda value: 0 <= value < 1, "a number of at least 0 and below 1")
whole = number(int, lambda value: value >= 0, "an integer of at least 0")
decay = number(float, lambda value: value >= 0, "a finite number of at least 0")
factor = number(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
held_out = number(float, lambda value: 0 < value < 0.8, "a number above 0 and below 0.8")
seed_count = number(int, lambda value: 1 <= value <= 100_000, "an integer from 1 to 100000")
seed_number = number(int, lambda value: 0 <= value < 2**32, "an integer from 0 to 4294967295")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what to do with a file of one's own."""
    add = parser.add_argument_group("data of your own").add_argument
    add("--target", metavar="COLUMN", help="the column that holds the classes; needed unless the file is of arrays")
    add("--ignore", metavar="COLUMN,…", type=names, default=[], help="columns to leave out")
    add("--weights", metavar="COLUMN", help="the column that says how much each sample counts")
    add(
        "--test",
        metavar="FILE",
        type=path,
        help="a file with the test part; by default 15 %% of the rows are kept aside",
    )
    add("--validation", metavar="X", type=held_out, default=0.15, help="share of the rows kept aside for validation")


def add_architecture(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a network is made of."""
    add = parser.add_argument_group("network").add_argument
    add("--hidden", metavar="W,…", type=widths, default="64", help="widths of hidden layers, or none")
    add("--activation", choices=list(ACTIVATIONS), default="relu", help="what follows each hidden layer")
    add("--normalize", choices=["none", *NORMALIZATIONS], default="none", help="what stands before each activation")
    add("--dropout", metavar="P", type=part, default=0.0, help="share of each hidden layer dropped in training")
    add("--label-smoothing", metavar="X", type=part, default=0.0, help="share of each target spread over all classes")
    add("--class-weights", metavar="W", help="how much classes count: balanced, a number for each, or pairs rare=5,…")


def build_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(prog="minnet", description="Train small neural networks, written from scratch in NumPy.")
    parser.add_argument("--version", action="version", version=f"minnet {minnet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    trainer = commands.add_parser(
        "train",
        help="train a classifier on a data set",
        description="Train a classifier on a data set and keep what happened in a run folder.",
        formatter_class=HelpFormatter,
    )
    trainer.set_defaults(command=command_train, parser=trainer)
    where = "one of `minnet datasets`, openml:<name or number>, or a file: .csv, .tsv, .parquet, .npz, x.npy,y.npy"
    add = trainer.add_argument
    add("dataset", metavar="DATASET", nargs="?", type=dataset_name, help=where)
    add_data(trainer)
    add_architecture(trainer)
    add = trainer.add_argument_group("training").add_argument
    add("--epochs", metavar="N", type=count, default=50, help="how often to go through the training part, at most")
    add("--batch-size", metavar="N", type=count, default=32, help="samples a step")
    add("--optimizer", choices=["sgd", "adam"], default="sgd", help="how to step")
    add(
        "--lr",
        metavar="X,…",
        type=several(rate),
        help="learning rate, by default 0.05, for adam 0.001; several at once",
    )
    add("--momentum", metavar="X", type=part, default=0.9, help="of sgd: share of the velocity kept at each step")
    add("--nesterov", action="store_true", help="of sgd: look ahead along the velocity")
    add("--weight-decay", metavar="X", type=decay, default=0.0, help="λ of the penalty ½ λ Σ W²")
    add("--schedule", choices=SCHEDULES, default="constant", help="how the learning rate changes")
    add("--lr-every", metavar="N", type=count, default=10, help="of --schedule step: epochs from step to step")
    add("--lr-gamma", metavar="X", type=factor, default=0.1, help="of step and plateau: what the rate is multiplied by")
    add("--warmup", metavar="N", type=whole, default=0, help="of --schedule cosine: epochs in which the rate rises")
    add("--lr-patience", metavar="N", type=count, default=5, help="of --schedule plateau: epochs without improvement")
    add("--clip-norm", metavar="X", type=rate, help="shorten longer gradients to this norm")
    add(
        "--patience",
        metavar="N",
        type=count,
        help="stop after N epochs without a new best, and restore the best weights",
    )
    add("--monitor", choices=list(MONITORS), default="loss", help="what of the validation part makes an epoch the best")
    add("--dtype", choices=["float32", "float64"], default="float32", help="precision of the computation")
    add("--seed", metavar="N", type=seed_number, default=0, help="determines split, initial weights, order and dropout")
    add("--seeds", metavar="N", type=seed_count, default=1, help="train N networks at once, with seeds from --seed on")
    add("--memory", metavar="SIZE", type=size, help="bound for training several, such as 2G; a quarter of what is free")
    add = trainer.add_argument_group("run").add_argument
    add("--out", metavar="DIR", type=path, help="the run folder; by default the next free runs/DATASET-N")
    add("--force", action="store_true", help="remove the run that --out already holds")
    add("--resume", metavar="RUN", type=path, help="go on with a run that was interrupted or killed")
    every = "epochs from checkpoint to checkpoint; by default one, or more where that would take over half of the time"
    add("--checkpoint-every", metavar="N", type=count, help=every)
    add("--live", action="store_true", help="redraw loss.png every few seconds while training")
    add("--tensorboard", action="store_true", help="write event files for TensorBoard into the run folder")
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print no progress, only the results")

    tuner = commands.add_parser(
        "tune",
        help="find a learning rate",
        description="Find a learning rate: a grid of rates, momenta and seeds, trained at once for a few epochs.",
        formatter_class=HelpFormatter,
    )
    tuner.set_defaults(command=command_tune, parser=tuner)
    add = tuner.add_argument
    add("dataset", metavar="DATASET", type=dataset_name, help=where)
    add_data(tuner)
    add_architecture(tuner)
    add = tuner.add_argument_group("search").add_argument
    add("--epochs", metavar="N", type=count, default=25, help="how long to train each network")
    add("--batch-size", metavar="N", type=count, default=32, help="samples a step")
    add("--seed", metavar="N", type=seed_number, default=0, help="determines the split, and the first seed")
    add("--seeds", metavar="N", type=seed_count, default=4, help="networks of each learning rate and momentum")
    add("--memory", metavar="SIZE", type=size, help="bound, such as 2G; a quarter of what is free")
    add("--out", metavar="FILE", type=path, help="where to save the picture; by default tune-DATASET.png")
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print no progress, only the results")

    doctor = commands.add_parser(
        "doctor",
        help="check up data, network and learning rate before a long run",
        description="Check up data, network and learning rate before a long run. Exit code 1 if something is wrong.",
        formatter_class=HelpFormatter,
    )
    doctor.set_defaults(command=command_doctor, parser=doctor)
    doctor.add_argument("dataset", metavar="DATASET", type=dataset_name, help=where)
    add_data(doctor)
    add_architecture(doctor)
    add = doctor.add_argument_group("training").add_argument
    add("--batch-size", metavar="N", type=count, default=32, help="samples a step")
    add("--lr", metavar="X", type=several(rate), default="0.05", help="the learning rate that is meant")
    add("--momentum", metavar="X", type=part, default=0.9, help="share of the velocity kept at each step")
    add("--seed", metavar="N", type=seed_number, default=0, help="determines the split")
    add("--json", action="store_true", help="print what was found as one JSON object")

    predictor = commands.add_parser(
        "predict",
        help="predict the classes of samples in a file",
        description="Predict the classes of samples in a file, as CSV: a row for each of its rows.",
        formatter_class=HelpFormatter,
    )
    predictor.set_defaults(command=command_predict)
    add = predictor.add_argument
    add("run", metavar="RUN", type=path, help="a run folder, or a model file")
    add("file", metavar="FILE", type=path, help="the samples, in the columns that the model was trained on")
    add("--proba", action="store_true", help="the probability of each class, too")
    add("--out", metavar="FILE", type=path, help="where to write; by default to stdout")

    judge = commands.add_parser(
        "evaluate",
        help="evaluate a run on samples in a file",
        description="Evaluate a run on samples in a file: loss, accuracy, and precision, recall and F1 of each class.",
        formatter_class=HelpFormatter,
    )
    judge.set_defaults(command=command_evaluate)
    add = judge.add_argument
    add("run", metavar="RUN", type=path, help="a run folder, or a model file")
    add("file", metavar="FILE", type=path, help="the samples and their classes")
    add("--target", metavar="COLUMN", help="the column that holds the classes; by default the run's")
    add("--json", action="store_true", help="print the results as one JSON object")

    about = "summarise a run: settings, layers, curve, results"
    viewer = commands.add_parser("show", help=about, description=about.capitalize() + ".")
    viewer.set_defaults(command=command_show)
    viewer.add_argument("run", metavar="RUN", type=path, help="a run folder")

    comparer = commands.add_parser(
        "compare",
        help="compare runs: a table and one picture",
        description="Compare runs: what differs in their settings and results, and one picture of their curves.",
        formatter_class=HelpFormatter,
    )
    comparer.set_defaults(command=command_compare)
    add = comparer.add_argument
    add("runs", metavar="RUN", nargs="+", type=path, help="run folders, or folders of runs")
    add("--out", metavar="FILE", type=path, default="compare.png", help="where to save the picture")
    add("--json", action="store_true", help="print the table as JSON")

    about = "list the built-in data sets"
    commands.add_parser("datasets", help=about, description=about).set_defaults(command=command_datasets)

    checker = commands.add_parser(
        "check",
        help="check gradients, and name what is wrong with them",
        description="Check the gradients of a network on a data set, or of a layer of your own, and name the mistake.",
        formatter_class=HelpFormatter,
    )
    checker.set_defaults(command=command_check)
    checker.add_argument("subject", metavar="DATASET|FILE.py:Class", type=check_subject, help="what to check")
    add_architecture(checker)
    checker.add_argument("--seed", metavar="N", type=seed_number, default=0, help="determines the weights")
    checker.add_argument("--seeds", metavar="N", type=seed_count, default=1, help="check a stack of N networks")

    lab = commands.add_parser(
        "bugs",
        help="see what classic mistakes look like",
        description="A lab of classic mistakes: list them, train one beside the right program, or guess one.",
        formatter_class=HelpFormatter,
    )
    lab.set_defaults(command=command_bugs, parser=lab)
    add = lab.add_argument
    add("name", metavar="NAME", nargs="?", help="the mistake; without one, all are listed")
    add("--dataset", metavar="DATASET", type=dataset_name, default="digits", help="what to train on")
    add("--epochs", metavar="N", type=count, default=15, help="how long to train both")
    add("--seed", metavar="N", type=seed_number, default=0, help="the seed of both")
    add("--check", action="store_true", help="show what `minnet check` says of it, instead of training")
    add("--mystery", metavar="N", type=seed_number, help="run the N-th mystery: guess which mistake it is")
    add("--tell", action="store_true", help="say which mistake the mystery was, and what it means")
    add("--out", metavar="FILE", type=path, help="where to save the picture; by default bug-NAME.png")
    return parser


def writable(name: str) -> Path:
    """Return the name of a file to write as a path, or raise an OSError now, before any work is done for it."""
    out = Path(name)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"cannot write {name}: there is no folder {out.parent}")
    if out.is_dir():
        raise IsADirectoryError(f"cannot write {name}: it is a folder, expected the name of a file")
    return out


def command_tune(arguments: argparse.Namespace) -> int:
    """``minnet tune``: rank learning rates and momenta, and recommend a command."""
    from minnet.runs.report import figure

    dataset = read_dataset(arguments)
    out = writable(arguments.out or f"tune-{dataset.name.replace(':', '-')}.png")
    with progress(arguments.epochs, arguments.quiet) as on_epoch:
        _, history, ranking = train_grid(
            lambda seeds: make_network(arguments, dataset, "float32", seeds),
            dataset,
            RATES,
            MOMENTA,
            range(arguments.seed, arguments.seed + arguments.seeds),
            arguments.epochs,
            arguments.batch_size,
            memory_bound(arguments),
            on_epoch=on_epoch,
        )
    best = ranking[0]
    if best.diverged:
        raise FloatingPointError(f"every learning rate from {RATES[0]} to {RATES[-1]} diverged: scale the features")
    hidden = ",".join(map(str, arguments.hidden)) or "none"
    command = f"minnet train {shlex.quote(arguments.dataset)} --hidden {hidden} --activation {arguments.activation}"
    command += f" --batch-size {arguments.batch_size} --lr {best.lr:g} --momentum {best.momentum:g}"
    for name in (*DATA_FLAGS, "normalize", "dropout", "label_smoothing", "class_weights"):
        value = getattr(arguments, name)
        if value != arguments.parser.get_default(name):
            text = ",".join(value) if isinstance(value, list) else str(value)
            command += f" --{name.replace('_', '-')} {shlex.quote(text)}"
    draw_rates(ranking, history, dataset, out)
    if arguments.json:
        rows = [{**s._asdict(), "networks": len(s.networks), "loss": None if s.diverged else s.loss,
                 "deviation": None if s.diverged else s.deviation} for s in ranking]  # fmt: skip
        print(json.dumps({"dataset": dataset.name, "ranking": rows, "command": command, "picture": str(out)}))
        return 0
    print(f"{'lr':>8}{'momentum':>10}  {'validation loss':>18}  {'accuracy':>8}")
    for setting in ranking[:8]:
        fared = f"{figure(setting.loss)} ± {figure(setting.deviation)}"
        print(f"{setting.lr:>8g}{setting.momentum:>10g}  {fared:>18}  {setting.accuracy:>8.4f}")
    lost = sum(setting.diverged > 0 for setting in ranking)
    diverged = f"; in {lost} of them some diverged" if lost else ""
    print(f"({len(ranking)} settings of {arguments.seeds} network{'s' * (arguments.seeds > 1)} each{diverged})")
    print(f"recommended    {command}")
    print(f"picture in     {out}")
    return 0


def draw_rates(ranking: list[Setting], history: History, dataset: Dataset, out: Path) -> None:
    """Draw what each learning rate led to."""
    import numpy as np

    from minnet.plots import plot_rates, save_picture

    losses, diverged = {}, {}
    for momentum in MOMENTA:
        settings = sorted(setting for setting in ranking if setting.momentum == momentum)
        losses[f"momentum {momentum:g}"] = np.array([history.validation_loss[-1][s.networks] for s in settings])
        diverged[f"momentum {momentum:g}"] = np.array([history.diverged()[s.networks] for s in settings])
    title = f"{dataset.name}, after {history.epoch[-1]} epochs"
    save_picture(plot_rates(np.array(RATES), losses, diverged, math.log(dataset.K), title), out)


def command_doctor(arguments: argparse.Namespace) -> int:
    """``minnet doctor``: exit code 1 if something is wrong."""
    from minnet.runs.doctor import examine

    dataset = read_dataset(arguments)
    if len(arguments.lr) != 1:
        arguments.parser.error("the doctor looks at one --lr; minnet tune compares several")

    def make(seed: int | Sequence[int]) -> minnet.Network:
        return make_network(arguments, dataset, "float32", seed)

    found = examine(dataset, make, arguments.lr[0], arguments.momentum, arguments.batch_size)
    if arguments.json:
        print(json.dumps([diagnosis._asdict() for diagnosis in found]))
    else:
        width = max(len(diagnosis.check) for diagnosis in found)
        for diagnosis in found:
            print(f"{'ok   ' if diagnosis.right else 'WRONG'}  {diagnosis.check:<{width}}  {diagnosis.text}")
    return 0 if all(diagnosis.right for diagnosis in found) else 1


def read_samples(arguments: argparse.Namespace, target: str | None, labelled: bool) -> tuple[minnet.Model, Any]:
    """Load a model, and from a file the columns that it was trained on."""
    from minnet.data.tables import read_table

    model = minnet.load(arguments.run)
    table = read_table(arguments.file, target, labelled=labelled, features=model.feature_names)
    if table.ignored:
        say(f"not used, the model knows no such column: {', '.join(table.ignored)}")
    return model, table


def command_predict(arguments: argparse.Namespace) -> int:
    """``minnet predict``: the class of each sample in a file, as CSV; a stack is asked for its mean probabilities."""
    out = None if arguments.out is None else writable(arguments.out)
    if out is not None and out.exists() and Path(arguments.file).exists() and out.samefile(arguments.file):
        raise ValueError(f"--out {out} is the file with the samples: choose another name")
    model, table = read_samples(arguments, None, labelled=False)
    y = model.network.predict_proba(model.standardize(table.x), average=model.network.theta.ndim == 2)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["class", *(model.class_names if arguments.proba else [])])
    for row, k in zip(y.astype(str).tolist(), y.argmax(axis=1), strict=True):  # as few digits as tell floats apart
        rows.writerow([model.class_names[k], *(row if arguments.proba else [])])
    if out is None:
        print(text.getvalue(), end="")
    else:
        from minnet.support.files import write_text

        write_text(out, text.getvalue())
    return 0


def command_evaluate(arguments: argparse.Namespace) -> int:
    """``minnet evaluate``: loss, accuracy and a report by class, on the samples of a file, of what predict says."""
    import numpy as np

    from minnet.output import target_rows
    from minnet.runs.folder import read_config
    from minnet.runs.report import class_report, describe_loss

    target = arguments.target
    if target is None and (Path(arguments.run) / "config.json").is_file():
        target = read_config(Path(arguments.run)).get("target")
    model, table = read_samples(arguments, target, labelled=True)
    t, _ = number_classes(table.labels, arguments.file, model.class_names)
    network, x = model.network, model.standardize(table.x)
    stack = network.theta.ndim == 2
    y = network.predict_proba(x, average=stack)
    predicted = y.argmax(axis=1)
    accuracy = float((predicted == t).mean())
    if stack:
        z = np.log(np.maximum(y, np.finfo(y.dtype).tiny))  # logits whose softmax is y
        loss = float(network.output.forward(z, target_rows(t, network.K, z.dtype)))
    else:
        loss, _ = minnet.evaluate(network, x, t)
    text, classes = class_report(t, predicted, model.class_names)
    if arguments.json:
        print(json.dumps({"samples": len(t), "loss": loss, "accuracy": accuracy, "classes": classes}))
        return 0
    print(f"accuracy       {accuracy:.4f}  ({round(accuracy * len(t))} of {len(t)} samples right)")
    print(f"loss           {loss:.4f}  ({describe_loss(network.output)}; guessing gives {math.log(network.K):.4f})")
    print(f"\n{text.rstrip()}")
    return 0


def command_show(arguments: argparse.Namespace) -> int:
    """``minnet show``: a run, in the terminal."""
    from minnet.runs.report import show

    print(show(Path(arguments.run)))
    return 0


def command_compare(arguments: argparse.Namespace) -> int:
    """``minnet compare``: several runs, in a table and a picture."""
    from minnet.runs.report import compare, find_runs, histories, read_run

    out = writable(arguments.out)
    runs = [read_run(folder) for folder in find_runs([Path(run) for run in arguments.runs])]
    rows, table = compare(runs)
    curves = histories(runs)
    if curves:
        from minnet.plots import plot_runs, save_picture

        save_picture(plot_runs(curves, title=f"{len(curves)} runs"), out)
    if arguments.json:
        print(json.dumps({"runs": rows, "picture": arguments.out if curves else None}))
        return 0
    print(table)
    print(f"picture in     {arguments.out}" if curves else "no run has an epoch yet: there is no picture")
    return 0


def command_datasets(arguments: argparse.Namespace) -> int:
    """``minnet datasets``: what there is to train on."""
    print(f"{'name':<15}{'samples':>8}{'features':>10}{'classes':>9}  what it is, and where it comes from")
    for name, loader in DATASETS.items():
        raw = load_raw(name)
        about = (loader.__doc__ or "").rstrip(".")
        print(f"{name:<15}{len(raw.x):>8}{len(raw.feature_names):>10}{len(raw.class_names):>9}  {about}")
    print(f"{'openml:<name or number>':<42}  any data set for classification on openml.org, such as openml:mnist_784")
    return 0


def command_check(arguments: argparse.Namespace) -> int:
    """``minnet check``: exit code 1 if something is wrong."""
    from minnet.cli.learn import check

    seeds = range(arguments.seed, arguments.seed + arguments.seeds) if arguments.seeds > 1 else None
    report = check(arguments.subject, lambda dataset: make_network(arguments, dataset, "float64", seeds))
    print(report)
    return 0 if report.right else 1


def command_bugs(arguments: argparse.Namespace) -> int:
    """``minnet bugs``: the lab of mistakes."""
    from minnet.cli.learn import list_bugs, mystery, show_bug
    from minnet.lab.bugs import BUGS

    for flag, needed, there in (
        ("--tell", "--mystery", not arguments.tell or arguments.mystery is not None),
        ("--check", "NAME", not arguments.check or arguments.name is not None),
    ):
        if not there:
            arguments.parser.error(f"{flag} goes with {needed}")
    if arguments.mystery is None and arguments.name is None:
        print(list_bugs())
        return 0
    if arguments.mystery is not None and (arguments.name is not None or arguments.check):
        arguments.parser.error("--mystery picks a mistake itself: leave out NAME and --check")
    if arguments.mystery is None and arguments.name not in BUGS:
        arguments.parser.error(
            f"unknown mistake {arguments.name!r}; known are: {', '.join(nearest(arguments.name, BUGS))}"
        )
    bug = BUGS[arguments.name] if arguments.mystery is None else mystery(arguments.mystery)
    dataset = load_dataset(arguments.dataset, arguments.seed)
    told = arguments.mystery is None or arguments.tell
    label = bug.name if arguments.mystery is None else f"mystery {arguments.mystery}"
    out = writable(arguments.out or f"bug-{label.replace(' ', '-')}.png")
    if told:
        print(f"{bug.name}: {bug.mistake.meaning}\none sees: {bug.sign}\ncaught by: {bug.caught_by}\n")
    if not arguments.check:
        print(show_bug(bug, dataset, arguments.epochs, arguments.seed, label, out))
    if arguments.check or arguments.mystery is not None:
        report = bug.check(dataset)
        print("\n" * (not arguments.check) + (str(report) if told else report.anonymous()))
    return 0


def prepare_streams() -> None:
    """Make stdout and stderr take whatever is printed: closed ones nothing, narrow ones a ? for what they lack."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    prepare_streams()
    if threading.current_thread() is threading.main_thread():
        for number in stopping_signals():  # as Ctrl-C does
            signal.signal(number, signal.default_int_handler)
    try:
        arguments = build_parser().parse_args(argv)
        arguments.argv = (sys.argv[1:] if argv is None else list(argv))[1:]
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        say(f"interrupted; {stop if stop.args else 'nothing was saved'}")
        return 130
    except BrokenPipeError:  # whoever read stdout has left; point it elsewhere, since Python flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
        say(f"error: {' '.join(str(error).split()) or type(error).__name__}")
        return 1
    return code
