# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154  # run.sh sets what is not set here
# LuaJIT, whose tests are a project of their own: LuaJIT-test-cleanup, SUITE_DIR is the folder of its test.lua.
# They are older than LuaJIT, and some fail.  So a second LuaJIT, without anything of ours, goes through them
# too: each test has to end as it ends there.
#
# They are run three times: as they are; with all address space within 2 GiB of the interpreter taken but
# 64 MiB; and with all of it taken, where code must lie far away.

client_build() {
    [ -f "$suite_dir/test.lua" ] || { echo "no test.lua in SUITE_DIR" >build.log; return 1; }
    build_adapter luajit/luajit_heap.c
    # make expands this once for each object
    # shellcheck disable=SC2016
    only='$(if $(filter lj_mcode.o lj_ccallback.o,$@),-include '$here'/luajit/luajit_heap.h)'
    cp -R source unchanged
    make -C unchanged/src -j "$JOBS" CC="$CC" BUILDMODE=static >unchanged.log 2>&1
    make -C source/src -j "$JOBS" CC="$CC" BUILDMODE=static XCFLAGS="$only" TARGET_LIBS="$adapter" >build.log 2>&1
}

# usage: run_tests LUAJIT; prints a line for each file of tests, the status first
run_tests() {
    cd "$suite_dir" || return 1
    timeout "$SECONDS_MAX" "$refuse_wx" "$1" test.lua >"$work/output" 2>&1
    echo "$? test.lua: $(tail -n 2 "$work/output" | tr '\n' ' ')"
    # These are not yet part of test.lua; they find what they share from here.
    cd lib || return 1
    for file in ffi/*.lua ../misc/*.lua; do
        timeout 60 "$refuse_wx" "$1" "$file" >"$work/output" 2>&1
        echo "$? $file"
    done
}

client_suite() {
    (run_tests "$work/unchanged/src/luajit") >"$work/unchanged.results"
    for hole_mib in none 64 0; do
        [ "$hole_mib" = none ] || export LUAJIT_HEAP_CROWD="$hole_mib"
        (run_tests "$work/source/src/luajit") >"$work/results"
        echo "holes within 2 GiB, in MiB: $hole_mib; $(grep -c '^0' "$work/results") of" \
            "$(wc -l <"$work/results") files end with 0; $(head -n 1 "$work/results")"
        diff "$work/unchanged.results" "$work/results" || return 1
    done
    grep -q '^0' "$work/results"
}
