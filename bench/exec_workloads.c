/* SPDX-License-Identifier: MIT */
/* exec_workloads.c -- every workload on code memory, in the order of the table. */
#include "workload.h"

static const struct workload workloads[] = {
    { .rows = { { "exec-pair-page", "pair, 4096 bytes", "ns" } },
      .run = workload_exec_pair,
      .flags = WORKLOAD_HARNESS,
      .bytes_max = 4096 },
    { .rows = { { "exec-pair-64", "pair, 64 bytes", "ns" } },
      .run = workload_exec_pair,
      .flags = WORKLOAD_HARNESS,
      .bytes_max = 64 },
    { .rows = { { "exec-churn", "churn 64..4096 bytes, 2000 live", "ns" } },
      .run = workload_exec_churn,
      .flags = WORKLOAD_HARNESS,
      .bytes_max = 4096,
      .live_runs = 2000 },
    { .rows = { { "exec-scale-2", "the same, throughput of 2 threads / 1 thread", "x" } },
      .run = workload_exec_scaling,
      .flags = WORKLOAD_HARNESS,
      .rounds_max = 3,
      .bytes_max = 4096,
      .live_runs = 1000,
      .threads = 2 },
    { .rows = { { "exec-publish", "write and publish 4096 bytes", "ns" } },
      .run = workload_exec_publish,
      .flags = WORKLOAD_HARNESS,
      .bytes_max = 4096 },
    { .rows = { { "exec-call", "write, publish and call 64 bytes", "ns" } },
      .run = workload_exec_call,
      .bytes_max = 64 },
    { .rows = { { "exec-life", "the same, allocated before and freed after", "ns" } },
      .run = workload_exec_life,
      .bytes_max = 64 },
    { .rows = { { "exec-mappings", "mappings, every second of 200,000 pages live", "lines" } },
      .run = workload_exec_mappings,
      .rounds_max = 1,
      .live_runs = 100000 },
    { .rows = { { "exec-resident", "resident / live after freeing 90 % and trim", "x" } },
      .run = workload_exec_resident,
      .rounds_max = 1,
      .live_runs = 10000 },
    { .rows = { { "exec-syscalls", "system calls per warm pair, worst size", "calls" } },
      .run = workload_exec_system_calls,
      .rounds_max = 1,
      .bytes_max = 4096 },
};

const struct workload *exec_workload_at(size_t index)
{
    return index < sizeof workloads / sizeof workloads[0] ? &workloads[index] : NULL;
}
