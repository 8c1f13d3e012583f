"""The gate of the conversion: every limit in one place, and a verdict that shows them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convert.parity import RuntimeParity
from edge.errors import GateError
from edge.interpreter import Network
from edge.modelcard import TensorSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """What a converted file may differ from Keras by, on held-out crops.

    p is the calibrated probability of a blast that the device would report.

    Attributes
    ----------
    crops : fewest crops that can be judged on. With 50 and no flip the 95 % interval of the agreement still
        reaches down to 93 %; 1000 and more are what a shipped model should be judged on
    either_side : fewest of them that Keras puts on either side of the threshold, or agreement would be free
    agreement : smallest share of crops whose class at the card's threshold is Keras's
    mean_delta_p, p99_delta_p, max_delta_p : of |p(file) - p(Keras)|. A step of the int8 output is 0.004. Two
        trainings of the seed network gave maxima of 0.067 (of 1399 cells) and 0.080 (of 78) with the plain
        converter, 0.011 and 0.044 (both of 1399) with the refined recipe
    """

    crops: int = 50
    either_side: int = 5
    agreement: float = 0.995
    mean_delta_p: float = 0.005
    p99_delta_p: float = 0.03
    max_delta_p: float = 0.05


LIMITS = Limits()
#: Operations that ask for a shape at run time, see :func:`convert.graph.static_graph`.
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
    passed : whether found is within limit
    """

    name: str
    found: str
    limit: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of the gate.

    Attributes
    ----------
    findings : in the order in which they were asked
    """

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there are findings and all of them passed."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    def refuse(self) -> None:
        """Stop where the gate says no.

        Raises
        ------
        GateError
            A finding is out of its limit, or nothing was looked at.
        """
        if not self.passed:
            failed = "; ".join(f"{f.name} {f.found} (limit {f.limit})" for f in self.findings if not f.passed)
            raise GateError(
                f"the converted model is refused, nothing was written: {failed or 'nothing was judged'}; "
                "give more or better calibration crops, or another recipe"
            )

    def table(self) -> str:
        """Lay the findings out for a person, one a line."""
        rows = [
            ("", "found", "limit", ""),
            *((f.name, f.found, f.limit, "ok" if f.passed else "REFUSED") for f in self.findings),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
            for row in rows
        ]
        return "\n".join([*lines, f"verdict: {'passed' if self.passed else 'REFUSED'}"])

    def to_json(self) -> list[dict[str, Any]]:
        """Give the findings as they stand in the card."""
        return [asdict(finding) for finding in self.findings]


def judge(
    networks: Sequence[Network],
    parities: Sequence[RuntimeParity],
    batch_differences: Mapping[str, int],
    limits: Limits = LIMITS,
) -> Verdict:
    """Judge an exported file.

    Parameters
    ----------
    networks : the file, opened in every installed interpreter
    parities : its outputs against Keras's, one for each of ``networks``
    batch_differences : by runtime, outputs that change when crops are run in a batch
    limits : what is allowed

    Returns
    -------
    Verdict
    """
    findings = [Finding("interpreters", str(len(networks)), ">= 1", len(networks) >= 1)]
    if networks:
        findings += _structure(networks[0])
    for parity in parities:
        findings += _agreement(parity, limits)
    findings += [
        Finding(f"{runtime}: outputs that differ in a batch", str(count), "0", count == 0)
        for runtime, count in batch_differences.items()
    ]
    return Verdict(tuple(findings))


def _structure(network: Network) -> list[Finding]:
    dynamic = [op for op in network.ops() if op in SHAPE_OPS]
    return [
        Finding("operations that ask for a shape", ", ".join(dynamic) or "none", "none", not dynamic),
        Finding("input", _short(network.input), "int8 scale 1 zero point -128", _is_plain(network.input)),
        Finding("output", network.output.dtype, "int8", network.output.dtype == "int8"),
    ]


def _is_plain(spec: TensorSpec) -> bool:
    return (spec.dtype, spec.scale, spec.zero_point) == ("int8", PLAIN_SCALE, PLAIN_ZERO_POINT)


def _short(spec: TensorSpec) -> str:
    return f"{spec.dtype} scale {spec.scale:g} zero point {spec.zero_point}"


def _agreement(parity: RuntimeParity, limits: Limits) -> list[Finding]:
    at = parity.runtime
    fewest = min(parity.keras_blasts, parity.n - parity.keras_blasts)
    return [
        Finding(f"{at}: held-out crops", str(parity.n), f">= {limits.crops}", parity.n >= limits.crops),
        Finding(
            f"{at}: of the rarer class (Keras)",
            str(fewest),
            f">= {limits.either_side}",
            fewest >= limits.either_side,
        ),
        Finding(
            f"{at}: agreement with Keras",
            f"{100 * parity.agreement:.2f} %",
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
