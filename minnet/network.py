"""How do layers become one function of one vector? A network is a list of layers whose parameters all live in theta.

``theta`` holds every weight and bias, ``dtheta`` every gradient, in the order of the layers; the layers' ``W, b, dW,
db`` are views into the two, made once. ``forward`` and ``backward`` are two loops that mirror each other.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.layers import BatchNorm, Layer, LayerNorm, Linear, RandomNumbers
from minnet.output import OutputLayer, SoftmaxCrossEntropy, relative_weights, target_rows

Array = npt.NDArray[Any]


class RandomStreams(NamedTuple):
    """The separate sources of randomness of one run."""

    weights: np.random.Generator
    order: np.random.Generator
    dropout: np.random.Generator


def random_streams(seed: int) -> RandomStreams:
    """Spawn the streams that one integer seed determines: initial weights, order of samples, dropout."""
    return RandomStreams(*map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3)))


class Network:
    """A stack of layers with an output layer at its end, over one flat parameter vector.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the logits; at least one `Linear`, whose widths must fit together.
    output : OutputLayer, default SoftmaxCrossEntropy()
        What turns logits and targets into a loss.
    seed : int or sequence of int, default 0
        Determines the initial weights, what dropout drops, and by default the order of samples in `train`. A sequence
        of S seeds makes a stack of S networks, each with the weights that a single network of its seed has.
    dtype : {"float32", "float64"}, default float32
        The dtype of parameters and computation.

    Attributes
    ----------
    theta : array of shape (n,), or (S, n) for a stack
        All parameters. Change its entries freely (``network.theta[...] = vector``); it is never another array.
    dtheta : array of the shape of theta
        All gradients of the mean loss, as the last ``backward`` left them.
    decays : array of shape (n,), bool
        Which entries of theta weight decay touches: those of parameters named W, not the biases.
    random : RandomNumbers
        What layers that need random numbers draw from.
    D, K : int
        Number of input features and of classes.

    Raises
    ------
    TypeError
        If something in ``layers`` is not a layer.
    ValueError
        If there is no `Linear`, neighbouring widths differ, a layer is listed twice, or the seed or dtype is not one.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        output: OutputLayer | None = None,
        seed: int | Sequence[int] = 0,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"Network expected dtype float32 or float64, got {np.dtype(dtype)}")
        self.seed = check_seed(seed)
        self.layers = list(layers)
        self.output = SoftmaxCrossEntropy() if output is None else output
        self.D, self.K = check_widths(self.layers)
        class_weights = getattr(self.output, "class_weights", None)
        if class_weights is not None and len(class_weights) != self.K:
            raise ValueError(f"{self.output!r} has {len(class_weights)} class weights, but there are {self.K} classes")

        named = [(name, shape) for layer in self.layers for name, shape in layer.shapes.items()]
        self.decays = np.concatenate([np.full(math.prod(shape), name == "W") for name, shape in named])
        seeds = (self.seed,) if isinstance(self.seed, int) else self.seed
        thetas = np.zeros((len(seeds), self.decays.size), dtype=dtype)
        for theta, each in zip(thetas, seeds, strict=True):
            bind(self.layers, theta, np.zeros_like(theta))
            weights = random_streams(each).weights
            for layer, following in zip(self.layers, [*self.layers[1:], self.output], strict=True):
                layer.initialize(weights, following)
        stacked = not isinstance(self.seed, int)
        self.random = RandomNumbers([random_streams(each).dropout for each in seeds], stacked)
        self._bind(thetas if stacked else thetas[0])
        first = self.layers[0]
        if isinstance(first, Linear):
            first.needs_dx = False

    def _bind(self, theta: Array) -> None:
        """Make theta and a dtheta like it the network's own, and each layer's parameters views into them."""
        self.theta, self.dtheta = theta, np.zeros_like(theta)
        self._forward_ran = False
        bind(self.layers, self.theta, self.dtheta)
        for layer in self.layers:
            if hasattr(layer, "random"):
                layer.random = self.random

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy (``copy.deepcopy``), whose layers are again views into its own theta."""
        vars(self).update(state)
        bind(self.layers, self.theta, self.dtheta)

    def at(self, theta: Array) -> Self:
        """Give the same network at another point: a function of one vector, evaluated elsewhere.

        Parameters
        ----------
        theta : array of shape (n,) or (S, n)
            The parameters, of any inexact dtype, complex included; with a leading axis the result is a stack of S
            networks, whose loss has shape (S,). The array is not copied.

        Returns
        -------
        Network
            Independent of this one: layers of its own, a ``dtheta`` of its own, and random numbers that go on where
            this one's stand, so that two networks made one after the other drop the same units.
        """
        theta = np.asarray(theta)
        if not np.issubdtype(theta.dtype, np.inexact):
            raise TypeError(f"expected theta to hold floating-point or complex numbers, got {theta.dtype}")
        if theta.shape[-1:] != self.theta.shape[-1:] or theta.ndim > 2:
            raise ValueError(f"expected theta of shape ({self.theta.shape[-1]},) or (S, …), got {theta.shape}")
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        other.output = copy.copy(self.output)
        other.random = copy.deepcopy(self.random)
        other._bind(theta)
        return other

    def _taking(self, theta: Array, seed: int | tuple[int, ...], random: RandomNumbers) -> Self:
        """Give the same network at another point, with another seed and other random numbers."""
        other = self.at(theta)
        other.seed, other.random = seed, random
        other._bind(theta)
        return other

    def __getitem__(self, s: int) -> Self:
        """Give network s of a stack, with a theta of its own.

        Raises
        ------
        TypeError
            If this is a single network.
        IndexError
            If there is no network s.
        """
        if self.theta.ndim == 1:
            raise TypeError("this is a single network: only a stack, made with a sequence of seeds, has members")
        seed = self.seed if isinstance(self.seed, int) else self.seed[s]
        of_a_stack = self.random.generators[s : s + 1 or None] if self.random.stacked else self.random.generators
        return self._taking(self.theta[s].copy(), seed, RandomNumbers(copy.deepcopy(of_a_stack), stacked=False))

    def best(self, history: Any) -> Self:
        """Give the network of a stack that has the lowest validation loss at the end of a `minnet.History`."""
        return self[history.best()]

    def part(self, start: int, stop: int) -> Self:
        """Give networks start … stop − 1 of a stack, as a stack over the same theta: what it learns, this one knows."""
        seed = self.seed if isinstance(self.seed, int) else self.seed[start:stop]
        random = RandomNumbers(self.random.generators[start:stop], stacked=True)
        return self._taking(self.theta[start:stop], seed, random)

    def forward(self, x: Array, t: Array, check: bool = True, weights: Array | None = None) -> Any:
        """C(theta): the mean loss over a batch, in training: with dropout, and with the batch's own statistics.

        Parameters
        ----------
        x : array of shape (N, D)
            The samples; a stack takes the same ones for each of its networks.
        t : array of shape (N,) or (N, K)
            The targets: class numbers, or rows that sum to 1.
        check : bool, default True
            Whether to check and convert ``x`` and ``t`` first. `train` does that once for its whole data set and
            turns it off here; ``t`` must then be rows, and a stack may be given other samples for each network, in
            arrays of shape (S, N, D) and (S, N, K).
        weights : array of shape (N,), optional
            How much each sample counts, at least 0; all the same by default (eq. 10a).

        Returns
        -------
        scalar, or array of shape (S,) for a stack
            The mean loss, in nats. What the layers remember of the batch is theirs until the next ``forward``.
        """
        if check:
            x, t = self.check_features(x), target_rows(t, self.K, self.theta.dtype)
            if len(x) != len(t):
                raise ValueError(f"expected as many targets as samples, got {len(t)} targets for {len(x)} samples")
            if weights is not None:
                weights = relative_weights(weights, len(x), t.dtype)
        for layer in self.layers:
            x = layer.forward(x)
        output: Any = self.output
        loss = output.forward(x, t) if weights is None else output.forward(x, t, weights)
        self._forward_ran = True
        return loss

    def backward(self) -> None:
        """∇C(theta): fill ``dtheta`` with the gradient of the loss that the last ``forward`` returned.

        Nothing accumulates: a second call leaves the same ``dtheta``.
        """
        if not self._forward_ran:
            raise RuntimeError(
                "backward was called before forward: call forward(x, t) first (logits and predict do not count, "
                "and leave nothing for backward)"
            )
        doutput = self.output.backward()
        for layer in reversed(self.layers):
            doutput = layer.backward(doutput)

    def logits(self, x: Array, check: bool = True) -> Array:
        """Compute z, the input of the output layer, of shape (..., N, K), for samples x of shape (N, D).

        As it is done after training: nothing is dropped, and nothing depends on what else is in the batch.
        """
        if check:
            x = self.check_features(x)
        self._forward_ran = False  # the layers now remember x, the output layer still an older batch
        for layer in self.layers:
            x = getattr(layer, "infer", layer.forward)(x)
        return x

    def predict_proba(self, x: Array, average: bool = False) -> Array:
        """Compute the probability of each class for samples x of shape (N, D).

        Parameters
        ----------
        x : array of shape (N, D)
            The samples.
        average : bool, default False
            Whether the networks of a stack give one answer together, the mean of their probabilities (an ensemble).
            Those that diverged, whose probabilities are NaN, have no say.

        Returns
        -------
        array of shape (N, K), or (S, N, K) for a stack that is not averaged

        Raises
        ------
        FloatingPointError
            If there is nothing to average, since all networks diverged.
        """
        y: Array = self.output.probabilities(self.logits(x))
        if average and y.ndim == 3:
            alive = np.isfinite(y).all(axis=(1, 2))
            if not alive.any():
                raise FloatingPointError(f"all {len(y)} networks diverged: none of them can predict")
            y = np.asarray(y[alive].mean(axis=0))
        return y

    def predict(self, x: Array, average: bool = False) -> Array:
        """Compute the number of the most probable class, of shape (N,) or (S, N), as `predict_proba` gives them."""
        scores = self.predict_proba(x, average) if average else self.logits(x)
        classes: Array = scores.argmax(axis=-1)
        return classes

    def check_features(self, x: npt.ArrayLike) -> Array:
        """Check samples and bring them to the network's dtype.

        Raises
        ------
        TypeError
            If ``x`` does not hold floating-point numbers.
        ValueError
            If its shape is not (N, D) with N of at least 1, or an entry is NaN or infinite.
        """
        owner = f"Network({self.D} → {self.K})"
        checked = check_features(x, self.D, owner)
        with np.errstate(over="ignore"):
            converted: Array = checked.astype(self.theta.dtype, copy=False)
        if converted is not checked and not np.isfinite(converted).all():
            largest = np.abs(checked).max()
            raise ValueError(f"{owner} expected numbers within the range of {self.theta.dtype}, got {largest}")
        return converted

    def summary(self) -> str:
        """Describe the network as a table: a line a layer with its parameters' shapes and their number."""
        rows = [("layer", "parameters", "number")]
        for layer in self.layers:
            shapes = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in layer.shapes.items())
            plain = type(layer).__repr__ is object.__repr__  # which would show an address in memory
            rows.append(
                (
                    type(layer).__name__ if plain else repr(layer),
                    shapes,
                    f"{sum(map(math.prod, layer.shapes.values())):,}",
                )
            )
        rows.append((repr(self.output), "", "0"))
        rows.append(("total", f"{self.theta.dtype}", f"{self.theta.shape[-1]:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        rule = "─" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"Network({self.layers}, {self.output!r}, seed={self.seed}, dtype={self.theta.dtype})"


def check_seed(seed: object) -> int | tuple[int, ...]:
    """Return one seed as an int, several as a tuple, or raise ValueError."""
    several = isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str)
    seeds: list[Any] = list(seed) if several else [seed]  # type: ignore[call-overload]
    if not seeds:
        raise ValueError("Network expected at least one seed for a stack, got none")
    for each in seeds:
        if not isinstance(each, int | np.integer) or isinstance(each, bool) or each < 0:
            raise ValueError(f"Network expected seed to be an integer of at least 0, or several, got {each!r}")
    return tuple(map(int, seeds)) if several else int(seeds[0])


def bind(layers: Sequence[Layer], theta: Array, dtheta: Array) -> None:
    """Make each layer's parameters views into theta, and their gradients views into dtheta, in the layers' order.

    Parameters
    ----------
    layers : sequence of Layer
        For each name q in their ``shapes`` they get the attributes ``q`` and ``dq``.
    theta, dtheta : arrays of shape (n,) or (S, n)
        With n the number of all their parameters.
    """
    start = 0
    for layer in layers:
        for name, shape in layer.shapes.items():
            stop = start + math.prod(shape)
            for attribute, flat in ((name, theta), ("d" + name, dtheta)):
                setattr(layer, attribute, flat[..., start:stop].reshape(*flat.shape[:-1], *shape))
            start = stop


def check_widths(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the number of inputs and of outputs of layers in a row, having checked that they fit together."""
    for layer in layers:
        missing = [name for name in ("shapes", "initialize", "forward", "backward") if not hasattr(layer, name)]
        if missing or isinstance(layer, type):
            remedy = f"; use {layer.__name__}(…)" if isinstance(layer, type) else f": it has no {', '.join(missing)}"
            raise TypeError(f"Network expected layers, got {layer!r}{remedy}")
    for layer in layers:
        if any(isinstance(getattr(layer, "d" + name, None), np.ndarray) for name in layer.shapes):
            raise ValueError(f"{layer!r} belongs to a network already, whose parameters it holds: make a new layer")
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("Network expected each layer once: a layer keeps one batch and one set of parameters")
    linears = [layer for layer in layers if isinstance(layer, Linear)]
    if not linears:
        raise ValueError("Network expected at least one Linear layer, got none: there is nothing to train")
    sized = [layer for layer in layers if isinstance(layer, Linear | BatchNorm | LayerNorm)]
    for one, next_one in itertools.pairwise(sized):
        width = one.H if isinstance(one, Linear) else one.D
        if width != next_one.D:
            raise ValueError(f"{one} gives {width} outputs, but the next, {next_one}, takes {next_one.D} inputs")
    return linears[0].D, linears[-1].H


def check_features(x: npt.ArrayLike, D: int | None, owner: str) -> Array:
    """Return ``x`` as an array, having checked that it is finite floating-point samples of shape (N, D).

    Parameters
    ----------
    x : array of shape (N, D)
        The samples.
    D : int or None
        The number of features expected; None takes any.
    owner : str
        Who expected it, for the error.

    Raises
    ------
    TypeError, ValueError
        As `Network.check_features` says.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{owner} expected a plain array, got a masked one: fill in or leave out what is missing")
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"{owner} expected x to hold floating-point numbers, got {x.dtype}; use x.astype(np.float64)")
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0 or (D is not None and x.shape[1] != D):
        remedy = "; for one sample use x[np.newaxis]" if x.ndim == 1 else ""
        raise ValueError(f"{owner} expected x of shape (N, {D or 'D'}), N at least 1, got {x.shape}{remedy}")
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"{owner} expected finite numbers in x, got {x[row, column]} in row {row}, column {column}")
    return x
