"""Do dropout, normalisation, weights, Adam, schedules and early stopping do what they should, in stacks too?"""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    Adam,
    BatchNorm,
    CosineDecay,
    Dataset,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReduceOnPlateau,
    ReLU,
    SoftmaxCrossEntropy,
    StepDecay,
    Tanh,
    check_gradients,
    evaluate,
    load_dataset,
    train,
)  # fmt: skip
from minnet.cli import main
from minnet.lab.check import check_class, check_network
from minnet.layers import Array, Layer
from minnet.optimizers import Optimizer
from minnet.runs.sweep import bytes_of_training
from minnet.support import expect


@pytest.fixture(scope="module")
def iris() -> Dataset:
    """Iris in double precision."""
    return load_dataset("iris", dtype="float64")


BETWEEN: dict[str, Callable[[], list[Layer]]] = {
    "dropout": lambda: [ReLU(), Dropout(0.4)],
    "batchnorm": lambda: [BatchNorm(6), ReLU()],
    "layernorm": lambda: [LayerNorm(6), Tanh()],
    "leaky": lambda: [LeakyReLU(0.1)],
    "all": lambda: [BatchNorm(6), LeakyReLU(), Dropout(0.2), LayerNorm(6)],
}


def make(between: str, seed: Any, dtype: str = "float64", output: SoftmaxCrossEntropy | None = None) -> Network:
    return Network([Linear(4, 6), *BETWEEN[between](), Linear(6, 3)], output, seed, dtype)


@pytest.mark.parametrize("layer", [Dropout, BatchNorm, LayerNorm, LeakyReLU])
def test_each_new_layer_passes_the_check_of_layers(layer: type[Layer]) -> None:
    report = check_class(layer)
    assert report.right, str(report)
    assert {row.quantity for row in report.rows} >= {"dx", *("d" + name for name in construct(layer).shapes)}
    assert all(row.error < 1e-12 for row in report.rows)


def construct(layer: Any) -> Layer:
    made: Layer = layer(4) if layer in (BatchNorm, LayerNorm) else layer()
    return made


class NoSums(BatchNorm):
    """Batch normalisation that takes mean and variance for constants."""

    def backward(self, da: Array) -> Array:
        super().backward(da)
        dx: Array = da * self.gamma * self.scale
        return dx


class OtherMask(Dropout):
    """Dropout that draws a new mask in its backward pass."""

    def backward(self, da: Array) -> Array:
        self.forward(da)
        return super().backward(da)


class MovesRunning(BatchNorm):
    """Batch normalisation whose running mean gets a gradient."""

    drunning_mean: Array

    def backward(self, da: Array) -> Array:
        self.drunning_mean[...] = 1
        return super().backward(da)


@pytest.mark.parametrize("layer", [NoSums, OtherMask, MovesRunning])
def test_a_wrong_layer_of_the_new_kinds_does_not_pass(layer: type[Layer]) -> None:
    assert not check_class(layer).right


@pytest.mark.parametrize("seed", [5, (5, 6, 7)], ids=["single", "stack"])
@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("label_smoothing", [0, 0.2])
@pytest.mark.parametrize("class_weight", [None, [0.5, 2, 1]])
def test_every_gradient_is_right(
    between: str, seed: Any, label_smoothing: float, class_weight: list[float] | None, iris: Dataset
) -> None:
    output = SoftmaxCrossEntropy(label_smoothing, class_weight)
    network = make(between, seed, output=output)
    x, t = iris.train.x[:9], iris.train.t[:9]
    assert check_gradients(network, x, t).error < 1e-12
    assert check_gradients(network, x, t, np.arange(9.0)).error < 1e-12
    theta = network.theta.copy()
    report = check_network(network, x, t)
    assert report.right, str(report)
    np.testing.assert_array_equal(network.theta, theta)  # no running statistics have moved


@pytest.mark.parametrize(
    "flags",
    ["--normalize batch", "--normalize layer --activation leaky_relu", "--dropout 0.4", "--label-smoothing 0.2",
     "--class-weight balanced", "--normalize batch --dropout 0.3 --label-smoothing 0.1 --class-weight 1,2,3"],
)  # fmt: skip
@pytest.mark.parametrize("seeds", ["1", "3"])
def test_minnet_check_passes_every_option(flags: str, seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "wine", "--hidden", "8,7", *flags.split(), "--seeds", seeds]) == 0
    out = capsys.readouterr().out
    assert ("theta of shape (3, " in out) == (seeds == "3")
    assert out.splitlines()[-1] == "right: every gradient agrees with the slope of the loss"


OPTIMIZERS: list[Callable[[], Optimizer]] = [
    lambda: SGD(0.05, 0.9, weight_decay=0.01),
    lambda: Adam(0.01, weight_decay=0.01),
]
SETTINGS: list[dict[str, Any]] = [
    {"schedule": StepDecay(1, 0.5)},
    {"schedule": CosineDecay(1), "clip_norm": 0.3},
    {"schedule": ReduceOnPlateau(1, 0.1), "patience": 2, "monitor": "accuracy"},
    {"patience": 1},
]


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "Adam"])
def test_each_network_of_a_stack_learns_what_it_would_alone(
    between: str, settings: dict[str, Any], optimizer: Callable[[], Optimizer], iris: Dataset
) -> None:
    weighted = copy.copy(iris)
    weights = {"train": np.linspace(0.5, 2, len(iris.train.x)), "validation": np.linspace(2, 1, len(iris.validation.x))}
    object.__setattr__(weighted, "sample_weight", weights)
    seeds, output = [3, 8, 1], SoftmaxCrossEntropy(0.1, [1, 2, 1])
    stack = make(between, seeds, output=copy.copy(output))
    history = train(stack, optimizer(), weighted, 6, 25, **settings)
    for s, seed in enumerate(seeds):
        single = make(between, seed, output=copy.copy(output))
        alone = train(single, optimizer(), weighted, 6, 25, **settings)
        np.testing.assert_allclose(stack.theta[s], single.theta, rtol=1e-9, atol=1e-10)
        E = len(alone.epoch)  # in the stack it goes on until the last one stops
        np.testing.assert_allclose(history.member(s).validation_loss[:E], alone.validation_loss, rtol=1e-9)
        np.testing.assert_allclose(history.member(s).lr[:E], alone.lr, rtol=1e-12)


def test_a_member_of_a_stack_draws_what_its_single_network_draws() -> None:
    x, t = np.random.default_rng(0).normal(size=(5, 4)), np.zeros(5, int)
    stack, single = make("dropout", [4, 9]), make("dropout", 9)
    member = stack[1]
    losses = stack.forward(x, t)
    assert losses[1] == pytest.approx(single.forward(x, t), rel=1e-14)
    assert member.forward(x, t) == pytest.approx(losses[1], rel=1e-14)
    np.testing.assert_array_equal(stack.layers[2].mask[1], single.layers[2].mask)
    np.testing.assert_array_equal(member.layers[2].mask, single.layers[2].mask)
    twin = copy.deepcopy(single)
    assert twin.forward(x, t) == single.forward(x, t)  # it goes on where the other stands, on its own
    assert twin.forward(x, t) != twin.forward(x, t)


def test_a_network_is_a_function_of_theta_with_dropout_too() -> None:
    network, x, t = make("all", 0), np.random.default_rng(0).normal(size=(5, 4)), np.zeros(5, int)
    one, other = network.at(network.theta.copy()), network.at(network.theta.copy())
    assert one.forward(x, t) == other.forward(x, t)


def test_predictions_drop_nothing_and_look_at_one_sample_at_a_time() -> None:
    network, rng = make("all", 0), np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    for _ in range(3):
        network.forward(x, np.arange(40) % 3)
    theta = network.theta.copy()
    z = network.logits(x)
    np.testing.assert_array_equal(network.logits(x), z)
    np.testing.assert_allclose(np.concatenate([network.logits(x[[n]]) for n in range(40)]), z, rtol=1e-12)
    np.testing.assert_array_equal(network.theta, theta)
    assert evaluate(network, x, np.zeros(40, int)) == evaluate(network, x, np.zeros(40, int))


def test_running_statistics_are_not_touched_by_any_optimizer_nor_decayed(iris: Dataset) -> None:
    for optimizer in (SGD(0.1, 0.9, weight_decay=0.1), Adam(0.1, weight_decay=0.1)):
        network = make("batchnorm", 0)
        layer: Any = network.layers[1]
        before = layer.running_mean.copy(), layer.running_variance.copy()
        network.forward(iris.train.x, iris.train.t)
        moved = layer.running_mean.copy(), layer.running_variance.copy()
        assert (moved[0] != before[0]).all()
        network.backward()
        optimizer.step(network)
        np.testing.assert_array_equal((layer.running_mean, layer.running_variance), moved)


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: Dropout(1), "Dropout p: expected a finite number of at least 0 and below 1, got 1"),
        (lambda: Dropout(math.nan), "got nan"),
        (lambda: Dropout(True), "got True"),
        (lambda: LeakyReLU(-0.1), "LeakyReLU slope: expected"),
        (lambda: BatchNorm(0), "BatchNorm D: expected an integer of at least 1, got 0"),
        (lambda: BatchNorm(3, momentum=1), "BatchNorm momentum: expected"),
        (lambda: BatchNorm(3, epsilon=0), "BatchNorm epsilon: expected a finite number above 0, got 0"),
        (lambda: LayerNorm(3, epsilon=math.inf), "LayerNorm epsilon: expected"),
        (lambda: Network([Linear(4, 6), BatchNorm(5), Linear(6, 3)]), "gives 6 outputs, but the next, BatchNorm"),
        (lambda: Adam(0), "Adam lr: expected"),
        (lambda: Adam(0.1, beta2=1), "Adam beta2: expected"),
        (lambda: Adam(0.1, epsilon=-1), "Adam epsilon: expected"),
        (lambda: StepDecay(0), "StepDecay every: expected an integer of at least 1"),
        (lambda: StepDecay(1, 2), "StepDecay gamma: expected a finite number above 0 and at most 1"),
        (lambda: CosineDecay(-1), "CosineDecay warmup: expected"),
        (lambda: ReduceOnPlateau(True), "ReduceOnPlateau patience: expected"),
        (lambda: SoftmaxCrossEntropy(1), "label_smoothing: expected a finite number of at least 0 and below 1, got 1"),
        (lambda: SoftmaxCrossEntropy(class_weight=[1, -1]), "at least 0, got -1.0 at index 1"),
        (lambda: SoftmaxCrossEntropy(class_weight=[0, 0]), "expected one above 0, got none"),
        (lambda: expect.weights("w", [[1.0]]), r"shape \(N,\), got \(1, 1\)"),
        (lambda: expect.weights("w", ["a"]), r"w: expected numbers of shape \(N,\), got \(1,\) of <U1"),
        (lambda: expect.weights("w", [1.0], 2), r"shape \(2,\), got \(1,\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make_it: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_it()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "patience: expected an integer of at least 1"),
        ({"clip_norm": 0}, "clip_norm: expected a finite number above 0"),
        ({"clip_norm": "1"}, "clip_norm"),
        ({"monitor": "recall"}, "monitor: expected one of loss, accuracy, balanced_accuracy, f1, got 'recall'"),
    ],
)
def test_training_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], message: str, iris: Dataset
) -> None:
    with pytest.raises(ValueError, match=message):
        train(make("leaky", 0), SGD(0.1), iris, 1, **settings)


def test_dropout_without_a_network_says_what_it_lacks() -> None:
    with pytest.raises(RuntimeError, match="has no random numbers: put it into a Network"):
        Dropout().forward(np.ones((2, 2)))


def test_a_batch_that_does_not_count_changes_nothing() -> None:
    network = make("leaky", 0)
    assert network.forward(np.ones((3, 4)), np.zeros(3, int), sample_weight=np.array([0, 1e-300, 0])) > 0
    loss = network.output.forward(np.zeros((3, 3)), np.eye(3), np.zeros(3))  # type: ignore[call-arg]
    assert loss == 0
    assert not network.output.backward().any()


def test_weighted_evaluation_in_slices_is_the_weighted_mean(iris: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make("leaky", 0, output=SoftmaxCrossEntropy(0.1, [1, 5, 2]))
    x, t = iris.train
    w = np.random.default_rng(0).uniform(0, 3, len(x))
    whole = evaluate(network, x, t, w)
    assert whole[0] == pytest.approx(float(network.forward(x, t, sample_weight=w)), rel=1e-12)
    monkeypatch.setattr("minnet.training.EVALUATION_ROWS", 10)
    np.testing.assert_allclose(evaluate(network, x, t, w), whole, rtol=1e-12)


def test_adam_keeps_within_the_memory_that_is_estimated(iris: Dataset) -> None:
    import tracemalloc

    data = load_dataset("digits")
    layers: list[Layer] = [Linear(64, 96), BatchNorm(96), ReLU(), Dropout(0.2), Linear(96, 10)]
    stack = Network(layers, seed=range(32))
    shared, each = bytes_of_training(stack, 32, data)
    bound = shared + 32 * each
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        train(stack, Adam(weight_decay=0.1), data, 1, 32, patience=1)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < bound


def test_a_second_training_begins_with_the_learning_rate_that_was_given(iris: Dataset) -> None:
    optimizer, network = SGD(0.1), make("leaky", 0)
    for _ in range(2):
        history = train(network, optimizer, iris, 3, schedule=StepDecay(1, 0.5))
        np.testing.assert_allclose(history.lr, [0.1, 0.05, 0.025])
        assert optimizer.lr == 0.1


def test_clipping_bounds_every_step(iris: Dataset) -> None:
    network = make("leaky", 0)
    before = network.theta.copy()
    history = train(network, SGD(1.0), iris, 1, 1000, clip_norm=0.01)
    assert np.linalg.norm(network.theta - before) == pytest.approx(0.01)
    assert history.gradient_norm[0] > 0.1  # as it was


@pytest.mark.parametrize(
    ("spoil", "where", "array"),
    [
        ("feature", "the activation, the output of layer 0, Linear", "activation"),
        ("logits", "the logits, the output of layer 2", "logits"),
        ("gradient", "the gradient dW of layer 0", "dW"),
        ("dx", "the gradient dx of layer 1", "dx"),
        ("parameter", "the parameter b of layer 2", "b"),
        ("norm", "the gradient's norm", "gradient"),
        ("loss", "the loss, of sample", "loss"),
    ],
)
def test_the_first_number_that_is_not_finite_is_found(spoil: str, where: str, array: str, iris: Dataset) -> None:
    class Spoiled(Tanh):
        def backward(self, da: Array) -> Array:
            dx = super().backward(da)
            if spoil == "dx":
                dx[3, 1] = np.inf
            return dx * 1e300 if spoil == "norm" else dx

    class SpoiledLinear(Linear):
        def backward(self, dz: Array) -> Array | None:
            dx = super().backward(dz)
            if spoil == "gradient":
                self.dW[1, 2] = np.nan
            return dx

    network = Network([SpoiledLinear(4, 6), Spoiled(), Linear(6, 3)], dtype="float64")
    first: Any = network.layers[0]
    last: Any = network.layers[2]
    if spoil == "feature":
        first.W[0] = 1e308
    if spoil == "logits":
        first.b[...], last.W[...] = 100, 1e308
    if spoil == "loss":  # no logit is infinite, but differences between them are
        last.W[...] = 0
        last.W[0] = [1.7e308, -1.7e308, 0]
    if spoil == "parameter":
        last.b[0, 1] = np.nan
    initial = network.theta.copy()
    with pytest.raises(FloatingPointError) as caught:
        train(network, SGD(0.1), iris, 3, 16)
    said = str(caught.value)
    assert said.startswith(f"training diverged in epoch 1, step 1: {where}"), said
    assert "the network has its initial weights again" in said
    assert ("of the training split (row" in said) == (array in ("activation", "logits", "loss", "dx"))
    np.testing.assert_array_equal(network.theta, initial)


def test_an_unscaled_feature_is_blamed_by_its_name(iris: Dataset) -> None:
    x = iris.train.x.copy()
    x[7, 2] = 1e200
    data = copy.copy(iris)
    object.__setattr__(data, "train", type(iris.train)(x, iris.train.t))
    with pytest.raises(FloatingPointError, match=r"; feature 'petal length \(cm\)' of sample 7 is 1e\+200 after stand"):
        train(Network([Linear(4, 8), ReLU(), Linear(8, 3)], dtype="float64"), SGD(1e200), data, 5, 16)


def test_what_was_learned_before_it_diverged_is_kept(iris: Dataset) -> None:
    class Rising:
        def factors(self, epoch: int, steps: int, epochs: int, validation_losses: Any) -> Array:
            return np.full(steps, 1.0 if epoch < 3 else 1e200)

    seen: list[Array] = []
    network = make("leaky", 0)
    with pytest.raises(FloatingPointError, match="the network has the weights of epoch 3 again"):
        train(network, SGD(0.1), iris, 9, on_epoch=lambda _: seen.append(network.theta.copy()), schedule=Rising())
    np.testing.assert_array_equal(network.theta, seen[2])
    assert len(seen) == 3
