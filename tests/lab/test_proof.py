"""Does training stop before its first step if its gradient is wrong, and never if it is right?"""

import itertools
import json
import math
import os
import random
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    BatchNorm,
    Dataset,
    Dropout,
    History,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    load_dataset,
    train,
)  # fmt: skip
from minnet.cli.main import main
from minnet.lab.bugs import BUGS
from minnet.lab.proof import PROVEN, check_directions, prove
from minnet.layers import Array, Layer
from minnet.runs.build import make_datasets
from minnet.runs.config import Config
from minnet.runs.sweep import folds_of, grid, sweep
from minnet.training import Training


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return load_dataset("iris")


def proof_of(network: Network, dataset: Dataset, **settings: Any) -> Any:
    return prove(Training(network, SGD(0.1), dataset, 1, **settings))


# A learner's layers: right ones, as well as complex numbers allow


class MyLinear(Layer):
    W: Array
    b: Array
    dW: Array
    db: Array

    def __init__(self, D: int, H: int) -> None:
        self.shapes = {"W": (D, H), "b": (1, H)}

    def forward(self, x: Array) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dz: Array) -> Any:
        self.dW[...] = self.x.mT @ dz
        self.db[...] = dz.sum(axis=-2, keepdims=True)
        return dz @ self.W.mT


class Absolute(Layer):
    def forward(self, x: Array) -> Any:
        self.x = x
        return np.abs(x)

    def backward(self, da: Array) -> Any:
        return da * np.sign(self.x)


class Real(Layer):
    """It loses imaginary parts, and says nothing."""

    def forward(self, x: Array) -> Any:
        self.x = x.real
        return np.clip(self.x, -0.5, 0.5)

    def backward(self, da: Array) -> Any:
        return da * (np.abs(self.x) < 0.5)


class Raising(Layer):
    def forward(self, x: Array) -> Any:
        self.a = np.vectorize(math.tanh)(x)
        return self.a

    def backward(self, da: Array) -> Any:
        return da * (1 - self.a**2)


class Single(Layer):
    """It computes in single precision inside."""

    def forward(self, x: Array) -> Any:
        self.a = np.tanh(x.astype(np.float32))
        return self.a

    def backward(self, da: Array) -> Any:
        return da * (1 - self.a**2)


class StraightThrough(Layer):
    """Its slope is 0, and it says 1, so that something can be learned."""

    def forward(self, x: Array) -> Any:
        return np.round(x.real)

    def backward(self, da: Array) -> Any:
        return da


class Halves(Layer):
    """It computes in half precision inside, of small numbers."""

    def forward(self, x: Array) -> Any:
        self.a = np.tanh(x.real.astype(np.float16) / 4).astype(np.float32)
        return self.a

    def backward(self, da: Array) -> Any:
        return da * (1 - self.a**2) / 4


class GlobalNumbers(Layer):
    def forward(self, x: Array) -> Any:
        self.mask = (np.random.rand(*x.shape) > 0.3) / 0.7  # noqa: NPY002 - as people write it
        return x * self.mask

    def backward(self, da: Array) -> Any:
        return da * self.mask


class OwnNumbers(Layer):
    def __init__(self) -> None:
        self.rng, self.mean = np.random.default_rng(3), np.zeros(16)

    def forward(self, x: Array) -> Any:
        self.mean *= 0.9
        self.mean += 0.1 * x.real.reshape(-1, 16).mean(axis=0)
        self.mask = self.rng.random(x.shape) > 0.3
        return x * self.mask

    def backward(self, da: Array) -> Any:
        return da * self.mask


class HoldsAModule(Raising):
    def __init__(self) -> None:
        self.math = math


class OneNetworkOnly(MyLinear):
    """Its .T and its axes hold for a single network, and that is all that it is used for."""

    def backward(self, dz: Array) -> Any:
        self.dW[...] = self.x.T @ dz
        self.db[...] = dz.sum(axis=0)
        return dz @ self.W.T


class Zero(Linear):
    def initialize(self, rng: np.random.Generator, following: object) -> None:
        self.W[...], self.b[...] = 0, 0


def between(*layers: Callable[[], Any]) -> Callable[[int, int], list[Any]]:
    return lambda D, K: [Linear(D, 16), *(layer() for layer in layers), Linear(16, K)]


def deep(*layers: Callable[[int], Any], depth: int = 8) -> Callable[[int, int], list[Any]]:
    def make(D: int, K: int) -> list[Any]:
        widths = itertools.pairwise([D] + [8] * depth)
        hidden = [[Linear(d, h), *(layer(h) for layer in layers)] for d, h in widths]
        return [*itertools.chain(*hidden), Linear(8, K)]

    return make


MINNETS: dict[str, Callable[[int, int], list[Any]]] = {
    "regression": lambda D, K: [Linear(D, K)],
    "relu": between(ReLU),
    "leaky": between(LeakyReLU),
    "leaky-0": between(lambda: LeakyReLU(0)),
    "tanh": between(Tanh),
    "sigmoid": between(Sigmoid),
    "wide": lambda D, K: [Linear(D, 256), ReLU(), Linear(256, K)],
    "narrow": lambda D, K: [Linear(D, 1), ReLU(), Linear(1, K)],
    "zero": lambda D, K: [Zero(D, 16), ReLU(), Zero(16, K)],
    "relu-first": lambda D, K: [ReLU(), Linear(D, K)],
    "deep-relu": deep(lambda h: ReLU()),
    "deep-sigmoid": deep(lambda h: Sigmoid(), depth=14),
    "batch": between(lambda: BatchNorm(16), ReLU),
    "batch-first": lambda D, K: [BatchNorm(D), Linear(D, K)],
    "batch-last": lambda D, K: [Linear(D, K), BatchNorm(K)],
    "deep-batch": deep(BatchNorm, lambda h: ReLU()),
    "layer": between(lambda: LayerNorm(16), ReLU),
    "deep-layer": deep(LayerNorm, lambda h: Tanh()),
    "dropout": between(ReLU, Dropout),
    "dropout-9": lambda D, K: [Dropout(0.9), Linear(D, 8), ReLU(), Dropout(0.9), Linear(8, K)],
    "all": between(lambda: BatchNorm(16), ReLU, Dropout, lambda: LayerNorm(16), Tanh, lambda: Dropout(0.1)),
    "mine": lambda D, K: [MyLinear(D, 16), ReLU(), MyLinear(16, K)],
    "two-mine": lambda D, K: [MyLinear(D, 16), Tanh(), MyLinear(16, 16), Sigmoid(), MyLinear(16, K)],
    "half-mine": lambda D, K: [Linear(D, 16), LeakyReLU(), MyLinear(16, K)],
}
LEARNERS = {cls.__name__: between(cls) for cls in (Absolute, Real, Raising, Single, OwnNumbers, GlobalNumbers)}
LEARNERS |= {
    "kinks": between(ReLU, Absolute, ReLU, Real, Real),
    "HoldsAModule": between(HoldsAModule),
    "deep-real": deep(lambda h: Real()),
}
LEARNERS["OneNetworkOnly"] = lambda D, K: [OneNetworkOnly(D, 16), Absolute(), OneNetworkOnly(16, K)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MINNETS)
def test_a_right_gradient_is_proved_by_complex_steps(name: str, dtype: str) -> None:
    assert len(MINNETS) == 24
    seeds: list[Any] = [0, [1, 2, 3, 4]]
    for dataset, seed in itertools.product(("iris", "digits"), seeds):
        data = load_dataset(dataset, dtype=dtype)
        proof = proof_of(Network(MINNETS[name](data.D, data.K), seed=seed, dtype=dtype), data)
        assert proof["error"] <= (PROVEN if seed else PROVEN / 10)
        assert (proof["directions"], proof["samples"], proof["by"]) == (3, 8, "complex steps")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LEARNERS)
def test_right_layers_that_complex_numbers_do_not_suit_train(name: str, dtype: str) -> None:
    data = load_dataset("iris", dtype=dtype)
    seeds: list[Any] = [0, 1, 2, [3, 4]]
    for seed in seeds[:3] if name == "OneNetworkOnly" else seeds:
        network = Network(LEARNERS[name](4, 3), seed=seed, dtype=dtype)
        training = Training(network, SGD(0.1), data, 1)
        training.run()
        if training.proof is not None:
            assert training.proof["error"] <= 1e-5
        if name in ("Absolute", "Real", "Raising", "OneNetworkOnly"):
            assert training.proof is not None
            assert training.proof["by"] == "difference quotients"


@pytest.mark.parametrize("seed", [0, 1, [2, 3]])
def test_layers_that_round_have_whatever_gradient_they_are_given_on_purpose(seed: Any) -> None:
    kinds = (lambda h: StraightThrough(), lambda h: Halves())
    for rounds, dtype in itertools.product(kinds, ("float32", "float64")):
        data = load_dataset("digits", dtype=dtype)
        network = Network(deep(rounds, depth=3)(64, 10), seed=seed, dtype=dtype)
        train(network, SGD(0.01), data, 1)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_few_samples_weights_of_zero_and_uneven_outputs_stop_nothing(samples: int, iris: Dataset) -> None:
    few = replace(iris, train=iris.train._replace(x=iris.train.x[:samples], t=iris.train.t[:samples]), rows={})
    weighted = replace(few, sample_weight={"train": np.arange(samples) == samples - 1})
    for data, output in itertools.product(
        (few, weighted), (SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.1, [0, 1, 2]))
    ):
        for make in (MINNETS["all"], MINNETS["relu"]):
            assert proof_of(Network(make(4, 3), output), data) is not None


def test_samples_of_weight_zero_are_proved_too(iris: Dataset) -> None:
    weights = np.zeros(len(iris.train.x))
    weights[-1] = 1
    data = replace(iris, sample_weight={"train": weights})
    with pytest.raises(ValueError, match="layer 1, DerivativeMissing: dx is wrong"):
        proof_of(Network(between(BUGS["derivative-missing"].part)(4, 3)), data)


def test_what_cannot_be_differentiated_is_for_others_to_report(iris: Dataset) -> None:
    network = Network(MINNETS["relu"](4, 3))
    network.theta[...] = np.nan
    assert proof_of(network, iris) is None
    with pytest.raises(FloatingPointError, match="diverged"):
        train(network, SGD(0.1), iris, 1)
    fitted = Network([Linear(4, 3)])
    train(fitted, SGD(0.1, 0.9), iris, 30)
    fitted.theta *= 1000  # the gradient is 0 but for a sample or two
    proof_of(fitted, iris)


def test_the_same_samples_behind_many_batch_norms_are_rounding_alone(iris: Dataset) -> None:
    data = replace(iris, train=iris.train._replace(x=np.ones_like(iris.train.x)))
    for seed in range(5):
        proof = proof_of(Network(MINNETS["deep-batch"](4, 3), seed=seed), data)
        assert proof is None or proof["error"] < 1e-5


# Wrong ones

CAUGHT = [name for name, bug in BUGS.items() if bug.caught_by == "gradient check" and name != "caller-array-changed"]


@pytest.mark.parametrize("seed", [0, [1, 2]])
@pytest.mark.parametrize("name", CAUGHT)
def test_each_classic_mistake_stops_training_before_its_first_step(name: str, seed: Any) -> None:
    data, part = load_dataset("digits"), BUGS[name].part
    right: Any = (Linear, ReLU, SoftmaxCrossEntropy)
    linear, activation, output = (part if issubclass(part, each) else each for each in right)
    network = Network([linear(64, 16), activation(), linear(16, 10)], output(), seed)
    before = network.theta.copy()
    with pytest.raises(ValueError, match=f"{part.__name__}: .*; it looks like {name}: .*; nothing was trained"):
        train(network, SGD(0.1), data, 1)
    np.testing.assert_array_equal(network.theta, before)
    assert train(network, SGD(1e-3), data, 1, prove=False).epoch == [1]


def test_an_array_of_the_callers_that_is_changed_to_no_harm_stops_nothing(iris: Dataset) -> None:
    assert proof_of(Network(between(BUGS["caller-array-changed"].part)(4, 3)), iris)["error"] <= PROVEN


class MeanTwice(MyLinear):
    def backward(self, dz: Array) -> Any:
        dx = super().backward(dz)
        self.db[...] = dz.mean(axis=-2, keepdims=True)
        return dx


class RealAndWrong(Real):
    def backward(self, da: Array) -> Any:
        return da


class Silent(Layer):
    """It loses imaginary parts, so that complex steps agree with its gradient of 0."""

    def forward(self, x: Array) -> Any:
        return np.abs(np.tanh(x) + 2)

    def backward(self, da: Array) -> Any:
        return np.zeros_like(da)


class GlobalAndWrong(GlobalNumbers):
    def backward(self, da: Array) -> Any:
        return da


class PythonsNumbers(Layer):
    def forward(self, x: Array) -> Any:
        self.mask = np.array([random.random() > 0.3 for _ in range(x.shape[-1])])  # noqa: S311
        return x * self.mask

    def backward(self, da: Array) -> Any:
        return da * self.mask


class PythonsAndWrong(PythonsNumbers):
    def backward(self, da: Array) -> Any:
        return da


class ABitMore(MyLinear):
    def backward(self, dz: Array) -> Any:
        dx = super().backward(dz)
        self.dW *= 1.001
        return dx


class Forgotten(MyLinear):
    def backward(self, dz: Array) -> Any:
        self.dW[...] = self.x.mT @ dz
        return dz @ self.W.mT


class Stale(MyLinear):
    def forward(self, x: Array) -> Any:
        if not hasattr(self, "x"):
            self.x = x
        return x @ self.W + self.b

    def backward(self, dz: Array) -> Any:
        self.dW[...] = self.x[..., : dz.shape[-2], :].mT @ dz
        self.db[...] = dz.sum(axis=-2, keepdims=True)
        return dz @ self.W.mT


class StepsItself(MyLinear):
    def backward(self, dz: Array) -> Any:
        dx = super().backward(dz)
        self.W -= 0.1 * self.dW
        return dx


class OnlyOneNetwork(MyLinear):
    def backward(self, dz: Array) -> Any:
        dx = super().backward(dz)
        self.db[...] = dz.sum(axis=(0, -2) if dz.ndim == 3 else -2, keepdims=True)
        return dx


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [MeanTwice(4, 8), ReLU(), MyLinear(8, 3)],
            r"layer 0, MeanTwice: db is wrong.*self\.db\[\.\.\.\] = .*mean-twice",
        ),
        ([MyLinear(4, 8), RealAndWrong(), MyLinear(8, 3)], "layer 1, RealAndWrong: dx is wrong.*return dx"),
        ([MyLinear(4, 8), Silent(), Linear(8, 3)], "layer 1, Silent: dx is wrong"),
        ([Forgotten(4, 3)], "layer 0, Forgotten: db is wrong: along a random direction 0, where"),
        ([Stale(4, 3)], "layer 0, Stale: dW is wrong"),
        ([StepsItself(4, 3)], "layer 0, StepsItself: backward changes W; .*leave the step to the optimizer"),
        ([Absolute(), MyLinear(4, 8), Absolute(), MeanTwice(8, 3)], "layer 3, MeanTwice: db is wrong"),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value, list) else "",
)
def test_the_layer_at_fault_is_named_with_the_line_and_the_next_step(
    layers: list[Any], message: str, iris: Dataset
) -> None:
    network = Network(layers)
    before = network.theta.copy()
    with pytest.raises(ValueError, match=message) as raised:
        train(network, SGD(0.1), iris, 1)
    name = message.split(", ")[1].partition(":")[0]
    assert f"minnet check {os.path.relpath(__file__)}:{name}" in str(raised.value)
    assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(network.theta, before)


def test_a_layer_that_is_wrong_in_a_stack_only_stops_the_stack(iris: Dataset) -> None:
    assert proof_of(Network([OnlyOneNetwork(4, 3)]), iris)["error"] <= PROVEN
    with pytest.raises(ValueError, match="layer 0, OnlyOneNetwork: db is wrong"):
        train(Network([OnlyOneNetwork(4, 3)], seed=range(50)), SGD(0.1), iris, 1)


def test_a_class_that_no_file_has_is_checked_from_python(iris: Dataset) -> None:
    class Local(MeanTwice):
        pass

    with pytest.raises(ValueError, match=r"see: print\(minnet\.lab\.check\.check_class\(Local\)\)"):
        train(Network([Local(4, 3)]), SGD(0.1), iris, 1)


# Arrays that are no longer the network's


class Replaces(MyLinear):
    def backward(self, dz: Array) -> Any:
        self.dW = self.x.mT @ dz
        self.db[...] = dz.sum(axis=-2, keepdims=True)
        return dz @ self.W.mT


def replace_weight(network: Network) -> None:
    network.layers[0].W = network.layers[0].W.copy()


def replace_theta(network: Network) -> None:
    network.theta = network.theta.copy()


def replace_gradient(network: Network) -> None:
    network.dtheta = network.dtheta.copy()


OUTSIDE: dict[Callable[[Network], None], str] = {
    replace_weight: r"layer 0, .*W is another",
    replace_theta: r"network\.theta is",
    replace_gradient: r"dtheta is",
}


@pytest.mark.parametrize("seed", [0, [1, 2]])
@pytest.mark.parametrize("how", OUTSIDE, ids=lambda how: how.__name__)
def test_an_array_replaced_from_outside_stops_training(
    how: Callable[[Network], None], seed: Any, iris: Dataset
) -> None:
    network = Network([Linear(4, 3)], seed=seed)
    how(network)
    before, steps = network.theta.copy(), list[int]()
    with pytest.raises(ValueError, match=OUTSIDE[how]):
        train(network, SGD(0.1), iris, 1, prove=False)
    np.testing.assert_array_equal(network.theta, before)
    network = Network([Linear(4, 3)], seed=seed)

    def disturb(history: History) -> None:
        steps.append(history.epoch[-1])
        how(network)

    with pytest.raises(ValueError, match=OUTSIDE[how]):
        train(network, SGD(0.1), iris, 1, on_epoch=disturb)
    assert steps == [1]

    class Careless(SGD):
        def step(self, network: Network) -> None:
            super().step(network)
            how(network)

    network = Network([Linear(4, 3)], seed=seed)
    with pytest.raises(ValueError, match=OUTSIDE[how]):
        train(network, Careless(0.1), iris, 5, on_epoch=disturb)
    assert steps == [1]  # from before


@pytest.mark.parametrize("seed", [0, [1, 2]])
def test_a_wrong_layer_that_draws_from_numpys_or_pythons_numbers_stops_training(seed: Any, iris: Dataset) -> None:
    for wrong in (GlobalAndWrong, PythonsAndWrong):
        with pytest.raises(ValueError, match=f"layer 1, {wrong.__name__}: dx is wrong"):
            train(Network(between(wrong)(4, 3), seed=seed), SGD(0.1), iris, 1)


def test_a_factor_that_is_wrong_by_little_shows_whatever_the_direction(iris: Dataset) -> None:
    for seed in range(30):
        with pytest.raises(ValueError, match="layer 2, ABitMore: dW is wrong"):
            proof_of(Network([Linear(4, 16), Tanh(), ABitMore(16, 3)], seed=seed, dtype="float64"), iris)


def test_the_proof_needs_memory_for_one_network_of_complex_numbers_at_a_time(iris: Dataset) -> None:
    network = Network([Linear(4, 700), ReLU(), Linear(700, 700), ReLU(), Linear(700, 3)])
    x, t, _ = network.check(iris.train.x[:8], iris.train.t[:8])
    tracemalloc.start()
    check_directions(network, x, t)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 14 * 8 * network.theta.size


@pytest.mark.parametrize("seed", [0, [1, 2]])
def test_a_view_replaced_in_a_layer_stops_training(seed: Any, iris: Dataset) -> None:
    for layers in ([Replaces(4, 3)], [Replaces(4, 8), Absolute(), Linear(8, 3)]):
        network = Network(layers, seed=seed)
        before = network.theta.copy()
        with pytest.raises(ValueError, match=r"layer 0, Replaces.*: dW is another array.*write self\.dW\[\.\.\.\] = …"):
            train(network, SGD(0.1), iris, 1)
        np.testing.assert_array_equal(network.theta, before)


# Nothing else changes


OTHERS = {"all": MINNETS["all"], "PythonsNumbers": between(PythonsNumbers)}


@pytest.mark.parametrize("make", [*LEARNERS.values(), *OTHERS.values()], ids=[*LEARNERS, *OTHERS])
def test_the_proof_leaves_no_trace(make: Any, iris: Dataset) -> None:
    thetas = []
    for proves in (True, False):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        network = Network(make(4, 3), seed=3)
        with warnings.catch_warnings(action="error"):
            history = train(network, SGD(0.1, 0.9), iris, 2, prove=proves)
        layer: Any = network.layers[1]
        thetas.append((network.theta.copy(), history.train_loss, np.copy(getattr(layer, "mean", 0))))
    for one, other in zip(*thetas, strict=True):
        np.testing.assert_array_equal(one, other)


def test_directions_change_nothing_of_the_network(iris: Dataset) -> None:
    network = Network(MINNETS["all"](4, 3), seed=[0, 1])
    remembered = [dict(vars(layer)) for layer in network.layers]
    x, t, _ = network.check(*iris.train, None)
    error = check_directions(network, x[:9], t[:9], seed=5)
    assert np.max(error) < 1e-12
    assert not network.dtheta.any()
    for layer, before in zip(network.layers, remembered, strict=True):
        assert vars(layer).keys() == before.keys()
        assert all(vars(layer)[name] is value for name, value in before.items())


# Runs


@pytest.fixture
def wrong_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReLU, "backward", lambda self, da: da)
    return


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--seeds", "3"], ["--folds", "3"], ["--lr", "0.1,0.2"]], ids=str)
def test_a_wrong_layer_ends_the_command_in_a_line_and_leaves_no_folder(
    more: list[str], here: Path, wrong_relu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "iris", "--epochs", "2", "--quiet", *more]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: layer 1, ReLU: dx is wrong" in said.err
    assert len(said.err.splitlines()) == 1
    assert not [*here.iterdir()]


def test_folds_of_a_sweep_are_proved_too(wrong_relu: None) -> None:
    configs = grid(Config(dataset="iris", folds=3, epochs=1), **folds_of(Config(dataset="iris", folds=3)))
    with pytest.raises(ValueError, match="layer 1, ReLU"):
        sweep(configs, make_datasets(configs))


@pytest.mark.parametrize("more", [[], ["--seeds", "3"], ["--folds", "3"], ["--seeds", "4", "--jobs", "2"]], ids=str)
def test_the_results_of_a_run_have_the_proof_and_the_terminal_has_not(
    more: list[str], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "iris", "--epochs", "2", "--no-baseline", "--out", "r", *more]) == 0
    proof = json.loads(Path("r/results.json").read_text())["proof"]
    assert 0 <= proof.pop("error") <= (PROVEN if more else 1e-12)
    assert proof == {"directions": 3, "samples": 8, "seed": 0, "by": "complex steps"}
    said = capfd.readouterr()
    assert "proof" not in said.out + said.err
