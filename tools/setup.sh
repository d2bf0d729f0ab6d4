#!/bin/sh
# Installs the Debian packages of a group of tools/packages that are not there yet. Those of another architecture
# (name:arm64) are not installed but unpacked below a folder, so that the machine stays of one architecture.
# usage: setup.sh GROUP [FOLDER]
set -eu
group=$1
folder=${2:-}
packages=$(sed -n "s/^$group: //p" "$(dirname "$0")/packages")
[ -n "$packages" ] || { echo "setup: no group \"$group\" in tools/packages" >&2; exit 2; }

missing=
foreign=
for package in $packages; do
  case $package in
    *:*) [ -d "$folder/usr/share/doc/${package%:*}" ] || foreign="$foreign $package" ;;
    *)
      dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
      ;;
  esac
done
[ -n "$missing$foreign" ] || exit 0
[ -z "$foreign" ] || [ -n "$folder" ] || { echo "setup: no folder for$foreign" >&2; exit 2; }

command -v apt-get >/dev/null || {
  echo "setup: this needs the counterparts of these Debian packages:$missing$foreign" >&2
  exit 1
}

if [ -n "$missing" ]; then
  sudo=
  if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
  echo "setup: installing$missing"
  # A machine that has never asked for lists cannot find packages; one that has may be out of date.
  $sudo apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# The lists of the other architecture are kept apart from the machine's.
if [ -n "$foreign" ]; then
  echo "setup: unpacking$foreign below $folder"
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
  cd "$folder/apt"
  lists() {
    apt-get -qq -o "APT::Architectures::=${foreign##*:}" -o APT::Sandbox::User= -o "Dir::State::Lists=$PWD/lists" \
      -o "Dir::Cache=$PWD" "$@"
  }
  lists update
  # shellcheck disable=SC2086
  lists download $foreign
  for file in *.deb; do dpkg -x "$file" ..; done
  rm -rf "$PWD"
fi
