"""The gate of the conversion: every limit in one place, and a verdict that shows them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

from convert.flatbuffer.accumulators import Accumulator
from convert.gate.device import DeviceRun
from convert.gate.parity import RuntimeParity
from convert.recipes import Recipe
from edge.classification.card import TensorSpec
from edge.counting.tally import clopper_pearson
from edge.errors import GateError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a converted file may differ from Keras by, on held-out crops.

    p is the calibrated probability of a blast that the device would report.

    Attributes
    ----------
    crops : fewest crops that can be judged on. With 50 and no flip the 95 % interval of the agreement still
        reaches down to 93 %
    advised_crops : what a shipped model should be judged on; with fewer the verdict leaves it open
    either_side : fewest of them that Keras puts on either side of the threshold, or agreement would be free
    agreement : smallest share of crops whose class at the card's threshold is Keras's
    mean_delta_p, p99_delta_p, max_delta_p : of |p(file) - p(Keras)|. A step of the int8 output is 0.004. Two
        trainings of the seed network gave maxima of 0.067 (of 1399 cells) and 0.080 (of 78) with the plain
        converter, 0.011 and 0.044 (both of 1399) with the refined recipe
    loss_points : most that sensitivity and specificity may each lose, in percentage points, on the same cells
    field_points : most that the share of blasts may change in a field, 95th percentile, in percentage points
    """

    crops: int = 50
    advised_crops: int = 1000
    either_side: int = 5
    agreement: float = 0.995
    mean_delta_p: float = 0.005
    p99_delta_p: float = 0.03
    max_delta_p: float = 0.05
    loss_points: float = 0.5
    field_points: float = 1.0


LIMITS = Limits()
#: Operations that ask for a shape at run time, see :func:`convert.graph.static.static_graph`.
SHAPE_OPS = ("SHAPE", "STRIDED_SLICE", "PACK")
#: What makes a crop's quantisation the flip of one bit.
PLAIN_SCALE, PLAIN_ZERO_POINT = 1.0, -128


@dataclass(frozen=True, slots=True)
class Finding:
    """One question to the gate and its answer.

    Attributes
    ----------
    name : what was looked at, with the runtime where it depends on it
    found, limit : as shown to a reader
    passed : whether found is within limit; None where what is here does not answer it
    of_crops : whether the held-out crops have to answer it; such a question left open is no pass
    """

    name: str
    found: str
    limit: str
    passed: bool | None
    of_crops: bool = False

    @property
    def word(self) -> str:
        """The answer as a reader sees it."""
        return {True: "ok", False: "REFUSED", None: "open"}[self.passed]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of the gate.

    Attributes
    ----------
    findings : in the order in which they were asked
    allow_open : questions that the held-out crops leave open do not refuse
    """

    findings: tuple[Finding, ...]
    allow_open: bool = False

    @property
    def passed(self) -> bool:
        """Whether a finding passed, none is out of its limit, and none is left open that must not be."""
        answers = [finding.passed for finding in self.findings]
        return True in answers and False not in answers and not self.left_open

    @property
    def left_open(self) -> tuple[str, ...]:
        """Questions that the held-out crops do not answer and that nobody allowed to be left open."""
        if self.allow_open:
            return ()
        return tuple(f.name for f in self.findings if f.of_crops and f.passed is None)

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        left = sum(finding.passed is None for finding in self.findings)
        return ("passed" if self.passed else "REFUSED") + (f", {left} questions open" if left else "")

    def refuse(self) -> None:
        """Stop where the gate says no.

        Raises
        ------
        GateError
            A finding is out of its limit, the crops leave one open, or nothing was looked at.
        """
        if self.passed:
            return
        failed = [f"{f.name} {f.found} (limit {f.limit})" for f in self.findings if f.passed is False]
        advice = "give more or better calibration crops, or another recipe"
        if not failed and self.left_open:
            failed = [f"the parity crops leave open: {', '.join(self.left_open)}"]
            advice = "give whole cells with labels, fields and groups, or --allow-open"
        raise GateError(
            "the converted model is refused, nothing was written: "
            f"{'; '.join(failed) or 'nothing was judged'}; {advice}"
        )

    def table(self) -> str:
        """Lay the findings out for a person, one a line."""
        rows = [
            ("", "found", "limit", ""),
            *((f.name, f.found, f.limit, f.word) for f in self.findings),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
            for row in rows
        ]
        return "\n".join([*lines, f"verdict: {self.headline}"])

    def to_json(self) -> list[dict[str, Any]]:
        """Give the findings as they stand in the card."""
        return [
            {"name": f.name, "found": f.found, "limit": f.limit, "passed": f.passed} for f in self.findings
        ]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the gate judges by.

    Attributes
    ----------
    recipe : how the file was made, which promises types of input and output
    runs : the file in every interpreter that opened it
    unopened : why an installed interpreter did not, by its name
    absent : interpreters that are not installed here
    parities : outputs against Keras's, one for each of ``runs``
    accumulators : bounds of the file's integer sums
    groups : number of groups of fields that the crops are of and that calibration never saw; None where
        either side does not say
    whole : whether the crops are known to be of whole cells
    """

    recipe: Recipe
    runs: Sequence[DeviceRun]
    parities: Sequence[RuntimeParity]
    accumulators: Sequence[Accumulator]
    unopened: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    groups: int | None = None
    whole: bool = False


def judge(evidence: Evidence, limits: Limits = LIMITS, *, allow_open: bool = False) -> Verdict:
    """Judge an exported file.

    Parameters
    ----------
    evidence : from :func:`convert.gate.examine.examine`
    limits : what is allowed
    allow_open : questions that the held-out crops leave open do not refuse

    Returns
    -------
    Verdict
    """
    runs = evidence.runs
    findings = [
        Finding("interpreters that open it", str(len(runs)), ">= 1", len(runs) >= 1),
        *(
            Finding(f"{name}: opens it", shorten(why, 90, placeholder="…"), "yes", False)
            for name, why in evidence.unopened.items()
        ),
        *(Finding(f"{name}: opens it", "not installed", "yes", None) for name in evidence.absent),
    ]
    if runs:
        findings += [*_structure(runs[0], evidence), *_crops(evidence)]
    for parity in evidence.parities:
        findings += [*_agreement(parity, limits), *_losses(parity, limits)]
    findings += [
        Finding(
            f"{run.runtime}: outputs that differ in a batch",
            str(run.batch_differences),
            "0",
            run.batch_differences == 0,
        )
        for run in runs
    ]
    return Verdict(tuple(findings), allow_open)


def _structure(run: DeviceRun, evidence: Evidence) -> list[Finding]:
    dynamic = [op for op in run.ops if op in SHAPE_OPS]
    found = [
        Finding("operations that ask for a shape", ", ".join(dynamic) or "none", "none", not dynamic),
        _accumulators(evidence),
    ]
    if evidence.recipe.input_dtype == "int8":
        plain = (run.input.dtype, run.input.scale, run.input.zero_point) == (
            "int8",
            PLAIN_SCALE,
            PLAIN_ZERO_POINT,
        )
        found.append(Finding("input", _short(run.input), "int8 scale 1 zero point -128", plain))
    else:
        same = run.input.dtype == evidence.recipe.input_dtype
        found.append(Finding("input", run.input.dtype, evidence.recipe.input_dtype, same))
    same = run.output.dtype == evidence.recipe.output_dtype
    return [*found, Finding("output", run.output.dtype, evidence.recipe.output_dtype, same)]


def _crops(evidence: Evidence) -> list[Finding]:
    groups = evidence.groups
    return [
        Finding(
            "groups of fields that calibration never saw",
            "not known" if groups is None else str(groups),
            ">= 1",
            None if groups is None else groups >= 1,
            of_crops=True,
        ),
        Finding(
            "parity crops of whole cells",
            "all" if evidence.whole else "not known",
            "all",
            True if evidence.whole else None,
            of_crops=True,
        ),
    ]


def _accumulators(evidence: Evidence) -> Finding:
    name = "largest integer sum, proved"
    if not evidence.accumulators:
        whole = evidence.recipe.input_dtype == "int8"
        return Finding(name, "no integer layer", "of its accumulator <= 100 %", False if whole else None)
    worst = max(evidence.accumulators, key=lambda one: one.bound / one.limit)
    share = 100 * worst.bound / worst.limit
    return Finding(
        name, f"{share:.2g} % ({worst.layer})", "of its accumulator <= 100 %", worst.bound <= worst.limit
    )


def _short(spec: TensorSpec) -> str:
    return f"{spec.dtype} scale {spec.scale:g} zero point {spec.zero_point}"


def _agreement(parity: RuntimeParity, limits: Limits) -> list[Finding]:
    at = parity.runtime
    fewest = min(parity.keras_blasts, parity.n - parity.keras_blasts)
    low, high = clopper_pearson(parity.n - parity.flipped, parity.n)
    advised = []
    if parity.n < limits.advised_crops:
        advised = [
            Finding(f"{at}: crops advised", str(parity.n), f">= {limits.advised_crops}", None, of_crops=True)
        ]
    return [
        Finding(f"{at}: held-out crops", str(parity.n), f">= {limits.crops}", parity.n >= limits.crops),
        *advised,
        Finding(
            f"{at}: of the rarer class (Keras)",
            str(fewest),
            f">= {limits.either_side}",
            fewest >= limits.either_side,
        ),
        Finding(
            f"{at}: agreement with Keras",
            f"{100 * parity.agreement:.2f} % ({100 * low:.1f} to {100 * high:.1f})",
            f">= {100 * limits.agreement:.1f} %",
            parity.agreement >= limits.agreement,
        ),
        *(
            Finding(f"{at}: {name} |Δp|", f"{value:.4f}", f"<= {limit:.3f}", value <= limit)
            for name, value, limit in (
                ("mean", parity.mean_delta_p, limits.mean_delta_p),
                ("p99", parity.p99_delta_p, limits.p99_delta_p),
                ("max", parity.max_delta_p, limits.max_delta_p),
            )
        ),
    ]


def _losses(parity: RuntimeParity, limits: Limits) -> list[Finding]:
    at, limit = parity.runtime, f"<= {limits.loss_points:g} points"
    found = []
    for name, loss in (("sensitivity", parity.sensitivity), ("specificity", parity.specificity)):
        if loss is None:
            found.append(Finding(f"{at}: {name} lost (McNemar p)", "no labels", limit, None, of_crops=True))
            continue
        shown = f"{loss.points:.2f} ({loss.low:.1f} to {loss.high:.1f}, n {loss.n}, p {loss.mcnemar_p:.3g})"
        found.append(
            Finding(f"{at}: {name} lost (McNemar p)", shown, limit, loss.points <= limits.loss_points)
        )
    name, limit = f"{at}: p95 change of blast % a field", f"<= {limits.field_points:g} point"
    if parity.p95_field_points is None:
        return [*found, Finding(name, "no fields known", limit, None, of_crops=True)]
    shown = f"{parity.p95_field_points:.2f} ({parity.fields} fields)"
    return [*found, Finding(name, shown, limit, parity.p95_field_points <= limits.field_points)]
