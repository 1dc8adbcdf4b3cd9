#!/bin/sh
# SPDX-License-Identifier: MIT
# The tool as a whole, and `demo`.  Usage: tool_test.sh TOOL
set -u
tool=$1
. "$(dirname "$0")/check.sh"
cd "$work" || exit 1

"$tool" >out 2>err
expect 'status without a command' 2 $?
expect_match 'a usage message' '^Usage: pageheap COMMAND' err
"$tool" nonsense >out 2>err
expect 'status of an unknown command' 2 $?
expect_match 'it is named' "^pageheap: no command is called 'nonsense'" err
"$tool" --version >out
expect 'status of --version' 0 $?
expect_match 'a version' '^pageheap [0-9]+\.[0-9]+' out
"$tool" --help >out
expect 'status of --help' 0 $?
for command in replay record bench demo; do
    expect_match "$command is listed" "^  $command" out
    "$tool" "$command" --help >help 2>err
    expect "status of $command --help" 0 $?
    expect_match "$command has help" "^Usage: pageheap $command" help
done
"$tool" --version >/dev/full 2>err
expect 'a full disk is noticed' 1 $?
expect_match 'its message' '^pageheap: standard output: ' err

mkdir folder
"$tool" demo --traces folder >out 2>err
expect 'status of a demo without traces' 2 $?
expect_match 'its message' '^pageheap demo: there are no traces in folder' err
"$tool" bench --filter nonsense >out 2>err
expect 'status of an unknown row' 2 $?
expect_match 'its message' "^pageheap bench: no row is called 'nonsense'" err
"$tool" bench --filter rss-4g >out 2>err
expect_match 'a message that is not of the arguments' '^pageheap bench: nothing to measure' err
printf '#pageheap-trace 1 page_size=4096\na 1 2 1\nf 1 1\n' >folder/tiny.trace
"$tool" demo --traces folder --no-bench >out 2>err
expect 'status of a demo' 0 $?
expect_match 'its table' '^ns per event' out
finish
