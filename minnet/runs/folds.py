"""How do networks that learn from different rows train as one stack? Their samples lie one below the other.

A network's batch is taken from its own rows of one tall array, so that batches and steps are those of any stack. Folds
are preprocessed each by its own training rows, so that one may lack a feature that another has: it gets columns of 0,
whose weights are 0 and stay so, since their gradients are 0.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

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
    """The same split of several data sets, with their samples one below the other.

    Attributes
    ----------
    x : array of shape (F · N, D)
        The samples, in the dtype of a network. Data sets with fewer than N of them are filled up with 0.
    N : int
        How many rows each data set has there.
    t : sequence of F arrays of shape (…, K)
        The targets of each.
    weights : sequence of F arrays of shape (…,), or of None
        How much the samples of each count.
    """

    x: Array
    N: int
    t: Sequence[Array]
    weights: Sequence[Array | None]

    @classmethod
    def of(cls, network: Network, datasets: Sequence[Dataset], split: str) -> "Below":
        """Check one split of data sets and lay it out."""
        samples = [getattr(dataset, split) for dataset in datasets]
        N = max(len(x) for x, _ in samples)
        tall = np.zeros((len(datasets), N, network.D), network.theta.dtype)
        targets, weights = [], []
        for rows, dataset, (x, t) in zip(tall, datasets, samples, strict=True):
            own = rows[: len(x)]
            own[:, : dataset.D] = x
            given = dataset.sample_weight.get(split)
            _, t, w = network.check(own, t, given)
            targets.append(t)
            weights.append(w)
        return cls(tall.reshape(-1, network.D), N, targets, weights)

    def logits(self, network: Network, of: Array) -> Array:
        """Compute the logits of each network of a stack for the data set that is its own: shape (S, N, K).

        In memory the classes come before the rows, since NumPy finds the largest of a few neighbours slowly.
        """
        first = of[:, np.newaxis] * self.N
        z = np.empty((len(of), network.K, self.N), network.theta.dtype).mT
        for start in range(0, self.N, ROWS):
            end = min(start + ROWS, self.N)
            rows = first + np.arange(start, end)
            x = self.x.take(rows, axis=0)
            z[:, start:end] = network.logits(x, check=False)
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
        check_sizes(different)
        self.splits = {split: Below.of(self.network, different, split) for split in SPLITS[:2]}
        x, _, t, weights = self.splits["train"]
        outputs = dict(zip(self.of.tolist(), self.outputs, strict=True))
        weighed = [weigh(t[f], weights[f], output) for f, output in sorted(outputs.items())]
        w = None if weighed[0] is None else np.concatenate(weighed)
        self.train = x, np.concatenate(t), w
        self.first_row = self.of[:, np.newaxis] * self.N

    def evaluate(self, split: str) -> tuple[Any, ...]:
        """Compute the figures of each network on its own rows, as a single one's."""
        below = self.splits[split]
        more = split == "validation"
        z = below.logits(self.network, self.of)
        figures = []
        for s, f in enumerate(self.of):
            t, w = below.t[f], below.weights[f]
            own = z[s, : len(t)]
            figures.append(score(self.outputs[s], own, t, w, more))
        return tuple(map(np.array, zip(*figures, strict=True)))


def check_sizes(datasets: Sequence[Dataset]) -> None:
    """Raise a ValueError if training splits are not equally large: their networks could not take steps together."""
    sizes = sorted({len(dataset.train.x) for dataset in datasets})
    if len(sizes) > 1:
        found = ", ".join(map(str, sizes))
        raise ValueError(f"a stack: expected training splits of one size, got {found}")


def weigh(t: Array, weights: Array | None, output: SoftmaxCrossEntropy) -> Any:
    """Return weights of samples that say as well how much their classes count."""
    if output.class_weight is None:
        return weights
    of_class = expect.relative("class_weight", output.class_weight, t.shape[-1], t.dtype)
    own = t @ of_class
    return own if weights is None else weights * own


def widen(theta: Array, H: int, D: int, wide: int) -> Array:
    """Give theta (..., n) of D features the form of one of more of them, whose weights are 0; H is the first width."""
    known, rest = np.split(theta, [D * H], axis=-1)
    more = np.zeros((*theta.shape[:-1], (wide - D) * H), theta.dtype)
    return np.concatenate([known, more, rest], axis=-1)


def narrow(theta: Array, H: int, D: int, wide: int) -> Array:
    """Give back what `widen` was given."""
    return np.delete(theta, slice(D * H, wide * H), axis=-1)
