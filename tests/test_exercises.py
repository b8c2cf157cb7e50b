"""Are the answers to the derivation's exercises right? Each number in them is computed here, by minnet's own code."""

import math
import re
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    Adam,
    BatchNorm,
    Linear,
    Network,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    load_dataset,
)  # fmt: skip
from minnet.lab.explain import tiny
from minnet.lab.long_way import CrossEntropy, Softmax
from minnet.lab.trace import trace
from minnet.layers import Array
from minnet.output import log_softmax
from minnet.runs.calibration import Temperature
from tests.conftest import make_network
from tests.test_derivation import DERIVATION

SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DERIVATION, re.DOTALL | re.M))
ANSWER = r"^\*\*Exercise\.\*\* .*?\n\n<details><summary>Answer</summary>\n\n(.*?)\n\n</details>\n\Z"


def answers(section: str, *texts: str) -> None:
    """Assert that the answer at a section's end contains these texts, in this order."""
    (answer,) = re.findall(ANSWER, SECTIONS[section].rstrip() + "\n", re.DOTALL | re.M)
    answer = " ".join(answer.replace("−", "-").split())
    places = [0]
    for text in texts:
        assert text in answer[places[-1] :], f"{text} is not in {answer[places[-1] :]}"
        places.append(answer.index(text, places[-1]) + len(text))


def row(array: Array, digits: int = 4) -> str:
    """Write an array as the page does."""
    return f"({', '.join(f'{number:.{digits}f}' for number in array)})"


def test_every_section_ends_with_an_exercise() -> None:
    for section, text in SECTIONS.items():
        assert text.count("**Exercise.**") == text.count("<summary>Answer</summary>") == 1, section
        answers(section)


def test_one_sample() -> None:
    network, _, dataset = tiny()
    found, softmax, cross_entropy = trace(network, *dataset.train), Softmax(), CrossEntropy()
    z, y, t = (found[name][1:] for name in ("2.z", "y", "t"))
    np.testing.assert_array_equal(z, [[0.5, 1.5, -1.5]])
    loss = cross_entropy.forward(softmax.forward(z), t)
    dy = cross_entropy.backward()
    np.testing.assert_allclose(softmax.backward(dy), y - t, atol=1e-15)
    texts = row(y[0]), f"{y[0, 2]:.4f} = {loss:.4f}", row((y - t)[0]), f"(0, 0, {dy[0, 2]:.2f})"
    answers("Why y − t? One sample", *texts, row(softmax.jacobian[0, 2]))


def test_why_not_softmax() -> None:
    softmax, t = Softmax(), np.array([[1.0, 0]])
    y = softmax.forward(np.array([[0.0, 10]]))
    right, twice, squared = (each[0, 0] for each in (y - t, (y - t) * y * (1 - y), softmax.backward(y - t)))
    answers("Why not softmax′?", f"{y[0, 0]:.7f}", f"{right:.5f}", f"{twice:.7f}", f"{squared:.7f}", "ten thousand")
    assert right / squared > 10_000


def test_where_does_1_over_n_go() -> None:
    N = len(load_dataset("digits").train.t)
    whole, rest = divmod(N, 32)
    section = "Where does 1/N go, and why only once?"
    assert f"{N:,} samples in batches of 32" in SECTIONS[section]
    answers(
        section, f"{0.05 / 32:.7f}", f"{N:,} - {whole} · 32 = {rest}", f"0.05 · {rest} / 32 = {0.05 * rest / 32:.4f}"
    )


def test_on_a_computer() -> None:
    z = np.array([1000.0, 1001.0])
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(np.exp(z) / np.exp(z).sum()).all()
    log_y = log_softmax(z)
    largest = math.log(np.finfo(float).max)
    answers("On a computer", f"e^{{{largest:.1f}}}", "are -1 and 0", row(np.exp(log_y)), f"= {log_y[0]:.4f}")


def test_where_does_the_transpose_come_from() -> None:
    network, _, dataset = tiny()
    found = trace(network, *dataset.train)
    a, dz, dW = found["1.a"][:, 2], found["2.dz"][:, 1], found["2.dW"][2, 1]
    D, hidden, K = 64, 64, 10
    left = K * hidden, hidden, hidden * D
    right = hidden * D, K * hidden * D, K * D
    answers(
        "Where does the transpose come from?",
        f"{a[0]} · {dz[0]:.4f} + {a[1]:g} · {dz[1]:.4f} = {dW:.4f}",
        f"{left[0]:,} + {left[1]:,} + {left[2]:,} = {sum(left):,}",
        f"{right[0]:,} + {right[1]:,} + {right[2]:,} = {sum(right):,}",
    )


def test_activations() -> None:
    slopes = []
    for activation in (Sigmoid(), Tanh(), ReLU()):
        activation.forward(np.array([4.0]))
        slopes.append(activation.backward(np.ones(1)).item())
    assert slopes[2] == 1
    answers("Activations", f"Sigmoid {slopes[0]:.4f}, tanh {slopes[1]:.4f}, ReLU 1", f"{0.25**10:.8f}")


def test_normalisation() -> None:
    layer, x, da = BatchNorm(1, epsilon=1e-300), np.array([[1.0], [3]]), np.array([[1.0], [0]])
    layer.gamma, layer.beta = np.ones((1, 1)), np.zeros((1, 1))
    layer.dgamma, layer.dbeta = np.empty((1, 1)), np.empty((1, 1))
    layer.running_mean, layer.running_variance = np.zeros((1, 1)), np.ones((1, 1))
    x_hat = layer.forward(x)
    assert (x.mean(), x.std()) == (2, 1)
    texts = (
        row(x_hat[:, 0], 0),
        f"is {da.mean():g}, that",
        f"is {(da * x_hat).mean():g},",
        row(layer.backward(da)[:, 0], 0),
    )
    answers("Normalisation", *texts)


def test_how_large_should_weights_be() -> None:
    network = Network([Linear(784, 256), ReLU(), Linear(256, 10)], dtype="float64")
    glorot = Network([Linear(784, 256), Tanh(), Linear(256, 10)], dtype="float64")
    (of_relu, _, _), (of_tanh, _, _) = network.layers, glorot.layers
    assert isinstance(of_relu, Linear)
    assert isinstance(of_tanh, Linear)
    forward, back, r = math.sqrt(2 / 784), math.sqrt(2 / 256), math.sqrt(6 / (784 + 256))
    assert of_relu.W.std() == pytest.approx(forward, rel=0.01)
    assert of_tanh.W.max() == pytest.approx(r, rel=0.001)
    section = "How large should weights be at first?"
    answers(section, f"= {forward:.4f}", f"= {back:.4f}", f"smaller one, {forward:.4f}", f"= {r:.4f}")


def test_the_step() -> None:
    network, sgd, adam, moved = make_network((1, 2)), SGD(0.05, momentum=0.9), Adam(0.001), []
    network.dtheta[...] = 1
    for _ in range(300):
        before = network.theta.copy()
        sgd.step(network)
        moved.append((before - network.theta)[0])
    first = 1 + int(np.argmax(np.array(moved) >= 0.9 * moved[-1]))
    before = network.theta.copy()
    network.dtheta[...] = 1e-8
    adam.step(network)
    answers("The step", f"= {moved[-1]:g}`", f"in step {first}.", f"= {(before - network.theta)[0]:.4f}")


def test_the_check() -> None:
    def f(theta: Any) -> Any:
        return theta**3

    h = 0.1
    one_sided, central, exact = (f(1 + h) - f(1)) / h, (f(1 + h) - f(1 - h)) / (2 * h), f(1 + 1j * h).imag / h
    answers(
        "The check", f"= {one_sided:.2f},", f"= {central:.2f}.", f"= {f(1 + 1j * h).imag:.3f}", f"makes {exact:.2f}"
    )
    assert (f(1 + 1e-30) - f(1)) / 1e-30 == (f(1 + 1e-30) - f(1 - 1e-30)) / 2e-30 == 0
    assert f(1 + 1e-30j).imag / 1e-30 == pytest.approx(3, rel=1e-15)


def test_after_training() -> None:
    layer, z = Temperature(2), np.array([[3.0, 0]])
    layer.beta = np.array([[1 / 1.5]])
    before, after = (SoftmaxCrossEntropy().probabilities(each)[0, 0] for each in (z, layer.forward(z)))
    answers("After training", f"{before:.4f}", f"{after:.4f}")
