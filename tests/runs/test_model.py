"""Does a model come back bit for bit, or say why not?"""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from minnet import (
    SGD,
    BatchNorm,
    Dataset,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    load,
    save,
    train,
)  # fmt: skip
from minnet.data import Preprocessing, Standardization
from minnet.data.preprocessing import Several
from minnet.layers import Array, Layer
from minnet.runs.model import FORMAT, Model
from minnet.support.files import write_arrays


def make_model(dtype: str = "float32") -> Model:
    network = Network([Linear(4, 6), Tanh(), Linear(6, 5), Sigmoid(), Linear(5, 3)], seed=3, dtype=dtype)
    standardization = Standardization(np.array([1.0, 2, 3, 4]), np.array([0.5, 1, 2, 4]))
    return Model(network, Preprocessing.plain("pqrs", standardization), ("a", "b", "c"))


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
    code = "import sys; from tests.runs.test_model import make_model, save; save(sys.argv[1], make_model())"
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
            save(tmp_path / "m", Model(network, model.preprocessing, model.class_names))
    assert not os.listdir(tmp_path)


def damaged(path: Path, change: dict[str, Any] | None = None, **tensors: Array | None) -> None:
    """Write a model file with some fields of its header or some tensors changed; None leaves one out.

    Its checksum is right: by somebody who knows the format.
    """
    model = make_model()
    header: dict[str, Any] = {
        "format": FORMAT, "seed": 3, "class_names": model.class_names, "preprocessing": [model.columns.to_json()],
        "layers": [{"type": "Linear", "D": 4, "H": 3}, {"type": "ReLU"}], "output": {"type": "SoftmaxCrossEntropy"},
    }  # fmt: skip
    header = {key: value for key, value in (header | (change or {})).items() if value is not None}
    zeros: Array = np.zeros(15, np.float32)
    everything: dict[str, Array | None] = {"theta": zeros, "mean": np.zeros((1, 4)), "scale": np.ones((1, 4))}
    everything["temperature"] = np.ones(())
    everything |= tensors
    kept = {name: tensor for name, tensor in everything.items() if tensor is not None}
    write_arrays(path, kept, header)


NUMBER: dict[str, Any] = {"kind": "number", "name": "p", "fill": None, "missing": False, "date": False}
CATEGORY: dict[str, Any] = {"kind": "category", "name": "p", "values": ["a", "b"], "other": False, "missing": False}


def linear(D: object, H: object) -> dict[str, object]:
    return {"type": "Linear", "D": D, "H": H}


@pytest.mark.parametrize(
    ("change", "tensors", "field"),
    [
        ({"format": 3}, {}, "format is 3, expected 4: another version of minnet wrote it"),
        ({"format": 5}, {}, "format is 5, expected 4: another version of minnet wrote it"),
        ({"format": None}, {}, "format is None, expected 4"),
        ({"layers": None}, {}, "'layers' is missing"),
        ({"layers": []}, {}, "the arrays are"),
        ({"layers": "Linear"}, {}, "dictionary"),
        ({"layers": [linear(4, 4)]}, {}, r"'theta': 'float32\[20\]'"),
        ({"layers": [linear(10**12, 10**12)]}, {}, r"'theta': 'float32\[1000000000001"),
        ({"layers": [linear(-1, 3)]}, {}, "at least 1"),
        ({"layers": [linear("4", 3)]}, {}, "at least 1"),
        ({"layers": [{"type": "Linear", "D": 4}]}, {}, "missing 1 required"),
        ({"layers": [linear(4, 3) | {"x": 1}]}, {}, "unexpected keyword argument"),
        ({"layers": [linear(4, 3) | {"\n\x1b[2J\u2028": 1}]}, {}, "unexpected keyword argument"),
        ({"layers": [linear("4" * 9000, 3)]}, {}, "at least 1"),
        ({"layers": [{"type": "os.system"}]}, {}, "type: expected one of Linear, .* got 'os.system'"),
        ({"layers": [{"type": "SoftmaxCrossEntropy"}]}, {}, "type: expected one of Linear"),
        ({"layers": [{"D": 4}]}, {}, "'type' is missing"),
        ({"layers": [linear(4, 2), linear(3, 1)]}, {"theta": np.zeros(14, np.float32)}, "takes 3 inputs"),
        ({"seed": "x"}, {}, "seed"),
        ({"seed": None}, {}, "'seed' is missing"),
        ({"class_names": ["a"]}, {}, "class_names is not a list of 3 strings"),
        ({"class_names": None}, {}, "class_names"),
        ({"preprocessing": None}, {}, "'preprocessing' is missing"),
        ({"preprocessing": []}, {}, "preprocessing: expected one, or one for each network"),
        ({"preprocessing": [[]]}, {}, "preprocessing gives 0 features, but the network takes 4"),
        ({"preprocessing": [[NUMBER]]}, {}, "preprocessing gives 1 features, but the network takes 4"),
        ({"preprocessing": [[NUMBER] * 4]}, {}, "columns: expected names that differ"),
        ({"preprocessing": [[NUMBER | {"kind": "Path"}]]}, {}, "kind: expected one of number, category, got 'Path'"),
        ({"preprocessing": [[NUMBER | {"name": 1}]]}, {}, "columns: expected a name, true and false"),
        ({"preprocessing": [[NUMBER | {"missing": 2}]]}, {}, "columns: expected a name, true and false"),
        ({"preprocessing": [[NUMBER | {"fill": "mean"}]]}, {}, "fill: expected a finite number"),
        ({"preprocessing": [[NUMBER | {"missing": True}]]}, {}, "expected a number to fill missing cells with"),
        ({"preprocessing": [[NUMBER | {"values": []}]]}, {}, "unexpected keyword argument"),
        ({"preprocessing": [[CATEGORY | {"values": "abc"}]]}, {}, "columns: expected values that are text"),
        ({"preprocessing": [[CATEGORY | {"values": [1, 2]}]]}, {}, "columns: expected values that are text"),
        ({"preprocessing": [[CATEGORY | {"values": ["b", "a"]}]]}, {}, "columns: expected at most 50 sorted values"),
        ({"preprocessing": [[CATEGORY | {"values": []}]]}, {}, "columns: expected at most 50 sorted values"),
        ({"preprocessing": [[CATEGORY | {"values": [*"abcd"], "missing": True}]]}, {}, "gives 5 features, .* takes 4"),
        ({}, {"temperature": np.zeros(())}, "temperature: expected 1e-06 to 1e[+]06, got 0.0"),
        ({}, {"temperature": np.full((), 1e-300)}, "temperature: expected 1e-06 to 1e[+]06"),
        ({}, {"temperature": np.full((), np.nan)}, "temperature: expected finite numbers"),
        ({}, {"temperature": np.ones(1)}, "the arrays are"),
        ({}, {"theta": np.zeros(14, np.float32)}, r"'theta': 'float32\[15\]'"),
        ({}, {"theta": None}, "'theta' is missing"),
        ({}, {"scale": None}, "the arrays are"),
        ({}, {"extra": np.zeros(2)}, "the arrays are"),
        ({}, {"theta": np.zeros(15, np.int32)}, "dtype: expected one of float32, float64, got 'int32'"),
        ({}, {"mean": np.zeros((1, 4), np.float32)}, "the arrays are"),
        ({}, {"theta": np.full(15, np.nan, np.float32)}, "theta: expected finite numbers"),
        ({}, {"mean": np.full((1, 4), np.inf)}, "mean: expected finite numbers"),
        ({}, {"scale": np.zeros((1, 4))}, "scale: expected finite numbers above 0"),
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
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_file_of_long_names_takes_no_more_memory_than_it_is_long(tmp_path: Path) -> None:
    values = [f"{k:05}" for k in range(5000)]
    damaged(tmp_path / "m", {"preprocessing": [[CATEGORY | {"name": "é" * 10**6, "values": values}]]})
    few = [CATEGORY | {"name": chr(k) * 10**6, "values": values[:50]} for k in range(97, 103)]
    damaged(tmp_path / "few", {"preprocessing": [few]})
    for name, problem in (("m", "at most 50"), ("few", "gives 300 features")):
        tracemalloc.start()
        with pytest.raises(ValueError, match=problem):
            load(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 60e6  # features whose names were made would take more
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ([NUMBER, CATEGORY | {"name": "q"}], "preprocessing gives 2 features, but the network takes 4"),
        ([CATEGORY | {"values": [*"abcd"]}], "expected columns of the same kind for each network"),
        ([NUMBER | {"name": name} for name in "abcde"], "preprocessing gives 5 features, but the network takes 4"),
    ],
)
def test_preprocessings_of_a_stack_fit_the_network_and_each_other(second: Any, problem: str, tmp_path: Path) -> None:
    path, both = tmp_path / "m", [[NUMBER], second]
    arrays: dict[str, Array | None] = {"theta": np.zeros((2, 15), np.float32), "temperature": np.ones(2)}
    arrays |= {"mean": np.zeros((2, 4)), "scale": np.ones((2, 4))}
    damaged(path, {"seed": [1, 2], "preprocessing": both}, **arrays)
    with pytest.raises(ValueError, match=problem):
        load(path)


def test_every_layer_and_output_layer_comes_back_with_its_settings(tmp_path: Path) -> None:
    layers: list[Layer] = [
        Linear(4, 6),
        BatchNorm(6, 0.2, 1e-4),
        LeakyReLU(0.1),
        Dropout(0.3),
        LayerNorm(6, 1e-3),
        Linear(6, 3),
    ]
    network = Network(layers, SoftmaxCrossEntropy(0.1, [1, 2.5, 0]), seed=[1, 2])
    x = np.random.default_rng(0).normal(size=(20, 4))
    network.forward(x, np.arange(20) % 3)  # which moves the running statistics
    plain = make_model()
    save(tmp_path / "m", Model(network, plain.preprocessing, plain.class_names))
    loaded = load(tmp_path / "m").network
    np.testing.assert_array_equal(loaded.predict_proba(x), network.predict_proba(x))
    assert loaded.output.__dict__.items() >= {"label_smoothing": 0.1, "class_weight": [1.0, 2.5, 0.0]}.items()
    for there, here in zip(loaded.layers, layers, strict=True):
        for name in ("momentum", "epsilon", "slope", "p", "D", "H"):
            assert getattr(there, name, None) == getattr(here, name, None)


def test_any_bit_that_flips_is_found(tmp_path: Path) -> None:
    save(tmp_path / "m", make_model())
    whole, path = (tmp_path / "m").read_bytes(), tmp_path / "n"
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="not a model"):
            load(path)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"type": "MSE"}, "type: expected one of SoftmaxCrossEntropy, got 'MSE'"),
        ({"type": "ReLU"}, "type: expected one of SoftmaxCrossEntropy, got 'ReLU'"),
        ({"type": "SoftmaxCrossEntropy", "label_smoothing": 2}, "label_smoothing: expected a finite number"),
        ({"type": "SoftmaxCrossEntropy", "class_weight": [1, 2]}, "has 2 class weights, but there are 3 classes"),
        ({"type": "SoftmaxCrossEntropy", "class_weight": "heavy"}, "class_weight"),
        (None, "'output' is missing"),
    ],
)
def test_an_output_layer_that_makes_no_sense_is_refused(output: Any, message: str, tmp_path: Path) -> None:
    damaged(tmp_path / "m", {"output": output})
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "m")


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no such model file"):
        load(tmp_path)
    safetensors.numpy.save_file({"theta": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="was not written by minnet"):
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


def test_arrays_that_are_not_contiguous_are_saved_as_they_are(tmp_path: Path) -> None:
    columns = np.stack([np.arange(4.0), np.arange(1.0, 5)], axis=1)
    network = Network([Linear(4, 3)], dtype="float64")
    strided = network.at(np.arange(2.0 * network.theta.size)[::2])
    plain = Preprocessing.plain("pqrs", Standardization(columns[:, 0], columns[::-1, 1]))
    model = Model(strided, plain, ("a", "b", "c"))
    save(tmp_path / "m", model)
    loaded = load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.columns.standardization.mean, [0, 1, 2, 3])
    np.testing.assert_array_equal(loaded.columns.standardization.scale, [4, 3, 2, 1])
    np.testing.assert_array_equal(loaded.network.theta, strided.theta)


def test_what_load_would_refuse_is_not_saved(tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="class_names is not a list of 3 strings"):
        save(tmp_path / "m", Model(model.network, model.preprocessing, ("a",)))
    model.network.theta[0] = np.nan
    with pytest.raises(ValueError, match="theta: expected finite numbers"):
        save(tmp_path / "m", model)
    assert not os.listdir(tmp_path)


def test_a_model_file_takes_its_name_once_and_only_when_it_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no moment in which a file of that name is half, or one that `load` refuses."""
    replaced: list[str] = []
    replace = os.replace

    def counting(beside: Any, path: Any) -> None:
        np.testing.assert_array_equal(load(beside).network.theta, model.network.theta)
        replaced.append(os.path.basename(path))
        replace(beside, path)

    model = make_model()
    monkeypatch.setattr(os, "replace", counting)
    save(tmp_path / "m", model)
    model.network.theta += 1
    save(tmp_path / "m", model)
    assert replaced == ["m", "m"]
    model.network.theta[0] = np.nan
    with pytest.raises(ValueError, match=r"m: .* theta: expected finite numbers"):
        save(tmp_path / "m", model)
    assert len(replaced) == 2
    assert np.isfinite(load(tmp_path / "m").network.theta).all()
    assert os.listdir(tmp_path) == ["m"]


def test_a_models_columns_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 2)) * [1, 100]
    frame = pd.DataFrame({"large": x[:, 1], "small": x[:, 0]})
    t = (frame["small"] > 0).to_numpy().astype(int)
    dataset = Dataset.from_arrays(frame, t)
    assert dataset.feature_names == ("large", "small")
    network = Network([Linear(2, 2)])
    train(network, SGD(0.5), dataset, 30)
    save(tmp_path / "m", Model.of(network, dataset))
    model = load(tmp_path / "m")
    assert (model.predict(frame) == t).mean() > 0.9
    np.testing.assert_array_equal(model.predict(frame[["small", "large"]]), model.predict(frame))
    np.testing.assert_array_equal(model.predict_proba(frame.to_numpy()), model.predict_proba(frame))
    with pytest.raises(ValueError, match="there is no column 'small', which the model wants"):
        model.predict(frame[["large"]])


def test_a_frame_with_words_and_missing_cells_is_trained_on_and_predicted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 120)
    mass = np.where(rng.random(120) < 0.1, np.nan, rng.normal(kind, 0.3))
    frame = pd.DataFrame({"mass": mass, "sex": rng.choice(["f", "m"], 120), "kind": np.array(["a", "b", "c"])[kind]})
    dataset = Dataset.from_frame(frame, "kind")
    assert dataset.feature_names == ("mass", "mass is missing", "sex=m")
    network = Network([Linear(dataset.D, 16), Tanh(), Linear(16, 3)])
    train(network, SGD(0.1, 0.9), dataset, 20)
    save(tmp_path / "m", Model.of(network, dataset))
    model = load(tmp_path / "m")
    assert (np.array(model.class_names)[model.predict(frame)] == frame["kind"]).mean() > 0.8
    with pytest.raises(TypeError, match="'sex' holds words: give it a data frame"):
        model.predict(np.zeros((2, 2)))


def test_a_temperature_changes_how_sure_a_model_is_and_not_what_it_says(tmp_path: Path) -> None:
    plain = make_model()
    x = np.random.default_rng(0).normal(3, 5, (50, 4))
    save(tmp_path / "m", Model(plain.network, plain.preprocessing, plain.class_names, 2.0))
    model = load(tmp_path / "m")
    np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    z = plain.network.logits(plain.samples(x))
    np.testing.assert_allclose(model.predict_proba(x), plain.network.output.probabilities(z / 2), rtol=1e-6)


def test_networks_with_a_preprocessing_each_answer_together(tmp_path: Path) -> None:
    stack = Network([Linear(4, 3)], seed=[1, 2])
    first = Preprocessing.plain("pqrs", Standardization(np.zeros(4), np.ones(4)))
    second = Preprocessing.plain("pqrs", Standardization(np.ones(4), np.full(4, 2.0)))
    save(tmp_path / "m", Model(stack, Several([first, second]), ("a", "b", "c"), np.array([1.0, 0.5])))
    model, x = load(tmp_path / "m"), np.random.default_rng(0).normal(size=(9, 4))
    one = stack[0].predict_proba(first(x))
    two = stack.at(stack.theta[1]).output.probabilities(stack[1].logits(second(x)) / 0.5)
    np.testing.assert_allclose(model.predict_proba(x), (one + two) / 2, rtol=1e-6)
    assert model.predict_proba(x, average=False).shape == (2, 9, 3)
