"""Does a run get a folder of its own, and is everything in it that should be?"""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Linear, Network, ReLU, load, load_dataset, train
from minnet.data.named import load_raw
from minnet.history import History
from minnet.runs.calibration import Calibration
from minnet.runs.folder import (
    RUN_FILES,
    Summary,
    check_unfinished,
    locked,
    new_run,
    read_config,
    read_metrics,
    remove_leftovers,
    write_run,
)
from minnet.runs.reading import compare, curve, read_run, show

CONFIG: dict[str, Any] = {"dataset": "iris"}
RESULTS: dict[str, Any] = {"seed": 1, "ended": {"reason": "epochs"}, "test_loss": 0.5}
COLUMNS = ",".join(History().by_epoch())


def finished(out: Any, name: str, config: dict[str, Any], force: bool = False) -> Path:
    """Take a folder for a run that comes to its end."""
    with new_run(out, name, config, force) as folder:
        (folder / "results.json").write_text('{"ended": {"reason": "epochs"}}')
    return folder


@pytest.mark.parametrize("seed", [1, (1, 2)])
def test_a_run_folder_holds_it_all(seed: Any, tmp_path: Path) -> None:
    dataset = load_dataset("iris", seed=1)
    network = Network([Linear(4, 8), ReLU(), Linear(8, 3)], seed=seed)
    history = train(network, SGD(0.05, 0.9), dataset, 3, 32)
    folder = finished(tmp_path / "r", "iris", CONFIG)
    best = None if seed == 1 else 1
    calibration = Calibration.of(network if best is None else network[best], dataset, 1.5)
    temperature = 1.5 if best is None else np.array([1, 1.5])
    summary = Summary(RESULTS, report="report", best=best, temperature=temperature, calibration=calibration)
    write_run(folder, history, summary, network, dataset)
    assert load(folder).temperature == 1.5
    assert sorted(os.listdir(folder)) == sorted([*RUN_FILES, *([] if seed == 1 else ["stack.safetensors"])])
    assert json.loads((folder / "config.json").read_text()) == CONFIG
    assert json.loads((folder / "results.json").read_text()) == RESULTS
    assert (folder / "report.txt").read_text() == "report"
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    names = ["network", "seed"] if best else []
    assert list(rows[0]) == [
        *names, "epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy",
        "validation_balanced_accuracy", "validation_f1", "penalty", "gradient_norm", "lr", "kept", "seconds",
    ]  # fmt: skip
    for name, column in read_metrics(folder).items():
        expected = np.array(history.by_epoch()[name])
        if column.ndim > expected.ndim:
            expected = expected[:, np.newaxis]
        np.testing.assert_array_equal(column, np.broadcast_to(expected, column.shape))
    model, raw = load(folder), load_raw("iris")
    alone = network if best is None else network[best]
    np.testing.assert_array_equal(model.predict(raw.x), alone.predict(dataset.standardization(raw.x)))
    assert model.class_names == ("setosa", "versicolor", "virginica")


@pytest.mark.parametrize("name", ["plot_history", "plot_stack", "plot_confusion", "save_picture"])
@pytest.mark.parametrize("seed", [1, (1, 2)])
def test_a_picture_that_fails_does_not_cost_the_results(
    name: str, seed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no\nscale")

    dataset = load_dataset("iris", seed=1)
    network = Network([Linear(4, 3)], seed=seed)
    history = train(network, SGD(0.05), dataset, 2)
    monkeypatch.setattr(f"minnet.plots.{name}", fail)
    write_run(tmp_path, history, Summary(RESULTS, report="report", best=None if seed == 1 else 1), network, dataset)
    assert json.loads((tmp_path / "results.json").read_text()) == RESULTS
    assert {"model.safetensors", "metrics.csv", "report.txt"} < set(os.listdir(tmp_path))
    drawn = name == ("plot_stack" if seed == 1 else "plot_history")  # which is not asked for
    said = f"minnet: a picture of {tmp_path} cannot be drawn (ZeroDivisionError: no scale); all else is there\n"
    assert capsys.readouterr().err == ("" if drawn else said)


@pytest.mark.parametrize(
    "content",
    [
        "", "epoch\n", "a,b\n1,2\n", "epoch,train_loss\nx,1\n", 'epoch\n"', "epoch\n9e99\n", "\0",
        *(f"{COLUMNS}\n{epoch},1,1,1,1,1,1,1,1,1\n2,1,1,1,1,1,1,1,1,1\n" for epoch in ("inf", "nan", "2", "x" * 5000)),
        f"{COLUMNS}\n-1,1,1,1,1,1,1,1,1,1\n",
        *(f"{COLUMNS}\n1,1,1,1,1,1,1,1,{kept},1\n" for kept in (-1, 2, "nan")),
    ],
)  # fmt: skip
def test_metrics_that_are_none_are_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.csv"):
        read_metrics(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.csv").write_text(content)
    for read in (read_metrics, show):
        with pytest.raises(ValueError, match=r"metrics\.csv: not metrics as minnet writes them") as caught:
            read(tmp_path)
        assert len(str(caught.value)) < 500


def test_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        folder = finished(None, "openml:a b", CONFIG)
        assert folder == Path(f"runs/openml-a-b-{n}")
        assert json.loads((folder / "config.json").read_text()) == CONFIG
    assert sorted(os.listdir("runs")) == ["openml-a-b-1", "openml-a-b-2"]
    assert folder.stat().st_mode & 0o777 == Path("runs").stat().st_mode & 0o777


@pytest.mark.parametrize("out", [None, "deep/er/run", "there"])
def test_a_run_that_never_began_leaves_nothing(
    out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    with pytest.raises(KeyboardInterrupt), new_run(out, "a", CONFIG) as folder:  # noqa: PT012
        assert json.loads((folder / "config.json").read_text()) == CONFIG
        (folder / "tensorboard").mkdir()
        raise KeyboardInterrupt
    assert os.listdir() == ["there"]
    assert not os.listdir("there")


def test_a_run_of_which_something_was_saved_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_run(tmp_path / "r", "a", CONFIG) as folder:  # noqa: PT012
        (folder / "checkpoints" / "stack-2").mkdir(parents=True)
        (folder / "checkpoints" / "stack-2" / "step-1.safetensors").touch()
        raise KeyboardInterrupt
    assert sorted(os.listdir(tmp_path / "r")) == ["checkpoints", "config.json"]


def test_a_run_is_replaced_only_by_force_and_other_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    finished(out, "a", {"run": 1})
    for name in ("checkpoints/step-1.safetensors", "checkpoints/.step-2.1234.part", "checkpoints/best.pt"):
        (out / name).touch()
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events.out.tfevents.1").touch()
    with pytest.raises(FileExistsError, match=r"already holds a run: .* --force"):
        finished(out, "a", {"run": 2})
    assert json.loads((out / "config.json").read_text()) == {"run": 1}
    with new_run(out, "a", {"run": 3}, force=True):
        assert json.loads((out / "config.json").read_text()) == {"run": 3}
        assert sorted(os.listdir(out)) == ["checkpoints", "config.json", "notes.txt"]
    assert os.listdir(out / "checkpoints") == ["best.pt"]  # which is not ours


@pytest.mark.parametrize("name", ["report.txt", "checkpoints/step-1.safetensors"])
def test_what_is_left_of_something_else_is_not_taken_for_a_run(name: str, tmp_path: Path) -> None:
    """Checkpoints of another run would be taken for this one's."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / name).write_text("of something else")
    for force in (False, True):
        with pytest.raises(FileExistsError, match=f"{name} is there, though no run"):
            finished(tmp_path, "a", CONFIG, force)
    assert (tmp_path / name).read_text() == "of something else"


def test_a_folder_that_cannot_be_made_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    os.symlink("nowhere", "link")
    for out, said in (
        ("file", "file: File exists"),
        ("file/run", "file/run: Not a directory"),
        ("link", "link: File exists"),
        ("x" * 300, "x: File name too long"),
    ):
        with pytest.raises(OSError, match=f"^cannot write a run to .*{said}$"):
            finished(out, "a", CONFIG)
    assert sorted(os.listdir()) == ["file", "link"]


@pytest.mark.parametrize("runs", ["file", "link"])
def test_what_is_named_runs_and_is_no_folder_is_not_replaced(
    runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if runs == "file":
        Path("runs").touch()
    else:
        os.symlink("nowhere", "runs")
    with pytest.raises(OSError, match=r"^cannot write a run to runs/a-1: (Not a directory|File exists)$"):
        finished(None, "a", CONFIG)
    assert os.listdir() == ["runs"]


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run" / "metrics.csv").mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"run/metrics\.csv is there, though no run"):
        finished(tmp_path / "run", "a", CONFIG, force=True)


@pytest.mark.parametrize("folder", ["there", "new"])
def test_two_runs_into_one_folder_do_not_mix(folder: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    out = tmp_path / folder
    with new_run(out, "a", {"run": 1}):
        for force in (False, True):
            with pytest.raises(BlockingIOError, match="is in use: another process is training there"):
                finished(out, "a", {"run": 2}, force)
        assert json.loads((out / "config.json").read_text()) == {"run": 1}
        assert os.listdir(out) == ["config.json"]


def test_a_name_that_is_taken_meanwhile_gives_way_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mkdir = os.mkdir

    def taken(path: Any, *arguments: Any) -> None:
        mkdir(path, *arguments)
        if Path(path).name == "a-1":  # by another process, in this moment
            raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "mkdir", taken)
    assert finished(None, "a", CONFIG) == Path("runs/a-2")
    assert sorted(os.listdir("runs")) == ["a-1", "a-2"]
    assert not os.listdir("runs/a-1")

    def fails(path: Any, *arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "mkdir", fails)
    with pytest.raises(OSError, match="cannot write a run to runs/b-1: No space left on device"):
        finished(None, "b", CONFIG)


def test_a_run_is_locked_for_others_and_not_where_nothing_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(tmp_path / "r", "a", CONFIG)
    with locked(folder), pytest.raises(BlockingIOError, match="r is in use: another process"), locked(folder):
        pass
    with locked(folder):
        pass

    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with locked(folder), locked(folder):
        pass


def test_a_run_that_is_over_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no run in this folder \(no config.json\)"):
        read_config(tmp_path)
    folder = finished(tmp_path / "r", "a", CONFIG)
    (folder / ".x.1234.part").touch()
    (folder / "results.json").write_text('{"ended": {"reason": "interrupted", "text": "stopped"}}')
    check_unfinished(folder)
    remove_leftovers(folder)
    assert sorted(os.listdir(folder)) == ["config.json", "results.json"]
    for results, said in (
        ("{}", "it has results"),
        ('{"ended": []}', "it has results"),
        ('{"ended": {"reason": "epochs", "text": "all done"}}', "all done"),
    ):
        (folder / "results.json").write_text(results)
        with pytest.raises(ValueError, match=f"is over \\({said}\\): there is nothing to resume"):
            check_unfinished(folder)
    for broken in ("", "[1]", "{", "[" * 100_000):
        (folder / "config.json").write_text(broken)
        with pytest.raises(ValueError, match=r"config\.json: not a JSON file"):
            read_config(folder)


@pytest.mark.parametrize("digits", ["9" * 400, "-" + "9" * 5000])
def test_an_integer_that_no_float_can_hold_is_infinite(digits: str, tmp_path: Path) -> None:
    """So that whatever shows it can make a float of it."""
    (tmp_path / "config.json").write_text(f'{{"lr": {digits}}}')
    assert read_config(tmp_path) == {"lr": float(digits)}
    assert math.isinf(float(digits))


@pytest.mark.parametrize("value", ["[" * 200 + "]" * 200, "[" * 985 + "]" * 985])
def test_json_that_could_not_be_shown_is_refused(value: str, tmp_path: Path) -> None:
    """It can be read, but walking through it fails."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "results.json").write_text(f'{{"test_loss": {value}}}')
    with pytest.raises(ValueError, match=r"results\.json: not a JSON file as minnet writes them"):
        show(tmp_path)
    (tmp_path / "config.json").write_text(f'{{"a": {{"b": {value}}}}}')
    with pytest.raises(ValueError, match=r"config\.json: not a JSON file as minnet writes them"):
        compare([read_run(tmp_path)])


def test_a_curve_reaches_as_far_as_floats_do() -> None:
    for losses in ([1.7976931348623157e308], [1.7976931348623157e308, 5e-324]):
        epochs = list(range(1, len(losses) + 1))
        lines = curve(History(epochs, losses, [0.0] * len(losses))).splitlines()
        assert lines[1].startswith("  1e+308 ┤●")
        assert lines[-3][11] in "○◉"  # a loss of 0 is drawn at the bottom
