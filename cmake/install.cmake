# SPDX-License-Identifier: MIT
# What `make install` puts where; the CMake package and the pkg-config file can be moved with their prefix.
include(CMakePackageConfigHelpers)

install(TARGETS pageheap_static pageheap_shared pageheap_exec_tools EXPORT pageheap-targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/pageheap
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/pageheap)
install(EXPORT pageheap-targets NAMESPACE pageheap:: DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/pageheap-config.cmake.in
  ${PROJECT_BINARY_DIR}/pageheap-config.cmake
  INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/pageheap-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/pageheap-config.cmake
  ${PROJECT_BINARY_DIR}/pageheap-config-version.cmake
  DESTINATION ${package_dir})

set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}/${pkgconfig_dir}
  OUTPUT_VARIABLE PAGEHEAP_PREFIX_FROM_PC)
configure_file(${PROJECT_SOURCE_DIR}/pageheap.pc.in ${PROJECT_BINARY_DIR}/pageheap.pc @ONLY)
configure_file(
  ${PROJECT_SOURCE_DIR}/adapters/exec_tools/pageheap-exec-tools.pc.in
  ${PROJECT_BINARY_DIR}/pageheap-exec-tools.pc @ONLY)
install(FILES
  ${PROJECT_BINARY_DIR}/pageheap.pc
  ${PROJECT_BINARY_DIR}/pageheap-exec-tools.pc
  DESTINATION ${pkgconfig_dir})

if(PAGEHEAP_BUILD_TOOL)
  install(TARGETS pageheap_tool)
  install(TARGETS pageheap_record LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
