"""Where do softmax and cross-entropy go wrong? An output layer in huge logits, in certainty, over the wrong axis."""

import math
from typing import Any

import numpy as np

from minnet.lab.mistakes import Finding
from minnet.output import SoftmaxCrossEntropy

# Where the loss of class 0 is not finite, or in the last row wrong, with this mistake; the first that fits counts.
EXTREMES = (
    ("no-maximum", [(1000, 999, 998)], "float64"),
    ("batch-maximum", [(1000, 999, 998), (-1000, -1001, -1002)], "float64"),
    ("log-of-zero", [(0, 0, 1000)], "float64"),
    ("epsilon-too-small", [(0, 0, 200)], "float32"),
    ("log-epsilon", [(0, 0, 1000)], "float64"),
)


def loss_of(output: Any, z: Any, k: int = 0, dtype: str = "float64") -> float:
    """Compute the loss of logits, each sample of class k; NaN if that raises."""
    rows = np.array(z, dtype)
    try:
        return float(output.forward(rows, np.eye(rows.shape[-1], dtype=dtype)[[k] * len(rows)]))
    except Exception:  # a learner's code may raise anything
        return math.nan


def check_extremes(output: Any) -> list[Finding]:
    """Try an output layer where softmax and cross-entropy go wrong, and name what is wrong first, if anything is."""
    z = np.random.default_rng(0).normal(size=(4, 3))
    if hasattr(output, "probabilities"):
        y = np.asarray(output.probabilities(z))
        sums = y.sum(axis=-1)
        # Softmax over another axis, or over all entries, and not another kind of output such as sigmoid's.
        elsewhere = np.allclose(y.sum(axis=-2), 1) or np.allclose(y.sum(), 1)
        if elsewhere and not np.allclose(sums, 1):
            return [Finding("softmax-axis", f"the probabilities of four samples sum to {np.round(sums, 3).tolist()}")]
    certain = math.log(1 + 2 * math.exp(-1))
    if math.isclose(loss_of(output, [(50, 0, 0)]), certain, abs_tol=1e-3):
        saw = f"a sample classified with full certainty still costs {certain:.3f}, not 0 (K = 3)"
        return [Finding("softmax-twice", saw)]
    exact = SoftmaxCrossEntropy()
    said, true = ([loss_of(each, z, k) for k in range(3)] for each in (output, exact))
    if not np.allclose(said, true, rtol=1e-4):
        return []  # it is another loss, to which the rest does not apply
    for name, rows, dtype in EXTREMES:
        cost = loss_of(output, rows, dtype=dtype)
        right = loss_of(exact, rows)
        if not math.isfinite(cost) or (name == "log-epsilon" and not math.isclose(cost, right, rel_tol=1e-4)):
            return [Finding(name, f"at the logits {rows} in {dtype} the loss is {cost:.4g}; exact is {right:.4g}")]
    return []
