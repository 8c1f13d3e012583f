"""``import blastcount``: what its page shows runs, and a picture gives what it gives on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blastcount
from edge.bloodlog import BloodLog
from edge.rendered import RenderedField
from tests.edge.commands.invoking import blastcount as command
from tests.edge.results.conftest import fill

pytestmark = pytest.mark.usefixtures("no_system_config")


def test_what_the_page_shows_runs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edge").symlink_to(repository / "edge")
    monkeypatch.chdir(tmp_path)
    with BloodLog.open(tmp_path / "blastcount.sqlite") as log:
        fill(log, log.open_sample("S-0142", "blood", 200).id, fields=2)
    page = (repository / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    exec(compile("\n".join(blocks), "docs/api.md", "exec"), {})  # what people will copy
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("edge/samples/rendered_0003.jpg counted")
    assert said[-1] == "S-0142 blood 6 14"
    with Image.open(tmp_path / "annotated.png") as picture:
        assert picture.height > 1000


def test_a_picture_gives_what_it_gives_on_the_command_line(
    tiny_model: Path, small_field: RenderedField, tmp_path: Path
) -> None:
    file = tmp_path / "field.png"
    Image.fromarray(small_field.image).save(file)
    printed = json.loads(command("count", "--json", "--model", tiny_model, file).stdout)
    counter = blastcount.Counter(model=tiny_model)
    (of_file,) = counter.count_files([file])
    of_array = counter.count(small_field.image)
    for field in (of_file, of_array):
        assert [c.cell.bbox for c in field.result.cells] == [tuple(c["bbox"]) for c in printed["cells"]]
        assert [c.label for c in field.result.cells] == [c["class"] for c in printed["cells"]]
    assert of_file.result.frame_sha256 == of_array.result.frame_sha256
    given = small_field.image.copy()
    field = counter.count(given)
    given[:] = 0  # a caller who fills one buffer again
    assert np.array_equal(field.figure(), of_array.figure())
    for one_path in (str(file), file):
        with pytest.raises(blastcount.EdgeError, match="expected several paths, got the path"):
            counter.count_files(one_path)  # type: ignore[arg-type]
    cells, nuclei = of_array.labels
    assert set(np.unique(cells)) == {0, *(c["id"] for c in printed["cells"])}
    assert not nuclei[cells == 0].any()
    assert len(of_array.geojson()["features"]) == len(printed["cells"])

    dark = counter.count(np.zeros_like(small_field.image))
    assert (dark.result.status, dark.result.reasons, dark.labels[0].any()) == (
        "rejected",
        ("underexposed",),
        False,
    )


@pytest.mark.parametrize("wrong", [[[1]], "field.png", np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3))])
def test_what_is_no_picture(tiny_model: Path, wrong: object) -> None:
    with pytest.raises(blastcount.EdgeError, match=r"expected an \(H, W, 3\) uint8 RGB"):
        blastcount.Counter(model=tiny_model).count(wrong)  # type: ignore[arg-type]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(blastcount.EdgeError, match=r"none\.db"):
        list(blastcount.read_log(tmp_path / "none.db"))
    with pytest.raises(blastcount.EdgeError, match=r"none\.db"):
        blastcount.read_samples(tmp_path / "none.db")


def test_what_it_gives_is_there_and_typed() -> None:
    assert all(hasattr(blastcount, name) for name in blastcount.__all__)
    assert Path(blastcount.__file__).with_name("py.typed").exists()
