"""One reading of a sample for all requests, which is never older than the log."""

from __future__ import annotations

from edge.bloodlog import BloodLog, Sample
from edge.results.summary import SampleSummary
from edge.structures import CellRef
from edge.web.counted import Counted
from tests.edge.web.conftest import Clinic, append_field


def kept() -> Counted:
    return Counted(lambda _model: None, None, lambda _model: None)


def sample_of(log: BloodLog, number: int = 1) -> Sample:
    found = log.numbered_sample(number)
    assert found is not None
    return found


def now(counted: Counted, clinic: Clinic, number: int = 1) -> SampleSummary:
    """As a request sees it, which opens the log for itself."""
    with clinic.log as log:
        return counted.of(log, sample_of(log, number))


def test_an_unchanged_log_is_read_once(clinic: Clinic) -> None:
    counted = kept()
    assert now(counted, clinic) is now(counted, clinic)


def test_a_word_is_seen_at_once_and_leaves_the_cells_as_they_were_read(clinic: Clinic) -> None:
    counted, ref = kept(), CellRef(1, 3)
    before = now(counted, clinic)
    with BloodLog.open(clinic.setup.log_path) as log:
        log.add_reviews({ref: "blast"}, "Ani")
    after = now(counted, clinic)
    assert before.reading.word("Ani", ref) is None
    assert after.reading.word("Ani", ref) == "blast"
    assert after.reading.cells is before.reading.cells
    assert (after.reviewed, before.reviewed) != (None, None)


def test_fields_and_what_becomes_of_the_sample_are_seen_at_once(clinic: Clinic) -> None:
    counted = kept()
    first = now(counted, clinic)
    with BloodLog.open(clinic.setup.log_path) as log:
        append_field(log)
        alone = append_field(log, None)
    second = now(counted, clinic)
    assert second.program.fields == first.program.fields + 1
    with BloodLog.open(clinic.setup.log_path) as log:
        log.assign_fields("S-1", [alone])
    assert now(counted, clinic).program.fields == first.program.fields + 2
    with BloodLog.open(clinic.setup.log_path) as log:
        log.assign_fields(None, [alone])
        log.change_sample("S-1", "closed")
    last = now(counted, clinic)
    assert last.program.fields == first.program.fields + 1
    assert not last.sample.is_open


def test_another_sample_is_another_reading(clinic: Clinic) -> None:
    with BloodLog.open(clinic.setup.log_path) as log:
        log.change_sample("S-1", "closed")
        second = log.open_sample("S-2", "blood", 200)
        append_field(log, second.id)
    counted = kept()
    assert [now(counted, clinic, number).sample.name for number in (1, 2, 1)] == ["S-1", "S-2", "S-1"]
    assert {cell.ref.field_id for cell in now(counted, clinic, 2).reading.cells} == {3}


def test_a_reading_inside_another_sees_the_same_moment(clinic: Clinic) -> None:
    with clinic.log as log, log.at_one_moment():
        before = log.head()
        with log.at_one_moment():
            assert log.head() == before
        with BloodLog.open(clinic.setup.log_path) as other:
            other.add_reviews({CellRef(1, 3): "blast"}, "Ani")
        assert log.head() == before
    with clinic.log as log:
        assert log.head() != before
