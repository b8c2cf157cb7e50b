"""Does SGD take the steps that its equations, and scikit-learn, take?"""

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from minnet import SGD, Linear, Network, ReLU, Sigmoid, Tanh, load_dataset, train
from minnet.layers import Array, BatchNorm, Dropout, Layer
from minnet.optimizers import Adam
from tests.conftest import make_network


@pytest.mark.parametrize("name", ["iris", "digits"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize(("activation", "theirs"), [(ReLU, "relu"), (Tanh, "tanh"), (Sigmoid, "logistic")])
def test_twenty_full_batch_steps_agree_with_scikit_learns(
    name: str, momentum: float, nesterov: bool, activation: type[ReLU | Tanh | Sigmoid], theirs: str
) -> None:
    x, t = load_dataset(name, seed=0, dtype="float64").train
    K = int(t.max()) + 1
    classifier = MLPClassifier(
        (16, 8), activation=theirs, solver="sgd", alpha=0, batch_size=len(x), learning_rate_init=0.1, momentum=momentum,
        nesterovs_momentum=nesterov, shuffle=False, random_state=0,
    )  # fmt: skip
    classifier.partial_fit(x, t, classes=range(K))  # makes its weights; the comparison starts from them, at rest
    for velocity in classifier._optimizer.velocities:
        velocity[...] = 0
    network = make_network((x.shape[1], 16, 8, K), activation)
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    for layer, W, b in zip(linears, classifier.coefs_, classifier.intercepts_, strict=True):
        layer.W[...], layer.b[...] = W, b

    optimizer = SGD(lr=0.1, momentum=momentum, nesterov=nesterov)
    before = network.theta.copy()
    for _ in range(20):
        loss = network.forward(x, t)
        network.backward()
        optimizer.step(network)
        classifier.partial_fit(x, t)
        assert loss == pytest.approx(classifier.loss_, abs=1e-12)
    for layer, W, b in zip(linears, classifier.coefs_, classifier.intercepts_, strict=True):
        np.testing.assert_allclose(layer.W, W, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.b[0], b, rtol=0, atol=1e-12)
    assert np.abs(network.theta - before).max() > 0.01


def test_two_steps_by_hand() -> None:
    """One parameter's worth of arithmetic: θ = 1, gradients 2 then 4, lr 0.1, momentum 0.5."""
    for nesterov, expected in ((False, [0.8, 0.3]), (True, [0.7, 0.05])):
        network, optimizer = make_network((1, 1)), SGD(0.1, 0.5, nesterov)
        network.theta[...] = 1
        for gradient, theta in zip((2, 4), expected, strict=True):
            network.dtheta[...] = gradient
            optimizer.step(network)
            np.testing.assert_allclose(network.theta, theta, rtol=1e-14)


def test_a_step_reads_the_gradient_and_moves_theta_in_place(batch: tuple[Array, Array]) -> None:
    network, optimizer = make_network(), SGD(0.1, 0.9, nesterov=True, weight_decay=0.1)
    theta = network.theta
    network.forward(*batch)
    network.backward()
    dtheta = network.dtheta.copy()
    optimizer.step(network)
    optimizer.step(network)
    assert network.theta is theta
    np.testing.assert_array_equal(network.dtheta, dtheta)


def test_weight_decay_follows_the_penaltys_gradient_and_spares_biases() -> None:
    network, optimizer = make_network(), SGD(0.1, weight_decay=0.01)
    before = network.theta.copy()
    numeric = np.empty(network.theta.size)
    for k in range(network.theta.size):
        shifted = [network.at(before + step * (np.arange(before.size) == k)) for step in (1e-4, -1e-4)]
        numeric[k] = (optimizer.penalty(shifted[0]) - optimizer.penalty(shifted[1])) / 2e-4
    optimizer.step(network)  # dtheta is 0: only the penalty moves theta
    np.testing.assert_allclose(before - network.theta, 0.1 * numeric, atol=1e-12)
    assert (network.theta[~network.decays] == before[~network.decays]).all()
    assert (network.theta[network.decays] != before[network.decays]).all()


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_stack_takes_the_steps_of_its_members(batch: tuple[Array, Array], nesterov: bool) -> None:
    thetas = make_network().theta + np.random.default_rng(0).normal(size=(3, 43))
    stack, optimizer = make_network().at(thetas.copy()), SGD(0.1, 0.9, nesterov, weight_decay=0.01)
    singles = [(make_network().at(theta.copy()), SGD(0.1, 0.9, nesterov, weight_decay=0.01)) for theta in thetas]
    for network, own in [(stack, optimizer), *singles]:
        for _ in range(3):
            network.forward(*batch)
            network.backward()
            own.step(network)
    for s, (single, _) in enumerate(singles):
        np.testing.assert_allclose(stack.theta[s], single.theta, rtol=1e-12, atol=1e-14)


def test_one_optimizer_for_two_networks_is_refused() -> None:
    optimizer = SGD(0.1)
    optimizer.step(make_network((4, 5, 3)))
    with pytest.raises(ValueError, match="each network needs an optimizer of its own"):
        optimizer.step(make_network((4, 3)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, "SGD lr: expected a finite number above 0, got 0"),
        ({"lr": 10**400}, "SGD lr: expected"),
        ({"lr": -0.1}, "SGD lr: expected"),
        ({"lr": float("nan")}, "SGD lr: expected"),
        ({"lr": float("inf")}, "SGD lr: expected"),
        ({"lr": 0.1, "momentum": 1}, "SGD momentum: expected a finite number of at least 0 and below 1, got 1"),
        ({"lr": 0.1, "momentum": -0.1}, "SGD momentum: expected"),
        ({"lr": 0.1, "momentum": float("nan")}, "SGD momentum: expected"),
        ({"lr": 0.1, "weight_decay": -1}, "SGD weight_decay: expected a finite number of at least 0"),
        ({"lr": 0.1, "weight_decay": float("inf")}, "SGD weight_decay: expected"),
        ({"lr": 0.1, "nesterov": True}, "momentum: expected one above 0 with nesterov=True"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD(**settings)  # type: ignore[arg-type]


def test_an_optimizer_prints_its_settings() -> None:
    assert repr(SGD(0.1, 0.9)) == "SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stack_with_settings_of_its_own_for_each_learns_what_each_learns_alone(dtype: str) -> None:
    """To the bit: Adam makes much of a rounding error where the true gradient is 0, as before batch normalisation."""
    iris = load_dataset("iris", dtype=dtype)

    def layers() -> list[Layer]:
        return [Linear(4, 9), BatchNorm(9), ReLU(), Dropout(0.2), Linear(9, 3)]

    rates, betas, decays = [0.1, 0.003, 0.01], [0.9, 0.85, 0.5], [0.0, 0.01, 0.1]
    stack = Network(layers(), seed=(4, 5, 6), dtype=dtype)
    train(stack, Adam(rates, betas, [0.999, 0.99, 0.9], [1e-8, 1e-7, 1e-6], decays), iris, 4, 20)
    for s, (lr, beta1, beta2, epsilon, decay) in enumerate(
        zip(rates, betas, [0.999, 0.99, 0.9], [1e-8, 1e-7, 1e-6], decays, strict=True)
    ):
        single = Network(layers(), seed=4 + s, dtype=dtype)
        train(single, Adam(lr, beta1, beta2, epsilon, decay), iris, 4, 20)
        np.testing.assert_array_equal(stack.theta[s], single.theta)


def test_a_memory_of_another_dtype_is_refused() -> None:
    optimizer = SGD(0.1, 0.9)
    optimizer.step(Network([Linear(2, 2)]))
    with pytest.raises(ValueError, match="each network needs an optimizer of its own"):
        optimizer.step(Network([Linear(2, 2)], dtype="float64"))
    assert repr(Adam(0.1)) == "Adam(lr=0.1, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.0)"
