"""Is what is written whole, is what is damaged refused, and does a run go on from what is whole?"""

import copy
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from minnet import SGD, Linear, Network, ReLU, load_dataset
from minnet.runs.checkpoints import (
    FORMAT,
    checkpoints,
    interruptible,
    load_checkpoint,
    restore_checkpoint,
    save_checkpoint,
    state,
)
from minnet.support.files import read_arrays, read_json, replacing, write_arrays, write_json, write_text
from minnet.training import Training


def make(seed: Any = 0, epochs: int = 4) -> Training:
    network = Network([Linear(4, 5), ReLU(), Linear(5, 3)], seed=seed)
    return Training(network, SGD(0.1, 0.9), load_dataset("iris"), epochs, 32, patience=3)


def trained(folder: Path, seed: Any = 0) -> Training:
    """Train with a checkpoint each epoch."""
    training = make(seed)
    training.run(lambda _: save_checkpoint(folder, training))
    return training


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    trained(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-0000000016.safetensors",
        "step-0000000012.safetensors",
    ]


@pytest.mark.parametrize("seed", [0, (0, 1, 2)], ids=["single", "stack"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(seed: Any, tmp_path: Path) -> None:
    whole = trained(tmp_path, seed)
    newest, before = checkpoints(tmp_path)
    content = newest.read_bytes()
    for damage in (content[:-1], content[:200], b"", content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]):
        newest.write_bytes(damage)
        training = make(seed)
        (problem,) = restore_checkpoint(tmp_path, training)
        assert problem.startswith(f"{newest}: not a checkpoint of this run: ")
        assert training.history.epoch == [1, 2, 3]
        training.run()
        np.testing.assert_array_equal(training.network.theta, whole.network.theta)
    before.write_bytes(b"")
    with pytest.raises(ValueError, match=r"step-0000000016.*; .*step-0000000012"):
        restore_checkpoint(tmp_path, make(seed))
    for path in (newest, before):
        path.unlink()
    training = make(seed)
    assert restore_checkpoint(tmp_path, training) == []
    assert training.history.epoch == []


PCG64 = np.random.PCG64(0).state
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another format": ({"format": 1}, {}, "format is 1, expected 3"),
    "a format that is long": ({"format": "x" * 9000}, {}, "format is 'xxx"),
    "no seconds": ({"seconds": None}, {}, "field 'seconds' is missing"),
    "seconds": ({"seconds": "long"}, {}, "could not convert"),
    "seconds that are a list": ({"seconds": [1]}, {}, "float() argument"),
    "no random state": ({"random": []}, {}, "zip"),
    "random states of a stack": ({"random": [PCG64, PCG64]}, {}, "zip"),
    "random states that are a number": ({"random": 3}, {}, "."),
    "a strange random state": ({"random": [{"bit_generator": "MT19937"}]}, {}, "."),
    "a random state of words": ({"random": ["x"]}, {}, "."),
    "another network": ({}, {"theta": np.zeros(7, np.float32)}, "theta is float32 of shape (7,)"),
    "another dtype": ({}, {"theta": np.zeros(43)}, "theta is float64 of shape (43,), expected float32"),
    "weights that are no numbers": ({}, {"theta": np.full(43, np.nan, np.float32)}, "theta has entries that are not"),
    "weights kept that are no numbers": ({}, {"kept_theta": np.full(43, np.inf, np.float32)}, "kept_theta has entries"),
    "no weights kept": ({}, {"kept_theta": None}, "field 'kept_theta' is missing"),
    "weights kept of a stack": ({}, {"kept_theta": np.zeros((2, 43), np.float32)}, "kept_theta is float32 of shape"),
    "another velocity": ({}, {"optimizer.velocity": np.zeros(3, np.float32)}, "velocity is float32 of shape (3,)"),
    "a velocity of another dtype": ({}, {"optimizer.velocity": np.zeros(43, bool)}, "optimizer.velocity is bool"),
    "a count below 0": ({}, {"optimizer.k": np.array(-1)}, "optimizer.k counts beyond 0 to 16"),
    "epochs that do not count": ({}, {"history.epoch": np.array([1, 9, 3, 4])}, "history.epoch does not count"),
    "more epochs than there are": ({}, {"history.epoch": np.arange(1, 6)}, "history.epoch does not count from 1 to at"),
    "epochs that are no integers": ({}, {"history.epoch": np.arange(1.0, 5.0)}, "history.epoch is float64"),
    "epochs without a length": ({}, {"history.epoch": np.array(4)}, "history.epoch does not count"),
    "no epochs": ({}, {"history.epoch": None}, "field 'history.epoch' is missing"),
    "a history with other lengths": ({}, {"history.lr": np.zeros(9)}, "history.lr is float64 of shape (9,), exp"),
    "a history of a stack": ({}, {"history.lr": np.zeros((4, 2))}, "history.lr is float64 of shape (4, 2)"),
    "batches that are too few": ({}, {"history.batch_loss": np.zeros(3)}, "history.batch_loss has 3 entries"),
    "batches beyond the next epoch": ({}, {"history.batch_loss": np.zeros(21)}, "history.batch_loss has 21 entries"),
    "norms": ({}, {"history.batch_norm": np.zeros(2)}, "history.batch_norm is float64 of shape (2,), expected"),
    "norms of a stack": ({}, {"history.batch_norm": np.zeros((16, 2))}, "history.batch_norm is float64 of shape"),
    "an epoch kept that is to come": ({}, {"history.kept": np.array([1, 2, 3, 5])}, "history.kept counts beyond 0"),
    "an epoch kept below 0": ({}, {"history.kept": np.array([1, 2, 3, -1])}, "history.kept counts beyond 0"),
    "an epoch kept that is none": ({}, {"history.kept": np.ones(4)}, "history.kept is float64 of shape (4,)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_checkpoint_that_does_not_fit_is_refused_by_field(name: str, tmp_path: Path) -> None:
    """With a checksum that is right: by somebody who knows the format."""
    change, arrays, message = BAD[name]
    trained(tmp_path)
    path = checkpoints(tmp_path)[0]
    values, saved = read_arrays(path)
    values = {key: value for key, value in (values | change).items() if value is not None}
    kept = {key: value for key, value in (saved | arrays).items() if value is not None}
    write_arrays(path, kept, values)
    with pytest.raises(ValueError, match=r".") as caught:
        load_checkpoint(path, make())
    assert str(caught.value).startswith(f"{path}: not a checkpoint of this run: ")
    assert message in str(caught.value) or message == "."
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("seed", [0, (0, 1, 2)], ids=["single", "stack"])
def test_a_checkpoint_that_is_refused_changes_nothing(seed: Any, tmp_path: Path) -> None:
    whole = trained(tmp_path, seed)
    newest, before = checkpoints(tmp_path)
    values, arrays = read_arrays(newest)
    write_arrays(newest, arrays, values | {"seconds": "x"})  # which is looked at last
    training = make(seed)
    load_checkpoint(before, training)
    arrays, values = copy.deepcopy(state(training))
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        load_checkpoint(newest, training)
    now = state(training)
    assert now[1] == values
    for name, array in arrays.items():
        np.testing.assert_array_equal(now[0][name], array)
    training.run()
    np.testing.assert_array_equal(training.network.theta, whole.network.theta)
    training = make(seed)
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        load_checkpoint(newest, training)
    training.run()
    np.testing.assert_array_equal(training.network.theta, whole.network.theta)


def test_json_that_nests_as_deep_as_can_just_be_read_is_refused(tmp_path: Path) -> None:
    """There is a depth that can be read, but not written again, as the checksum needs it."""
    trained(tmp_path)
    path = checkpoints(tmp_path)[0]
    training = make()
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        text = json.dumps({"format": FORMAT, "sha256": "", "deep": "@"}).replace('"@"', "[" * depth + "]" * depth)
        path.write_bytes(safetensors.numpy.save({"theta": np.zeros(3)}, {"minnet": text}))
        with pytest.raises(ValueError, match="not a checkpoint of this run"):
            load_checkpoint(path, training)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(ValueError, match=r"theta is float32 of shape \(43,\)"):
        load_checkpoint(checkpoints(tmp_path)[0], make((0, 1)))
    with pytest.raises(ValueError, match=r"history\.epoch does not count from 1 to at most 2"):
        load_checkpoint(checkpoints(tmp_path)[0], make(epochs=2))


def test_arrays_come_back_as_they_were_and_equal_contents_are_equal_files(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.array(3), "c": np.zeros((0, 2), np.float32)}
    header = {"z": [1, 2.5, None, "ä"], "a": {"deep": (1, 2)}}
    for name in ("one", "two"):
        write_arrays(tmp_path / name, dict(reversed(arrays.items())) if name == "two" else arrays, header)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found, loaded = read_arrays(tmp_path / "one")
    assert found == {"z": [1, 2.5, None, "ä"], "a": {"deep": [1, 2]}}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_text(path, "before")
    with pytest.raises(KeyError), replacing(path) as beside:  # noqa: PT012
        beside.write_text("half")
        raise KeyError
    assert (path.read_text(), os.listdir(tmp_path)) == ("before", ["f"])
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "no" / "f", "x")
    assert caught.value.filename == str(tmp_path / "no" / "f")
    write_json(path, {"a": [1, 2]})
    assert read_json(path) == {"a": [1, 2]}


def test_what_is_written_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).split(".")[-1])
        fsync(descriptor)

    def noted_replace(a: Any, b: Any) -> None:
        done.append("replace")
        replace(a, b)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_text(tmp_path / "f", "x")
    assert done == ["fsync part", "replace", f"fsync {tmp_path.name}"]


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that asks to stop, and is not ignored, as SIGINT is by what a script starts in the background."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_the_first_signal_ends_training_after_the_step_and_the_second_at_once(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """`signal.raise_signal` returns when the handler has, so that nothing need be waited for."""
    training = make()
    with pytest.raises(KeyboardInterrupt), interruptible() as interrupt:  # noqa: PT012
        interrupt.follow(training)
        signal.raise_signal(number)
        assert training.interrupted
        assert interrupt.requested
        signal.raise_signal(number)
        pytest.fail("the second signal did not end it")
    assert signal.getsignal(number) is signal.default_int_handler
    assert capfd.readouterr().err.count("finishing the batch, then saving") == 1
    training.run()
    assert training.ended is not None
    assert training.ended[:3] == ("interrupted", 1, 1)


def test_a_training_that_begins_after_the_signal_takes_one_step(number: signal.Signals) -> None:
    with interruptible() as interrupt:
        signal.raise_signal(number)
        training = make()
        interrupt.follow(training)
        training.run()
    assert training.ended is not None
    assert training.ended[:3] == ("interrupted", 1, 1)


def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with interruptible() as interrupt:
        signal.raise_signal(number)
        assert not interrupt.requested
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_thread_that_may_not_handle_signals_trains_all_the_same() -> None:
    reasons = []

    def work() -> None:
        training = make(epochs=1)
        with interruptible() as interrupt:
            interrupt.follow(training)
            training.run()
        assert training.ended is not None
        reasons.append(training.ended.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == ["epochs"]
