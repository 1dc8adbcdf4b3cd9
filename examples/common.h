/* SPDX-License-Identifier: MIT */
/* common.h -- what several examples need, in C and C++: facts that must hold, the names of backends, a look
 * at the process's own mappings.
 *
 * An example ends with 0 if all went as it says, with 1 and a line on stderr if not, and with SKIPPED where
 * the system does not allow what the example is about; ctest shows it as skipped then.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <pageheap/exec.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIPPED 77

/* End the program with one line unless the fact holds. */
#define REQUIRE(fact)                                                                                        \
    do {                                                                                                     \
        if (!(fact)) {                                                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                               \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline const char *backend_name(uint32_t backend)
{
    static const char *const names[PAGEHEAP_EXEC_BACKENDS] = { "best",    "memfd", "anon",
                                                               "private", "flip",  "rwx" };
    return backend < PAGEHEAP_EXEC_BACKENDS ? names[backend] : "unknown";
}

/* The backend that a heap has, which for PAGEHEAP_EXEC_BEST only the heap knows. */
static inline uint32_t backend_of(pageheap_exec *heap)
{
    pageheap_exec_stats stats;
    stats.struct_bytes = sizeof stats;
    REQUIRE(pageheap_exec_get_stats(heap, &stats) == 0);
    return stats.backend;
}

/* How many mappings of this process have all these permissions; "wx" is what should not be. */
static inline int mappings_with(const char *permissions)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != NULL);
    char line[8192]; /* a path has 4096 bytes at most, and stands last */
    int count = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        char granted[8] = "";
        REQUIRE(sscanf(line, "%*s %7s", granted) == 1);
        count += strspn(permissions, granted) == strlen(permissions);
    }
    fclose(maps);
    return count;
}

#endif
