"""What can a learner do from a terminal? ``minnet check`` and ``minnet bugs``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minnet.data import Dataset
from minnet.data.named import load_dataset
from minnet.lab.bugs import BUGS, Bug, compare
from minnet.lab.check import Report, check_class, check_network
from minnet.network import Network
from minnet.plots import plot_comparison, save_picture

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


def check(target: str, make_network: Any) -> Report:
    """``minnet check``: check a class of the user's own, or a network on a data set."""
    if ":" in target and not target.startswith("openml:"):
        return check_class(load_class(target))
    dataset = load_dataset(target, dtype="float64")
    network: Network = make_network(dataset)
    return check_network(network, dataset.train.x[:SAMPLES], dataset.train.t[:SAMPLES])


def list_bugs() -> str:
    """``minnet bugs``: a line for each mistake."""
    width = max(map(len, BUGS))
    return "\n".join(f"{bug.name:<{width}}  {bug.mistake.meaning}" for bug in BUGS.values())


def mystery(seed: int) -> Bug:
    """Pick a mistake that shows, by a number."""
    shows = [
        bug
        for bug in BUGS.values()
        if bug.name not in ("caller-array-changed", "scaler-before-split", "nominal-batch-size", "labels-from-one")
    ]
    return shows[int(np.random.default_rng(seed).integers(len(shows)))]


def show_bug(bug: Bug, dataset: Dataset, epochs: int, seed: int, name: str, out: Path) -> str:
    """Train the right program and the wrong one side by side, save one picture of both, and tell both results."""
    right, wrong = compare(bug, dataset, epochs, seed)
    picture = plot_comparison({"right": right, name: wrong}, title=f"{dataset.name}, seed {seed}: {name}")
    save_picture(picture, out)
    lines = [f"{'':<{len(name)}}  {'training loss':>14}  {'validation accuracy':>20}"]
    for label, history in (("right", right), (name, wrong)):
        lines.append(f"{label:<{len(name)}}  {history.train_loss[-1]:>14.4g}  {history.validation_accuracy[-1]:>20.4f}")
    if bug.unscaled:
        lines.append("both with features 100 times as large, since the mistake shows in huge logits only")
    return "\n".join([*lines, f"picture in {out}"])
