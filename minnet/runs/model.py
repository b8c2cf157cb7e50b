"""What is in a model file? One vector of weights, its layers, and what it takes to predict on raw samples."""

import inspect
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.preprocessing import Preprocessing, Several, Standardization, is_columns
from minnet.layers import BatchNorm, Dropout, Layer, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.output import OutputLayer, SoftmaxCrossEntropy
from minnet.support import expect
from minnet.support.files import read_arrays, refusing, replacing, write_arrays
from minnet.support.finite import answers
from minnet.support.stack import Array

ROWS = 10_000  # for which a stack has samples in memory at a time
FORMAT, WHAT = 4, "a model that this version of minnet can load"
COLDEST, HOTTEST = 1e-6, 1e6  # temperatures, far beyond what any fit gives
LAYERS = {cls.__name__: cls for cls in (Linear, ReLU, LeakyReLU, Tanh, Sigmoid, Dropout, BatchNorm, LayerNorm)}
OUTPUTS = {"SoftmaxCrossEntropy": SoftmaxCrossEntropy}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network together with what it needs to predict on raw samples.

    Attributes
    ----------
    network : Network
        The network, which takes standardised samples; or a stack, whose predictions have a leading axis.
    preprocessing : Preprocessing, or Several
        The map from raw samples to those. If each network of a stack has its own, as folds have, features that one of
        them lacks are 0 for it, and the networks answer together.
    class_names : tuple of str
        Names of the K classes.
    temperature : array of shape () or (S,), default 1
        What the logits are divided by, so that probabilities mean what they say (eq. 16).
    """

    network: Network
    preprocessing: Preprocessing | Several
    class_names: tuple[str, ...]
    temperature: Any = 1.0

    @classmethod
    def of(cls, network: Network, dataset: Dataset, temperature: Any = 1.0) -> Self:
        """Take the preprocessing and the names from the data set on which the network was trained."""
        return cls(network, dataset.preprocessing, dataset.class_names, temperature)

    @property
    def columns(self) -> Preprocessing:
        """What the model knows of the columns of its table; of several what the first one does."""
        several = self.preprocessing
        return several[0] if isinstance(several, Several) else several

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the D features."""
        return self.columns.feature_names

    def predict_proba(self, x: Any, average: bool | None = None) -> Array:
        """Compute the probability of each class for raw samples, divided by the temperature (eq. 16).

        Parameters
        ----------
        x : data frame, sequence of Column, or array of shape (N, D)
            The samples: a pandas or polars frame, whose columns are found by name; what was read of a file; or if all
            columns are numbers an array, with a column for each of them, in the order of training.
        average : bool, optional
            Whether the networks of a stack answer together, by the mean of their probabilities. By default those do
            that have a preprocessing each.

        Returns
        -------
        array of shape (N, K), or (S, N, K) for a stack that does not answer together

        Raises
        ------
        TypeError, ValueError
            If the samples are not what the model was trained with.
        FloatingPointError
            As `Network.predict_proba` says.
        """
        together = isinstance(self.preprocessing, Several) if average is None else average
        if hasattr(x, "columns"):
            from minnet.data.frames import from_frame

            x = from_frame(x, labelled=False, columns=self.preprocessing.kinds).columns
        if self.network.theta.ndim == 1 or not is_columns(x):
            return answers(self.probabilities(x), together)
        parts = []  # a stack holds the samples of all its networks
        for start in range(0, len(x[0].values), ROWS):
            rows = np.arange(start, min(start + ROWS, len(x[0].values)))
            parts.append(self.probabilities([column.take(rows) for column in x]))
        return answers(np.concatenate(parts, axis=-2), together)

    def probabilities(self, x: Any) -> Array:
        """Compute the probability of each class, of shape (..., N, K), finite or not."""
        T = np.asarray(self.temperature, self.network.theta.dtype)
        z = self.network.logits(self.samples(x), check=False) / T[..., np.newaxis, np.newaxis]
        return np.asarray(self.network.output.probabilities(z))

    def predict(self, x: Any, average: bool | None = None) -> Array:
        """Compute the number of the most probable class, of shape (N,) or (S, N), as `predict_proba` gives them."""
        return np.asarray(self.predict_proba(x, average).argmax(axis=-1))

    def samples(self, x: Any) -> Array:
        """Make standardised samples (N, D) of raw ones, or (S, N, D) if networks have a preprocessing each."""
        return self.preprocessing(x, self.network.theta.dtype)


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
    several = model.preprocessing if isinstance(model.preprocessing, Several) else [model.preprocessing]
    header = {
        "format": FORMAT,
        "layers": [describe(layer) for layer in network.layers],
        "output": describe(network.output),
        "seed": network.seed,
        "class_names": model.class_names,
        "preprocessing": [each.to_json() for each in several],
    }
    D = network.D
    arrays = {
        "theta": network.theta,
        "temperature": np.broadcast_to(np.asarray(model.temperature, np.float64), network.theta.shape[:-1]),
        "mean": np.stack([padded(each.standardization.mean, D, 0) for each in several]),
        "scale": np.stack([padded(each.standardization.scale, D, 1) for each in several]),
    }
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
    theta, seed, described = arrays["theta"], header["seed"], header["preprocessing"]
    stack, F = [*np.shape(seed)], len(described)
    if F != 1 and stack != [F]:
        raise ValueError(f"preprocessing: expected one, or one for each network of {stack}, got {F}")
    shapes = {"theta": [*stack, n], "temperature": stack, "mean": [F, D], "scale": [F, D]}
    expected = {name: f"{theta.dtype if name == 'theta' else 'float64'}{shape}" for name, shape in shapes.items()}
    found = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
    if found != expected:
        raise ValueError(f"the arrays are {found}, expected {expected}")
    network = Network(layers, make(header["output"], OUTPUTS), seed, theta.dtype)
    names = header["class_names"]
    if not isinstance(names, list) or list(map(type, names)) != [str] * network.K:
        raise ValueError(f"class_names is not a list of {network.K} strings")
    for name, array in arrays.items():
        above = 0 if name == "scale" else -math.inf
        if name != "theta" or not stack:  # in a stack, some may diverge
            array = np.atleast_1d(array)
            expect.all_hold(f"{name}: expected finite numbers above {above}", (array > above) & (array < np.inf), array)
    network.theta[...] = theta
    T = arrays["temperature"]
    expect.all_hold(f"temperature: expected {COLDEST:g} to {HOTTEST:g}", (T >= COLDEST) & (T <= HOTTEST), T)
    standardizations = map(Standardization, arrays["mean"], arrays["scale"])
    learned = Several(map(Preprocessing.from_json, described, standardizations))
    if (widest := max(each.D for each in learned)) != D:
        raise ValueError(f"preprocessing gives {widest} features, but the network takes {D}")
    if len(dict(learned.kinds)) < len(learned.kinds):
        raise ValueError("preprocessing: expected columns of the same kind for each network")
    return Model(network, learned if F > 1 else learned[0], tuple(names), T)


def padded(array: Array, D: int, value: float) -> Array:
    """Return an array of D entries, filled up with a value."""
    return np.pad(np.asarray(array), (0, D - len(array)), constant_values=value)
