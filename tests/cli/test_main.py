"""Does the command do what it says, and does bad input give one line, the right exit code and nothing on disk?"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minnet
from minnet import load
from minnet.cli import main
from minnet.data.named import DATASETS
from minnet.runs.config import FIELDS
from minnet.runs.folder import RUN_FILES as FILES
from tests.conftest import read_until

RUN_FILES = (*FILES, "checkpoints")

MINNET = [sys.executable, "-m", "minnet"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test where runs/ may be made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_reports_on_stdout_and_shows_progress_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--epochs", "20"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line[:14].strip() for line in lines] == [
        "test accuracy",
        "test loss",
        "beside it",
        "difference",
        "calibration",
        "ended",
        "saved in",
    ]
    assert "runs/iris-1" in lines[-1]
    assert sorted(os.listdir("runs/iris-1")) == sorted(RUN_FILES)
    first, *lines = err.splitlines()
    assert first == (
        "minnet: iris: 150 samples (106 + 22 + 22 to train, validate, test), 4 features; 3 classes: "
        "'setosa' 50, 'versicolor' 50, 'virginica' 50"
    )
    assert len(lines) == 11
    assert re.fullmatch(r"epoch 20/20  loss \d\.\d{4}  validation \d\.\d{4}, \d+\.\d% right", err.splitlines()[-1])


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--epochs", "2", "--json", "--quiet", "--seed", "4", "--out", "here"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    results = json.loads(out)
    assert list(results) == [
        "dataset", "seed", "epochs", "parameters", "train_loss", "validation_loss", "test_loss", "test_accuracy",
        "test_balanced_accuracy", "test_f1", "baseline", "calibration", "seconds", "ended", "classes", "proof", "run",
    ]  # fmt: skip
    assert (results["dataset"], results["seed"], results["epochs"], results["run"]) == ("iris", 4, 2, "here")
    assert results["parameters"] == 4 * 64 + 64 + 64 * 3 + 3 == load("here").network.theta.size
    dataset = minnet.load_dataset("iris", 4)
    assert minnet.evaluate(load("here").network, *dataset.test) == (results["test_loss"], results["test_accuracy"])
    saved = json.loads(Path("here/results.json").read_text())
    assert saved == {key: value for key, value in results.items() if key != "run"}


def test_every_flag_reaches_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--hidden", "7,5", "--activation", "tanh", "--epochs", "2", "--batch-size", "1000", "--lr", "0.01",
        "--momentum", "0.5", "--nesterov", "--weight-decay", "0.25", "--dtype", "float64", "--seed", "9",
        "--out", "r", "--quiet",
    ]  # fmt: skip
    assert main(["train", "wine", *flags]) == 0
    config = json.loads(Path("r/config.json").read_text())
    assert {key: config[key] for key in config if key in FIELDS} == {
        "dataset": "wine", "hidden": [7, 5], "activation": "tanh", "epochs": 2, "batch_size": 1000, "lr": 0.01,
        "momentum": 0.5, "nesterov": True, "weight_decay": 0.25, "dtype": "float64", "seed": 9, "split_seed": None,
        "target": None, "ignore": [], "sample_weight": None, "test": None, "validation": 0.15, "normalize": "none",
        "dropout": 0.0, "label_smoothing": 0.0, "class_weight": None, "optimizer": "sgd", "schedule": "cosine",
        "lr_every": 10, "lr_gamma": 0.1, "warmup": 0, "lr_patience": 5, "clip_norm": None, "patience": 20,
        "monitor": "loss", "categorical": [], "missing": "fill", "min_class": None, "group": None, "time": None,
        "folds": None, "repeats": 1, "fold": None, "refit": False, "no_baseline": False,
    }  # fmt: skip
    assert config["output"] == {"type": "SoftmaxCrossEntropy", "label_smoothing": 0.0, "class_weight": None}
    assert config["versions"]["numpy"] == np.__version__
    network = load("r").network
    assert [repr(layer) for layer in network.layers] == [
        "Linear(13, 7)", "Tanh()", "Linear(7, 5)", "Tanh()", "Linear(5, 3)",
    ]  # fmt: skip
    assert network.theta.dtype == "float64"
    rows = Path("r/metrics.csv").read_text().splitlines()
    assert len(rows) == 3
    assert float(rows[1].split(",")[rows[0].split(",").index("penalty")]) > 0
    assert main(["train", "wine", "--hidden", "none", "--epochs", "1", "--out", "s", "--quiet"]) == 0
    assert [repr(layer) for layer in load("s").network.layers] == ["Linear(13, 3)"]


def test_the_same_seed_gives_the_same_model_file_byte_for_byte() -> None:
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        subprocess.run(
            [*MINNET, "train", "digits", "--epochs", "3", "--seed", seed, "--out", out, "--quiet"], check=True
        )
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()
    assert Path("a/model.safetensors").read_bytes() != Path("c/model.safetensors").read_bytes()
    timeless = [
        [row.rsplit(",", 1)[0] for row in Path(out, "metrics.csv").read_text().splitlines()] for out in ("a", "b")
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [("iris", 0.93), ("wine", 0.95), ("breast_cancer", 0.95), ("digits", 0.965), ("moons", 0.95), ("circles", 0.95),
     ("blobs", 0.95), ("spiral", 0.97)],
)  # fmt: skip
def test_every_built_in_data_set_trains_well_without_a_flag(
    name: str, accuracy: float, capsys: pytest.CaptureFixture[str]
) -> None:
    total = 0.0
    for seed in range(3):
        assert main(["train", name, "--quiet", "--json", "--seed", str(seed)]) == 0
        total += json.loads(capsys.readouterr().out)["test_accuracy"]
    assert total / 3 >= accuracy - 0.015  # the mean over three seeds, of a figure that holds for the mean over ten


def test_datasets_lists_each_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(DATASETS)
    assert lines[4].split()[:4] == ["digits", "1797", "64", "10"]
    assert lines[-1].startswith("openml:")


def test_the_command_runs_in_another_thread_too() -> None:
    """Where no signal can be handled."""
    with ThreadPoolExecutor() as pool:
        assert pool.submit(main, ["train", "iris", "--epochs", "1", "--quiet"]).result() == 0


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, expected in (("--version", f"minnet {minnet.__version__}\n"), ("--help", "usage: minnet")):
        with pytest.raises(SystemExit) as left:
            main([argument])
        assert left.value.code == 0
        assert capsys.readouterr().out.startswith(expected)
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 0.9)" in shown
    assert "None" not in shown
    assert "False" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["learn"], "invalid choice: 'learn'"),
        (["train"], "which data set? Give the name of one, a file, or --resume RUN"),
        (["train", "iri"], "unknown data set 'iri'; known are: iris,"),
        (["train", "iris", "--fast"], "unrecognized arguments: --fast"),
        (["train", "iris", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["train", "iris", "a\nb"], "unrecognized arguments: a b"),
        (["train", "openml: "], "unknown data set 'openml: '"),
        (["train", "iris", "--activation", "swish"], "--activation: expected one of relu, leaky_relu, tanh,"),
        (["train", "iris", "--dtype", "float16"], "--dtype: expected one of float32, float64, got 'float16'"),
        *[(["train", "iris", f"--lr={x}"], "--lr: expected a finite number above 0") for x in ("0", "-1", "nan", "x")],
        *[(["train", "iris", f"--epochs={n}"], "--epochs: expected an integer of at least 1") for n in ("0", "1.5")],
        (["train", "iris", "--batch-size", "0"], "--batch-size: expected an integer of at least 1, got 0 "),
        *[(["train", "iris", f"--hidden={w}"], "--hidden: expected an integer of at least") for w in ("64,x", "0", "")],
        (["train", "iris", "--momentum", "1"], "--momentum: expected a finite number of at least 0 and below 1"),
        (["train", "iris", "--weight-decay=-1"], "--weight-decay: expected a finite number of at least 0"),
        (["train", "iris", "--seed=-1"], "--seed: expected an integer from 0"),
        (["train", "iris", "--seeds", "1000000000000"], "--seeds: expected an integer from 1 to 100000"),
        (["train", "iris", "--seed", "4294967296"], "--seed: expected an integer from 0"),
        (["train", "iris", "--out", ""], "--out: expected a name, got ''"),
        (["train", "iris", "--nesterov", "--momentum", "0"], "--nesterov goes with --optimizer sgd and --momentum abo"),
        (["train", "iris", "--optimizer", "adam", "--momentum", "0"], "--momentum goes with --optimizer sgd"),
        (["train", "iris", "--warmup", "2", "--schedule", "step"], "--warmup goes with --schedule cosine"),
        (["train", "iris", "--lr-gamma", "0.5"], "--lr-gamma goes with --schedule step or plateau"),
        (["train", "iris", "--patience", "none", "--monitor", "f1"], "--monitor goes with --patience N"),
        (["train", "iris", "--patience", "never"], "--patience: expected an integer of at least 1, got 'never' (none"),
        (["train", "iris", "--schedule", "constant", "--warmup", "2"], "--warmup goes with --schedule cosine"),
        (["train", "iris", "--hidden", "none", "--dropout", "0.1"], "--dropout goes with --hidden layers"),
        (["train", "iris", "--target", "species"], "--target goes with a file of one's own"),
        (["train", "iris", "--momentum", "0,0.9", "--nesterov"], "--nesterov goes with --optimizer sgd and --momentum"),
        (["train", "iris", "--momentum", "0.9,1"], "--momentum: expected a finite number of at least 0 and below 1"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "iris", "--out", "/dev/null"], "cannot write a run to /dev/null: File exists"),
        (["train", "iris", "--out", "/dev/null/run"], "cannot write a run to /dev/null/run: Not a directory"),
        (["train", "iris", "--out", "x" * 300], "File name too long"),
        (["train", "iris", "--hidden", "100000000,100000000"], "Unable to allocate"),
    ],
)
def test_failure_is_one_line_and_exit_code_1_and_leaves_nothing(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*arguments, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"minnet: error: [^\n]*\n", err)
    assert message in err
    assert not os.listdir(tmp_path)


def test_a_run_is_overwritten_only_by_force(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "iris", "--epochs", "1", "--quiet", "--out", "mine"]
    assert main(train) == 0
    before = Path("mine/model.safetensors").read_bytes()
    assert main([*train, "--seed", "1"]) == 1
    assert "mine already holds a run: choose another folder, or use --force" in capsys.readouterr().err
    assert Path("mine/model.safetensors").read_bytes() == before
    assert main([*train, "--seed", "1", "--force"]) == 0
    assert Path("mine/model.safetensors").read_bytes() != before
    assert sorted(os.listdir("mine")) == sorted(RUN_FILES)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_saved_and_exits_with_130(number: int) -> None:
    process = subprocess.Popen(
        [*MINNET, "train", "digits", "--epochs", "100000", "--patience", "none"], stderr=subprocess.PIPE, text=True
    )
    read_until(process, "epoch      1/100000")
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "minnet: finishing the batch, then saving; Ctrl-C once more stops at once" in error
    said = error.splitlines()[-1]
    found = re.fullmatch(
        r"minnet: interrupted in epoch (\d+), after step (\d+) of 40; saved is (runs/digits-1/checkpoints/\S+); "
        r"go on with: minnet train --resume runs/digits-1",
        said,
    )
    assert found is not None, said
    assert os.path.isfile(found[3])
    assert "Traceback" not in error
    results = json.loads(Path("runs/digits-1/results.json").read_text())
    assert results["ended"]["reason"] == "interrupted"
    assert results["ended"]["epoch"] == int(found[1]) == results["epochs"] + 1
    assert load("runs/digits-1").network.theta.size > 0


def test_a_signal_that_is_to_be_ignored_is() -> None:
    """As nohup has it."""
    command = [*MINNET, "train", "digits", "--epochs", "300", "--patience", "none"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    read_until(process, "epoch ")
    process.send_signal(signal.SIGHUP)
    assert "interrupted" not in process.communicate(timeout=60)[1]
    assert process.returncode == 0


def test_an_interrupted_run_whose_stderr_is_broken_exits_with_130() -> None:
    command = [*MINNET, "train", "digits", "--epochs", "100000", "--patience", "none", "--out", "r"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    read_until(process, "epoch ")
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert json.loads(Path("r/results.json").read_text())["ended"]["reason"] == "interrupted"


def test_a_second_ctrl_c_stops_at_once() -> None:
    process = subprocess.Popen([*MINNET, "train", "digits", "--epochs", "100000", "--hidden", "2000,2000"],
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    read_until(process, "epoch ")
    process.send_signal(signal.SIGINT)
    read_until(process, "finishing the batch")
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in error
    assert re.search(r"minnet: interrupted.*minnet train --resume runs/digits-1", error)


def test_ctrl_c_while_the_results_are_written_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    train = ["train", "iris", "--epochs", "2", "--quiet", "--out"]
    with monkeypatch.context() as patch:
        patch.setattr("minnet.plots.save_picture", interrupted)
        assert main([*train, "r"]) == 130
    assert capsys.readouterr().err == (
        "minnet: interrupted; stopped at once; saved is r/checkpoints/step-0000000008.safetensors; "
        "go on with: minnet train --resume r\n"
    )
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert main([*train, "s"]) == 0
    assert Path("r/model.safetensors").read_bytes() == Path("s/model.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("minnet.runs.job.Job.train", interrupted)
        assert main([*train, "t"]) == 130
    assert capsys.readouterr().err == "minnet: interrupted; stopped at once; nothing was saved\n"
    assert not Path("t").exists()


def test_results_that_cannot_be_written_are_in_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minnet.plots.save_picture", full)
    assert main(["train", "iris", "--epochs", "2", "--quiet", "--out", "r"]) == 1
    assert capsys.readouterr().err == (
        "minnet: error: the run in r cannot go on: No space left on device; saved is "
        "r/checkpoints/step-0000000008.safetensors; go on with: minnet train --resume r\n"
    )


def test_a_run_that_diverges_keeps_what_it_learned_and_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "iris", "--lr", "1e30", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"minnet: error: training diverged in epoch 1, step 2: the logits, the output of layer 2, Linear\(64, 3\), of "
        r"sample \d+ of the training split \(row \d+ of the data\) is not finite; lower the learning rate, which is "
        r"1e\+30; the network has its initial weights again; what there is of the run is in runs/iris-1\n",
        err,
    )
    ended = json.loads(Path("runs/iris-1/results.json").read_text())["ended"]
    assert (ended["reason"], ended["epoch"], ended["step"], ended["layer"], ended["array"]) == (
        "diverged",
        1,
        2,
        2,
        "logits",
    )
    fresh = minnet.Network([minnet.Linear(4, 64), minnet.ReLU(), minnet.Linear(64, 3)])
    np.testing.assert_array_equal(load("runs/iris-1").network.theta, fresh.theta)
    assert main(["train", "--resume", "runs/iris-1"]) == 1
    assert "is over (training diverged in epoch 1" in capsys.readouterr().err


@pytest.mark.parametrize("stderr", ["/dev/full", "closed pipe"])
def test_progress_that_cannot_be_shown_does_not_stop_training(stderr: str) -> None:
    redirection = "2>/dev/full" if stderr == "/dev/full" else "2> >(true)"
    command = f"{sys.executable} -m minnet train iris --epochs 30 --out r {redirection}"
    assert subprocess.run(["bash", "-c", command], check=False, capture_output=True).returncode == 0  # noqa: S607
    assert sorted(os.listdir("r")) == sorted(RUN_FILES)


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    process = subprocess.Popen([*MINNET, "datasets"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "</dev/null >/dev/null"])
def test_a_closed_stream_is_no_failure(redirection: str) -> None:
    command = f"{sys.executable} -m minnet train iris --epochs 1 --out r {redirection}"
    run = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)  # noqa: S607
    assert (run.returncode, "Traceback" in run.stderr) == (0, False)
    assert sorted(os.listdir("r")) == sorted(RUN_FILES)


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([*MINNET, "datasets"], check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert run.stderr == "minnet: error: [Errno 28] No space left on device\n"


def test_a_terminal_that_knows_ascii_only_is_no_failure() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    run = subprocess.run([*MINNET, "datasets"], check=True, capture_output=True, env=environment)
    assert b"8?8 pixels" in run.stdout


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """Run minnet with stderr on a terminal and return what it showed there."""
    ours, theirs = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [*MINNET, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=variables | {"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    shown = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the terminal is closed
            break
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def test_progress_is_live_on_a_terminal_and_respects_no_color() -> None:
    shown = on_a_terminal(["train", "iris", "--epochs", "30"], COLUMNS="120")
    assert "30/30" in shown
    assert "right" in shown
    assert re.search(r"\x1b\[\d*(;\d+)*m", shown)
    plain = on_a_terminal(["train", "iris", "--epochs", "30"], COLUMNS="120", NO_COLOR="1")
    assert "30/30" in plain
    assert not re.search(r"\x1b\[[\d;]*3\dm", plain)  # no colour is set
    assert on_a_terminal(["train", "iris", "--epochs", "30", "--quiet"]) == ""


def test_running_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("minnet.runs.build.load_raw", full)
    assert main(["train", "iris"]) == 1
    assert capsys.readouterr().err == "minnet: error: MemoryError\n"
