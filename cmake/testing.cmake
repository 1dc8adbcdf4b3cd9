# SPDX-License-Identifier: MIT
# What every folder of tests shares: cmocka, and the labels.
#
# Labels     long          too slow for `make check`; `make long` runs these
#            gate          a style gate; `make gates` runs these alone
#            install       installs the library and builds against it; needs an ordinary build
#            no-sanitizer  cannot run under any sanitizer or valgrind (RLIMIT_AS, exact memory counts)
#            no-asan, no-ubsan, no-tsan, no-msan, no-valgrind, no-coverage    cannot run under that one
find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# One test program of a folder that sees the public headers only: NAME.c, linked with the static library.
function(pageheap_add_test name)
  add_executable(${name} ${name}.c)
  target_link_libraries(${name} PRIVATE pageheap_static PkgConfig::CMOCKA Threads::Threads)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 240)
endfunction()
