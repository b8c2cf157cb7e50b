"""How is a text file of columns read? By NumPy where that is sure to be right, else row by row."""

import csv
import io
import itertools
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from minnet.data.columns import NUMBER, Column, Source, of_texts, to_numbers
from minnet.support.machine import check_memory
from minnet.support.text import listed

QUOTED = re.compile("'.*'")  # names as some programs write them
CELL = 80  # bytes of a short text, and of its place in a list
# How numbers are written with commas, and with points that might stand between thousands.
DECIMAL_COMMA = re.compile(r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]*),[0-9]+([eE][+-]?[0-9]+)?")
ICONV = "iconv -f WINDOWS-1252 -t UTF-8 {} > utf8.csv"
COMMA_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
POINT_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+")


class CSVFile(Source):
    """A text file of columns, a header first; "-" is standard input.

    NumPy's reader is twice as fast as Python's csv module, but skips blank lines, takes quotes less strictly and does
    not say which cell is no number. Where one of these could matter, the file is read by the csv module.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path if path != "-" else "standard input")
        if path == "-" and sys.stdin is None:
            raise OSError("there is no standard input: expected a table there, as CSV")
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        self.data = self._text(data)
        first = self.data.partition(b"\n")[0].decode()
        header = re.sub(r'"[^"]*"', "", first)
        self.delimiter = max(",;\t|", key=header.count)
        names = [name.strip() for name in next(self._rows(), (1, []))[1]]
        if all(map(QUOTED.fullmatch, names)):
            names = [name[1:-1] for name in names]
        if all(map(NUMBER.fullmatch, names)):
            raise ValueError(
                f"{self.path}: expected names of columns in the first line, got {listed(names) or 'nothing'}"
            )
        self.names = [name or f"Unnamed: {j}" for j, name in enumerate(names)]  # as pandas calls them
        self.n_rows = self.data.count(b"\n")  # or less, where cells hold line ends

    def _text(self, data: bytes) -> bytes:
        """Return what a file holds as UTF-8 with plain line ends, or raise ValueError if it is no text."""
        encoding = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "UTF-8"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            how = f", as does: {ICONV.format(shlex.quote(self.path))}" * (encoding == "UTF-8")
            self._refuse_line(data, error.start, f"is not {encoding}", how)
        else:
            data = text.encode() if encoding == "UTF-16" else data.removeprefix(b"\xef\xbb\xbf")
        data = data.rstrip(b"\r\n \x1a")  # the last one once ended files
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if (wrong := data.find(b"\0")) >= 0:
            self._refuse_line(data, wrong, "holds a NUL, which is no text")
        return data

    def _refuse_line(self, data: bytes, wrong: int, what: str, how: str = "") -> None:
        """Raise ValueError that names the line in which a byte is wrong."""
        before = data[:wrong].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.count(b"\n") + 1
        raise ValueError(f"{self.path}: line {line} {what}: save it as UTF-8{how}")

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

    def load(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns: those of texts as they are, and of the others as words what is not numbers."""
        return self._read_plain(names, texts) or self._read_rows(names, texts)

    def _read_plain(self, names: Sequence[str], texts: Collection[str]) -> list[Column] | None:
        """Read columns by NumPy, or give None if that might read something else, or cannot read it."""
        if b'"' in self.data or (self.delimiter != "," and b"," in self.data):
            return None
        kinds = dict.fromkeys(self.names, "U1")  # one letter of what is not used
        wanted = {*names}
        try:
            _, first = next(itertools.islice(self._rows(), 1, None))
            for name, cell in zip(self.names, first, strict=True):
                if name in wanted:
                    number = NUMBER.fullmatch(cell.strip()) and name not in texts
                    kinds[name] = "f8" if number else "O"
            dtype = list(kinds.items())
            table = np.loadtxt(self._lines(), dtype, comments=None, delimiter=self.delimiter, skiprows=1, ndmin=1)
        except ValueError:
            return None
        if len(table) != self.n_rows:
            return None
        found = list[Column]()
        for name in names:
            cells = table[name]
            if kinds[name] == "f8":
                found.append(Column(name, np.ascontiguousarray(cells)))
            else:
                found.append(to_column(name, cells.tolist(), name in texts))
        return found

    def _read_rows(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns by Python's csv module, and raise ValueError if a row has not the cells that the header has."""
        check_memory(f"{self.path}: reading it", CELL * self.n_rows * len(self.names))
        rows = list[list[str]]()
        for line, cells in itertools.islice(self._rows(), 1, None):
            if len(cells) != len(self.names):
                expected = f"expected {len(self.names)} cells, as the header has"
                raise ValueError(f"{self.path}: row {len(rows) + 1} (line {line}): {expected}, got {len(cells)}")
            rows.append(cells)
        columns = dict(zip(self.names, zip(*rows, strict=True), strict=False))
        found: dict[str, Sequence[str]] = {name: columns.get(name, ()) for name in names}
        numeric = {name: cells for name, cells in found.items() if name not in texts}
        rewrite = self._find_marks([*numeric.values()])
        if rewrite:
            found |= {name: [*map(rewrite, cells)] for name, cells in numeric.items()}
        return [to_column(name, cells, name in texts) for name, cells in found.items()]

    def _find_marks(self, columns: Sequence[Sequence[str]]) -> Callable[[str], str] | None:
        """Find out what commas in numbers mean, if there are any and all agree: a function that rewrites them."""
        if b"," not in self.data or (self.delimiter == "," and b'"' not in self.data):
            return None
        marked = {cell.strip() for cells in columns for cell in cells if "," in cell or "." in cell}
        commas = {word for word in marked if DECIMAL_COMMA.fullmatch(word)}
        groups = {word for word in marked if COMMA_GROUPS.fullmatch(word)}
        pointed = {word for word in marked if POINT_GROUPS.fullmatch(word)}
        points = {word for word in marked - pointed if "." in word and NUMBER.fullmatch(word)}
        only_commas, only_groups = commas - groups, groups - commas
        if commas and not points and not only_groups and (only_commas or self.delimiter == ";"):
            self.notes = ["decimal commas"]
            numbers = commas | pointed
            return lambda cell: cell.replace(".", "").replace(",", ".") if cell.strip() in numbers else cell
        if groups and not only_commas and (only_groups or points):
            self.notes = ["commas between thousands"]
            return lambda cell: cell.replace(",", "") if cell.strip() in groups else cell
        return None

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell in the file: where it is, and what it says."""
        line, cells = next(itertools.islice(self._rows(), row + 1, None))
        place = f"{self.path}: column {name!r:.60}, row {row + 1} (line {line})"
        return place, cells[self.names.index(name)].strip()


def to_column(name: str, cells: Sequence[str], text: bool) -> Column:
    """Make a column of cells, of numbers if all are and no text is wanted."""
    numbers = None if text else to_numbers(cells)
    return of_texts(name, cells) if numbers is None else Column(name, numbers)
