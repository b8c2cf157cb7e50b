"""How are NumPy's own files read, an .npz or .npy, without believing them?"""

import io
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minnet.data.checks import (
    Table,
    check_file,
    check_memory,
    check_names,
    check_roles,
    check_size,
    check_weights,
    label_array,
    readable,
)
from minnet.support.stack import Array

HEADER = 1000  # bytes of an .npy's, at most: arrays of numbers need 128, and some of 10,000 keep NumPy busy for 20 s
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(
    path: str,
    target: str | None,
    labelled: bool,
    features: Sequence[str] | None,
    ignore: Sequence[str],
    sample_weight: str | None,
) -> Table:
    """Read an .npz, a pair of .npy or a single one, as `read_table` does."""
    pair = path.split(",")
    if path.lower().endswith(".npz"):
        wanted = {"x": "x"}
        if labelled:
            wanted["y"] = target or "y"
        if sample_weight is not None:
            wanted["w"] = sample_weight
        places = {role: f"{path}: {name}" for role, name in wanted.items()}
        data, ignored = read_npz(path, wanted, ignore)
    else:
        if not all(file.lower().endswith(".npy") for file in pair):
            pair = [path]  # a name with a comma in it
        if (target is not None and labelled) or sample_weight is not None or ignore:
            raise ValueError(f"{path}: .npy files hold no names: there is no target, sample_weight or ignore to name")
        if not 1 + labelled <= len(pair) <= 2:
            raise ValueError(f"{path}: expected a pair x.npy,y.npy, of samples and their labels")
        wanted, ignored = dict(zip("xy" if labelled else "x", pair, strict=False)), pair[1 + labelled :]
        places = {role: f"{file}: {role}" for role, file in wanted.items()}
        data = {role: check_file(file).read_bytes() for role, file in wanted.items()}
    arrays = {role: read_array(data[role], place) for role, place in places.items()}

    x = arrays["x"]
    if x.ndim != 2:
        raise ValueError(f"{places['x']} has shape {x.shape}: expected (N, D)")
    if features is not None and x.shape[1] != len(features):
        raise ValueError(f"{places['x']} has {x.shape[1]} features, expected {len(features)}")
    check_memory(path, 8 * x.size + 64 * len(x))
    for role, place in places.items():
        if role != "x" and arrays[role].shape != x.shape[:1]:
            raise ValueError(f"{place} has shape {arrays[role].shape}, expected {x.shape[:1]}: one for each row of x")
        if role != "y":
            arrays[role] = finite(arrays[role], place)
    if "w" in arrays:
        check_weights(arrays["w"], places["w"], lambda row: f"{places['w']}[{row}]")
    labels = array_labels(arrays["y"], places["y"]) if labelled else None
    feature_names = tuple(f"x{i}" for i in range(x.shape[1]))
    return Table(Path(pair[0]).stem, arrays["x"], labels, arrays.get("w"), feature_names, tuple(ignored))


def read_npz(path: str, wanted: Mapping[str, str], ignore: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """Unpack some arrays of an .npz, by role, and tell the names of all others."""
    with check_file(path).open("rb") as stream:
        with readable(f"{path}: not an .npz that can be read"):
            archive = zipfile.ZipFile(stream)
            entries = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        check_names(path, "array", names)
        check_roles(path, "array", names, {**{role: [name] for role, name in wanted.items()}, "ignore": ignore})
        data = {}
        for role, name in wanted.items():
            entry, place = entries[names.index(name)], f"{path}: {name}"
            if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{place} is encrypted or compressed in an unusual way: expected what np.savez writes")
            check_size(place, max(entry.file_size, entry.compress_size))
            with readable(f"{place} is damaged"), archive.open(entry) as member:
                data[role] = member.read(entry.file_size)
    return data, [name for name in names if name not in wanted.values()]


def read_array(data: bytes, place: str) -> Array:
    """Read what is in an .npy, believing its header only as far as there are bytes."""
    stream = io.BytesIO(data)
    # The header is Python source, and parsing it may fail in all its ways.
    with readable(f"{place} is not a NumPy array that can be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"unknown version {version}")
        shape, fortran, dtype = HEADERS[version](stream, max_header_size=HEADER)
    if dtype.hasobject:
        raise ValueError(f"{place} holds Python objects, which could run code: expected numbers or text")
    if dtype.kind not in "biufSU" or dtype.itemsize == 0:
        raise ValueError(f"{place} holds {dtype!s:.60}, expected numbers or text")
    if not 1 <= len(shape) <= 2 or min(shape) < 1:
        raise ValueError(f"{place} has shape {shape!s:.60}: expected one or two axes, none of length 0")
    rest = len(data) - stream.tell()
    if math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"{place} is damaged: there are {rest} bytes for shape {shape!s:.60} of {dtype}")
    flat: Array = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def finite(array: Array, place: str) -> Array:
    """Return numbers as float64, or say which is none that will do."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{place} holds {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64, order="C")
    if not np.isfinite(numbers).all():
        index = np.unravel_index(np.isfinite(numbers).argmin(), numbers.shape)
        raise ValueError(f"{place}{list(map(int, index))} is {numbers[index]}: expected a finite number")
    return numbers


def array_labels(array: Array, place: str) -> Array:
    """Make text of an array of labels."""
    with readable(f"{place} holds text that is none"):  # SystemError, for one, at what is no character
        if array.dtype.kind == "S":
            array = np.strings.decode(array, "utf-8")
        values = array.astype(np.float64).tolist() if array.dtype.kind == "f" else array.tolist()
        "".join(values if array.dtype.kind == "U" else ()).encode()
    return label_array(values, lambda i: f"{place}[{i}]")
