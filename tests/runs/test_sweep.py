"""Do several networks at once, from the command line, get what each deserves: a rank, a row, a place in the picture?"""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from minnet import Linear, Network, ReLU, evaluate, load, load_dataset
from minnet.cli import main
from minnet.runs.folder import RUN_FILES, STACK_FILE
from minnet.runs.sweep import MOMENTA, RATES, train_grid
from minnet.support.machine import free_memory


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test where runs/ may be made."""
    monkeypatch.chdir(tmp_path)


def test_seeds_trains_several_and_tells_mean_and_deviation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--seeds", "5", "--seed", "3", "--epochs", "4", "--quiet", "--json"]) == 0
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
    assert lines[3].endswith("2 of 2 diverged")
    assert "best network   seed" in lines[4]
    assert "lr 0.1:" in lines[4]
    assert main([*train, "--json", "--out", "s"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [entry["lr"] for entry in results["ranking"]] == [0.1, 0.001, 1e20]
    assert results["ranking"][2]["validation_loss"] is None
    assert results["diverged"] == 2
    assert np.isfinite(results["test_loss"])
    assert Path("r/loss.png").read_bytes().startswith(b"\x89PNG")


def test_several_in_little_memory_give_the_same_files(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "iris", "--seeds", "6", "--epochs", "3", "--quiet", "--out"]
    assert main([*train, "whole"]) == 0
    assert main([*train, "sliced", "--memory", "2M"]) == 0
    for name in ("model.safetensors", STACK_FILE):
        assert Path("whole", name).read_bytes() == Path("sliced", name).read_bytes()
    capsys.readouterr()
    assert main([*train, "none", "--memory", "10K"]) == 1
    assert "MiB are allowed" in capsys.readouterr().err
    assert not Path("none").exists()


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


def test_tune_recommends_a_command_that_runs_and_draws_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "iris", "--epochs", "8", "--seeds", "2", "--hidden", "8,4", "--quiet"]) == 0
    out = capsys.readouterr().out
    (command,) = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("recommended")]
    assert command.startswith("minnet train iris --hidden 8,4 --activation relu --batch-size 32 --lr ")
    assert main([*command.split()[1:], "--epochs", "2", "--quiet"]) == 0
    assert Path("tune-iris.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["tune", "iris", "--epochs", "2", "--seeds", "1", "--json", "--quiet", "--out", "p.png"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results["ranking"]) == len(RATES) * len(MOMENTA)
    losses = [entry["loss"] for entry in results["ranking"] if entry["loss"] is not None]
    assert losses == sorted(losses)
    assert Path("p.png").exists()


def test_the_recommended_rate_is_close_to_the_best_of_full_length_runs() -> None:
    dataset = load_dataset("wine")

    def grid(epochs: int) -> dict[tuple[float, float], float]:
        _, _, settings = train_grid(
            lambda seeds: Network([Linear(13, 64), ReLU(), Linear(64, 3)], seed=seeds),
            dataset, RATES, MOMENTA, range(4), epochs, 32, free_memory() / 4,
        )  # fmt: skip
        return {(setting.lr, setting.momentum): setting.loss for setting in settings}

    short, full = grid(25), grid(50)
    assert full[min(short, key=lambda key: short[key])] <= 1.05 * min(full.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "iris", "--seeds", "0"], "--seeds: expected an integer from 1 to 100000, got '0'"),
        (["train", "iris", "--lr", "0.1,abc"], "--lr: expected a finite number above 0, got 'abc'"),
        (["train", "iris", "--lr", "0.1,"], "--lr: expected a finite number above 0, got ''"),
        (["train", "iris", "--memory", "0"], "--memory: expected a size above 0"),
        (["train", "iris", "--memory", "lots"], "--memory: expected a size above 0"),
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


def test_tune_says_when_every_rate_diverges(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minnet.cli.main.RATES", (1e20, 1e30))
    assert main(["tune", "iris", "--epochs", "2", "--seeds", "2", "--quiet"]) == 1
    said = "minnet: error: every learning rate from 1e+20 to 1e+30 diverged: scale the features\n"
    assert capsys.readouterr().err == said
    assert not os.listdir()


def test_free_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**20 < free_memory() < 2**60

    def nowhere(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nowhere)
    assert 2**20 < free_memory() < 2**60
    monkeypatch.setattr(os, "sysconf", nowhere)
    assert math.isinf(free_memory())
