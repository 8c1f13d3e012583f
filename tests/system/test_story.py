"""A device's life under a real systemd: installed without a camera, used, upgraded, cut off, taken back.

A Debian trixie whose libcamera has a virtual camera, which the real picamera2 opens. Nothing in it reaches a
network. The tests are one story and build on each other; then the pages for the Pi and the clinic are typed.
"""

from __future__ import annotations

import csv
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import cv2
import pytest

from edge.rendered import Population, RenderSettings, render_field
from tests.system.conftest import cache_folder
from tests.system.machine import Machine, booted
from tests.system.pages import MAKE_PERSON, PERSON, Reader, blocks, commands, is_not_here
from tests.system.sitecustomize_camera import SIZE
from tests.system.test_package import newer_wheel
from tests.system.test_picamera2 import CAMERA, PICAMERA2, PYKMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-client", "sudo", "python3-libcamera", "libcamera-ipa",
    "python3-prctl", "gcc", "python3-dev", "libcap-dev", "git", "make", "nginx", "curl", "openssl", "man-db",
    "bash-completion", "zsh", "fish",
)  # fmt: skip
DOCS = Path(__file__).resolve().parents[2] / "docs"
SITE = "/usr/local/lib/python3.13/dist-packages"
#: A picture a second, whether or not the stage rests: the virtual camera's pictures follow without a pause.
CONFIG = f"""[camera]
source = "picamera"
width = {SIZE[0]}
height = {SIZE[1]}
interval_s = 1
[trigger]
mode = "interval"
[review]
public_url = "https://lab.example/blast/"
token_file = "/etc/blastcount/review.token"
"""
CROWDED = RenderSettings(
    width=SIZE[0], height=SIZE[1], um_per_px=0.16, population=Population(blast=500.0, lymphocyte=400.0)
)
UNIT = """[Service]
Environment=LD_PRELOAD=/opt/virtual/shim.so PYTHONPATH=/opt/virtual
"""
IS_NEWER = ("/opt/blastcount/bin/python", "-c", "import edge.errors as e; print(hasattr(e, 'IS_NEWER'))")


@pytest.fixture(scope="session")
def pi_wheels(source_tree: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels collected by the command of pi.md, for this machine's architecture and trixie's Python."""
    (line,) = (line for line in commands(DOCS / "pi.md") if line.startswith("make wheelhouse"))
    source = source_tree(tmp_path_factory.mktemp("pi") / "blastcount")
    done = subprocess.run(
        ["bash", "-c", line.replace("aarch64", platform.machine())],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"wheels cannot be collected: {done.stderr[-300:]}")
    return source / "wheels"


@pytest.fixture(scope="session")
def for_make(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make count` needs besides, to build the clone without a network: with the locked hashes."""
    folder = tmp_path_factory.mktemp("for-make")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder]
    subprocess.run([*pip, "--require-hashes", "-r", repository / "systemd/locked/build.txt"], check=True)
    device = (repository / "systemd/locked/device.txt").read_text()
    (version,) = re.findall(r"^sdnotify==(\S+)", device, re.MULTILINE)
    subprocess.run([*pip, "--no-binary=:all:", f"sdnotify=={version}"], check=True)
    return folder


@pytest.fixture(scope="session")
def picamera2(
    debian: Callable[..., Path],
    chroot: Callable[[Path, str], subprocess.CompletedProcess[str]],
    mounted: Callable[[Path], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The real picamera2 with what it needs, installed in a folder."""
    folder = cache_folder() / f"trixie-{PICAMERA2}"
    if not folder.exists():
        root = debian(tmp_path_factory.mktemp("picamera2") / "root", *PACKAGES, suite="trixie")
        install = (
            "python3 -m venv --system-site-packages /opt/v; "
            f"/opt/v/bin/pip install -q --target /opt/site {PICAMERA2}"
        )
        with mounted(root):
            done = chroot(root, install)
        if done.returncode != 0:
            pytest.skip(f"{PICAMERA2} cannot be installed: {done.stderr[-500:]}")
        shutil.copytree(root / "opt/site", folder, symlinks=True)
    return folder


@pytest.fixture(scope="module")
def root(
    repository: Path,
    debian: Callable[..., Path],
    chroot: Callable[[Path, str], subprocess.CompletedProcess[str]],
    pi_wheels: Path,
    for_make: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A Debian with two packages of the program and what will make a camera; nothing is installed yet."""
    root = debian(tmp_path_factory.mktemp("story") / "root", *PACKAGES, suite="trixie")
    newer = tmp_path_factory.mktemp("newer") / "wheels"
    shutil.copytree(pi_wheels, newer)
    newer_wheel(newer)
    for name, wheels in (("old", pi_wheels), ("new", newer)):
        (root / "srv" / name).mkdir()
        subprocess.run(
            [repository / "systemd/make_deb.sh", wheels, root / "srv" / name], check=True, capture_output=True
        )
    shutil.copytree(pi_wheels, root / "srv/wheels")
    # A wheel that was built here has not the hash of the source that is locked, and pip would take it.
    shutil.copytree(pi_wheels, root / "srv/for-make", ignore=shutil.ignore_patterns("sdnotify-*"))
    shutil.copytree(for_make, root / "srv/for-make", dirs_exist_ok=True)
    (root / "srv/for-make").chmod(0o755)  # a temporary folder is its maker's alone
    (root / "etc/hostname").write_text("pi\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost pi\n")
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/for-make\n")
    subprocess.run(["git", "clone", "-q", "--bare", repository, root / "srv/blastcount.git"], check=True)
    virtual = root / "opt/virtual"
    (virtual / "frames").mkdir(parents=True)
    here = Path(__file__).parent
    shutil.copy(here / "sitecustomize_camera.py", virtual / "sitecustomize.py")
    shutil.copy(here / "dma_shim.c", virtual)
    (virtual / "pykms.py").write_text(PYKMS)
    pictures = root / "srv/pictures"
    pictures.mkdir()
    for seed in range(8):
        drawn = render_field(seed + 1, CROWDED).image[..., ::-1]
        folder = virtual / "frames" if seed < 6 else pictures
        assert cv2.imwrite(str(folder / f"{seed:03}.jpg"), drawn, [cv2.IMWRITE_JPEG_QUALITY, 97])
    drop_in = root / "etc/systemd/system/blastcount.service.d/virtual.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(UNIT)
    (site,) = blocks(DOCS / "review.md", "nginx")
    (root / "etc/nginx/sites-enabled/lab.example").write_text(site)
    shim = "gcc -shared -fPIC -o /opt/virtual/shim.so /opt/virtual/dma_shim.c -ldl"
    # git takes no repository of another user's.
    made = chroot(root, f"set -e\n{shim}\n{MAKE_PERSON}\nchown -R {PERSON}: /srv/blastcount.git")
    assert made.returncode == 0, made.stderr
    return root


@pytest.fixture(scope="module")
def machine(root: Path) -> Iterator[Machine]:
    with booted(root) as machine:
        yield machine


@pytest.fixture(scope="module")
def reader(machine: Machine) -> Reader:
    return Reader(machine)


def the_camera_appears(machine: Machine, picamera2: Path) -> None:
    """Install picamera2, and plug in a camera whose pictures are drawn smears."""
    virtual = machine.root / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    virtual.parent.mkdir(parents=True, exist_ok=True)
    virtual.write_text(CAMERA.replace("/root/test/frames", "/opt/virtual/frames"))
    shutil.copytree(picamera2, machine.root / SITE[1:], symlinks=True, dirs_exist_ok=True)


def status(reader: Reader, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(reader.types("blastcount status --json", code))
    return found


def test_a_package_installs_without_a_camera(machine: Machine, reader: Reader) -> None:
    said = reader.types("sudo apt-get install -y /srv/old/blastcount_*.deb")
    assert "the service says: waiting for the camera" in said
    # Nothing is left half-configured, by which apt would fail from now on.
    assert machine.run("dpkg", "--audit") == ""
    machine.run("apt-get", "check")


def test_the_service_waits_and_says_so(machine: Machine, reader: Reader) -> None:
    assert machine.show("ActiveState") == "active"
    assert "picamera2 cannot be imported" in machine.show("StatusText")
    assert machine.show("NRestarts") == "0"
    reader.types(f"sudo adduser {PERSON} blastcount || sudo usermod -aG blastcount {PERSON}")
    assert status(reader, 1)["state"] == "no_camera"
    assert reader.types("blastcount check", 4).endswith("not fit: no camera\n")


def test_manual_and_completions_are_there(reader: Reader) -> None:
    assert "--new-token" in reader.types("man blastcount | cat")
    bash = (
        "source /usr/share/bash-completion/completions/blastcount; COMP_WORDS=(blastcount sam) COMP_CWORD=1"
    )
    assert "sample" in reader.types(
        f"bash -c '{bash}; _blastcount_completion blastcount; echo ${{COMPREPLY[@]}}'"
    )
    assert "sample" in reader.types("fish -c 'complete --do-complete \"blastcount sam\"'")
    reader.types("zsh -n /usr/share/zsh/vendor-completions/_blastcount")


def test_a_camera_appears_and_a_sample_is_counted_to_its_quota(
    machine: Machine, reader: Reader, picamera2: Path
) -> None:
    machine.configure(CONFIG.split("[review]")[0])
    reader.types("blastcount sample open --id S-7 --quota 100")
    pid = machine.show("MainPID")
    reader.types("sudo systemctl reload blastcount")
    the_camera_appears(machine, picamera2)
    machine.wait(lambda: "counting from picamera:0" in machine.show("StatusText"), "the camera")
    assert machine.show("MainPID") == pid

    def cells() -> int:
        sample = status(reader)["sample"]
        assert isinstance(sample, dict)
        return int(sample["wbc"])

    machine.wait(lambda: cells() >= 100, "the quota")
    assert reader.types("blastcount check").endswith("\nfit to count\n")


def test_a_member_makes_the_sheet_and_exports(machine: Machine, reader: Reader) -> None:
    reader.types("mkdir -p results && cd results")
    reader.types("blastcount sample close S-7 --who SR")
    reader.types("blastcount report S-7 --pdf s.pdf --html s.html --json s.json")
    reader.types("blastcount sample export S-7 --csv s.csv --fhir fhir.json")
    folder = machine.root / "home" / PERSON / "results"
    assert (folder / "s.pdf").read_bytes().startswith(b"%PDF")
    with (folder / "s.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.reader(file))) > 100
    assert json.loads((folder / "fhir.json").read_text())["resourceType"] == "Bundle"
    assert reader.types(f"find . ! -user {PERSON}; cd ..") == ""


@contextmanager
def phone(machine: Machine) -> Iterator[Callable[..., str]]:
    """A function that asks for a page by HTTPS, from another network namespace that a cable joins."""
    name, inside = "blastcount-phone", ["nsenter", "-t", str(machine.leader), "-n"]
    jar = machine.root.parent / "cookies"
    with ExitStack() as stack:
        subprocess.run(["ip", "netns", "add", name], check=True)
        stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
        cable = [
            "ip",
            "link",
            "add",
            "bc-phone",
            "netns",
            name,
            "type",
            "veth",
            "peer",
            "name",
            "bc-pi",
            "netns",
            str(machine.leader),
        ]
        subprocess.run(cable, check=True)
        for where, device, address in (
            (inside, "bc-pi", "10.83.0.1/24"),
            (["ip", "netns", "exec", name], "bc-phone", "10.83.0.2/24"),
        ):
            subprocess.run([*where, "ip", "address", "add", address, "dev", device], check=True)
            subprocess.run([*where, "ip", "link", "set", device, "up"], check=True)
        key = machine.root / "etc/ssl/private/lab.example.pem"
        curl = ["ip", "netns", "exec", name, "curl", "--silent", "--show-error", "--location",
                "--cookie", jar, "--cookie-jar", jar, "--resolve", "lab.example:443:10.83.0.1",
                "--cacert", key, "--write-out", "\n%{http_code}"]  # fmt: skip

        def ask(path: str, origin: str = "https://lab.example", **form: str) -> str:
            fields = [part for key, value in form.items() for part in ("--data-urlencode", f"{key}={value}")]
            headers = ["--header", f"Origin: {origin}"] if form else []
            command = [*curl, *fields, *headers, f"https://lab.example/blast{path}"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        yield ask


def token_of(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


@pytest.fixture(scope="module")
def token(machine: Machine, reader: Reader) -> str:
    """What opens the page, which a proxy shows by HTTPS from now on."""
    made = reader.types("sudo blastcount review --new-token /etc/blastcount/review.token")
    (token,) = re.findall(r"\b[0-9a-f]{32}\b", made)
    machine.configure(CONFIG)
    (key,) = (line for line in commands(DOCS / "review.md") if line.startswith("openssl req"))
    reader.types(f"sudo {key}")
    reader.types("sudo systemctl restart nginx && sudo systemctl enable --now blastcount-review")
    return str(token)


def say_a_word(ask: Callable[..., str], token: str, name: str) -> None:
    """Open the page on a phone, and call a sample's first cell a blast."""
    assert "csrf_token" in ask("/login", csrf_token=token_of(ask("/login")), token="no", next="/blast/")
    samples = ask("/login", csrf_token=token_of(ask("/login")), token=token, next="/blast/")
    found = re.search(rf'/blast/samples/(\d+)"[^>]*>\s*{name}', samples)
    assert found is not None, samples
    path = f"/samples/{found[1]}"
    ask("/observer", csrf_token=token_of(ask(f"{path}/cells")), observer="AK", next=f"/blast{path}/cells")
    cells = ask(f"{path}/cells")
    word = re.search(r'name="word" value="([^"]+-blast)"', cells)
    assert word is not None, cells
    said = {"csrf_token": token_of(cells), "word": word[1], "next": f"/blast{path}/cells"}
    # A form from elsewhere is not the page's own, whatever it knows.
    assert ask(f"{path}/words", "https://elsewhere.example", **said).endswith("\n403")
    assert ask(f"{path}/words", **said).endswith("\n200")


def test_a_phone_reviews_through_an_https_proxy(machine: Machine, reader: Reader, token: str) -> None:
    with phone(machine) as ask:
        machine.wait(lambda: ask("/login").endswith("\n200"), "the page")
        say_a_word(ask, token, "S-7")
    # The word is in the service's log, and the report tells of it.
    assert "AK" in reader.types("blastcount report S-7 --json s.json >/dev/null; cat s.json")


def test_an_upgrade_and_the_way_back(machine: Machine, reader: Reader) -> None:
    before = machine.fields()
    configuration = (machine.root / "etc/blastcount/blastcount.toml").read_text()
    assert machine.run(*IS_NEWER) == "False"
    reader.types("sudo apt-get install -y --reinstall /srv/new/blastcount_*.deb")
    assert machine.run(*IS_NEWER) == "True"
    machine.wait(lambda: machine.fields() > before, "fields of the newer program")
    assert (machine.root / "etc/blastcount/blastcount.toml").read_text() == configuration
    assert "S-7" in reader.types("blastcount sample list")
    assert machine.run("ls", "/var/backups/blastcount") != ""
    reader.types("sudo /usr/share/blastcount/systemd/install.sh --rollback")
    assert machine.run(*IS_NEWER) == "False"
    before = machine.fields()
    machine.wait(lambda: machine.fields() > before, "fields of the older program")


def test_a_power_cut(machine: Machine, reader: Reader) -> None:
    reader.types("blastcount sample open --id S-8")
    machine.wait(lambda: status(reader)["sample"] is not None, "the sample")
    before = machine.fields()
    machine.wait(lambda: machine.fields() > before, "a field in it")
    machine.cut_the_power(and_start=True)
    machine.wait(lambda: machine.show("ActiveState") == "active", "the start")
    machine.wait(lambda: machine.fields() > before, "fields after it")
    assert "S-8" in json.dumps(status(reader)["sample"])
    assert reader.types("blastcount log verify")
    reader.types("blastcount sample close S-8 --who SR --yes")
    assert {"S-7", "S-8"} <= set(re.findall(r"S-\d", reader.types("blastcount sample list")))


def test_the_page_for_the_pi(machine: Machine, reader: Reader) -> None:
    typed = 0
    for line in commands(DOCS / "pi.md"):
        if is_not_here(line):
            continue
        if line == "sudo systemd/install.sh wheels":
            reader.types("cp -r /srv/wheels wheels")
        if line == "blastcount capture":
            reader.types_until_it_is_done(line)
        else:
            reader.types(line)
        typed += 1
        if "install.sh" in line:
            assert reader.types(f"find . ! -user {PERSON}") == ""  # the clone is its owner's
        if line == "sudo systemctl start blastcount" or "install.sh" in line:
            machine.wait(lambda: "counting from" in machine.show("StatusText"), "the camera")
    assert typed >= 12
    # Without wheels the clone is built, by root, which leaves nothing in it.
    reader.types("sudo systemd/install.sh")
    assert reader.types(f"find . ! -user {PERSON}") == ""


def test_the_page_for_the_clinic(machine: Machine, reader: Reader, token: str) -> None:
    # In the clone, where the page for the Pi has ended: the last of the commands is make's.
    reader.types("cp -r /srv/pictures pictures; cp -r /srv/pictures folder")
    for line in commands(DOCS / "clinic.md"):
        if "--training" in line:
            with phone(machine) as ask:
                say_a_word(ask, token, "S-0142")
        reader.types(line)
    assert "S-0142" in reader.types("blastcount sample list")
    assert reader.types("ls out/annotated S-0142.pdf S-0142.csv our-cells")
