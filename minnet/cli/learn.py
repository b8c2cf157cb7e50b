"""What can a learner do from a terminal? ``minnet check`` and ``minnet bugs``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnet.cli.flags import NETWORK, Parser, add_command, configure
from minnet.cli.output import writable
from minnet.data.dataset import Dataset
from minnet.data.named import check_name, load_dataset
from minnet.data.tables import is_file_name
from minnet.lab.check import check_class, check_network
from minnet.runs.build import make_network
from minnet.runs.config import SEEDS, DatasetName, Integer, PathName, Switch
from minnet.support.text import nearest

if TYPE_CHECKING:
    from minnet.lab.bugs import Bug

SAMPLES = 8  # as many as a gradient check of a network uses: enough for every unit to be on for one of them


def load_class(target: str) -> type[Any]:
    """Load a class of the user's own from ``FILE.py:ClassName``; what the file raises becomes a ValueError.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be imported, or has no such class.
    """
    file_name, _, class_name = target.rpartition(":")
    path = Path(file_name)
    if not path.is_file():
        raise FileNotFoundError(f"{file_name}: there is no such file; expected FILE.py:ClassName, got {target!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file_name} is not a Python file: expected FILE.py:ClassName")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # so that the file may import its neighbours
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a learner's code may raise anything
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ValueError(f"{file_name}{line} cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.pop(0)
        sys.modules.pop(path.stem)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        own = [
            name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == path.stem
        ]
        raise ValueError(f"{file_name} has no class {class_name!r}; it has: {', '.join(own) or 'none'}")
    return found


def add_commands(commands: Any) -> None:
    """Describe the commands."""
    seeds = ("seeds", Integer(1, 100_000), "check a stack of N networks", 1)
    add_command(commands, check, {"subject": "what to check: DATASET or FILE.py:Class"}, (*NETWORK, "seed"), [seeds])
    options = [
        ("dataset", DatasetName(), "what to train on", "digits"),
        ("epochs", Integer(), "how long to train both", 15),
        ("seed", Integer(0, SEEDS), "the seed of both", 0),
        ("check", Switch(), "show what `minnet check` says of it, instead of training"),
        ("mystery", Integer(0, SEEDS), "run the N-th mystery: guess which mistake it is"),
        ("tell", Switch(), "say which mistake the mystery was, and what it means"),
        ("out", PathName(), "where to save the picture; by default bug-NAME.png"),
    ]
    add_command(commands, bugs, {"name?": "the mistake; without one, all are listed"}, (), options)


def check(settings: dict[str, Any], parser: Parser, subject: str, seeds: int = 1) -> int:
    """``minnet check``: check gradients: a network on a data set, or a layer of your own, whose mistake is named."""
    if ".py:" in subject:
        if settings or seeds > 1:
            parser.error("the flags of networks go with a data set, not with a class of your own")
        report = check_class(load_class(subject))
    else:
        try:
            name = load_name(subject)
        except ValueError as error:
            parser.error(f"argument SUBJECT: {error}")
        config, _ = configure({**settings, "dtype": "float64"}, parser)
        dataset = load_dataset(name, dtype="float64")
        several = range(config.seed, config.seed + seeds) if seeds > 1 else None
        network = make_network(config, dataset, several)
        report = check_network(network, dataset.train.x[:SAMPLES], dataset.train.t[:SAMPLES])
    print(report)
    return 0 if report.right else 1


def load_name(subject: str) -> str:
    """Return the name of a data set; a file of one's own is refused."""
    if is_file_name(subject):
        raise ValueError(f"expected the name of a data set or FILE.py:Class, got the file {subject!r:.80}")
    return check_name(subject)


def bugs(settings: dict[str, Any], parser: Parser, name: str | None = None, **options: Any) -> int:
    """``minnet bugs``: see what classic mistakes look like: list them, train one beside the right program, or guess."""
    from minnet.lab.bugs import BUGS

    number, tell, report_only = options.get("mystery"), "tell" in options, "check" in options
    if tell and number is None:
        parser.error("--tell goes with --mystery")
    if report_only and name is None:
        parser.error("--check goes with NAME")
    if number is None and name is None:
        print(list_bugs())
        return 0
    if number is not None and (name is not None or report_only):
        parser.error("--mystery picks a mistake itself: leave out NAME and --check")
    if name is not None and name not in BUGS:
        parser.error(f"unknown mistake {name!r}; known are: {', '.join(nearest(name, BUGS))}")
    bug = BUGS[name] if name is not None else mystery(number or 0)
    seed = settings.get("seed", 0)
    dataset = load_dataset(settings.get("dataset", "digits"), seed)
    told = number is None or tell
    label = bug.name if number is None else f"mystery {number}"
    out = writable(options.get("out") or f"bug-{label.replace(' ', '-')}.png")
    if told:
        print(f"{bug.name}: {bug.mistake.meaning}\none sees: {bug.sign}\ncaught by: {bug.caught_by}\n")
    if not report_only:
        print(show_bug(bug, dataset, settings.get("epochs", 15), seed, label, out))
    if report_only or number is not None:
        report = bug.check(dataset)
        print("\n" * (not report_only) + (str(report) if told else report.anonymous()))
    return 0


def list_bugs() -> str:
    """``minnet bugs``: a line for each mistake."""
    from minnet.lab.bugs import BUGS

    width = max(map(len, BUGS))
    return "\n".join(f"{bug.name:<{width}}  {bug.mistake.meaning}" for bug in BUGS.values())


def mystery(seed: int) -> Bug:
    """Pick a mistake that shows, by a number."""
    from minnet.lab.bugs import BUGS

    shows = [
        bug
        for bug in BUGS.values()
        if bug.name not in ("caller-array-changed", "scaler-before-split", "nominal-batch-size", "labels-from-one")
    ]
    return shows[int(np.random.default_rng(seed).integers(len(shows)))]


def show_bug(bug: Bug, dataset: Dataset, epochs: int, seed: int, name: str, out: Path) -> str:
    """Train the right program and the wrong one side by side, save one picture of both, and tell both results."""
    from minnet.lab.bugs import compare
    from minnet.plots import plot_runs, save_picture

    right, wrong = compare(bug, dataset, epochs, seed)
    picture = plot_runs({"right": right, name: wrong}, "training", f"{dataset.name}, seed {seed}: {name}")
    save_picture(picture, out)
    lines = [f"{'':<{len(name)}}  {'training loss':>14}  {'validation accuracy':>20}"]
    for label, history in (("right", right), (name, wrong)):
        lines.append(f"{label:<{len(name)}}  {history.train_loss[-1]:>14.4g}  {history.validation_accuracy[-1]:>20.4f}")
    if bug.unscaled:
        lines.append("both with features 100 times as large, since the mistake shows in huge logits only")
    return "\n".join([*lines, f"picture in {out}"])
