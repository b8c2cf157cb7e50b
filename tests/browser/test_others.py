"""Does the page stand networks, steps and numbers of other kinds?"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import (
    SGD,
    Adam,
    BatchNorm,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    Sigmoid,
    Tanh,
    explain,
    load_dataset,
)  # fmt: skip
from minnet.lab.explain import Explanation, explain_training
from minnet.layers import Array
from minnet.output import SoftmaxCrossEntropy
from tests.browser.conftest import Read, Written
from tests.browser.reader import calculated, changed, shows, some

IRIS = load_dataset("iris", dtype="float64")


class Squared:
    """An output layer without softmax: half the squared error."""

    def forward(self, z: Array, t: Array, w: Any = None) -> Any:
        self.error = z - t
        return (self.error**2).sum() / 2 / len(z)

    def backward(self) -> Array:
        dz: Array = self.error / len(self.error)
        return dz

    def probabilities(self, z: Array) -> Array:
        return z


def network(*layers: Any, output: Any = None) -> Any:
    """Make a network for iris."""
    return Network(list(layers), output or SoftmaxCrossEntropy(), dtype="float64")


def training(made: Any, optimizer: Any, steps: tuple[int, ...] = (0, 3)) -> Explanation:
    """Explain some steps of a training on iris."""
    return explain_training("iris", made, optimizer, IRIS, 6, steps)


def single(made: Any, optimizer: Any = None, weight: Any = None, t: Any = None) -> Explanation:
    """Explain one step on six samples of iris, without a training."""
    x = IRIS.train.x[:6]
    made.forward(x, IRIS.train.t[:6])
    return explain(made, x, IRIS.train.t[:6] if t is None else t, optimizer, weight)


SHARES = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [0.1, 0.9, 0.0], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]]
)
CASES: dict[str, Callable[[], Explanation]] = {
    "without optimizer": lambda: single(network(Linear(4, 5), ReLU(), Linear(5, 3))),
    "one step": lambda: training(network(Linear(4, 5), ReLU(), Linear(5, 3)), SGD(0.1), (0,)),
    "Adam": lambda: training(network(Linear(4, 5), Tanh(), Linear(5, 3)), Adam(0.01)),
    "Nesterov": lambda: training(network(Linear(4, 5), Sigmoid(), Linear(5, 3)), SGD(0.1, 0.9, nesterov=True)),
    "weight decay": lambda: training(network(Linear(4, 5), LeakyReLU(), Linear(5, 3)), SGD(0.1, 0.5, weight_decay=0.1)),
    "batch norm": lambda: training(network(Linear(4, 5), BatchNorm(5), ReLU(), Linear(5, 3)), SGD(0.1, 0.9)),
    "layer norm": lambda: training(network(Linear(4, 5), LayerNorm(5), ReLU(), Linear(5, 3)), SGD(0.1, 0.9)),
    "dropout": lambda: training(network(Linear(4, 9), ReLU(), Dropout(0.5), Linear(9, 3)), SGD(0.1, 0.9)),
    "no softmax": lambda: single(network(Linear(4, 5), ReLU(), Linear(5, 3), output=Squared()), SGD(0.1)),
    "no hidden layer": lambda: training(network(Linear(4, 3)), SGD(0.1, 0.9)),
    "weights": lambda: single(network(Linear(4, 3)), SGD(0.1), np.arange(1.0, 7)),
    "shares": lambda: single(network(Linear(4, 5), ReLU(), Linear(5, 3)), SGD(0.1), None, SHARES),
    "deep": lambda: training(
        network(*[layer for k in range(4) for layer in (Linear(4, 4), Tanh())], Linear(4, 3)), SGD(0.1)
    ),
}


def saved(explained: Explanation, folder: Path) -> Written:
    """Write a page."""
    file = folder / "page.html"
    explained.save(file)
    return file, explained.content()


@pytest.mark.parametrize("case", CASES)
def test_networks_of_all_kinds_show_their_numbers_and_their_sums_hold(read: Read, tmp_path: Path, case: str) -> None:
    reader = read(saved(CASES[case](), tmp_path))
    steps = len(reader.content["steps"])
    assert reader.page.locator("#track").is_visible() == (steps > 1)
    if case != "no softmax":
        reader.page.locator("#long-way").check()
    for step in range(steps):
        if steps > 1:
            reader.choose(step, 2)
        cells = reader.cells()
        assert len(cells) > 200
        for cell in cells:
            assert shows(cell.label.rpartition(": ")[2], reader.value(cell), 6), cell
            assert cell.text == "" or shows(cell.text, reader.value(cell), 4), cell
        once = some([*{(cell.name, cell.i, cell.j): cell for cell in cells}.values()], 250, step)
        for cell, said in zip(once, reader.point(once), strict=True):
            if case == "no softmax" and cell.name in ("2.dz", "2.dz.exact"):
                continue  # it is another loss's
            assert said.holds in ("", "true"), (cell, said)
            if said.written:
                made, says, size = calculated(said.written)
                assert abs(made - says) <= 1e-4 * size, (cell, said)
    assert set(reader.facts("#proof tr[data-array]", "array")) > {"0.dW"}
    assert reader.page.locator("#proof [data-holds=false]").count() == 0


def test_without_an_optimizer_there_is_no_update(read: Read, tmp_path: Path) -> None:
    reader = read(saved(CASES["without optimizer"](), tmp_path))
    assert reader.page.locator("#update").count() == 0
    assert reader.page.locator("a[href='#update']").count() == 0
    assert reader.page.locator("section h2").count() == 6


def test_another_loss_is_said_to_be_another_and_not_to_be_wrong(read: Read, tmp_path: Path) -> None:
    reader = read(saved(CASES["no softmax"](), tmp_path))
    of_cross_entropy = {"shifted", "exp", "sum", "log_y", "losses", "dy", "jacobian", "product"}
    assert of_cross_entropy & {cell.name for cell in reader.cells()} == set()
    assert reader.page.locator("#long-way").count() == 0
    assert reader.page.locator("#differs").inner_text().endswith("Of that loss it is right, as the proof says.")
    assert reader.page.locator("#other-loss").is_visible()
    assert "C is the mean" not in reader.page.locator("#output").inner_text()
    assert reader.page.locator("#proof [data-holds=true]").count() == 5


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite_show_as_such(
    read: Read, pages: Callable[[str], Written], tmp_path: Path, value: str
) -> None:
    content = copy.deepcopy(pages("tiny")[1])
    for name in ("0.W", "2.z", "y", "2.dz", "2.dW", "2.dW.new", "2.dW.exact", "jacobian", "x"):
        array = content["steps"][1]["arrays"].get(name, [[[0]]])
        while isinstance(array[0], list):
            array = array[0]
        array[0] = value
    for name in ("loss", "loss_after", "2.dW.error"):
        content["steps"][1]["arrays"][name] = value
    content["losses"][1] = value
    file = tmp_path / "page.html"
    file.write_text(changed(pages("tiny")[0].read_text("utf-8"), content), "utf-8")
    reader = read((file, content))
    reader.page.locator("#long-way").check()
    reader.choose(1)
    shown = {"nan": "NaN", "inf": "∞", "-inf": "−∞"}[value]
    for name in ("0.W", "2.z", "y", "2.dz", "2.dW"):
        assert reader.entry(name, 0, 0).inner_text() == shown
    cells = reader.cells()
    for cell, said in zip(cells, reader.point(cells), strict=True):
        if cell.name in ("0.W", "2.z", "y", "2.dz", "2.dW") and (cell.i, cell.j) == (0, "0"):
            assert said.value == shown
    assert reader.page.locator("#where").inner_text() == f"step 1, loss {shown}"
    verdict = {"nan": "nothing to compare", "inf": "✗ wrong", "-inf": "✓ right"}[value]
    assert reader.facts("#proof tr[data-array]", "array")["2.dW"].endswith(verdict)
    reader.choose(2)
    assert reader.page.locator("#where").inner_text().startswith("step 10, loss 0.")


def test_a_training_that_diverges_leaves_a_page(read: Read, tmp_path: Path) -> None:
    made = network(Linear(4, 5), ReLU(), Linear(5, 3))
    with np.errstate(all="ignore"):
        explained = training(made, SGD(1e4), (0, 1, 2))
    reader = read(saved(explained, tmp_path))
    for step in range(len(reader.content["steps"])):
        reader.choose(step)
        for cell in reader.cells():
            assert shows(cell.label.rpartition(": ")[2], reader.value(cell), 6), cell


def test_maps_of_many_entries_are_made_when_they_are_seen(read: Read, tmp_path: Path) -> None:
    made = network(Linear(4, 40), ReLU(), Linear(40, 40), ReLU(), Linear(40, 3))
    reader = read(saved(training(made, SGD(0.1)), tmp_path))
    assert reader.entry("2.dW", 5, 7).count() == 0
    reader.page.locator("#backward [id='at-2.dW']").scroll_into_view_if_needed()
    reader.entry("2.dW", 5, 7).wait_for(state="attached")
    label = str(reader.entry("2.dW", 5, 7).get_attribute("aria-label"))
    assert shows(label.rpartition(": ")[2], float(reader.array("2.dW")[5, 7]), 6)
    reader.choose(1)
    label = str(reader.entry("2.dW", 5, 7).get_attribute("aria-label"))
    assert shows(label.rpartition(": ")[2], float(reader.array("2.dW")[5, 7]), 6)


@pytest.mark.parametrize("hidden", [["dz", "0.dW"], ["new"]])
def test_a_page_can_begin_with_blanks(read: Read, tmp_path: Path, hidden: list[str]) -> None:
    explained = training(network(Linear(4, 5), ReLU(), Linear(5, 3)), SGD(0.1))
    explained.hide(hidden)
    reader = read(saved(explained, tmp_path))
    names = {cell.name for cell in reader.cells() if cell.hidden}
    wanted = {"0.W.new", "0.b.new", "2.W.new", "2.b.new"}
    if len(hidden) == 2:
        wanted = {"0.dz", "2.dz", "0.dW", "0.W.velocity", "0.W.new"}  # what is made of dW gives it away
    assert {name for name in names if not name.endswith((".exact", ".outer", ".row"))} == wanted
    reader.page.locator("#hide summary").click()
    reader.page.locator("#show-all").click()
    assert not [cell for cell in reader.cells() if cell.hidden]
