# SPDX-License-Identifier: MIT
# Every switch of the build, with its default.

# A project that adds this one as a folder wants the library alone, and no warnings turned into errors.
option(PAGEHEAP_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(PAGEHEAP_BUILD_TOOL "Build the command-line tool, the benchmarks and the recorder" ${PROJECT_IS_TOP_LEVEL})
option(PAGEHEAP_BUILD_EXAMPLES "Build the examples, as far as the libraries they need are installed"
  ${PAGEHEAP_BUILD_TESTS})
option(PAGEHEAP_GATES "Register the style gates as tests" OFF)
option(PAGEHEAP_WERROR "Turn warnings into errors" OFF)

# Off by default: what the hot path must inline is inline in headers, and a static library made of link-time
# objects asks the same compiler of whoever links it.
option(PAGEHEAP_LTO "Optimise across files at link time" OFF)

set(PAGEHEAP_SANITIZE "" CACHE STRING "Sanitizers for everything, as in -fsanitize=: address, undefined, thread, memory")
option(PAGEHEAP_COVERAGE "Count which lines run, for tools/coverage.py" OFF)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "RelWithDebInfo (-O2 -g), Debug, Release" FORCE)
endif()
