"""Is every file either loaded or refused in one line, whatever is in it, and would the fuzzer notice if not?"""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minnet import SGD, Dropout, Linear, Network, ReLU, load, load_dataset, save
from minnet.layers import Array
from minnet.runs.checkpoints import checkpoints, load_checkpoint, save_checkpoint, state
from minnet.runs.config import VARIED
from minnet.runs.job import Job, Options
from minnet.runs.model import Model
from minnet.runs.reading import compare, read_run, show
from minnet.runs.sweep import MOST
from minnet.support.files import read_arrays, write_arrays
from minnet.training import Training

SCRIPT = Path(__file__).parent.parent / "scripts" / "fuzz_files.py"
FIXTURE = [HealthCheck.function_scoped_fixture]  # a folder whose files each example replaces

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([10**400, 3])
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
ARRAYS = arrays_of.arrays(
    st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u8", "?"]), arrays_of.array_shapes(min_dims=0, min_side=0)
)


def fuzz(*flags: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, "-W", "error", str(SCRIPT), "--out", str(cwd / "out"), *flags]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, check=False, capture_output=True, text=True, timeout=300
    )


def test_files_that_are_damaged_load_or_are_refused_and_nothing_else(tmp_path: Path) -> None:
    run = fuzz("--cases", "275", cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    *table, memory, last = run.stdout.splitlines()
    assert last == "nothing failed"
    assert memory.startswith("peak memory of a process: ")
    counts = {(kind, outcome): int(count) for count, kind, outcome in map(str.split, table)}
    kinds = {kind for kind, _ in counts}
    assert len(kinds) == 11
    for kind in kinds:
        assert counts[kind, "refused"] + counts.get((kind, "loaded"), 0) == 25
        assert counts[kind, "refused"] > 5
    assert sum(count for (_, outcome), count in counts.items() if outcome == "loaded") > 20
    assert not os.listdir(tmp_path)


# What a loader may do wrong, by the number of the case; the last one ends the process.
DEFECTIVE = """
import os, sys
if sys.argv[0].endswith("fuzz_files.py") or "--multiprocessing-fork" in sys.argv:
    import numpy, minnet
    whole = minnet.load

    def load(path):
        match str(path).split("/model-")[-1].partition("/")[0]:
            case "1": raise KeyError(path)
            case "2": raise ValueError("a message without a name")
            case "3": raise ValueError(f"{path}: a message\\nof two lines")
            case "4": numpy.ones(2**31)
            case "5":
                os.system("true")
                raise ValueError(f"{path}: refused")
            case "19": os.abort()
        model = whole(str(path).split("model-")[0] + "good/stack/model.safetensors")
        model.network.theta[...] += 1
        return model

    minnet.load = load
"""


def test_the_fuzzer_finds_and_keeps_what_goes_wrong(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEFECTIVE, encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = fuzz("--cases", "20", "--kinds", "model", cwd=tmp_path, PYTHONPATH=paths)
    assert run.returncode == 1, run.stdout + run.stderr
    said, *kept = run.stderr.partition("FAILED, ")[2].splitlines()
    assert said == f"kept in {tmp_path}/out; without error.txt it ended the process, or hung:"
    errors = {name: tmp_path / "out" / name / "error.txt" for name in sorted(os.listdir(tmp_path / "out"))}
    assert kept == sorted(errors.keys() - {"good"})
    found = {name: path.read_text(encoding="utf-8") for name, path in errors.items() if path.exists()}
    assert "model-19" in errors.keys() - found.keys()  # it ended the process
    problems = ["KeyError", "does not name", "more than a line", "MemoryError", "code was run"]
    for number, problem in enumerate(problems, 1):
        assert problem in found.pop(f"model-{number}")
    assert found  # of the others, those that nobody sealed again
    for name, error in found.items():
        assert "another model loads" in error
        assert (tmp_path / "out" / name / "model.safetensors").exists()


def refusal(call: Callable[[], object]) -> str:
    """Return the message with which a call refuses a file; nothing if it does not."""
    try:
        call()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=FIXTURE)
@given(
    st.dictionaries(TEXT.filter(lambda name: name != "__metadata__"), ARRAYS, max_size=4), st.dictionaries(TEXT, JSON)
)
def test_arrays_come_back_bit_for_bit(tmp_path: Path, arrays: dict[str, Array], header: dict[str, Any]) -> None:
    header.pop("sha256", None)
    write_arrays(tmp_path / "a", arrays, header)
    found, loaded = read_arrays(tmp_path / "a")
    assert json.dumps(found, sort_keys=True) == json.dumps(header, sort_keys=True)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """A training with a checkpoint and a model in a folder."""
    dataset = load_dataset("iris")
    network = Network([Linear(4, 5), ReLU(), Dropout(0.1), Linear(5, 3)])
    training = Training(network, SGD(0.1, 0.9), dataset, 3, 32, patience=3)
    training.run(lambda history: setattr(training, "interrupted", len(history.epoch) == 2))
    save_checkpoint(tmp_path, training)
    save(tmp_path / "m", Model.of(network, dataset))
    return training


def places(tree: Any) -> list[tuple[Any, Any]]:
    """List every place in a tree of JSON, as a container and a key."""
    found = []
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found += [(tree, key), *(places(tree[key]) if isinstance(tree[key], dict | list) else [])]
    return found


@settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=FIXTURE)
@given(st.data())
def test_any_value_in_any_field_behind_a_checksum_is_refused_or_fits(
    tmp_path: Path, training: Training, data: st.DataObject
) -> None:
    (checkpoint,) = checkpoints(tmp_path)
    path = data.draw(st.sampled_from([checkpoint, tmp_path / "m"]))
    whole, (header, arrays) = path.read_bytes(), read_arrays(path)
    tree, key = data.draw(st.sampled_from(places(header)))
    tree[key] = data.draw(JSON)
    write_arrays(path, arrays, header)
    before = copy.deepcopy(state(training))
    message = refusal(lambda: load_checkpoint(path, training) if path is checkpoint else load(path))
    path.write_bytes(whole)
    if message:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 1000
        after = state(training)
        assert after[1] == before[1]
        assert after[0].keys() == before[0].keys()
        for name, array in before[0].items():
            np.testing.assert_array_equal(after[0][name], array)


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=FIXTURE)
@given(
    config=st.dictionaries(st.sampled_from(["dataset", "lr", "hidden", "grid", "stacks", "x"]) | TEXT, JSON),
    results=st.dictionaries(st.sampled_from(["test_loss", "seconds", "ended", "epochs"]), JSON),
)
def test_a_run_is_shown_whatever_its_json_says(tmp_path: Path, config: dict[str, Any], results: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    for call in (lambda: show(tmp_path), lambda: compare([read_run(tmp_path), read_run(tmp_path)])):
        assert refusal(call) == "" or "a number of 401 digits" in refusal(call)


@settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=FIXTURE)
@given(
    grid=st.dictionaries(st.sampled_from([*VARIED, "hidden"]), st.lists(SCALARS | st.just(0.5), max_size=3)) | JSON,
    stacks=st.lists(st.integers(-1, 9), max_size=3) | JSON,
)
def test_a_grid_is_refused_or_is_that_of_its_stacks(tmp_path: Path, grid: Any, stacks: Any) -> None:
    content = {"dataset": "iris", "hidden": [2], "grid": grid, "stacks": stacks}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    message = refusal(lambda: Job.of_run(tmp_path, Options(), {}))
    if message:
        assert message.startswith(f"{tmp_path}/config.json: ")
        assert message.isprintable()
        assert len(message) < 1000
    else:
        made = Job.of_run(tmp_path, Options(), {})
        assert sum(made.sizes) == len(made.configs) <= MOST
