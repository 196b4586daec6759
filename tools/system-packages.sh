#!/bin/sh
# Installs the Debian packages named that are not there yet; says plainly what it does. usage: … PACKAGE...
set -eu
missing=
for package in "$@"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "these Debian packages are missing and only root can install them:$missing" >&2
        echo "  → as root: apt-get install --no-install-recommends$missing" >&2
        exit 3
    fi
    as_root=sudo
fi
echo "installing Debian packages:$missing"
# policy-rc.d answers 101: no service of these packages may start on its own
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod 755 /usr/sbin/policy-rc.d
    trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
fi
$as_root apt-get update --quiet --quiet
# shellcheck disable=SC2086 - one word a package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends $missing
# they are wanted for their programs; what they would run at the next boot stays off
case "$missing " in *" prometheus "*)
    $as_root systemctl disable --quiet prometheus.service 2>/dev/null || true ;;
esac
