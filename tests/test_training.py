"""Does training go through all samples, report what is true at the end of each epoch, and stop when it must?"""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Dataset, History, Linear, Network, ReLU, SoftmaxCrossEntropy, evaluate, load_dataset, train
from minnet import training as module
from minnet.data import Part, Preprocessing, Standardization
from minnet.lab.trace import first_nonfinite
from minnet.layers import Array, BatchNorm
from minnet.network import ORDER, random_numbers
from minnet.optimizers import Adam
from minnet.schedules import CosineDecay
from tests.conftest import make_network


@pytest.fixture(scope="module")
def iris() -> Dataset:
    """Iris in double precision."""
    return load_dataset("iris", dtype="float64")


PLAIN = Preprocessing.plain(("x", "y"), Standardization(np.zeros(2), np.ones(2)))


def test_the_history_tells_the_network_as_it_is_at_the_end_of_each_epoch(iris: Dataset) -> None:
    network, optimizer = make_network(), SGD(0.05, 0.9, weight_decay=0.001)
    seen: list[tuple[float, float]] = []

    def look(history: History) -> None:
        loss = float(network.forward(*iris.train))
        assert history.train_loss[-1] == pytest.approx(loss, rel=1e-12)
        right = (network.predict(iris.validation.x) == iris.validation.t).mean()
        assert history.validation_accuracy[-1] == pytest.approx(right)
        assert history.penalty[-1] == pytest.approx(optimizer.penalty(network))
        seen.append((loss, optimizer.penalty(network)))

    history = train(network, optimizer, iris, epochs=4, batch_size=16, on_epoch=look)
    assert len(seen) == 4
    assert history.epoch == [1, 2, 3, 4]
    assert {len(column) for column in history.by_epoch().values()} == {4}
    assert len(history.batch_loss) == 4 * math.ceil(106 / 16)
    assert history.lr == [0.05] * 4
    assert min(history.seconds) > 0
    assert min(history.penalty) > 0
    assert history.train_loss[-1] < history.train_loss[0]


def test_an_epoch_is_a_pass_over_all_samples_in_the_seeds_order(iris: Dataset) -> None:
    """The same steps, written out: a shuffle, batches, and a last short one that is the mean over itself."""
    network, same = make_network(seed=5), make_network(seed=5)
    history = train(network, SGD(0.05, 0.9), iris, epochs=2, batch_size=50)
    optimizer = SGD(0.05, 0.9)
    losses, norms = [], []
    for epoch in range(2):
        shuffled = random_numbers(5, ORDER, epoch).permutation(106)
        for rows in (shuffled[:50], shuffled[50:100], shuffled[100:]):
            losses.append(same.forward(iris.train.x[rows], iris.train.t[rows]))
            same.backward()
            norms.append(np.linalg.norm(same.dtheta))
            optimizer.step(same)
    np.testing.assert_allclose(history.batch_loss, losses, rtol=1e-12)
    np.testing.assert_array_equal(network.theta, same.theta)
    np.testing.assert_allclose(history.gradient_norm, np.reshape(norms, (2, 3)).mean(axis=1), rtol=1e-12)


def test_every_sample_is_seen_once_an_epoch_with_its_own_target() -> None:
    x = np.arange(1.0, 8)[:, None] * [1, 10]
    t = np.arange(7) % 2
    seen: list[tuple[float, float]] = []

    class Spy(Linear):
        def forward(self, x: Array) -> Array:
            self.rows = x[:, 0].tolist()
            return super().forward(x)

    network = Network([spy := Spy(2, 2)], dtype="float64")
    original = network.output.forward

    def output_forward(z: Array, t: Array) -> Array:
        seen.extend(zip(spy.rows, t.argmax(axis=1).tolist(), strict=True))
        return original(z, t)

    network.output.forward = output_forward  # type: ignore[method-assign]
    part = Part(x, t)
    data = Dataset("seven", part, part, part, ("a", "b"), PLAIN)
    training = module.Training(network, SGD(0.01), data, 1, 3)
    for batch in training.rest_of_epoch():
        training.step(batch)
    assert len(training.history.batch_loss) == 3
    assert sorted(seen) == [(float(i + 1), i % 2) for i in range(7)]
    assert seen != sorted(seen)


def test_a_batch_larger_than_the_data_is_one_batch(iris: Dataset) -> None:
    networks = [make_network(), make_network()]
    histories = [train(n, SGD(0.1), iris, 3, size) for n, size in zip(networks, (106, 10_000), strict=True)]
    np.testing.assert_array_equal(networks[0].theta, networks[1].theta)
    assert len(histories[1].batch_loss) == 3


def test_the_same_seed_gives_the_same_network_bit_for_bit(iris: Dataset) -> None:
    def trained(seed: int, order_seed: int | None = None) -> Array:
        network = Network([Linear(4, 8), ReLU(), Linear(8, 3)], seed=seed)
        train(network, SGD(0.05, 0.9), iris, 3, 16, seed=order_seed)
        return network.theta

    np.testing.assert_array_equal(trained(1), trained(1))
    np.testing.assert_array_equal(trained(1), trained(1, 1))
    assert (trained(1) != trained(2)).any()
    assert (trained(1) != trained(1, 2)).any()


def test_soft_targets_are_learned(iris: Dataset) -> None:
    soft = Part(iris.train.x, 0.9 * np.eye(3)[iris.train.t] + 0.1 / 3)
    data = Dataset("soft", soft, iris.validation, iris.test, iris.class_names, iris.preprocessing)
    network = make_network((4, 16, 3))
    history = train(network, SGD(0.1, 0.9), data, 60, 32)
    entropy = -(0.9 + 0.1 / 3) * math.log(0.9 + 0.1 / 3) - 2 * (0.1 / 3) * math.log(0.1 / 3)
    assert entropy < history.train_loss[-1] < entropy + 0.1
    assert history.train_accuracy[-1] > 0.95


def test_evaluation_in_slices_is_evaluation(iris: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    network, (x, t) = make_network(), iris.train
    loss, accuracy = evaluate(network, x, t)
    monkeypatch.setattr(module, "EVALUATION_ROWS", 50)
    np.testing.assert_allclose(evaluate(network, x, t), (loss, accuracy), rtol=1e-13)
    assert loss == pytest.approx(float(network.forward(x, t)), rel=1e-13)
    assert accuracy == (network.predict(x) == t).mean()
    with pytest.raises(ValueError, match="N at least 1"):
        evaluate(network, x[:0], t[:0])
    with pytest.raises(ValueError, match="got 105 targets for 106 samples"):
        evaluate(network, x, t[:-1])


def test_the_test_part_is_not_touched(iris: Dataset) -> None:
    blank = Part(np.zeros((1, 4)), np.array([0]))
    data = Dataset("n", iris.train, iris.validation, blank, iris.class_names, iris.preprocessing)
    one, other = make_network(), make_network()
    train(one, SGD(0.1), iris, 2, 16)
    train(other, SGD(0.1), data, 2, 16)
    np.testing.assert_array_equal(one.theta, other.theta)


def test_divergence_is_an_error_that_names_the_learning_rate(iris: Dataset) -> None:
    network = Network([Linear(4, 16), ReLU(), Linear(16, 3)])
    with pytest.raises(
        FloatingPointError,
        match=r"diverged in epoch \d+, step \d+: .* sample \d+ .* lower the learning rate, which is 1e\+20; .* initial",
    ):
        train(network, SGD(1e20, 0.9), iris, 50, 16)


def test_a_network_that_overflows_only_when_it_is_evaluated_diverged_too(iris: Dataset) -> None:
    """Each batch was fine, but nothing follows the last step."""
    for whole in (False, True):
        part = Part(iris.train.x, iris.train.t)
        validation = iris.validation if whole else Part(iris.validation.x.copy(), iris.validation.t)
        if not whole:
            validation.x[5, 2] = 1e38
        data = dataclasses.replace(iris, train=part, validation=validation)
        network = Network([Linear(4, 16), ReLU(), Linear(16, 3)], dtype="float32")
        before = network.theta.copy()
        with pytest.raises(FloatingPointError, match=r"epoch 1, step 1: .* is not finite") as caught:
            train(network, SGD(1e25 if whole else 10.0), data, 3, 106)
        assert ("of the training split" in str(caught.value)) == whole
        np.testing.assert_array_equal(network.theta, before)


def test_an_epoch_that_diverges_in_validation_leaves_no_column_longer_than_the_others(iris: Dataset) -> None:
    validation = Part(iris.validation.x.copy(), iris.validation.t)
    validation.x[5, 2] = 1e38
    data = dataclasses.replace(iris, validation=validation)
    network = Network([Linear(4, 16), ReLU(), Linear(16, 3)], dtype="float32")
    training = module.Training(network, SGD(10.0), data, 3, 106)
    training.run()
    assert training.ended.reason == "diverged"
    assert {name: len(column) for name, column in training.history.by_epoch().items() if column} == {}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (999.0, "lower the learning rate, which is 1e+30"),
        (1001.0, "feature 'sepal length (cm)' of sample 7 is 1e+03 after standardising: scale or clip it"),
    ],
)
def test_divergence_is_put_down_to_a_feature_beyond_a_thousand(iris: Dataset, value: float, cause: str) -> None:
    x = iris.train.x.copy()
    x[7, 0] = value
    data = dataclasses.replace(iris, train=Part(x, iris.train.t))
    with pytest.raises(FloatingPointError, match=re.escape(f"is not finite; {cause}; the network has its initial")):
        train(Network([Linear(4, 16), ReLU(), Linear(16, 3)]), SGD(1e30), data, 3)


def test_a_row_of_the_data_is_counted_from_1_as_in_messages_about_files(iris: Dataset) -> None:
    with pytest.raises(FloatingPointError) as caught:
        train(Network([Linear(4, 16), ReLU(), Linear(16, 3)]), SGD(1e30), iris, 3)
    found = re.search(r"of sample (\d+) of the training split \(row (\d+) of the data\)", str(caught.value))
    assert found is not None
    assert int(found[2]) == iris.rows["train"][int(found[1])] + 1


def test_weights_that_are_not_finite_are_found(iris: Dataset) -> None:
    network = Network([Linear(4, 16), ReLU(), Linear(16, 3)])
    network.layers[2].W[3, 1] = np.nan
    found = first_nonfinite(network, network.check_features(iris.train.x))
    assert found == {"where": "the parameter W of layer 2, Linear(16, 3)", "layer": 2, "array": "W"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs: expected an integer of at least 1, got 0"),
        ({"epochs": 1.5}, "epochs: expected an integer"),
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
        ({"batch_size": True}, "batch_size: expected an integer"),
        ({"clip_norm": True}, "clip_norm: expected a finite number above 0, got True"),
        ({"network": make_network((5, 3))}, "4 features and 3 classes, but the network takes 5 and gives 3"),
        ({"network": make_network((4, 2))}, "takes 4 and gives 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(iris: Dataset, changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "network": make_network(),
        "optimizer": SGD(0.1),
        "dataset": iris,
        "epochs": 1,
        "batch_size": 16,
    }
    with pytest.raises(ValueError, match=message):
        train(**(arguments | changed))
    with pytest.raises(TypeError, match=r"schedule: expected one such as CosineDecay\(\), with factors, got 'cos"):
        train(**arguments, schedule="cosine")
    with pytest.raises(TypeError, match=r"optimizer: expected one such as SGD\(0\.1\), with step, got <class"):
        train(**(arguments | {"optimizer": SGD}))
    train(**arguments, clip_norm=np.float32(1))


def test_standardised_samples_are_what_the_standardization_gives() -> None:
    x = np.array([[1.0, 10.0], [3.0, 30.0]])
    standardized = Standardization(np.array([2.0, 20.0]), np.array([1.0, 5.0]))(x)
    np.testing.assert_array_equal(standardized, [[-1, -2], [1, 2]])
    assert standardized.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e39, 1e300])
def test_weights_are_relative_however_small_or_large(iris: Dataset, scale: float) -> None:
    def trained(weight: float, class_weight: list[float] | None) -> tuple[Array, Any]:
        parts = {part: np.full(len(getattr(iris, part).x), weight) for part in ("train", "validation")}
        data = dataclasses.replace(iris, sample_weight=parts)
        network = Network([Linear(4, 8), ReLU(), Linear(8, 3)], SoftmaxCrossEntropy(class_weight=class_weight))
        history = train(network, SGD(0.1), data, 3, 16)
        return network.theta, (history.train_loss, history.validation_loss)

    plain = trained(1.0, [1, 2, 1])
    for found in (trained(scale, [1, 2, 1]), trained(1.0, [scale, 2 * scale, scale])):
        np.testing.assert_allclose(found[0], plain[0], rtol=1e-5)
        np.testing.assert_allclose(found[1], plain[1], rtol=1e-5)


def test_an_optimizer_whose_memory_overflows_is_a_divergence(iris: Dataset) -> None:
    """Adam would stand still from then on, with finite weights: v is infinite, and each step 0."""
    network = Network([Linear(4, 8), ReLU(), Linear(8, 3)])
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 2: Adam's state v is not finite"):
        train(network, Adam(0.01, weight_decay=1e25), iris, 3, 16)


def test_the_optimizer_keeps_its_learning_rate(iris: Dataset) -> None:
    def stop(history: History) -> None:
        raise KeyboardInterrupt

    optimizer = SGD(0.05)
    with pytest.raises(KeyboardInterrupt):
        train(make_network(), optimizer, iris, 5, 16, on_epoch=stop, schedule=CosineDecay())
    assert optimizer.lr == 0.05
    optimizer = SGD(1e20)
    with pytest.raises(FloatingPointError):
        train(Network([Linear(4, 8), ReLU(), Linear(8, 3)]), optimizer, iris, 5, 16, schedule=CosineDecay())
    assert optimizer.lr == 1e20


def test_a_whole_epoch_of_batches_of_one_sample_is_nothing_for_batch_norm(iris: Dataset) -> None:
    network = Network([Linear(4, 8), BatchNorm(8), ReLU(), Linear(8, 3)])
    with pytest.raises(ValueError, match="learns nothing from batches of one sample: use a larger batch_size"):
        train(network, SGD(0.1), iris, 1, 1)
    train(network, SGD(0.1), iris, 1, 105)  # whose last batch has one
    assert np.isfinite(network.theta).all()
