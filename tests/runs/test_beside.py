"""Is a result compared with what it should be compared with, and does the comparison survive what a run survives?"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from minnet import load_dataset
from minnet.cli import main
from minnet.runs.beside import describe_difference, mcnemar
from minnet.runs.checkpoints import checkpoints
from tests.conftest import contents, signal_in_step


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test where runs/ may be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def results(folder: str) -> Any:
    return json.loads(Path(folder, "results.json").read_text())


def write_uneven(path: str, N: int = 240) -> None:
    """Write a table of two classes, of which one is rare and hard to tell."""
    rng = np.random.default_rng(0)
    rare = np.arange(N) % 8 == 0
    x = rng.normal(size=(N, 3)) + rare[:, np.newaxis]
    rows = [",".join(map(str, [*row, "yes" if t else "no"])) for row, t in zip(x.tolist(), rare, strict=True)]
    Path(path).write_text("\n".join(["a,b,c,y", *rows]) + "\n")


def test_the_baseline_is_the_run_without_hidden_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "moons", "--epochs", "30", "--quiet", "--out", "r"]) == 0
    *_, beside, difference, calibration, _, _ = capsys.readouterr().out.splitlines()
    assert main(["train", "moons", "--epochs", "30", "--quiet", "--out", "s", "--hidden", "none"]) == 0
    assert "beside it" not in capsys.readouterr().out  # it is the logistic regression
    network, alone = results("r"), results("s")
    assert "logistic_regression" not in alone["baseline"]
    figures = {name: value for name, value in alone.items() if name.startswith("test_")}
    assert network["baseline"]["logistic_regression"] == figures
    found = network["baseline"]["mcnemar"]
    N = len(load_dataset("moons").test.x)
    more = round(N * (network["test_accuracy"] - alone["test_accuracy"]))
    assert found["only_network"] - found["only_baseline"] == more > 0
    assert beside == f"beside it      logistic regression {alone['test_accuracy']:.4f}"
    assert difference == f"difference     {describe_difference(found)}"
    report, after = Path("r/report.txt").read_text(), network["calibration"]["after"]
    assert f"\n{beside}\n{difference}\n" in report
    assert report.split()[-3:] == [f"{after[name]:.4f}" for name in ("log_loss", "brier", "ece")]
    assert calibration.endswith(f"→ {after['ece']:.4f}")
    assert len(Path("r/metrics.csv").read_text().splitlines()) == 31  # nothing of the baseline is in it


@pytest.mark.parametrize(("ours", "theirs"), [(9, 4), (0, 0), (12, 1), (1, 12), (5, 5)])
def test_mcnemar_is_the_exact_test_of_samples_that_only_one_has_right(ours: int, theirs: int) -> None:
    right = np.array([True] * (ours + 7) + [False] * (theirs + 3))
    other = np.array([False] * ours + [True] * 7 + [True] * theirs + [False] * 3)
    n, fewer = ours + theirs, min(ours, theirs)
    found = mcnemar(right, other)
    assert found == {"only_network": ours, "only_baseline": theirs, "p": found["p"]}
    assert found["p"] == pytest.approx(min(1.0, 2 * binom.cdf(fewer, n, 0.5)))
    said = "may be chance" if n in (13, 0, 10) and fewer != 1 else "more than chance"
    assert describe_difference(found).startswith(said)
    assert f": {ours} sample{'s' * (ours != 1)} right here only, " in describe_difference(found)
    assert ("against this network" in describe_difference(found)) == ((ours, theirs) == (1, 12))


def test_without_a_baseline_nothing_is_trained_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--epochs", "3", "--quiet", "--out", "r", "--no-baseline"]) == 0
    assert "beside it" not in capsys.readouterr().out
    assert list(results("r")["baseline"]) == ["commonest"]
    assert not Path("r/checkpoints/baseline").exists()


RUNS = {
    "single": "--epochs 4 --dropout 0.2 --normalize batch",
    "stack": "--epochs 4 --seeds 3",
    "groups": "--epochs 4 --lr 0.1,0.01 --seeds 3 --memory-limit 2M",
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("step", [1, 6, 16])
def test_a_run_interrupted_while_its_baseline_trains_goes_on_to_the_same_bytes(
    name: str, step: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "iris", *RUNS[name].split(), "--quiet"]
    assert main([*train, "--out", "whole"]) == 0
    before = 16 * len(json.loads(Path("whole/config.json").read_text()).get("stacks", [1]))
    with monkeypatch.context() as patch:
        signal_in_step(patch, before + step)
        assert main([*train, "--out", "parts"]) == 130
    said = f"interrupted in epoch {(step - 1) // 4 + 1}, after step {(step - 1) % 4 + 1} of 4 "
    assert f"{said}of the logistic regression beside it; saved is parts/checkpoints/" in capsys.readouterr().err
    assert results("parts")["ended"]["reason"] == "interrupted"
    assert main(["train", "--resume", "parts", "--quiet"]) == 0
    assert contents("parts") == contents("whole")


def test_jobs_train_the_baseline_as_well() -> None:
    train = ["train", "iris", "--epochs", "3", "--seeds", "2", "--quiet", "--out"]
    assert main([*train, "one"]) == 0
    assert main([*train, "two", "--jobs", "2"]) == 0
    assert results("one")["baseline"] == results("two")["baseline"]
    assert sorted(os.listdir("two/checkpoints")) == ["baseline", "stack-1", "stack-2"]
    assert checkpoints(Path("two"), "baseline")
    assert main([*train, "two", "--force", "--no-baseline"]) == 0
    assert not Path("two/checkpoints/baseline").exists()


def test_a_baseline_that_diverges_is_said_and_does_not_fail_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from minnet.training import Training

    harmless = Training.evaluate

    def diverging(self: Training, split: str) -> Any:
        values = harmless(self, split)
        return values if len(self.network.layers) > 1 else (np.inf, *values[1:])

    monkeypatch.setattr(Training, "evaluate", diverging)
    assert main(["train", "iris", "--epochs", "3", "--quiet", "--out", "r"]) == 0
    assert "beside it      logistic regression: it diverged in epoch 1" in capsys.readouterr().out
    assert results("r")["baseline"]["logistic_regression"] == {"diverged": "it diverged in epoch 1"}


def test_of_uneven_classes_balanced_accuracy_comes_first_and_weights_raise_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_uneven("u.csv")
    train = ["train", "u.csv", "--target", "y", "--epochs", "10", "--hidden", "8", "--quiet"]
    assert main([*train, "--out", "plain"]) == 0
    assert main([*train, "--out", "weighted", "--class-weight", "balanced"]) == 0
    capsys.readouterr()
    plain, weighted = results("plain"), results("weighted")
    assert weighted["test_balanced_accuracy"] > plain["test_balanced_accuracy"]
    assert main([*train, "--out", "again", "--class-weight", "balanced"]) == 0
    balanced, accuracy, area, *_ = capsys.readouterr().out.splitlines()
    assert balanced.startswith(f"balanced       {weighted['test_balanced_accuracy']:.4f}  (")
    assert balanced.endswith("guessing gives 0.5000)")
    assert accuracy.startswith("test accuracy  ")
    assert area.startswith(f"area under ROC {weighted['test_auc']:.4f}  ")
    assert main(["evaluate", "plain", "u.csv"]) == 0
    starts = [line[:15].rstrip() for line in capsys.readouterr().out.splitlines()[:4]]
    assert starts == ["balanced", "accuracy", "area under ROC", "loss"]
    assert main(["evaluate", "plain", "u.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"loss", "accuracy", "balanced_accuracy", "f1", "auc"} < told.keys()
    assert main([*train, "--out", "several", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "balanced accuracy" in out.splitlines()[0]
    assert results("several")["best"].keys() >= {"test_balanced_accuracy", "test_f1", "test_auc"}


def test_a_deviation_says_that_it_is_of_one_split(capsys: pytest.CaptureFixture[str]) -> None:
    """Wine gives 1.0000 ± 0.0000 on one split, and .984 ± .018 on sixteen."""
    assert main(["train", "wine", "--seeds", "3", "--epochs", "5", "--quiet"]) == 0
    said = "(± is between networks, all on one split; --folds 5 tells how much the split matters)"
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("monitor", ["balanced_accuracy", "f1"])
def test_a_run_keeps_the_best_epoch_by_what_is_monitored(monitor: str) -> None:
    write_uneven("u.csv")
    flags = ["--monitor", monitor, "--patience", "20", "--epochs", "20", "--lr", "0.3", "--quiet", "--out", "r"]
    assert main(["train", "u.csv", "--target", "y", *flags]) == 0
    header, *rows = (line.split(",") for line in Path("r/metrics.csv").read_text().splitlines())
    column = [float(row[header.index(f"validation_{monitor}")]) for row in rows]
    ended = results("r")["ended"]
    assert ended["best_epoch"] == 1 + int(np.argmax(column))
    assert f"whose validation {monitor.replace('_', ' ')} is the best ({max(column):.4f})" in ended["text"]
