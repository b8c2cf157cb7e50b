"""What is in a model file? One vector of weights, its layers, and what it takes to predict on raw samples."""

import inspect
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from minnet.data.dataset import Dataset, Standardization
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.output import OutputLayer, SoftmaxCrossEntropy
from minnet.support import expect
from minnet.support.files import read_arrays, write_arrays
from minnet.support.stack import Array
from minnet.support.text import one_line

FORMAT = 3
SAVABLE_LAYERS: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (Linear, ReLU, LeakyReLU, Tanh, Sigmoid, Dropout, BatchNorm, LayerNorm)
}


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
        x = expect.features("the model", x, self.network.D)
        with np.errstate(over="ignore"):  # what is not finite is said below
            standardized = self.standardization(x, self.network.theta.dtype)
        return expect.finite_rows("the model's answer", standardized)

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
    network = model.network
    for part in (*network.layers, network.output):
        if type(part) not in (*SAVABLE_LAYERS.values(), SoftmaxCrossEntropy):
            raise TypeError(f"{part!r} cannot be saved: a model file holds only minnet's own layers, not code")
    header = {
        "format": FORMAT,
        "layers": [describe(layer) for layer in network.layers],
        "output": describe(network.output),
        "seed": network.seed,
        "class_names": model.class_names,
        "feature_names": model.feature_names,
    }
    standardization = model.standardization
    arrays = {"theta": network.theta, "mean": standardization.mean, "scale": standardization.scale}

    def check(beside: Path) -> None:
        """Load what was written: what could not be loaded is never left behind."""
        try:
            load(beside)
        except ValueError as error:
            raise ValueError(str(error).replace(str(beside), str(path))) from None

    write_arrays(Path(path), arrays, header, check)


def describe(layer: Layer | OutputLayer) -> dict[str, Any]:
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
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        begun = (path.parent / "config.json").is_file()
        hint = f"; the run has no network yet: go on with minnet train --resume {path.parent}" if begun else ""
        raise FileNotFoundError(f"{path}: there is no such model file{hint}")

    def refuse(field: str, problem: str) -> NoReturn:
        raise ValueError(f"{path}: not a model that this version of minnet can load: {field} {one_line(problem, 500)}")

    try:
        header, arrays = read_arrays(path)
        if header.get("format") != FORMAT:
            refuse("format", f"is {header.get('format')!r}, expected {FORMAT}: another version of minnet wrote it")
        layers = [make_layer(description) for description in header["layers"]]
        output = make_output(header["output"])
        n = sum(math.prod(shape) for layer in layers for shape in layer.shapes.values())
        D = next((layer.D for layer in layers if hasattr(layer, "D")), 0)
        stack = [len(header["seed"])] if isinstance(header["seed"], list) else []
        shapes = {name: list(array.shape) for name, array in arrays.items()}
        if shapes != {"theta": [*stack, n], "mean": [D], "scale": [D]}:
            refuse("tensors", f"have the shapes {shapes}, expected theta {[*stack, n]}, mean and scale [{D}]")
        dtypes = {name: array.dtype.name for name, array in arrays.items()}
        if dtypes["theta"] not in ("float32", "float64") or not dtypes["mean"] == dtypes["scale"] == "float64":
            refuse("tensors", f"have the dtypes {dtypes}, expected theta float32 or float64, mean and scale float64")
        network = Network(layers, output, seed=header["seed"], dtype=arrays["theta"].dtype)
    except KeyError as error:
        refuse("field", f"{error} is missing")
    except (RecursionError, TypeError, ValueError, OverflowError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        refuse("contents", f"make no sense ({error})")
    for field, length in (("class_names", network.K), ("feature_names", network.D)):
        names = header.get(field)
        if not (isinstance(names, list) and len(names) == length and all(isinstance(name, str) for name in names)):
            refuse(field, f"is not a list of {length} strings")
    for name, array in arrays.items():
        if array.ndim == 1 and not np.isfinite(array).all():  # of a stack, some networks may have diverged
            refuse(name, "has entries that are not finite")
    if not (arrays["scale"] > 0).all():
        refuse("scale", "has entries that are not above 0")
    network.theta[...] = arrays["theta"]
    standardization = Standardization(arrays["mean"], arrays["scale"])
    return Model(network, standardization, tuple(header["class_names"]), tuple(header["feature_names"]))


def make_layer(description: dict[str, Any]) -> Layer:
    """Make a layer from what `describe` gave."""
    arguments = dict(description)
    name = arguments.pop("type")
    if name not in SAVABLE_LAYERS:
        raise ValueError(f"unknown layer {name!r}")
    layer: Layer = SAVABLE_LAYERS[name](**arguments)
    return layer


def make_output(description: dict[str, Any]) -> SoftmaxCrossEntropy:
    """Make an output layer from what `describe` gave."""
    arguments = dict(description)
    if arguments.pop("type") != "SoftmaxCrossEntropy":
        raise ValueError(f"unknown output layer {description['type']!r}")
    return SoftmaxCrossEntropy(**arguments)
