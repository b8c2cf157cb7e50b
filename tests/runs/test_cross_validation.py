"""Is what a run of folds says what its single runs say, and is its model one that can be used?"""

import csv
import itertools
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import load
from minnet.cli import main
from minnet.layers import Array
from minnet.runs.build import make_dataset
from minnet.runs.config import Config
from minnet.runs.folder import OUT_OF_FOLD, RUN_FILES, STACK_FILE
from tests.conftest import contents, signal_in_step

FILE = "my.csv"
TRAIN = ["train", FILE, "--target", "y", "--epochs", "6", "--quiet"]


@pytest.fixture(autouse=True)
def in_a_folder_with_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test beside a table with missing cells, a rare word, groups and a time."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["a,b,kind,who,day,y"]
    for k in range(150):
        a, b = rng.normal(size=2)
        kind = "rare" if k == 3 else rng.choice(["p", "q", "r"])
        label = "yes" if a + b + rng.normal() > 0.5 else "no"
        lines.append(f"{'' if k % 20 == 7 else a},{b},{kind},{rng.integers(25)},{k / 2},{label}")
    Path(FILE).write_text("\n".join([*lines, ""]))


def results_of(run: str) -> dict[str, Any]:
    """Return what a run says of itself."""
    content: dict[str, Any] = json.loads(Path(run, "results.json").read_text())
    return content


def rows_of(path: str) -> list[dict[str, str]]:
    """Read a CSV."""
    return list(csv.DictReader(Path(path).read_text().splitlines()))


@pytest.mark.parametrize("more", [[], ["--group", "who"], ["--time", "day"], ["--repeats", "2"]])
def test_a_run_of_folds_says_what_its_single_runs_say(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    several = [*TRAIN, *more, "--folds", "3", "--dtype", "float64", "--patience", "3"]
    assert main([*several, "--out", "folds"]) == 0
    out = capsys.readouterr().out
    assert sorted(os.listdir("folds")) == sorted([*RUN_FILES, OUT_OF_FOLD, "checkpoints"])
    found = results_of("folds")
    each = []
    for fold in range(1, 3 * (1 + ("2" in more)) + 1):
        assert main([*several, "--fold", str(fold), "--out", f"fold-{fold}"]) == 0
        each.append(results_of(f"fold-{fold}"))
        for name in ("train_loss", "validation_loss", "test_loss", "test_accuracy"):
            assert found["each_fold"][fold - 1][name] == pytest.approx(each[-1][name], rel=1e-9)
        own = [row for row in rows_of("folds/metrics.csv") if int(row["fold"]) == fold]
        for row, single in zip(own, rows_of(f"fold-{fold}/metrics.csv"), strict=False):  # it may have stopped earlier
            for name in single.keys() - {"seconds"}:
                assert float(row[name]) == pytest.approx(float(single[name]), rel=1e-9, abs=1e-12), name
        assert {"validation_balanced_accuracy", "validation_f1"} < row.keys()
        which = found["each_fold"][fold - 1]
        assert (which["repeat"], which["fold"]) == ((fold + 2) // 3, (fold - 1) % 3 + 1)
    accuracies = np.array([single["test_accuracy"] for single in each])
    assert found["test_accuracy"] == pytest.approx(accuracies.mean())
    assert found["test_accuracy_deviation"] == pytest.approx(accuracies.std())
    assert f"test accuracy  {accuracies.mean():.4f} ± {accuracies.std():.4f}  (3" in out
    assert "folds: mean ± standard deviation; always 'no' gives 0." in out
    rows = rows_of(f"folds/{OUT_OF_FOLD}")
    for fold, single in enumerate(each):
        own = [row for row in rows if (int(row["repeat"]), int(row["fold"])) == (fold // 3 + 1, fold % 3 + 1)]
        right = np.mean([row["class"] == row["predicted"] for row in own])
        assert right == pytest.approx(single["test_accuracy"])


def test_a_column_of_which_one_fold_learned_nothing_is_read_for_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Path(FILE).read_text().splitlines()
    once = [f"{'odd' if k == 4 else 'even'},{line}" for k, line in enumerate(lines[1:])]
    Path("once.csv").write_text("\n".join([f"once,{lines[0]}", *once, ""]))
    train = ["train", "once.csv", "--target", "y", "--epochs", "2", "--quiet", "--folds", "3"]
    for seed in ("0", "1", "2"):
        assert main([*train, "--seed", seed, "--out", seed]) == 0
        known = [{name for name, _ in each.kinds} for each in load(seed).preprocessing]  # type: ignore[union-attr]
        assert sorted("once" in each for each in known) == [False, True, True]
        capsys.readouterr()
        assert main(["predict", seed, "once.csv"]) == 0
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 151
        assert "once" not in err
        assert main(["evaluate", seed, "once.csv"]) == 0


def test_every_row_is_predicted_by_a_fold_that_did_not_learn_it() -> None:
    assert main([*TRAIN, "--folds", "4", "--repeats", "2", "--seeds", "2", "--out", "r"]) == 0
    rows, labels = rows_of(f"r/{OUT_OF_FOLD}"), [row["y"] for row in rows_of(FILE)]
    assert [(row["repeat"], row["row"]) for row in rows] == [(k, str(n)) for k in "12" for n in range(1, 151)]
    assert [row["class"] for row in rows] == 2 * labels
    y = np.array([[float(row[name]) for name in ("no", "yes")] for row in rows])
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    assert [row["predicted"] for row in rows] == [("no", "yes")[k] for k in y.argmax(axis=1)]
    by_class = {each["class"]: each["samples"] for each in results_of("r")["classes"]}
    assert by_class == {name: 2 * labels.count(name) for name in ("no", "yes")}
    metrics = rows_of("r/metrics.csv")[:16]
    assert [(row["network"], row["fold"], row["seed"]) for row in metrics] == [
        (str(s), str(s // 2 + 1), str(s % 2)) for s in range(16)
    ]


def predicted(run: str, capsys: pytest.CaptureFixture[str]) -> Array:
    """Return the probabilities that a run's model gives for the table."""
    capsys.readouterr()
    assert main(["predict", run, FILE, "--proba", "--out", "y.csv"]) == 0
    return np.array([[float(row[name]) for name in ("no", "yes")] for row in rows_of("y.csv")])


def test_the_model_is_the_mean_of_the_folds(capsys: pytest.CaptureFixture[str]) -> None:
    folds = [*TRAIN, "--folds", "3", "--dtype", "float64"]
    assert main([*folds, "--out", "folds"]) == 0
    assert "the mean of 3 networks; --refit trains one on all rows instead" in capsys.readouterr().out
    each = []
    for fold in "123":
        assert main([*folds, "--fold", fold, "--out", fold]) == 0
        each.append(predicted(fold, capsys))
    np.testing.assert_allclose(predicted("folds", capsys), np.mean(each, axis=0), rtol=1e-9)
    widths = {load(fold).network.D for fold in "123"}
    assert len(widths) == 2  # one of the folds has no row of a word to learn from
    assert max(widths) == load("folds").network.D


def test_refit_trains_on_all_rows_for_the_mean_epoch_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--folds", "3", "--refit", "--patience", "2", "--out", "r"]) == 0
    epochs = results_of("r")["refit"]["epochs"]
    assert f"model          trained on all rows, for {epochs} epochs" in capsys.readouterr().out
    last = {row["network"]: row for row in rows_of("r/metrics.csv")}
    assert epochs == round(np.mean([float(row["kept"]) for row in last.values()]))
    assert load("r").network.theta.ndim == 1
    assert load(Path("r", STACK_FILE)).network.theta.shape[0] == 3
    assert main(["show", "r"]) == 0
    assert main(["evaluate", "r", FILE]) == 0


def test_settings_are_ranked_over_folds_and_the_best_ones_folds_are_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*TRAIN, "--folds", "3", "--lr", "0.00001,1e30,0.02", "--out", "r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["0.02", "1e-05", "1e+30"]
    assert lines[3].split()[-3:] == ["3", "of", "3"]
    assert "diverged       3 of 9 networks, which are left out" in lines
    found = results_of("r")
    assert [entry["lr"] for entry in found["ranking"]] == [0.02, 1e-05, 1e30]
    assert found["ranking"][0]["test_loss"] == found["test_loss"]
    assert found["ranking"][2]["test_loss"] is None
    assert load("r").network.theta.shape[0] == 3


@pytest.mark.parametrize("more", [[], ["--group", "who"], ["--time", "day"], ["--repeats", "2", "--lr", "0.01,0.1"]])
def test_folds_stand_beside_logistic_regressions_of_the_same_folds(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folds = [*TRAIN, *more[:2], "--folds", "3", "--seeds", "2"]
    assert main([*folds, *more[2:], "--out", "r"]) == 0
    out = capsys.readouterr().out
    results = results_of("r")
    found, best = results["baseline"], results.get("ranking", [{"lr": 0.05}])[0]["lr"]
    one = [*folds, "--seeds", "1", "--lr", str(best), "--no-baseline"]
    assert main([*one, "--out", "first"]) == 0
    assert main([*one[:-1], "--hidden", "none", "--out", "linear"]) == 0
    linear = results_of("linear")
    for name in ("test_accuracy", "test_loss", "test_balanced_accuracy"):
        assert found["logistic_regression"][name] == pytest.approx(linear[name], rel=1e-5)
    text = f"{linear['test_accuracy']:.4f} ± {linear['test_accuracy_deviation']:.4f}"
    assert f"beside it      logistic regression {text}" in out
    ours, theirs = (
        {
            row["row"]: row["class"] == row["predicted"]
            for row in rows_of(f"{run}/{OUT_OF_FOLD}")
            if row["repeat"] == "1"
        }
        for run in ("first", "linear")
    )
    assert found["mcnemar"]["only_network"] == sum(right and not theirs[row] for row, right in ours.items())
    assert found["mcnemar"]["only_baseline"] == sum(theirs[row] and not right for row, right in ours.items())
    assert main([*folds, "--no-baseline", "--out", "alone"]) == 0
    assert [*results_of("alone")["baseline"]] == ["commonest"]


def test_a_fold_that_tests_one_class_has_no_roc_curve_and_all_others_have(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal()},{k % 5},{'no' if k % 5 < 2 or k % 2 else 'yes'}\n" for k in range(100)]
    Path(FILE).write_text("a,who,y\n" + "".join(lines))  # in two of five groups all say no
    assert main([*TRAIN, "--folds", "5", "--group", "who", "--out", "r"]) == 0
    assert "nan" not in capsys.readouterr().out
    found = results_of("r")
    assert "NaN" not in Path("r/results.json").read_text()
    areas = [fold["test_auc"] for fold in found["each_fold"] if "test_auc" in fold]
    assert len(areas) == 3
    assert found["test_auc"] == pytest.approx(np.mean(areas))


def test_tune_ranks_by_all_folds(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["my.csv", "--target", "y", "--folds", "3", "--epochs", "3", "--hidden", "8", "--quiet"]
    assert main(["tune", *settings, "--group", "who", "--seeds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "--folds=3" in found["command"]
    (setting,) = [each for each in found["ranking"] if (each["lr"], each["momentum"]) == (0.05, 0.9)
                  and (each["hidden"], each["weight_decay"], each["dropout"]) == ([8], 0.0005, 0)]  # fmt: skip
    capsys.readouterr()
    assert main(["train", *settings, "--group", "who", "--seeds", "2", "--out", "r"]) == 0
    assert setting["loss"] == pytest.approx(results_of("r")["validation_loss"], rel=1e-5)


FOLDS = [*TRAIN, "--folds", "3", "--seeds", "2", "--normalize", "batch", "--dropout", "0.1", "--refit"]


@pytest.mark.parametrize(("step", "more"), [(3, []), (40, []), (20, ["--group", "who"]), (75, ["--group", "who"])])
def test_a_run_of_folds_that_goes_on_leaves_the_same_files(
    step: int, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*FOLDS, *more, "--out", "whole"]) == 0
    with monkeypatch.context() as context:
        signal_in_step(context, step, signal.SIGTERM)
        assert main([*FOLDS, *more, "--out", "r"]) == 130
    assert results_of("r")["ended"]["reason"] == "interrupted"
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert contents("r") == contents("whole")
    assert main([*TRAIN, "--out", "r", "--force"]) == 0
    assert sorted(os.listdir("r")) == sorted([*RUN_FILES, "checkpoints"])


def test_folds_in_groups_and_jobs_leave_what_one_stack_leaves() -> None:
    assert main([*FOLDS, "--out", "whole"]) == 0
    assert main([*FOLDS, "--memory-limit", "3M", "--out", "parts"]) == 0
    assert main([*FOLDS, "--jobs", "2", "--out", "jobs"]) == 0
    whole = contents("whole")
    for name in ("parts", "jobs"):
        assert len(json.loads(Path(name, "config.json").read_text())["stacks"]) > 1
        found = contents(name)
        for file in ("metrics.csv", OUT_OF_FOLD, "report.txt"):
            assert found[file] == whole[file]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--folds", "4", "--fold", "5"], "--fold, of 4 folds × 1: expected an integer from 1 to 4, got 5"),
        (["--folds", "4", "--test", FILE], "--folds tests each row once, and --test FILE is for one split"),
        (["--folds", "4", "--fold", "1", "--refit"], "--refit goes with all folds, without --fold"),
        (["--fold", "1"], "--fold goes with --folds"),
        (["--folds", "4", "--time", "day", "--group", "who"], "--group and --time: a split is by one of them"),
        (["--folds", "4", "--time", "day", "--repeats", "2"], "--repeats: folds by --time are the same each time"),
        (["--folds", "100"], "rows: expected at least 100, so that each of 100 folds"),
        (["--folds", "30", "--group", "who"], "--group: expected at least 30 different values, for 30 folds, got 25"),
    ],
)
def test_folds_that_cannot_be_are_refused_in_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*TRAIN, *flags])
    except SystemExit as left:
        code = int(str(left.code))
    out, err = capsys.readouterr()
    assert code != 0
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err
    assert os.listdir() == [FILE]


def change(rows: Array) -> None:
    """Write other cells into some rows of the table: numbers, missing ones, words of which one was nowhere before."""
    lines, rng = Path(FILE).read_text().splitlines(), np.random.default_rng(1)
    for row in rows:
        _, _, _, *rest = lines[row + 1].split(",")
        cells = [rng.choice(["", "77"]), f"{rng.normal() * 9}", rng.choice(["p", "new"])]
        lines[row + 1] = ",".join([*cells, *rest])
    Path(FILE).write_text("\n".join([*lines, ""]))


def learned(preprocessing: Any) -> tuple[object, ...]:
    """Give all that a preprocessing holds, as bytes."""
    arrays = preprocessing.standardization
    return json.dumps(preprocessing.to_json()), arrays.mean.tobytes(), arrays.scale.tobytes()


@pytest.mark.parametrize("more", [{}, {"group": "who"}, {"time": "day"}, {"folds": 3, "fold": 2}])
def test_nothing_is_learned_of_a_file_from_rows_that_are_not_trained_on(more: dict[str, Any]) -> None:
    train = [*TRAIN, *(text for name, value in more.items() for text in (f"--{name}", str(value)))]
    rows = make_dataset(Config(dataset=FILE, target="y", **more)).rows
    assert main([*train, "--out", "before"]) == 0
    change(rows["test"])
    assert main([*train, "--out", "test"]) == 0  # the model is the same to the last byte
    assert Path("test/model.safetensors").read_bytes() == Path("before/model.safetensors").read_bytes()
    change(rows["validation"])
    assert main([*train, "--out", "validation"]) == 0
    assert learned(load("validation").preprocessing) == learned(load("before").preprocessing)
    change(rows["train"][:9])
    assert main([*train, "--out", "train"]) == 0
    assert learned(load("train").preprocessing) != learned(load("before").preprocessing)  # so the test can fail


@pytest.mark.parametrize("order", [[], ["--group", "who"]])
def test_no_fold_learns_from_the_rows_that_it_tests(order: list[str]) -> None:
    train = [*TRAIN, *order, "--folds", "3"]
    assert main([*train, "--out", "before"]) == 0
    one = rows_of(f"before/{OUT_OF_FOLD}")
    change(np.array([int(row["row"]) - 1 for row in one if row["fold"] == "1"]))
    assert main([*train, "--out", "after"]) == 0
    before, after = load("before"), load("after")
    same = [learned(a) == learned(b) for a, b in zip(before.preprocessing, after.preprocessing, strict=True)]  # type: ignore[arg-type]
    assert same == [True, False, False]


@pytest.mark.parametrize(("name", "flag"), [("who", "--group"), ("day", "--time")])
def test_groups_and_times_of_a_file_are_kept_apart(name: str, flag: str) -> None:
    assert main([*TRAIN, flag, name, "--folds", "3", "--out", "r"]) == 0
    column, tested = [row[name] for row in rows_of(FILE)], rows_of(f"r/{OUT_OF_FOLD}")
    in_fold = {fold: {column[int(row["row"]) - 1] for row in tested if row["fold"] == fold} for fold in "123"}
    for one, other in itertools.combinations(in_fold.values(), 2):
        assert not one & other
    order: dict[str, Any] = {flag[2:]: name}
    config = Config(dataset=FILE, target="y", folds=3, **order)
    splits = [make_dataset(config).rows, *(make_dataset(replace(config, fold=fold)).rows for fold in (1, 2, 3))]
    for rows in splits:
        said = [{column[row] for row in part} for part in rows.values()]
        for earlier, later in itertools.combinations(said, 2):
            assert not earlier & later
            assert flag == "--group" or max(map(float, earlier)) < min(map(float, later))
    assert [in_fold[fold] for fold in "123"] == [{column[row] for row in rows["test"]} for rows in splits[1:]]
