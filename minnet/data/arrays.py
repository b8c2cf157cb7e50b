"""How are NumPy's own files read, an .npz or .npy, without believing them?"""

import io
import warnings
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from minnet.data.columns import Column, Source, of_array
from minnet.support.files import readable
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import listed

HEADER = 1000  # bytes of an .npy's, at most: arrays of numbers need 128, and some of 10,000 keep NumPy busy for 20 s


class ArrayFile(Source):
    """Arrays by name, of an .npz, or of a pair of .npy files, which are then called x and y.

    The columns of x are called x0, x1, …; other arrays are used only where they are asked for.
    """

    def __init__(self, *files: str) -> None:
        path = ",".join(files)
        super().__init__(path)
        self.pair = {} if path.lower().endswith(".npz") else dict(zip("xy", files, strict=False))
        names = list(self.pair)
        if not names:
            with readable(f"{path}: not an .npz that can be read"), zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
        if "x" not in names:
            raise ValueError(f"{path}: there is no array 'x'; there are: {listed(names)}")
        self.x = self._read("x")
        if self.x.ndim != 2:
            raise ValueError(f"{path}: x has shape {self.x.shape}: expected (N, D)")
        self.n_rows, D = self.x.shape
        check_memory(f"{path}: reading it", 500 * D)  # names are objects of Python
        self.columns = {f"x{d}": d for d in range(D)}
        self.hidden = [name for name in names if name != "x"]
        self.names = [*self.hidden, *self.columns]

    def _read(self, name: str) -> Array:
        """Read an array, believing what is said of it only as far as there are bytes."""
        # A header is Python source, and parsing it may fail in all its ways.
        with readable(f"{self.path}: {name} cannot be read"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = Path(self.pair[name]).read_bytes() if self.pair else unpack(self.path, name)
            stream = io.BytesIO(data)
            np.lib.format.read_magic(stream)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=HEADER)
            if dtype.kind not in "biufSU":
                raise ValueError(f"it holds {dtype!s:.60}, expected numbers or text")
            flat: Array = np.frombuffer(data, dtype, offset=stream.tell())
            return flat.reshape(shape, order="F" if fortran else "C")

    def _read_column(self, name: str) -> Array:
        """Read an array of shape (N,)."""
        array = self._read(name)
        if array.shape != (self.n_rows,):
            raise ValueError(f"{self.path}: {name} has shape {array.shape}, expected {(self.n_rows,)}, as x has rows")
        return array

    def load(self, names: Sequence[str], texts: Collection[str]) -> list[Column]:
        """Read columns of x and arrays (N,): those of texts and of words as they are, of the others as numbers."""
        place = {name: d for d, name in enumerate(name for name in names if name in self.columns)}
        x = self.x.take([self.columns[name] for name in place], axis=1)
        if x.dtype.kind in "iuf":  # at once, since columns of a large x lie far apart
            with np.errstate(over="ignore"):
                x = np.ascontiguousarray(x.astype(np.float64).T).T
        found = {}
        for name in names:
            array = x[:, place[name]] if name in place else self._read_column(name)
            with readable(f"{self.path}: {name} holds text that is none"):  # SystemError, at what is no character
                decoded = np.strings.decode(array, "utf-8") if array.dtype.kind == "S" else array
                found[name] = of_array(name, decoded, name in texts)
                "".join(found[name].words or ()).encode()
        return [found[name] for name in names]

    def cell(self, name: str, row: int) -> tuple[str, str]:
        """Find a number or label: where it is, and what it says."""
        value = self.x[row, self.columns[name]] if name in self.columns else self._read(name)[row]
        return f"{self.path}: column {name!r:.60}, row {row + 1}", str(value)


def unpack(path: str, name: str) -> bytes:
    """Unpack an array of an .npz, to no more bytes than it says it has."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack to any size at once
            raise ValueError("it is compressed in an unusual way: expected what np.savez writes")
        check_memory("it", 4 * entry.file_size)
        with archive.open(entry) as member:
            return member.read(entry.file_size)
