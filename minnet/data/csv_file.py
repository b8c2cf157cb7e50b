"""How is a text file of columns read? By NumPy where that is sure to be right, else row by row."""

import contextlib
import csv
import io
import itertools
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from minnet.data.checks import NUMBER
from minnet.support.stack import Array

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
COLUMNS = 100_000  # at most: what has more is no table of samples that someone wrote as text
TRUTH = {"true": 1.0, "false": 0.0}


class CSVFile:
    """A text file of columns, a header first.

    NumPy's reader is twice as fast as Python's csv module, but skips blank lines, takes quotes less strictly and does
    not say which cell is no number. Where one of these could matter, the file is read by the csv module.
    """

    hidden: Sequence[str] = ()

    def __init__(self, path: str, features: Sequence[str] | None) -> None:
        self.path, self.data = path, Path(path).read_bytes()
        if self.data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(f"{path}: is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)")
        self.data = self.data.removeprefix(b"\xef\xbb\xbf")
        if not self.data:
            raise ValueError(f"{path}: the file is empty")
        if self.data[:1] in b"\r\n":
            raise ValueError(f"{path}: line 1 is blank: expected a header")
        if (at := self.data.find(b"\0")) >= 0:
            raise ValueError(f"{path}: line {self._line(at)} has a NUL byte: is this a text file?")
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            byte = f"byte 0x{self.data[error.start]:02x}"
            raise ValueError(f"{path}: line {self._line(error.start)}: {byte} is not UTF-8: save it as UTF-8") from None
        self.delimiter = self._find_delimiter(features)
        rows = self._rows()
        self.names = [name.strip() for name in next(rows)[1]]
        if all(map(NUMBER.fullmatch, self.names)):
            raise ValueError(f"{path}: the first line holds only numbers: expected a header")
        if len(self.names) > COLUMNS:
            raise ValueError(f"{path}: has {len(self.names)} columns, at most {COLUMNS} are read: save it as an .npz")
        self.first = next((cells for _, cells in rows if not is_blank(cells)), None)
        lines = self.data.rstrip(b"\r\n")
        ends = lines.count(b"\n") + (lines.count(b"\r") - lines.count(b"\r\n") if b"\r" in lines else 0)
        self.n_rows = ends if self.first else 0  # or less, where cells hold line ends

    def _line(self, at: int) -> int:
        """Find the number of a byte's line."""
        return self.data.count(b"\n", 0, at) + 1

    def _rows(self, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
        """Go through the rows, the header first, each with the number of its first line."""
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", newline="")
        rows = csv.reader(lines, delimiter=delimiter or self.delimiter, skipinitialspace=True, strict=True)
        line = 1
        try:
            for cells in rows:
                yield line, cells
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{self.path}: line {line}: the cells cannot be told apart ({error})") from None

    def _find_delimiter(self, features: Sequence[str] | None) -> str:
        """Choose what gives the first rows the same number of cells, above 1; if nothing does, what gives the most."""
        found, problem = [], None
        for delimiter in DELIMITERS:
            try:
                widths = [len(cells) for _, cells in itertools.islice(self._rows(delimiter), 20)]
            except ValueError as error:  # quotes that make no sense with this delimiter may with another
                problem = error
                continue
            if widths[0] > 1:
                found.append((len({n for n in widths if n}) == 1, widths[0], delimiter))
        if found:
            return max(found)[2]
        if len(features or ()) == 1:
            return ","
        names = ", ".join(DELIMITERS.values())
        raise problem or ValueError(f"{self.path}: there is only one column: expected cells parted by one of {names}")

    def load(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]]:
        """Read columns of numbers (N, D), with nan wherever there is none, and a column of labels."""
        return self._read_plain(names, label) or self._read_rows(names, label)

    def _read_plain(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]] | None:
        """Read columns by NumPy, or give None if cells are quoted, one is no number, or lines were skipped."""
        if b'"' in self.data:
            return None
        first = dict(zip(self.names, self.first or (), strict=False))
        kinds = dict.fromkeys(self.names, "U1")  # one letter of what is not used
        for name in names:
            kinds[name] = "f8" if NUMBER.fullmatch(first.get(name, "").strip()) else "O"
        if label is not None:
            kinds[label] = "O"
        dtype = list(kinds.items())
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8")  # quicker than with newline=""
        try:
            table = np.loadtxt(lines, dtype, comments=None, delimiter=self.delimiter, skiprows=1, ndmin=1)
        except ValueError:
            return None
        if len(table) != self.n_rows:
            return None
        numbers = np.empty((len(table), len(names)))
        for j, name in enumerate(names):
            numbers[:, j] = table[name] if kinds[name] == "f8" else to_numbers(table[name].tolist())
        return numbers, [] if label is None else table[label].tolist()

    def _read_rows(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[str]]:
        """Read columns by Python's csv module, and raise ValueError if a row has not the cells that the header has."""
        column = {name: j for j, name in enumerate(self.names)}
        wanted = [column[name] for name in names]
        numbers, labels, n_rows, blank = array("d"), list[str](), 0, None
        for line, cells in itertools.islice(self._rows(), 1, None):
            if is_blank(cells):
                blank = blank or line
                continue
            if blank is not None:
                raise ValueError(f"{self.path}: line {blank} is blank: only lines at the end may be")
            n_rows += 1
            if len(cells) != len(self.names):
                raise ValueError(
                    f"{self.path}: row {n_rows} (line {line}): expected {len(self.names)} cells, as the header has, "
                    f"got {len(cells)}"
                )
            numbers.extend(to_numbers([cells[j] for j in wanted]))
            if label is not None:
                labels.append(cells[column[label]])
        return np.frombuffer(numbers).reshape(n_rows, len(names)), labels

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell in the file: where it is, and what it says."""
        line, cells = next(itertools.islice(self._rows(), row + 1, None))
        place = f"{self.path}: column {name!r:.60}, row {row + 1} (line {line})"
        return place, cells[self.names.index(name)].strip()


def is_blank(cells: Sequence[str]) -> bool:
    """Tell whether a row is a line of blanks."""
    return len(cells) < 2 and not any(cells)


def to_numbers(cells: Sequence[str]) -> list[float]:
    """Convert cells, each to nan if it is no number."""
    text = "".join(cells)
    if "_" not in text and text.isascii():  # else float takes what is no number: 1_0, or digits of other scripts
        with contextlib.suppress(ValueError):
            return list(map(float, cells))
    return [to_number(cell.strip()) for cell in cells]


def to_number(cell: str) -> float:
    """Convert a cell, to nan if it is no number."""
    return float(cell) if NUMBER.fullmatch(cell) else TRUTH.get(cell.lower(), math.nan)
