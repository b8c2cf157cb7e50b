"""Where do samples come from, and how do they become a data set that can be trusted? Loading, splitting, scaling.

A named data set or a pair of arrays is split into stratified training, validation and test parts, and standardised
with the statistics of the training part alone, so that nothing of the other two leaks into training.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.network import check_features
from minnet.output import checked_weights, target_rows

Array = npt.NDArray[Any]


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

    def __call__(self, x: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Standardise samples of shape (N, D), computing in float64 and rounding once."""
        standardized: Array = ((x - self.mean) / self.scale).astype(dtype)
        return standardized


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
    weights : mapping of str to array, optional
        How much each sample of "train", "validation" or "test" counts in losses; all the same by default.
    rows : mapping of str to array, optional
        Where the samples of "train", "validation" and "test" came from: their rows in the data, from 0.

    Raises
    ------
    TypeError, ValueError
        If a part's samples are not finite floating-point arrays of shape (N, D), its targets are not what
        `minnet.output.target_rows` takes, or there are fewer than two classes.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    standardization: Standardization
    weights: Mapping[str, Array] = field(default_factory=dict)
    rows: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.K < 2:
            raise ValueError(f"data set {self.name!r} has a single class, {self.class_names}: expected at least two")
        for part_name in ("train", "validation", "test"):
            part: Part = getattr(self, part_name)
            try:
                x = check_features(part.x, self.D, f"data set {self.name!r}")
                rows = target_rows(part.t, self.K)
                if part_name in self.weights:
                    checked_weights(self.weights[part_name], len(x))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{error} (in the {part_name} part)") from None
            if len(x) != len(rows):
                raise ValueError(
                    f"data set {self.name!r} has {len(x)} samples but {len(rows)} targets in its {part_name} part"
                )

    @property
    def D(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def K(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part}={len(getattr(self, part).x)}" for part in ("train", "validation", "test"))
        return f"Dataset({self.name!r}, {sizes}, D={self.D}, K={self.K})"

    @classmethod
    def from_arrays(
        cls,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        name: str = "arrays",
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float32,
        weights: npt.ArrayLike | None = None,
        validation: float = 0.15,
        test: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
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
            Determines the split.
        dtype : dtype, default float32
            The dtype of the standardised samples.
        weights : array of shape (N,), optional
            How much each sample counts in losses.
        validation : float, default 0.15
            The share of the samples for validation, above 0 and below 0.8.
        test : pair of arrays, optional
            Samples and class numbers of a test part of their own; all of ``x`` is then for training and validation.

        Raises
        ------
        TypeError
            If ``x`` is not floating-point or ``t`` not of integers.
        ValueError
            If shapes or names do not match, an entry of ``x`` is not finite, a class number is missing, there is a
            single class, or a class has fewer than three samples (one for each part; two with a ``test`` of its own).
        """
        owner = f"data set {name!r}"
        if not 0 < validation < 0.8:
            raise ValueError(f"{owner} expected a share above 0 and below 0.8 for validation, got {validation!r}")
        if isinstance(t, np.ma.MaskedArray):
            raise TypeError(f"{owner} expected plain class numbers, got a masked array: leave out what is missing")
        if test is not None and len(test) != 2:
            raise ValueError(f"{owner} expected a pair (x, t) as test part, got {len(test)} of them")
        x, t = check_features(x, None, owner), np.asarray(t)
        if t.shape != (len(x),):
            raise ValueError(
                f"{owner} expected one class number a sample, got t of shape {t.shape} for {len(x)} samples"
            )
        K = len(set(t.tolist()) if class_names is None else class_names)
        labels = target_rows(t, K).argmax(axis=1)
        if feature_names is not None and len(feature_names) != x.shape[1]:
            raise ValueError(f"{owner} has {x.shape[1]} features but {len(feature_names)} feature names")
        class_names = tuple(map(str, range(K) if class_names is None else class_names))
        if feature_names is None:
            feature_names = [f"x{i}" for i in range(x.shape[1])]
        feature_names = tuple(map(str, feature_names))
        if K < 2:
            raise ValueError(f"{owner} has a single class, {class_names}: expected at least two")
        if len(set(class_names)) < K:
            raise ValueError(f"{owner} has several classes of one name: {', '.join(class_names)}")
        counts = np.bincount(labels, minlength=K)
        parts = ["train", "validation", *([] if test else ["test"])]
        if counts.min() < len(parts):
            few = f"{counts.min()} sample{'s' if counts.min() != 1 else ''}"
            raise ValueError(
                f"{owner} has {few} of class {class_names[counts.argmin()]!r}: expected at least {len(parts)} of "
                f"each class, one for each part ({', '.join(parts)})"
            )
        rows = dict(zip(parts, stratified_split(labels, seed, validation, 0 if test else 0.15), strict=True))
        train = rows["train"]

        from sklearn.preprocessing import StandardScaler

        largest = np.abs(x[train]).max(axis=0).astype(np.float64)
        # The square of a number beyond these bounds would overflow or vanish.
        extreme = (largest > 1e100) | ((largest < 1e-100) & (largest > 0))
        unit = np.where(extreme, largest, 1)
        scaler = StandardScaler().fit(x[train].astype(np.float64, copy=False) / unit)
        standardization = Standardization(scaler.mean_ * unit, scaler.scale_ * unit)

        split = {part: Part(standardization(x[chosen], dtype), labels[chosen]) for part, chosen in rows.items()}
        if test:
            x_test = check_features(test[0], x.shape[1], f"{owner}, its test part,")
            split["test"] = Part(standardization(x_test, dtype), target_rows(test[1], K).argmax(axis=1))
        sample_weights = (
            {} if weights is None else {part: checked_weights(weights, len(x))[rows[part]] for part in parts}
        )
        return cls(
            name, split["train"], split["validation"], split["test"], class_names, feature_names, standardization,
            sample_weights, rows,
        )  # fmt: skip


def stratified_split(labels: Array, seed: int, validation: float, test: float) -> list[Array]:
    """Split row numbers into training, validation and, unless its share is 0, test, each with classes in proportion."""
    from sklearn.model_selection import train_test_split

    rest, K, parts = np.arange(len(labels)), int(labels.max()) + 1, list[Array]()
    for share, needed in ((test, 2), (validation, 1)):
        if share:
            held_out = max(round(share * len(labels)), K)  # at least one sample of each class
            if len(rest) - held_out < K:
                raise ValueError(f"{len(labels)} samples are too few to keep a share of {share:g} of them aside")
            rest, part = train_test_split(rest, test_size=held_out, stratify=labels[rest], random_state=seed)
            rest, part = share_rare_classes(rest, part, labels, needed)
            parts.append(part)
    return [rest, *reversed(parts)]


def share_rare_classes(rest: Array, part: Array, labels: Array, needed: int) -> tuple[Array, Array]:
    """Move samples so that a part has one of each class, and the rest as many as the other parts need."""
    for k in range(int(labels.max()) + 1):
        if not (labels[part] == k).any():
            moved = np.flatnonzero(labels[rest] == k)[:1]
            rest, part = np.delete(rest, moved), np.append(part, rest[moved])
        lacking = needed - int((labels[rest] == k).sum())
        if lacking > 0:
            moved = np.flatnonzero(labels[part] == k)[:lacking]
            rest, part = np.append(rest, part[moved]), np.delete(part, moved)
    return rest, part


class RawData(NamedTuple):
    """A data set as its source gives it: not split, not standardised."""

    x: Array
    t: Array
    class_names: Sequence[str]
    feature_names: Sequence[str]


def load_iris() -> RawData:
    """Fisher's iris flowers, by the sizes of their petals and sepals (scikit-learn)."""
    return from_sklearn("load_iris")


def load_wine() -> RawData:
    """Italian wines of three growers, by chemical analysis (scikit-learn)."""
    return from_sklearn("load_wine")


def load_breast_cancer() -> RawData:
    """Benign and malignant tumours, by measurements of cell nuclei (scikit-learn)."""
    return from_sklearn("load_breast_cancer")


def load_digits() -> RawData:
    """Handwritten digits, 8×8 pixels (scikit-learn)."""
    return from_sklearn("load_digits")


def load_moons() -> RawData:
    """Two interleaved half circles with noise (generated by scikit-learn)."""
    return from_generator("make_moons", noise=0.2)


def load_circles() -> RawData:
    """A circle around another, with noise (generated by scikit-learn)."""
    return from_generator("make_circles", noise=0.12, factor=0.5)


def load_blobs() -> RawData:
    """Four round clouds of points that touch (generated by scikit-learn)."""
    return from_generator("make_blobs", centers=[(-3, -3), (-3, 3), (3, -3), (3, 3)], cluster_std=1.3)


def load_spiral() -> RawData:
    """Three interleaved arms of a spiral (data/spiral.csv, made by scripts/make_spiral.py)."""
    import importlib.resources

    file = importlib.resources.files("minnet_data") / "spiral.csv"
    with file.open(encoding="utf-8") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    return RawData(table[:, :2], table[:, 2].astype(int), ["arm 0", "arm 1", "arm 2"], ["x", "y"])


def from_sklearn(loader: str) -> RawData:
    """Load one of the data sets that are installed with scikit-learn."""
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, loader)()
    return RawData(bunch.data, bunch.target, [str(name) for name in bunch.target_names], list(bunch.feature_names))


def from_generator(generator: str, **settings: object) -> RawData:
    """Let scikit-learn generate 1,000 points in the plane, the same ones each time."""
    import sklearn.datasets

    x, t = getattr(sklearn.datasets, generator)(n_samples=1000, random_state=0, **settings)
    return RawData(x, t, [str(k) for k in range(t.max() + 1)], ["x", "y"])


DATASETS: dict[str, Callable[[], RawData]] = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
    "moons": load_moons,
    "circles": load_circles,
    "blobs": load_blobs,
    "spiral": load_spiral,
}


def load_openml(name: str) -> RawData:
    """Fetch a data set from OpenML by name or number, once: it is kept in ``data/openml/`` of the current folder.

    Raises
    ------
    OSError
        If it is not in the cache and OpenML cannot be reached.
    ValueError
        If OpenML has no such data set, its target is not a class, or a feature is not numeric.
    """
    import importlib.util

    from sklearn.datasets import fetch_openml

    had_folder = Path("data").exists()
    which = {"data_id": int(name)} if name.isdecimal() else {"name": name}
    parser = "pandas" if importlib.util.find_spec("pandas") else "liac-arff"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each retry warns; what matters is said once, below
        try:
            bunch = fetch_openml(**which, data_home="data", as_frame=False, parser=parser, n_retries=1)
        except OSError as error:
            for folder in sorted(Path("data").rglob("*"), reverse=True):  # deepest first: what the attempt left empty
                if folder.is_dir() and "openml" in folder.parts:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
            if not had_folder:
                with contextlib.suppress(OSError):
                    Path("data").rmdir()
            raise OSError(
                f"openml:{name} is not in data/openml/ and could not be fetched ({error}): "
                "connect to the network once, or choose one of: " + ", ".join(DATASETS)
            ) from None
    if bunch.target is None or bunch.target.dtype.kind in "fiu":
        raise ValueError(f"openml:{name} has no classes for its target: expected a data set for classification")
    try:
        x = bunch.data.astype(np.float64)
    except (TypeError, ValueError, AttributeError):
        raise ValueError(f"openml:{name} has features that are not numbers, which minnet cannot train on") from None
    class_names, t = np.unique(bunch.target, return_inverse=True)
    return RawData(x, t, [str(label) for label in class_names], list(bunch.feature_names))


def check_name(name: str) -> str:
    """Return the name of a data set if there may be one of that name, else raise ValueError with the nearest first."""
    if name in DATASETS or re.fullmatch(r"openml:[\w.()+-]+", name):
        return name
    raise ValueError(
        f"unknown data set {name!r}; known are: {', '.join(nearest(name, DATASETS))}, openml:<name or number>"
    )


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Sort known names so that those most like a name come first."""
    import difflib

    return sorted(known, key=lambda other: difflib.SequenceMatcher(None, name.lower(), other).ratio(), reverse=True)


def load_raw(name: str) -> RawData:
    """Load a data set by name, neither split nor standardised; names as `load_dataset` takes them."""
    if check_name(name) in DATASETS:
        return DATASETS[name]()
    return load_openml(name.removeprefix("openml:"))


def load_dataset(name: str, seed: int = 0, dtype: npt.DTypeLike = np.float32, validation: float = 0.15) -> Dataset:
    """Load a data set by name, split it 70/15/15 and standardise it.

    Parameters
    ----------
    name : str
        iris, wine, breast_cancer, digits, moons, circles, blobs, spiral, or ``openml:<name or number>``, such as
        ``openml:mnist_784``.
    seed : int, default 0
        Determines the split, not the data. From 0 to 2³² − 1.
    dtype : dtype, default float32
        The dtype of the samples.
    validation : float, default 0.15
        The share of the samples for validation.

    Raises
    ------
    ValueError
        If there is no data set of that name; the message lists the known ones, nearest first.
    OSError
        If it has to be fetched and cannot be.
    """
    raw = load_raw(name)
    return Dataset.from_arrays(
        raw.x, raw.t, name=name, class_names=raw.class_names, feature_names=raw.feature_names, seed=seed, dtype=dtype,
        validation=validation,
    )  # fmt: skip
