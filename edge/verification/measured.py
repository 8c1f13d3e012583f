"""What a verification measured: the words on its cells put together to a site card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bloodlog import BloodLog, LoggedField, ReviewLabel
from edge.bloodlog.reviews import class_of
from edge.bloodlog.verifications import DrawnCell, Verification, held_words
from edge.calibration.site import Agreed, Rate, SiteBinding, SiteCard, SiteCode
from edge.errors import LogError
from edge.results.agreement import agreement
from edge.structures import CellRef, ClassifiedCell
from edge.verification.agreement import bland_altman, passing_bablok
from edge.verification.estimate import ReadCells, rate

#: Fewest drawn cells of a sample of which its share is compared.
_LEAST_OF_SAMPLE = 8


@dataclass(frozen=True)
class Words:
    """The drawn cells of a verification, what the program said of them and what readers did.

    Attributes
    ----------
    verification : which
    drawn : its cells, in the order of reading
    fields : that they are of, by number
    samples : name of the sample of each field
    held : word that holds by drawn cell, by reader in the order of first words
    """

    verification: Verification
    drawn: tuple[DrawnCell, ...]
    fields: Mapping[int, LoggedField]
    samples: Mapping[int, str]
    held: Mapping[str, Mapping[int, ReviewLabel]]

    @classmethod
    def of(cls, log: BloodLog, verification: Verification) -> Words:
        """Read them from the log.

        Raises
        ------
        LogError
            A field is not there.
        """
        with log.at_one_moment():
            drawn = log.drawn_cells(verification.id)
            held = held_words(log.verified_words(verification.id))
            fields: dict[int, LoggedField] = {}
            samples: dict[int, str] = {}
            for number in dict.fromkeys(one.cell.field_id for one in drawn):
                logged = log.field(number)
                sample = None if logged is None else log.numbered_sample(logged.sample_id or 0)
                if logged is None or sample is None:
                    raise LogError(f"{log.path}: field {number}, which cells were drawn of, is not there")
                fields[number], samples[number] = logged, sample.name
        return cls(verification, drawn, fields, samples, held)

    @cached_property
    def found(self) -> dict[CellRef, ClassifiedCell]:
        """What the program found and said, by cell."""
        return {
            CellRef(number, one.cell.id): one
            for number, logged in self.fields.items()
            for one in logged.result.cells
        }

    @cached_property
    def said(self) -> dict[int, list[ReviewLabel]]:
        """What readers said of each drawn cell that somebody has read."""
        said: dict[int, list[ReviewLabel]] = {}
        for words in self.held.values():
            for drawn_id, word in words.items():
                said.setdefault(drawn_id, []).append(word)
        return said

    def unread(self, drawn: Iterable[DrawnCell]) -> int:
        """Count the cells that nobody has read."""
        return sum(one.id not in self.said for one in drawn)

    def unread_twice(self, drawn: Iterable[DrawnCell]) -> int:
        """Count the cells that a second reader has still to read."""
        return sum(one.twice and len(self.said.get(one.id, ())) < 2 for one in drawn)

    def program(self, cell: CellRef) -> str:
        """Give the program's word on a drawn cell."""
        return self.found[cell].word

    @cached_property
    def read(self) -> tuple[DrawnCell, ...]:
        """Drawn cells that somebody has read."""
        return tuple(one for one in self.drawn if one.id in self.said)

    def member(self, is_of: Any) -> NDArray[np.float64]:  # noqa: ANN401  # a function of a word
        """Give the share of each read cell's readers whose word is of a kind."""
        return np.array([np.mean([bool(is_of(word)) for word in self.said[one.id]]) for one in self.read])


def site_card(words: Words, at: datetime) -> SiteCard:
    """Sum a verification up.

    A cell that readers call differently is in part what each of them says. What is no blast is an ``other``
    cell, smudges and what is no cell among them: the share that is corrected is of all counted cells.

    Parameters
    ----------
    words : of a verification
    at : aware UTC time of the closing

    Raises
    ------
    LogError
        No cell, no blast or no other cell was read.
    """
    plan = json.loads(words.verification.plan)
    read = words.read
    called = np.array([words.program(one.cell) == "blast" for one in read], np.bool_)
    names, sample = np.unique([words.samples[one.cell.field_id] for one in read], return_inverse=True)
    _, stratum = np.unique([one.stratum for one in read], return_inverse=True)
    cells = ReadCells(sample, stratum, _weights(read, plan["strata"]), called)
    blast = words.member(lambda word: word == "blast")
    sensitivity = rate(cells, blast, called) if read else None
    specificity = rate(cells, 1.0 - blast, ~called) if read else None
    in_list = np.array([words.program(one.cell) != "normal" for one in read], np.bool_)
    listed = rate(cells, blast, in_list) if read else None
    if sensitivity is None or specificity is None or listed is None:
        raise LogError(
            f"verification {words.verification.id}: {len(read)} cells were read, expected blasts and other "
            "cells among them; read on, or draw from samples that have both"
        )
    shares = _shares(cells, blast, names.tolist())
    pairs = [own["program"] for own in shares], [own["readers"] for own in shares]
    details = {
        "plan": plan,
        "unread": words.unread(words.drawn),
        "words": dict(Counter(word for said in words.said.values() for word in said)),
        "samples": shares,
        "bland_altman": bland_altman(pairs[1], pairs[0]),
        "passing_bablok": passing_bablok(pairs[1], pairs[0]),
        "errors": _errors(words),
    }
    program, between = _kappas(words)
    return SiteCard(
        schema="blastcount.site/1",
        verification=words.verification.id,
        measured_at=at,
        cells=len(read),
        samples=len(names),
        readers=[reader for reader, own in words.held.items() if own],
        binding=msgspec.convert(plan["binding"], SiteBinding),
        code=msgspec.convert(plan["code"], SiteCode),
        sensitivity=sensitivity,
        specificity=specificity,
        listed=listed,
        types=_by_type(words, cells),
        program=program,
        between=between,
        details=details,
    )


def _weights(read: Sequence[DrawnCell], strata: Mapping[str, Any]) -> NDArray[np.float64]:
    """Say what each read cell stands for: all cells of its stratum over those of it that were read."""
    number = Counter(one.stratum for one in read)
    return np.array([strata[one.stratum]["of"] / number[one.stratum] for one in read], np.float64)


def _by_type(words: Words, cells: ReadCells) -> dict[str, Rate]:
    """Give the share that was not called blast, of every word but blast that somebody has said."""
    said = sorted({word for words_ in words.said.values() for word in words_} - {"blast"})
    found = {
        word: rate(cells, words.member(lambda one, word=word: one == word), ~cells.called) for word in said
    }
    return {word: one for word, one in found.items() if one is not None}


def _shares(cells: ReadCells, blast: NDArray[np.float64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Give each sample's share of blasts by the program and by readers, on the same drawn cells."""
    shares = []
    for number, name in enumerate(names):
        own = cells.sample == number
        weight = cells.weight[own]
        if own.sum() >= _LEAST_OF_SAMPLE:
            shares.append(
                {
                    "sample": name,
                    "cells": int(own.sum()),
                    "program": float((weight * cells.called[own]).sum() / weight.sum()),
                    "readers": float((weight * blast[own]).sum() / weight.sum()),
                }
            )
    return shares


def _kappas(words: Words) -> tuple[Agreed, Agreed | None]:
    """Compare program and first reader, and the first two readers of a cell, on the cells read twice.

    Without such cells the program is compared with the first reader of each cell.
    """
    pairs, readers = [], []
    for one in words.read:
        own = words.said[one.id]
        pairs.append((_side(words.program(one.cell)), _side(class_of(own[0])), len(own) > 1))
        if len(own) > 1:
            readers.append((_side(class_of(own[0])), _side(class_of(own[1]))))
    both = [pair[:2] for pair in pairs if pair[2] or not readers]
    return _agreed(both), _agreed(readers) if readers else None


def _side(word: str) -> str:
    return word if word == "blast" else "other"


def _agreed(pairs: Sequence[tuple[str, str]]) -> Agreed:
    found = agreement(pairs)
    return Agreed(found.kappa, found.low, found.high, found.agreed, found.n)


def _errors(words: Words) -> list[dict[str, Any]]:
    """List the cells that the program and a reader call differently, those that stand for most first."""
    wrong = [
        one
        for one in words.read
        if any((word == "blast") != (words.program(one.cell) == "blast") for word in words.said[one.id])
    ]
    wrong.sort(key=lambda one: -one.weight)
    return [
        {
            "field": one.cell.field_id,
            "cell": one.cell.cell_id,
            "program": words.program(one.cell),
            "p_blast": words.found[one.cell].p_blast,
            "readers": list(words.said[one.id]),
            "weight": one.weight,
        }
        for one in wrong
    ]
