"""How is a text file of columns read? By NumPy where that is sure to be right, else row by row."""

import contextlib
import csv
import io
import itertools
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from minnet.support.stack import Array
from minnet.support.text import listed

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
TRUTH = {"true": 1.0, "false": 0.0}


class CSVFile:
    """A text file of columns, a header first.

    NumPy's reader is twice as fast as Python's csv module, but skips blank lines, takes quotes less strictly and does
    not say which cell is no number. Where one of these could matter, the file is read by the csv module.
    """

    hidden: Sequence[str] = ()

    def __init__(self, path: str) -> None:
        self.path = path
        data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n ")
        self.data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            raise ValueError(f"{path}: line {line} is not UTF-8: save it as UTF-8") from None
        header = re.sub(r'"[^"]*"', "", self.data.partition(b"\n")[0].decode())
        self.delimiter = max(",;\t|", key=header.count)
        self.names = [name.strip() for name in next(self._rows(), (1, []))[1]]
        if all(map(NUMBER.fullmatch, self.names)):
            raise ValueError(
                f"{path}: expected names of columns in the first line, got {listed(self.names) or 'nothing'}"
            )
        self.n_rows = self.data.count(b"\n")  # or less, where cells hold line ends

    def _lines(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="\n")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Go through the rows, the header first, each with the number of its first line."""
        rows = csv.reader(self._lines(), delimiter=self.delimiter, skipinitialspace=True, strict=True)
        line = 1
        try:
            for cells in rows:
                yield line, cells
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{self.path}: line {line}: the cells cannot be told apart ({error})") from None

    def load(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]]:
        """Read columns of numbers (N, D), with nan wherever there is none, and a column of labels."""
        return self._read_plain(names, label) or self._read_rows(names, label)

    def _read_plain(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]] | None:
        """Read columns by NumPy, or give None if cells are quoted, one is no number, or lines were skipped."""
        if b'"' in self.data:
            return None
        kinds = dict.fromkeys(self.names, "U1")  # one letter of what is not used
        kinds |= dict.fromkeys(names, "f8")
        try:
            _, first = next(itertools.islice(self._rows(), 1, None))
            for name, cell in zip(self.names, first, strict=True):
                if name == label or cell.strip().lower() in TRUTH:
                    kinds[name] = "O"
            dtype = list(kinds.items())
            table = np.loadtxt(self._lines(), dtype, comments=None, delimiter=self.delimiter, skiprows=1, ndmin=1)
        except ValueError:
            return None
        if len(table) != self.n_rows:
            return None
        columns = [to_numbers(table[name].tolist()) if kinds[name] == "O" else table[name] for name in names]
        return np.column_stack(columns), [] if label is None else table[label].tolist()

    def _read_rows(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]]:
        """Read columns by Python's csv module, and raise ValueError if a row has not the cells that the header has."""
        column = {name: j for j, name in enumerate(self.names)}
        wanted = [column[name] for name in names]
        numbers, labels = array("d"), list[str]()
        for row, (line, cells) in enumerate(itertools.islice(self._rows(), 1, None), 1):
            if len(cells) != len(column):
                expected = f"expected {len(column)} cells, as the header has"
                raise ValueError(f"{self.path}: row {row} (line {line}): {expected}, got {len(cells)}")
            numbers.extend(to_numbers([cells[j] for j in wanted]))
            if label is not None:
                labels.append(cells[column[label]])
        return np.frombuffer(numbers).reshape(-1, len(names)), labels

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell in the file: where it is, and what it says."""
        line, cells = next(itertools.islice(self._rows(), row + 1, None))
        place = f"{self.path}: column {name!r:.60}, row {row + 1} (line {line})"
        return place, cells[self.names.index(name)].strip()


def to_numbers(cells: Sequence[str]) -> list[float]:
    """Convert cells, each to nan if it is no number."""
    text = "".join(cells)
    if "_" not in text and text.isascii():  # else float takes what is no number: 1_0, or digits of other scripts
        with contextlib.suppress(ValueError):
            return list(map(float, cells))
    words = [cell.strip().lower() for cell in cells]
    return [float(word) if NUMBER.fullmatch(word) else TRUTH.get(word, math.nan) for word in words]
