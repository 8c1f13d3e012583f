"""What people say of a log's samples: words on cells, settlements and signatures."""

from __future__ import annotations

from collections.abc import Mapping

from edge.bloodlog import samples
from edge.bloodlog.belonging import content_sha256
from edge.bloodlog.connection import LogPart
from edge.bloodlog.reviews import Review, ReviewLabel, insert_review, last_word, select_reviews, undo_last
from edge.bloodlog.settlements import Settlement, insert_settlements, select_settlements
from edge.bloodlog.signatures import Meaning, Signature, insert_signature, select_signatures
from edge.bloodlog.users import Role
from edge.structures import CellRef


class PeoplesRows(LogPart):
    """The part of a log that people write."""

    def add_reviews(
        self, words: Mapping[CellRef, ReviewLabel], observer: str, *, role: Role | None = None
    ) -> int:
        """Write down an observer's words on cells in one transaction: all of them or none.

        A word that holds already adds nothing, so that the same wish may come twice. The role is that of an
        observer who has signed in.

        Returns
        -------
        how many were added

        Raises
        ------
        LogError
            There is no such cell, or a word or the observer's name cannot be.
        """
        with self.writing("the reviews were not logged") as connection:
            new = {
                cell: word for cell, word in words.items() if last_word(connection, cell, observer) != word
            }
            for cell, label in new.items():
                insert_review(connection, cell, label, observer, role=role)
        return len(new)

    def undo_review(
        self, observer: str, sample_id: int, expected: int | None = None, *, role: Role | None = None
    ) -> Review | None:
        """Take back an observer's last word in a sample, by a new row; again goes further back.

        Parameters
        ----------
        observer, sample_id : whose, and where
        expected : id of the word that is meant; where another one is the last by now, nothing is undone

        Returns
        -------
        the new row, with what holds now; None where nothing is left to be undone
        """
        with self.writing("the review was not undone") as connection:
            return undo_last(connection, observer, sample_id, expected, role)

    def reviews(self, sample_id: int) -> tuple[Review, ...]:
        """List every word on the cells of a sample, oldest first; the last on a cell by an observer holds."""
        with self.reading() as connection:
            return tuple(select_reviews(connection, sample_id))

    def settle(self, words: Mapping[CellRef, ReviewLabel | None], who: str) -> None:
        """Write down what a supervisor says of cells on which readers differ; None takes it back.

        Raises
        ------
        LogError
            There is no such cell, or a word or the name cannot be.
        """
        with self.writing("nothing was settled") as connection:
            insert_settlements(connection, words, who)

    def settlements(self, sample_id: int) -> tuple[Settlement, ...]:
        """List everything that was settled in a sample, oldest first; the last one of a cell holds."""
        with self.reading() as connection:
            return tuple(select_settlements(connection, sample_id))

    def sign(
        self,
        name: str,
        meaning: Meaning,
        who: str,
        role: Role,
        *,
        seen_sha256: str,
        nonce: str,
        clock_trusted: bool | None = None,
    ) -> Signature:
        """Sign what a closed sample holds; see :func:`edge.bloodlog.signatures.insert_signature`.

        Raises
        ------
        LogBehindError
            The sample has changed since ``seen_sha256`` was that of its content.
        LogError
            There is no such sample, it is open, or the form has signed already.
        """
        with self.writing(f"sample {name} was not signed") as connection:
            sample = samples.get_sample(connection, name)
            return insert_signature(
                connection,
                sample,
                meaning,
                who,
                role,
                seen_sha256=seen_sha256,
                nonce=nonce,
                clock_trusted=clock_trusted,
            )

    def signatures(self, sample_id: int) -> tuple[Signature, ...]:
        """List the signatures of a sample, oldest first."""
        with self.reading() as connection:
            return tuple(select_signatures(connection, sample_id))

    def content_sha256(self, sample_id: int) -> str:
        """Hash all that was counted and said in a sample: what a signature is of."""
        with self.reading() as connection:
            return content_sha256(connection, sample_id)
