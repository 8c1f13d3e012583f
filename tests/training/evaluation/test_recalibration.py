"""What k labelled cells give a site: whole groups come back, and the prior is that of the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import DataSetError
from edge.verification.fitting import Labelled, expit
from edge.verification.prior import PRIOR
from training.evaluation import recalibration as curves
from training.evaluation.cli import evaluate_group
from training.evaluation.recalibration import Site


def site(name: str, offset: float, *, blasts: int = 150, others: int = 150, seed: int = 0) -> Site:
    """Cells whose log odds are too low by an offset, ten a group."""
    rng = np.random.default_rng(seed)
    is_blast = rng.permutation(np.arange(blasts + others) < blasts)
    p = expit(rng.normal(np.where(is_blast, 2.0, -2.0), 2.0) - offset)
    groups = [f"{name}-{i // 10}" for i in range(blasts + others)]
    return Site(name, name.partition(":")[2], 0.5, 0.4, 0.6, p.tolist(), is_blast.tolist(), groups)


SITES = [
    site("lab:a", 2.5, seed=1),
    site("lab:b", -2.0, seed=2),
    site("lab:c", -3.0, blasts=0, others=300, seed=3),
]


def test_the_curve_falls_where_a_site_is_off_and_its_prior_is_of_the_others() -> None:
    found = curves.document(SITES, 6)
    one, _, mature = found["sites"]
    by_k = {row["k"]: row for row in one["curve"]}
    assert list(by_k) == [0, 20, 50, 100, 200]  # 500 cells are not there
    assert by_k[0]["used"] == by_k[0]["factory"]
    assert by_k[20]["refused"] == 1.0  # too few cells: the model's own threshold holds
    assert by_k[20]["used"] == by_k[20]["factory"]
    assert by_k[200]["used"] < 0.6 * by_k[200]["factory"]
    assert by_k[200]["tried"] == 100
    assert mature["curve"][-1]["used_called"] < 0.1 < mature["curve"][-1]["factory_called"]
    assert mature["curve"][-1]["factory_sensitivity"] is None
    assert one["prior"] != found["prior"]
    assert [said["site"] for said in found["laboratories"]] == ["lab:a", "lab:b"]
    assert found["laboratories"][0]["offset"] == pytest.approx(2.5, abs=0.5)
    # A site like its factory tells that laboratories hardly differ; two that are far off tell the contrary.
    near, _ = curves.learned_prior([site("lab:d", 0.0, seed=4), site("lab:e", 0.0, seed=5)])
    assert near.sd_offset < 1.0 < found["prior"]["sd_offset"]


def test_groups_that_come_back_are_not_tried() -> None:
    cells = SITES[0].cells()
    for seed in range(5):
        given, tried = curves._deal(cells, 45, np.random.default_rng(seed))
        assert given is not None
        assert len(set(given.tolist())) == 45
        assert not set(cells.sample[given].tolist()) & set(cells.sample[tried].tolist())
    large = Labelled.of(cells.p_blast, cells.is_blast, ["one"] * 200 + ["two"] * 100)
    given, _ = curves._deal(large, 20, np.random.default_rng(0))
    assert given is not None
    assert sorted(np.unique(large.sample[given], return_counts=True)[1].tolist()) == [10, 10]
    assert curves._deal(large, 21, np.random.default_rng(0))[0] is None


def test_the_command_takes_up_what_networks_said(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    curves.write_sites(file, "coloured", SITES)
    options = ["recalibration", "--cells", str(file), "--draws", "2", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(evaluate_group, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| lab a" in result.output
    assert "at 200 the share's error is" in result.output
    written = json.loads((tmp_path / "out" / "recalibration.json").read_text())
    assert written["schema"] == "blastcount.recalibration-curve/1"
    file.write_text("{}")
    with pytest.raises(DataSetError, match="not what `evaluate recalibration` keeps"):
        curves.read_sites(file)
    assert CliRunner().invoke(evaluate_group, ["recalibration"]).exit_code == 2


def test_the_committed_prior_is_the_learned_one(repository: Path) -> None:
    recorded = json.loads((repository / "docs" / "recalibration.json").read_text())
    assert recorded["prior"] == curves._prior_json(PRIOR)
    assert len(recorded["laboratories"]) >= 3
