#!/bin/sh
# debian_root.sh SUITE ARCHITECTURE ROOT [PACKAGE...]: a small Debian tree to boot or chroot into. Needs root and
# mmdebstrap, which takes a third of the time, or debootstrap, and qemu-user-static with binfmt for an architecture that
# is not this machine's.
# Built beside ROOT and moved there when it is complete, so that an interrupted run leaves nothing half-made: dpkg need not
# wait for the disk after every package.
set -eu
suite=$1 architecture=$2 root=$3
shift 3
packages="python3,python3-venv,ca-certificates"
for package in "$@"; do packages="$packages,$package"; done
rm -rf "$root.part"
if command -v mmdebstrap >/dev/null; then
    mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --architectures="$architecture" --include="$packages" "$suite" "$root.part"
elif [ "$architecture" = "$(dpkg --print-architecture)" ]; then
    debootstrap --variant=minbase --include="$packages" "$suite" "$root.part"
else
    debootstrap --arch="$architecture" --foreign --variant=minbase --include="$packages" "$suite" "$root.part"
    chroot "$root.part" /debootstrap/debootstrap --second-stage
fi
rm -rf "$root.part/var/cache/apt/archives"
mv "$root.part" "$root"
