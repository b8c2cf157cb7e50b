"""What does a stack of networks need that one network does not? Numbers with a column, and histories that wait."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def columns(theta: Array, *values: Any) -> list[Any]:
    """Give hyperparameters the form in which they multiply theta: a float, or of a stack's networks an array (S, 1).

    The array has theta's dtype, to which NumPy rounds a float, too: a stack's networks get what single ones get.

    Raises
    ------
    ValueError
        If there are not as many as networks.
    """
    forms: list[Any] = []
    for value in values:
        if not isinstance(value, float):
            if value.shape != theta.shape[:-1]:
                steps = theta.size // theta.shape[-1]
                raise ValueError(f"this optimizer has hyperparameters for {len(value)} networks, but steps {steps}")
            value = value[:, np.newaxis].astype(theta.dtype)
        forms.append(value)
    return forms


def power(base: Any, k: int) -> Any:
    """Raise to a power, for each network of a stack exactly as for a single one, which NumPy's array power is not."""
    return base**k if isinstance(base, float) else np.array([each**k for each in base.tolist()])


def plain(value: Any) -> Any:
    """Return a number for a single network, an array of float64 for a stack."""
    return np.asarray(value, np.float64) if getattr(value, "ndim", 0) else float(value)


def at_epochs(column: Sequence[Any], epochs: Any) -> Any:
    """Return what a column of a history says of an epoch, or of one for each network; NaN of epoch 0."""
    found = [np.asarray(column[k - 1])[s] if k else np.nan for s, k in np.ndenumerate(epochs)]
    return np.array(found).reshape(np.shape(epochs))[()]


def member(columns: Mapping[str, list[Any]], s: int) -> dict[str, list[Any]]:
    """Return the columns of network s, from columns whose entries are one for all networks, or one for each."""
    return {name: [v[s] if np.ndim(v) else v for v in column] for name, column in columns.items()}


def hold(history: Any, steps: int, stopped: Array) -> None:
    """Let what a history says of networks that have stopped stay as it was, though they are trained with the rest."""
    if not stopped.any():
        return
    for name, column in vars(history).items():
        before = len(column) - (steps if name.startswith("batch") else 1)
        for k in range(before, len(column)):
            if np.ndim(column[k]):
                column[k] = np.where(stopped, column[k - 1], column[k])


class RandomNumbers:
    """Random numbers for layers that draw some: each network of a stack has a stream of its own.

    Parameters
    ----------
    generators : sequence of numpy.random.Generator
        One for each network.
    stacked : bool
        Whether what is drawn gets a leading axis, as in a stack; otherwise there is one network.
    """

    def __init__(self, generators: Sequence["np.random.Generator"], stacked: bool) -> None:
        self.generators, self.stacked = generators, stacked

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Draw uniformly from [0, 1): float32 of that shape, or (S, …) for a stack."""
        drawn = [generator.random(shape, dtype=np.float32) for generator in self.generators]
        return np.stack(drawn) if self.stacked else drawn[0]
