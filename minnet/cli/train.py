"""What can be done from a terminal before and while training? ``minnet train``, ``tune`` and ``doctor``."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from minnet.cli.flags import DATA, JSON, NETWORK, OUTPUT, SETTINGS, STACK, TRAINING, Argument, Commands, Report, parted
from minnet.cli.progress import progress
from minnet.runs import job
from minnet.runs import tune as tuned
from minnet.runs.build import make_datasets, make_network
from minnet.runs.build import read as read_samples
from minnet.runs.config import COUNT, FIELDS, PATH, SWITCH, Config, Kind, WrongUsage, flag, settings_of
from minnet.runs.folder import read_config
from minnet.runs.sweep import folds_of, grid
from minnet.support import expect
from minnet.support.text import printable, say, shortened, table

FOLDS = ("folds", "repeats", "fold")
FIXED = {*FIELDS, "out", "force"} - {"dataset", "test"}  # of a run that is resumed: its data may have another name


def read_size(text: str) -> float:
    """Read how many bytes a size such as 500M or 2G is."""
    power = "KMG".find(text[-1:].upper()) + 1
    return float(text[:-1] if power else text) * 1024.0**power


SIZE = Kind("SIZE", partial(expect.number, above=0), read_size)
LIMIT = Argument("--memory-limit", SIZE, "bound for training several, such as 2G; a quarter of what is free")
QUIET = Argument("--quiet", SWITCH, "print no progress, only the results")


def train(resume: str | None = None, seeds: int = 1, **options: Any) -> Report:
    """Train a classifier on a data set and keep what happened in a run folder."""
    plain, values = parted({name: options.pop(name) for name in FIELDS if name in options}, seeds)
    if resume:  # with what the run has, but for the names of its data
        content = read_config(Path(resume))
        run = settings_of(content)
        for name, value in {**options, **plain, **values}.items():
            theirs = dumps(run.get(name))
            if name in FIXED and dumps(value) != theirs:
                stated = f", {name} {theirs:.60}" if name in run else ""
                other = f"leave out {'--seeds' if seeds > 1 and name == 'seed' else flag(name)}, or begin a new run"
                raise WrongUsage(f"--resume takes the settings of the run{stated}: {other}")
        epochs = expect.integer(f"{resume}/config.json: epochs", content.get("epochs"))
    elif "dataset" not in plain:
        raise WrongUsage("which data set? Give the name of one, a file, or --resume RUN")
    elif not values and not plain.get("folds") and {"memory_limit", "jobs"} & options.keys():
        several = "--seeds, --folds, or several values of --lr"
        raise WrongUsage(f"--memory-limit and --jobs go with several networks: {several}")
    else:
        config = Config(**plain).check_together()
        epochs = config.epochs
    with progress(epochs, "quiet" in options) as show:
        how = job.Options(**options, show=show.epoch, done=show.done)
        return job.resume(Path(resume), how, plain) if resume else job.begin(config, values, how)


def tune(
    seeds: int = 4, memory_limit: float | None = None, out: Path | None = None, quiet: bool = False, **settings: Any
) -> Report:
    """Find settings: learning rate and momentum, then hidden layers, weight decay, dropout, in few epochs."""
    from minnet.plots import plot_rates, save_picture

    config = Config(**{"epochs": 25, **settings}).check_together()
    repetitions = {**folds_of(config), "seed": range(config.seed, config.seed + seeds)}
    configs = grid(config, **repetitions)
    datasets = dict(zip([each.fold for each in configs], make_datasets(configs), strict=True))
    dataset = next(iter(datasets.values()))
    on_stage = None if quiet else lambda stage: say(f"tuning {stage}")
    with progress(config.epochs, quiet, lines=2) as show:
        tuning = tuned.tune(config, datasets, repetitions, memory_limit, show.epoch, on_stage)
    command = tuned.command(config, tuning.chosen, list(settings))
    picture = out or Path(f"tune-{dataset.name.replace(':', '-')}.png")
    curves, title = tuned.losses_by_rate(tuning, config), f"{dataset.name}, best of {config.epochs} epochs"
    save_picture(plot_rates(np.array(tuned.rates(config)), curves, math.log(dataset.K), title), picture)
    lines = [*tuned.describe(tuning, config), f"recommended    {command}", f"picture in     {picture}"]
    ranking = []
    for setting, tie in zip(tuning.ranking, tuning.tied, strict=True):
        found: dict[str, Any] = {"loss": None, "deviation": None, "accuracy": None, "diverged": setting.diverged}
        if not setting.diverged:  # of those there is nothing to say, and JSON knows neither inf nor NaN
            found |= {"loss": setting.loss, "deviation": setting.deviation, "accuracy": setting.accuracy}
        ranking.append({**setting.values, **found, "tie": tie})
    results = {"dataset": dataset.name, "ranking": ranking, "recommended": tuning.chosen.values, "command": command}
    return 0, lines, {**results, "picture": str(picture)}


def doctor(**settings: Any) -> Report:
    """Check up data, network and learning rate before a long run: exit code 1 if one is wrong."""
    from minnet.runs.data_check import listing
    from minnet.runs.doctor import examine

    config = Config(**settings).check_together()
    read = read_samples(config)
    (dataset,) = make_datasets([config], read)
    make = partial(make_network, config, dataset)
    found = examine(dataset, make, config.learning_rate, config.momentum, config.batch_size, read)
    states = [("note " if each.note else "ok   ") if each.right else "WRONG" for each in found]
    lines = table([[state, each.check, each.text] for state, each in zip(states, found, strict=True)])
    columns = listing(read, dataset)
    results = {"columns": columns, "checks": [each._asdict() for each in found]}
    return int(not all(each.right for each in found)), [*column_lines(columns), "", *lines], results


def column_lines(columns: Sequence[dict[str, Any]], most: int = 30) -> list[str]:
    """Lay out what is known of the columns of a table, in short if they are many numbers of one kind."""
    kinds = Counter(each["kind"] or "not used" for each in columns)
    summary = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    if len(columns) > most and len(kinds) == 1 and not any(each["missing"] for each in columns):
        return [f"{len(columns)} columns: {summary}, none lacks a cell"]
    head = ["column", "kind", "missing", "values", ""]
    shown = [
        [shortened(each["name"], 30), each["kind"], str(each["missing"]), each["values"], each["left_out"]]
        for each in columns[:most]
    ]
    more = [f"and {len(columns) - most} more: {summary} in all"] if len(columns) > most else []
    return [printable(line) for line in table([head, *shown], "<<>") + more]


COMMANDS: Commands = {
    train: (
        SETTINGS["dataset"]._replace(name="dataset?"),
        *DATA,
        *NETWORK,
        *TRAINING,
        STACK,
        LIMIT,
        Argument("--jobs", COUNT, "train so many stacks at a time, each in a process of its own", 1),
        Argument("--out", PATH, "the run folder; by default the next free runs/DATASET-N"),
        Argument("--force", SWITCH, "remove the run that --out already holds"),
        Argument("--resume", PATH, "go on with a run that was interrupted or killed"),
        Argument("--checkpoint-every", COUNT, "epochs from checkpoint to checkpoint; by default as few as cost little"),
        Argument("--live", SWITCH, "redraw loss.png every few seconds while training"),
        Argument("--tensorboard", SWITCH, "write event files for TensorBoard into the run folder"),
        JSON,
        QUIET,
    ),
    tune: (
        "dataset",
        *DATA,
        *NETWORK,
        "batch_size",
        "seed",
        Argument("--epochs", COUNT, "how often to go through the training split", 25),
        Argument("--seeds", STACK.kind, "networks of each setting", 4),
        LIMIT,
        Argument("--out", OUTPUT, "where to save the picture; by default tune-DATASET.png"),
        JSON,
        QUIET,
    ),
    doctor: (
        "dataset",
        *(name for name in DATA if name not in FOLDS),
        *NETWORK,
        "batch_size",
        "lr",
        "momentum",
        "seed",
        JSON,
    ),
}
