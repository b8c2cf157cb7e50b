"""Which mistake is it? Names for what a wrong gradient looks like beside the right one.

Each classic mistake leaves a fingerprint: a formula that turns the right gradient into the wrong one. A mistake is
named only if its formula gives the analytic gradient in *every* shape that was tried, so that a factor N, which changes
with the batch, is never taken for a factor 2, which does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EXPLAINED = 1e-6  # a formula explains a gradient if it misses it by at most this share of its largest entry


class Mistake(NamedTuple):
    """What a name stands for: what usually causes it, and the equation of docs/derivation.md to read."""

    meaning: str
    equation: str


MISTAKES = {
    # The gradient, times something
    "sign-flipped": Mistake("the sign is wrong, as in t − y instead of y − t; the loss climbs", "9"),
    "factor-two": Mistake("a stray factor 2, as from a square's derivative", "9"),
    "factor-half": Mistake("a stray factor ½", "9"),
    "mean-forgotten": Mistake("the loss is a mean over the batch, but its 1/N is missing in backward", "10"),
    "mean-twice": Mistake("divided by N here too; the 1/N belongs into the output layer, and nowhere else", "10"),
    "times-width": Mistake("multiplied by the number of columns: a sum over classes or units too many", "10"),
    "wrong-divisor": Mistake(
        "divided by the number of columns too, as by a mean over all entries: the mean is over N", "10"
    ),
    "mean-over-all-forgotten": Mistake(
        "the loss is a mean over all entries, but backward does not divide by N·K", "10"
    ),
    "mean-over-all-twice": Mistake("divided by N·K, the number of all entries: once more than the loss", "10"),
    "nominal-batch-size": Mistake("divided by a fixed batch size instead of the number of samples in this batch", "10"),
    "constant-factor": Mistake("multiplied by a constant that has no business there", "10"),
    "no-gradient": Mistake("the gradient is never written, or is overwritten by zeros", "12a"),
    # The gradient, arranged or summed the wrong way
    "bias-all-axes": Mistake("the bias's gradient is summed over all axes, not just over the samples", "12b"),
    "bias-wrong-axis": Mistake("the bias's gradient is summed over the units, not over the samples", "12b"),
    "transposed": Mistake("the array is transposed", "12a"),
    "rows-shuffled": Mistake(
        "each row holds the gradient of another row: samples and gradients were shuffled apart", "10"
    ),
    # An activation's derivative
    "derivative-missing": Mistake(
        "the activation's own derivative is missing: the gradient is passed on as it came", "13a"
    ),
    "derivative-doubled": Mistake("the activation's derivative is multiplied twice", "13a"),
    # Softmax and cross-entropy
    "diagonal-jacobian": Mistake(
        "only the diagonal y(1 − y) of the softmax Jacobian is used; see also equation 6", "7"
    ),
    "extra-derivative": Mistake("y − t is multiplied by y(1 − y) once more; the derivative is already in it", "8"),
    "other-loss": Mistake(
        "backward is y − t, but forward computes another loss than the cross-entropy of softmax", "2"
    ),
    "log-epsilon": Mistake(
        "the loss takes log(y + ε) or clips y: where it is most wrong, y − t is not its gradient", "11c"
    ),
    "epsilon-too-small": Mistake("the ε inside the logarithm is rounded to 0 in float32", "11c"),
    "log-of-zero": Mistake("the logarithm of a probability that was rounded to 0; compute log y by log-sum-exp", "11b"),
    "no-maximum": Mistake("the row's maximum is not subtracted before exp, which overflows", "11a"),
    "batch-maximum": Mistake(
        "the maximum of the whole batch is subtracted, not the row's: a row underflows to 0/0", "11a"
    ),
    "softmax-axis": Mistake("softmax runs over the wrong axis, or over the whole batch", "1"),
    "softmax-twice": Mistake("softmax is applied twice: the output layer takes logits, not probabilities", "1"),
    # State and the caller's arrays
    "gradients-accumulated": Mistake(
        "gradients are added to those of earlier calls: write dW[...] = …, not dW += …", "12a"
    ),
    "stale-values": Mistake("backward uses something that an earlier call left behind", "12a"),
    "caller-array-changed": Mistake("an array that belongs to the caller is changed in place", "13a"),
    "update-before-dx": Mistake(
        "backward changes the parameters: an update does not belong there, nor before dx", "12c"
    ),
    "view-replaced": Mistake(
        "a new array is bound to the name, so that theta or dtheta never sees it: write dW[...] = …", "12a"
    ),
    # Not to be compared at all
    "wrong-shape": Mistake("a gradient has the shape of what it is the gradient of", "12a"),
    "wrong-dtype": Mistake("float64 went in, something else came out", "15"),
    "rounding": Mistake("right but for rounding: float32 somewhere inside, or a tiny constant added", "15"),
    "random": Mistake("forward gives another output for the same input; seed it, or nothing can be checked", "15"),
    "not-a-mean": Mistake(
        "the loss is a sum over the batch, but should be the mean, with its 1/N in forward too", "10"
    ),
    "not-finite": Mistake("the result is NaN or infinite for harmless input", "11a"),
    "raises": Mistake("it raises an error for harmless input", "12a"),
    "protocol": Mistake(
        "it lacks a member that a network needs; the protocol is in minnet/layers.py and output.py", "12a"
    ),
    "no-stack": Mistake(
        "right alone, wrong in a stack: use axis=-1, axis=-2, .mT, and parameters of shape (1, D)",
        "12a",
    ),
    "outside-the-layers": Mistake("the layers are right; the mistake is in what is done with them", "10"),
    "unknown": Mistake("none of the known mistakes fits; compare these entries with the equations", "12a"),
}


class Finding(NamedTuple):
    """A mistake found: its name in `MISTAKES`, and what was seen."""

    name: str
    saw: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """An analytic gradient beside the numeric one, in one shape.

    Attributes
    ----------
    quantity : str
        "dx", "dW", "db", … or, for an output layer, "dz".
    analytic, numeric : arrays of the same shape (..., rows, columns)
        What backward says, and what the loss says.
    tolerance : float
        Up to which error they count as equal.
    N, width : int
        The number of samples in the batch, and the columns of the layer's output.
    doutput, W : arrays or None
        For a layer: what was given to backward, and its weight.
    y, t : arrays or None
        For an output layer: the true probabilities, and the targets.
    in_stack : bool
        Whether the arrays have a leading axis, for a stack of networks.
    floor : float
        What errors are at least relative to: a gradient that is 0 but for rounding has no size of its own.
    """

    quantity: str
    analytic: Array
    numeric: Array
    tolerance: float
    N: int
    width: int
    doutput: Array | None = None
    W: Array | None = None
    y: Array | None = None
    t: Array | None = None
    in_stack: bool = False
    floor: float = 0.0
    errors: Array = field(init=False)

    def __post_init__(self) -> None:
        scale = max(float(np.abs(self.numeric).max()), self.floor)
        with np.errstate(invalid="ignore"):
            errors = np.abs(self.analytic - self.numeric) / (scale if scale > 0 else 1.0)
        object.__setattr__(self, "errors", np.where(np.isnan(errors), np.inf, errors))

    @property
    def where(self) -> tuple[int, ...]:
        """The index of the largest error."""
        return tuple(int(i) for i in np.unravel_index(self.errors.argmax(), self.errors.shape))

    @property
    def error(self) -> float:
        """The largest error, relative to the largest numeric gradient."""
        return float(self.errors.max())

    @property
    def wrong(self) -> bool:
        """Whether that is too large."""
        return self.error > self.tolerance


def all_axes(c: Comparison) -> Array | None:
    """Predict the bias gradient that is summed over all axes."""
    if c.quantity != "db":
        return None
    return np.broadcast_to(c.numeric.sum(axis=(-2, -1), keepdims=True), c.numeric.shape)


def wrong_axis(c: Comparison) -> Array | None:
    """Predict the bias gradient that is summed over the units."""
    if c.quantity != "db" or c.doutput is None or c.width != c.N:
        return None  # with other shapes it does not fit, and raises
    db: Array = c.doutput.sum(axis=-1, keepdims=True).mT
    return db


def transposed(c: Comparison) -> Array | None:
    """Predict the transposed gradient, or dx with W instead of Wᵀ, where they have the same shape."""
    if c.quantity == "dx":
        return c.doutput @ c.W if c.doutput is not None and c.W is not None and c.W.shape[-1] == c.W.shape[-2] else None
    rows, columns = c.numeric.shape[-2:]
    return c.numeric.mT if rows == columns > 1 else None


def elementwise(c: Comparison) -> bool:
    """Tell whether the layer may be an activation."""
    return c.quantity == "dx" and c.doutput is not None and c.doutput.shape == c.numeric.shape


def doubled(c: Comparison) -> Array | None:
    """Predict the gradient with the activation's derivative f' = dx/da twice."""
    if not elementwise(c) or c.doutput is None or not c.doutput.all():
        return None
    predicted: Array = c.numeric * (c.numeric / c.doutput)
    return predicted


def diagonal(c: Comparison) -> Array | None:
    """Predict dz from the Jacobian's diagonal alone: −(t/y) y (1 − y) / N."""
    return None if c.y is None or c.t is None else -c.t * (1 - c.y) / c.N


def extra(c: Comparison) -> Array | None:
    """Predict (y − t) y (1 − y) / N."""
    return None if c.y is None or c.t is None else (c.y - c.t) * c.y * (1 - c.y) / c.N


def y_minus_t(c: Comparison) -> Array | None:
    """Predict (y − t)/N, whatever the loss."""
    return None if c.y is None or c.t is None else (c.y - c.t) / c.N


# What the wrong gradient would be; None where the mistake makes no sense. The first formula that fits counts.
FORMULAS: dict[str, Callable[[Comparison], Array | None]] = {
    "no-gradient": lambda c: np.zeros_like(c.numeric),
    "sign-flipped": lambda c: -c.numeric,
    "factor-two": lambda c: 2 * c.numeric,
    "factor-half": lambda c: c.numeric / 2,
    "mean-forgotten": lambda c: c.N * c.numeric,
    "mean-twice": lambda c: c.numeric / c.N,
    "times-width": lambda c: c.width * c.numeric,
    "wrong-divisor": lambda c: c.numeric / c.width,
    "mean-over-all-forgotten": lambda c: c.N * c.width * c.numeric,
    "mean-over-all-twice": lambda c: c.numeric / (c.N * c.width),
    "bias-all-axes": all_axes,
    "bias-wrong-axis": wrong_axis,
    "derivative-missing": lambda c: c.doutput if elementwise(c) else None,
    "derivative-doubled": doubled,
    "diagonal-jacobian": diagonal,
    "extra-derivative": extra,
    "other-loss": y_minus_t,
    "transposed": transposed,
}

ONLY_SQUARE = ("transposed", "bias-wrong-axis")  # mistakes that fit, or do not raise, only where sizes are the same

SEEN = {
    "no-gradient": "it is 0 everywhere",
    "sign-flipped": "analytic / numeric is −1 everywhere",
    "factor-two": "analytic / numeric is 2 everywhere",
    "factor-half": "analytic / numeric is ½ everywhere",
    "mean-forgotten": "analytic / numeric is N everywhere, for each N tried",
    "mean-twice": "analytic / numeric is 1/N everywhere, for each N tried",
    "times-width": "analytic / numeric is the number of columns everywhere, for each number tried",
    "wrong-divisor": "analytic / numeric is 1/K everywhere, K the number of columns, for each K tried",
    "mean-over-all-forgotten": "analytic / numeric is N·K everywhere, for each N and K tried",
    "mean-over-all-twice": "analytic / numeric is 1/(N·K) everywhere, for each N and K tried",
    "bias-all-axes": "all entries are the same: the sum of what all of them should be",
    "bias-wrong-axis": "where N equals the number of units, it is the sum over the other axis",
    "derivative-missing": "dx is what backward was given, unchanged",
    "derivative-doubled": "analytic / numeric is the activation's derivative itself",
    "diagonal-jacobian": "rows do not sum to 0; each entry is −t (1 − y)/N",
    "extra-derivative": "rows do not sum to 0; each entry is (y − t) y (1 − y)/N",
    "other-loss": "analytic is (y − t)/N, but the slope of the loss is something else",
    "transposed": "where the arrays are square, it is what transposing one of them would give",
}


def explains(predicted: Array, analytic: Array) -> bool:
    """Tell whether a prediction is the analytic gradient."""
    largest = max(np.abs(predicted).max(), np.abs(analytic).max())
    return bool(np.abs(predicted - analytic).max() <= EXPLAINED * largest)


def diagnose(comparisons: Sequence[Comparison]) -> list[Finding]:
    """Name the mistakes in one quantity, from its comparisons in several shapes.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Of the same quantity of the same layer.

    Returns
    -------
    list of Finding
        Empty if nothing is wrong; two where the sign is flipped on top of another mistake; "unknown" if no mistake
        explains all shapes.
    """
    wrong = [c for c in comparisons if c.wrong]
    if not wrong:
        return []
    quantity = wrong[0].quantity
    if all(explains(c.numeric, c.analytic) for c in comparisons):
        largest = max(c.error for c in wrong)
        return [Finding("rounding", f"{quantity}: the error is only {largest:.1e}, but exact code has about 1e-16")]
    for sign in (1, -1):
        flipped = [Finding("sign-flipped", f"{quantity}: its sign is the opposite of what it should be")] * (sign < 0)
        for name, formula in FORMULAS.items():
            if fits(name, formula, sign, comparisons):
                return [*flipped, Finding(name, f"{quantity}: {SEEN[name]}{', but for the sign' * (sign < 0)}")]
    ratios = [ratio for c in comparisons if (ratio := constant_ratio(c)) is not None]
    if len(ratios) == len(comparisons):
        by_n = [ratio / c.N for ratio, c in zip(ratios, comparisons, strict=True)]
        if len({c.N for c in comparisons}) > 1 and 0 < by_n[0] <= 0.5 and np.ptp(by_n) <= EXPLAINED * by_n[0]:
            saw = f"analytic / numeric is N/{1 / by_n[0]:.4g}, for each N tried"
            return [Finding("nominal-batch-size", f"{quantity}: {saw}")]
        if np.ptp(ratios) <= EXPLAINED * abs(ratios[0]):
            return [Finding("constant-factor", f"{quantity}: analytic / numeric is {ratios[0]:.6g} everywhere")]
    if all(rows_are_shuffled(c) for c in wrong):
        return [Finding("rows-shuffled", f"{quantity}: the rows are all there, but in another order")]
    shown = max(wrong, key=lambda c: (c.N > 1, c.error))  # one sample alone shows less of a pattern
    return [Finding("unknown", f"{quantity}: {worst_entries(shown)}")]


def fits(
    name: str, formula: Callable[[Comparison], Array | None], sign: int, comparisons: Sequence[Comparison]
) -> bool:
    """Tell whether a formula, with a sign, gives the analytic gradient in every shape in which it makes sense."""
    tried = False
    for c in comparisons:
        predicted = formula(c)
        if predicted is None:
            if c.wrong and name not in ONLY_SQUARE:
                return False
        elif not explains(sign * predicted, c.analytic):
            return False
        else:
            tried |= c.wrong
    return tried


def constant_ratio(c: Comparison) -> float | None:
    """Return analytic / numeric if it is the same everywhere."""
    ratio = float((c.analytic * c.numeric).sum() / max((c.numeric**2).sum(), 1e-300))
    return ratio if explains(ratio * c.numeric, c.analytic) else None


def rows_are_shuffled(c: Comparison) -> bool:
    """Tell whether the analytic rows are the numeric ones in another order."""
    analytic, numeric = (a.reshape(-1, a.shape[-1]) for a in (c.analytic, c.numeric))
    distances = np.abs(analytic[:, np.newaxis] - numeric).max(axis=-1)
    matches = distances <= EXPLAINED * np.abs(numeric).max()
    return len(numeric) > 1 and bool((matches.any(axis=0) & matches.any(axis=1)).all())


def worst_entries(c: Comparison, how_many: int = 4) -> str:
    """Show the entries that differ most, analytic beside numeric."""
    worst = np.argsort(c.errors, axis=None)[::-1][:how_many]
    indices = [tuple(int(i) for i in np.unravel_index(k, c.errors.shape)) for k in worst]
    return "; ".join(f"{i} analytic {c.analytic[i]:.6g}, numeric {c.numeric[i]:.6g}" for i in indices)
