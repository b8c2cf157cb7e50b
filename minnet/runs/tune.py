"""Which settings suit the data? One kind of them after another is tried, and changed if that is better than chance.

First learning rates and momenta, all in one stack; then, around what was found so far, hidden layers, weight decay and
dropout. Every setting is trained with the same seeds on the same samples, so that two of them are compared in pairs.
"""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset
from minnet.runs.config import FIELDS, SWITCH, Config, flag
from minnet.runs.sweep import OnEpoch, Setting, grid, rank, sweep
from minnet.support.stack import Array
from minnet.support.text import table

TUNED = ("lr", "momentum", "hidden", "weight_decay", "dropout")
LATER = TUNED[2:]  # than the first stage
SHOWN = 8
STEPS = 2.0 ** np.arange(-5, 7)  # what the usual learning rate is multiplied by
MOMENTA = (0.9, 0.0)
DECAYS = (0.0, 1e-3, 1e-2)
DROPOUTS = (0.0, 0.2)
CHANCE = 0.05  # how probable a difference may be where there is none
Trial = tuple[Config, dict[str, Sequence[Any]]]  # a configuration, and several values of what a stack can vary


class Tuning(NamedTuple):
    """What came of tuning.

    Attributes
    ----------
    ranking : list of Setting
        All settings tried, the best first.
    tied : list of bool
        Which of them may be as good as the best: see `ties`.
    chosen : Setting
        The one of these that changes least.
    """

    ranking: list[Setting]
    tied: list[bool]
    chosen: Setting


def rates(config: Config) -> tuple[float, ...]:
    """Give learning rates to try, the usual one among them, which itself is exact."""
    usual = config.learning_rate
    return tuple(usual if step == 1 else float(f"{usual * step:.2g}") for step in STEPS)


def widths(config: Config) -> list[tuple[int, ...]]:
    """Give hidden layers to try: half and twice as wide, and one more; none beside none."""
    hidden = config.hidden
    if not hidden:
        return []
    half = tuple(max(1, H // 2) for H in hidden)
    return [each for each in (half, tuple(2 * H for H in hidden), (*hidden, hidden[-1])) if each != hidden]


def dropouts(config: Config) -> list[float]:
    """Give shares to drop, if there is something to drop."""
    return [share for share in DROPOUTS if share != config.dropout and config.hidden]


STAGES: dict[str, Callable[[Config], list[Trial]]] = {
    "learning rate and momentum": lambda config: [(config, {"lr": rates(config), "momentum": MOMENTA})],
    "hidden layers": lambda config: [(replace(config, hidden=hidden), {}) for hidden in widths(config)],
    "weight decay": lambda config: [(config, {"weight_decay": DECAYS})],
    "dropout": lambda config: [(replace(config, dropout=share), {}) for share in dropouts(config)],
}


def ties(setting: Setting, best: Setting) -> bool:
    """Tell whether a setting may be as good as the best one: whether the difference is within chance.

    It is, if a one-sided paired t-test of the losses of the same seeds (and folds) does not tell the two apart, with
    p < 0.05. Its mean must lie within two standard errors of the best one's mean, too: where one network of several
    goes astray, no test tells anything. With a single repetition there is nothing to tell by, and no tie.
    """
    from scipy.special import stdtrit

    n = len(best.losses)
    if setting is best or setting.diverged or n < 2:
        return setting is best
    differences: Array = setting.losses - best.losses
    mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(n)
    near = 2 * best.losses.std(ddof=1) / math.sqrt(n)
    return bool(mean <= min(near, stdtrit(n - 1, 1 - CHANCE) * error))


def changes(setting: Setting, base: Config) -> tuple[float, ...]:
    """Measure how far a setting is from a configuration: how many values differ, the rate's ratio; then its loss."""
    usual = vars(base) | {"lr": base.learning_rate}
    differing = sum(value != usual[name] for name, value in setting.values.items())
    return differing, abs(math.log(setting.values["lr"] / usual["lr"])), setting.loss


def choose(tried: Sequence[Setting], base: Config) -> Tuning:
    """Rank settings by their mean loss, and choose of those that tie with the best the one that changes least."""
    ranking = sorted(tried, key=lambda setting: (setting.loss, setting.diverged))
    tied = [ties(setting, ranking[0]) for setting in ranking]
    able = [setting for setting, tie in zip(ranking, tied, strict=True) if tie]
    return Tuning(ranking, tied, min(able, key=lambda setting: changes(setting, base)))


def tune(
    base: Config,
    datasets: Mapping[int | None, Dataset],
    repetitions: Mapping[str, Sequence[Any]],
    memory_limit: float | None = None,
    on_epoch: OnEpoch | None = None,
    on_stage: Callable[[str], object] | None = None,
) -> Tuning:
    """Try settings around a configuration, stage by stage; what is chosen was trained as it is.

    Parameters
    ----------
    base : Config
        Where to begin; its learning rate and momentum are those to keep, if nothing is better.
    datasets : mapping of int or None to Dataset
        What they train on, by the number of the fold, or that of None.
    repetitions : mapping of str to sequence
        What each setting is trained with all combinations of, such as ``{"fold": (1, 2, 3), "seed": range(4)}``.
    memory_limit : float, optional
        As `sweep` takes it.
    on_epoch, on_stage : callable, optional
        Called with a group's history after each of its epochs, and with the name of each stage before it.

    Raises
    ------
    FloatingPointError
        If all learning rates diverged.
    """
    tried, config = list[Setting](), base
    for name, trials in STAGES.items():
        stage = trials(config)
        if on_stage is not None and stage:
            on_stage(name)
        for around, values in stage:
            configs = grid(
                around, **repetitions, **values
            )  # so that those that learn from the same rows stand together
            own = [datasets[config.fold] for config in configs]
            history = sweep(configs, own, memory_limit, on_epoch=on_epoch).history
            tried += rank(configs, history, TUNED)
        tuning = choose(tried, base)
        if tuning.ranking[0].diverged:
            least, *_, most = rates(base)
            raise FloatingPointError(f"every learning rate from {least:g} to {most:g} diverged: scale the features")
        config = replace(base, **tuning.chosen.values)
    return tuning


def losses_by_rate(tuning: Tuning, base: Config) -> dict[str, Array]:
    """Give the losses of the first stage, (rates, repetitions) by momentum; NaN of networks that diverged."""
    own = {name: getattr(base, name) for name in LATER}
    first = {}
    for setting in tuning.ranking:
        lr, momentum, *_ = setting.values.values()
        if own.items() <= setting.values.items():
            first[lr, momentum] = np.where(np.isfinite(setting.losses), setting.losses, np.nan)
    return {f"momentum {momentum:g}": np.array([first[lr, momentum] for lr in rates(base)]) for momentum in MOMENTA}


def command(base: Config, setting: Setting, given: Sequence[str] = ()) -> str:
    """Write the command that trains what was tuned, with epochs, rate and momentum even where they are the defaults."""
    config = replace(base, **setting.values)
    others = [name for name, each in FIELDS.items() if getattr(config, name) != each.default]
    flags = []
    for name in dict.fromkeys([*given, *others, "epochs", "lr", "momentum"]):
        kind, value = FIELDS[name].metadata["kind"], getattr(config, name)
        if name == "dataset":
            continue
        flags.append(flag(name))
        if kind is not SWITCH:
            flags[-1] += f"={kind.write(value)}"
    return shlex.join(["minnet", "train", config.dataset, *flags])


def describe(tuning: Tuning, base: Config) -> list[str]:
    """Say what came out: the best settings, all of the later stages, what is recommended, and how many tie."""
    kinds = {name: FIELDS[name].metadata["kind"] for name in TUNED}
    rows = [[*(name.replace("_", " ") for name in TUNED), "validation loss", "accuracy", "diverged", ""]]
    best, ties = tuning.ranking[0], sum(tuning.tied) - 1
    for k, (setting, tie) in enumerate(zip(tuning.ranking, tuning.tied, strict=True)):
        said = "tie" if tie else ""
        if setting is best:
            said = "best"
        if setting is tuning.chosen:
            said = "recommended"
        later = any(setting.values[name] != getattr(base, name) for name in LATER)
        if k < SHOWN or setting is tuning.chosen or later:
            cells = [kinds[name].write(value) for name, value in setting.values.items()]
            loss = f"{setting.loss:.4f} ± {setting.deviation:.4f}"
            rows.append([*cells, loss, f"{setting.accuracy:.4f}", str(setting.diverged), said])
    n, tried = len(best.losses), len(tuning.ranking)
    lines = table(rows, ">>>>>>>>")
    lines.append(f"({len(rows) - 1} of {tried} settings, on the validation split; networks of each: {n})")
    if n == 1:
        said = "not known      one network each cannot tell merit from chance: take --seeds 4"
    elif not ties:
        said = "no tie         no other setting is within chance of the best (paired t-test, p < 0.05)"
    else:
        others = f"{ties} others are" if ties > 1 else "another one is"
        said = f"tie            {others} within chance of the best (paired t-test); recommended is what changes least"
    return [*lines, said]
