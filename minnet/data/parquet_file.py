"""How is a Parquet file read? By pyarrow, which minnet runs without."""

import re
from collections.abc import Collection, Sequence

import numpy as np

from minnet.data.columns import Column, Source
from minnet.support.files import readable
from minnet.support.text import one_line

# What pyarrow calls the types of columns that can be read.
NUMBERS = re.compile(r"u?int\d+|halffloat|float|double|decimal.*|null")
DATES = re.compile(r"date(32|64)\[.*\]|timestamp\[.*\]")
CATEGORIES = re.compile(r"dictionary<values=(bool|u?int\d+|halffloat|float|double|(large_)?string), .*")
WORDS = re.compile(r"bool|(large_)?string")
DAY = 86_400_000_000  # microseconds


class ParquetFile(Source):
    """A Parquet file of columns, read by pyarrow.

    Columns that once were a data frame's index are used only where they are asked for, and texts are read as numbers
    of a dictionary, so that a small file stays small.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError(f"reading {path} needs pyarrow: pip install pyarrow") from None
        with readable(f"{path}: not a Parquet file that can be read"):
            schema = pyarrow.parquet.read_schema(path)
            self.names = schema.names
            self.kinds = {field.name: one_line(field.type) for field in schema}
            described = schema.pandas_metadata or {}
            self.hidden = [str(name) for name in described.get("index_columns", ())]
            self.categories = [name for name, kind in self.kinds.items() if CATEGORIES.fullmatch(kind)]
            text = [name for name, kind in self.kinds.items() if kind in ("string", "large_string")]
            self.file = pyarrow.parquet.ParquetFile(path, read_dictionary=text)
            self.n_rows = self.file.metadata.num_rows

    def load(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns: those of texts and of words as they are, of dates as days, and of the others as numbers."""
        for name in names:
            kind = self.kinds[name]
            if not any(known.fullmatch(kind) for known in (NUMBERS, DATES, CATEGORIES, WORDS)):
                expected = "expected numbers, text or dates; code it so, or --ignore it"
                raise ValueError(f"{self.path}: column {name!r:.60} holds {kind:.60}, {expected}")
        with readable(f"{self.path}: the file is damaged"):
            self.table = self.file.read(columns=list(names), use_threads=False)
            self.table.validate(full=True)
            if self.table.shape != (self.n_rows, len(names)):
                raise ValueError("it holds something else than it says")
            return [self._column(name, name in texts) for name in names]

    def _column(self, name: str, text: bool) -> Column:
        """Make a column of one that was read."""
        cells = self.table.column(name)
        kind = self.kinds[name]
        if not text and NUMBERS.fullmatch(kind):
            return Column(name, cells.cast("float64", safe=False).to_numpy())
        if not text and DATES.fullmatch(kind):
            moments = cells.cast("timestamp[us]", safe=False).cast("int64")
            days = moments.cast("float64", safe=False).to_numpy() / DAY
            return Column(name, days, date=True)
        coded = cells.dictionary_encode().combine_chunks()  # each text is made once
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        words = tuple("" if word != word else str(word) for word in coded.dictionary.to_pylist())
        return Column(name, codes.astype(np.int64), words)

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: where it is, and what it says."""
        value = self.table.column(name)[row].as_py()
        return f"{self.path}: column {name!r:.60}, row {row + 1}", "" if value is None else str(value)
