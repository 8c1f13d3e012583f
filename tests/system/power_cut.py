"""What a disk may hold after the power fails: a program's system calls, replayed up to any moment.

strace records what the program asked the kernel to do. Replayed here on a model of a disk, only what was
forced out is certain: of each file what was there at its last fsync, of each folder the names at its own.
Of what came after, any part may have reached the disk, in any order and cut at any sector, as POSIX allows
and as a cheap SD card does it [1]_. A file system is often kinder; the log must not rely on that.

References
----------
.. [1] T. S. Pillai et al., "All file systems are not created equal: on the complexity of crafting
   crash-consistent applications", OSDI 2014.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

#: Smallest piece that a disk writes whole.
SECTOR = 512
#: Calls that change files or names, force them out, or move the place where the next write goes.
CALLS = (
    "open,openat,creat,close,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,"
    "fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,"
    "symlink,symlinkat,copy_file_range,sendfile,splice,dup,dup2,dup3"
)
_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(r"^(?:AT_FDCWD|(\d+))(?:<((?:\\x[0-9a-f]{2})*)[^>]*>)?")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded.

    Attributes
    ----------
    name : of the call
    arguments : as strace writes them, without the strings
    strings : paths and data, in their order
    descriptor : first argument where it is a file descriptor
    result : what it returned
    """

    name: str
    arguments: list[str]
    strings: list[bytes]
    descriptor: int | None
    result: int


def record(command: Sequence[str], trace: Path, cwd: Path) -> list[Call]:
    """Run a command and give its calls."""
    subprocess.run(
        ["strace", "-f", "-qq", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-e", "signal=none",
         "-o", trace, *command],
        check=True, cwd=cwd, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    calls = []
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            match = _LINE.match(line)
            if match is None:
                # Exits; and no two threads may write at once, or the order would be unknown.
                assert "unfinished" not in line, line[:200]
                continue
            name, text, result = match.groups()
            if result == "?" or int(result) < 0:
                continue
            strings = [bytes.fromhex(found[1].replace("\\x", "")) for found in _STRING.finditer(text)]
            assert not any(found[2] for found in _STRING.finditer(text)), "strace cut a string short"
            head = _DESCRIPTOR.match(text)
            descriptor = int(head[1]) if head and head[1] else None
            arguments = [part.strip() for part in _STRING.sub("", text).split(",")]
            calls.append(Call(name, arguments, strings, descriptor, int(result)))
    return calls


@dataclass(slots=True, eq=False)
class _File:
    """A file's content: what is certain, and what was asked for since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(
        default_factory=list
    )  # place and data; None: cut off there
    size: int = 0

    def force(self) -> None:
        for place, data in self.pending:
            _apply(self.durable, place, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random, keep: float) -> bytes:
        content = bytearray(self.durable)
        for place, data in self.pending:
            if data is None:
                if chance.random() < keep:
                    _apply(content, place, None)
                continue
            start = 0
            while start < len(data):
                # To the end of the sector, which is where the disk may stop.
                end = min(len(data), start + SECTOR - (place + start) % SECTOR)
                if chance.random() < keep:
                    _apply(content, place + start, data[start:end])
                start = end
        return bytes(content)


def _apply(content: bytearray, place: int, data: bytes | None) -> None:
    if len(content) < place + len(data or b""):
        content.extend(bytes(place + len(data or b"") - len(content)))
    if data is None:
        del content[place:]
    else:
        content[place : place + len(data)] = data


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of names that its folder has not been forced to keep: ``old`` is None for a new name."""

    folder: PurePosixPath
    old: PurePosixPath | None
    new: PurePosixPath | None
    node: _File | None  # None: a folder


class Disk:
    """The files under one folder, as the calls so far made them.

    Parameters
    ----------
    root : the folder; calls on anything else are left out, but for what is told on stdout
    """

    def __init__(self, root: Path) -> None:
        self._root = PurePosixPath(root)
        self._names: dict[PurePosixPath, _File | None] = {self._root: None}  # as the program sees them
        self._durable: dict[PurePosixPath, _File | None] = {self._root: None}
        self._changes: list[_Change] = []
        self._opened: dict[int, tuple[PurePosixPath, _File | None, int]] = {}
        self._told = b""

    @property
    def told(self) -> list[dict[str, str]]:
        """What the program has told on stdout so far."""
        return [
            json.loads(line) for line in self._told.decode().splitlines(keepends=True) if line[-1] == "\n"
        ]

    def feed(self, call: Call) -> bool:
        """Take one call; return whether it changed anything that a power cut could show."""
        handler = getattr(self, f"_{call.name}", None)
        if handler is not None:
            return bool(handler(call))
        if call.name in ("close", "lseek"):
            return False
        paths = [PurePosixPath(text.decode(errors="replace")) for text in call.strings[:2]]
        assert not any(self._is_ours(path) for path in paths), f"{call.name} is not replayed"
        assert call.descriptor not in self._opened, f"{call.name} is not replayed"
        return False

    def after_cut(self, target: Path, chance: random.Random) -> None:
        """Write down what the disk may hold if the power fails now."""
        keep_data, keep_names = (chance.choice((0.0, 0.3, 0.7, 1.0)) for _ in range(2))
        names = dict(self._durable)
        for change in self._changes:
            if chance.random() < keep_names:
                _change_name(names, change)
        for path, node in sorted(names.items(), key=lambda entry: len(entry[0].parts)):
            place = target / path.relative_to(self._root)
            if not place.parent.is_dir() and path != self._root:
                continue  # the folder that it is in did not survive
            if node is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(node.after_cut(chance, keep_data))

    def _is_ours(self, path: PurePosixPath) -> bool:
        # The index of the journal is made anew after a crash; it is mapped, not written.
        return path.is_relative_to(self._root) and not path.name.endswith("-shm")

    def _openat(self, call: Call) -> bool:
        path = PurePosixPath(call.strings[-1].decode(errors="replace"))
        self._opened.pop(call.result, None)
        if not self._is_ours(path):
            return False
        flags = call.arguments[2]
        changed = False
        if path not in self._names:
            assert "O_CREAT" in flags, path
            self._change(_Change(path.parent, None, path, _File()))
            changed = True
        node = self._names[path]
        if "O_TRUNC" in flags and node is not None and node.size:
            node.pending.append((0, None))
            node.size, changed = 0, True
        self._opened[call.result] = (path, node, 0)
        return changed

    def _close(self, call: Call) -> bool:
        assert call.descriptor is not None
        self._opened.pop(call.descriptor, None)
        return False

    def _write(self, call: Call) -> bool:
        if call.descriptor == 1:
            self._told += call.strings[-1]
            return True
        if call.descriptor not in self._opened:
            return False
        path, node, place = self._opened[call.descriptor]
        self._opened[call.descriptor] = (path, node, place + call.result)
        return self._put(node, place, call.strings[-1][: call.result])

    def _pwrite64(self, call: Call) -> bool:
        if call.descriptor not in self._opened:
            return False
        _, node, _ = self._opened[call.descriptor]
        return self._put(node, int(call.arguments[-1]), call.strings[-1][: call.result])

    def _lseek(self, call: Call) -> bool:
        if call.descriptor in self._opened:
            path, node, _ = self._opened[call.descriptor]
            self._opened[call.descriptor] = (path, node, call.result)
        return False

    def _ftruncate(self, call: Call) -> bool:
        if call.descriptor not in self._opened:
            return False
        _, node, _ = self._opened[call.descriptor]
        assert node is not None
        node.size = int(call.arguments[-1])
        node.pending.append((node.size, None))
        return True

    def _put(self, node: _File | None, place: int, data: bytes) -> bool:
        assert node is not None
        node.pending.append((place, data))
        node.size = max(node.size, place + len(data))
        return True

    def _fsync(self, call: Call) -> bool:
        if call.descriptor not in self._opened:
            return False
        path, node, _ = self._opened[call.descriptor]
        if node is not None:
            node.force()
            return True
        for change in [change for change in self._changes if change.folder == path]:
            _change_name(self._durable, change)
            self._changes.remove(change)
        return True

    _fdatasync = _fsync

    def _rename(self, call: Call) -> bool:
        old, new = (PurePosixPath(text.decode(errors="replace")) for text in call.strings)
        if not self._is_ours(old):
            return False
        assert old.parent == new.parent, "only within a folder is a rename one change"
        self._change(_Change(new.parent, old, new, self._names[old]))
        return True

    def _unlink(self, call: Call) -> bool:
        path = PurePosixPath(call.strings[-1].decode(errors="replace"))
        if not self._is_ours(path):
            return False
        self._change(_Change(path.parent, path, None, self._names[path]))
        return True

    def _mkdir(self, call: Call) -> bool:
        path = PurePosixPath(call.strings[-1].decode(errors="replace"))
        if not self._is_ours(path):
            return False
        self._change(_Change(path.parent, None, path, None))
        return True

    def _change(self, change: _Change) -> None:
        _change_name(self._names, change)
        self._changes.append(change)


def _change_name(names: dict[PurePosixPath, _File | None], change: _Change) -> None:
    if change.old is not None:
        names.pop(change.old, None)
    if change.new is not None:
        names[change.new] = change.node


def python(code: str, *arguments: object) -> list[str]:
    """Command line that runs some code in this interpreter, without its writing of compiled modules."""
    return [sys.executable, "-B", "-c", code, *map(str, arguments)]
