"""What can be done from a terminal before and while training? ``minnet train``, ``tune`` and ``doctor``."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minnet.cli.flags import DATA, DATASET, NETWORK, TRAINING, Parser, add_command, configure, several
from minnet.cli.output import writable
from minnet.cli.progress import progress
from minnet.data.dataset import Dataset
from minnet.history import History
from minnet.network import Network
from minnet.runs import job
from minnet.runs.build import make_dataset, make_network
from minnet.runs.config import Config, Integer, Memory, PathName, Switch, flag, with_rate
from minnet.runs.folder import read_config
from minnet.runs.report import figure
from minnet.runs.sweep import Setting, grid, rank, sweep
from minnet.support.text import table

RATES = tuple(float(f"{lr:.2g}") for lr in np.geomspace(0.001, 3, 12))
MOMENTA = (0.0, 0.9)
SEEDS = Integer(1, 100_000)
MAY_CHANGE = ("dataset", "test")  # when a run is resumed: the same data may have another name
TUNED = (*DATA, *NETWORK, "epochs", "batch_size", "seed")
EXAMINED = (*DATA, *NETWORK, "batch_size", "lr", "momentum", "seed")


def add_commands(commands: Any) -> None:
    """Describe the commands."""
    limit = ("memory_limit", Memory(), "bound for training several, such as 2G; a quarter of what is free")
    print_json = ("json", Switch(), "print the results as one JSON object, and nothing else")
    quiet = ("quiet", Switch(), "print no progress, only the results")
    every = "epochs from checkpoint to checkpoint; by default one, or more where that would take over half of the time"
    options = [
        ("seeds", SEEDS, "train N networks at once, with seeds from --seed on", 1),
        limit,
        ("jobs", Integer(), "train so many stacks at a time, each in a process of its own", 1),
        ("out", PathName(), "the run folder; by default the next free runs/DATASET-N"),
        ("force", Switch(), "remove the run that --out already holds"),
        ("resume", PathName(), "go on with a run that was interrupted or killed"),
        ("checkpoint_every", Integer(), every),
        ("live", Switch(), "redraw loss.png every few seconds while training"),
        ("tensorboard", Switch(), "write event files for TensorBoard into the run folder"),
        print_json,
        quiet,
    ]
    add_command(commands, train, {"dataset?": DATASET}, (*DATA, *NETWORK, *TRAINING), options, stacks=True)
    seeds = ("seeds", SEEDS, "networks of each learning rate and momentum", 4)
    picture = ("out", PathName(), "where to save the picture; by default tune-DATASET.png")
    add_command(commands, tune, {"dataset": DATASET}, TUNED, [seeds, limit, picture, print_json, quiet], epochs=25)
    add_command(commands, doctor, {"dataset": DATASET}, EXAMINED, [print_json], lr=0.05)


def train(settings: dict[str, Any], parser: Parser, resume: str | None = None, **options: Any) -> int:
    """``minnet train``: train a classifier on a data set and keep what happened in a run folder."""
    print_json, seeds = options.pop("json", False), options.pop("seeds", 1)
    quiet, limited = options.get("quiet", False), "memory_limit" in options
    if resume is not None:
        moved = check_resumed(Path(resume), settings, parser, seeds, options)
        epochs = read_config(Path(resume)).get("epochs")  # which nobody has checked yet
        with progress(epochs if isinstance(epochs, int) else 1, quiet) as show:
            code, lines, results = job.resume(Path(resume), job.Options(**options, show=show), moved)
    else:
        if "dataset" not in settings:
            parser.error("which data set? Give the name of one, a file, or --resume RUN")
        config, values = configure(settings, parser, seeds)
        if not values and (limited or "jobs" in options):
            parser.error("--memory-limit and --jobs go with several networks: --seeds, or several values of --lr")
        with progress(config.epochs, quiet) as show:
            code, lines, results = job.begin(config, values, job.Options(**options, show=show))
    if code == 0:
        print(json.dumps(results) if print_json else "\n".join(lines))
    return code


def check_resumed(
    folder: Path, settings: Mapping[str, Any], parser: Parser, seeds: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what of the settings may change when a run is resumed; leave with exit code 2 if another would."""
    for name in ("out", "force"):
        if name in options:
            parser.error(f"--resume takes the settings of the run: leave out {flag(name)}, or begin a new run")
    content = read_config(folder)
    grid_of_run = content.get("grid")
    run = with_rate(content) | (grid_of_run if isinstance(grid_of_run, dict) else {})
    plain, values = several(settings, seeds)
    for name, value in {**plain, **values}.items():
        typed = list(value) if isinstance(value, tuple) else value
        if name not in MAY_CHANGE and typed != run.get(name):
            words = name.replace("_", " ")
            theirs = f"no {words}" if run.get(name) is None else f"{words} {run[name]!r:.60}"
            leave = "leave out --seeds" if seeds > 1 and name == "seed" else f"leave out {flag(name)}"
            parser.error(f"--resume takes the settings of the run, {theirs}: {leave}, or begin a new run")
    return {name: plain[name] for name in MAY_CHANGE if name in plain}


def tune(
    settings: dict[str, Any],
    parser: Parser,
    seeds: int = 4,
    memory_limit: float | None = None,
    out: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """``minnet tune``: find a learning rate: a grid of rates, momenta and seeds, trained at once for a few epochs."""
    config, _ = configure({"epochs": 25, **settings}, parser)
    dataset = make_dataset(config)
    picture = writable(out or f"tune-{dataset.name.replace(':', '-')}.png")
    values = {"lr": RATES, "momentum": MOMENTA, "seed": range(config.seed, config.seed + seeds)}
    configs = grid(config, **values)
    with progress(config.epochs, quiet) as on_epoch:
        history = sweep(configs, dataset, memory_limit, on_epoch=on_epoch).history
    ranking = rank(configs, history, ["lr", "momentum"])
    best = ranking[0]
    if best.diverged:
        raise FloatingPointError(f"every learning rate from {RATES[0]} to {RATES[-1]} diverged: scale the features")
    chosen = replace(config, **best.values, epochs=settings.get("epochs", Config.epochs))
    command = shlex.join(["minnet", "train", *chosen.flags()])
    draw_rates(ranking, history, dataset, picture)
    if json:
        print_tuned(ranking, dataset, command, picture)
        return 0
    rows = [["lr", "momentum", "validation loss", "accuracy"]]
    for setting in ranking[:8]:
        fared = f"{figure(setting.loss)} ± {figure(setting.deviation)}"
        rows.append([*(f"{value:g}" for value in setting.values.values()), fared, f"{setting.accuracy:.4f}"])
    lost = sum(setting.diverged > 0 for setting in ranking)
    diverged = f"; in {lost} of them some diverged" if lost else ""
    print("\n".join(table(rows, ">>>>")))
    print(f"({len(ranking)} settings of {seeds} network{'s' * (seeds > 1)} each{diverged})")
    print(f"recommended    {command}")
    print(f"picture in     {picture}")
    return 0


def print_tuned(ranking: Sequence[Setting], dataset: Dataset, command: str, picture: Path) -> None:
    """Print what tuning found as one JSON object."""
    rows = []
    for setting in ranking:
        row = {**setting._asdict(), **setting.values, "networks": len(setting.networks)}
        del row["values"]
        rows.append({name: None if value == math.inf else value for name, value in row.items()})
    print(json.dumps({"dataset": dataset.name, "ranking": rows, "command": command, "picture": str(picture)}))


def draw_rates(ranking: Sequence[Setting], history: History, dataset: Dataset, out: Path) -> None:
    """Draw what each learning rate led to."""
    from minnet.plots import plot_rates, save_picture

    losses, diverged = {}, {}
    for momentum in MOMENTA:
        settings = [setting for setting in ranking if setting.values["momentum"] == momentum]
        settings.sort(key=lambda setting: setting.values["lr"])
        losses[f"momentum {momentum:g}"] = np.array([history.final("validation_loss")[s.networks] for s in settings])
        diverged[f"momentum {momentum:g}"] = np.array([history.diverged()[s.networks] for s in settings])
    title = f"{dataset.name}, after {history.epoch[-1]} epochs"
    save_picture(plot_rates(np.array(RATES), losses, diverged, math.log(dataset.K), title), out)


def doctor(settings: dict[str, Any], parser: Parser, json: bool = False) -> int:
    """``minnet doctor``: check up data, network and learning rate before a long run: exit code 1 if one is wrong."""
    from minnet.runs.doctor import examine

    config, _ = configure({"lr": 0.05, **settings}, parser)
    dataset = make_dataset(config)

    def make(seed: int | Sequence[int]) -> Network:
        return make_network(config, dataset, seed)

    found = examine(dataset, make, config.learning_rate, config.momentum, config.batch_size)
    if json:
        print_found(found)
    else:
        width = max(len(diagnosis.check) for diagnosis in found)
        for diagnosis in found:
            print(f"{'ok   ' if diagnosis.right else 'WRONG'}  {diagnosis.check:<{width}}  {diagnosis.text}")
    return 0 if all(diagnosis.right for diagnosis in found) else 1


def print_found(found: Sequence[Any]) -> None:
    """Print what the doctor found as JSON."""
    print(json.dumps([diagnosis._asdict() for diagnosis in found]))
