"""Are data sets split and scaled so that they can be trusted, and named so that they are found?"""

import dataclasses
import gzip
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.utils import Bunch

from minnet import Dataset, load_dataset
from minnet.data import Part, Preprocessing, Standardization
from minnet.data.named import DATASETS, load_raw
from minnet.layers import Array


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_split_stratified_and_standardised_by_its_training_part(name: str) -> None:
    dataset, raw = load_dataset(name, seed=3, dtype="float64"), load_raw(name)
    parts = (dataset.train, dataset.validation, dataset.test)
    N = len(raw.x)
    assert sum(len(part.x) for part in parts) == N
    for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
        assert abs(len(part.x) - share * N) <= 1.5
        frequencies = np.bincount(part.t, minlength=dataset.K) / len(part.t)
        assert np.abs(frequencies - np.bincount(raw.t) / N).max() < 1.5 / len(part.t)
    np.testing.assert_allclose(dataset.train.x.mean(axis=0), 0, atol=1e-12)
    varied = dataset.train.x.std(axis=0) > 0
    np.testing.assert_allclose(dataset.train.x.std(axis=0)[varied], 1, rtol=1e-9)
    back = np.concatenate([part.x for part in parts]) * dataset.standardization.scale + dataset.standardization.mean
    np.testing.assert_allclose(np.sort(back, axis=0), np.sort(raw.x, axis=0), atol=1e-9)  # nothing lost, nothing twice
    assert (len(dataset.feature_names), len(dataset.class_names)) == (raw.x.shape[1], len(np.unique(raw.t)))
    assert load_dataset(name).train.x.dtype == np.float32


def test_nothing_of_the_held_out_parts_leaks_into_the_standardisation() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(100, 3)), np.arange(100) % 2
    first = Dataset.from_arrays(x, t, dtype="float64")
    held_out = np.isin(first.standardization(x, "float64")[:, 0], [*first.validation.x[:, 0], *first.test.x[:, 0]])
    assert held_out.sum() == 30
    x[held_out] *= 1000
    second = Dataset.from_arrays(x, t, dtype="float64")
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert np.abs(second.test.x).max() > 100


def test_the_seed_determines_the_split_and_targets_stay_with_their_samples() -> None:
    x, t = np.arange(60.0)[:, None] + np.zeros(2), np.arange(60) % 3
    one, same, other = (Dataset.from_arrays(x, t, seed=seed, dtype="float64") for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train.x, same.train.x)
    assert set(one.test.x[:, 0]) != set(other.test.x[:, 0])
    for part in (one.train, one.validation, one.test):
        raw = part.x[:, 0] * one.standardization.scale[0] + one.standardization.mean[0]
        np.testing.assert_array_equal(np.round(raw).astype(int) % 3, part.t)


@pytest.mark.parametrize("own_test", [False, True])
def test_sample_weights_stay_with_their_samples(own_test: bool) -> None:
    x = np.random.default_rng(0).permutation(np.arange(60.0))[:, None] + np.zeros(2)
    x_test = np.arange(60.0, 70)[:, None] + np.zeros(2)
    t, t_test = np.arange(60) % 3, np.arange(10) % 3
    test = (x_test, t_test, x_test[:, 0] + 1) if own_test else None
    dataset = Dataset.from_arrays(x, t, sample_weight=x[:, 0] + 1, test=test, dtype="float64")
    assert set(dataset.sample_weight) == {"train", "validation", "test"}
    for name, weights in dataset.sample_weight.items():
        raw = getattr(dataset, name).x * dataset.standardization.scale + dataset.standardization.mean
        np.testing.assert_allclose(weights, raw[:, 0] + 1)
        if name in dataset.rows:
            np.testing.assert_array_equal(weights, x[dataset.rows[name], 0] + 1)
    assert set(Dataset.from_arrays(x, t, test=test).sample_weight) == ({"test"} if own_test else set())


def test_mean_and_scale_are_those_of_the_training_rows_alone() -> None:
    x = np.random.default_rng(0).normal(size=(100, 3)) * [1, 10, 100] + 5
    dataset = Dataset.from_arrays(x, np.arange(100) % 2, dtype="float64")
    training = x[dataset.rows["train"]]
    np.testing.assert_allclose(dataset.standardization.mean, training.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dataset.standardization.scale, training.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dataset.train.x, (training - training.mean(axis=0)) / training.std(axis=0), rtol=1e-9)


def test_targets_may_miss_1_by_rounding_and_no_more() -> None:
    rows = np.full((20, 2), 0.5)
    dataset = Dataset.from_arrays(X, T)
    for error, fits in ((0.0, True), (0.9e-5, True), (1.1e-5, False), (9e-3, False)):
        rows[7, 0] = 0.5 + error
        train = Part(X, rows.copy())
        if fits:
            dataclasses.replace(dataset, train=train, rows={})
        else:
            with pytest.raises(ValueError, match=r"must sum to 1 .* at index 7 \(in the train part\)"):
                dataclasses.replace(dataset, train=train, rows={})


def test_a_constant_feature_stays_finite() -> None:
    x = np.column_stack([np.full(30, 7.0), np.arange(30.0)])
    dataset = Dataset.from_arrays(x, np.arange(30) % 2)
    assert not dataset.train.x[:, 0].any()
    assert dataset.standardization.scale[0] == 1


def test_the_callers_arrays_are_left_alone() -> None:
    x, t = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    kept = x.copy()
    Dataset.from_arrays(x, t)
    np.testing.assert_array_equal(x, kept)


def test_the_smallest_data_set_that_can_be_split() -> None:
    dataset = Dataset.from_arrays(np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1], class_names=["no", "yes"])
    for part in (dataset.train, dataset.validation, dataset.test):
        np.testing.assert_array_equal(np.sort(part.t), [0, 1])
    assert dataset.class_names == ("no", "yes")
    assert dataset.feature_names == ("x0", "x1")
    assert repr(dataset) == "Dataset('arrays', train=2, validation=2, test=2, D=2, K=2)"


X, T = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2


@pytest.mark.parametrize(
    ("x", "t", "names", "error", "message"),
    [
        (X.astype(int), T, {}, TypeError, "floating-point numbers, got int64"),
        (X.astype(object), T, {}, TypeError, "got object"),
        (X[:, 0], T, {}, ValueError, r"got \(20,\)"),
        (X[:0], T[:0], {}, ValueError, r"N at least 1 .* got \(0, 2\)"),
        (np.where(np.arange(40).reshape(20, 2) == 7, np.nan, X), T, {}, ValueError, "got nan at index 3, 1"),
        (
            X,
            T,
            {"validation": 0.9},
            ValueError,
            r"^Dataset validation: expected a finite number above 0 and below 0\.8, got 0\.9$",
        ),
        (
            X,
            T,
            {"validation": "0.1"},
            ValueError,
            r"^Dataset validation: expected a finite number above 0 .*, got '0\.1'$",
        ),
        (X, T, {"seed": -1}, ValueError, "must be an int in the range .* Got -1 instead"),
        (
            X,
            T,
            {"seed": 2**33},
            ValueError,
            "must be an int in the range .* Got 8589934592 instead",
        ),
        (X[:6], T[:6], {"validation": 0.7}, ValueError, "6 samples are too few to keep a share of 0.7 of them aside"),
        (
            X,
            T,
            {"sample_weight": np.eye(20)[0]},
            ValueError,
            r"sample_weight: .* got none, so that nothing would count \(in the (train|validation|test) part\)",
        ),
        (
            X,
            T,
            {"sample_weight": np.ones(19)},
            ValueError,
            r"sample_weight: expected numbers of shape \(20,\), got \(19,\)",
        ),
        (X, T, {"test": (X, T, -T)}, ValueError, r"at least 0, got -1\.0 at index 1 \(in the test part\)"),
        (
            X,
            T,
            {"test": (X, T, [1.0])},
            ValueError,
            r"expected numbers of shape \(20,\), got \(1,\) of float64 \(in the test part\)",
        ),
        (X, T, {"test": (X, T[1:])}, ValueError, r"got 19 targets for 20 samples \(in the test part\)"),
        (X, T[:19], {}, ValueError, "as many targets as samples, got 19 targets for 20 samples"),
        (X, T * 1.0, {}, TypeError, "must be integers, .* got float64"),
        (X, np.array(["a", "b"] * 10), {}, TypeError, r"np\.unique"),
        (X, T - 1, {}, ValueError, "got -1 at index 0"),
        (X, T + 1, {"class_names": ["a", "b"]}, ValueError, "must lie in 0 … 1, got 2 at index 1"),
        (X, T + 1, {}, ValueError, "must lie in 0 … 1, got 2 at index 1"),
        (X, T * 2, {}, ValueError, "must lie in 0 … 1, got 2 at index 1"),
        (X, T, {"class_names": ["a", "b", "c"]}, ValueError, "has no sample of class 'c'"),
        (X, np.array([0, None] * 10), {}, TypeError, "must be integers, .* got object"),
        (X, T * 0, {}, ValueError, "expected at least two classes of different names"),
        (X, T, {"class_names": ["a", "a"]}, ValueError, "expected at least two classes of different names"),
        (X, np.ma.masked_equal(T, 1), {}, TypeError, "got a masked one"),
        (X, np.arange(20) // 18, {}, ValueError, "class '1' has 2 rows: expected at least 3"),
        (X, np.eye(2)[T], {}, ValueError, "one class number a sample"),
        (X, T, {"feature_names": ["a"]}, ValueError, "expected 2 feature_names, as x has columns, got 1"),
    ],
)
def test_arrays_that_make_no_data_set_are_refused(
    x: Array, t: Array, names: dict[str, list[str]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Dataset.from_arrays(x, t, **names)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("validation", [0.15, 0.5, 0.75])
def test_each_part_has_each_class_however_rare(seed: int, validation: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.choice([3, 3, 4, 6, 30, 200], size=rng.integers(2, 9))
    t = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(t), 2))
    x_test = rng.normal(size=(9, 2)), np.zeros(9, int)
    for test in (None, x_test):
        try:
            dataset = Dataset.from_arrays(x, t, seed=seed, validation=validation, test=test)
        except ValueError as error:
            assert "too few to keep a share" in str(error)  # noqa: PT017
            continue
        own = ("train", "validation") if test else ("train", "validation", "test")
        assert sorted(np.concatenate([dataset.rows[part] for part in own])) == list(range(len(t)))
        for part in own:
            assert set(getattr(dataset, part).t) == set(range(len(counts)))


@pytest.mark.parametrize("scale", [1e300, 1e-200])
def test_features_of_any_size_are_standardised(scale: float) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    plain = Dataset.from_arrays(x, np.arange(60) % 2)
    scaled = Dataset.from_arrays(x * [1, scale, 1], np.arange(60) % 2)
    np.testing.assert_allclose(scaled.train.x, plain.train.x, rtol=1e-6)
    np.testing.assert_array_equal(scaled.test.x[:, 0], plain.test.x[:, 0])


def test_a_data_set_put_together_by_hand_is_checked() -> None:
    def make(**changed: Any) -> Dataset:
        part = Part(X, T)
        arguments: dict[str, Any] = {
            "name": "mine",
            "train": part,
            "validation": part,
            "test": part,
            "class_names": ("a", "b"),
        }
        arguments["preprocessing"] = Preprocessing.plain(("p", "q"), Standardization(np.zeros(2), np.ones(2)))
        return Dataset(**(arguments | changed))

    assert make().K == 2
    make(train=Part(X, np.eye(2)[T]))
    with pytest.raises(ValueError, match=r"must sum to 1 .* \(in the train part\)"):
        make(train=Part(X, np.ones((20, 2))))
    with pytest.raises(ValueError, match=r"\(in the test part\)"):
        make(test=Part(X[:, :1], T))
    with pytest.raises(TypeError, match=r"\(in the validation part\)"):
        make(validation=Part(X, T * 1.0))
    with pytest.raises(ValueError, match=r"got 19 targets for 20 samples \(in the test part\)"):
        make(test=Part(X, T[:19]))
    with pytest.raises(ValueError, match="at least two classes"):
        make(class_names=("a",))


def test_an_unknown_name_lists_the_known_ones_nearest_first() -> None:
    near = {"iri": "iris", "Digits": "digits", "spirals": "spiral", "openml:": "", "openml: ": "", "openml:a b": ""}
    for name, nearest in near.items():
        with pytest.raises(ValueError, match=f"unknown data set '{name}'; known are: ") as caught:
            load_dataset(name)
        assert all(known in str(caught.value) for known in DATASETS)
        if nearest in DATASETS:
            assert f"known are: {nearest}," in str(caught.value)


def fake_openml(folder: Path, rows: list[str], attributes: list[str], target: str = "kind") -> None:
    """Put a data set into scikit-learn's OpenML cache as number 77 and as "tiny", as a download leaves it there."""
    arff = "\n".join(["@relation tiny", *[f"@attribute {a}" for a in attributes], "@data", *rows]) + "\n"
    names = [a.split()[0] for a in attributes]
    types = ["numeric" if a.split()[1] == "numeric" else "nominal" for a in attributes]
    description = {
        "id": "77", "name": "tiny", "version": "1", "format": "ARFF", "file_id": "7", "status": "active",
        "url": "https://www.openml.org/data/v1/download/7/tiny.arff", "default_target_attribute": target,
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),  # noqa: S324 - OpenML's own choice
        "description": "made by a test", "processing_date": "2020-01-01",
    }  # fmt: skip
    features = [
        {"index": str(i), "name": n, "data_type": t, "is_target": str(n == target).lower(), "is_ignore": "false",
         "is_row_identifier": "false", "number_of_missing_values": "0"}
        for i, (n, t) in enumerate(zip(names, types, strict=True))
    ]  # fmt: skip
    files = {
        "api/v1/json/data/77": json.dumps({"data_set_description": description}),
        "api/v1/json/data/features/77": json.dumps({"data_features": {"feature": features}}),
        "api/v1/json/data/qualities/77": json.dumps(
            {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(len(rows))}]}}
        ),
        "api/v1/json/data/list/data_name/tiny/limit/2/status/active/": json.dumps(
            {"data": {"dataset": [{"did": 77, "name": "tiny", "version": 1, "status": "active"}]}}
        ),
        "data/v1/download/7/tiny.arff": arff,
    }
    for path, content in files.items():
        file = folder / "data" / "openml" / "openml.org" / (path + ".gz")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content.encode()))


@pytest.mark.parametrize("name", ["openml:tiny", "openml:77"])
def test_a_data_set_from_openml_is_read_from_its_cache(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_openml(
        tmp_path,
        [f"{i},{i * i},{'abc'[i % 3]}" for i in range(30)],
        ["p numeric", "q numeric", "kind {a,b,c}"],
    )
    monkeypatch.chdir(tmp_path)
    raw = load_raw(name)
    np.testing.assert_array_equal(raw.x, [[i, i * i] for i in range(30)])
    np.testing.assert_array_equal(raw.t, np.arange(30) % 3)
    assert list(raw.class_names) == ["a", "b", "c"]
    assert list(raw.feature_names) == ["p", "q"]
    assert load_dataset(name).K == 3


def test_openml_data_that_cannot_be_trained_on_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_openml(tmp_path, [f"{i},{i},{i}" for i in range(20)], ["p numeric", "q numeric", "kind numeric"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no classes for its target"):
        load_dataset("openml:77")


def test_openml_data_may_lack_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{'?' if i % 5 == 0 else i},?,{'ab'[i % 2]}" for i in range(20)]
    fake_openml(tmp_path, rows, ["p numeric", "q numeric", "kind {a,b}"])
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("openml:77")
    assert dataset.feature_names == ("p", "p is missing")
    assert dataset.preprocessing.left_out == {"q": "no cell has a value"}


def test_openml_features_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bunch = Bunch(data=np.array([["a"], ["b"]], object), target=np.array(["x", "y"]), feature_names=["p"])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **_: bunch)
    with pytest.raises(ValueError, match="openml:77 has features that are not numbers"):
        load_raw("openml:77")


def test_openml_without_a_network_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", unreachable)
    with pytest.raises(
        OSError, match=r"^openml:mnist_784 is not in data/openml/ and could not be fetched .*$"
    ) as caught:
        load_dataset("openml:mnist_784")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_spiral_is_what_its_script_makes() -> None:
    root = Path(__file__).parents[2]
    make_spiral = runpy.run_path(str(root / "scripts" / "make_spiral.py"))["make_spiral"]
    assert make_spiral() == (root / "data" / "spiral.csv").read_text(encoding="utf-8")


def test_labels_and_counts_are_those_of_class_numbers_and_of_soft_targets_alike() -> None:
    dataset = load_dataset("iris")
    soft = dataclasses.replace(dataset, test=Part(dataset.test.x, 0.9 * np.eye(3)[dataset.test.t] + 0.1 / 3))
    for each in (dataset, soft):
        np.testing.assert_array_equal(each.labels("test"), dataset.test.t)
        assert each.counts("test").tolist() == np.bincount(dataset.test.t).tolist()
