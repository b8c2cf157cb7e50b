"""Does the doctor find what is wrong, say where, and keep silent about the healthy?"""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from minnet import Dataset, Linear, Network, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh, load_dataset
from minnet.data import Part
from minnet.data.named import DATASETS, load_raw
from minnet.layers import Array, BatchNorm, Dropout, Layer
from minnet.runs.data_check import Diagnosis, some
from minnet.runs.doctor import MakeNetwork, examine, initial_loss, learning_rate

CHECKS = (
    "feature scales",
    "constant features",
    "duplicate features",
    "duplicate rows",
    "class balance",
    "label leak",
    "double columns",
    "single column",
    "keys",
    "groups",
    "initial loss",
    "one batch",
    "dead units",
    "learning rate",
)


def maker(
    dataset: Dataset,
    activation: Callable[[], Layer] = ReLU,
    hidden: Sequence[int] = (64,),
    treat: Callable[[Network], object] | None = None,
    output: SoftmaxCrossEntropy | None = None,
) -> MakeNetwork:
    """Give what makes the default network for a data set, after some treatment."""

    def make(seed: int | Sequence[int]) -> Network:
        layers: list[Layer] = []
        D = dataset.D
        for H in hidden:
            layers += [Linear(D, H), activation()]
            D = H
        network = Network([*layers, Linear(D, dataset.K)], copy.copy(output), seed=seed)
        if treat is not None:
            treat(network)
        return network

    return make


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the check of the learning rate, where another one is tested."""
    monkeypatch.setattr("minnet.runs.doctor.RATE_STEPS", 300)


def wrong(diagnoses: list[Diagnosis]) -> dict[str, str]:
    """Give the texts of the checks that found something, by name."""
    assert tuple(diagnosis.check for diagnosis in diagnoses) == CHECKS
    assert not any("\n" in diagnosis.text for diagnosis in diagnoses)
    return {diagnosis.check: diagnosis.text for diagnosis in diagnoses if not diagnosis.right}


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("activation", [ReLU, Tanh, Sigmoid])
def test_silent_about_the_healthy(name: str, activation: type[ReLU | Tanh | Sigmoid]) -> None:
    for seed in range(2 if activation is ReLU else 1):
        dataset = load_dataset(name, seed)
        assert wrong(examine(dataset, maker(dataset, activation))) == {}


@pytest.mark.parametrize("hidden", [(64, 64), (64, 64, 64), (16,)])
@pytest.mark.parametrize("activation", [ReLU, Tanh, Sigmoid])
def test_initial_loss_is_right_for_any_depth_and_wrong_for_weights_ten_times_too_large(
    hidden: Sequence[int], activation: type[ReLU | Tanh | Sigmoid]
) -> None:
    for name in ("digits", "breast_cancer", "moons"):
        dataset = load_dataset(name)
        right, text = initial_loss(dataset, maker(dataset, activation, hidden))
        assert right, text
        right, text = initial_loss(dataset, maker(dataset, activation, hidden, lambda network: enlarge(network, 10)))
        assert not right, text


def with_outlier(x: Array, t: Array) -> tuple[Array, Array]:
    x[10, 2] = 1e9
    return x, t


def with_code_for_missing(x: Array, t: Array) -> tuple[Array, Array]:
    x[::20, 1] = -9999
    return x, t


def with_tiny_scale(x: Array, t: Array) -> tuple[Array, Array]:
    x[:, 1] = 1e6 + 1e-3 * x[:, 1]
    return x, t


def with_column(make: Callable[[Array, Array], Array]) -> Callable[[Array, Array], tuple[Array, Array]]:
    return lambda x, t: (np.column_stack([x, make(x, t)]), t)


def with_everything_twice(x: Array, t: Array) -> tuple[Array, Array]:
    return np.concatenate([x, x]), np.concatenate([t, t])


DATA_PROBLEMS = {
    "an outlier": (with_outlier, "feature scales", "'2' is 1e+09 in sample "),
    "a code for missing": (with_code_for_missing, "feature scales", "'1' is -9999 in sample "),
    "a tiny scale": (with_tiny_scale, "feature scales", "'1' is 1000000.0"),
    "constant": (with_column(lambda x, t: np.full(len(x), 7.5)), "constant features", "'4'"),
    "constant zero": (with_column(lambda x, t: np.zeros(len(x))), "constant features", "'4'"),
    "a copy": (with_column(lambda x, t: x[:, 3]), "duplicate features", "'3' and '4'"),
    "in other units": (with_column(lambda x, t: 32 - 1.8 * x[:, 3]), "duplicate features", "'3' and '4'"),
    "rows twice": (with_everything_twice, "duplicate rows", "validation rows stand in the train part"),
    "the class itself": (with_column(lambda x, t: t), "label leak", "'4'"),
    "the class in a code": (with_column(lambda x, t: np.array([3.5, -1, 1e4])[t]), "label leak", "'4'"),
    "one class told": (with_column(lambda x, t: t == 1), "label leak", "'4'"),
}


@pytest.mark.parametrize("problem", DATA_PROBLEMS)
def test_problem_of_the_data_is_found_and_named(problem: str, short: None) -> None:
    change, check, words = DATA_PROBLEMS[problem]
    raw = load_raw("iris")
    x, t = change(raw.x.copy(), raw.t)
    names = [str(d) for d in range(x.shape[1])]
    dataset = Dataset.from_arrays(x.astype(float), t, class_names=raw.class_names, feature_names=names)
    found = wrong(examine(dataset, maker(dataset)))
    assert words in found[check]
    assert set(found) <= {check, "learning rate", "single column"}  # nothing else, unless it makes learning hard


def test_outliers_of_sparse_features_and_lost_features_are_found(short: None) -> None:
    raw = load_raw("digits")
    x = raw.x.copy()
    x[5, 8] = 1e9  # of a pixel that is dark in 99 of 100 pictures
    x[7, 20] = 1e15  # float32 cannot tell the others apart
    dataset = Dataset.from_arrays(x, raw.t)
    text = wrong(examine(dataset, maker(dataset)))["feature scales"]
    assert "'x8' is 1e+09" in text
    assert "'x20' is 1e+15" in text


def test_pictures_with_rarely_lit_pixels_are_healthy(short: None) -> None:
    rng = np.random.default_rng(0)
    raw = load_raw("digits")
    pictures = np.zeros((3000, 20, 20))
    for picture, digit in zip(pictures, rng.integers(0, len(raw.x), 3000), strict=True):
        row, column = np.clip(np.round(rng.normal(6, 1.6, 2)), 0, 12).astype(int)
        picture[row : row + 8, column : column + 8] = raw.x[digit].reshape(8, 8)
    labels = rng.integers(0, 3, 3000)
    dataset = Dataset.from_arrays(pictures.reshape(3000, 400), labels)
    found = wrong(examine(dataset, maker(dataset)))
    assert not set(found) & {"feature scales", "constant features", "duplicate features", "label leak"}


def test_wide_data_with_few_samples_are_healthy(short: None) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(40, 1000)), np.arange(40) % 2
    x[t == 1, :20] += 3
    dataset = Dataset.from_arrays(x, t)
    assert wrong(examine(dataset, maker(dataset))) == {}


def test_contradicting_labels_are_found_and_named(short: None) -> None:
    dataset = load_dataset("iris")
    x, t = dataset.train
    some = np.arange(4)
    both = Part(np.concatenate([x, x[some]]), np.concatenate([t, (t[some] + 1) % 3]))
    found = wrong(examine(dataclasses.replace(dataset, train=both), maker(dataset)))
    assert set(found) == {"duplicate rows"}
    assert "such as samples 0 and 106, 1 and 107, 2 and 108; " in found["duplicate rows"]
    both = Part(np.concatenate([x[:8], x[:8]]), np.concatenate([t[:8], (t[:8] + 1) % 3]))
    found = wrong(examine(dataclasses.replace(dataset, train=both), maker(dataset)))
    assert "8 of 16 train rows have an earlier twin of another class" in found["duplicate rows"]
    assert "of 16 samples only 50% are learned by heart" in found["one batch"]


def test_class_missing_from_a_part_is_found(short: None) -> None:
    dataset = load_dataset("iris")
    x, t = dataset.test
    found = wrong(examine(dataclasses.replace(dataset, test=Part(x[t != 2], t[t != 2])), maker(dataset)))
    assert list(found) == ["class balance"]
    assert "the test part has no sample of 'virginica'" in found["class balance"]


def test_rare_class_is_found_unless_class_weights_make_up_for_it() -> None:
    raw = load_raw("moons")
    kept = np.concatenate([np.flatnonzero(raw.t == 0), np.flatnonzero(raw.t == 1)[:30]])
    dataset = Dataset.from_arrays(raw.x[kept], raw.t[kept], class_names=["common", "rare"])
    found = wrong(examine(dataset, maker(dataset)))
    assert list(found) == ["class balance"]
    said = "21 to 349 training samples a class, fewest of 'rare'; try --class-weight balanced"
    assert found["class balance"] == said
    weighted = SoftmaxCrossEntropy(label_smoothing=0.2, class_weight=[1.0, 16.0])
    assert wrong(examine(dataset, maker(dataset, output=weighted))) == {}


def enlarge(network: Network, factor: float) -> None:
    network.theta *= np.float32(factor)


def kill(network: Network) -> None:
    for layer in network.layers[:1]:
        assert isinstance(layer, Linear)
        layer.b[...] = -10


def turn_around(network: Network) -> None:
    """Give all gradients the wrong sign."""
    backward = network.backward

    def wrong_backward() -> None:
        backward()
        network.dtheta *= -1

    network.backward = wrong_backward  # type: ignore[method-assign]


NETWORK_PROBLEMS = {
    "ten times too large": ({"treat": lambda network: enlarge(network, 10)}, "initial loss", "where ln K is 2.3"),
    "a hundred times": ({"treat": lambda network: enlarge(network, 100)}, "initial loss", "where ln K is 2.3"),
    "not finite": ({"treat": lambda network: enlarge(network, math.nan)}, "initial loss", "nan, where ln K is 2.3"),
    "dead": ({"treat": kill}, "dead units", " of 64 units of layer 1 are dead or saturated"),
    "saturated": (
        {"activation": Tanh, "treat": lambda network: enlarge(network, 100)},
        "dead units",
        "of 64 units of layer 1 are dead or saturated",
    ),
    "a wrong gradient": ({"treat": turn_around}, "one batch", "`minnet check`"),
    "too small": ({"activation": Tanh, "hidden": (1,)}, "one batch", "take more hidden units"),
}


@pytest.mark.parametrize("problem", NETWORK_PROBLEMS)
def test_problem_of_the_network_is_found(problem: str, short: None) -> None:
    settings, check, words = NETWORK_PROBLEMS[problem]
    dataset = load_dataset("digits")
    found = wrong(examine(dataset, maker(dataset, **settings)))  # type: ignore[arg-type]
    assert words in found[check]
    assert set(found) <= set(CHECKS[10:])


@pytest.mark.parametrize(
    ("lr", "check", "words"),
    [
        (3.0, "learning rate", "the lowest validation loss is inf at lr 3; the best of 7 rates is 0.05"),
        (1e30, "learning rate", "the lowest validation loss is inf at lr 1e+30; the best of 7 rates is 0.05"),
        (1e-5, "learning rate", "lr is too low, use 0.05"),
        (1e-12, "learning rate", "lr is too low, use 0.05"),
    ],
)
def test_learning_rate_out_of_range_is_found_and_a_better_one_named(lr: float, check: str, words: str) -> None:
    dataset = load_dataset("digits")
    found = wrong(examine(dataset, maker(dataset), lr))
    assert words in found[check]
    assert set(found) <= {"dead units", "learning rate"}


@pytest.mark.parametrize(("activation", "hidden"), [(ReLU, (64, 64)), (Tanh, (64,))])
def test_units_that_the_learning_rate_kills_are_found(activation: type[ReLU | Tanh], hidden: Sequence[int]) -> None:
    dataset = load_dataset("digits")
    text = wrong(examine(dataset, maker(dataset, activation, hidden), 3.0))["dead units"]
    assert "are dead or saturated after an epoch at lr 3, 0 from the start; " in text


def test_the_same_each_time_and_nothing_is_changed() -> None:
    dataset = load_dataset("iris")
    before = copy.deepcopy(dataset)
    one, two = (examine(dataset, maker(dataset)) for _ in range(2))
    assert one == two
    for name in ("train", "validation", "test"):
        for was, now in zip(getattr(before, name), getattr(dataset, name), strict=True):
            np.testing.assert_array_equal(was, now)


def test_samples_with_weights_soft_targets_and_rows_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnet.runs.doctor.SAMPLES", 50)
    dataset = load_dataset("iris")
    x, t = dataset.train
    soft = Part(x.copy(), 0.9 * np.eye(3)[t] + 0.1 / 3)
    soft.x[40, 1] = 1e9
    weights, rows = {"train": np.linspace(1, 2, 106)}, {"train": np.arange(1000, 1106)}
    found = wrong(examine(dataclasses.replace(dataset, train=soft, sample_weight=weights, rows=rows), maker(dataset)))
    assert "in sample 40 of the train part (row 1041 of the data)" in found["feature scales"]
    sound = dataclasses.replace(dataset, train=Part(x, soft.t), sample_weight=weights, rows=rows)
    assert wrong(examine(sound, maker(dataset))) == {}


def test_networks_with_dropout_and_batch_norm_are_healthy() -> None:
    dataset = load_dataset("digits")

    def make(seed: int | Sequence[int]) -> Network:
        return Network([Linear(64, 64), BatchNorm(64), ReLU(), Dropout(0.5), Linear(64, 10)], seed=seed)

    assert wrong(examine(dataset, make)) == {}


def test_check_that_cannot_be_made_is_a_finding() -> None:
    dataset = load_dataset("iris")

    def fail(seed: int | Sequence[int]) -> Network:
        raise MemoryError("no room\nat all")

    found = wrong(examine(dataset, fail))
    assert list(found) == [*CHECKS[10:]]
    assert found["one batch"] == "could not be checked: MemoryError: no room at all"
    flat = dataclasses.replace(dataset, train=Part(np.zeros_like(dataset.train.x), dataset.train.t))
    assert "nothing to learn from" in wrong(examine(flat, maker(dataset)))["constant features"]


def test_training_that_diverges_at_all_rates_is_told() -> None:
    dataset = load_dataset("iris")
    make_network = maker(dataset, treat=lambda network: enlarge(network, math.nan))
    right, text = learning_rate(dataset, make_network, 0.05, 0.9, 32)
    assert not right
    assert "all others tried" in text


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_sample_is_named_with_its_part(name: str, short: None) -> None:
    dataset = load_dataset("iris")
    part = Part(getattr(dataset, name).x.copy(), getattr(dataset, name).t)
    part.x[3, 1] = 1e9
    parts: dict[str, Any] = {name: part}
    found = wrong(examine(dataclasses.replace(dataset, **parts), maker(dataset)))
    assert f"in sample 3 of the {name} part" in found["feature scales"]


def test_a_constant_feature_is_found_beside_an_outlier(short: None) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    x[:, 1] = 5
    x[7, 2] = 1e9
    dataset = Dataset.from_arrays(x, np.arange(300) % 2, feature_names=["a", "const", "b"])
    found = wrong(examine(dataset, maker(dataset)))
    assert "'const'" in found["constant features"]


@pytest.mark.parametrize("N", [60, 5000])
def test_a_row_number_is_no_feature(N: int, short: None) -> None:
    """Sorted by class, it would give the class away."""
    rng = np.random.default_rng(0)
    t = np.sort(np.arange(N) % 3)
    x = np.stack([rng.normal(size=N), np.arange(1.0, N + 1)], axis=1)
    dataset = Dataset.from_arrays(x, t, feature_names=["a", "id"])
    found = wrong(examine(dataset, maker(dataset)))
    assert found["keys"].startswith("'id' numbers the rows: new samples get values never seen, so leave it out")


def test_a_list_of_examples_is_short() -> None:
    assert some(["a", "b"]) == "a, b (2 in all)"
    assert some([str(k) for k in range(15)]) == "0, 1, 2 (15 in all)"
