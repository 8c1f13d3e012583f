"""One run of ``blastcount archive``: what there is, what is to be done, what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge.archive import run, work
from edge.archive.plan import Batch, each_once, plan
from edge.archive.store import StoredFile, list_files, name_of
from edge.archive.tables import NO_FIELD, Results
from edge.bloodlog.rows import as_text
from edge.camera.folders import left_out_line
from edge.commands.printing import Notices
from edge.commands.progress import Progress
from edge.config import Config
from edge.device.printable import printable
from edge.errors import EdgeError

#: Files that are named where they could not be counted; all are in the table.
_MOST_NAMED = 20


class Job:
    """Counts an archive into a folder of tables, or what is left of it.

    Parameters
    ----------
    config : in force
    out : the folder
    progress : through which lines are printed
    quiet : say only what is wrong

    Raises
    ------
    EdgeError
        Nothing can be counted with this configuration.
    """

    def __init__(self, config: Config, out: Path, progress: Progress, *, quiet: bool = False) -> None:
        self._config = config
        self._provenance = work.line(config).provenance
        self._results = Results(out, self._provenance)
        self._progress = progress
        self._notices = Notices(progress)
        self._quiet = quiet
        self._batches: dict[str, Batch] = {}
        self._finished: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._folders: Counter[str] = Counter()

    def find(self, paths: Sequence[str], *, recursive: bool = True) -> None:
        """List what there is, share it out, and see what is done already.

        Raises
        ------
        EdgeError
            A path stands for nothing.
        """
        files: dict[StoredFile, str] = {}
        for path in paths:
            listed, found = list_files(path, recursive=recursive)
            files |= dict.fromkeys(listed, path)
            self._left_out += found.left_out
            self._folders += found.folders
            for error in found.errors:
                self._notices.failure(error)
        once = each_once(files)
        # No batch is of two paths, so that each can be archived without the others, too.
        batches = [batch for path in paths for batch in plan(file for file in once if files[file] == path)]
        self._batches = {batch.key(self._provenance.sha256): batch for batch in batches}
        folders = {file.folder for batch in batches for file in batch.files}
        tops = [as_text(name_of(path)) for path in paths]

        def is_listed(folder: str) -> bool:
            return any(folder == top or (recursive and folder.startswith(f"{top}/")) for top in tops)

        if aside := self._results.set_aside(self._batches, folders, is_listed):
            self._say(f"warning: {aside} batches had files that are others now; moved to superseded")
        there = self._results.keys() & self._batches.keys()
        self._finished = there - self._results.unfinished(there)

    def count(self, scheduler: str | None, workers: int) -> None:
        """Count what is not done; what is done is kept at once.

        Parameters
        ----------
        scheduler, workers : as for :func:`edge.archive.run.connected`

        Raises
        ------
        EdgeError
            It cannot go on; the same command does, later.
        """
        to_do = {key: batch for key, batch in self._batches.items() if key not in self._finished}
        if not to_do:
            return
        steps = sum(len(batch.files) for batch in self._batches.values())
        with run.connected(scheduler, workers) as client, self._kept(), self._progress.over(steps):
            if not self._quiet:
                self._say(f"the workers can be watched at {run.page_of(client)}")
            self._progress.step(steps - sum(len(batch.files) for batch in to_do.values()))
            for key, counted in run.count_batches(client, self._config, self._provenance, to_do):
                batch = to_do[key]
                if counted is None:
                    ends = f"{batch.files[0].source} to {batch.files[-1].source}"
                    self._notices.failure(f"{ends}: not counted, this batch ended every worker that tried it")
                else:
                    self._results.write(key, counted)
                    self._finished.add(key)
                self._progress.step(len(batch.files))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Say what is kept of a run that does not come to its end."""
        try:
            yield
        except (EdgeError, KeyboardInterrupt):
            done = f"{len(self._finished)} of {len(self._batches)} batches"
            self._say(f"{done} are done and kept; the same command goes on from there")
            raise

    def report(self) -> bool:
        """Say what is in the tables of the files that were found; return whether nothing went wrong."""
        sums = self._results.sums(self._finished)
        named = 0
        for kind, message in self._results.failures(sorted(self._finished)):
            if kind != NO_FIELD and (named := named + 1) <= _MOST_NAMED:
                self._notices.failure(message)
        if named > _MOST_NAMED:
            self._say(f"error: {named - _MOST_NAMED} more that could not be counted; see the table failures")
        lines = [f"fields: {sums['status: counted']} counted, {sums['status: rejected']} rejected"]
        for title in ("reasons", "warnings", "failures"):
            kinds = Counter({name: n for name, n in sums.items() if name.startswith(f"{title}: ")})
            lines += [f"  {name}: {number}" for name, number in kinds.most_common()]
        lines.append(f"tables: {self._results.folder}, {self._results.partition}")
        for line in lines:
            self._progress.print(line)
        left_out = None if self._quiet else left_out_line(self._left_out, self._folders)
        if left_out:
            self._say(left_out)
        return not self._notices.failures

    def _say(self, line: str) -> None:
        self._progress.print(f"blastcount: {printable(line)}", err=True)
