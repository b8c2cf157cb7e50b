"""Is a stack of networks what its members are alone? Every layer, option and dtype; nobody catches another's NaN."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Dataset, History, Linear, Network, ReLU, Sigmoid, Tanh, evaluate, load_dataset, train
from minnet.layers import Array, Layer
from minnet.runs.sweep import bytes_of_training
from tests.conftest import ACTIVATIONS

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decay": {"momentum": 0.5, "weight_decay": 0.01},
    "nesterov and decay": {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
}


@pytest.fixture(scope="module")
def iris() -> Dataset:
    """Iris in double precision."""
    return load_dataset("iris", dtype="float64")


def make(activation: type[ReLU | Tanh | Sigmoid], seed: Any, dtype: str, depth: int = 2) -> Network:
    layers: list[Layer] = [Linear(4, 6), activation()] if depth > 1 else []
    return Network([*layers, Linear(6 if depth > 1 else 4, 3)], seed=seed, dtype=dtype)


def assert_same(stack: Network, history: History, s: int, single: Network, alone: History, dtype: str) -> None:
    """Hold network s of a stack, and its history, to what a single network did."""
    rtol = 1e-9 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(stack.theta[s], single.theta, rtol=rtol, atol=rtol / 10)
    for name, column in history.member(s).by_epoch().items():
        if name not in ("seconds", "train_accuracy", "validation_accuracy"):
            np.testing.assert_allclose(column, alone.by_epoch()[name], rtol=rtol)
    np.testing.assert_allclose(history.member(s).batch_loss, alone.batch_loss, rtol=rtol)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("S", [1, 2, 7])
def test_each_network_of_a_stack_learns_what_it_would_alone(
    activation: type[ReLU | Tanh | Sigmoid], optimizer: str, dtype: str, S: int, iris: Dataset
) -> None:
    seeds = [3 * s + 1 for s in range(S)]
    stack = make(activation, seeds, dtype)
    assert stack.theta.shape == (S, 6 * 4 + 6 + 3 * 6 + 3)
    history = train(stack, SGD(0.05, **OPTIMIZERS[optimizer]), iris, 2, 25)  # 106 samples: the last batch has 6
    assert np.array(history.train_loss).shape == (2, S)
    assert np.array(history.batch_loss).shape == (10, S)
    for s, seed in enumerate(seeds):
        single = make(activation, seed, dtype)
        alone = train(single, SGD(0.05, **OPTIMIZERS[optimizer]), iris, 2, 25)
        assert_same(stack, history, s, single, alone, dtype)


def test_softmax_regression_and_whole_batches_stack_too(iris: Dataset) -> None:
    stack = make(ReLU, [5, 6], "float64", depth=1)
    history = train(stack, SGD(0.1), iris, 3, 1000)
    single = make(ReLU, 6, "float64", depth=1)
    assert_same(stack, history, 1, single, train(single, SGD(0.1), iris, 3, 1000), "float64")


def test_each_network_may_have_hyperparameters_of_its_own(iris: Dataset) -> None:
    lr, momentum, decay = [0.01, 0.1, 0.05], [0.0, 0.9, 0.5], [0.0, 0.01, 0.1]
    stack = make(Tanh, [4, 4, 4], "float64")
    history = train(stack, SGD(lr, momentum, weight_decay=decay), iris, 2, 25)
    for s in range(3):
        single = make(Tanh, 4, "float64")
        alone = train(single, SGD(lr[s], momentum[s], weight_decay=decay[s]), iris, 2, 25)
        assert_same(stack, history, s, single, alone, "float64")
    np.testing.assert_array_equal(history.lr[-1], lr)
    assert history.penalty[-1][0] == 0 < history.penalty[-1][1]


def test_one_that_diverges_is_marked_and_the_others_are_not_touched(iris: Dataset) -> None:
    stack = make(ReLU, [0, 1, 2], "float32")
    history = train(stack, SGD([0.05, 1e30, 0.05], 0.9), iris, 3, 16, patience=3)
    np.testing.assert_array_equal(history.diverged(), [False, True, False])
    for s in (0, 2):
        single = make(ReLU, s, "float32")
        alone = train(single, SGD(0.05, 0.9), iris, 3, 16, patience=3)
        assert_same(stack, history, s, single, alone, "float32")
    assert history.best() in (0, 2)
    assert history.kept[-1][1] == 0
    best = stack.best(history)
    np.testing.assert_array_equal(best.theta, stack.theta[history.best()])
    assert np.isfinite(evaluate(best, *iris.test)[0])
    assert train(make(ReLU, [0, 1], "float32"), SGD(1e30, 0.9), iris, 3, 16).diverged().all()


@pytest.mark.parametrize("seed", [7, [7, 8, 9]])
def test_the_best_weights_are_those_of_the_lowest_validation_loss(seed: Any, iris: Dataset) -> None:
    network, seen = make(ReLU, seed, "float64"), []
    history = train(
        network, SGD(0.5, 0.9), iris, 12, 16, patience=12, on_epoch=lambda _: seen.append(network.theta.copy())
    )
    for s in range(np.size(history.kept[-1])):
        best = int(np.atleast_1d(history.kept[-1])[s])
        losses = np.reshape(history.validation_loss, (12, -1))[:, s]
        assert losses[best - 1] == losses.min()
        np.testing.assert_array_equal(np.atleast_2d(network.theta)[s], np.atleast_2d(seen[best - 1])[s])
    loss, _ = evaluate(network, *iris.validation)
    np.testing.assert_allclose(loss, np.min(history.validation_loss, axis=0), rtol=1e-12)


def test_a_member_is_a_network_of_its_own(iris: Dataset) -> None:
    stack = make(Tanh, range(4), "float32")
    member = stack[2]
    assert (member.theta.shape, member.seed) == ((51,), 2)
    np.testing.assert_array_equal(member.predict_proba(iris.test.x), stack.predict_proba(iris.test.x)[2])
    member.theta[...] = 0
    assert stack.theta[2].any()
    np.testing.assert_array_equal(stack[-1].theta, stack.theta[3])
    with pytest.raises(IndexError):
        stack[4]
    with pytest.raises(TypeError, match="one network of a stack, got"):
        member[0]


def test_an_ensemble_averages_probabilities(iris: Dataset) -> None:
    stack = make(Tanh, range(5), "float64")
    each = stack.predict_proba(iris.test.x)
    assert each.shape == (5, 22, 3)
    together = stack.predict_proba(iris.test.x, average=True)
    np.testing.assert_allclose(together, each.mean(axis=0))
    np.testing.assert_array_equal(stack.predict(iris.test.x, average=True), together.argmax(axis=1))
    stack.theta[1] = np.nan  # a network that diverged has no say
    left = stack.predict_proba(iris.test.x, average=True)
    np.testing.assert_allclose(left, each[[0, 2, 3, 4]].mean(axis=0))
    with pytest.raises(FloatingPointError, match="all 1 networks diverged: none of them can predict"):
        stack.at(stack.theta[1:2]).predict_proba(iris.test.x, average=True)
    single = stack[0]
    np.testing.assert_array_equal(single.predict_proba(iris.test.x, average=True), single.predict_proba(iris.test.x))


def test_the_best_of_a_stack_has_the_lowest_validation_loss() -> None:
    def history(validation_loss: list[Array]) -> History:
        kept = [np.full(len(validation_loss[0]), epoch) for epoch in (1, 2)]
        columns = {"train_loss": validation_loss, "validation_loss": validation_loss, "batch_loss": validation_loss}
        return History([1, 2], kept=kept, **columns)

    made_up = history([np.array([3.0, 1.0, 0.1]), np.array([2.0, 0.5, np.nan])])
    assert made_up.best() == 1
    with pytest.raises(ValueError, match="did not diverge"):
        history([np.array([np.nan, np.inf])] * 2).best()
    with pytest.raises(ValueError, match="history of a stack"):
        History([1], train_loss=[0.1], validation_loss=[0.1], batch_loss=[0.1], kept=[1]).best()
    for ask in (History().best, lambda: History().final("train_loss")):
        with pytest.raises(ValueError, match="expected a history with at least one epoch, got an empty one"):
            ask()


def test_what_does_not_match_is_refused(iris: Dataset) -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        make(ReLU, [], "float32")
    with pytest.raises(ValueError, match="seed: expected an integer of at least 0, got -1"):
        make(ReLU, [0, -1], "float32")
    with pytest.raises(ValueError, match="hyperparameters for 2 networks, but steps 3"):
        train(make(ReLU, range(3), "float32"), SGD([0.1, 0.2]), iris, 1)
    with pytest.raises(ValueError, match="hyperparameters for 2 networks, but steps 1"):
        train(make(ReLU, 0, "float32"), SGD([0.1, 0.2]), iris, 1)
    with pytest.raises(ValueError, match="lr: expected a finite number above 0"):
        SGD([0.1, 0.0])
    with pytest.raises(ValueError, match="momentum: expected one above 0 with nesterov"):
        SGD(0.1, [0.9, 0.0], nesterov=True)
    with pytest.raises(ValueError, match="lr: expected"):
        SGD([[0.1]])
    with pytest.raises(ValueError, match="lr: expected a finite number above 0, got 'fast'"):
        SGD("fast")
    with pytest.raises(ValueError, match="one seed for each network"):
        train(make(ReLU, range(3), "float32"), SGD(0.1), iris, 1, seed=0)
    with pytest.raises(ValueError, match="one seed for each network"):
        train(make(ReLU, 0, "float32"), SGD(0.1), iris, 1, seed=[1, 2])


def test_the_estimate_bounds_what_training_takes() -> None:
    """A stack of 4 networks: the peak of what NumPy allocates stays under the bound."""
    data = load_dataset("digits")
    stack = Network([Linear(64, 128), ReLU(), Linear(128, 10)], seed=range(4))
    shared, each = bytes_of_training(stack, 32, data)
    bound = shared + 4 * each
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        train(stack, SGD(0.05, 0.9, weight_decay=0.01), data, 1, 32, patience=1)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < bound
    assert bound < 3 * peak  # nor is it wasteful
