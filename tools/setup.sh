#!/bin/sh
# Installs the Debian packages of a group of tools/packages that are not there yet.
set -eu
group=$1
packages=$(sed -n "s/^$group: //p" "$(dirname "$0")/packages")
[ -n "$packages" ] || { echo "setup: no group \"$group\" in tools/packages" >&2; exit 2; }

missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
  echo "setup: this needs the counterparts of these Debian packages:$missing" >&2
  exit 1
}
sudo=
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
echo "setup: installing$missing"
# A machine that has never asked for lists cannot find packages; one that has may be out of date.
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
