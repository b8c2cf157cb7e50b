"""What does minnet make of files that are damaged, or written to do harm? Each must load, or be refused in one line.

Good files of each kind are damaged: bytes anywhere, fields of headers, and what stands behind a checksum, which is then
made to fit. A case fails, and is kept, if anything but a ValueError or OSError of one line that names the file comes
out, if what loads is not what was saved, if a command leaves with another exit code than 0, 1 or 2, if it takes long or
much memory, or if it runs code, hangs or ends the process. The seed determines every case.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import functools
import importlib
import importlib.util
import io
import itertools
import json
import math
import multiprocessing
import os
import re
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import safetensors.numpy

import minnet
from minnet.cli.main import build_parser, main
from minnet.data import checks
from minnet.data.tables import read_table
from minnet.runs import build as settings
from minnet.runs import checkpoints
from minnet.runs import folder as runs
from minnet.runs import job as jobs
from minnet.runs import report as reports
from minnet.support.files import checksum, read_arrays, read_json

Array = np.ndarray[Any, Any]
ARRAYS = ("model", "checkpoint", "stack", "stack-checkpoint")  # files with a checksum
TEXTS = ("config.json", "results.json", "metrics.csv")
TABLES = ("csv", "npz", "npy", *(["parquet"] if importlib.util.find_spec("pyarrow") else []))
SECONDS, MEMORY = 5.0, 2**30  # what a case may take
COMMAND_EVERY = 10  # one case in so many tries the command line, too
FLAGS = (
    "train iris --epochs 4 --hidden 6 --normalize batch --dropout 0.2 --optimizer adam --weight-decay 0.01 --patience 2"
    " --label-smoothing 0.1 --class-weights 1,2,1 --schedule cosine --clip-norm 1 --quiet --seeds"
)
SEEDS = {"single": 1, "stack": 3}
COSTLY = ("epochs", "seeds", "hidden")  # however long a configuration says to train, minnet does
CODE = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}
ran: list[str] = []  # which of them were

BYTES = [
    b"", b"\n", b"\r", b",", b";", b"\t", b'"', b'""', b" ", b"0", b"-", b"9" * 40, b"e999", b"nan", b"x", b"\xff",
    b"\0", b"{", b"}", b"[" * 99, b"null", b"\xef\xbb\xbf", b"(3,)", b"PK\x01\x02", b"PAR1", b"\xff" * 8, bytes(8),
]  # fmt: skip
NUMBERS: list[float] = [0, -1, 1, 3, 7, 10**12, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 5e-324, math.nan, math.inf]
VALUES: list[Any] = [
    None, True, False, "", "x", "0", "Linear", "a\nb", "\x00\x1b[2J\u2028", "\ud800", "é" * 5000, [], {}, [[]], [None],
    ["a"], [1, 2], {"type": "Linear", "D": 4, "H": 10**12}, {"type": "Linear", "D": 3, "H": 3}, "@DEEP", "@BIG",
    *NUMBERS,
]  # fmt: skip
DTYPES = ["f8", ">f8", "|O", "<U9", "<f2", "|V8", "<M8[s]", "f8,O", "<U0", "|b1", "4f8", "x"]  # of an .npy
CELLS = [
    "", " ", "1", "-2.5", "1e999", "9" * 400, "9" * 100_000, "-" + "9" * 300, "nan", "inf", "x", '"', '"a\nb"', "\0",
    "\u2028", "é" * 5000, "1,5", "True", "0x1", "١", "\x1b[2J", "1_0", "5e-324", "1.79e308", "0", "-1", "999999999",
]  # fmt: skip


class Wrong(Exception):
    """What must not happen."""


class Case(NamedTuple):
    """A damaged file, or two with a comma between; a folder of its own; the good run; whether its checksum fits."""

    path: str
    folder: Path
    base: Path
    sealed: bool = False


def damaged(data: bytes, chance: Random, start: int = 0) -> bytes:
    """Damage bytes in one to four places, from ``start`` on."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(min(start, len(data)), len(data))
        end = min(len(data), at + chance.choice([0, 1, 1, 2, 4, 8, 60]))
        flipped = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at:end])
        middle = chance.choice([chance.choice(BYTES), chance.randbytes(end - at), b"", data[at:end] * 2, flipped])
        data = data[:at] + middle + data[end:] if chance.random() < 0.9 else data[:at]
    return data


def edited(tree: dict[str, Any], chance: Random) -> str:
    """Change one to three places of a tree of JSON, also to what Python's own json cannot write."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        places, nodes = list[Any](), list[Any]([tree])
        for node in nodes:  # which grows
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            nodes += [node[key] for key in keys if isinstance(node[key], dict | list)]
        (node, key), (other, place), value = chance.choice(places), chance.choice(places), chance.choice(VALUES)
        match chance.randrange(8):
            case 0 if len(tree) > 1:
                del node[key]
            case 1:
                node[key] = copy.deepcopy(other[place])
            case 2:
                node[key] = [node[key]] * chance.choice([1, 2, 100])
            case 3 if isinstance(node, dict):
                node[str(value)] = node[key]
            case _:
                node[key] = copy.deepcopy(value)
    depth = chance.choice([30, 900, chance.randint(960, 1000), 10**5])
    return json.dumps(tree).replace('"@DEEP"', "[" * depth + "]" * depth).replace('"@BIG"', "9" * 5000)


def changed(arrays: dict[str, Array], chance: Random) -> dict[str, Array]:
    """Change one array of several."""
    name = chance.choice(sorted(arrays))
    array, rest = arrays[name], {other: arrays[other] for other in arrays if other != name}
    with np.errstate(all="ignore"), contextlib.suppress(OverflowError, ValueError):  # a NaN is no integer
        match chance.randrange(6):
            case 0:
                return rest
            case 1:
                return {**arrays, chance.choice(["x", "memory.x", "history.9.lr", "\n", ""]): array}
            case 2:
                array = array.astype(chance.choice(["f2", "f4", "f8", "i1", "i8", "u8", "?"]))
            case 3:
                array = array.reshape(chance.choice([(-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1]]))
            case 4:
                array = np.resize(array, chance.choice([0, 1, 2, max(array.size - 1, 0), array.size + 1, 99]))
            case 5:
                array = np.array(array)
                array[chance.choice([..., *np.ndindex(array.shape[:1])])] = chance.choice(NUMBERS)
    return {**rest, name: array}


def damaged_arrays(path: Path, chance: Random) -> tuple[bytes, bool]:
    """Damage an array file; say whether its checksum fits."""
    data, (header, arrays), how = path.read_bytes(), read_arrays(path), chance.randrange(4)
    if how == 0:
        return damaged(data, chance), False
    if how == 1:  # the header of safetensors, and its length, which is what the file begins with
        length = int.from_bytes(data[:8], "little")
        text = edited(json.loads(data[8 : 8 + length]), chance).encode()
        lies = [0, 1, 8, length, len(text) - 1, len(text) + 8, len(data), 10**8, 2**31, 2**63 - 1, 2**63, 2**64 - 1]
        claimed = chance.choice([len(text), chance.choice(lies)])
        return claimed.to_bytes(8, "little") + text + data[8 + length :], False
    sealed = edited(header, chance) if how == 2 else json.dumps(header)
    arrays = changed(arrays, chance) if how == 3 else arrays
    with contextlib.suppress(ValueError, RecursionError):  # of what no checksum can be made
        sealed = f'{sealed[:-1]}, "sha256": "{checksum(json.loads(sealed), arrays)}"}}'
    return safetensors.numpy.save(arrays, {"minnet": sealed}), True


def damaged_cells(text: str, chance: Random, delimiter: str = ",") -> str:
    """Change cells, rows and columns of a table in text."""
    rows = [line.split(delimiter) for line in text.splitlines()]
    for _ in range(chance.randint(1, 3)):
        row, cell = chance.choice(rows), chance.choice(CELLS)
        k = chance.randrange(len(row) or 1)
        match chance.randrange(8):
            case 0:
                rows.insert(chance.randrange(len(rows)), list(row))
            case 1:
                rows = [[*each[:k], *each[k + 1 :]] for each in rows]
            case 2:
                row[:] = chance.choice([row[:k], row * 2])
            case 3:
                rows[1:] = [[*each[:k], cell, *each[k + 1 :]] for each in rows[1:]]
            case _:
                row[k : k + 1] = [cell]
    return chance.choice(["\n", "\n", "\r\n", "\r"]).join(delimiter.join(row) for row in rows)


def damaged_csv(x: Array, y: Array, chance: Random) -> bytes:
    """Make a CSV that is wrong in some way."""
    delimiter, wide = chance.choice(",;\t|"), chance.choice([1000, 10**6]) if chance.random() < 0.01 else 1
    head = ["a", *(f"b{i}" for i in range(wide)), "kind"]
    rows = [[repr(a), *[str(int(b))] * wide, f"class {k}"] for (a, b), k in zip(x.tolist(), y.tolist(), strict=True)]
    text = "\n".join(delimiter.join(row) for row in [head, *rows])
    text = damaged_cells(text, chance, delimiter) if chance.random() < 0.7 else text
    data = text.encode(chance.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    return damaged(data, chance) if chance.random() < 0.5 else data


class Attack:
    """What runs code where objects of Python are read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


def npy(array: Array) -> bytes:
    """Make an .npy."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def damaged_npy(array: Array, chance: Random) -> bytes:
    """Make an .npy that is wrong in some way, or unusual."""
    how = chance.randrange(4)
    if how == 0:
        attack = np.full(array.shape, Attack(), dtype=object)
        array = chance.choice([attack, array.astype(">f4"), np.asfortranarray(array), array * 1j, array.astype("U9")])
    if how < 3:
        return damaged(npy(array), chance) if how else npy(array)
    sides = [0, 1, 6, -1, 10**12, 2**31, 2**63, 10**400]
    shape = chance.choice([array.shape, tuple(chance.choice(sides) for _ in range(chance.choice([0, 1, 2, 2, 99])))])
    descr = chance.choice([array.dtype.str, *DTYPES])
    header = repr({"descr": descr, "fortran_order": chance.choice([False, True, 2]), "shape": shape})
    header += " " * chance.choice([0, 0, 900, 9000]) + chance.choice(["", "", "\n", "(" * 900, "#", "\0"])
    length = chance.choice([len(header), len(header), len(header) + 1, 0, 2**16 - 1]) % 2**16
    data = b"\x93NUMPY" + bytes([chance.choice([1, 1, 2, 3, 9]), 0]) + struct.pack("<H", length) + header.encode()
    return data + (array.tobytes() * 2)[: chance.choice([array.nbytes, array.nbytes - 1, array.nbytes * 2, 0])]


def zipped(compression: int, **members: bytes) -> bytes:
    """Make a .zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data, compression)
    return stream.getvalue()


@functools.cache
def bomb(size: int) -> bytes:
    """Make an .npz of a few kilobytes with an array of so many bytes."""
    x, y = np.zeros((size // 1000, 1000), bool), np.arange(size // 1000) % 3
    return zipped(zipfile.ZIP_DEFLATED, x=npy(x), y=npy(y))


def damaged_npz(x: Array, y: Array, chance: Random) -> bytes:
    """Make an .npz that is wrong in some way."""
    arrays = {"x": x, "y": y, chance.choice(["../x", "", "\n", "é", "__class__", "x.npy"]): y}
    members = {
        name: damaged_npy(array, chance) if chance.random() < 0.3 else npy(array) for name, array in arrays.items()
    }
    data = bytearray(zipped(chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), **members))
    if chance.random() < 0.05:
        data = bytearray(bomb(chance.choice([10**8, 2 * 10**8])))
    if chance.random() < 0.4:  # a field of the directory at the end, or of the end itself
        at = data.find(chance.choice([b"PK\x01\x02", b"PK\x05\x06"])) + chance.randrange(4, 46)
        size, value = chance.choice([2, 4]), chance.choice([0, 1, 8, 12, 99, 1000, 2**15, 2**16 - 1, 2**31, 2**32 - 1])
        data[at : at + size] = value.to_bytes(4, "little")[:size]
    return damaged(bytes(data), chance) if chance.random() < 0.3 else bytes(data)


def damaged_parquet(x: Array, y: Array, chance: Random) -> bytes:
    """Make a Parquet file, and damage it: anywhere, in its first page, or in the description at its end."""
    table = importlib.import_module("pyarrow").table({"a": x[:, 0], "b": x[:, 1].astype(int), "kind": y.astype(str)})
    settings: dict[str, list[Any]] = {"compression": ["none", "snappy", "gzip", "zstd"], "row_group_size": [2, 99]}
    settings |= {"use_dictionary": [True, False], "data_page_version": ["1.0", "2.0"]}
    stream = io.BytesIO()
    chosen = {name: chance.choice(values) for name, values in settings.items()}
    importlib.import_module("pyarrow.parquet").write_table(table, stream, **chosen)
    data, where = stream.getvalue(), chance.randrange(4)
    length = int.from_bytes(data[-8:-4], "little")  # of the description
    if where == 0:
        lies = [0, 1, 8, length - 1, length + 1, len(data), 2**31 - 1, 2**31, 2**32 - 1]
        return data[:-8] + chance.choice(lies).to_bytes(4, "little") + data[-4:]
    if where == 1:
        return damaged(data[:60], chance, 4) + data[60:]
    return damaged(data, chance, 0 if where == 2 else len(data) - 8 - length)


def make_case(kind: str, chance: Random, bases: Path, folder: Path) -> Case:
    """Write the damaged file of a case into its folder."""
    folder.mkdir(parents=True)
    base = bases / ("stack" if kind.startswith("stack") else "single")
    if kind in ARRAYS:
        whole = checkpoints.checkpoints(base)[0] if "checkpoint" in kind else base / f"{kind}.safetensors"
        data, sealed = damaged_arrays(whole, chance)
        (folder / whole.name).write_bytes(data)
        return Case(str(folder / whole.name), folder, base, sealed)
    if kind in TEXTS:
        for name in (*TEXTS, "model.safetensors"):
            shutil.copy(base / name, folder)
        path = folder / kind
        if chance.random() < 0.5:
            path.write_bytes(damaged(path.read_bytes(), chance))
        elif kind == "metrics.csv":
            path.write_text(damaged_cells(path.read_text(encoding="utf-8"), chance), encoding="utf-8")
        else:
            path.write_text(edited(read_json(path), chance), encoding="utf-8")
        return Case(str(path), folder, base)
    x, y = np.array([[chance.uniform(-9, 9), float(chance.randrange(9))] for _ in range(6)]), np.arange(6) % 3
    if kind == "npy":
        pair = [damaged_npy(x, chance), npy(y)] if chance.random() < 0.5 else [npy(x), damaged_npy(y, chance)]
        (folder / "x.npy").write_bytes(pair[0])
        (folder / "y.npy").write_bytes(pair[1])
        return Case(f"{folder}/x.npy,{folder}/y.npy", folder, base)
    make = {"csv": damaged_csv, "npz": damaged_npz, "parquet": damaged_parquet}[kind]
    (folder / f"my.{kind}").write_bytes(make(x, y, chance))
    return Case(f"{folder}/my.{kind}", folder, base)


def require(condition: bool, what: str) -> None:
    """Raise Wrong unless a condition holds."""
    if not condition:
        raise Wrong(what)


def check_refusal(text: str, place: str = "") -> None:
    """Check that an error is one short line that names the file or its folder, and not about memory."""
    require(place in text, f"a message that does not name the file: {text}")
    require(len(text.splitlines()) == 1 and len(text) < 2000, f"a message of more than a line, or a long one: {text}")
    # Python's parser has this name for parentheses that nest too deep, too.
    require(not re.search(r"(?<!be read \()MemoryError|allocate", text), f"memory that was not there: {text}")


def command(*arguments: str) -> None:
    """Run the command line, which may refuse in a line."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            code: Any = main(arguments)
        except SystemExit as stop:
            code = stop.code
    refusals = [line for line in printed.getvalue().splitlines() if "error: " in line]
    require(code in (0, 1, 2) and len(refusals) == (code > 0), f"{arguments}: exit code {code}; {printed.getvalue()}")
    for refusal in refusals:
        check_refusal(refusal)


@functools.cache
def prepared(name: str) -> tuple[argparse.Namespace, minnet.Dataset]:
    """Give the settings of a good run, and its data set."""
    arguments = build_parser().parse_args([*FLAGS.split(), str(SEEDS[name])])
    return arguments, settings.read_dataset(arguments)


def make_run(folder: Path) -> None:
    """Make the folder of a run that was interrupted in its third epoch, always with the same times in it."""
    arguments, dataset = prepared(folder.name)
    training = settings.make_training(arguments, dataset)
    optimizer, history = training.slice_optimizer, training.slice_history
    step = optimizer.step

    def counted(network: minnet.Network) -> None:
        step(network)
        training.interrupted = len(history.batch_loss) == 9

    config = settings.settings_of(arguments) | {"data_sha256": jobs.data_checksum(dataset), "versions": runs.versions()}
    runs.new_run(folder, "iris", config)
    with mock.patch.object(optimizer, "step", counted), contextlib.redirect_stderr(io.StringIO()):
        with mock.patch("time.perf_counter", side_effect=itertools.count(step=0.25)):
            jobs.run(folder, training, arguments, config)
        jobs.finish(folder, training, arguments)


def resume(case: Case, name: str) -> bytes | None:
    """Go on with the run, one of whose files is the damaged one; return the weights it ends with, if it does."""
    run = case.folder / "run"
    shutil.copytree(case.base, run)
    shutil.copy(case.path, run / name)
    command("train", "--resume", str(run), "--quiet")
    with contextlib.suppress(OSError, ValueError):
        if "interrupted" not in (run / "results.json").read_text(encoding="utf-8"):
            return (run / "model.safetensors").read_bytes()
    return None


@functools.cache
def good_end(base: Path) -> bytes | None:
    """Return the weights of the good run, resumed."""
    with tempfile.TemporaryDirectory() as folder:
        return resume(Case(str(base / "config.json"), Path(folder), base), "config.json")


def use_model(case: Case, with_command: bool) -> None:
    """Load a model or stack, and predict with it."""
    if with_command:
        samples = case.folder / "samples.csv"
        head = ",".join(f'"{name}"' for name in prepared(case.base.name)[1].feature_names)
        samples.write_text(f"{head}\n5,3,1,0.5\n6,3,4,1\n", encoding="utf-8")
        command("predict", case.path, str(samples), "--proba")
    model = minnet.load(case.path)
    minnet.save(case.folder / "again", model)  # equal models are equal files
    whole = (case.base / Path(case.path).name).read_bytes()
    require(case.sealed or (case.folder / "again").read_bytes() == whole, "another model loads")
    model.network.predict_proba(np.ones((2, model.network.D)))


def state(training: minnet.training.Training) -> str:
    """Sum up all that a training goes on from."""
    arrays, values = training.state()
    judged = [training.best, training.best_epoch, training.stopped, training.epoch_kept]
    return checksum(values | {"judged": [np.asarray(each).tolist() for each in judged]}, arrays)


def use_checkpoint(case: Case, with_command: bool) -> None:
    """Load a checkpoint into a training, which goes on from there, or is as it was."""
    if with_command:
        end = resume(case, f"checkpoints/{Path(case.path).name}")
        require(case.sealed or end == good_end(case.base), "a run that was resumed ends elsewhere")
    newest, before = checkpoints.checkpoints(case.base)
    training = settings.make_training(*prepared(case.base.name))
    checkpoints.load_checkpoint(newest, training)
    saved = state(training)
    checkpoints.load_checkpoint(before, training)
    earlier = state(training)
    try:
        checkpoints.load_checkpoint(Path(case.path), training)
    except (ValueError, OSError):
        require(state(training) == earlier, "a checkpoint that is refused changes the training")
        raise
    require(case.sealed or state(training) == saved, "another state loads")
    training.run()


def use_run(case: Case, with_command: bool) -> None:
    """Read a run folder in all ways."""
    folder, name = case.folder, Path(case.path).name
    if with_command and name == "metrics.csv":
        command("compare", str(folder), str(case.base), "--out", str(folder / "compare.png"))
    elif with_command:
        config: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            config = read_json(folder / "config.json")
        if all(len(str(config.get(setting))) <= 4 for setting in COSTLY):
            resume(case, name)
    refusals: list[Exception] = []
    ways: list[Callable[[Path], object]] = [reports.show, runs.read_config, runs.read_metrics, runs.reopen_run]
    for read in (lambda path: reports.compare([reports.read_run(path), reports.read_run(case.base)]), *ways):
        try:
            read(folder)
        except (ValueError, OSError) as error:
            check_refusal(str(error), str(folder))
            refusals.append(error)
    if refusals:
        raise refusals[0]


def use_table(case: Case, with_command: bool) -> None:
    """Read a table, and number its classes."""
    table = read_table(case.path, "kind" if case.path.endswith(("csv", "parquet")) else None)
    labels = [] if table.labels is None else table.labels.tolist()
    require(table.x.dtype == np.float64 and bool(np.isfinite(table.x).all()), "a table of other than finite numbers")
    require(table.x.shape == (len(labels), len(table.feature_names)), "shapes that do not fit")
    require(all(type(label) is str and label for label in labels), "labels that are no text")
    settings.number_classes(table.labels, case.path)


class Tally(NamedTuple):
    """What came of cases of one kind: how many, the slowest's milliseconds, MiB of memory."""

    kind: str
    cases: int
    loaded: int
    refused: int
    slowest: float
    memory: float


def try_cases(kind: str, cases: Iterable[int], seed: int, bases: Path, out: Path) -> Tally:
    """Try some cases of a kind; those that fail, or end the process, leave their folders."""
    use = use_run if kind in TEXTS else use_table if kind in TABLES else use_model
    use = use_checkpoint if "checkpoint" in kind else use
    counts, slowest = dict.fromkeys(("tried", "loaded", "refused"), 0), 0.0
    for number in cases:
        folder = out / f"{kind}-{number}"
        case = make_case(kind, Random(f"{seed} {kind} {number}"), bases, folder)  # noqa: S311 - it is to be repeated
        counts["tried"] += 1
        ran.clear()
        faulthandler.dump_traceback_later(10 * SECONDS, exit=True, file=2)  # a hang ends the process
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            try:
                use(case, number % COMMAND_EVERY == 0)
                outcome = "loaded"
            except (ValueError, OSError) as error:
                check_refusal(str(error), str(folder))
                outcome = "refused"
            require(not ran, f"code was run: {ran}")
            require(time.process_time() - cpu < SECONDS, f"it takes {time.process_time() - cpu:.1f} seconds")
            counts[outcome] += 1
            shutil.rmtree(folder)
        except Exception:  # whatever it is, it is the finding
            (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
        faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, 1000 * (time.perf_counter() - wall))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Tally(kind, counts["tried"], counts["loaded"], counts["refused"], slowest, memory)


def limit() -> None:
    """Give this process little memory beyond what it has with all imported, tell minnet, and watch what is run."""
    for package in ("matplotlib.pyplot", "minnet.plots", "sklearn.metrics", "pyarrow.parquet"):
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    vars(checks)["free_memory"] = lambda: MEMORY / 2
    warnings.simplefilter("ignore", RuntimeWarning)  # weights and losses may be as large as floats are, and add up
    sys.addaudithook(lambda event, _: ran.append(event) if event in CODE else None)


def fuzz() -> int:
    """Try all cases, print what came of them, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", metavar="N", type=int, default=2000, help="how many, of all kinds together")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="determines the damage")
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="processes")
    parser.add_argument(
        "--kinds", metavar="KIND,…", default=",".join((*ARRAYS, *TEXTS, *TABLES)), help="what to damage"
    )
    parser.add_argument("--out", metavar="DIR", help="where cases that fail are kept; by default a temporary folder")
    arguments = parser.parse_args()
    out = Path(arguments.out or tempfile.mkdtemp(prefix="minnet-fuzz-")).absolute()
    bases, kinds = out / "good", arguments.kinds.split(",")
    for name in SEEDS:
        make_run(bases / name)
    tasks = []
    for k, kind in enumerate(kinds):
        numbers = range(len(range(k, arguments.cases, len(kinds))))  # evenly many of each kind
        tasks += [(kind, numbers[start : start + 100]) for start in numbers[::100]]
    tallies, broken = [], ""
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn"), limit) as pool:
        futures = [pool.submit(try_cases, *task, arguments.seed, bases, out) for task in tasks]
        for future in futures:
            try:
                tallies.append(future.result())
            except BrokenProcessPool:
                broken = "a process ended or hung; "
    print(f"{'kind':<18}{'cases':>7}{'loaded':>8}{'refused':>9}{'slowest ms':>12}")
    for kind in (*kinds, "total"):
        of_kind = [tally for tally in tallies if kind in (tally.kind, "total")] or [Tally(kind, 0, 0, 0, 0, 0)]
        _, cases, loaded, refused, slowest, memory = zip(*of_kind, strict=True)
        print(f"{kind:<18}{sum(cases):>7}{sum(loaded):>8}{sum(refused):>9}{max(slowest):>12.0f}")
    print(f"peak memory of a process: {max(memory):.0f} MiB")
    left = sorted(str(folder) for folder in out.iterdir() if folder != bases)
    if left or broken:
        print(f"FAILED: {broken}{len(left)} cases are kept:", *left, sep="\n")
        return 1
    shutil.rmtree(out)
    print("nothing failed")
    return 0


if __name__ == "__main__":
    sys.exit(fuzz())
