"""What can be done from a terminal? The ``minnet`` command: results on stdout, progress on stderr, a line an error.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import minnet
from minnet.data import DATASETS, Dataset, check_name, load_dataset, load_raw, nearest
from minnet.layers import Layer, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD
from minnet.runs import RUN_FILES, STACK_FILE, RunFolder, write_run
from minnet.search import MOMENTA, RATES, Setting, free_memory, train_grid
from minnet.training import History, evaluate, train

ACTIVATIONS: dict[str, Callable[[], Layer]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that states defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default not in (None, False) else action.help


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


def dataset_name(text: str) -> str:
    """Parse the name of a data set."""
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_target(text: str) -> str:
    """Parse what to check: the name of a data set, or FILE.py:ClassName."""
    return text if ".py:" in text else dataset_name(text)


def add_architecture(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a network is made of."""
    parser.add_argument("--hidden", metavar="W,…", type=widths, default="64", help="widths of hidden layers, or none")
    parser.add_argument(
        "--activation", choices=list(ACTIVATIONS), default="relu", help="what follows each hidden layer"
    )


def make_network(
    arguments: argparse.Namespace, dataset: Dataset, dtype: str, seed: int | Sequence[int] | None = None
) -> Network:
    """Make the network that the flags describe, or a stack of them."""
    layers: list[Layer] = []
    D = dataset.D
    for H in arguments.hidden:
        layers += [Linear(D, H), ACTIVATIONS[arguments.activation]()]
        D = H
    return Network([*layers, Linear(D, dataset.K)], seed=arguments.seed if seed is None else seed, dtype=dtype)


def build_parser() -> Parser:
    """Describe the command line."""
    parser = Parser(prog="minnet", description="Train small neural networks, written from scratch in NumPy.")
    parser.add_argument("--version", action="version", version=f"minnet {minnet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    count = number(int, lambda value: value >= 1, "an integer of at least 1")
    rate = number(float, lambda value: value > 0, "a finite number above 0")
    part = number(float, lambda value: 0 <= value < 1, "a number of at least 0 and below 1")
    decay = number(float, lambda value: value >= 0, "a finite number of at least 0")
    seed = number(int, lambda value: 0 <= value < 2**32, "an integer from 0 to 4294967295")

    trainer = commands.add_parser(
        "train",
        help="train a classifier on a data set",
        description="Train a classifier on a data set and keep what happened in a run folder.",
        formatter_class=HelpFormatter,
    )
    trainer.set_defaults(command=command_train, parser=trainer)
    add = trainer.add_argument
    add("dataset", metavar="DATASET", type=dataset_name, help="one of `minnet datasets`, or openml:<name or number>")
    add_architecture(trainer)
    add("--epochs", metavar="N", type=count, default=50, help="how often to go through the training part")
    add("--batch-size", metavar="N", type=count, default=32, help="samples a step")
    add("--lr", metavar="X,…", type=several(rate), default="0.05", help="learning rate; several are trained at once")
    add("--momentum", metavar="X", type=part, default=0.9, help="share of the velocity kept at each step")
    add("--nesterov", action="store_true", help="look ahead along the velocity")
    add("--weight-decay", metavar="X", type=decay, default=0.0, help="λ of the penalty ½ λ Σ W²")
    add("--dtype", choices=["float32", "float64"], default="float32", help="precision of the computation")
    add("--seed", metavar="N", type=seed, default=0, help="determines the split, initial weights and order of samples")
    add("--seeds", metavar="N", type=count, default=1, help="train N networks at once, of the seeds from --seed on")
    add("--memory", metavar="SIZE", type=size, help="bound for training several, such as 2G; a quarter of what is free")
    add("--out", metavar="DIR", type=path, help="the run folder; by default the next free runs/DATASET-N")
    add("--force", action="store_true", help="replace the run that --out already holds")
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print no progress, only the results")

    tuner = commands.add_parser(
        "tune",
        help="find a learning rate",
        description="Find a learning rate: a grid of rates, momenta and seeds, trained at once for a few epochs.",
        formatter_class=HelpFormatter,
    )
    tuner.set_defaults(command=command_tune)
    add = tuner.add_argument
    add("dataset", metavar="DATASET", type=dataset_name, help="one of `minnet datasets`, or openml:<name or number>")
    add_architecture(tuner)
    add("--epochs", metavar="N", type=count, default=25, help="how long to train each network")
    add("--batch-size", metavar="N", type=count, default=32, help="samples a step")
    add("--seed", metavar="N", type=seed, default=0, help="determines the split, and the first seed")
    add("--seeds", metavar="N", type=count, default=4, help="networks of each learning rate and momentum")
    add("--memory", metavar="SIZE", type=size, help="bound, such as 2G; a quarter of what is free")
    add("--out", metavar="FILE", type=path, help="where to save the picture; by default tune-DATASET.png")
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print no progress, only the results")

    about = "list the built-in data sets"
    commands.add_parser("datasets", help=about, description=about).set_defaults(command=command_datasets)

    checker = commands.add_parser(
        "check",
        help="check gradients, and name what is wrong with them",
        description="Check the gradients of a network on a data set, or of a layer of your own, and name the mistake.",
        formatter_class=HelpFormatter,
    )
    checker.set_defaults(command=command_check)
    checker.add_argument("target", metavar="DATASET|FILE.py:Class", type=check_target, help="what to check")
    add_architecture(checker)
    checker.add_argument("--seed", metavar="N", type=seed, default=0, help="determines the weights")

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
    add("--seed", metavar="N", type=seed, default=0, help="the seed of both")
    add("--check", action="store_true", help="show what `minnet check` says of it, instead of training")
    add("--mystery", metavar="N", type=seed, help="run the N-th mystery: guess which mistake it is")
    add("--tell", action="store_true", help="say which mistake the mystery was, and what it means")
    add("--out", metavar="FILE", type=path, help="where to save the picture; by default bug-NAME.png")
    return parser


def command_train(arguments: argparse.Namespace) -> int:
    """``minnet train``: train one network, or several at once, on a data set and write the run folder."""
    if arguments.nesterov and arguments.momentum == 0:
        arguments.parser.error("--nesterov needs --momentum above 0: it looks ahead along the velocity")
    not_settings = ("command", "parser", "out", "force", "json", "quiet", "memory")
    settings = {name: value for name, value in vars(arguments).items() if name not in not_settings}
    together = arguments.seeds > 1 or len(arguments.lr) > 1
    with RunFolder(arguments.out, arguments.dataset, arguments.force) as folder:
        dataset = load_dataset(arguments.dataset, arguments.seed, arguments.dtype)
        started = time.perf_counter()
        ranking: list[Setting] = []
        if together:
            network, history, ranking = train_several(arguments, dataset)
        else:
            settings["lr"] = arguments.lr[0]
            network = make_network(arguments, dataset, arguments.dtype)
            optimizer = SGD(arguments.lr[0], arguments.momentum, arguments.nesterov, arguments.weight_decay)
            with progress(arguments.epochs, arguments.quiet) as on_epoch:
                history = train(network, optimizer, dataset, arguments.epochs, arguments.batch_size, on_epoch=on_epoch)
        seconds = time.perf_counter() - started
        results, lines = (summarize_stack if together else summarize)(arguments, dataset, network, history, ranking)
        results["seconds"] = seconds
        groups = {f"lr {setting.lr:g}": setting.networks for setting in sorted(ranking)}
        write_run(folder.staging, settings, history, results, network, dataset, groups if len(groups) > 1 else None)
    results["run"] = str(folder.path)
    if arguments.json:
        print(json.dumps(results))
        return 0
    files = [*RUN_FILES, *([STACK_FILE] if together else [])]
    print("\n".join([*lines, f"saved in       {folder.path}  ({', '.join(sorted(files))})"]))
    return 0


def train_several(arguments: argparse.Namespace, dataset: Dataset) -> tuple[Network, History, list[Setting]]:
    """Train a network for each learning rate and seed, all at once."""
    with progress(arguments.epochs, arguments.quiet) as on_epoch:
        trained = train_grid(
            lambda seeds: make_network(arguments, dataset, arguments.dtype, seeds),
            dataset,
            arguments.lr,
            [arguments.momentum],
            range(arguments.seed, arguments.seed + arguments.seeds),
            arguments.epochs,
            arguments.batch_size,
            memory_bound(arguments),
            arguments.nesterov,
            arguments.weight_decay,
            on_epoch,
        )
    if trained[1].diverged().all():
        raise FloatingPointError(f"all networks diverged; lower the learning rate, which is {arguments.lr}")
    return trained


def memory_bound(arguments: argparse.Namespace) -> float:
    """Return how many bytes training a stack may take."""
    return free_memory() / 4 if arguments.memory is None else float(arguments.memory)


def summarize(
    arguments: argparse.Namespace, dataset: Dataset, network: Network, history: History, _: list[Setting]
) -> tuple[dict[str, Any], list[str]]:
    """Tell how one network did: as an object, and as lines to read."""
    test_loss, test_accuracy = evaluate(network, *dataset.test)
    results = {
        "dataset": dataset.name,
        "seed": arguments.seed,
        "epochs": history.epoch[-1],
        "parameters": network.theta.size,
        "train_loss": history.train_loss[-1],
        "validation_loss": history.validation_loss[-1],
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "seconds": None,  # keeps its place
    }
    right, N = round(test_accuracy * len(dataset.test.x)), len(dataset.test.x)
    lines = [
        f"test accuracy  {test_accuracy:.4f}  ({right} of {N} samples right)",
        f"test loss      {test_loss:.4f}  (cross-entropy in nats; guessing gives {math.log(dataset.K):.4f})",
    ]
    return results, lines


def summarize_stack(
    arguments: argparse.Namespace, dataset: Dataset, network: Network, history: History, ranking: list[Setting]
) -> tuple[dict[str, Any], list[str]]:
    """Tell how a stack of networks did, those that diverged left out: mean ± standard deviation, and a ranking."""
    test_loss, test_accuracy = evaluate(network, *dataset.test)
    best, kept = history.best(), ~history.diverged()
    columns = {
        "train_loss": history.train_loss[-1],
        "validation_loss": history.validation_loss[-1],
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }
    S = arguments.seeds
    results: dict[str, Any] = {
        "dataset": dataset.name,
        "seed": arguments.seed,
        "seeds": S,
        "networks": len(network.theta),
        "diverged": int((~kept).sum()),
        "epochs": history.epoch[-1],
        "parameters": network.theta.shape[-1],
        **{name: float(values[kept].mean()) for name, values in columns.items()},
        **{f"{name}_deviation": float(values[kept].std()) for name, values in columns.items()},
        "best": {
            "network": best,
            "seed": arguments.seed + best % S,
            "lr": arguments.lr[best // S],
            **{name: float(values[best]) for name, values in columns.items()},
        },
        "ranking": [
            {
                "lr": setting.lr,
                "diverged": setting.diverged,
                "validation_loss": None if setting.diverged else setting.loss,
                "test_accuracy": None if setting.diverged else float(test_accuracy[setting.networks].mean()),
            }
            for setting in ranking
        ],
        "seconds": None,  # keeps its place
    }
    lines = []
    if len(ranking) > 1:
        lines.append(f"{'lr':>8}  {'validation loss':>18}  {'test accuracy':>18}")
        for setting in ranking:
            who = setting.networks[~history.diverged()[setting.networks]]
            lost = f"  {setting.diverged} of {S} diverged" if setting.diverged else ""
            loss, right = mean_and_deviation(history.validation_loss[-1][who]), mean_and_deviation(test_accuracy[who])
            lines.append(f"{setting.lr:>8g}  {loss:>18}  {right:>18}{lost}")
    else:
        lines.append(f"test accuracy  {mean_and_deviation(test_accuracy[kept])}  ({kept.sum()} networks)")
        lines.append(
            f"test loss      {mean_and_deviation(test_loss[kept])}  (guessing gives {math.log(dataset.K):.4f})"
        )
        if not kept.all():
            lines.append(f"diverged       {(~kept).sum()} networks, left out above")
    chosen = results["best"]
    lines.append(
        f"best network   seed {chosen['seed']}, lr {chosen['lr']:g}: validation loss {chosen['validation_loss']:.4f}, "
        f"test accuracy {chosen['test_accuracy']:.4f}"
    )
    return results, lines


def mean_and_deviation(values: Any) -> str:
    """Format the mean over networks and its standard deviation."""
    return f"{values.mean():.4f} ± {values.std():.4f}" if len(values) else "-"


def command_tune(arguments: argparse.Namespace) -> int:
    """``minnet tune``: rank learning rates and momenta, and recommend a command."""
    dataset = load_dataset(arguments.dataset, arguments.seed)
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
    command = f"minnet train {dataset.name} --hidden {hidden} --activation {arguments.activation}"
    command += f" --batch-size {arguments.batch_size} --lr {best.lr:g} --momentum {best.momentum:g}"
    out = Path(arguments.out or f"tune-{dataset.name.replace(':', '-')}.png")
    draw_rates(ranking, history, dataset, out)
    if arguments.json:
        rows = [{**s._asdict(), "networks": len(s.networks), "loss": None if s.diverged else s.loss,
                 "deviation": None if s.diverged else s.deviation} for s in ranking]  # fmt: skip
        print(json.dumps({"dataset": dataset.name, "ranking": rows, "command": command, "picture": str(out)}))
        return 0
    print(f"{'lr':>8}{'momentum':>10}  {'validation loss':>18}  {'accuracy':>8}")
    for setting in ranking[:8]:
        fared = f"{setting.loss:.4f} ± {setting.deviation:.4f}"
        print(f"{setting.lr:>8g}{setting.momentum:>10g}  {fared:>18}  {setting.accuracy:>8.4f}")
    lost = sum(setting.diverged > 0 for setting in ranking)
    print(f"({len(ranking)} settings of {arguments.seeds} networks each; in {lost} of them some diverged)")
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


@contextmanager
def progress(epochs: int, quiet: bool) -> Iterator[Callable[[History], None]]:
    """Show how training goes, on stderr: a live bar on a terminal, else a line every few epochs."""

    def line(history: History) -> str:
        loss, validation_loss, accuracy = (
            column[-1] if isinstance(column[-1], float) else column[-1][~history.diverged()].mean()
            for column in (history.train_loss, history.validation_loss, history.validation_accuracy)
        )
        return f"loss {loss:.4f}  validation {validation_loss:.4f}, {accuracy:.1%} right"

    if quiet:
        yield lambda history: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("epoch", MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[line]}"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("training", total=epochs, line="")
            yield lambda history: bar.update(task, advance=1, line=line(history))
    else:
        every = max(1, epochs // 10)

        def print_line(history: History) -> None:
            epoch = history.epoch[-1]
            if epoch % every == 0 or epoch in (1, epochs):
                with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop training
                    print(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {line(history)}", file=sys.stderr, flush=True)

        yield print_line


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
    from minnet.learning.commands import check

    report = check(arguments.target, lambda dataset: make_network(arguments, dataset, "float64"))
    print(report)
    return 0 if report.right else 1


def command_bugs(arguments: argparse.Namespace) -> int:
    """``minnet bugs``: the lab of mistakes."""
    from minnet.learning.bugs import BUGS
    from minnet.learning.commands import list_bugs, mystery, show_bug

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
    if told:
        print(f"{bug.name}: {bug.mistake}\none sees: {bug.sign}\ncaught by: {bug.caught_by}\n")
    if not arguments.check:
        label = bug.name if arguments.mystery is None else f"mystery {arguments.mystery}"
        out = Path(arguments.out or f"bug-{label.replace(' ', '-')}.png")
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
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out, what is half done is removed
    try:
        arguments = build_parser().parse_args(argv)
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("minnet: interrupted; nothing was saved", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read stdout has left; point it elsewhere, since Python flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
        print(f"minnet: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 1
    return code
