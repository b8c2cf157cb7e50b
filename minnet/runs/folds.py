"""How do networks that learn from different rows train as one stack? Their samples lie one below the other.

A network's batch is taken from its own rows of one tall array, so that batches and steps are those of any stack. Folds
are preprocessed each by its own training rows, so that one may lack a feature that another has: it gets columns of 0,
whose weights are 0 and stay so, since their gradients are 0.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from minnet.data.dataset import Dataset
from minnet.data.splits import SPLITS
from minnet.network import Network
from minnet.output import SoftmaxCrossEntropy
from minnet.support import expect
from minnet.support.stack import Array
from minnet.training import Training, score

ROWS = 128  # of each network that are evaluated at a time: what the layers hold of all networks stays in the cache


def distinct(datasets: Sequence[Dataset]) -> tuple[list[Dataset], Array]:
    """Return each data set once, and which of them each network has."""
    once = {id(dataset): dataset for dataset in datasets}
    number = {key: k for k, key in enumerate(once)}
    return list(once.values()), np.array([number[id(dataset)] for dataset in datasets])


class Below(NamedTuple):
    """The same split of several data sets, one below the other, each filled up to the rows of the longest.

    Attributes
    ----------
    x, t : arrays of shape (F · N, D) and (F · N, K)
        Samples and targets, in the dtype of a network.
    weights : array of shape (F · N,), or None
        How much each sample counts.
    sizes : array of shape (F,)
        How many of the N rows of each are its own.
    """

    x: Array
    t: Array
    weights: Array | None
    sizes: Array

    @classmethod
    def of(cls, network: Network, datasets: Sequence[Dataset], split: str) -> "Below":
        """Check one split of data sets and lay it out."""
        parts = []
        for dataset in datasets:
            x, t = getattr(dataset, split)
            x = np.pad(x, ((0, 0), (0, network.D - dataset.D)))
            parts.append(network.check(x, t, dataset.sample_weight.get(split)))
        sizes = np.array([len(x) for x, _, _ in parts])

        def tall(arrays: Sequence[Array]) -> Array:
            fill = [((0, sizes.max() - len(each)), *[(0, 0)] * (each.ndim - 1)) for each in arrays]
            return np.concatenate([np.pad(each, rows) for each, rows in zip(arrays, fill, strict=True)])

        x, t, weights = zip(*parts, strict=True)
        return cls(tall(x), tall(t), None if weights[0] is None else tall(weights), sizes)

    @property
    def N(self) -> int:
        """How many rows each has, with those that fill it up."""
        return int(self.sizes.max())

    def own(self, f: int) -> tuple[Array, Array | None]:
        """Return targets and weights of data set f, without what fills them up."""
        rows = slice(f * self.N, f * self.N + int(self.sizes[f]))
        return self.t[rows], None if self.weights is None else self.weights[rows]

    def logits(self, network: Network, of: Array) -> Array:
        """Compute the logits of each network of a stack for the data set that is its own: shape (S, N, K).

        In memory the classes come before the rows, since NumPy finds the largest of a few neighbours slowly.
        """
        first = of[:, np.newaxis] * self.N
        z = np.empty((len(of), network.K, self.N), network.theta.dtype).mT
        for start in range(0, self.N, ROWS):
            rows = first + np.arange(start, min(start + ROWS, self.N))
            z[:, start : start + ROWS] = network.logits(self.x.take(rows, axis=0), check=False)
        return z


@dataclass(eq=False, repr=False)
class FoldTraining(Training):
    """A training of a stack whose networks learn from different data sets, with equally large training splits.

    Parameters
    ----------
    datasets : sequence of S data sets
        That of each network; the network's D is the largest of theirs, and ``dataset`` one of these that have it.
    outputs : sequence of S output layers
        What each network is scored by. The network's own has no class weights: they depend on the training split, and
        become weights of its samples.
    """

    _: KW_ONLY
    datasets: Sequence[Dataset] = ()
    outputs: Sequence[SoftmaxCrossEntropy] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        different, self.of = distinct(self.datasets)
        self.splits = {split: Below.of(self.network, different, split) for split in SPLITS[:2]}
        x, t, weights, _ = self.splits["train"]
        outputs = [self.outputs[self.of.tolist().index(f)] for f in range(len(different))]
        self.train = x, t, weigh(t.reshape(len(different), -1, t.shape[-1]), weights, outputs)
        self.first_row = self.of[:, np.newaxis] * self.N

    def evaluate(self, split: str) -> tuple[Any, Any]:
        """Compute the figures of each network on its own rows, as a single one's."""
        below, figures = self.splits[split], []
        networks = zip(below.logits(self.network, self.of), self.outputs, self.of.tolist(), strict=True)
        for z, output, f in networks:
            figures.append(score(output, z[: below.sizes[f]], *below.own(f)))
        return cast(tuple[Any, Any], tuple(map(np.array, zip(*figures, strict=True))))


def weigh(t: Array, weights: Array | None, outputs: Sequence[SoftmaxCrossEntropy]) -> Array | None:
    """Return weights of samples (F · N,) that say as well how much their classes count, by targets (F, N, K)."""
    if outputs[0].class_weight is None:
        return weights
    of_class = [expect.relative("class_weight", each.class_weight or (), t.shape[-1], t.dtype) for each in outputs]
    by_class: Array = np.concatenate([rows @ each for rows, each in zip(t, of_class, strict=True)])
    return by_class if weights is None else weights * by_class


def widen(theta: Array, H: int, D: int, wide: int) -> Array:
    """Give theta (..., n) of D features the form of one of more of them, whose weights are 0; H is the first width."""
    more = np.zeros((*theta.shape[:-1], (wide - D) * H), theta.dtype)
    return np.concatenate([theta[..., : D * H], more, theta[..., D * H :]], axis=-1)


def narrow(theta: Array, H: int, D: int, wide: int) -> Array:
    """Give back what `widen` was given."""
    return np.delete(theta, slice(D * H, wide * H), axis=-1)
