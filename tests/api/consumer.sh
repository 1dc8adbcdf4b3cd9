#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the library, move it, and build a stranger's program against it in every way that is promised.
#
# usage: consumer.sh BUILD_FOLDER CC find_package|pkg_config|plain_cc|subproject
set -eu
build=$1
cc=$2
way=$3
here=$(cd "$(dirname "$0")" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What was installed to one place and then moved must still be found: packages are built like that.
cmake --install "$build" --prefix "$scratch/first" >"$scratch/log"
mv "$scratch/first" "$scratch/prefix"
libdir=$(dirname "$(find "$scratch/prefix" -name libpageheap.a)")
LD_LIBRARY_PATH=$libdir
export LD_LIBRARY_PATH

compile() {
    output=$1
    shift
    source=consumer.c
    [ "$output" = with_tools ] && source=tools.c
    "$cc" -std=c11 -Wall -Wextra -Werror -o "$scratch/$output" "$here/consumer/$source" "$@"
}

# A program that was linked with the wrong kind of library would pass all else.
uses_shared_library() {
    objdump -p "$scratch/$1" | grep -q 'NEEDED.*libpageheap\.so\.0'
}

case $way in
find_package)
    cmake -S "$here/consumer" -B "$scratch" -G Ninja -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_PREFIX_PATH="$scratch/prefix" >"$scratch/log"
    cmake --build "$scratch" >"$scratch/log"
    ;;
pkg_config)
    PKG_CONFIG_PATH=$libdir/pkgconfig
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046  # flags are meant to be split
    compile with_shared $(pkg-config --cflags --libs pageheap)
    # shellcheck disable=SC2046
    compile with_static -static $(pkg-config --static --cflags --libs pageheap)
    # shellcheck disable=SC2046
    compile with_tools $(pkg-config --cflags --libs pageheap-exec-tools)
    ;;
plain_cc)
    compile with_shared -I"$scratch/prefix/include" -L"$libdir" -lpageheap
    compile with_static -I"$scratch/prefix/include" "$libdir/libpageheap.a" -pthread
    compile with_tools -I"$scratch/prefix/include" "$libdir/libpageheap-exec-tools.a" -pthread
    ;;
subproject)
    mkdir "$scratch/project"
    sed "s|@source@|$(cd "$here/../.." && pwd)|" "$here/consumer/subproject.cmake.in" \
        >"$scratch/project/CMakeLists.txt"
    cmake -S "$scratch/project" -B "$scratch" -G Ninja -DCMAKE_C_COMPILER="$cc" >"$scratch/log"
    cmake --build "$scratch" --target with_folder >"$scratch/log"
    "$scratch/with_folder"
    exit 0
    ;;
*)
    echo "unknown way: $way" >&2
    exit 2
    ;;
esac

uses_shared_library with_shared
! uses_shared_library with_static
"$scratch/with_shared"
"$scratch/with_static"
"$scratch/with_tools"
