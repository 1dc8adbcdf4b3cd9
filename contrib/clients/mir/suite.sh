# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154  # run.sh sets what is not set here
# MIR, by its own makefile: the tests of its interpreter and its generator, and C programs compiled by c2m and
# run, with code generated block by block and by several threads.
#
# MIR asks for 128 MiB and cuts them up itself; with MIR_CODE_RESERVE_SIZE=0 it asks for each piece.  The C
# programs, 2200 processes, do the latter; what is quick of the others is built and run both ways.  Left out are
# the tests in which c2m compiles itself, because that second MIR is code that was generated, which the linker
# cannot reach, and of gen-test the two programs that do not compile (get-thunk-addr.c, issue219.c).
#
# -O1 builds in half the time.
slow="interp-test gen-test-loop gen-test-sieve"
quick="readme-example-test mir-bin-run-test"
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    quick="gen-test$number $quick"
done

# usage: mir_make RESERVE_BYTES TARGET...
mir_make() {
    reserve=$1
    shift
    mkdir -p "build-$reserve"
    timeout "$SECONDS_MAX" "$refuse_wx" make -C source -j "$JOBS" BUILD_DIR="$work/build-$reserve" \
        CC="$CC" COPTFLAGS="-O1 -DNDEBUG" \
        CPPFLAGS="-I. -DMIR_CODE_RESERVE_SIZE=$reserve" LDFLAGS="-Wl,--wrap=_MIR_init $adapter" "$@"
}

client_build() {
    build_adapter mir/mir_heap.c -isystem "$work/source"
    mir_make 0 "$work/build-0/c2m" >build.log 2>&1
}

# usage: mir_tests RESERVE_BYTES TARGET...
mir_tests() {
    mir_make "$@" >"tests-$1.log" 2>&1 || { tail -n 40 "tests-$1.log"; return 1; }
    reserve=$1
    shift
    echo "with $reserve bytes reserved: $* passed"
}

client_suite() {
    # shellcheck disable=SC2086  # these are meant to be split
    mir_tests 0 $slow $quick && mir_tests 134217728 $quick || return 1
    for how in bb-gen parallel-gen; do
        mir_make 0 "c2mir-$how-test" >"suite-$how.log" 2>&1
        # Each test counts twice where it succeeds: by what it prints, and by what it complains of.
        tr '\r' '\n' <"suite-$how.log" | awk -v how="$how" '
            /^Tests / { tests = $2 + 0; good = $5 }
            END { printf "C programs, %s: %d, of 2 facts each %d hold\n", how, tests, good
                  exit !(tests > 0 && good == 2 * tests) }' || return 1
    done
}
