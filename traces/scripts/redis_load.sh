#!/bin/sh
# SPDX-License-Identifier: MIT
# Keep the Redis server at socket $1 busy: values from a page to 256 KiB, appends, lists, scripts, expiry.
set -eu

load() {
    redis-benchmark -s "$1" -q -r 3000 -t "$2" -d "$3" -n "$4" -c 20 >/dev/null
}

load "$1" set 3000 20000
load "$1" set 6000 15000
load "$1" set,get 20000 8000
load "$1" lpush,lpop 5000 8000
load "$1" set 70000 2500
load "$1" set,get 250000 600
redis-benchmark -s "$1" -q -r 500 -n 8000 append key:__rand_int__ "$(printf '%0900d' 0)" >/dev/null
redis-benchmark -s "$1" -q -r 2000 -n 6000 setrange range:__rand_int__ 9000 x >/dev/null
redis-benchmark -s "$1" -q -r 3000 -n 6000 set key:__rand_int__ "$(printf '%07000d' 0)" px 40 >/dev/null
redis-cli -s "$1" eval 'local t = {} for i = 1, 20000 do t[i] = ("v"):rep(i % 300) .. i end return #table.concat(t)' 0
redis-cli -s "$1" flushall async
load "$1" set 9000 6000
