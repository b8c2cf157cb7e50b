"""What stays behind after training? A run folder: configuration, metrics, results, weights and pictures.

A folder takes its name only when everything in it is written. The model file holds one vector of weights and what
is needed to predict on raw samples; nothing in it can run code.
"""

from __future__ import annotations

import contextlib
import csv
import inspect
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from minnet.data import Dataset, Standardization
from minnet.layers import Layer, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network, check_features
from minnet.output import SoftmaxCrossEntropy
from minnet.training import History

Array = npt.NDArray[Any]

FORMAT = 1
RUN_FILES = ("config.json", "metrics.csv", "results.json", "model.safetensors", "loss.png", "confusion.png")
STACK_FILE = "stack.safetensors"  # what a run of several networks has as well
SAVABLE_LAYERS: dict[str, type[Any]] = {cls.__name__: cls for cls in (Linear, ReLU, Tanh, Sigmoid)}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network together with what it needs to predict on raw samples.

    Attributes
    ----------
    network : Network
        The network, which takes standardised samples; or a stack, whose predictions have a leading axis.
    standardization : Standardization
        The map from raw samples to those.
    class_names, feature_names : tuple of str
        Names of the K classes and the D features.
    """

    network: Network
    standardization: Standardization
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]

    @classmethod
    def of(cls, network: Network, dataset: Dataset) -> Self:
        """Take the preprocessing and the names from the data set on which the network was trained."""
        return cls(network, dataset.standardization, dataset.class_names, dataset.feature_names)

    def standardize(self, x: npt.ArrayLike) -> Array:
        """Check raw samples of shape (N, D) and standardise them for the network."""
        return self.standardization(check_features(x, self.network.D, "the model"), self.network.theta.dtype)

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """Compute the probability of each class, of shape (N, K), for raw samples of shape (N, D)."""
        return self.network.predict_proba(self.standardize(x))

    def predict(self, x: npt.ArrayLike) -> Array:
        """Compute the number of the most probable class, of shape (N,), for raw samples of shape (N, D)."""
        return self.network.predict(self.standardize(x))


def save(path: str | os.PathLike[str], model: Model) -> None:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : path
        The file, by custom ``model.safetensors``; one that exists is replaced.
    model : Model
        What to save. Its layers must be minnet's own, since a file cannot hold code.

    Raises
    ------
    TypeError
        If the network has a layer or output layer that is not minnet's own.
    ValueError
        If `load` would refuse the file: names that do not match, weights that are not finite, and so on.
    OSError
        If the file cannot be written.
    """
    import safetensors.numpy

    network = model.network
    for part in (*network.layers, network.output):
        if type(part) not in (*SAVABLE_LAYERS.values(), SoftmaxCrossEntropy):
            raise TypeError(f"{part!r} cannot be saved: a model file holds only minnet's own layers, not code")
    header = {
        "format": FORMAT,
        "layers": [describe(layer) for layer in network.layers],
        "seed": network.seed,
        "class_names": model.class_names,
        "feature_names": model.feature_names,
    }
    # safetensors reads memory as if every array were contiguous, and writes something else where it is not.
    standardization = model.standardization
    arrays = {"theta": network.theta, "mean": standardization.mean, "scale": standardization.scale}
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # All in one entry: safetensors writes several in a random order, and equal runs should give equal bytes.
    metadata = {"minnet": json.dumps(header, sort_keys=True)}
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        beside.write_bytes(safetensors.numpy.save(tensors, metadata))
        load(beside)  # what could not be loaded is never left behind
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def describe(layer: Layer) -> dict[str, Any]:
    """Give a layer's type and the arguments to make it again, which it keeps as attributes of the same name."""
    arguments = {name: getattr(layer, name) for name in inspect.signature(type(layer)).parameters}
    return {"type": type(layer).__name__, **arguments}


def load(path: str | os.PathLike[str]) -> Model:
    """Load the model of a run folder, or a model file.

    Parameters
    ----------
    path : path
        A run folder, or a ``model.safetensors``.

    Returns
    -------
    Model
        Predicts bit for bit what the saved one predicted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a model written by minnet; the message names the file and the field.
    """
    import safetensors

    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file")

    def refuse(field: str, problem: str) -> NoReturn:
        raise ValueError(f"{path}: not a model that this version of minnet can load: {field} {problem}")

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["minnet"])
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            dtypes = {name: file.get_slice(name).get_dtype() for name in shapes}
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                refuse("format", f"is not {FORMAT}")
            layers = [make_layer(description) for description in header["layers"]]
            n = sum(math.prod(shape) for layer in layers for shape in layer.shapes.values())
            D = next((layer.D for layer in layers if isinstance(layer, Linear)), 0)
            stack = [len(header["seed"])] if isinstance(header["seed"], list) else []
            if shapes != {"theta": [*stack, n], "mean": [D], "scale": [D]}:
                refuse("tensors", f"have the shapes {shapes}, expected theta {[*stack, n]}, mean and scale [{D}]")
            if dtypes["theta"] not in ("F32", "F64") or dtypes["mean"] != "F64" or dtypes["scale"] != "F64":
                refuse("tensors", f"have the dtypes {dtypes}, expected theta F32 or F64, mean and scale F64")
            tensors = {name: file.get_tensor(name) for name in shapes}
        network = Network(layers, seed=header["seed"], dtype=tensors["theta"].dtype)
    except KeyError as error:
        refuse("field", f"{error} is missing")
    except (safetensors.SafetensorError, RecursionError, TypeError, ValueError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        refuse("contents", f"make no sense ({error})")
    for field, length in (("class_names", network.K), ("feature_names", network.D)):
        names = header.get(field)
        if not (isinstance(names, list) and len(names) == length and all(isinstance(name, str) for name in names)):
            refuse(field, f"is not a list of {length} strings")
    for name, tensor in tensors.items():
        if tensor.ndim == 1 and not np.isfinite(tensor).all():  # of a stack, some networks may have diverged
            refuse(name, "has entries that are not finite")
    if not (tensors["scale"] > 0).all():
        refuse("scale", "has entries that are not above 0")
    network.theta[...] = tensors["theta"]
    standardization = Standardization(tensors["mean"], tensors["scale"])
    return Model(network, standardization, tuple(header["class_names"]), tuple(header["feature_names"]))


def make_layer(description: dict[str, Any]) -> Layer:
    """Make a layer from what `describe` gave."""
    arguments = dict(description)
    name = arguments.pop("type")
    if name not in SAVABLE_LAYERS:
        raise ValueError(f"unknown layer {name!r}")
    layer: Layer = SAVABLE_LAYERS[name](**arguments)
    return layer


class RunFolder:
    """A folder to fill, as a context manager: it takes its name at the end if all went well, else nothing is left.

    Parameters
    ----------
    out : path or None
        The folder's name; None takes the next free ``runs/<name>-<n>``.
    name : str
        What the run is about.
    force : bool, default False
        Whether the files of a run that is already in ``out`` may be replaced.

    Attributes
    ----------
    staging : Path
        Where to write, inside the ``with`` block.
    path : Path
        Where it all is, after the block.

    Raises
    ------
    FileExistsError
        If ``out`` is a file, or holds a run and ``force`` is off.
    OSError
        If the folder cannot be made.
    """

    def __init__(self, out: str | os.PathLike[str] | None, name: str, force: bool = False) -> None:
        self.out = None if out is None else Path(out)
        self.name = re.sub(r"[^\w.-]+", "-", name)
        self.force = force

    def __enter__(self) -> Self:
        if self.out is not None and os.path.lexists(self.out) and not self.out.is_dir():
            what = "a file" if self.out.exists() else "a link to nothing"
            raise FileExistsError(f"{self.out} is {what}: expected a folder for the run")
        self._refuse_taken()
        if self.out is None:
            beside = Path("runs")
        else:
            beside = self.out if self.out.is_dir() else self.out.absolute().parent
        if beside.exists() and not beside.is_dir():
            raise NotADirectoryError(f"cannot write a run to {self.out or beside}: {beside} is a file")
        self.created: list[Path] = []
        try:
            self.created = [folder for folder in (beside, *beside.parents) if not folder.exists()]
            if self.out is not None:
                with contextlib.suppress(FileNotFoundError):
                    self.out.lstat()  # says now, not after training, if it is no name that the system takes
            beside.mkdir(parents=True, exist_ok=True)
            self.staging = beside / f".minnet-{os.urandom(8).hex()}"
            self.staging.mkdir()
        except OSError as error:
            self._remove_created()
            raise type(error)(f"cannot write a run to {self.out or beside}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.path = self._publish()
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)
            if not hasattr(self, "path"):
                self._remove_created()

    def _refuse_taken(self) -> None:
        """Raise FileExistsError if ``out`` holds a run that may not be replaced, or cannot be."""
        if self.out is None:
            return
        for name in (*RUN_FILES, STACK_FILE):
            if (self.out / name).is_dir():
                raise FileExistsError(f"{self.out / name} is a folder: expected a file, or nothing")
        taken = [name for name in (*RUN_FILES, STACK_FILE) if (self.out / name).exists()]
        if taken and not self.force:
            raise FileExistsError(f"{self.out} already holds a run ({taken[0]}): choose another folder, or use --force")

    def _remove_created(self) -> None:
        """Remove the folders made on the way, innermost first, but for those that something else now uses."""
        for folder in self.created:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _publish(self) -> Path:
        """Give the folder its name, in one step where it is new."""
        if self.out is None:
            n = 1
            while True:  # a rename to a folder that is not empty fails, so that two runs never share a number
                path = self.staging.with_name(f"{self.name}-{n}")
                try:
                    if not path.exists():
                        os.rename(self.staging, path)
                        return path
                except OSError:
                    if not path.exists():
                        raise
                n += 1
        if not self.out.exists():
            os.rename(self.staging, self.out)
        else:
            self._refuse_taken()  # once more: another run may have finished there meanwhile
            if not (self.staging / STACK_FILE).exists():
                (self.out / STACK_FILE).unlink(missing_ok=True)  # of the run that is replaced
            for file in self.staging.iterdir():
                os.replace(file, self.out / file.name)
        return self.out


def write_run(
    folder: Path,
    config: dict[str, Any],
    history: History,
    results: dict[str, Any],
    network: Network,
    dataset: Dataset,
    groups: Mapping[str, Array] | None = None,
) -> None:
    """Write all files of a run into a folder.

    Parameters
    ----------
    folder : Path
        An empty folder, such as `RunFolder.staging`.
    config : dict
        Every setting of the run; the versions of what it ran on are added.
    history, results : History, dict
        What happened, by epoch and at the end.
    network, dataset : Network, Dataset
        The trained network, and the data set whose test part it is tried on. Of a stack the best network, by validation
        loss, becomes ``model.safetensors``, and all of it ``stack.safetensors``.
    groups : mapping of str to array of int, optional
        Which networks of a stack belong together in the picture.
    """
    from minnet import plots

    best = network if isinstance(network.seed, int) else network.best(history)
    config = {**config, "layers": [describe(layer) for layer in network.layers], "versions": versions()}
    for name, content in (("config.json", config), ("results.json", results)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_metrics(folder / "metrics.csv", history, network)
    save(folder / "model.safetensors", Model.of(best, dataset))
    if best is network:
        picture = plots.plot_history(history, title=f"{dataset.name}, seed {network.seed}")
    else:
        save(folder / STACK_FILE, Model.of(network, dataset))
        picture = plots.plot_stack(history, groups, title=f"{dataset.name}, {len(network.theta)} networks")
    plots.save_picture(picture, folder / "loss.png")
    title = f"{dataset.name}, test part" + ("" if best is network else ", best network")
    confusion = plots.plot_confusion(dataset.test.t, best.predict(dataset.test.x), dataset.class_names, title=title)
    plots.save_picture(confusion, folder / "confusion.png")


def write_metrics(path: Path, history: History, network: Network) -> None:
    """Write a row an epoch, and for a stack one for each network, with its seed, in each epoch."""
    seeds = () if isinstance(network.seed, int) else network.seed
    members = [history.member(s).by_epoch() for s in range(len(seeds))] or [history.by_epoch()]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*(["network", "seed"] if seeds else []), *members[0]])
        for epoch in range(len(history.epoch)):
            for s, columns in enumerate(members):
                rows.writerow([*([s, seeds[s]] if seeds else []), *(column[epoch] for column in columns.values())])


def versions() -> dict[str, str]:
    """Say what the run ran on."""
    import platform
    from importlib.metadata import version

    packages = ("minnet", "numpy", "scikit-learn", "matplotlib", "safetensors")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
