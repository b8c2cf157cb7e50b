"""Does the page show the numbers of the steps, and say rightly how each comes about?"""

import itertools
import re
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from minnet.layers import Array
from tests.browser.conftest import Read
from tests.browser.reader import Cell, Reader, calculated, number, shows, some

PAGES = ("tiny", "digits", "iris", "spiral", "penguins")


def numpys(reader: Reader) -> dict[str, Array]:
    """Compute a step of two layers with ReLU between them, of that is shown, from x, t and the parameters alone."""
    x, t, W1, b1, W2, b2 = map(reader.array, ("x", "t", "0.W", "0.b", "2.W", "2.b"))
    z1 = x @ W1 + b1
    a = np.maximum(0, z1)
    z2 = a @ W2 + b2
    exp = np.exp(z2 - z2.max(axis=1, keepdims=True))
    y = exp / exp.sum(axis=1, keepdims=True)
    dz2 = (y - t) / len(x)
    da = dz2 @ W2.T
    dz1 = da * (z1 > 0)
    jacobian = np.stack([np.diag(row) - np.outer(row, row) for row in y])
    return {
        "0.z": z1, "1.a": a, "2.z": z2, "exp": exp, "y": y, "y-t": y - t, "2.dz": dz2, "2.dW": a.T @ dz2,
        "2.db": dz2.sum(axis=0, keepdims=True), "1.da": da, "0.dz": dz1, "0.dW": x.T @ dz1,
        "0.db": dz1.sum(axis=0, keepdims=True), "dx": dz1 @ W1.T, "dy": -t / y, "jacobian": jacobian,
        "product": y - t, "losses": -np.log((y * t).sum(axis=1, keepdims=True)),
    }  # fmt: skip


def entries(name: str, rows: Iterable[int], columns: Iterable[int]) -> set[str]:
    """Name some entries of an array."""
    return {f"{name} {i} {j}" for i, j in itertools.product(rows, columns)}


def made_of(reader: Reader, cell: Cell) -> tuple[set[str], set[str]] | None:
    """Give the entries that an entry of a linear layer's arrays is made of: first and second factors of the sum."""
    if cell.name not in ("0.z", "2.z", "0.dW", "2.dW", "0.db", "2.db", "1.da", "dx"):
        return None
    i, j = [cell.i], [int(cell.j)]
    first = cell.name[0] == "0" or cell.name == "dx"
    place, x, dz = (0, "x", "0.dz") if first else (2, "1.a", "2.dz")
    samples, inputs = map(range, reader.array(x).shape)
    units = range(reader.array(dz).shape[1])
    if cell.name.endswith(".z"):
        return entries(x, i, inputs) | entries(f"{place}.b", [0], j), entries(f"{place}.W", inputs, j)
    if cell.name.endswith("dW"):
        return entries(x, samples, i), entries(dz, samples, j)
    if cell.name.endswith("db"):
        return entries(dz, samples, j), set()
    return entries(dz, i, units), entries(f"{place}.W", j, units)


@pytest.mark.parametrize("name", PAGES)
def test_every_entry_of_every_step_is_shown_as_numpy_computes_it(read: Read, name: str) -> None:
    reader = read(name)
    numbers_of_steps = [step["number"] for step in reader.content["steps"]]
    assert numbers_of_steps == [0, 1, 10, 100]
    for step, of_training in enumerate(numbers_of_steps):
        sample = (2 * step + 1) % len(reader.array("x"))
        reader.choose(step, sample)
        where = reader.page.locator("#where").inner_text()
        assert where.startswith(f"step {of_training}, loss ")
        assert shows(where.split()[-1], float(reader.array("loss")), 4)
        computed = numpys(reader)
        seen = set()
        for cell in reader.cells():
            value = reader.value(cell)
            assert cell.text == "" or shows(cell.text, value, 4), (cell, value)
            assert shows(cell.label.rpartition(": ")[2], value, 6), (cell, value)
            if cell.name in computed:
                assert abs(value - reader.value(cell, computed[cell.name])) < 1e-12
                seen.add(cell.name)
        assert seen == set(computed)


@pytest.mark.parametrize("name", PAGES)
def test_an_entry_lights_what_made_it_and_its_sum_makes_it_when_it_is_calculated(read: Read, name: str) -> None:
    reader = read(name)
    reader.page.locator("#long-way").check()
    for step in (0, 2):
        reader.choose(step, 1)
        cells = some([cell for cell in reader.cells() if not cell.name.endswith(".row")], 400, step)
        written = dict[str, int]()
        for cell, said in zip(cells, reader.point(cells), strict=True):
            value = reader.value(cell)
            assert shows(said.value, value, 10), (cell, said)
            assert said.verdict in ("", "✓ They agree."), (cell, said)
            assert said.holds == ("true" if said.written else ""), (cell, said)
            lit = made_of(reader, cell)
            if lit:
                assert (set(said.first), set(said.second)) == lit, cell
            if said.written:
                made, says, size = calculated(said.written)
                assert abs(made - says) <= 1e-5 * size, (cell, said)
                assert abs(says - value) <= 1e-5 * size, (cell, said)
                written[cell.name] = written.get(cell.name, 0) + 1
        assert set(written) >= {"0.z", "1.a", "2.z", "2.dW", "1.da", "0.dW", "dx"} - (
            {"1.a"} if name == "digits" else set()
        )


@pytest.mark.parametrize(
    ("name", "i", "j", "written"),
    [
        ("0.z", 0, 1, "1 · (−0.5) + 2 · 1 + (−0.5) = 1"),
        ("1.a", 1, 1, "max(0, −2.5) = 0"),
        ("2.z", 1, 2, "0.5 · (−1) + 0 · 1 + 3 · (−0.5) + 0.5 = −1.5"),
        ("sum", 0, 0, "1 + 0.778801 + 0.286505 = 2.06531"),
        ("y", 0, 1, "0.778801 / 2.06531 = 0.377087"),
        ("y-t", 0, 0, "0.48419 − 1 = −0.51581"),
        ("2.dz", 0, 0, "0.5 · (−0.51581) = −0.257905"),
    ],
)
def test_the_sums_of_the_tiny_network_can_be_read_with_the_mouse(
    read: Read, name: str, i: int, j: int, written: str
) -> None:
    reader = read("tiny")
    entry = reader.entry(name, i, j)
    entry.hover()
    panel = reader.page.locator("#panel")
    assert panel.is_visible()
    assert panel.locator(".written").inner_text() == written
    made, *_ = calculated(written)
    assert abs(made - reader.array(name)[i][j]) < 1e-5
    assert "pointed" in str(entry.get_attribute("class"))
    reader.page.locator("#close").click()
    assert panel.is_hidden()


def test_a_click_holds_an_entry_and_escape_lets_it_go(read: Read) -> None:
    reader = read("tiny")
    reader.entry("0.z", 0, 0).click()
    reader.entry("0.W", 0, 0).hover()
    assert reader.page.locator("#sum .written").inner_text() == "1 · 0.5 + 2 · 0.5 + 0 = 1.5"
    reader.page.keyboard.press("Escape")
    assert reader.page.locator("#panel").is_hidden()
    reader.entry("0.z", 0, 2).hover()
    assert reader.page.locator("#sum .written").inner_text() == "1 · 1 + 2 · (−0.5) + 0.5 = 0.5"


@pytest.mark.parametrize("name", ["tiny", "digits"])
def test_the_long_way_shows_the_jacobian_of_the_sample_and_arrives_at_the_same_row(read: Read, name: str) -> None:
    reader = read(name)
    assert reader.page.locator("#long").is_hidden()
    reader.page.locator("#long-way").click()
    assert reader.page.locator("#long").is_visible()
    for step, sample in ((0, 0), (2, 1)):
        reader.choose(step, sample)
        y, t = reader.array("y")[sample], reader.array("t")[sample]
        jacobian = np.diag(y) - np.outer(y, y)
        found = {(cell.i, int(cell.j)): cell.text for cell in reader.cells() if cell.name == "jacobian"}
        assert len(found) == len(y) ** 2
        for at, text in found.items():
            assert shows(text, jacobian[at], 4)
        arrived = [cell for cell in reader.cells() if cell.name == "product"]
        for cell in arrived:
            assert shows(cell.text, ((-t / y) @ jacobian)[int(cell.j)], 4)
            assert abs(number(cell.text) - (y - t)[int(cell.j)]) < 1e-4
        assert len(arrived) == len(y)
        assert reader.page.locator("#long .verdict").inner_text().startswith("✓")


def test_numbers_are_hidden_and_revealed_one_by_one(read: Read) -> None:
    reader = read("tiny")
    reader.page.locator("#hide summary").click()
    reader.page.locator("[name=hide][value=dz]").check()
    reader.page.locator("#hide summary").click()

    def blanks() -> set[tuple[str, int, str]]:
        return {(cell.name, cell.i, cell.j) for cell in reader.cells() if cell.hidden}

    gradients = {(name, i, str(j)) for name in ("0.dz", "2.dz") for i in range(2) for j in range(3)}
    hidden = gradients | {("2.dz.exact", i, str(j)) for i in range(2) for j in range(3)}
    assert blanks() == hidden
    for cell in reader.cells():
        if cell.hidden:
            assert (cell.text, cell.label.rpartition(": ")[2]) == ("?", "hidden")
    colours = reader.page.locator("td.hidden").evaluate_all(
        "all => all.map((td) => td.style.getPropertyValue('--share'))"
    )
    assert {float(colour) for colour in colours} == {0.0}
    reader.entry("2.dW", 0, 0).hover()
    assert reader.page.locator("#sum .written").inner_text().startswith("1.5 · ? + 0.5 · ? = ")
    entry = reader.entry("2.dz", 0, 1)
    entry.hover()
    assert not re.search(r"0\.1885", reader.page.locator("#sum").inner_text())
    entry.click()
    assert shows(entry.inner_text(), reader.array("2.dz")[0, 1], 4)
    assert blanks() == hidden - {("2.dz", 0, "1"), ("2.dz.exact", 0, "1")}
    reader.choose(step=1)
    assert blanks() == hidden, "another step is another riddle"
    reader.page.locator("#hide summary").click()
    reader.page.locator("#show-all").click()
    assert blanks() == set()
    assert not reader.page.locator("[name=hide]:checked").count()


@pytest.mark.parametrize("name", ["tiny", "iris"])
def test_check_this_one_shows_both_numbers_with_their_digits(read: Read, name: str) -> None:
    reader = read(name)
    reader.choose(step=1)
    reader.entry("0.dW", 1, 2).click()
    reader.page.locator("#check").click()
    lines = reader.page.locator("#sum .digits span:last-child").all_inner_texts()
    said, exact = reader.array("0.dW")[1, 2], reader.array("0.dW.exact")[1, 2]
    assert shows(lines[0], said, 15)
    assert shows(lines[1], exact, 15)
    assert shows(lines[2], said - exact, 3)
    assert reader.page.locator("#sum [data-holds]").get_attribute("data-holds") == "true"
    assert "✓" in reader.page.locator("#sum [data-holds]").inner_text()


@pytest.mark.parametrize("name", PAGES)
def test_the_proof_and_the_losses_are_those_recorded(read: Read, name: str) -> None:
    reader = read(name)
    names = ["2.dz", "0.dW", "0.db", "2.dW", "2.db"]
    for step in (0, 3):
        reader.choose(step)
        verdicts = reader.facts("#proof tr[data-array]", "array")
        assert list(verdicts) == names
        for each, verdict in verdicts.items():
            error = float(reader.array(f"{each}.error"))
            assert shows(verdict.removesuffix("✓ right").split()[-1], error, 2), verdict
            assert error < reader.content["tolerance"]
        before, after, predicted = (float(reader.array(each)) for each in ("loss", "loss_after", "loss_change"))
        said = reader.facts("[data-fact]", "fact")
        for fact, value in {"before": before, "after": after, "predicted": predicted, "change": after - before}.items():
            assert shows(said[fact], value, 6), fact
        theta, dtheta, new = (
            np.concatenate(
                [reader.array(each.replace("*", q)).ravel() for q in "Wb" for each in (f"0.{form}", f"2.{form}")]
            )
            for form in ("*", "d*", "*.new")
        )
        assert abs(predicted - dtheta @ (new - theta)) < 1e-12


def test_each_sample_is_named_by_its_class_and_its_row(read: Read) -> None:
    reader = read("penguins")
    classes = [reader.content["class_names"][k] for k in reader.array("t").argmax(axis=1)]
    options = reader.page.locator("[name=sample] option").all_inner_texts()
    assert len(options) == 6
    for n, (words, cls) in enumerate(zip(options, classes, strict=True)):
        assert words.startswith(f"sample {n + 1}: ")
        assert cls in words
        assert words.endswith(f"row {int(reader.array('row')[n, 0])}")
    reader.page.locator("#batch .samples button").nth(3).click()
    reader.look()
    assert reader.sample == 3
    chosen = reader.page.locator("#forward tr.chosen th").all_inner_texts()
    assert set(chosen) == {"sample 4"}


def test_the_page_of_digits_has_at_most_3_mb_and_little_pictures(read: Read) -> None:
    reader = read("digits")
    pictures = [cell for cell in reader.cells() if cell.name == "raw"]
    assert len(pictures) == 6 * 64
    assert reader.file.stat().st_size <= 3 * 2**20


@pytest.mark.parametrize(
    ("name", "i", "j", "code"),
    [
        ("0.z", 1, 2, "0.z[1, 2]"),
        ("jacobian", 0, 2, "jacobian[1, 0, 2]"),
        ("loss", 0, 0, "loss"),
        ("0.W", 1, 0, "0.W[1, 0]"),
    ],
)
def test_an_entry_has_the_index_that_it_has_in_the_code(read: Read, name: str, i: int, j: int, code: str) -> None:
    reader = read("tiny")
    reader.page.locator("#long-way").check()
    reader.choose(0, 1)
    reader.entry(name, i, j).hover()
    assert reader.page.locator("#sum code").inner_text() == code


def test_a_slope_by_complex_steps_is_not_said_to_be_made_by_the_backward_pass(read: Read) -> None:
    reader = read("tiny bug")
    cells = [cell for cell in reader.cells() if cell.name == "2.dz.exact"]
    for cell, said in zip(cells, reader.point(cells), strict=True):
        assert shows(said.value, reader.value(cell), 10)
        assert said.written == ""
        assert "This makes" not in said.verdict


def test_what_rounding_alone_leaves_of_a_row_is_0(read: Read) -> None:
    reader = read("tiny")
    reader.page.locator('#heart td[data-array="y-t.row"]').hover()
    assert reader.page.locator("#sum .written").inner_text().endswith(" = 0")
    assert "but for rounding" in reader.page.locator("#sum").inner_text()


def test_a_map_fades_where_more_of_it_is_to_be_seen(read: Read) -> None:
    reader = read("digits", width=380)
    box = reader.page.locator('#heart .maps .scroll:has([data-array="y"])').first
    box.scroll_into_view_if_needed()
    reader.page.wait_for_function("(box) => box.classList.contains('more-right')", arg=box.element_handle())
    box.evaluate("(box) => { box.scrollLeft = box.scrollWidth; }")
    reader.page.wait_for_function("(box) => !box.classList.contains('more-right')", arg=box.element_handle())


def test_the_box_of_blanks_closes_with_escape_and_with_a_click_elsewhere(read: Read) -> None:
    reader = read("tiny", width=380)
    ways: list[Callable[[], None]] = [
        lambda: reader.page.keyboard.press("Escape"),
        lambda: reader.page.locator("#title").click(),
    ]
    for close in ways:
        reader.page.locator("#hide summary").click()
        box = reader.page.locator("#hide fieldset").bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 380
        close()
        assert reader.page.locator("#hide fieldset").is_hidden()
