# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154  # run.sh sets what is not set here
# sljit's two test programs, built by its own makefile.  Two views need no page that changes its permissions, so
# both run where the system refuses such pages: what the looks at the mappings could miss would fail.

client_build() {
    build_adapter sljit/sljit_heap.c
    make -C source -j "$JOBS" CC="$CC" EXTRA_CPPFLAGS="-include $here/sljit/sljit_heap.h" \
        EXTRA_LIBS="$adapter" >build.log 2>&1
}

client_suite() {
    for program in sljit_test regex_test; do
        timeout "$SECONDS_MAX" "$refuse_wx" "$mdwe" "source/bin/$program" || return 1
    done
}
