# SPDX-License-Identifier: MIT
# How everything is compiled: strict C11 (C++17 where C++ is), all warnings, and the sanitizers if asked for.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

include(CheckLanguage)
if(PAGEHEAP_BUILD_TESTS OR PAGEHEAP_BUILD_TOOL)
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
  endif()
endif()

if(PROJECT_IS_TOP_LEVEL)
  add_compile_options(-Wall -Wextra -Wundef -Wconversion)
endif()
if(PAGEHEAP_WERROR)
  add_compile_options(-Werror)
endif()

if(PAGEHEAP_SANITIZE)
  # A report must fail the test that caused it, so no sanitizer may carry on after one.
  add_compile_options(-fsanitize=${PAGEHEAP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PAGEHEAP_SANITIZE})
endif()

if(PAGEHEAP_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()

include_directories(${PROJECT_SOURCE_DIR}/include)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
