"""What is in a model file? One vector of weights, its layers, and what it takes to predict on raw samples."""

import inspect
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minnet.data.dataset import Dataset, Standardization
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.output import OutputLayer, SoftmaxCrossEntropy
from minnet.support import expect
from minnet.support.files import read_arrays, refusing, replacing, write_arrays
from minnet.support.stack import Array

FORMAT, WHAT = 3, "a model that this version of minnet can load"
LAYERS = {cls.__name__: cls for cls in (Linear, ReLU, LeakyReLU, Tanh, Sigmoid, Dropout, BatchNorm, LayerNorm)}
OUTPUTS = {"SoftmaxCrossEntropy": SoftmaxCrossEntropy}


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
            return expect.finite_rows("the model's answer", self.standardization(x, self.network.theta.dtype))

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
    header = {
        "format": FORMAT,
        "layers": [describe(layer) for layer in network.layers],
        "output": describe(network.output),
        "seed": network.seed,
        "class_names": model.class_names,
        "feature_names": model.feature_names,
    }
    arrays = {"theta": network.theta, **vars(model.standardization)}
    with refusing(path, WHAT), replacing(Path(path)) as beside:
        write_arrays(beside, arrays, header)
        read(beside)  # what could not be loaded is never left behind


def describe(part: Layer | OutputLayer) -> dict[str, Any]:
    """Give a layer's type and the arguments to make it again, which it keeps as attributes of the same name."""
    if type(part) not in (*LAYERS.values(), *OUTPUTS.values()):
        raise TypeError(f"{part!r} cannot be saved: a model file holds only minnet's own layers, not code")
    arguments = {name: getattr(part, name) for name in inspect.signature(type(part)).parameters}
    return {"type": type(part).__name__, **arguments}


def make(description: dict[str, Any], parts: Mapping[str, Any]) -> Any:
    """Make one of these layers from what `describe` gave."""
    arguments = dict(description)
    return parts[expect.one_of("type", arguments.pop("type"), parts)](**arguments)


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
        If the file is not a model written by minnet; the message names the file and says why.
    """
    path = Path(path)
    if path.is_dir():
        path /= "model.safetensors"
    if not path.is_file():
        begun = (path.parent / "config.json").is_file()
        hint = f"; the run has none yet: go on with minnet train --resume {path.parent}" if begun else ""
        raise FileNotFoundError(f"{path}: there is no such model file{hint}")
    with refusing(path, WHAT):
        return read(path)


def read(path: Path) -> Model:
    """Read a model file, taking no more memory than it is long, or raise an error that does not name it."""
    header, arrays = read_arrays(path)
    if header.get("format") != FORMAT:
        raise ValueError(f"format is {header.get('format')!r}, expected {FORMAT}: another version of minnet wrote it")
    layers = [make(description, LAYERS) for description in header["layers"]]
    n = sum(math.prod(shape) for layer in layers for shape in layer.shapes.values())
    D = next((layer.D for layer in layers if hasattr(layer, "D")), 0)
    theta, seed = arrays["theta"], header["seed"]
    expected = {"theta": f"{theta.dtype}{[*np.shape(seed), n]}", "mean": f"float64[{D}]", "scale": f"float64[{D}]"}
    found = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
    if found != expected:
        raise ValueError(f"the arrays are {found}, expected {expected}")
    network = Network(layers, make(header["output"], OUTPUTS), seed, theta.dtype)
    for field, length in (("class_names", network.K), ("feature_names", network.D)):
        if not isinstance(header[field], list) or list(map(type, header[field])) != [str] * length:
            raise ValueError(f"{field} is not a list of {length} strings")
    for name, array in arrays.items():
        above = 0 if name == "scale" else -math.inf
        if array.ndim == 1:  # in a stack, some may diverge
            expect.all_hold(f"{name}: expected finite numbers above {above}", (array > above) & (array < np.inf), array)
    network.theta[...] = theta
    standardization = Standardization(arrays["mean"], arrays["scale"])
    return Model(network, standardization, tuple(header["class_names"]), tuple(header["feature_names"]))
