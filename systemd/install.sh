#!/bin/sh
# install.sh [WHEELS]: blastcount as a service on a 64-bit Raspberry Pi OS or Debian. Run it as root, in a clone of the
# repository. WHEELS is a folder of wheels for this machine (docs/pi.md, "Without a network"): nothing is downloaded then.
# Run again, it brings an installation up to date; configuration and log stay as they are.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=/opt/blastcount

fail() { echo "install.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "needs root: sudo $0 $*"
[ -d /run/systemd/system ] || command -v systemctl >/dev/null || fail "needs systemd"
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "needs Python 3.11 or newer with venv: apt install python3-venv"
[ "$(getconf LONG_BIT)" = 64 ] || fail "needs a 64-bit system: the TFLite interpreter has no 32-bit wheels"

# The system's packages are seen, because picamera2 and lgpio come from apt.
[ -x "$target/bin/python" ] || python3 -m venv --system-site-packages "$target"
if [ $# -gt 0 ]; then
    [ -d "$1" ] || fail "$1: no such folder of wheels"
    "$target/bin/pip" install --quiet --disable-pip-version-check --no-compile --upgrade --no-index --find-links "$1" blastcount
else
    "$target/bin/pip" install --quiet --disable-pip-version-check --no-compile --upgrade --use-pep517 "$here/.."
fi
ln -sf "$target/bin/blastcount" /usr/local/bin/blastcount

install -D -m 644 "$here/blastcount.sysusers" /usr/lib/sysusers.d/blastcount.conf
install -D -m 644 "$here/blastcount.tmpfiles" /usr/lib/tmpfiles.d/blastcount.conf
for unit in blastcount.service blastcount-review.service blastcount-upkeep.service blastcount-upkeep.timer; do
    install -D -m 644 "$here/$unit" "/etc/systemd/system/$unit"
done
[ -e /etc/blastcount/blastcount.toml ] || install -D -m 644 "$here/blastcount.toml" /etc/blastcount/blastcount.toml
systemd-sysusers /usr/lib/sysusers.d/blastcount.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/blastcount.conf
systemctl enable --quiet blastcount.service blastcount-upkeep.timer
# In a tree that is not booted there is nothing to start.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl restart blastcount.service blastcount-upkeep.timer
fi
echo "installed $("$target/bin/blastcount" --version); configuration: /etc/blastcount/blastcount.toml"
echo "then: sudo systemctl restart blastcount; sudo -u blastcount blastcount check; sudo -u blastcount blastcount status"
