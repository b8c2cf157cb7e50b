"""How is a Parquet file read? By pyarrow, which minnet runs without."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minnet.data.checks import readable
from minnet.support.stack import Array
from minnet.support.text import one_line

# What pyarrow calls the types of columns that can be read.
NUMBERS = re.compile(r"bool|u?int\d+|halffloat|float|double|decimal.*|null")
LABELS = re.compile(r"(dictionary<values=)?(bool|u?int\d+|halffloat|float|double|(large_)?string)(, .*)?")


class ParquetFile:
    """A Parquet file of columns, read by pyarrow.

    Columns that once were a data frame's index are listed as ignored, and texts are read as numbers of a dictionary, so
    that a small file stays small.
    """

    def __init__(self, path: str) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError(f"reading {path} needs pyarrow: pip install pyarrow") from None
        self.path = path
        with readable(f"{path}: not a Parquet file that can be read"):
            file = pyarrow.parquet.ParquetFile(path)
            schema, self.n_rows = file.schema_arrow, file.metadata.num_rows
            self.kinds = {field.name.strip(): one_line(field.type) for field in schema}
            self.names = [name.strip() for name in schema.names]
            self.hidden = [str(name).strip() for name in (schema.pandas_metadata or {}).get("index_columns", ())]
            text = [name for name in schema.names if self.kinds[name.strip()] in ("string", "large_string")]
            self.file = pyarrow.parquet.ParquetFile(path, read_dictionary=text)

    def load(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[Any]]:
        """Read columns of numbers (N, D), with nan wherever there is none, and a column of labels, None for none."""
        expected = {
            name: (NUMBERS, f"numbers; leave it out with --ignore {name!r:.60}, or code it as numbers")
            for name in names
        }
        if label is not None:
            expected[label] = LABELS, "labels: text or integers"
        for name, (kinds, what) in expected.items():
            if not kinds.fullmatch(self.kinds[name]):
                raise ValueError(f"{self.path}: column {name!r:.60} holds {self.kinds[name]:.60}, expected {what}")
        with readable(f"{self.path}: the file is damaged"):
            originals = [name for name in self.file.schema_arrow.names if name.strip() in expected]
            self.table = self.file.read(columns=originals, use_threads=False)
            self.table = self.table.rename_columns([name.strip() for name in self.table.column_names])
            self.table.validate(full=True)
            if self.table.num_rows != self.n_rows or set(self.table.column_names) != set(expected):
                raise ValueError("it holds something else than it says")
        numbers = np.empty((self.n_rows, len(names)))
        for j, name in enumerate(names):
            numbers[:, j] = self.table.column(name).cast("float64", safe=False).to_numpy()
        labels = []
        for chunk in [] if label is None else self.table.column(label).dictionary_encode().chunks:
            words = [*chunk.dictionary.to_pylist(), None]  # rows share their text: each is made once
            labels += [words[i] for i in chunk.indices.fill_null(len(words) - 1).to_pylist()]
        return numbers, labels

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: where it is, and what it says."""
        value = self.table.column(name)[row].as_py()
        return f"{self.path}: column {name!r:.60}, row {row + 1}", "" if value is None else str(value)
