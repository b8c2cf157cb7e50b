"""Is every number of docs/backprop.md the one that is computed, and every line of code on it one that runs?"""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Linear, ReLU
from minnet.lab.autodiff import Value, gradients
from minnet.lab.explain import tiny
from minnet.lab.record import record
from minnet.support.fit import slots
from tests.lab.test_autodiff import by_autodiff

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "backprop.md").read_text(encoding="utf-8")
MATHEMATICS = r"```math\n(.*?)```|\$`(.*?)`\$"
INDEX = r"_(\{[^}]*\}|\w)"
CODE = r"```\w*\n.*?```|`[^`]*`|\]\([^)]*\)|^\d\. "  # and where links lead, and what numbers a list


def flat(numbers: Any) -> Iterator[float]:
    """Give numbers one by one, those of lists and arrays too."""
    if isinstance(numbers, list | tuple) or np.ndim(numbers) > 0:
        for each in numbers:
            yield from flat(each)
    else:
        yield numbers.number if isinstance(numbers, Value) else float(numbers)


def four_numbers() -> list[Any]:
    """What "A graph of four numbers" says, in its order."""
    x, w, b, t = map(Value, (3, 2, -1, 7))
    p = w * x
    z = p + b
    d = z - t
    C = d * d
    found = gradients(C)
    dC, dd, dz, dp, dw = (found[each] for each in (C, d, z, p, w))
    h, loss = 0.01, (2.01 * 3 - 1 - 7) ** 2
    return [
        [[w, x, p], [p, b, z], [z, t, d], [d, d, C]],
        [x, x, 1, -1],
        [dC, [dC, d, dC, d, dd], [dd, 1, dz], [dz, 1, dp], [dp, x, dw]],
        [w.number + h, loss, C.number - loss, dw, h, dw * h, d],
    ]


def two_paths() -> list[Any]:
    """What "The chain rule is a sum over paths" says, in its order."""
    x, h = Value(3), 0.01
    u, v = 2 * x, x + 1
    C = u * v
    found = gradients(C)
    by_u, by_v, change = found[u] * 2, found[v] * 1, (2 * (3 + h)) * (3 + h + 1) - 24
    nudges = [x, 3 + h, 2, 2 * h, 1, h, found[u], 2 * h, by_u * h, found[v], h, by_v * h]
    assert C.number == 24
    rest = [found[x] * h, change, change - found[x] * h, 2 * h, h]
    return [nudges, rest, [found[u], 2, found[v], 1, by_u, by_v, found[x]], 0, 0]


def counts() -> list[Any]:
    """What "Why backwards?" says, in its order."""
    rows = []
    for layers in (tiny()[0].layers, [Linear(64, 64), ReLU(), Linear(64, 10)]):
        parameters = sum(slot.entries.stop - slot.entries.start for slot in slots(layers))
        first, second = (slot.entries.stop - slot.entries.start for slot in slots(layers) if slot.name == "W")
        forward = first + second
        rows.append([parameters, forward, parameters * forward, first + 2 * second])
    return [64, 10, 64, 64, 64, 10, 64**3 * 10, list(zip(*rows, strict=True))]


def step() -> dict[str, list[Any]]:
    """What the sections on the network of two layers say, each in its order."""
    network, optimizer, dataset = tiny()
    x, t, _ = network.check(*dataset.train)
    of = record(network, x, t, optimizer)
    found = by_autodiff(network.layers, network.output, network.theta, x, t, None)  # a second way to each gradient
    for slot in slots(network.layers):
        of[f"{slot.place}.d{slot.name}"] = found["dtheta"][slot.entries].reshape(slot.shape)
    W1, W2, y, a, dz1, dz2 = (of[name] for name in ("0.W", "2.W", "y", "1.a", "0.dz", "2.dz"))
    squared, own = found["dtheta"] @ found["dtheta"], [y[0, 0], y[1, 2]]
    before, after = of["loss"], of["loss_after"]
    outer = [a[:, :, np.newaxis] * dz2[:, np.newaxis, :]]
    return {
        "Two layers, with every number": [2, 3, 3, 2, x, t, W1, W2, of["0.b"], of["2.b"]],
        "Forward": [of["0.z"], 0, a, of["2.z"], y, own, own, 2, -np.log(own), 2, before],
        "Backward, from the loss to the first weight": [
            [2, y - t, (y - t) / 2, 1, of["2.dW"], of["2.db"], of["1.da"]],
            [1, 0, 0, 0, 1, 0, dz1, of["0.dW"], of["0.db"]],
        ],
        "Where does the transpose come from?": [
            [a[:, 0], a[0, 0], dz2[0, 0], a[1, 0], dz2[1, 0], of["2.dW"][0, 0]],
            [a[0], dz2[0], a[1], dz2[1], outer],
            [np.stack([dz2[0], W2[0]], axis=1), of["1.da"][0, 0]],
        ],
        "The step": [
            [0.1, 0.1, W1 - 0.1 * of["0.dW"], 0.1, W2 - 0.1 * of["2.dW"], found["dtheta"].size, -0.1],
            [
                -0.1,
                2,
                -0.1,
                squared,
                -0.1 * squared,
                before,
                0.1 * squared,
                before - 0.1 * squared,
                after,
                before - after,
            ],
        ],
        "Exercises": [4, 2, of["0.dW"][0, 1], x[0], 0, 0.01],
    }


def answers() -> list[Any]:
    """What the answers say, in their order."""
    network, _, dataset = tiny()
    before = network.forward(*dataset.train)
    network.backward()
    squared = network.dtheta @ network.dtheta
    dx = record(network, *network.check(*dataset.train)[:2])["dx"]
    z = network.layers[0].forward(dataset.train.x)
    SGD(0.01).step(network)
    after = network.forward(*dataset.train)
    return [
        [5, 4, 1, 1, 1, 1, 2, 2, 3, 6],
        [4, 4, 4, 4, 12, 3, 2],
        [z[1, 1], 0, 0],
        [1, 0],
        dx,
        [before, 0.01, squared, before - 0.01 * squared, after],
    ]


EXPECTED = {
    "Backprop in one picture": [],
    "A graph of four numbers": four_numbers(),
    "The chain rule is a sum over paths": two_paths(),
    "Why backwards?": counts(),
    "The same in code": [1],
    **step(),
    "And by automatic differentiation": [],
}
EXPECTED["Exercises"] += answers()


def sections() -> dict[str, str]:
    """Return the page's sections by their headings."""
    _, *parts = re.split(r"^#+ (.*)\n", PAGE, flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def numbers(text: str) -> list[str]:
    """Return the numbers of a text's formulas as they are written."""
    formulas = " ".join(block or inline for block, inline in re.findall(MATHEMATICS, text, re.DOTALL))
    return re.findall(r"-?\d+(?:\.\d+)?", re.sub(INDEX, "", formulas).replace("{,}", ""))


def says(written: str, number: float) -> bool:
    """Say whether a number is written as it is, in full or rounded to four decimals."""
    exact = abs(float(written) - number) < 1e-12
    return exact or written == f"{number:.4f}"


def test_each_section_is_computed() -> None:
    assert list(sections()) == [*list(EXPECTED)[:-2], "And by automatic differentiation", "Exercises"]


@pytest.mark.parametrize("heading", EXPECTED)
def test_each_number_is_the_one_that_is_computed_and_no_other_would_do(heading: str) -> None:
    written, computed = numbers(sections()[heading]), list(flat(EXPECTED[heading]))
    for place, (each, number) in enumerate(zip(written, computed, strict=False)):
        before = " ".join(written[max(0, place - 5) : place])
        assert says(each, number), f"after {before}: {each} is {number}"
        other = each[:-1] + str((int(each[-1]) + 1) % 10)
        assert not says(other, number), f"{other} would do as well as {each}"
        assert not says(f"-{each}".removeprefix("--"), number) or number == 0
    assert len(written) == len(computed)


def test_there_is_no_number_but_in_formulas_and_code() -> None:
    words = re.sub(CODE, "", re.sub(MATHEMATICS, "", PAGE, flags=re.DOTALL), flags=re.DOTALL | re.M)
    assert re.findall(r".*\d.*", words) == []


def test_the_code_runs_and_prints_what_is_shown() -> None:
    examples = "\n".join(re.findall(r"```python\n(>>>.*?)```", PAGE, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, "backprop.md", None, 0)
    report = list[str]()
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)
    assert len(test.examples) == PAGE.count("\n>>> ") > 10


def test_the_code_that_is_quoted_is_that_of_the_file() -> None:
    program = (ROOT / "minnet" / "lab" / "autodiff.py").read_text(encoding="utf-8")
    quoted = re.findall(r"```python\n( .*?)```", PAGE, re.DOTALL)
    assert len(quoted) == 1
    assert quoted[0] in program
