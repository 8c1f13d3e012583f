"""What people get wrong at the command line: one line says what, the exit code is right, nothing is left."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from PIL import Image

from edge import cli
from tests.edge.commands.invoking import blastcount

#: A command line, its exit code and what is said. In its folder lie f.png, a picture; broken.png, none; text,
#: no log and no model; bad.toml; pipe; zero.png, a link to /dev/zero; and folder, which is empty. MODEL is
#: the tiny one.
TABLE: list[tuple[str, int, str]] = [
    ("forward", 3, "forward.broker must be given"),
    ("forward --config bad.toml", 3, "bad.toml"),
    ("forward --onec", 2, "Did you mean '--once'?"),
    ("collect run", 3, "collect.broker must be given"),
    ("collect page --database absent.db", 1, "absent.db"),
    ("collect page --host 0.0.0.0", 3, "review.token_file"),
    ("collect page --port 65536", 2, "0<=x<=65535"),
    ("conut", 2, "No such command 'conut'"),
    ("--no-such", 2, "No such option '--no-such'"),
    ("--debug", 2, "Missing command"),
    ("count", 2, "Missing argument 'PATH...'"),
    ("count --maskss f.png", 2, "Did you mean '--masks'?"),
    ("count ''", 2, "the name is empty"),
    ("count --masks '' f.png", 2, "'--masks': the name is empty"),
    ("count --annotate '' f.png", 2, "'--annotate': the name is empty"),
    ("count --log '' f.png", 2, "'--log': the name is empty"),
    ("count --model '' f.png", 2, "'--model': the name is empty"),
    ("count --threads 0 f.png", 2, "1<=x<=64"),
    ("count --threads 65 f.png", 2, "1<=x<=64"),
    ("count --threads x f.png", 2, "'x' is not a valid integer range"),
    ("count --every 0 f.png", 2, "x>=1"),
    ("count --every -1 f.png", 2, "x>=1"),
    ("count --um-per-px 0 f.png", 2, "0.01<=x<=1.25"),
    ("count --um-per-px 1.26 f.png", 2, "0.01<=x<=1.25"),
    ("count --um-per-px nan f.png", 2, "nan is no number"),
    ("count --um-per-px inf f.png", 2, "0.01<=x<=1.25"),
    ("count --um-per-px 0,1 f.png", 2, "'0,1' is not a valid float range"),
    ("count --json --csv f.png", 2, "give --json or --csv, not both"),
    ("count --masks f.png f.png", 2, "'f.png' is a file"),
    ("count --log folder f.png", 2, "'folder' is a directory"),
    ("count --report r.pdf f.png", 2, "of a sample: name one with --sample"),
    ("count --sample S-1 --report r.doc f.png", 2, "ends in .pdf, .html or .json"),
    ("count --sample S-1 --report no/r.pdf f.png", 2, "the folder no does not exist"),
    ("count --model absent f.png", 3, "model file absent.json cannot be read"),
    ("count --model text f.png", 3, "model file text.json cannot be read"),
    ("count MODEL absent", 1, "absent: no such file or folder"),
    ("count MODEL text", 1, "not an image or video by its name"),
    ("count MODEL pipe", 1, "not an image or video by its name"),
    ("count MODEL x.heic", 1, "x.heic: not an image or video by its name; by its content this is HEIC; exp"),
    ("count MODEL folder", 1, "folder: no images or videos in this folder"),
    ("count MODEL zero.png", 1, "zero.png: not a regular file"),
    ("count MODEL -- -x", 1, "-x: no such file or folder"),
    ("count MODEL --masks f.png/x f.png", 1, "f.png/x: cannot make this folder: Not a directory"),
    ("count MODEL --log text f.png", 1, "text: is not a SQLite database"),
    ("count MODEL --log pipe f.png", 1, "pipe: is a device, a pipe or a socket"),
    ("count MODEL --log /dev/null f.png", 1, "/dev/null: is a device, a pipe or a socket"),
    ("count MODEL --log new.db absent", 1, "absent: no such file or folder"),
    ("count MODEL --log new.db broken.png", 1, "broken.png: "),
    ("count MODEL --log no/log.db f.png", 1, "the folder no does not exist"),
    ("count MODEL --sample S-1 f.png", 1, "no such log"),
    ("run --source webcam", 2, "'webcam' is not one of"),
    ("run --source replay", 3, "camera.path must name a file or folder"),
    ("run --source replay --path ''", 2, "'--path': the name is empty"),
    ("run --source rendered --interval 0", 3, "camera.interval_s must be a number from 0.05"),
    ("run --source rendered --fields 0", 2, "x>=1"),
    ("run --config ''", 2, "'--config': the name is empty"),
    ("run --config absent.toml", 3, "absent.toml: no such configuration file"),
    ("run --config bad.toml", 3, "bad.toml: unknown section [camra]; did you mean [camera]?"),
    ("run --config folder", 3, "folder: cannot be read: Is a directory"),
    ("run --config pipe", 3, "pipe: cannot be read: is a pipe"),
    ("run --config /dev/zero", 3, "/dev/zero: cannot be read: is larger than 4 MB"),
    ("status --socket absent", 1, "absent: no daemon listens here"),
    ("status --socket text", 1, "text: no daemon listens here"),
    ("capture --socket folder", 1, "folder: no daemon listens here"),
    ("reload --socket absent", 1, "absent: no daemon listens here"),
    ("sample opne", 2, "No such command 'opne'"),
    ("sample open", 2, "Missing option '--id'"),
    ("sample open --id ''", 2, "expected letters, digits"),
    ("sample open --id 'Jane Doe'", 2, "'Jane Doe': expected letters, digits"),
    ("sample open --id S-1 --quota 150", 2, "'150' is not one of '100', '200', '500'"),
    ("sample open --id S-1 --log folder", 1, "folder: is a folder"),
    ("sample open --id S-1 --log pipe", 1, "pipe: is a device, a pipe or a socket"),
    ("sample close S-1 --log absent.db", 1, "absent.db: no such log"),
    ("sample keep S-1 --log absent.db", 1, "absent.db: no such log"),
    ("sample list --log text", 1, "text: is not a SQLite database"),
    ("sample list --log pipe", 1, "pipe: is a device, a pipe or a socket"),
    ("sample show S-1 --log /dev/zero", 1, "/dev/zero: is a device, a pipe or a socket"),
    ("sample export S-1", 2, "say in which form"),
    ("sample export S-1 --csv ''", 2, "'--csv': the name is empty"),
    ("sample export S-1 --csv - --fhir -", 2, "only one form can go to stdout"),
    ("sample export S-1 --jsonl - --coco d --fhir -", 2, "only one form can go to stdout"),
    ("report S-1 --pdf - --json -", 2, "only one form can go to stdout"),
    ("log repair --out -", 2, "'--out': stdin and stdout cannot be used here"),
    ("count --log - f.png", 2, "'--log': stdin and stdout cannot be used here"),
    ("count --masks - f.png", 2, "'--masks': stdin and stdout cannot be used here"),
    ("count -", 2, "stdin and stdout cannot be used here"),
    ("report", 2, "Missing argument 'SAMPLE'"),
    ("report S-1", 2, "say in which form"),
    ("report S-1 --json -", 1, "no such log"),
    ("report S-1 --html r.html --language xx", 2, "no language 'xx'; there are en, id"),
    ("report S-1 --html r.html --language ../en", 2, "no language '../en'"),
    ("log verify --log absent.db", 1, "absent.db: no such log"),
    ("log verify --log folder", 1, "folder: is a folder"),
    ("log verify --log /dev/zero", 1, "/dev/zero: is a device, a pipe or a socket"),
    ("log verify --head 1", 2, "NUMBER:SHA256, got '1'"),
    ("log verify --against absent", 2, "'absent' does not exist"),
    ("log show 0", 2, "1<=x<="),
    ("log show 99999999999999999999", 2, "1<=x<="),
    ("log backup f.png", 2, "'f.png' is a file"),
    ("log export", 2, "give --csv or --jsonl"),
    ("log export --csv --out folder", 2, "'folder' is a directory"),
    ("log retention --log absent.db", 1, "absent.db: no such log"),
    ("log repair --out new.db --log text", 1, "text: nothing can be saved"),
    ("log repair --out new.db --log pipe", 1, "pipe: is a device, a pipe or a socket"),
    ("review --host nowhere", 3, "review.host must be an address"),
    ("review --host 0.0.0.0", 3, "needs review.token_file"),
    ("review --port 65536", 2, "0<=x<=65535"),
    ("review --token-file pipe", 3, "pipe: the token file cannot be read"),
    ("review --new-token folder", 1, "folder: exists already"),
    ("user add", 2, "Missing argument 'NAME'"),
    ("user add Ani", 2, "the password must have 12 to 256 characters, got 0"),
    ("user add Ani --role admin", 2, "'admin' is not one of 'reader', 'supervisor'"),
    ("user add Ani password", 2, "unexpected extra argument (password)"),
    ("user add ''", 2, "'': expected 1 to 40 characters"),
    ("user password", 2, "Missing argument 'NAME'"),
    ("user remove Ani --log no/x.db", 1, "the folder no does not exist"),
    ("user add Ani --log none.db", 1, "none.db: no such log"),
    ("user list --log none.db", 1, "none.db: no such log"),
    ("verify open --who AK --log absent.db", 1, "absent.db: no such log"),
    ("verify open --cells x", 2, "'x' is not a valid integer range"),
    ("verify status --log absent.db", 1, "absent.db: no such log"),
    ("qc show --log absent.db", 1, "absent.db: no such log"),
    ("qc acknowledge x --who AK", 2, "'x': expected the number of an alarm"),
    ("recalibrate fit --who AK --log absent.db", 1, "absent.db: no such log"),
    ("recalibrate undo", 3, "there is no recalibration to undo"),
    ("compare a.tflite", 2, "Missing argument 'B'"),
    ("compare absent.tflite b.tflite", 3, "model file absent.json cannot be read"),
    ("archive", 2, "Missing argument 'PATH...'"),
    ("archive '' --out tables", 2, "the name is empty"),
    ("archive f.png --out ''", 2, "'--out': the name is empty"),
    ("archive absent --out tables", 1, "absent: no such file or folder"),
    ("archive folder --out tables", 1, "no images or videos in this folder"),
    ("update", 2, "Missing argument 'PACKAGE'"),
    ("update f.png", 2, "'f.png' is a file"),
    ("update folder", 4, "no_package: folder/manifest.json cannot be read"),
    ("update absent --verify-only", 4, "no_package: absent/manifest.json cannot be read"),
    ("check extra", 2, "unexpected extra argument (extra)"),
    ("calibrate blank absent", 1, "absent: no such file or folder"),
    ("calibrate blank folder", 1, "folder: no images or videos"),
    ("calibrate micrometer --division-um nan f.png", 2, "nan is no number"),
    ("calibrate show", 3, "no such calibration"),
    ("calibrate show --file text", 3, "text: JSON is malformed"),
    ("calibrate show --file /dev/zero", 3, "/dev/zero: cannot be read: is larger than 4 MB"),
    ("render --out ''", 2, "'--out': the name is empty"),
    ("render --out r --width 0", 2, "width must be 30 to 8192 px, got 0"),
    ("render --out r --um-per-px nan", 2, "um_per_px must be 0.05 to 0.4"),
    ("bench absent", 1, "absent: no such file or folder"),
    ("bench --baseline /dev/zero", 3, "/dev/zero cannot be used ([Errno 27] is larger than 4 MB"),
    ("bench --baseline pipe", 3, "pipe cannot be used ([Errno 29] is a pipe, not a file"),
    ("''", 2, "No such command ''"),
    ("count --csv ''", 2, "the name is empty"),
    ("count MODEL 'a\x1b[2J.png'", 1, "error: a\\x1b[2J.png: no such file"),
    ("count MODEL 'a\nb.png'", 1, "error: a\\nb.png: no such file"),
    ("count MODEL '\udcff.png'", 1, "error: \\udcff.png: no such file"),
    ("count MODEL " + "n" * 300, 1, "File name too long"),
    ("count --um-per-px 1e999 f.png", 2, "0.01<=x<=1.25"),
    ("count --threads 99999999999999999999 f.png", 2, "1<=x<=64"),
    ("count MODEL --sample '' f.png", 1, "no such log"),
    ("count MODEL --annotate text f.png", 2, "'text' is a file"),
    ("count MODEL f.png/x", 1, "f.png/x: cannot be read: Not a directory"),
    ("count MODEL /proc/self/mem", 1, "not an image or video by its name"),
    ("run --source rendered --interval nan", 3, "camera.interval_s must be a number from 0.05"),
    ("status --log ''", 2, "'--log': the name is empty"),
    ("status --socket /dev/null", 1, "/dev/null: no daemon listens here"),
    ("reload --socket pipe", 1, "pipe: no daemon listens here"),
    ("sample open --id Budi1", 2, "'Budi1': it looks like a name (four letters in a row, or three"),
    ("sample open --id 1987-05-12", 2, "'1987-05-12': it holds a date"),
    ("sample open --id 3174051290000001", 2, "it looks like a national number"),
    ("sample open --id '=1+1'", 2, "'=1+1': expected letters, digits"),
    ("sample open --id '\x1b[2J'", 2, "'\\x1b[2J': expected letters, digits"),
    ("sample open --id ../S", 2, "'../S': expected letters, digits"),
    ("sample open --id S-1 --log no/x.db", 1, "the folder no does not exist"),
    ("sample close S-1 --yes", 1, "no such log"),
    ("sample list --log absent.db", 1, "absent.db: no such log; `blastcount sample open --id ID` makes"),
    ("sample show", 1, "no such log"),
    ("sample export S-1 --training ''", 2, "'--training': the name is empty"),
    ("sample export S-1 --csv folder", 2, "'folder' is a directory"),
    ("report S-1 --pdf ''", 2, "'--pdf': the name is empty"),
    ("log verify", 1, "no such log"),
    ("log verify --head -1:0", 2, "NUMBER:SHA256, got '-1:0'"),
    ("log show -1", 2, "No such option '-1'"),
    ("log export --csv --out no/x.csv", 1, "no such log"),
    ("log repair --out text --log text", 1, "text: is there already"),
    ("review --host 256.0.0.1", 3, "review.host must be an address"),
    ("review --phone --host x", 3, "review.host must be an address"),
    ("review --config bad.toml", 3, "bad.toml: unknown section [camra]"),
    ("review --token-file absent", 3, "absent: no such token file"),
    ("review --new-token no/t", 1, "no/t: cannot be written"),
    ("review --new-token a --new-password b", 2, "give --new-token or --new-password, not both"),
    ("calibrate red-cells text", 1, "text: not an image or video by its name"),
    ("render --out f.png", 2, "'f.png' is a file"),
    ("render --out r --width 99999999999999999999", 2, "width must be 30 to 8192 px, got 9999"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_system_config: None) -> Path:
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    (here / "text").write_text("neither a log nor a model " * 50)
    (here / "bad.toml").write_text("[camra]\n")
    (here / "x.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (here / "broken.png").write_text("no picture")
    os.mkfifo(here / "pipe")
    (here / "zero.png").symlink_to("/dev/zero")
    Image.new("RGB", (60, 60), (200, 200, 200)).save(here / "f.png")
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(("line", "code", "said"), TABLE, ids=[line for line, _, _ in TABLE])
def test_wrong_usage(folder: Path, tiny_model: Path, line: str, code: int, said: str) -> None:
    before = sorted(folder.iterdir())
    arguments = shlex.split(line.replace("MODEL", f"--model {shlex.quote(str(tiny_model))}"))
    result = blastcount(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    # After click's two lines on usage there is one line; what the program itself says is one alone.
    *usage, last = result.stderr.splitlines()
    assert last.startswith("Error: " if code == 2 else "blastcount: error: ")
    assert (code == 2) == bool(usage)
    assert result.stdout == ""
    assert sorted(folder.iterdir()) == before


def test_every_command_is_in_the_table() -> None:
    assert {line.split()[0] for line, _, _ in TABLE} >= set(cli.COMMANDS)
