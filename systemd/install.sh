#!/bin/sh
# Blastcount as a service on a 64-bit Raspberry Pi OS or Debian. Run it as root.
#
#   install.sh [WHEELS]     install, or bring up to date; configuration and log stay as they are. WHEELS is a folder of
#                           wheels that wheelhouse.sh made for this machine: nothing is downloaded then. Either way only
#                           what has the hashes that were written down is installed.
#   install.sh --rollback   go back to the version before this one; again, and it is the newer one
#   install.sh --remove     remove the program; configuration, log and backups stay
#
# A version is an environment of its own, in one of two places; /opt/blastcount is a link to the one in use. The link is
# changed when the other is complete, on the disk, and agrees with its golden field: an installation that fails, is
# killed or loses its power leaves the version that works. Where the service worked and does not start with the new
# version, the one before is put in use again.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
target=/opt/blastcount
units="blastcount.service blastcount-review.service blastcount-forward.service blastcount-upkeep.service blastcount-upkeep.timer"

fail() { echo "install.sh: $*" >&2; exit 1; }
is_booted() { [ -d /run/systemd/system ]; }

if [ "$(readlink "$target" || true)" = blastcount.a ]; then other=$target.b; else other=$target.a; fi

# put FROM TO: a file that is whole or as it was, whenever this is killed. link TO NAME: a link that is.
put() { install -D -m 644 "$1" "$2.new" && mv -T "$2.new" "$2"; }
link() { ln -sfn "$1" "$2.new" && mv -T "$2.new" "$2"; }

# activate ENVIRONMENT FIRST: put a complete environment in use, with the units and pages that belong to it. Sets failed
# where the service does not start.
activate() {
    link "$(basename "$1")" "$target"
    link "$target/bin/blastcount" /usr/local/bin/blastcount
    put "$1/systemd/blastcount.sysusers" /usr/lib/sysusers.d/blastcount.conf
    put "$1/systemd/blastcount.tmpfiles" /usr/lib/tmpfiles.d/blastcount.conf
    for unit in $units; do put "$1/systemd/$unit" "/etc/systemd/system/$unit"; done
    put "$1/pages/blastcount.1" /usr/local/share/man/man1/blastcount.1
    put "$1/pages/blastcount.bash" /usr/share/bash-completion/completions/blastcount
    put "$1/pages/blastcount.zsh" /usr/share/zsh/vendor-completions/_blastcount
    put "$1/pages/blastcount.fish" /usr/share/fish/vendor_completions.d/blastcount.fish
    [ -e /etc/blastcount/blastcount.toml ] || put "$1/systemd/blastcount.toml" /etc/blastcount/blastcount.toml
    # Whose packages are believed is said once: a package does not say it of its own maker.
    [ -e /etc/blastcount/update-signers ] || [ ! -e "$1/systemd/update-signers" ] ||
        put "$1/systemd/update-signers" /etc/blastcount/update-signers
    sync
    systemd-sysusers /usr/lib/sysusers.d/blastcount.conf
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/blastcount.conf
    # Whoever has switched the service off finds it off after an upgrade.
    [ -z "$2" ] || systemctl enable --quiet blastcount.service blastcount-upkeep.timer
    if is_booted; then
        systemctl daemon-reload
        for unit in blastcount.service blastcount-upkeep.timer; do
            ! systemctl is-enabled --quiet "$unit" || systemctl restart "$unit" || {
                failed=yes
                echo "install.sh: $unit is installed and does not start: journalctl -u $unit" >&2
            }
        done
        systemctl try-restart blastcount-review.service ||
            echo "install.sh: the review page does not start: journalctl -u blastcount-review" >&2
        systemctl try-restart blastcount-forward.service ||
            echo "install.sh: the log is not sent: journalctl -u blastcount-forward" >&2
        said=$(systemctl show --property StatusText --value blastcount.service)
        [ -z "$said" ] || echo "the service says: $said"
    fi
    echo "in use: $("$target/bin/blastcount" --version); configuration: /etc/blastcount/blastcount.toml"
}

# A version that does not agree with its golden field is not put in use. One that cannot use model or configuration
# (exit code 3) is no worse than one in use that cannot either.
check() {
    code=0
    "$1/bin/blastcount" check --program >&2 || code=$?
    [ "$code" != 3 ] || "$target/bin/blastcount" check --program >/dev/null 2>&1 || return 0
    [ "$code" = 0 ] || fail "the new version is not fit to count here, see above; what was in use stays in use"
}

# as_service PROGRAM ARGUMENT...: of the version in use, as the service's user.
as_service() {
    program=$target/bin/$1
    shift
    runuser -u blastcount -- env STATE_DIRECTORY=/var/lib/blastcount "$program" "$@"
}

# What a newer program changes in the log's form an older one cannot read: before the change there is a backup, of the log
# that the configuration names.
back_up() {
    [ -x "$target/bin/blastcount" ] || return 0
    log=$(as_service python -I -c 'from edge.config import load_config; print(load_config(needed=["log"]).log_path)') || {
        echo "install.sh: no backup of the log could be made: it is not known where the log lies; it stays as it is" >&2
        return 0
    }
    [ ! -e "$log" ] || as_service blastcount log backup /var/backups/blastcount ||
        echo "install.sh: no backup of $log could be made; it stays as it is" >&2
}

[ "$(id -u)" = 0 ] || fail "needs root: sudo $0 $*"
is_booted || command -v systemctl >/dev/null || fail "needs systemd"
[ -L "$target" ] || [ ! -e "$target" ] || fail "$target: is there and no link of this script's; move it away"
exec 9<"$(dirname "$target")"
flock -n 9 || fail "another installation is under way; wait for it"
failed=""

case ${1:-} in
--rollback)
    [ -e "$other/complete" ] || fail "there is no version before this one"
    activate "$other" ""
    exit 0
    ;;
--remove)
    now=""; ! is_booted || now=--now
    systemctl disable --quiet $now $units || true
    rm -rf "$target" "$target.a" "$target.b" "$target.update" /usr/lib/sysusers.d/blastcount.conf /usr/lib/tmpfiles.d/blastcount.conf
    for unit in $units; do rm -f "/etc/systemd/system/$unit"; done
    rm -f /usr/local/bin/blastcount /usr/local/share/man/man1/blastcount.1 \
        /usr/share/bash-completion/completions/blastcount /usr/share/zsh/vendor-completions/_blastcount \
        /usr/share/fish/vendor_completions.d/blastcount.fish
    ! is_booted || systemctl daemon-reload
    echo "removed; the log stays in /var/lib/blastcount, its backups in /var/backups/blastcount"
    exit 0
    ;;
-*) fail "$1: no such option; see the head of $0" ;;
esac

python3 -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "needs Python 3.11 or newer with venv: apt install python3 python3-venv"
command -v ssh-keygen >/dev/null ||
    echo "install.sh: signed packages cannot be verified by blastcount update: apt install openssh-client" >&2
[ "$(getconf LONG_BIT)" = 64 ] || fail "needs a 64-bit system: the TFLite interpreter has no 32-bit wheels"
if [ $# -gt 0 ]; then
    [ -d "$1" ] || fail "$1: no such folder of wheels"
    [ -e "$1/requirements.txt" ] || fail "$1: lists no wheels with their hashes; wheelhouse.sh makes such a folder, see docs/pi.md"
    python=$(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    set -- "$1" "$1"/numpy-*-"$python"-*.whl
    [ -e "$2" ] || fail "$1: holds no wheels for this machine's Python ($python), see docs/pi.md"
fi

first=""; [ -e /etc/systemd/system/blastcount.service ] || first=yes
build=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$build"' EXIT
rm -f "$other/complete"
rm -rf "$other"
# With -I: Python alone would take the clone's modules, where this is called in a clone, and leave compiled ones in it.
# Everything is made anew: pip keeps old code where a version's name does not change. The system's packages are seen,
# because picamera2 and lgpio come from apt.
python3 -I -m venv --system-site-packages "$other"
pip="$other/bin/pip install --quiet --disable-pip-version-check --no-compile --ignore-installed"
if [ $# -gt 0 ]; then
    # Of these wheels alone, whatever else pip is told on this machine.
    PIP_CONFIG_FILE=/dev/null $pip --isolated --no-index --find-links "$1" --require-hashes -r "$1/requirements.txt"
else
    # In a copy: a build leaves its folders, which would be root's, in the tree.
    tar -C "$here/.." --exclude='./.venv*' --exclude=./out --exclude=./build --exclude='*.egg-info' \
        --exclude='*.whl' --exclude='*.deb' --exclude=__pycache__ -cf - . | tar -C "$build" --no-same-owner -xf -
    $pip --require-hashes -r "$here/locked/build.txt"
    $pip --use-pep517 --no-build-isolation --require-hashes -r "$here/locked/device.txt"
    $pip --no-deps --no-build-isolation "$build"
fi
# What root put beside the version in use, for a fleet (docs/fleet.md), goes along: pure Python, which needs nothing else.
for part in "$target"/lib/python3.*/site-packages/paho "$target"/lib/python3.*/site-packages/paho_mqtt-*.dist-info; do
    [ ! -e "$part" ] || cp -r "$part" "$other"/lib/python3.*/site-packages
done
"$other/bin/python" -I -m edge.manual "$other/pages"
cp -r "$here" "$other/systemd"
check "$other"
sync
: >"$other/complete"

works="" before=$target.$([ "$other" = "$target.a" ] && echo b || echo a)
! is_booted || ! systemctl is-active --quiet blastcount.service || works=yes
back_up
activate "$other" "$first"
if [ -n "$works" ] && [ -n "$failed" ] && [ -e "$before/complete" ]; then
    activate "$before" ""
    fail "the service does not start with the new version; the one before is in use again"
fi
echo "then: sudo -u blastcount blastcount check; sudo adduser YOU blastcount; man blastcount"
