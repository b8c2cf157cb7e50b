"""Is a run folder whole or not there, and does a model come back bit for bit or say why not?"""

import contextlib
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from minnet import SGD, Dataset, Linear, Network, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh, load, load_dataset, train
from minnet.data import Standardization, load_raw
from minnet.layers import Array
from minnet.runs import RUN_FILES, Model, RunFolder, save, write_run


def make_model(dtype: str = "float32") -> Model:
    network = Network([Linear(4, 6), Tanh(), Linear(6, 5), Sigmoid(), Linear(5, 3)], seed=3, dtype=dtype)
    standardization = Standardization(np.array([1.0, 2, 3, 4]), np.array([0.5, 1, 2, 4]))
    return Model(network, standardization, ("a", "b", "c"), ("p", "q", "r", "s"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_and_predicts_bit_for_bit_the_same(dtype: str, tmp_path: Path) -> None:
    model = make_model(dtype)
    save(tmp_path / "m.safetensors", model)
    assert os.listdir(tmp_path) == ["m.safetensors"]
    loaded = load(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).normal(3, 5, (50, 4))
    np.testing.assert_array_equal(loaded.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.network.theta.dtype == dtype
    assert (loaded.class_names, loaded.feature_names) == (model.class_names, model.feature_names)
    assert [repr(layer) for layer in loaded.network.layers] == [repr(layer) for layer in model.network.layers]
    assert loaded.network.seed == 3


def test_equal_models_are_equal_files_in_any_process(tmp_path: Path) -> None:
    code = "import sys; from tests.test_runs import make_model, save; save(sys.argv[1], make_model())"
    for n in range(3):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / str(n))], check=True)
    assert len({(tmp_path / str(n)).read_bytes() for n in range(3)}) == 1


def test_a_layer_of_ones_own_cannot_be_saved(tmp_path: Path) -> None:
    class Mine(Linear):
        pass

    class MyOutput(SoftmaxCrossEntropy):
        pass

    for network in (Network([Mine(4, 3)]), Network([Linear(4, 3)], MyOutput())):
        model = make_model()
        with pytest.raises(TypeError, match="cannot be saved: a model file holds only minnet's own layers"):
            save(tmp_path / "m", Model(network, model.standardization, model.class_names, model.feature_names))
    assert not os.listdir(tmp_path)


def damaged(path: Path, change: dict[str, Any] | None = None, **tensors: Array | None) -> None:
    """Write a model file with some fields of its header or some tensors changed; None leaves one out."""
    model = make_model()
    header: dict[str, Any] = {
        "format": 1, "seed": 3, "class_names": model.class_names, "feature_names": model.feature_names,
        "layers": [{"type": "Linear", "D": 4, "H": 3}, {"type": "ReLU"}],
    }  # fmt: skip
    header = {key: value for key, value in (header | (change or {})).items() if value is not None}
    zeros: Array = np.zeros(15, np.float32)
    everything: dict[str, Array | None] = {"theta": zeros, "mean": np.zeros(4), "scale": np.ones(4)}
    everything |= tensors
    kept = {name: tensor for name, tensor in everything.items() if tensor is not None}
    path.write_bytes(safetensors.numpy.save(kept, {"minnet": json.dumps(header)}))


def linear(D: object, H: object) -> dict[str, object]:
    return {"type": "Linear", "D": D, "H": H}


@pytest.mark.parametrize(
    ("change", "tensors", "field"),
    [
        ({"format": 2}, {}, "format is not 1"),
        ({"format": None}, {}, "format"),
        ({"layers": None}, {}, "'layers' is missing"),
        ({"layers": []}, {}, "tensors"),
        ({"layers": "Linear"}, {}, "contents"),
        ({"layers": [linear(4, 4)]}, {}, r"theta \[20\]"),
        ({"layers": [linear(10**12, 10**12)]}, {}, r"theta \["),
        ({"layers": [linear(-1, 3)]}, {}, "at least 1"),
        ({"layers": [linear("4", 3)]}, {}, "at least 1"),
        ({"layers": [{"type": "Linear", "D": 4}]}, {}, "contents"),
        ({"layers": [linear(4, 3) | {"x": 1}]}, {}, "contents"),
        ({"layers": [{"type": "os.system"}]}, {}, "unknown layer 'os.system'"),
        ({"layers": [{"D": 4}]}, {}, "'type' is missing"),
        ({"layers": [linear(4, 2), linear(3, 1)]}, {"theta": np.zeros(14, np.float32)}, "takes 3 inputs"),
        ({"seed": "x"}, {}, "seed"),
        ({"seed": None}, {}, "'seed' is missing"),
        ({"class_names": ["a"]}, {}, "class_names is not a list of 3 strings"),
        ({"class_names": None}, {}, "class_names"),
        ({"feature_names": [1, 2, 3, 4]}, {}, "feature_names is not a list of 4 strings"),
        ({}, {"theta": np.zeros(14, np.float32)}, r"theta \[15\]"),
        ({}, {"theta": None}, "tensors"),
        ({}, {"extra": np.zeros(2)}, "tensors"),
        ({}, {"theta": np.zeros(15, np.int32)}, "dtypes"),
        ({}, {"mean": np.zeros(4, np.float32)}, "dtypes"),
        ({}, {"theta": np.full(15, np.nan, np.float32)}, "theta has entries that are not finite"),
        ({}, {"mean": np.full(4, np.inf)}, "mean has entries that are not finite"),
        ({}, {"scale": np.zeros(4)}, "scale has entries that are not above 0"),
    ],
)
def test_a_model_file_that_makes_no_sense_is_refused_by_field(
    change: dict[str, Any], tensors: dict[str, Array | None], field: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    damaged(path)
    assert load(path).network.theta.size == 15
    damaged(path, change, **tensors)
    with pytest.raises(ValueError, match=field) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: not a model that this version of minnet can load: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no such model file"):
        load(tmp_path)
    safetensors.numpy.save_file({"theta": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="'minnet' is missing"):
        load(tmp_path)
    damaged(path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"hello",
        whole[:-1],
        whole[:100],
        whole + b"x",
        b"\xff" * 100,
        whole.replace(b"Linear", b"Lin\xffar"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a model"):
            load(path)
    path.write_bytes(safetensors.numpy.save({"theta": np.zeros(3)}, {"minnet": "[" * 100_000}))
    with pytest.raises(ValueError, match="not a model"):
        load(path)


def test_every_way_to_cut_a_model_file_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    damaged(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a model"):
            load(path)


def test_a_model_of_ones_own_arrays_takes_raw_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)) * [1, 1000]
    t = (x[:, 1] > 0).astype(int)
    dataset = Dataset.from_arrays(x, t)
    network = Network([Linear(2, 2)])
    train(network, SGD(0.5), dataset, 30)
    save(tmp_path / "m", Model.of(network, dataset))
    assert (load(tmp_path / "m").predict(x) == t).mean() > 0.9


def test_raw_samples_are_checked_before_a_model_predicts(tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(ValueError, match=r"the model expected x of shape \(N, 4\)"):
        model.predict(np.ones((2, 3)))
    with pytest.raises(TypeError, match="floating-point"):
        model.predict_proba(np.ones((2, 4), dtype=int))


def test_a_run_folder_holds_it_all(tmp_path: Path) -> None:
    dataset = load_dataset("iris", seed=1)
    network = Network([Linear(4, 8), ReLU(), Linear(8, 3)], seed=1)
    history = train(network, SGD(0.05, 0.9), dataset, 3, 32)
    write_run(tmp_path, {"epochs": 3, "seed": 1}, history, {"test_loss": 0.5}, network, dataset)
    assert sorted(os.listdir(tmp_path)) == sorted(RUN_FILES)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["epochs"], config["seed"], config["layers"][1]) == (3, 1, {"type": "ReLU"})
    assert config["versions"]["numpy"] == np.__version__
    assert json.loads((tmp_path / "results.json").read_text()) == {"test_loss": 0.5}
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [float(row["validation_loss"]) for row in rows] == history.validation_loss
    assert list(rows[0]) == [
        "epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "penalty", "gradient_norm",
        "lr", "seconds",
    ]  # fmt: skip
    model, raw = load(tmp_path), load_raw("iris")
    np.testing.assert_array_equal(model.predict(raw.x), network.predict(dataset.standardization(raw.x)))
    assert model.class_names == ("setosa", "versicolor", "virginica")


def test_folders_are_numbered_and_appear_only_when_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        with RunFolder(None, "openml:a b") as folder:
            (folder.staging / "x").write_text("x")
            assert not Path(f"runs/openml-a-b-{n}").exists()
        assert folder.path == Path(f"runs/openml-a-b-{n}")
        assert (folder.path / "x").exists()
    assert sorted(os.listdir("runs")) == ["openml-a-b-1", "openml-a-b-2"]
    assert folder.path.stat().st_mode & 0o777 == Path("runs").stat().st_mode & 0o777


def test_two_runs_at_once_never_share_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RunFolder(None, "a") as outer:
        (outer.staging / "outer").touch()
        with RunFolder(None, "a") as inner:
            (inner.staging / "inner").touch()
    assert (str(inner.path), str(outer.path)) == ("runs/a-1", "runs/a-2")


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (None, "deep/er/run"):
        with contextlib.suppress(KeyError), RunFolder(out, "a") as folder:
            (folder.staging / "half").touch()
            raise KeyError
        assert not os.listdir(tmp_path)


def test_a_run_is_replaced_only_by_force_and_other_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with RunFolder(out, "a") as folder:
        (folder.staging / "config.json").write_text("1")
    with pytest.raises(FileExistsError, match=r"already holds a run \(config.json\): .* --force"), RunFolder(out, "a"):
        pass
    with RunFolder(out, "a", force=True) as folder:
        (folder.staging / "config.json").write_text("2")
        assert (out / "config.json").read_text() == "1"
    assert (out / "config.json").read_text() == "2"
    assert sorted(os.listdir(out)) == ["config.json", "notes.txt"]


def test_a_folder_that_cannot_be_made_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="file is a file: expected a folder"), RunFolder(tmp_path / "file", "a"):
        pass
    with pytest.raises(OSError, match=r"cannot write a run to .*file/run: "), RunFolder(tmp_path / "file" / "run", "a"):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_arrays_that_are_not_contiguous_are_saved_as_they_are(tmp_path: Path) -> None:
    columns = np.stack([np.arange(4.0), np.arange(1.0, 5)], axis=1)
    network = Network([Linear(4, 3)], dtype="float64")
    strided = network.at(np.arange(2.0 * network.theta.size)[::2])
    model = Model(strided, Standardization(columns[:, 0], columns[::-1, 1]), ("a", "b", "c"), tuple("pqrs"))
    save(tmp_path / "m", model)
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.standardization.mean, [0, 1, 2, 3])
    np.testing.assert_array_equal(loaded.standardization.scale, [4, 3, 2, 1])
    np.testing.assert_array_equal(loaded.network.theta, strided.theta)


def test_what_load_would_refuse_is_not_saved(tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="class_names is not a list of 3 strings"):
        save(tmp_path / "m", Model(model.network, model.standardization, ("a",), model.feature_names))
    model.network.theta[0] = np.nan
    with pytest.raises(ValueError, match="theta has entries that are not finite"):
        save(tmp_path / "m", model)
    assert not os.listdir(tmp_path)


def test_two_runs_into_one_empty_folder_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with pytest.raises(FileExistsError, match="already holds a run"), RunFolder(out, "a") as outer:  # noqa: PT012
        (outer.staging / "config.json").write_text("outer")
        with RunFolder(out, "a") as inner:
            (inner.staging / "config.json").write_text("inner")
    assert os.listdir(out) == ["config.json"]
    assert (out / "config.json").read_text() == "inner"


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run" / "metrics.csv").mkdir(parents=True)
    with (
        pytest.raises(FileExistsError, match=r"metrics\.csv is a folder"),
        RunFolder(tmp_path / "run", "a", force=True),
    ):
        pass
    os.symlink(tmp_path / "nowhere", tmp_path / "link")
    with pytest.raises(FileExistsError, match="a link to nothing"), RunFolder(tmp_path / "link", "a"):
        pass
    with pytest.raises(OSError, match="File name too long"), RunFolder(tmp_path / ("x" * 300), "a"):
        pass
