#!/bin/sh
# make_deb.sh WHEELS [FOLDER]: a Debian package that installs blastcount as a service without a network.
# WHEELS is the folder of docs/pi.md, "Without a network"; the package is for the machine and the Python of those wheels.
# Needs dpkg-deb, which every Debian has. On the device: sudo apt install ./blastcount_VERSION_ARCHITECTURE.deb
set -eu

here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "make_deb.sh: $*" >&2; exit 1; }
[ $# -ge 1 ] && [ -d "$1" ] || fail "name the folder of wheels"
wheels=$1 folder=${2:-.}

one() { set -- "$wheels"/$1; [ -e "$1" ] || fail "$wheels: holds no $1"; basename "$1"; }
own=$(one 'blastcount-*.whl')
version=${own#blastcount-}; version=${version%%-*}
numpy=$(one 'numpy-*.whl')
case $numpy in *aarch64*) architecture=arm64 ;; *x86_64*) architecture=amd64 ;; *) fail "$numpy: for which machine?" ;; esac
python=$(echo "$numpy" | sed -n 's/.*-cp3\([0-9]*\)-.*/\1/p')
[ -n "$python" ] || fail "$numpy: for which Python?"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/DEBIAN" "$root/usr/share/blastcount"
cp -r "$wheels" "$root/usr/share/blastcount/wheels"
cp -r "$here" "$root/usr/share/blastcount/systemd"
chmod -R u+rwX,go+rX "$root"
chmod 755 "$root"

cat >"$root/DEBIAN/control" <<CONTROL
Package: blastcount
Version: $version
Architecture: $architecture
Maintainer: blastcount maintainers <maintainers@localhost>
Depends: python3 (>= 3.$python), python3 (<< 3.$((python + 1))), python3-venv, systemd
Suggests: python3-picamera2, python3-gpiozero, python3-lgpio
Section: science
Priority: optional
Description: counts cells that look like blasts in microscope camera frames
 A daemon, its units and its own Python environment in /opt/blastcount, installed without a network.
 For research use only; it is not a medical device.
CONTROL
cat >"$root/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
set -e
[ "$1" != configure ] || /usr/share/blastcount/systemd/install.sh /usr/share/blastcount/wheels
POSTINST
cat >"$root/DEBIAN/prerm" <<'PRERM'
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    stop=""; [ ! -d /run/systemd/system ] || stop=--now
    systemctl disable --quiet $stop blastcount.service blastcount-review.service blastcount-upkeep.timer || true
fi
PRERM
cat >"$root/DEBIAN/postrm" <<'POSTRM'
#!/bin/sh
set -e
# The log in /var/lib/blastcount and its backups stay, whatever happens: they are the laboratory's, not the program's.
case $1 in
remove | purge)
    rm -rf /opt/blastcount /usr/lib/sysusers.d/blastcount.conf /usr/lib/tmpfiles.d/blastcount.conf
    rm -f /usr/local/bin/blastcount /etc/systemd/system/blastcount*.service /etc/systemd/system/blastcount*.timer
    [ "$1" != purge ] || rm -rf /etc/blastcount
    ;;
esac
POSTRM
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
# Wheels are compressed already.
dpkg-deb --root-owner-group -Znone --build "$root" "$folder/blastcount_${version}_$architecture.deb" >/dev/null
echo "$folder/blastcount_${version}_$architecture.deb"
