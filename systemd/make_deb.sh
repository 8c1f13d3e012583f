#!/bin/sh
# make_deb.sh WHEELS [FOLDER]: a Debian package that installs blastcount as a service without a network.
# WHEELS is a folder that wheelhouse.sh made; the package is for the machine and the Python of those wheels.
# Needs dpkg-deb, which every Debian has. On the device: sudo apt install ./blastcount_VERSION_ARCHITECTURE.deb
set -eu

here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "make_deb.sh: $*" >&2; exit 1; }
[ $# -ge 1 ] && [ -d "$1" ] || fail "name the folder of wheels"
wheels=$1 folder=${2:-.}

[ -e "$wheels/requirements.txt" ] || fail "$wheels: lists no wheels with their hashes; wheelhouse.sh makes such a folder"

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

# To dpkg a development version comes after the release that it leads to, unless a tilde says otherwise.
debian=$(echo "$version" | sed 's/\.dev/~dev/; s/\([0-9]\)\(a\|b\|rc\)\([0-9]\)/\1~\2\3/')
cat >"$root/DEBIAN/control" <<CONTROL
Package: blastcount
Version: $debian
Architecture: $architecture
Maintainer: blastcount maintainers <maintainers@localhost>
Depends: python3 (>= 3.$python), python3 (<< 3.$((python + 1))), python3-venv, libstdc++6, openssh-client, systemd
Suggests: python3-picamera2, python3-gpiozero, python3-lgpio, bash-completion, man-db
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
[ "$1" != remove ] || /usr/share/blastcount/systemd/install.sh --remove
PRERM
cat >"$root/DEBIAN/postrm" <<'POSTRM'
#!/bin/sh
set -e
# The log and its backups stay, whatever happens: they are the laboratory's, not the program's.
if [ "$1" = purge ]; then
    rm -rf /etc/blastcount
    [ ! -d /var/lib/blastcount ] ||
        echo "blastcount: to remove the log, too, for ever: sudo rm -r /var/lib/blastcount /var/backups/blastcount"
fi
POSTRM
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
# Wheels are compressed already.
dpkg-deb --root-owner-group -Znone --build "$root" "$folder/blastcount_${debian}_$architecture.deb" >/dev/null
echo "$folder/blastcount_${debian}_$architecture.deb"
