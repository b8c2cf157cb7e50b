"""Does whatever comes from strangers' files show as text, and never as a part of the page?"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Linear, Network, ReLU, explain
from minnet.cli.main import main
from minnet.data.dataset import Dataset, Part
from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.lab.explain import Explanation, explain_training
from minnet.layers import Array
from tests.browser.conftest import Read
from tests.browser.reader import Reader

CLASSES = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"quotes\" 'and' `more`",
    "&amp; &lt;b&gt; &#60;",
    "שלום ‮right to left‬",
    "long " * 30,
    "/*DATA*/ ${alert(3)} \\u003c <!--",
)
FEATURES = ("<b>bold</b>", '" onmouseover="alert(4)', "']\"]#x > *", "W" * 120)
OWN = "Own<img src=x onerror=alert(7)>"
TITLE = '<title>"&amp;"</title><script>alert(9)</script>'


class Own(Linear):
    """A layer of somebody's own."""

    def __repr__(self) -> str:
        return OWN


def strange() -> Explanation:
    """Explain a network whose data, layers and title all want to be HTML."""
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(14, 4)), np.arange(14) % 7)
    unchanged = Preprocessing.plain(FEATURES, Standardization(np.zeros(4), np.ones(4)))
    dataset = Dataset("strange", part, part, part, CLASSES, unchanged)
    network = Network([Own(4, 3), ReLU(), Linear(3, 7)], dtype="float64")
    bug = {"name": "<u>bug</u>", "meaning": "<script>alert(8)</script>", "sign": "&lt;", "caught_by": "</p>"}
    return explain_training(TITLE, network, SGD(0.1), dataset, 7, [0, 1], bug=bug)


@pytest.fixture
def reader(read: Read, tmp_path: Path) -> Reader:
    """Open the page of what is strange."""
    explained, file = strange(), tmp_path / "strange.html"
    explained.save(file)
    return read((file, explained.content()))


def test_names_of_all_kinds_show_as_text(reader: Reader) -> None:
    page = reader.page
    reader.page.locator("#long-way").check()
    text = str(page.evaluate("document.body.textContent"))
    shown = text[: text.index('{"title"')]
    for words in (*CLASSES, *FEATURES, OWN, "<u>bug</u>", "<script>alert(8)</script>"):
        assert words in shown
    assert page.title().startswith(TITLE)
    assert page.locator("h1").inner_text().startswith(TITLE)
    options = page.locator("[name=sample] option").evaluate_all("all => all.map((each) => each.textContent)")
    for n, words in enumerate(options):
        assert CLASSES[int(reader.array("t")[n].argmax())] in words


def test_nothing_of_them_becomes_a_part_of_the_page(reader: Reader, read: Read) -> None:
    page = reader.page
    for cell, said in zip(reader.cells(), reader.point(reader.cells()), strict=True):
        assert "alert" not in said.written, cell
    for step in (1, 0):
        reader.choose(step, 3)
    assert page.locator("script").count() == read("tiny").page.locator("script").count() == 2
    for tag in ("img", "iframe", "i", "u", "object", "title title", "body title"):
        assert page.locator(tag).count() == 0, tag
    bold = page.locator("b").all_inner_texts()
    assert "bold" not in bold
    named = page.evaluate(
        "() => [...document.querySelectorAll('*')].flatMap((each) => [...each.attributes].map(({ name }) => name))"
    )
    assert not [name for name in named if name.startswith("on")]


def test_a_layer_that_no_equation_is_known_for_has_its_authors_words(read: Read, tmp_path: Path) -> None:
    class Squares:
        def forward(self, x: Array) -> Array:
            """</p><script>alert(1)</script> a = x² & "more"."""
            self.x = x
            return x * x

        def backward(self, da: Array) -> Array:
            """<img src=x onerror=alert(2)> dx = 2 x da."""
            return 2 * self.x * da

    layers: list[Any] = [Linear(2, 3), Squares(), Linear(3, 2)]
    network = Network(layers, dtype="float64")
    explained = explain(network, np.eye(2), np.array([0, 1]))
    file = tmp_path / "own.html"
    explained.save(file)
    reader = read((file, explained.content()))
    assert (
        '</p><script>alert(1)</script> a = x² & "more".'
        in reader.page.locator("#forward [data-layer='1']").inner_text()
    )
    assert "<img src=x onerror=alert(2)> dx = 2 x da." in reader.page.locator("#backward [data-layer='1']").inner_text()
    assert reader.page.locator("img").count() == 0
    assert reader.page.locator("script").count() == 2


def test_a_csv_of_strangers_makes_a_page_of_text(
    read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / '<b>data & "more".csv', tmp_path / "page.html"
    rng = np.random.default_rng(1)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*FEATURES[:3], "<i>class</i>"])
        for k in range(60):
            writer.writerow([*rng.normal(size=3).round(3), CLASSES[k % 4]])
    assert main(["explain", str(file), "--target", "<i>class</i>", "--steps", "0,1", "--out", str(page), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    reader = read((page, content))
    assert content["class_names"] == sorted(CLASSES[:4])
    text = str(reader.page.evaluate("document.querySelector('main').textContent"))
    for words in (*CLASSES[:4], *FEATURES[:3]):
        assert words in text
    assert reader.page.locator("h1").inner_text().startswith('<b>data & "more')
    assert reader.page.locator("script").count() == 2
