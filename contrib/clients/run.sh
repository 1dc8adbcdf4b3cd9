#!/bin/sh
# SPDX-License-Identifier: MIT
# Another project's code generator, from its unmodified sources, on a heap of ours, through its own tests.
#
# usage: run.sh CLIENT SOURCE_DIR [SUITE_DIR]
#
# CLIENT is sljit, luajit or mir.  SOURCE_DIR holds its sources and is only read, SUITE_DIR its tests where they
# are a project of their own (luajit).  Everything is built in a folder that is gone at the end; WORK_DIR names
# a new one that stays.  CC and JOBS say what compiles and how much at once; SECONDS_MAX ends what hangs.
#
# Fails if the suite does, if the heap served no allocation or refused what it should not, and if the mappings
# ever had a line that is writable and executable; a request for such memory ends the process that makes it.
# PAGEHEAP_CLIENT_BACKEND=rwx asks for it, and allows it.
# shellcheck disable=SC2034  # the suites use what is set here
set -eu

[ $# -ge 2 ] || { sed -n '5p' "$0" | cut -c3-; exit 2; }
client=$1
source_dir=$(cd "$2" && pwd)
suite_dir=${3:+$(cd "$3" && pwd)}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -f "$here/$client/suite.sh" ] || { echo "no client of this name: $client"; exit 2; }

CC=${CC:-cc}
JOBS=${JOBS:-1}
SECONDS_MAX=${SECONDS_MAX:-900}
if [ -n "${WORK_DIR:-}" ]; then
    mkdir "$WORK_DIR"
    work=$(cd "$WORK_DIR" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
cd "$work"

# Our part: the library, what all adapters share, and the client's adapter (in build_adapter).  $adapter is what
# the client's programs are linked with.
flags="-std=c11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Wundef -Wconversion -Werror"
flags="$flags -I$root/include -I$root/examples -I$here"
adapter="$work/adapter.o $work/client.o $work/pageheap/libpageheap.a -lpthread"

build_library() {
    cmake -S "$root" -B pageheap -DCMAKE_C_COMPILER="$CC" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DPAGEHEAP_BUILD_TESTS=OFF -DPAGEHEAP_BUILD_TOOL=OFF -DPAGEHEAP_BUILD_EXAMPLES=OFF
    cmake --build pageheap -j "$JOBS" --target pageheap_static
    # shellcheck disable=SC2086  # $flags is meant to be split
    "$CC" $flags -c "$here/client.c" -o client.o
    # shellcheck disable=SC2086
    "$CC" $flags "$here/refuse_wx.c" -o refuse_wx
    # shellcheck disable=SC2086
    "$CC" $flags "$root/tests/exec/under_mdwe.c" -o under_mdwe
}

# usage: build_adapter FILE [FLAG...]; the client's headers are no concern of our warnings
build_adapter() {
    file=$1
    shift
    # shellcheck disable=SC2086
    "$CC" $flags "$@" -c "$here/$file" -o adapter.o
}

# Prefixes of a command.  $refuse_wx ends what asks for memory that is writable and executable; under $mdwe the
# system also refuses to make executable what was writable, which is how heaps work whose pages flip.
forbid_wx() {
    [ "${PAGEHEAP_CLIENT_BACKEND:-}" = rwx ] || {
        refuse_wx=$work/refuse_wx
        mdwe=$work/under_mdwe
    }
    # 77 says that the kernel has no such thing.
    "${refuse_wx:=env}" true || [ $? != 77 ] || refuse_wx='env'
    "${mdwe:=env}" /bin/true || [ $? != 77 ] || mdwe='env'
}

# Add up the lines of the log, and judge.  $1 is the suite's status.
judge() {
    awk -v client="$client" -v status="$1" '
        { for (i = 1; i <= NF; i++) { split($i, pair, "="); sum[pair[1]] += pair[2] }
          split($1, pair, "="); backend = pair[2]; processes++ }
        END {
            printf "%s: suite %s, backend %s, %d processes\n", client, status == 0 ? "passed" : "FAILED (" status ")",
                   backend, processes
            printf "  %d spans taken (%d within bounds), %d given back, %d times published, %d refusals\n",
                   sum["taken"], sum["placed"], sum["given"], sum["published"], sum["refused"]
            printf "  %d looks at the mappings, %d lines writable and executable; %d heaps far from the program\n",
                   sum["looks"], sum["wx"], sum["far"]
            if (sum["taken"] == 0) print "  FAILED: no memory came from the heap"
            if (sum["refused"] != 0) print "  FAILED: the heap refused what it should not"
            if (sum["wx"] != 0 && backend != "rwx") print "  FAILED: writable and executable"
            exit !(status == 0 && sum["taken"] != 0 && sum["refused"] == 0 && (sum["wx"] == 0 || backend == "rwx"))
        }' "$PAGEHEAP_CLIENT_LOG"
}

# shellcheck source=/dev/null
. "$here/$client/suite.sh"

cp -R "$source_dir" source
echo "building in $work"
build_library >library.log 2>&1 || { cat library.log; exit 1; }
forbid_wx
client_build || { tail -n 40 build.log; echo "$client: not built"; exit 1; }

export PAGEHEAP_CLIENT_LOG="$work/clients.log"
: >"$PAGEHEAP_CLIENT_LOG"
status=0
client_suite || status=$?
judge "$status"
