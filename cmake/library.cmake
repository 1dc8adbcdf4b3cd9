# SPDX-License-Identifier: MIT
# The two libraries, made of one set of objects: src/ defines pageheap_objects, compat/ pageheap_compat.
set(objects $<TARGET_OBJECTS:pageheap_objects> $<TARGET_OBJECTS:pageheap_compat>)

add_library(pageheap_static STATIC ${objects})
add_library(pageheap_shared SHARED ${objects})
add_library(pageheap::static ALIAS pageheap_static)
add_library(pageheap::pageheap ALIAS pageheap_shared)

foreach(library pageheap_static pageheap_shared)
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # With glibc before 2.34 the threads are a library of their own.
  target_link_libraries(${library} PRIVATE Threads::Threads)
  set_target_properties(${library} PROPERTIES
    OUTPUT_NAME pageheap
    LINKER_LANGUAGE C
    ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
endforeach()
set_target_properties(pageheap_static PROPERTIES EXPORT_NAME static)
set_target_properties(pageheap_shared PROPERTIES EXPORT_NAME pageheap SOVERSION 0)

# The map is the list of what the shared library shows; tools/check_symbols.sh compares it with the headers.
set(map ${PROJECT_SOURCE_DIR}/src/pageheap.map)
target_link_options(pageheap_shared PRIVATE -Wl,--version-script=${map} -Wl,-z,nodelete)
set_target_properties(pageheap_shared PROPERTIES LINK_DEPENDS ${map})

# Sanitizers leave their own functions to be found at run time, so nothing may insist on finding them now.
if(NOT PAGEHEAP_SANITIZE)
  target_link_options(pageheap_shared PRIVATE -Wl,-z,defs)
endif()

if(PAGEHEAP_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(LANGUAGES C)
  set_target_properties(pageheap_shared PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON)
  foreach(target pageheap_objects pageheap_compat)
    set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON)
    # The archive keeps ordinary code too, for those who link it without link-time optimisation.
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${target} PRIVATE -ffat-lto-objects)
    endif()
  endforeach()
endif()
