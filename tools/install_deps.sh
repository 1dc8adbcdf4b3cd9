#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what tools/packages.txt lists and this machine lacks.  Says nothing when nothing is missing.
#
# PAGEHEAP_NO_INSTALL=1 skips it.  Where it cannot install it says what is needed and succeeds: the build
# itself is the judge of what it cannot do without.
set -eu

[ "${PAGEHEAP_NO_INSTALL:-0}" = 1 ] && exit 0

cd "$(dirname "$0")/.."
packages=$(sed -e 's/#.*//' tools/packages.txt | tr -s ' \n' ' ')

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [ -e build/.deps-told ] || echo "This is not a Debian system; pageheap needs what Debian calls:$packages" >&2
    mkdir -p build && : >build/.deps-told
    exit 0
fi

# One question for all packages: dpkg-query lists those it knows, and complains of the others on stderr.
# shellcheck disable=SC2086  # the list is meant to be split
installed=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' $packages 2>/dev/null |
    sed -n 's/^installed \([^:]*\).*/\1/p' || true)
missing=
for package in $packages; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Neither root nor sudo; please install:$missing" >&2
        exit 0
    fi
    as_root=sudo
fi

echo "Installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive

# shellcheck disable=SC2086
install_missing() {
    $as_root apt-get install -y --no-install-recommends $missing >&2
}

# The lists of a fresh machine are empty or old, and only then does the first try fail.
install_missing || { $as_root apt-get update >&2 && install_missing; } || {
    echo "Not all of these could be installed; going on without:$missing" >&2
}
