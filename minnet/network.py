"""How do layers become one function of one vector? A network is a list of layers whose parameters all live in theta.

``theta`` holds every weight and bias, ``dtheta`` every gradient, in the order of the layers; the layers' ``W, b, dW,
db`` are views into the two, made once. ``forward`` and ``backward`` are two loops that mirror each other.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minnet.layers import Array, Layer
from minnet.output import OutputLayer, SoftmaxCrossEntropy, mean_loss
from minnet.support import expect, fit
from minnet.support.finite import answers
from minnet.support.stack import RandomNumbers

Seed = int | Sequence[int]
WEIGHTS, ORDER, DROPOUT = range(3)  # the streams of random numbers that a seed determines


def random_numbers(seed: int, *stream: int) -> "np.random.Generator":
    """Return the generator of one of the streams of a seed: ``WEIGHTS``, ``DROPOUT``, or ``ORDER`` and an epoch."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def bind(layers: Sequence[Layer], theta: Array, dtheta: Array) -> list[tuple[fit.Slot, str, Array]]:
    """Make each layer's parameters q views into theta, and their gradients dq views into dtheta; return the views."""
    views = []
    for slot in fit.slots(layers):
        for name, flat in ((slot.name, theta), ("d" + slot.name, dtheta)):
            view = flat[..., slot.entries].reshape(*flat.shape[:-1], *slot.shape)
            views.append((slot, name, view))
            setattr(slot.layer, name, view)
    return views


class Network:
    """A stack of layers with an output layer at its end, over one flat parameter vector.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the logits, minnet's own or yours; at least one with parameters.
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
        If there is nothing to train, neighbours do not fit, a layer is listed twice, or the seed or dtype is not one.
    """

    def __init__(
        self, layers: Sequence[Layer], output: OutputLayer | None = None, seed: Seed = 0, dtype: Any = np.float32
    ) -> None:
        expect.one_of("Network dtype", np.dtype(dtype).name, ("float32", "float64"))
        self.seed = expect.seed("Network seed", seed)
        self.layers = fit.check_layers(layers)
        self.output = SoftmaxCrossEntropy() if output is None else output
        parameters = [np.full(slot.shape, slot.name == "W").ravel() for slot in fit.slots(self.layers)]
        self.decays = np.concatenate(parameters)
        seeds = [self.seed] if isinstance(self.seed, int) else self.seed
        stacked = not isinstance(self.seed, int)
        self.random = RandomNumbers([random_numbers(each, DROPOUT) for each in seeds], stacked)
        thetas = np.zeros((len(seeds), self.decays.size), dtype=dtype)
        for theta, each in zip(thetas, seeds, strict=True):
            self._bind(theta)
            rng = random_numbers(each, WEIGHTS)
            for layer, following in zip(self.layers, [*self.layers[1:], self.output], strict=True):
                getattr(layer, "initialize", Layer.initialize.__get__(layer))(rng, following)
            self.check_views()
        self.D, self.K = fit.widths(self.layers, np.dtype(dtype))
        class_weight = getattr(self.output, "class_weight", None)
        if class_weight is not None and len(class_weight) != self.K:
            raise ValueError(f"{self.output!r} has {len(class_weight)} class weights, but there are {self.K} classes")
        self._bind(thetas if stacked else thetas[0])
        if hasattr(self.layers[0], "needs_dx"):
            self.layers[0].needs_dx = False

    def _bind(self, theta: Array) -> None:
        """Make theta and a dtheta like it the network's own, and each layer's parameters views into them."""
        self.theta, self.dtheta = theta, np.zeros_like(theta)
        self._forward_ran = False
        self._views = bind(self.layers, theta, self.dtheta)
        for layer in self.layers:
            if hasattr(layer, "random"):
                layer.random = self.random

    def check_views(self) -> None:
        """Raise ValueError if a layer's parameter or gradient is another array than the view into theta or dtheta."""
        fit.check_views(self, self._views)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.at(self.theta.copy())

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

    def __getitem__(self, s: int) -> Self:
        """Give network s of a stack, with a theta of its own.

        Raises
        ------
        TypeError
            If this is a single network, or s is not an integer.
        IndexError
            If there is no network s.
        """
        fit.check_member(self, s)
        member = self.at(self.theta[s].copy())
        member.seed = np.atleast_1d(self.seed).tolist()[s]
        member.random = RandomNumbers([member.random.generators[s]], stacked=False)
        member._bind(member.theta)
        return member

    def best(self, history: Any) -> Self:
        """Give the network of a stack whose epoch kept has the lowest validation loss, by its `minnet.History`."""
        return self[history.best()]

    def check(self, x: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> tuple[Any, ...]:
        """Check samples, targets and the samples' weights, and bring them to the network's dtype.

        Returns
        -------
        x, t : arrays of shape (N, D) and (N, K)
        sample_weight : array of shape (N,) or None
            Relative to the largest.

        Raises
        ------
        TypeError, ValueError
            As `minnet.support.expect.features`, `targets` and `weights` say.
        """
        return fit.check_batch(self, x, t, sample_weight)

    def check_features(self, x: npt.ArrayLike) -> Array:
        """Check samples of shape (N, D), finite floating-point numbers, and bring them to the network's dtype."""
        return expect.features(f"Network({self.D} → {self.K})", x, self.D, self.theta.dtype)

    def forward(self, x: Array, t: Array, check: bool = True, sample_weight: Array | None = None) -> Any:
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
        sample_weight : array of shape (N,), optional
            How much each sample counts, at least 0; all the same by default (eq. 10a).

        Returns
        -------
        scalar, or array of shape (S,) for a stack
            The mean loss, in nats. What the layers remember of the batch is theirs until the next ``forward``.
        """
        if check:
            x, t, sample_weight = self.check(x, t, sample_weight)
        for layer in self.layers:
            x = layer.forward(x)
        self._forward_ran = True
        return mean_loss(self.output, x, t, sample_weight)

    def backward(self) -> None:
        """∇C(theta): fill ``dtheta`` with the gradient of the loss that the last ``forward`` returned (eq. 12d).

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
            If there is nothing to average, since all networks diverged; or if a single network's logits are not
            finite, of which samples the message says.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is said below
            y: Array = self.output.probabilities(self.logits(x))
        return answers(y, average)

    def predict(self, x: Array, average: bool = False) -> Array:
        """Compute the number of the most probable class, of shape (N,) or (S, N), as `predict_proba` gives them."""
        classes: Array = self.predict_proba(x, average).argmax(axis=-1)
        return classes

    def summary(self) -> str:
        """Describe the network as a table: a line a layer with its parameters' shapes and their number."""
        return fit.summary(self.layers, self.output, self.theta)

    __str__ = summary

    def __repr__(self) -> str:
        return f"Network({self.layers}, {self.output!r}, seed={self.seed}, dtype={self.theta.dtype})"
