#!/bin/sh
# debian_root.sh SUITE ROOT [PACKAGE...]: a small Debian tree to boot or chroot into. Needs root and debootstrap.
# Built beside ROOT and moved there when it is complete, so that an interrupted run leaves nothing half-made.
set -eu
suite=$1 root=$2
shift 2
packages="python3,python3-venv,ca-certificates"
for package in "$@"; do packages="$packages,$package"; done
rm -rf "$root.part"
debootstrap --variant=minbase --include="$packages" "$suite" "$root.part"
rm -rf "$root.part/var/cache/apt/archives"
mv "$root.part" "$root"
