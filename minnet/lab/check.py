"""Is this backward pass right, and if not, what is wrong with it? Layers, output layers and whole networks on trial."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minnet.gradient_check import ROUNDING, numeric_gradient
from minnet.lab.extremes import check_extremes
from minnet.lab.mistakes import MISTAKES, Comparison, Finding, diagnose
from minnet.lab.trial import CASES, Trial, construct, is_output
from minnet.layers import Array
from minnet.network import Network
from minnet.support.fit import described, slots
from minnet.support.text import table


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    subject : str
        What was checked.
    rows : list of Comparison
        For each quantity, the shape with the largest error.
    findings : list of Finding
        The mistakes; none if everything is right.
    notes : list of str
        What the reader should know about how it was checked.
    """

    subject: str
    rows: list[Comparison] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.findings

    def _rows(self) -> list[str]:
        """Format the rows as lines of a table."""
        lines = [("quantity", "shape", "largest error", "where", "")] if self.rows else []
        for row in self.rows:
            shape = "×".join(map(str, row.analytic.shape))
            verdict = (str(row.worst[0]), "WRONG") if row.wrong else ("", "ok")
            lines.append((row.quantity, shape, f"{row.error:.1e}", *verdict))
        return [f"  {line}" for line in table(lines)]

    def anonymous(self) -> str:
        """Format the numbers alone, without names, for a quiz."""
        if not self.rows:
            return "the check of gradients finds nothing: every layer is right"
        worst = (f"the worst of {row.quantity}: {row.worst_entries()}" for row in self.rows if row.wrong)
        return "\n".join(["what the check measures:", *self._rows(), *worst])

    def __str__(self) -> str:
        lines = [self.subject, *self._rows(), *(f"note: {note}" for note in self.notes)]
        if self.right:
            lines.append("right: every gradient agrees with the slope of the loss")
        for name, saw in self.findings:
            mistake = MISTAKES[name]
            lines += [f"WRONG: {name}", f"  seen:  {saw}", f"  means: {mistake.meaning}"]
            if mistake.equation:
                lines.append(f"  read:  docs/derivation.md, equation ({mistake.equation})")
        return "\n".join(lines)


def conclude(trials: Sequence[Trial]) -> tuple[list[Comparison], list[Finding]]:
    """Return the worst comparison of each quantity, and the mistakes; try anew only if that can tell more."""
    *singles, _ = trials  # the last is of a stack
    worst, values = list[Comparison](), list[Finding]()
    for quantity in dict.fromkeys(c.quantity for trial in trials for c in trial.comparisons):
        alone, everywhere = (
            [c for trial in some for c in trial.comparisons if c.quantity == quantity] for some in (singles, trials)
        )
        worst.append(max(everywhere, key=lambda c: c.error))
        # One network says more clearly what is wrong than a stack.
        named = diagnose(alone) or diagnose(everywhere)
        values += [Finding(name, f"{quantity}: {saw}") for name, saw in named]
    if values and not any(c.wrong for trial in trials for c in replace(trial, fresh=True).run().comparisons):
        values = [Finding("stale-values", "gradients are right for the first batch, wrong for the next")]
    found = [finding for trial in trials for finding in trial.findings]
    # A mistake that has a name explains why something is raised in other shapes.
    explained = any(name != "unknown" for name, _ in values) and all(name == "raises" for name, _ in found)
    findings = values if explained or not found else found
    single_wrong = any(trial.findings or any(c.wrong for c in trial.comparisons) for trial in singles)
    if findings and not single_wrong:
        findings = [Finding("no-stack", f"only in a stack: {findings[0].saw}")]
    if worst and not any(np.any(c.numeric) for trial in trials for c in trial.comparisons):
        findings.insert(0, Finding("unknown", "checked nothing: every numeric gradient is 0"))
    return worst, list({finding.name: finding for finding in reversed(findings)}.values())  # the first of each name


def check_class(cls: type[Any]) -> Report:
    """Check a layer or output layer of one's own, alone.

    Parameters
    ----------
    cls : class
        Written to the protocol of `minnet.layers.Layer`, with a constructor that takes nothing, (D) or (D, H); or to
        that of `minnet.output.OutputLayer`, with a constructor that takes nothing.

    Returns
    -------
    Report
        Errors relative to the largest gradient of the quantity; right if at most 1e-10 (1e-6 by central differences).
    """
    missing = [member for member in ("forward", "backward") if not callable(getattr(cls, member, None))]
    if missing:
        return Report(cls.__name__, findings=[Finding("protocol", f"it has no {', '.join(missing)}")])
    output = is_output(cls)
    report = Report(f"{cls.__name__}, {'output layer' if output else 'layer'}, tried in {len(CASES)} shapes")
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # overflows and the like are looked for
        trials = [Trial(cls, case, output).run() for case in CASES]
        report.rows, report.findings = conclude(trials)
        report.notes = list(dict.fromkeys(trial.note for trial in trials if trial.note))
        if output and {finding.name for finding in report.findings} <= {"other-loss", "unknown"}:
            # A loss that is not what it should be explains a gradient that does not fit it; a name already found stays.
            report.findings = check_extremes(construct(cls, CASES[0])) or report.findings
    return report


def check_network(network: Network, x: Array, t: Array) -> Report:
    """Check every parameter of a network, and if one is wrong, each kind of layer alone.

    Parameters
    ----------
    network : Network
        Or a stack of them. It is not changed; the check runs in double precision, and with parameters moved by about
        0.001, so that no unit stands exactly on its kink, where there is no gradient.
    x : array of shape (N, D)
        Samples; a few are enough.
    t : array of shape (N,) or (N, K)
        Targets.

    Returns
    -------
    Report
        A row for each parameter, its errors relative to its own largest gradient, and one for the whole network. A
        difference of `ROUNDING` times the network's largest gradient is none: that much is lost on the way.
    """
    double = network.at(network.theta + np.random.default_rng(0).normal(0, 1e-3, network.theta.shape))
    numeric = numeric_gradient(double, x, t)
    double.forward(x, t)
    double.backward()
    report = Report(f"Network({double.D} → {double.K}), theta of shape {double.theta.shape}, {len(x)} samples, float64")
    largest = np.abs(numeric).max()
    rounding = ROUNDING * max(largest, 1 / len(x))  # 1/N: the size of y and t, divided by N
    for slot in slots(double.layers):
        what = f"layer {slot.place}, {described(slot.layer)}: d{slot.name}"
        analytic = getattr(slot.layer, "d" + slot.name)
        true = numeric[..., slot.entries].reshape(analytic.shape)
        report.rows.append(Comparison(what, analytic, true, {}, rounding=rounding))
    report.rows.append(Comparison("the whole network", double.dtheta, numeric, {}, rounding=rounding))
    tiny = [c.quantity for c in report.rows if c.error > 0 and np.abs(c.numeric).max() <= rounding]
    if tiny:
        report.notes.append(f"0 to rounding, and so not compared any closer: {'; '.join(tiny)}")
    if not largest > 1e-14:
        report.findings.append(Finding("unknown", "checked nothing: every gradient is 0 to rounding, or NaN"))
    if any(c.wrong for c in report.rows):
        for kind in dict.fromkeys(map(type, (network.output, *reversed(network.layers)))):
            alone = check_class(kind)
            report.findings += [Finding(name, f"{kind.__name__} alone: {saw}") for name, saw in alone.findings]
        if not report.findings:
            worst = max(report.rows, key=lambda c: c.error)
            saw = f"each layer is right alone, but not together; {worst.quantity}: {worst.worst_entries()}"
            report.findings.append(Finding("unknown", saw))
    return report
