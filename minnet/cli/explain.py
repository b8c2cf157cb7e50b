"""What can be seen of a single step from a terminal? ``minnet explain``."""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minnet.cli.flags import DATA, JSON, NETWORK, OUTPUT, Argument, Commands, Report
from minnet.cli.learn import find_bug, load_class
from minnet.data.dataset import Dataset
from minnet.data.named import DATASETS
from minnet.data.tables import is_file_name
from minnet.lab.explain import Explanation, explain_training, tiny
from minnet.lab.mistakes import MISTAKES
from minnet.lab.trial import is_output, required
from minnet.network import Network
from minnet.optimizers import Optimizer
from minnet.runs.build import LAYERS as ACTIVATIONS
from minnet.runs.build import make_dataset, make_datasets, make_network, make_optimizer, read
from minnet.runs.config import DATASET, FIELDS, SWITCH, TEXT, Config, Kind, WrongUsage, flag, integer, several
from minnet.runs.folder import read_config
from minnet.runs.job import data_checksum
from minnet.runs.model import LAYERS as MODEL_LAYERS
from minnet.runs.model import describe, load, make
from minnet.support.fit import shapes_of
from minnet.support.text import one_line, printable
from minnet.training import Training

if TYPE_CHECKING:
    from minnet.lab.bugs import Bug

TINY, HIDDEN, STEPS = "tiny", (8,), (0, 1, 10, 100)
MOST_STEPS = 100_000
HIDDEN_LAYERS = Argument("--hidden", default=HIDDEN, **FIELDS["hidden"].metadata)


class Subject(NamedTuple):
    """What is explained: a network, how it steps, and what it learns from."""

    network: Network
    optimizer: Optimizer
    dataset: Dataset


def check_subject(what: str, value: str) -> str:
    """Return the name of a data set, of a file, or of a run."""
    return value if value == TINY or is_run(value) else str(DATASET.check(what, value))


def is_run(subject: str) -> bool:
    """Tell whether something is the name of a run folder, there or not."""
    named = subject == TINY or subject in DATASETS
    return not named and (Path(subject).is_dir() or ("/" in subject and not is_file_name(subject)))


def explain(
    subject: str,
    samples: int = 6,
    steps: tuple[int, ...] | None = None,
    layer: str | None = None,
    bug: str | None = None,
    out: Path | None = None,
    open: bool = False,
    text: bool = False,
    hide: tuple[str, ...] = (),
    show: bool = False,
    **settings: Any,
) -> Report:
    """See every number of real steps, from the batch to the update, and the proof that each gradient is right."""
    if layer and bug:
        raise WrongUsage("expected --layer or --bug, not both")
    if show and not (text and hide):
        raise WrongUsage("--show goes with --text and --hide: it fills in what is hidden")
    run = is_run(subject)
    if (subject == TINY or run) and settings:
        typed = ", ".join(map(flag, settings))
        raise WrongUsage(f"{subject} has settings of its own: leave out {typed}")
    mistake = find_bug(bug, "--bug: ") if bug else None
    if subject == TINY:
        right = Subject(*tiny())
    else:
        right = of_run(Path(subject)) if run else of_data(subject, settings, mistake)
    name = Path(subject).resolve().name if run else right.dataset.name
    steps = steps or ((0,) if text or run else STEPS)
    train = partial(explain_training, name, samples=min(samples, len(right.dataset.train.x)), steps=steps)
    if mistake:
        explained = with_mistake(train, right, mistake)
    elif layer:
        explained = with_layer(train, right, layer)
    else:
        explained = train(right.network, right.optimizer, right.dataset)
    explained.hide(hide)
    lines = []
    if text:
        from minnet.lab.walk import walk

        lines = walk(explained, show, *terminal())
    if out or not text:
        out = out or Path(re.sub(r"[^\w.-]+", "-", f"explain-{name}.html"))
        explained.save(out)
        lines += [printable(f"page in {out}")]
        if open:
            import webbrowser

            webbrowser.open(out.absolute().as_uri())
    missing = sorted({*steps} - {step.number for step in explained.steps})
    if missing:
        lines += [f"training diverged in step {len(explained.losses)}, so that none was {missing[0]}: lower --lr"]
    return 0, [*lines, *verdict(explained)], explained.content()


def terminal() -> tuple[bool, int]:
    """Tell whether a terminal reads stdout and takes colours, and how wide it is."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ, shutil.get_terminal_size((120, 0)).columns


def verdict(explained: Explanation) -> list[str]:
    """Say whether every gradient that was recorded holds, and of a mistake what it is and what finds it."""
    wrong, lost, bug = explained.wrong(), explained.lost(), explained.about["bug"]
    lines = ["right: every gradient agrees with the slope of the loss"]
    if lost:
        lines = [f"nothing to compare: the loss of step {lost[0]} is not finite, or another one each time"]
    if wrong:
        errors = ", ".join(f"{name} by {error:.1e}" for name, error in [*wrong.items()][:6])
        lines = [f"WRONG, held against the slope of the loss: {errors} of its largest entry"]
    if bug:
        lines += [f"the mistake is {bug['name']}: {bug['meaning']}", f"caught by: {bug['caught_by']}"]
    return lines


def with_layer(train: Callable[..., Explanation], right: Subject, layer: str) -> Explanation:
    """Explain the steps of a network with a learner's own layer in it; what it prints goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        network = substituted(right.network, load_class(layer))
        try:
            return train(network, right.optimizer, right.dataset)
        except (Exception, SystemExit) as error:  # a learner's code may raise anything
            import traceback

            file = layer.rpartition(":")[0]
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            where = f" in {file}, line {frames[-1].lineno}" if frames else ""
            raise ValueError(f"{layer}: a step raised {type(error).__name__}{where}: {one_line(error)}") from None


def with_mistake(train: Callable[..., Explanation], right: Subject, bug: "Bug") -> Explanation:
    """Explain the steps of a program with a classic mistake, beside what the right one computes in each."""
    from minnet.lab.bugs import Unstopped

    network, optimizer, dataset = right
    about: dict[str, Any] = {
        "name": bug.name,
        "meaning": MISTAKES[bug.name].meaning,
        "sign": bug.sign,
        "caught_by": bug.caught_by,
    }
    about["scaled"] = bug.unscaled
    if not isinstance(bug.part, type):  # the data are wrong, and no step is
        return train(network, optimizer, dataset, bug=about)
    dataset, optimizer.lr = bug.scaled(dataset, optimizer.lr)
    is_training = issubclass(bug.part, Training)
    wrong = network if is_training else substituted(network, bug.part)
    twin = network.at(network.theta.copy())
    return train(wrong, optimizer, dataset, kind=bug.part if is_training else Unstopped, right=twin.at, bug=about)


def substituted(network: Network, cls: type[Any]) -> Network:
    """Put a class in the place of those that it may stand for, by what it takes.

    One that takes (D, H) replaces linear layers, one that takes nothing activations, one that takes (D) follows each
    hidden linear layer; an output layer replaces the output layer. The weights stay, if there are as many.
    """
    layers, output, takes, last = [], network.output, len(required(cls)), network.layers[-1]
    try:
        if is_output(cls):
            output = cls()
        for layer in network.layers:
            is_linear, is_activation = "W" in shapes_of(layer), type(layer) in ACTIVATIONS.values()
            if takes == 2 and is_linear:
                layers.append(cls(layer.D, layer.H))
            elif takes == 0 and is_activation and output is network.output:
                layers.append(cls())
            else:
                layers.append(make(describe(layer), MODEL_LAYERS))
            if takes == 1 and is_linear and layer is not last:
                layers.append(cls(layer.H))
        other = Network(layers, output, network.seed, network.theta.dtype)
    except (Exception, SystemExit) as error:  # a learner's code may raise anything
        raise ValueError(f"{cls.__name__} cannot be put into the network: {one_line(error)}") from None
    if output is network.output and not any(isinstance(layer, cls) for layer in layers):
        raise ValueError(f"{cls.__name__} has no place in {network!r}: give it --hidden layers")
    if other.theta.shape == network.theta.shape:
        other.theta[...] = network.theta
    return other


def of_data(dataset: str, settings: dict[str, Any], bug: "Bug | None") -> Subject:
    """Make a small network on a data set, in double precision; on one with a mistake in it, if that is the mistake."""
    config = Config(**{"hidden": HIDDEN, "weight_decay": 0.0, "dataset": dataset, "dtype": "float64", **settings})
    data = make_dataset(config.check_together())
    if bug and not isinstance(bug.part, type):
        data = bug.part(data)
    return Subject(make_network(config, data), make_optimizer(config, partial(getattr, config)), data)


def of_run(folder: Path) -> Subject:
    """Take the weights and the data of a run, in double precision."""
    content = read_config(folder)
    config = Config.from_json(content)
    network = load(folder).network
    if network.theta.ndim > 1:
        raise ValueError(f"{folder} has {len(network.theta)} networks, of folds: explain one trained with --fold 1")
    table = read(config)
    if content.get("data_sha256") != data_checksum(make_datasets([config], table)):
        raise ValueError(
            f"{folder} was trained on other data than {config.dataset!r} now holds: put them back as they were"
        )
    config = replace(config, dtype="float64")
    network = network.at(network.theta.astype("float64"))
    return Subject(network, make_optimizer(config, partial(getattr, config)), *make_datasets([config], table))


STEP = integer(least=0, most=MOST_STEPS)
COMMANDS: Commands = {
    explain: (
        Argument("subject", Kind("SUBJECT", check_subject), "tiny, a data set or file as for train, or a run folder"),
        Argument("--samples", integer(most=64), "samples in the batch of a step", 6),
        Argument("--steps", several(STEP), "which steps of the training, from 0 (default: 0,1,10,100; of a run 0)"),
        Argument("--layer", TEXT, "a layer of your own to put into the network: FILE.py:Class"),
        Argument("--bug", TEXT, "a classic mistake to put into it, by its name in `minnet bugs`"),
        Argument("--text", SWITCH, "print the numbers, instead of writing a page"),
        Argument("--hide", several(TEXT), "arrays to leave blank, such as dz,dW: predict them, then reveal"),
        Argument("--show", SWITCH, "of --text: fill the blanks in"),
        Argument("--out", OUTPUT, "where to write the page; by default explain-NAME.html"),
        Argument("--open", SWITCH, "open the page in the browser"),
        JSON,
        *(name for name in DATA if name not in ("folds", "repeats", "fold")),
        HIDDEN_LAYERS,
        *(name for name in NETWORK if name != "hidden"),
        "optimizer", "lr", "momentum", "nesterov", "seed",
    ),
}  # fmt: skip
