#!/bin/sh
# wheelhouse.sh FOLDER [MACHINE PYTHON]: wheels of this tree and of the locked versions of all that it needs, for a device without
# a network; MACHINE is aarch64 or x86_64, PYTHON 3.11 or 3.13. Without them: for this machine and its python3.
# FOLDER/requirements.txt lists them with their hashes; install.sh and make_deb.sh take such a folder and install nothing else.
# wheelhouse.sh --list FOLDER: write that list anew.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "wheelhouse.sh: $*" >&2; exit 1; }

# list FOLDER: a line a wheel, as pip wants it for --require-hashes.
list() {
    for wheel in "$1"/*.whl; do
        [ -e "$wheel" ] || fail "$1: holds no wheels"
        name=$(basename "$wheel") version=${wheel##*/}
        version=${version#*-}
        echo "${name%%-*}==${version%%-*} --hash=sha256:$(sha256sum "$wheel" | cut -d " " -f 1)"
    done >"$1/requirements.part"
    mv "$1/requirements.part" "$1/requirements.txt"
}

if [ "${1:-}" = --list ]; then list "$2"; exit 0; fi
[ $# -eq 1 ] || [ $# -eq 3 ] || fail "name the folder, and for another device its machine and Python; see the head of $0"
folder=$1 machine=${2:-$(uname -m)}
python=${3:-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
case $machine in aarch64 | x86_64) ;; *) fail "$machine: expected aarch64 or x86_64" ;; esac
case $python in 3.*) ;; *) fail "$python: expected a version of Python as 3.13" ;; esac
[ ! -e "$folder" ] || fail "$folder: is there already; name a new folder"

build=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'rm -rf "$build"' EXIT
python3 -I -m venv "$build/venv"
pip="$build/venv/bin/pip --quiet --disable-pip-version-check"
platforms=""
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do platforms="$platforms --platform ${tag}_$machine"; done
# Published as source only, and pure Python, as this program is: both are built here.
awk '/^[a-z]/ { own = /^sdnotify==/ } own' "$here/locked/device.txt" >"$build/source.txt"
awk '/^[a-z]/ { own = /^sdnotify==/ } !own' "$here/locked/device.txt" >"$build/binary.txt"
$pip download --dest "$build/wheels" --no-deps --require-hashes --only-binary=:all: $platforms --python-version "$python" \
    -r "$build/binary.txt"
$pip install --require-hashes -r "$here/locked/build.txt"
$pip wheel --wheel-dir "$build/wheels" --no-deps --no-build-isolation --use-pep517 --require-hashes -r "$build/source.txt"
# In a copy: a build leaves its folders in the tree.
mkdir "$build/tree"
tar -C "$here/.." --exclude='./.venv*' --exclude=./out --exclude=./build --exclude='*.egg-info' --exclude='*.whl' \
    --exclude='*.deb' --exclude=__pycache__ -cf - . | tar -C "$build/tree" --no-same-owner -xf -
$pip wheel --wheel-dir "$build/wheels" --no-deps --no-build-isolation "$build/tree"
list "$build/wheels"
cp -r "$build/wheels" "$folder"
echo "$folder: $(grep -c . "$folder/requirements.txt") wheels for Python $python on $machine"
