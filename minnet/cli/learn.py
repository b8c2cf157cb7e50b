"""What can a learner do from a terminal? ``minnet check`` and ``minnet bugs``."""

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnet.cli.flags import NETWORK, OUTPUT, STACK, Argument, Commands, Report, parted
from minnet.data.named import check_name, load_dataset
from minnet.lab.check import check_class, check_network
from minnet.lab.mistakes import MISTAKES
from minnet.runs.build import make_network
from minnet.runs.config import COUNT, DATASET, SEED, SWITCH, TEXT, Config, Kind, WrongUsage
from minnet.support.text import nearest, table

if TYPE_CHECKING:
    from minnet.lab.bugs import Bug

SAMPLES = 8  # as many as a gradient check of a network uses: enough for every unit to be on for one of them


SUBJECT = Kind("SUBJECT", lambda what, value: value if ".py:" in value else check_name(value))


def load_class(target: str) -> type[Any]:
    """Load a class of the user's own from ``FILE.py:ClassName``; what the file raises becomes a ValueError.

    Raises
    ------
    ValueError
        If it cannot be imported, or has no such class.
    """
    file_name, _, class_name = target.rpartition(":")
    if not file_name:
        raise ValueError(f"expected FILE.py:Class, the name of a file and of a class in it, got {target!r:.80}")
    sys.path.insert(0, str(Path(file_name).parent.absolute()))  # so that the file may import its neighbours
    try:
        content = runpy.run_path(file_name)
    except (Exception, SystemExit) as error:  # a learner's code may raise anything
        raise ValueError(f"{file_name} cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.pop(0)
    found = content.get(class_name)
    if not isinstance(found, type):
        classes = [name for name, each in content.items() if isinstance(each, type)]
        raise ValueError(f"{file_name} has no class {class_name!r}; it has: {', '.join(classes) or 'none'}")
    return found


def check(subject: str, seeds: int = 1, **settings: Any) -> Report:
    """Check gradients: a network on a data set, or a layer of your own, whose mistake is named."""
    if ".py:" in subject:
        if settings or seeds > 1:
            raise WrongUsage("the flags of networks go with a data set, not with a class of your own")
        report = check_class(load_class(subject))
    else:
        plain, values = parted(settings, seeds)
        config = Config(**plain, dtype="float64").check_together()
        dataset = load_dataset(subject, dtype="float64")
        network = make_network(config, dataset, values.get("seed"))
        report = check_network(network, *(each[:SAMPLES] for each in dataset.train))
    return int(not report.right), [str(report)], None


def pick(mystery: int) -> str:
    """Pick a mistake that shows, by a number."""
    from minnet.lab.bugs import BUGS

    hardly = ("caller-array-changed", "scaler-before-split", "nominal-batch-size", "labels-from-one")
    shows = [name for name in BUGS if name not in hardly]
    return shows[np.random.default_rng(mystery).integers(len(shows))]


def find_bug(name: str, what: str = "") -> "Bug":
    """Return a classic mistake by its name, or raise WrongUsage; what was asked for stands before the message."""
    from minnet.lab.bugs import BUGS

    if name in BUGS:
        return BUGS[name]
    if name in MISTAKES:
        meaning = MISTAKES[name].meaning
        raise WrongUsage(f"{what}{name} is a mistake that `minnet check` names, with no program to train: {meaning}")
    raise WrongUsage(f"{what}unknown mistake {name!r:.80}; known are: {', '.join(nearest(name, BUGS))}")


def bugs(
    name: str | None = None,
    dataset: str = "digits",
    epochs: int = 15,
    seed: int = 0,
    check: bool = False,
    mystery: int | None = None,
    tell: bool = False,
    out: Path | None = None,
) -> Report:
    """See what classic mistakes look like: list them, train one beside the right program, or guess."""
    from minnet.lab.bugs import BUGS, compare  # which no other command needs

    if (tell and mystery is None) or (check and not name) or None not in (name, mystery):
        raise WrongUsage("expected NAME, with or without --check, or --mystery, with or without --tell")
    chosen = name if mystery is None else pick(mystery)
    if chosen is None:
        return 0, table([[name, MISTAKES[name].meaning] for name in BUGS]), None
    bug = find_bug(chosen)
    trained_on = load_dataset(dataset, seed)
    told, lines = mystery is None or tell, []
    if told:
        lines = [
            f"{bug.name}: {MISTAKES[bug.name].meaning}",
            f"one sees: {bug.sign}",
            f"caught by: {bug.caught_by}",
            "",
        ]
    if not check:
        from minnet.plots import plot_runs, save_picture

        label = name or f"mystery {mystery}"
        out = out or Path(f"bug-{label.replace(' ', '-')}.png")
        histories = dict(zip(("right", label), compare(bug, trained_on, epochs, seed), strict=True))
        save_picture(plot_runs(histories, "training", f"{dataset}, seed {seed}: {label}"), out)
        rows = [["", "training loss", "validation accuracy"]]
        for program, history in histories.items():
            rows.append([program, f"{history.train_loss[-1]:.4g}", f"{history.validation_accuracy[-1]:.4f}"])
        lines += table(rows, "<>>")
        if bug.unscaled:
            lines.append("both with features 100 times as large, since the mistake shows in huge logits only")
        lines.append(f"picture in {out}")
    if check or not name:
        report = bug.check(trained_on)
        lines.append("\n" * (not check) + (str(report) if told else report.anonymous()))
    if not told:
        lines.append(f"which mistake is it? minnet bugs --mystery {mystery} --tell says")
    return 0, lines, None


COMMANDS: Commands = {
    check: (Argument("subject", SUBJECT, "what to check: DATASET or FILE.py:Class"), *NETWORK, "seed", STACK),
    bugs: (
        "seed",
        Argument("name?", TEXT, "the mistake; without one, all are listed"),
        Argument("--dataset", DATASET, "what to train on", "digits"),
        Argument("--epochs", COUNT, "how long to train both", 15),
        Argument("--check", SWITCH, "show what `minnet check` says of it, instead of training"),
        Argument("--mystery", SEED, "run the N-th mystery: guess which mistake it is"),
        Argument("--tell", SWITCH, "say which mistake the mystery was, and what it means"),
        Argument("--out", OUTPUT, "where to save the picture; by default bug-NAME.png"),
    ),
}
