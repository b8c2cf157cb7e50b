"""Where do samples come from, and how do they become a data set that can be trusted? Loading, splitting, scaling.

A named data set or a pair of arrays is split into stratified training, validation and test parts, and standardised
with the statistics of the training part alone, so that nothing of the other two leaks into training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.data.splits import SPLITS, stratified_split
from minnet.support import expect
from minnet.support.stack import Array


class Table(NamedTuple):
    """Samples as their source gives them, neither split nor standardised.

    Attributes
    ----------
    name : str
        What they are called; of a file, its name without folder and ending.
    x : array of shape (N, D)
        The features.
    t : array of shape (N,), or None
        Class numbers; None if they were not asked for.
    class_names, feature_names : sequences of str
        K and D names; of arrays "x0", "x1", …
    sample_weight : array of shape (N,), or None
        How much each sample counts; None if all count the same.
    ignored : sequence of str
        The columns or arrays of the file that were not used.
    """

    name: str
    x: Array
    t: Any
    class_names: Sequence[str]
    feature_names: Sequence[str]
    sample_weight: Array | None = None
    ignored: Sequence[str] = ()

    def split(self, **options: Any) -> "Dataset":
        """Make a data set of the samples: see `Dataset.from_arrays`."""
        arguments = self._asdict()
        del arguments["ignored"]
        return Dataset.from_arrays(**arguments, **options)


class Part(NamedTuple):
    """One part of a data set: samples ``x`` (N, D) and targets ``t``, class numbers (N,) or rows (N, K)."""

    x: Array
    t: Array


@dataclass(frozen=True, eq=False)
class Standardization:
    """The map x ↦ (x − mean) / scale, by feature.

    Attributes
    ----------
    mean, scale : array of shape (D,), float64
        The training part's mean and standard deviation; the scale of a constant feature is 1.
    """

    mean: Array
    scale: Array

    @classmethod
    def of(cls, x: Array) -> Self:
        """Find the standardisation of training samples (N, D)."""
        from sklearn.preprocessing import StandardScaler

        largest = np.abs(x).max(axis=0).astype(np.float64)
        # The square of a number beyond these bounds would overflow or vanish.
        extreme = (largest > 1e100) | ((largest < 1e-100) & (largest > 0))
        unit = np.where(extreme, largest, 1)
        scaler = StandardScaler().fit(x / unit)
        return cls(scaler.mean_ * unit, scaler.scale_ * unit)

    def __call__(self, x: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Standardise samples of shape (N, D), computing in float64 and rounding once."""
        return np.asarray((x - self.mean) / self.scale, dtype)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples ready for training, in three parts.

    Parameters
    ----------
    name : str
        What the data set is called.
    train, validation, test : Part
        Standardised samples and their targets.
    class_names : tuple of str
        K names: class number k is called ``class_names[k]``.
    feature_names : tuple of str
        D names.
    standardization : Standardization
        What was applied to the raw samples, so that it can be applied to new ones.
    sample_weight : mapping of str to array, optional
        How much each sample of "train", "validation" or "test" counts in losses; all the same by default.
    rows : mapping of str to array, optional
        Where the samples of "train", "validation" and "test" came from: their rows in the data, from 0.

    Raises
    ------
    TypeError, ValueError
        If a part's samples are not finite floating-point arrays of shape (N, D), its targets are not what
        `minnet.support.expect.targets` takes, or there are fewer than two classes.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    standardization: Standardization
    sample_weight: Mapping[str, Array] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = f"data set {self.name!r}"
        if len(set(self.class_names)) < max(2, self.K):
            raise ValueError(f"{owner}: expected at least two classes of different names, got {self.class_names!s:.99}")
        for part_name in SPLITS:
            x, t = getattr(self, part_name)
            try:
                expect.features(owner, x, self.D)
                expect.targets(t, self.K, N=len(x))
                if part_name in self.sample_weight:
                    expect.weights(f"{owner}: sample_weight", self.sample_weight[part_name], len(x))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error} (in the {part_name} part)") from None

    @property
    def D(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def K(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def labels(self, split: str) -> Array:
        """Return the class numbers of a split's samples: an array of shape (N,)."""
        return np.asarray(expect.targets(getattr(self, split).t, self.K).argmax(axis=1))

    def counts(self, split: str) -> Array:
        """Count the samples of each class in a split: an array of shape (K,)."""
        return np.bincount(self.labels(split), minlength=self.K)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part}={len(getattr(self, part).x)}" for part in SPLITS)
        return f"Dataset({self.name!r}, {sizes}, D={self.D}, K={self.K})"

    @classmethod
    def from_arrays(
        cls,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        name: str = "arrays",
        class_names: Sequence[object] | None = None,
        feature_names: Sequence[object] | None = None,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float32,
        sample_weight: npt.ArrayLike | None = None,
        validation: float = 0.15,
        test: Sequence[Any] | None = None,
    ) -> Self:
        """Split arrays of one's own 70/15/15, stratified by class, and standardise them.

        Parameters
        ----------
        x : array of shape (N, D)
            Raw samples, floating-point.
        t : array of shape (N,)
            Class numbers 0 … K−1, each of which occurs. For labels of any kind:
            ``class_names, t = np.unique(labels, return_inverse=True)``.
        name : str, default "arrays"
            What to call the data set.
        class_names, feature_names : sequences of str, optional
            K and D names; "0", "1", … and "x0", "x1", … by default.
        seed : int, default 0
            Determines the split. From 0 to 2³² − 1.
        dtype : dtype, default float32
            The dtype of the standardised samples.
        sample_weight : array of shape (N,), optional
            How much each sample counts in losses.
        validation : float, default 0.15
            The share of the samples for validation, above 0 and below 0.8.
        test : (x, t) or (x, t, sample_weight), optional
            A test part of its own; all of ``x`` is then for training and validation.

        Raises
        ------
        TypeError
            If ``x`` is not floating-point or ``t`` not of integers.
        ValueError
            If shapes or names do not match, an entry of ``x`` is not finite, a class number is missing, there is a
            single class, or a class has fewer than three samples (one for each part; two with a ``test`` of its own).
        """
        owner = f"data set {name!r}"
        validation = expect.number("Dataset validation", validation, above=0, below=0.8)
        x, t = expect.features(owner, x), np.asanyarray(t)  # a masked array is refused as one
        if t.ndim != 1:
            raise ValueError(f"{owner} expected one class number a sample, got t of shape {t.shape}")
        if class_names is None:
            class_names = range(len(set(t.tolist())))
        if feature_names is None:
            feature_names = [f"x{d}" for d in range(x.shape[1])]
        K, own = len(class_names), SPLITS[:2] if test else SPLITS
        labels = expect.targets(t, K, N=len(x)).argmax(axis=1)
        counts = np.bincount(labels, minlength=K)
        if counts.min() < len(own):
            fewest = f"{counts.min()} of class {str(class_names[int(counts.argmin())])!r:.60}"
            needed = f"at least {len(own)} of each class, one for each part ({', '.join(own)})"
            raise ValueError(f"{owner} has too few samples, {fewest}: expected {needed}; a quantity is no class")
        rows = dict(zip(own, stratified_split(labels, seed, validation, 0 if test else 0.15), strict=True))
        standardization = Standardization.of(x[rows["train"]])
        parts = {part: Part(standardization(x[chosen], dtype), labels[chosen]) for part, chosen in rows.items()}
        weights = dict[str, Array]()
        if sample_weight is not None:
            sample_weight = expect.weights(f"{owner}: sample_weight", sample_weight, len(x))
            weights = {part: sample_weight[chosen] for part, chosen in rows.items()}
        if test:
            x_test, t_test, w_test = (*test, None)[:3]
            x_test = expect.features(f"{owner}, its test part,", x_test, x.shape[1])
            parts["test"] = Part(standardization(x_test, dtype), np.asarray(t_test))
            if w_test is not None:
                weights["test"] = np.asarray(w_test)
        return cls(
            name, **parts, class_names=tuple(map(str, class_names)), feature_names=tuple(map(str, feature_names)),
            standardization=standardization, sample_weight=weights, rows=rows,
        )  # fmt: skip
