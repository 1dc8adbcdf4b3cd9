# SPDX-License-Identifier: MIT
# The style gates as tests of their own, so that one ctest run says it all.
enable_testing()

function(pageheap_add_gate name)
  add_test(NAME gate_${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(gate_${name} PROPERTIES LABELS gate TIMEOUT 300)
endfunction()

set(tools ${PROJECT_SOURCE_DIR}/tools)
pageheap_add_gate(floors ${tools}/check_floors.py)
pageheap_add_gate(size ${tools}/check_size.py)
pageheap_add_gate(words ${tools}/check_words.py)
pageheap_add_gate(format ${tools}/check_format.sh)
pageheap_add_gate(docs ${tools}/check_docs.sh)
pageheap_add_gate(symbols ${tools}/check_symbols.sh
  $<TARGET_FILE:pageheap_shared> $<TARGET_FILE:pageheap_static> $<TARGET_FILE:pageheap_exec_tools>)

# This build is itself the gate for its own compiler when its warnings are errors.
foreach(compiler gcc clang)
  set(id_gcc GNU)
  set(id_clang Clang)
  if(NOT PAGEHEAP_WERROR OR NOT CMAKE_C_COMPILER_ID STREQUAL id_${compiler})
    pageheap_add_gate(warnings_${compiler} ${tools}/check_warnings.sh ${compiler})
    # It builds with every core, and so runs alone.
    set_tests_properties(gate_warnings_${compiler} PROPERTIES RUN_SERIAL ON)
  endif()
endforeach()
