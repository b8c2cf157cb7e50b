"""Does a run from the command line go on as if nothing had happened, whatever happens, and can runs be looked at?"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import plots
from minnet.cli import main
from minnet.runs import job
from minnet.runs.checkpoints import checkpoints, read_history, save_checkpoint
from minnet.training import Training
from tests.conftest import contents, read_until, signal_in_step, wait_until

MINNET = [sys.executable, "-m", "minnet"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test where runs/ may be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNS = {
    "SGD": "iris --epochs 8",
    "Adam": "iris --epochs 8 --optimizer adam --dropout 0.3 --normalize batch --schedule cosine --warmup 2",
    "plateau": "iris --epochs 40 --lr 0.3 --patience 4 --schedule plateau --lr-patience 2 --monitor accuracy",
    "stack of 8": "iris --epochs 8 --seeds 8 --dropout 0.2 --normalize batch --patience 3 --schedule step --lr-every 2",
    "several rates in groups": "iris --epochs 4 --lr 0.1,0.01 --seeds 3 --memory-limit 2M --optimizer adam",
    "zeros": "iris --epochs 8 --momentum 0 --hidden none --schedule plateau --lr-gamma 1 --seed 0",
    "all the rest": "iris --epochs 8 --normalize layer --activation leaky_relu --label-smoothing 0.1 --clip-norm 0.5 "
    "--class-weight balanced --nesterov --weight-decay 0.01 --batch-size 16 --dtype float64 --seed 5",
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("step", [1, 4, 10, 17])
def test_a_resumed_run_is_byte_for_byte_one_that_was_never_interrupted(
    name: str, step: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", *RUNS[name].split(), "--quiet"]
    assert main([*train, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        signal_in_step(patch, step)
        assert main([*train, "--out", "parts"]) == 130
    assert "go on with: minnet train --resume parts" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        signal_in_step(patch, 3)  # once more
        assert main(["train", "--resume", "parts", "--quiet"]) == 130
    assert main(["train", "--resume", "parts", "--quiet"]) == 0
    whole, parts = contents("whole"), contents("parts")
    assert whole.keys() == parts.keys()
    for file in whole:
        assert whole[file] == parts[file], file


def test_a_run_whose_last_step_is_over_is_not_disturbed_by_damaged_checkpoints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        signal_in_step(patch, 6)
        assert main(["train", "iris", "--epochs", "3", "--quiet", "--out", "r"]) == 130
    before = sorted(os.listdir("r"))
    for path in checkpoints(Path("r")):
        path.write_bytes(b"damaged")
    assert main(["train", "--resume", "r", "--quiet"]) == 1
    assert sorted(os.listdir("r")) == before
    assert "results.json" in before


def test_a_test_file_that_was_moved_may_be_named_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Path(__file__).parents[2] / "data" / "iris.csv"
    for name in ("my.csv", "te.csv"):
        shutil.copy(example, name)
    train = ["train", "my.csv", "--target", "species", "--test", "te.csv", "--epochs", "5", "--quiet"]
    assert main([*train, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        signal_in_step(patch, 6)
        assert main([*train, "--out", "a b"]) == 130
    assert "go on with: minnet train --resume 'a b'" in capsys.readouterr().err
    os.rename("te.csv", "elsewhere.csv")
    assert main(["train", "--resume", "a b", "--quiet"]) == 1
    said = "te.csv: there is no such file; if it was moved: minnet train NEW_NAME --resume 'a b' (and --test NEW_NAME)"
    assert said in capsys.readouterr().err
    assert main(["train", "--resume", "a b", "--quiet", "--test", "elsewhere.csv"]) == 0
    assert contents("a b") == contents("whole")


def test_checkpoints_take_no_more_than_their_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = []

    def slow(folder: Path, training: Training, group: str = "") -> Path:
        epochs.append(len(training.history.epoch))
        time.sleep(0.2)
        return save_checkpoint(folder, training, group)

    monkeypatch.setattr("minnet.runs.job.save_checkpoint", slow)
    assert main(["train", "iris", "--epochs", "100", "--patience", "none", "--quiet", "--out", "r"]) == 0
    assert (epochs[0], epochs[-1]) == (1, 100)
    assert len(epochs) < 40
    assert len(checkpoints(Path("r"), "")) == len(checkpoints(Path("r"), "baseline")) == 2


@pytest.mark.parametrize(
    "flags", [[], ["--seeds", "4", "--lr", "0.1,0.01", "--memory-limit", "2M"]], ids=["single", "groups"]
)
def test_a_run_whose_folder_was_removed_ends_with_an_error_and_leaves_nothing(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def then_vanish(folder: Path, training: Training, group: str = "") -> Path:
        path = save_checkpoint(folder, training, group)
        if len(training.history.epoch) == 3:
            shutil.rmtree(folder)
        return path

    monkeypatch.setattr("minnet.runs.job.save_checkpoint", then_vanish)
    assert main(["train", "iris", "--epochs", "5", "--quiet", "--checkpoint-every", "1", *flags]) == 1
    said = "minnet: error: the run in runs/iris-1 cannot go on: No such file or directory; nothing was saved\n"
    assert capsys.readouterr().err == said
    assert not Path("runs/iris-1").exists()


def test_flags_that_were_typed_are_not_ignored_though_they_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--epochs", "3", "--quiet", "--out", "r"]) == 0
    os.remove("r/results.json")
    with pytest.raises(SystemExit):
        main(["train", "--resume", "r", "--epochs", "50"])
    assert "the settings of the run, epochs 3: leave out --epochs" in capsys.readouterr().err
    assert main(["train", "iris", "--resume", "r", "--epochs", "3", "--quiet", "--json"]) == 0


def test_a_run_replaced_by_force_stays_until_the_new_one_can_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "iris", "--epochs", "1", "--quiet", "--out", "r"]) == 0
    before = contents("r")
    for module in [name for name in sys.modules if name.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["train", "iris", "--epochs", "1", "--quiet", "--out", "r", "--force", "--tensorboard"]) == 1
    assert contents("r") == before


def test_a_run_goes_on_from_another_folder_with_its_file_named_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Path(__file__).parents[2] / "data" / "iris.csv"
    shutil.copy(example, "my.csv")
    train = ["train", "my.csv", "--target", "species", "--ignore", "sepal_width", "--epochs", "5", "--quiet"]
    assert main([*train, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        signal_in_step(patch, 9)
        assert main([*train, "--out", "parts"]) == 130
    shutil.copytree("parts", "elsewhere/copied")
    monkeypatch.chdir("elsewhere")
    capsys.readouterr()
    assert main(["train", "--resume", "copied", "--quiet"]) == 1
    assert "my.csv" in capsys.readouterr().err
    assert main(["train", "../my.csv", "--resume", "copied", "--quiet"]) == 0
    monkeypatch.chdir("..")
    assert contents("elsewhere/copied") == contents("whole")
    with Path("my.csv").open("a") as file:
        file.write("1,2,3,4,setosa\n")
    assert main(["train", "--resume", "parts", "--quiet"]) == 1
    assert "parts was trained on other data than 'my' now holds" in capsys.readouterr().err
    assert checkpoints(Path("parts"))


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--resume", "nowhere"], 1, "nowhere: there is no run in this folder"),
        (["--resume", "r", "--epochs", "9"], 2, "--resume takes the settings of the run, epochs 1: leave out --epochs"),
        (["--resume", "r", "--out", "s"], 2, "leave out --out"),
        (["--resume", "r", "--lr", "0.1"], 2, "leave out --lr"),
        (["--resume", "r"], 1, "r is over (all 1 epochs done): there is nothing to resume"),
        (["--resume", "broken"], 1, "config.json: not a JSON file"),
        (["--resume", "hostile"], 1, "config.json: not the configuration of a run that can go on"),
        (["--resume", "endless"], 1, "endless/config.json: epochs: expected an integer of at least 1, got 'many'"),
    ],
)
def test_what_cannot_go_on_says_why(
    flags: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "iris", "--epochs", "1", "--quiet", "--out", "r"]) == 0
    for name, content in (
        ("broken", "{"),
        ("hostile", '{"dataset": "iris", "epochs": 2, "lr": "many"}'),
        ("endless", '{"dataset": "iris", "epochs": "many"}'),
    ):
        os.mkdir(name)
        Path(name, "config.json").write_text(content)
    capsys.readouterr()
    try:
        left = main(["train", *flags, "--quiet"])
    except SystemExit as exit_:
        left = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert (left, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [{"hidden": "x"}, {"lr": [[1]]}, {"dataset": "../../etc/passwd"}, {"seed": -1}, {"dropout": 2}, {"dataset": None},
     {"epochs": {}}, {"hidden": [10**30]}, {"optimizer": "rm -rf"}, {"dataset": "--force"}],
)  # fmt: skip
def test_a_configuration_that_was_tampered_with_is_one_line(
    change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "iris", "--epochs", "1", "--quiet", "--out", "r"]) == 0
    config = json.loads(Path("r/config.json").read_text())
    Path("r/config.json").write_text(json.dumps(config | change))
    os.remove("r/results.json")
    capsys.readouterr()
    assert main(["train", "--resume", "r", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("minnet: error: ")
    assert len(err.splitlines()) == 1


GRIDS: dict[str, tuple[Any, Any, str]] = {
    "a product that is huge": ({name: [0.1] * 1000 for name in ("lr", "momentum", "weight_decay")}, [10**9],
     "networks of a grid: expected an integer from 1 to 100000, got 1000000000"),
    "a billion seeds": ({"seed": 10**9}, [10**9], "object of type 'int' has no len()"),
    "no value": ({"lr": []}, [0], "stacks: expected an integer of at least 1, got 0"),
    "no value and no stack": ({"lr": []}, [], "networks of a grid: expected an integer from 1 to 100000, got 0"),
    "what a stack cannot vary": ({"hidden": [[2], [3]]}, [2],
     "grid: expected one of lr, momentum, weight_decay, fold, seed"),
    "folds of none": ({"fold": [1, 2]}, [2], "--fold goes with --folds"),
    "stacks of more": ({"seed": [0, 1]}, [2, 1], "stacks: expected as many networks as the grid has, 2, got 3"),
    "a stack below 0": ({"seed": [0, 1]}, [3, -1], "stacks: expected an integer of at least 1, got -1"),
    "half a stack": ({"seed": [0, 1]}, [1.5, 0.5], "stacks: expected an integer of at least 1, got 1.5"),
    "stacks that are a number": ({"seed": [0, 1]}, 2, "stacks: expected several with commas between them, got 2"),
    "no stacks": ({"seed": [0, 1]}, None, "stacks: expected several with commas between them, got None"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_that_was_tampered_with_is_refused_before_it_takes_time_or_memory(name: str) -> None:
    grid, stacks, message = GRIDS[name]
    Path("config.json").write_text(json.dumps({"dataset": "iris", "grid": grid, "stacks": stacks}))
    with pytest.raises(ValueError, match=r"^config\.json: ") as refused:
        job.Job.of_run(Path(), job.Options(), {})
    assert message in str(refused.value)


def test_a_stack_that_was_made_where_more_memory_was_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    signal_in_step(monkeypatch, 3)
    assert main(["train", "iris", "--seeds", "60", "--quiet", "--out", "r"]) == 130
    before = contents("r")
    monkeypatch.setattr(job, "free_memory", lambda: 1e7)
    with pytest.raises(ValueError, match=r"^r trains 60 networks at a time, but there is memory free for \d\d$"):
        job.resume(Path("r"), job.Options(quiet=True), {})
    assert contents("r") == before


def test_a_full_disk_says_what_is_saved_and_the_run_goes_on_later() -> None:
    train = ["train", "digits", "--epochs", "6", "--hidden", "100", "--checkpoint-every", "1"]
    assert main([*train, "--quiet", "--out", "whole"]) == 0
    size = max(path.stat().st_size for path in checkpoints(Path("whole"))[1:]) - 1  # the last but one is too large

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    run = subprocess.run(
        [*MINNET, *train, "--out", "parts"], check=False, capture_output=True, text=True, preexec_fn=limited
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[5] == (
        "minnet: error: the run in parts cannot go on: File too large; saved is "
        "parts/checkpoints/step-0000000160.safetensors; go on with: minnet train --resume parts"
    )
    assert main(["train", "--resume", "parts", "--quiet"]) == 0
    assert contents("parts") == contents("whole")


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(folder: Path, training: Training, group: str = "") -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job, "save_checkpoint", full)
    assert main(["train", "iris", "--epochs", "5", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert said == "minnet: error: the run in runs/iris-1 cannot go on: No space left on device; nothing was saved\n"
    assert not os.listdir()


def test_runs_started_at_once_get_folders_of_their_own() -> None:
    processes = [
        subprocess.Popen([*MINNET, "train", "iris", "--epochs", "3", "--quiet", "--seed", str(n)]) for n in range(6)
    ]
    assert [process.wait() for process in processes] == [0] * 6
    assert sorted(os.listdir("runs")) == [f"iris-{n}" for n in range(1, 7)]
    seeds = {json.loads(Path(f"runs/iris-{n}/config.json").read_text())["seed"] for n in range(1, 7)}
    assert seeds == set(range(6))
    into_one = [subprocess.Popen([*MINNET, "train", "iris", "--epochs", "3", "--quiet", "--out", "r"],
                                 stderr=subprocess.PIPE) for _ in range(4)]  # fmt: skip
    errors = [process.communicate()[1] for process in into_one]
    assert sorted(process.returncode for process in into_one) == [0, 1, 1, 1]
    assert sum(error == b"" for error in errors) == 1


def test_a_run_that_is_being_trained_is_not_resumed_or_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen(
        [*MINNET, "train", "digits", "--epochs", "3000", "--patience", "none", "--out", "r", "--quiet"]
    )
    wait_until(process, lambda: checkpoints(Path("r")))
    for command in (["--resume", "r"], ["iris", "--out", "r", "--force"]):
        assert main(["train", *command, "--quiet"]) == 1
        said = "minnet: error: r is in use: another process is training there; let it end first\n"
        assert capsys.readouterr().err == said
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert json.loads(Path("r/config.json").read_text())["dataset"] == "digits"
    assert main(["train", "iris", "--epochs", "1", "--out", "r", "--force", "--quiet"]) == 0


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_with_other_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "iris", "--epochs", "5", "--quiet", "--checkpoint-every", "1"]
    assert main([*train, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        signal_in_step(patch, 14)
        assert main([*train, "--out", "parts"]) == 130
    newest, before = checkpoints(Path("parts"))
    newest.write_bytes(newest.read_bytes()[:-1])
    for leftover in ("parts/.results.json.1234.part", "parts/checkpoints/.step-0000000016.safetensors.1234.part"):
        Path(leftover).touch()
    monkeypatch.setattr("minnet.runs.job.versions", lambda: {"numpy": "3.0"})
    capsys.readouterr()
    assert main(["train", "--resume", "parts", "--quiet"]) == 0
    others, damaged = capsys.readouterr().err.splitlines()
    assert damaged.startswith(f"minnet: {newest}: not a checkpoint of this run: ")
    assert damaged.endswith("; going on from the checkpoint before it")
    assert others == "minnet: the run began with other versions; its numbers may differ in the last digits"
    assert contents("parts") == contents("whole")
    assert before.name == "step-0000000012.safetensors"
    assert not [*Path("parts").rglob(".*")]


def test_another_number_of_threads_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On which the last digits of products of matrices may depend."""
    with monkeypatch.context() as patch:
        signal_in_step(patch, 6)
        assert main(["train", "iris", "--epochs", "5", "--quiet", "--out", "r"]) == 130
    config = json.loads(Path("r/config.json").read_text())
    assert config["threads"] >= 1
    Path("r/config.json").write_text(json.dumps(config | {"threads": config["threads"] + 1}))
    capsys.readouterr()
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    said = "minnet: the run began with another number of BLAS threads; its numbers may differ in the last digits\n"
    assert capsys.readouterr().err == said


def test_checkpoints_as_often_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = []
    original = save_checkpoint

    def noted(folder: Path, training: Training, group: str = "") -> Path:
        epochs.append(len(training.history.epoch))
        return original(folder, training, group)

    monkeypatch.setattr("minnet.runs.job.save_checkpoint", noted)
    assert main(["train", "iris", "--epochs", "8", "--quiet", "--checkpoint-every", "3"]) == 0
    assert epochs == [3, 6, 8, 3, 6, 8]  # of the network, and of the logistic regression beside it


def test_live_redraws_the_curve_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LIVE_SECONDS", 0.0)
    drawn = []
    save_picture = plots.save_picture

    def noted(picture: Any, path: Path) -> None:
        save_picture(picture, path)
        if path.name == "loss.png":
            drawn.append((path.read_bytes(), (path.parent / "results.json").exists()))

    monkeypatch.setattr(plots, "save_picture", noted)
    for flags in ([], ["--seeds", "2"]):
        drawn.clear()
        assert main(["train", "iris", "--epochs", "2", "--quiet", "--live", *flags]) == 0
        pictures = [picture for picture, over in drawn if not over]
        assert len(pictures) == 3  # one an epoch, and at the end
        assert all(picture.startswith(b"\x89PNG") for picture in pictures)
        assert pictures[0] != pictures[1]


def test_tensorboard_gets_every_epochs_metrics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(["train", "iris", "--epochs", "3", "--quiet", "--tensorboard", "--out", "r"]) == 0
    events = EventAccumulator("r/tensorboard").Reload()
    found = [event.value for event in events.Scalars("validation_loss")]
    rows = Path("r/metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("validation_loss")
    np.testing.assert_allclose(found, [float(row.split(",")[column]) for row in rows[1:]], rtol=1e-6)
    assert main(["train", "iris", "--epochs", "3", "--quiet", "--tensorboard", "--out", "s", "--seeds", "2"]) == 0
    assert len(EventAccumulator("s/tensorboard").Reload().Scalars("train_accuracy/1")) == 3
    for module in [name for name in sys.modules if name.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["train", "iris", "--quiet", "--tensorboard", "--out", "t"]) == 1
    assert "--tensorboard needs the tensorboard package: pip install tensorboard" in capsys.readouterr().err


def test_show_tells_what_a_run_is_and_how_it_went(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "iris", "--epochs", "9", "--quiet", "--out", "r", "--patience", "3"]) == 0
    capsys.readouterr()
    assert main(["show", "r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = json.loads(Path("r/results.json").read_text())
    assert lines[0] == "r"
    assert "dataset=iris" in lines[1]
    assert any("patience=3" in line for line in lines)
    assert any(line.startswith("Linear(4, 64)") for line in lines)
    assert f"test accuracy    {results['test_accuracy']:.4f}" in lines
    assert lines[-1] == f"ended            {results['ended']['text']}"
    drawn = [line for line in lines if "┤" in line]
    assert len(drawn) == 14
    assert max(map(len, lines[:-1])) <= 83
    with monkeypatch.context() as patch:
        signal_in_step(patch, 2)
        assert main(["train", "wine", "--quiet", "--out", "s"]) == 130
    capsys.readouterr()
    assert main(["show", "s"]) == 0
    assert "interrupted in epoch 1, after step 2 of 4" in capsys.readouterr().out
    os.remove("s/results.json")
    assert main(["show", "s"]) == 0
    assert "minnet train --resume s goes on with it" in capsys.readouterr().out
    assert main(["show", "nowhere"]) == 1


def test_a_stack_with_a_rate_that_explodes_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rates = ["--lr", "0.05,20,1e30", "--seeds", "2", "--momentum", "0"]
    assert main(["train", "wine", "--epochs", "10", "--out", "r", *rates]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, (*out.splitlines(), *err.splitlines()[1:]))) <= 100
    results = json.loads(Path("r/results.json").read_text())
    assert f"(median of {6 - results['diverged']} of 6 networks)" in err.splitlines()[-1]
    assert main(["show", "r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"networks         6", f"diverged         {results['diverged']}", "lr               0.05"} < set(lines)
    assert f"test accuracy    {results['best']['test_accuracy']:.4f}" in lines
    assert main(["compare", "r", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["validation_loss"] == results["validation_loss"] < 1


def test_a_run_without_a_network_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        signal_in_step(patch, 2)
        assert main(["train", "iris", "--seeds", "2", "--quiet", "--out", "r"]) == 130
    capsys.readouterr()
    assert main(["predict", "r", "x.csv"]) == 1
    assert "no such model file; the run has none yet: go on with minnet train --resume r" in capsys.readouterr().err
    assert main(["predict", "nothing", "data.csv"]) == 1
    assert capsys.readouterr().err == "minnet: error: nothing: there is no such model file\n"


def test_compare_lays_runs_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    for out, flags in (("runs/a-2", ["--lr", "0.1"]), ("runs/a-10", ["--seeds", "2"]), ("runs/b", ["--lr", "1e30"])):
        main(["train", "iris", "--epochs", "3", "--quiet", "--out", out, *flags])
    capsys.readouterr()
    assert main(["compare", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [["run", "lr", "seed"], ["runs/a-2", "0.1", "0"],
                                                    ["runs/a-10", "0.05", "0,1"]]  # fmt: skip
    assert [line.split()[0] for line in lines[-5:-2]] == ["runs/a-2", "runs/a-10", "runs/b"]
    assert lines[-3].endswith("  training diverged in epoch 1, step 2")
    assert lines[-1] == "picture in     compare.png"
    assert main(["compare", "runs/a-2", "runs/a-2"]) == 0  # with the same settings
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["test", "test"], ["run", "accuracy"]]
    assert len(lines) == 5
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")
    assert main(["compare", "runs/a-2", "runs/a-10", "--json", "--out", "c.png"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["picture"] == "c.png"
    assert [run["lr"] for run in told["runs"]] == [0.1, 0.05]
    assert [run["epochs_done"] for run in told["runs"]] == [3, 3]
    results = json.loads(Path("runs/a-2/results.json").read_text())
    assert told["runs"][0]["test_accuracy"] == results["test_accuracy"]
    others = ["--optimizer", "adam", "--normalize", "layer", "--dropout", "0.1", "--patience", "2", "--hidden", "9"]
    assert main(["train", "iris", "--epochs", "2", "--quiet", "--out", "c", *others]) == 0
    capsys.readouterr()
    assert main(["compare", "runs/a-2", "c"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "hidden", "normalize", "dropout", "epochs", "optimizer", "lr", "patience"]
    assert lines[1].split() == ["runs/a-2", "64", "none", "0.0", "3", "sgd", "0.1", "20"]
    assert (lines[3], lines[5].split()[:2]) == ("", ["run", "accuracy"])
    assert lines[6].split()[-4:] == ["all", "3", "epochs", "done"]
    assert max(map(len, lines)) <= 100
    assert main(["compare", "nowhere"]) == 1
    assert "there is no run in this folder" in capsys.readouterr().err
    assert main(["compare", "runs/b", "--out", "d.png"]) == 0  # it has no epoch
    assert "no run has an epoch yet: there is no picture" in capsys.readouterr().out
    assert not Path("d.png").exists()


def test_compare_tells_a_stack_by_its_mean_and_not_by_its_best_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "wine", "--epochs", "3", "--quiet", "--out", "runs/stack", "--seeds", "5"]) == 0
    assert main(["train", "wine", "--epochs", "3", "--quiet", "--out", "runs/single"]) == 0
    capsys.readouterr()
    results = {name: json.loads(Path(f"runs/{name}/results.json").read_text()) for name in ("single", "stack")}
    assert results["stack"]["best"]["validation_loss"] < results["stack"]["validation_loss"]
    assert main(["compare", "runs", "--json"]) == 0
    single, stack = json.loads(capsys.readouterr().out)["runs"]
    assert (single["networks"], stack["networks"], stack["seed"]) == (None, 5, [0, 1, 2, 3, 4])
    for name in ("test_accuracy", "test_loss", "train_loss", "validation_loss"):
        assert (single[name], single[f"{name}_deviation"]) == (results["single"][name], None)
        for each in (name, f"{name}_deviation"):
            assert stack[each] == results["stack"][each]
    assert main(["compare", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "runs/stack   0…4" in lines
    loss, deviation = (results["stack"][name] for name in ("validation_loss", "validation_loss_deviation"))
    (row,) = [line for line in lines if f"{loss:.4f} ± {deviation:.4f}" in line]
    assert row.split()[:2] == ["runs/stack", "5"]
    assert main(["show", "runs/stack"]) == 0
    text = capsys.readouterr().out
    assert f"validation loss  {loss:.4f} ± {deviation:.4f}" in text
    assert (
        f"validation loss  {results['stack']['best']['validation_loss']:.4f}" in text.partition("the best network")[2]
    )


def kill_after(epochs: int, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """Train, and leave what a process leaves that is killed after so many epochs; each of them has a checkpoint."""
    closed = 0

    def close_epoch(training: Training) -> None:
        nonlocal closed
        if closed == epochs:
            raise SystemError("killed")
        closed += 1
        close(training)

    close = Training.close_epoch
    with monkeypatch.context() as patch:
        patch.setattr(Training, "close_epoch", close_epoch)
        with pytest.raises(SystemError, match="killed"):
            main(["train", *flags, "--checkpoint-every", "1", "--quiet"])


@pytest.mark.parametrize(
    ("flags", "reached"),
    [
        ([], "epoch 4 of 9; "),
        (["--seeds", "3", "--patience", "9"], "epoch 4 of 9; "),
        (["--seeds", "6", "--memory-limit", "900K"], "epoch 4 of 9 in the stack furthest on; all are at 4, 0"),
    ],
    ids=["single", "stack", "stacks"],
)
def test_a_killed_run_shows_its_epoch_and_its_curve(
    flags: list[str], reached: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kill_after(4, monkeypatch, "digits", "--hidden", "8", "--epochs", "9", "--out", "r", *flags)
    assert not Path("r/results.json").exists()
    several = len(json.loads(Path("r/config.json").read_text()).get("stacks", [1])) > 1
    assert Path("r/metrics.csv").exists() != several
    capsys.readouterr()
    for _ in range(2):
        assert main(["show", "r"]) == 0
        text = capsys.readouterr().out
        assert f"ended            {reached}" in text
        assert "minnet train --resume r goes on with it" in text
        assert len([line for line in text.splitlines() if "┤" in line]) == 14
        assert "last losses      training " in text
        Path("r/metrics.csv").unlink(missing_ok=True)  # killed between checkpoint and metrics: the checkpoint says it
    assert main(["compare", "r", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["epochs_done"], row["ended"].partition(";")[0]) == (4, reached.partition(";")[0])
    assert 0 < row["validation_loss"] < 3
    train = ["train", "digits", "--hidden", "8", "--epochs", "9", "--quiet", *flags]
    assert main([*train, "--out", "whole"]) == 0
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert contents("r") == contents("whole")


def test_a_run_that_was_interrupted_and_then_killed_shows_where_it_was_killed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        signal_in_step(patch, 6)
        assert main(["train", "wine", "--epochs", "9", "--quiet", "--out", "r"]) == 130
    assert main(["show", "r"]) == 0
    assert "interrupted in epoch 2" in capsys.readouterr().out
    kill_after(3, monkeypatch, "--resume", "r")
    capsys.readouterr()
    assert main(["show", "r"]) == 0
    assert "ended            epoch 4 of 9; not over, or killed" in capsys.readouterr().out


def test_a_checkpoint_that_cannot_be_read_is_shown_by_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    kill_after(4, monkeypatch, "iris", "--out", "r")
    newest, before = checkpoints(Path("r"))
    newest.write_bytes(newest.read_bytes()[:-9])
    history = read_history(Path("r"))
    assert history is not None
    assert history.epoch == [1, 2, 3]
    before.write_text("none")
    assert read_history(Path("r")) is None


def test_several_jobs_show_how_many_stacks_are_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--seeds", "4", "--epochs", "2", "--jobs", "2", "--out", "r"]) == 0
    assert capsys.readouterr().err.splitlines()[-3:] == [f"{k} of 2 stacks trained" for k in range(3)]


def test_a_run_killed_at_once_goes_on() -> None:
    process = subprocess.Popen(
        [*MINNET, "train", "digits", "--epochs", "3000", "--patience", "none", "--out", "r", "--quiet"]
    )
    wait_until(process, lambda: checkpoints(Path("r")))
    process.kill()
    process.wait()
    config = json.loads(Path("r/config.json").read_text())
    assert config["epochs"] == 3000
    assert not Path("r/results.json").exists()
    resumed = subprocess.Popen([*MINNET, "train", "--resume", "r"], stderr=subprocess.PIPE, text=True)
    read_until(resumed, "epoch ")
    resumed.send_signal(signal.SIGINT)
    assert resumed.communicate()[1].splitlines()[-1].startswith("minnet: interrupted in epoch ")
    assert resumed.returncode == 130
