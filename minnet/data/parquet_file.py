"""How is a Parquet file read? By pyarrow, which minnet runs without."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minnet.support.files import readable
from minnet.support.stack import Array
from minnet.support.text import one_line

# What pyarrow calls the types of columns that can be read.
KINDS = {
    "numbers": re.compile(r"bool|u?int\d+|halffloat|float|double|decimal.*|null"),
    "labels": re.compile(r"(dictionary<values=)?(bool|u?int\d+|halffloat|float|double|(large_)?string)(, .*)?"),
}


class ParquetFile:
    """A Parquet file of columns, read by pyarrow.

    Columns that once were a data frame's index are used only where they are asked for, and texts are read as numbers
    of a dictionary, so that a small file stays small.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError(f"reading {path} needs pyarrow: pip install pyarrow") from None
        with readable(f"{path}: not a Parquet file that can be read"):
            schema = pyarrow.parquet.read_schema(path)
            self.names, self.kinds = schema.names, {field.name: one_line(field.type) for field in schema}
            self.hidden = [str(name) for name in (schema.pandas_metadata or {}).get("index_columns", ())]
            text = [name for name, kind in self.kinds.items() if kind in ("string", "large_string")]
            self.file = pyarrow.parquet.ParquetFile(path, read_dictionary=text)
            self.n_rows = self.file.metadata.num_rows

    def load(self, names: Sequence[str], label: str | None) -> tuple[Array, Sequence[Any]]:
        """Read columns of numbers (N, D), with nan wherever there is none, and a column of labels, None for none."""
        wanted = dict.fromkeys(names, "numbers")
        if label is not None:
            wanted[label] = "labels"
        for name, what in wanted.items():
            kind = self.kinds[name]
            if not KINDS[what].fullmatch(kind):
                raise ValueError(
                    f"{self.path}: column {name!r:.60} holds {kind:.60}, expected {what}; code it so, or --ignore it"
                )
        with readable(f"{self.path}: the file is damaged"):
            self.table = self.file.read(columns=list(wanted), use_threads=False)
            self.table.validate(full=True)
            if self.table.shape != (self.n_rows, len(wanted)):
                raise ValueError("it holds something else than it says")
        numbers = np.empty((self.n_rows, len(names)))
        for j, name in enumerate(names):
            numbers[:, j] = self.table.column(name).cast("float64", safe=False).to_numpy()
        if label is None:
            return numbers, []
        labels = self.table.column(label).dictionary_encode().combine_chunks()
        words = labels.dictionary.to_pylist()  # rows share their text: each is made once
        return numbers, [None if i is None else words[i] for i in labels.indices.to_pylist()]

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a cell of a column: where it is, and what it says."""
        value = self.table.column(name)[row].as_py()
        return f"{self.path}: column {name!r:.60}, row {row + 1}", "" if value is None else str(value)
