"""Does the walk in the terminal show the numbers of the step, and keep those back that are to be found out?"""

import itertools
import re

import numpy as np
import pytest

from minnet import Linear, Network, explain
from minnet.lab.explain import Explanation, explain_training, tiny
from minnet.lab.walk import BLANK, walk


@pytest.fixture
def explained() -> Explanation:
    network, optimizer, dataset = tiny()
    return explain_training("tiny", network, optimizer, dataset, 2, [0])


def below(lines: list[str], heading: str) -> str:
    """Return what stands under a heading."""
    start = lines.index(heading)
    stop = next((k for k in range(start + 1, len(lines)) if not lines[k]), len(lines))
    return "\n".join(lines[start:stop])


def test_the_walk_shows_each_array_once_it_is_computed(explained: Explanation) -> None:
    lines = walk(explained)
    headings = [line for before, line in itertools.pairwise(lines) if not before and line]
    assert headings == [
        "the batch", "forward, layer 0, Linear(2, 3)", "forward, layer 1, ReLU()", "forward, layer 2, Linear(3, 3)",
        "the output", "y − t", "backward, layer 2, Linear(3, 3)", "backward, layer 1, ReLU()",
        "backward, layer 0, Linear(2, 3)", "the update", "the proof",
    ]  # fmt: skip
    assert "−2.5" in below(lines, "forward, layer 0, Linear(2, 3)")
    arrays = explained.steps[0].arrays
    for heading, name in (("y − t", "y-t"), ("y − t", "jacobian"), ("the update", "2.W.new"), ("the output", "exp")):
        text = below(lines, heading)
        for entry in arrays[name].ravel():
            assert f"{entry:.4f}".replace("-", "−").rstrip("0").rstrip(".") in text, (name, entry)
    assert re.search(r"loss before 2\.0371; to first order it changes by −0\.8433; after 1\.2755", "\n".join(lines))
    assert not any("WRONG" in line or "\x1b" in line for line in lines)
    assert any("\x1b" in line for line in walk(explained, color=True))


def test_what_is_hidden_is_blank_until_it_is_shown(explained: Explanation) -> None:
    whole = walk(explained)
    explained.hide(["dz", "2.dW", "velocity"])
    blank, shown = walk(explained), walk(explained, show=True)
    assert BLANK not in "\n".join(whole)
    hidden = below(blank, "backward, layer 2, Linear(3, 3)")
    assert hidden.count(BLANK) == 2 * 3 + 3 * 3
    assert "0.4592" not in "\n".join(blank)
    assert "[0.4592]" in below(shown, "backward, layer 2, Linear(3, 3)")
    assert below(blank, "forward, layer 0, Linear(2, 3)") == below(whole, "forward, layer 0, Linear(2, 3)")


def test_of_a_large_array_the_first_rows_and_columns_are_shown() -> None:
    network = Network([Linear(30, 20), Linear(20, 12)], dtype="float64")
    x, t = np.random.default_rng(0).normal(size=(9, 30)), np.arange(9)
    lines = walk(explain(network, x, t), width=100)
    assert max(map(len, lines)) <= 100
    assert any("30×20" in line for line in lines)
    assert sum("…" in line for line in lines) > 20
