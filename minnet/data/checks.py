"""What makes a table, whatever file it comes from? Names that are there, labels for all rows, and memory enough."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minnet.support.machine import free_memory
from minnet.support.stack import Array
from minnet.support.text import listed, one_line

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, eq=False)
class Table:
    """What a file holds, as far as it was asked for.

    Attributes
    ----------
    name : str
        The file's name, without folder and ending.
    x : array of shape (N, D), float64
        The features, finite.
    labels : array of shape (N,), or None
        The target, as str; None if it was not asked for.
    sample_weight : array of shape (N,), float64, or None
        How much each row counts: finite, at least 0, not all 0. None if it was not asked for.
    feature_names : tuple of str
        D names; of arrays "x0", "x1", …
    ignored : tuple of str
        The columns or arrays of the file that were not used.
    """

    name: str
    x: Array
    labels: Array | None
    sample_weight: Array | None
    feature_names: tuple[str, ...]
    ignored: tuple[str, ...]


@contextlib.contextmanager
def readable(problem: str) -> Iterator[None]:
    """Raise ValueError if something cannot be read, whatever else is raised: few document what damage may raise."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{problem} ({one_line(error)})") from None


def check_file(path: str) -> Path:
    """Return a file that can be read, or raise an error that says why it cannot, or that it is too large."""
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"{path}: is a folder: expected a file")
    if not file.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not file.is_file():
        raise ValueError(f"{path}: expected a file, and nothing else that has a name")
    with file.open("rb"):
        pass  # what may not be read says so here, whoever reads it later
    check_size(f"{path}: the file", file.stat().st_size)
    return file


def check_size(what: str, size: int) -> None:
    """Raise ValueError if reading so many bytes would leave little room for what is made of them."""
    if size > free_memory() / 4:
        raise ValueError(f"{what} would fill more than a quarter of the free memory: {size} bytes")


def check_memory(path: str, size: int) -> None:
    """Raise ValueError if less than so many bytes are free."""
    if size > free_memory():
        raise ValueError(f"{path}: reading it would take {size / 1e9:.3g} GB of memory, more than there are")


def check_names(path: str, kind: str, names: Sequence[str]) -> None:
    """Raise ValueError if columns or arrays have no name, or share one."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            hint = "; pandas writes its index so: leave it out with index=False" if number == 1 else ""
            raise ValueError(f"{path}: {kind} {number} has no name{hint}")
        if first.setdefault(name, number) != number:
            raise ValueError(f"{path}: {kind}s {first[name]} and {number} have the same name, {name!r:.60}")


def check_roles(path: str, kind: str, names: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError if a name that was asked for is not there, or was asked for twice."""
    there, taken = set(names), dict[str, str]()
    for role, wanted in roles.items():
        if missing := [name for name in wanted if name not in there]:
            which = "" if missing == [role] else f" ({role})"
            known = listed(names, missing[0])
            raise ValueError(f"{path}: there is no {kind} {listed(missing)}{which}; there are: {known}")
        for name in wanted:
            if name in taken:
                raise ValueError(f"{path}: {kind} {name!r} is asked for twice ({taken[name]}, {role})")
            taken[name] = role


def check_weights(weights: Array, what: str, place: Callable[[int], str]) -> None:
    """Raise ValueError if what says how much rows count is below 0, or 0 in all; ``place`` says where a row is."""
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(f"{place(row)}: expected a weight of at least 0, got {weights[row]:g}")
    if not weights.any():
        raise ValueError(f"{what}: the weights are all 0, so that nothing would count")


def label_array(values: Sequence[Any], place: Callable[[int], str]) -> Array:
    """Make text of labels; ``place`` says where a row is that has none."""
    texts = {value: label_text(value) for value in set(values)}
    for i, value in enumerate(values):
        if texts[value] is None:
            raise ValueError(f"{place(i)}: expected a label, text or an integer, got {value}")
        if not texts[value]:
            raise ValueError(f"{place(i)}: the label is missing")
    return np.array([texts[value] for value in values], dtype=object)


def label_text(value: Any) -> str | None:
    """Make text of a label, the same in every format: "1" of 1, of 1.0 and of their texts; None of the number 0.5."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return None
    text = str(value).strip()
    is_float = not text.lstrip("+-").isdigit() and NUMBER.fullmatch(text)
    number = float(text) if is_float else math.nan
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else text
