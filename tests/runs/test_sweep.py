"""Do several networks at once, from the command line, get what each deserves: a rank, a row, a place in the picture?"""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, History, Linear, Network, ReLU, evaluate, load, load_dataset
from minnet import train as train_network
from minnet.cli import main
from minnet.runs import tune
from minnet.runs.checkpoints import checkpoints
from minnet.runs.config import Config
from minnet.runs.folder import RUN_FILES, STACK_FILE, new_run
from minnet.runs.sweep import Group, Result, Setting, grid, join, rank, sweep
from minnet.support.machine import free_memory
from minnet.training import Ending
from tests.conftest import contents, signal_in_step, wait_until


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test where runs/ may be made."""
    monkeypatch.chdir(tmp_path)


def test_seeds_trains_several_and_tells_mean_and_deviation(capsys: pytest.CaptureFixture[str]) -> None:
    last = ["--epochs", "4", "--patience", "none"]
    assert main(["train", "iris", "--seeds", "5", "--seed", "3", *last, "--quiet", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert sorted(os.listdir("runs/iris-1")) == sorted([*RUN_FILES, STACK_FILE, "checkpoints"])
    stack, best = load("runs/iris-1/stack.safetensors").network, load("runs/iris-1").network
    assert (stack.theta.shape, stack.seed, best.seed) == ((5, 515), (3, 4, 5, 6, 7), results["best"]["seed"])
    np.testing.assert_array_equal(stack.theta[results["best"]["network"]], best.theta)
    dataset = load_dataset("iris", 3)
    loss, accuracy = evaluate(stack, *dataset.test)
    assert results["test_accuracy"] == pytest.approx(accuracy.mean())
    assert results["test_loss_deviation"] == pytest.approx(loss.std())
    validation, _ = evaluate(stack, *dataset.validation)
    assert validation.argmin() == results["best"]["network"]
    rows = list(csv.DictReader(Path("runs/iris-1/metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["seed"]) for row in rows] == [(str(e), str(s)) for e in range(1, 5) for s in range(3, 8)]
    assert float(rows[-1]["validation_loss"]) == pytest.approx(validation[-1], rel=1e-6)
    assert main(["train", "iris", "--seeds", "5", "--epochs", "4", "--quiet"]) == 0
    assert " ± " in capsys.readouterr().out


def test_a_network_of_several_is_the_single_run_of_its_seed_on_the_same_split() -> None:
    assert main(["train", "iris", "--seeds", "2", "--epochs", "3", "--quiet", "--out", "several"]) == 0
    assert main(["train", "iris", "--epochs", "3", "--quiet", "--out", "single"]) == 0
    several, single = load("several/stack.safetensors").network, load("single").network
    np.testing.assert_allclose(several.theta[0], single.theta, rtol=1e-4, atol=1e-6)


def test_learning_rates_are_ranked_and_the_diverged_come_last(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "iris", "--lr", "0.001,1e20,0.1", "--seeds", "2", "--epochs", "5", "--quiet"]
    assert main([*train, "--out", "r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["0.1", "0.001", "1e+20"]
    assert lines[3].split() == ["1e+20", "-", "-", "-", "2", "of", "2"]
    assert re.match("best network   lr 0.1, seed [01]: validation loss 0", lines[4])
    assert main([*train, "--json", "--out", "s"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [entry["lr"] for entry in results["ranking"]] == [0.1, 0.001, 1e20]
    assert results["ranking"][2]["validation_loss"] is None
    assert results["diverged"] == 2
    assert np.isfinite(results["test_loss"])
    assert Path("r/loss.png").read_bytes().startswith(b"\x89PNG")


SWEEP = "--lr 0.1,0.01 --seeds 3 --epochs 4 --optimizer adam --dropout 0.2 --normalize batch --patience 3"
GROUPS = {
    "memory": ["--memory-limit", "2500K"],
    "jobs": ["--jobs", "2"],
    "both": ["--jobs", "2", "--memory-limit", "5M"],
}


def of_run(folder: str) -> dict[str, Any]:
    """Return the files of a run, and its configuration without how its networks were grouped, which may differ."""
    files: dict[str, Any] = contents(folder)
    config = json.loads(files.pop("config.json"))
    return {**files, "networks": sum(config.pop("stacks")), "config": config}


def stacks_of(folder: str) -> list[int]:
    """Return how many networks each group of a run has."""
    stacks: list[int] = json.loads(Path(folder, "config.json").read_text())["stacks"]
    return stacks


@pytest.mark.parametrize("name", GROUPS)
def test_a_sweep_in_groups_gives_the_very_files_of_one_in_a_stack(name: str) -> None:
    train = ["train", "iris", *SWEEP.split(), "--quiet", "--out"]
    assert main([*train, "whole"]) == 0
    assert main([*train, "groups", *GROUPS[name]]) == 0
    assert stacks_of("whole") == [6]
    assert len(stacks_of("groups")) > 1
    assert of_run("whole") == of_run("groups")
    stacks = [f"stack-{k + 1}" for k in range(len(stacks_of("groups")))]
    assert sorted(os.listdir("groups/checkpoints")) == ["baseline", *stacks]


def test_a_map_of_ones_own_gets_as_many_groups_as_it_has_jobs() -> None:
    sizes = list[int]()

    def cluster(function: Callable[[Group], Result], groups: Sequence[Group]) -> list[Result]:
        sizes.extend(len(group.configs) for group in groups)
        return [function(group) for group in reversed(groups)][::-1]

    configs, dataset = grid(Config(dataset="iris", epochs=2), seed=range(8)), load_dataset("iris")
    together, apart = sweep(configs, dataset), sweep(configs, dataset, map=cluster, jobs=3)
    assert sizes == [3, 3, 2]
    np.testing.assert_array_equal(apart.theta, together.theta)


def test_seeds_in_two_processes_are_those_of_one() -> None:
    train = ["train", "iris", "--seeds", "3", "--epochs", "3", "--quiet", "--out"]
    assert main([*train, "one"]) == 0
    assert main([*train, "two", "--jobs", "2"]) == 0
    assert stacks_of("two") == [2, 1]
    assert of_run("one") == of_run("two")


@pytest.mark.parametrize("step", [2, 6, 16, 18, 23, 32])  # of 16 in the first group, and 16 in the second
@pytest.mark.parametrize("flags", ["--patience 4", "--schedule cosine --warmup 1"])
def test_a_sweep_interrupted_in_any_group_ends_byte_for_byte_as_one_that_was_not(
    step: int, flags: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the first or the second, and after the first one's last step, before the second began."""
    several = ["--seeds", "6", "--epochs", "4", "--memory-limit", "2500K"]
    train = ["train", "iris", *several, *flags.split(), "--quiet", "--out"]
    assert main([*train, "whole"]) == 0
    assert stacks_of("whole") == [3, 3]
    with monkeypatch.context() as patch:
        signal_in_step(patch, step)
        assert main([*train, "parts"]) == 130
    group, taken = divmod(step - 1, 16)
    epoch, place = divmod(taken, 4)
    said = f"interrupted in epoch {epoch + 1}, after step {place + 1} of 4; saved is parts/checkpoints/stack-"
    assert said in capsys.readouterr().err
    assert len(os.listdir("parts/checkpoints")) == group + 1
    ended = json.loads(Path("parts/results.json").read_text())["ended"]
    assert (ended["reason"], ended["epoch"], ended["step"]) == ("interrupted", epoch + 1, place + 1)
    assert main(["train", "--resume", "parts", "--quiet", "--memory-limit", "1G"]) == 0  # the groups are the run's
    assert contents("parts") == contents("whole")


def test_a_sweep_in_two_processes_is_interrupted_and_goes_on() -> None:
    train = ["train", "digits", "--seeds", "4", "--epochs", "40", "--hidden", "100", "--quiet", "--out"]
    assert main([*train, "whole", "--jobs", "2"]) == 0
    command = [sys.executable, "-m", "minnet", *train, "parts", "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(process, lambda: all(checkpoints(Path("parts"), group) for group in ("stack-1", "stack-2")))
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 130, said
    assert re.fullmatch(r"minnet: interrupted in epoch \d+, .* go on with: minnet train --resume parts", said)
    ended = json.loads(Path("parts/results.json").read_text())["ended"]
    assert ended["reason"] == "interrupted"
    assert ended["epoch"] <= 40
    assert main(["train", "--resume", "parts", "--jobs", "2", "--quiet"]) == 0
    assert contents("parts") == contents("whole")


@pytest.mark.parametrize("begun", [False, True], ids=["before its processes are up", "while they train"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_sweep_ends_it_well(number: signal.Signals, begun: bool) -> None:
    """As a terminal sends it, or `timeout`: those that train get it too, and once more from the one they train for."""
    endless = ["--epochs", "100000", "--patience", "none"]
    train = ["train", "digits", "--seeds", "4", *endless, "--quiet", "--out", "r", "--jobs", "2"]
    command = [sys.executable, "-m", "minnet", *train]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    both = ("stack-1", "stack-2") if begun else ()
    wait_until(process, lambda: Path("r").exists() and all(checkpoints(Path("r"), group) for group in both))
    os.killpg(process.pid, number)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 130, error
    asked, said = error.strip().splitlines()
    assert asked == "minnet: finishing the batch, then saving; Ctrl-C once more stops at once"
    assert said.startswith("minnet: interrupted in epoch ")
    assert said.endswith(" with: minnet train --resume r")
    assert json.loads(Path("r/results.json").read_text())["ended"]["reason"] == "interrupted"


@pytest.mark.parametrize("flags", [[], ["--seeds", "2"]], ids=["single", "stack"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_folder_is_made_waits_until_it_can_be_taken(
    flags: list[str], number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "iris", "--epochs", "3", "--quiet", *flags, "--out"]
    assert main([*train, "whole"]) == 0

    @contextmanager
    def signalled(*arguments: Any) -> Iterator[Path]:
        with new_run(*arguments) as folder:
            os.kill(os.getpid(), number)
            yield folder

    with monkeypatch.context() as patch:
        patch.setattr("minnet.runs.job.new_run", signalled)
        assert main([*train, "r"]) == 130
    said = (
        "interrupted in epoch 1, after step 0 of 4; nothing of it was saved; begin anew with: minnet train --resume r"
    )
    assert capfd.readouterr().err.strip().splitlines()[-1] == f"minnet: {said}"
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert contents("r") == contents("whole")


def test_groups_that_were_interrupted_in_different_steps_are_joined() -> None:
    def group(steps: int) -> Result:
        column = [np.ones(2)]
        columns: dict[str, Any] = {name: list(column) for name in History().by_epoch()}
        columns |= {"epoch": [1], "seconds": [0.1]}
        history = History(**columns, batch_loss=column * steps, batch_norm=column * steps)
        return Result(np.zeros((2, 3)), history, Ending("interrupted", 2, steps - 3))

    for order in ((5, 7), (7, 5)):
        together = join([group(steps) for steps in order])
        assert np.array(together.history.batch_loss).shape == (7, 4)
        assert np.array(together.history.train_loss).shape == (1, 4)
        assert together.history.epoch == [1]
        assert together.ended.reason == "interrupted"


def test_a_sweep_that_finds_too_little_memory_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--seeds", "6", "--quiet", "--out", "none", "--memory-limit", "10K"]) == 1
    assert "MiB are allowed" in capsys.readouterr().err
    assert not os.listdir()


def test_a_value_that_is_named_twice_is_trained_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--seeds", "2", "--lr", "0.1,0.1", "--epochs", "2", "--quiet", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert (results["networks"], len(results["ranking"])) == (2, 1)
    config = json.loads(Path("runs/iris-1/config.json").read_text())
    assert (config["lr"], config["grid"]) == (0.1, {"seed": [0, 1]})
    assert main(["train", "iris", "--lr", "0.1,0.10,1e-1", "--epochs", "2", "--quiet", "--out", "one"]) == 0
    assert not Path("one", STACK_FILE).exists()


def test_the_best_network_is_the_best_by_the_weights_it_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    """Not by its last epoch, in which it may have left its best weights behind."""
    plain = ["--schedule", "constant", "--weight-decay", "0", "--patience", "2", "--lr", "1.0"]  # as below
    train = ["train", "moons", "--seed", "20", "--seeds", "4", *plain, "--quiet", "--json", "--out", "r"]
    assert main(train) == 0
    results = json.loads(capsys.readouterr().out)
    stack = load(f"r/{STACK_FILE}").network
    losses, _ = evaluate(stack, *load_dataset("moons", 20).validation)
    best = results["best"]
    assert best["network"] == losses.argmin()
    assert best["validation_loss"] == pytest.approx(losses.min(), rel=1e-6)
    np.testing.assert_array_equal(load("r").network.theta, stack.theta[losses.argmin()])
    network = Network([Linear(2, 64), ReLU(), Linear(64, 2)], seed=range(20, 24))
    history = train_network(network, SGD(1.0, 0.9), load_dataset("moons", 20), 50, patience=2)
    assert history.best() == best["network"] != np.argmin(history.validation_loss[-1])


@pytest.mark.parametrize("several", [[], ["--seeds", "3"]], ids=["single", "stack"])
def test_results_of_an_interrupted_run_are_those_of_the_weights_saved(
    several: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which are not those of the step it was interrupted in."""
    flags = ["--patience", "10000", "--hidden", "16", "--lr", "0.1", "--epochs", "10000", "--quiet", "--out", "r"]
    with monkeypatch.context() as patch:
        signal_in_step(patch, 40 * 12 + 17, signal.SIGTERM)
        assert main(["train", "digits", *flags, *several]) == 130
    results = json.loads(Path("r/results.json").read_text())
    results |= results.get("best", {})
    capsys.readouterr()
    assert main(["show", "r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    dataset = load_dataset("digits")
    for split in ("train", "validation", "test"):
        loss, _ = evaluate(load("r").network, *getattr(dataset, split))
        assert results[f"{split}_loss"] == pytest.approx(loss, rel=1e-6)
        assert f"{split + ' loss':<16} {loss:.4f}" in lines


def test_a_single_run_over_several_leaves_no_stack_behind() -> None:
    assert main(["train", "iris", "--seeds", "2", "--epochs", "1", "--quiet", "--out", "r"]) == 0
    assert main(["train", "iris", "--epochs", "1", "--quiet", "--out", "r", "--force"]) == 0
    assert sorted(os.listdir("r")) == sorted([*RUN_FILES, "checkpoints"])


def test_all_diverged_is_one_line_and_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--lr", "1e20,1e30", "--epochs", "3", "--quiet"]) == 1
    said = "all networks diverged, the last of them in epoch 1; lower the learning rate"
    assert capsys.readouterr().err == f"minnet: error: {said}; what there is of the run is in runs/iris-1\n"
    results = json.loads(Path("runs/iris-1/results.json").read_text())
    assert results["ended"] == {"reason": "diverged", "epoch": 1, "text": said}


def test_tune_recommends_a_command_that_trains_what_was_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["tune", "iris", "--hidden", "8", "--seed", "5", "--seeds", "2", "--quiet", "--json"]
    assert main([*asked, "--label-smoothing", "0.1"]) == 0
    results = json.loads(capsys.readouterr().out)
    command = results["command"].split()
    assert command[:3] == ["minnet", "train", "iris"]
    flags = dict(flag.split("=") for flag in command[3:])
    assert flags["--epochs"] == "25"  # which were not asked for, and are not what train takes by default
    assert {"--seed": "5", "--label-smoothing": "0.1"}.items() < flags.items()
    assert {"--lr", "--momentum", "--hidden"} < flags.keys()
    assert Path("tune-iris.png").read_bytes().startswith(b"\x89PNG")
    (chosen,) = [each for each in results["ranking"] if results["recommended"].items() <= each.items()]
    assert main([*command[1:], "--seeds", "2", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation_loss"] == pytest.approx(chosen["loss"], rel=1e-6)


def test_tune_tries_widths_and_regularisation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "wine", "--epochs", "2", "--seeds", "2", "--hidden", "6,4", "--out", "p.png"]) == 0
    out, err = capsys.readouterr()
    for stage in tune.STAGES:
        assert f"minnet: tuning {stage}\n" in err
    assert {"3,2", "6,4", "12,8", "6,4,4"} <= set(out.split())
    assert Path("p.png").exists()
    assert main(["tune", "wine", "--epochs", "2", "--seeds", "2", "--hidden", "none", "--json", "--quiet"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results["ranking"]) == len(tune.STEPS) * len(tune.MOMENTA) + len(tune.DECAYS)
    losses = [entry["loss"] for entry in results["ranking"] if entry["loss"] is not None]
    assert losses == sorted(losses)
    assert {entry["weight_decay"] for entry in results["ranking"]} == {Config().weight_decay, *tune.DECAYS}
    assert all(entry["hidden"] == [] for entry in results["ranking"])


def setting(losses: Sequence[float], lr: float = 0.05, **values: Any) -> Setting:
    """Make up what came of a setting."""
    own = {"lr": lr, "momentum": 0.9, "hidden": (64,), "weight_decay": 0.0, "dropout": 0.0} | values
    array, lost = np.array(losses), int(np.isinf(losses).sum())
    mean, deviation = (math.inf, math.inf) if lost else (array.mean(), array.std())
    return Setting(own, np.arange(len(losses)), mean, deviation, 0.9, lost, array)


def test_what_is_within_chance_of_the_best_ties_and_what_changes_least_is_recommended() -> None:
    """As the settings of digits that were told apart by .0027, with deviations of .0077 and .0081."""
    best = setting([0.117, 0.120, 0.130, 0.135], 0.2, momentum=0.0)
    usual = setting([0.120, 0.136, 0.122, 0.137], 0.05)
    wider = setting([0.119, 0.123, 0.131, 0.135], 0.05, hidden=(128,))
    worse = setting([0.124, 0.128, 0.137, 0.143], 0.025)  # by as little, but with each seed
    astray = setting([0.117, 0.120, 0.130, 9e9])  # no test tells anything of a deviation like that
    diverged = setting([0.1, 0.1, 0.1, math.inf])
    tuning = tune.choose([astray, worse, usual, diverged, wider, best], Config())
    assert tuning.ranking == [best, wider, usual, worse, astray, diverged]
    assert tuning.tied == [True, True, True, False, False, False]
    assert tuning.chosen is usual
    text = "\n".join(tune.describe(tuning, Config()))
    assert "tie            2 others are within chance of the best" in text
    assert [line.split()[-1] for line in text.splitlines()[1:4]] == ["best", "tie", "recommended"]
    assert "no tie " in tune.describe(tune.choose([worse, best], Config()), Config())[-1]


def test_a_single_seed_ties_with_nothing_and_equal_losses_tie() -> None:
    base = Config()
    alone = tune.choose([setting([0.2]), setting([0.1], 0.8)], base)
    assert (alone.tied, alone.chosen.loss) == ([True, False], 0.1)
    assert "one network each cannot tell merit from chance" in tune.describe(alone, base)[-1]
    equal = tune.choose([setting([0.2, 0.2], 0.1), setting([0.2, 0.2])], base)
    assert (equal.tied, equal.chosen.values["lr"]) == ([True, True], 0.05)


def test_the_usual_rate_is_among_those_tried() -> None:
    for config in (Config(), Config(lr=0.0123456), Config(optimizer="adam")):
        assert config.learning_rate in tune.rates(config)


def test_the_recommended_rate_is_close_to_the_best_of_full_length_runs() -> None:
    dataset, config = load_dataset("wine"), Config(dataset="wine")

    def losses(epochs: int) -> dict[str, float]:
        varied = {"lr": tune.rates(config), "momentum": tune.MOMENTA}
        configs = grid(Config(dataset="wine", epochs=epochs), **varied, seed=range(4))
        history = sweep(configs, dataset, free_memory() / 4).history
        return {setting.name: setting.loss for setting in rank(configs, history, ["lr", "momentum"])}

    short, full = losses(25), losses(50)
    assert full[min(short, key=lambda key: short[key])] <= 1.05 * min(full.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "iris", "--seeds", "0"], "--seeds: expected an integer from 1 to 100000, got 0"),
        (["train", "iris", "--lr", "0.1,abc"], "--lr: expected a finite number above 0, got 'abc'"),
        (["train", "iris", "--lr", "0.1,"], "--lr: expected a finite number above 0, got ''"),
        (["train", "iris", "--seeds", "2", "--memory-limit", "0"], "--memory-limit: expected a finite number above 0"),
        (["train", "iris", "--seeds", "2", "--memory-limit", "lots"], "--memory-limit: expected a finite number"),
        (["train", "iris", "--memory-limit", "1G"], "--memory-limit and --jobs go with several networks"),
        (["train", "iris", "--jobs", "2"], "--memory-limit and --jobs go with several networks"),
        (["train", "iris", "--seeds", "2", "--jobs", "0"], "--jobs: expected an integer of at least 1"),
        (["tune", "irys"], "unknown data set 'irys'; known are: iris"),
        (["tune", "iris", "--seeds", "-1"], "--seeds: expected an integer"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    assert (left.value.code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    assert not os.listdir()


def test_tune_has_nothing_to_say_of_settings_that_diverged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no NaN in its JSON: such networks keep the weights of epoch 0, of which nothing is known."""
    monkeypatch.setattr("minnet.runs.tune.STEPS", np.array([1, 2e31]))
    monkeypatch.setattr("minnet.runs.tune.STAGES", dict([*tune.STAGES.items()][:1]))
    assert main(["tune", "iris", "--epochs", "2", "--seeds", "2", "--quiet", "--json"]) == 0
    results = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [entry["diverged"] for entry in results["ranking"]] == [0, 0, 2, 2]
    for entry in results["ranking"][2:]:
        assert (entry["loss"], entry["deviation"], entry["accuracy"]) == (None, None, None)


def test_tune_says_when_every_rate_diverges(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minnet.runs.tune.STEPS", np.array([2e21, 2e31]))
    assert main(["tune", "iris", "--epochs", "2", "--seeds", "2", "--quiet"]) == 1
    said = "minnet: error: every learning rate from 1e+20 to 1e+30 diverged: scale the features\n"
    assert capsys.readouterr().err == said
    assert not os.listdir()


def test_free_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**20 < free_memory() < 2**60

    def nowhere(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nowhere)
    assert math.isinf(free_memory())
