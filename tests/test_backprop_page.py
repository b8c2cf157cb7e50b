"""Is every number of docs/backprop.md the one that is computed, and every line of code on it one that runs?"""

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Linear, Network, ReLU
from minnet.lab.autodiff import Value, gradients, values
from minnet.lab.explain import record, tiny
from minnet.layers import Array
from minnet.support.fit import slots
from tests.lab.test_autodiff import by_autodiff

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "backprop.md").read_text(encoding="utf-8")
MATH = r"```math\n(.*?)```|\$`(.*?)`\$"
STRUCTURE = r"[_^](?:\{[^}]*\}|\\\w+|\w)"  # indices and exponents
NUMBER = r"-?\d+(?:\.\d+)?"

network, optimizer, dataset = tiny()
S = record(network, *network.check(*dataset.train)[:2], optimizer)  # type: ignore[arg-type]
