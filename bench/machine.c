/* SPDX-License-Identifier: MIT */
/* machine.c -- see machine.h. */
#include "machine.h"

#include <gnu/libc-version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Above this load somebody else is using a core while we measure. */
#define BUSY_LOAD 0.5

/* The first line of `path` that begins with `start`, from behind its colon if it has one. */
static void read_line(char text[MACHINE_TEXT_BYTES], const char *path, const char *start)
{
    FILE *file = fopen(path, "re");
    char line[MACHINE_TEXT_BYTES];

    snprintf(text, MACHINE_TEXT_BYTES, "unknown");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *value = strchr(line, ':');

        if (strncmp(line, start, strlen(start)) != 0)
            continue;
        value = value != NULL ? value + 1 + strspn(value + 1, " \t") : line;
        snprintf(text, MACHINE_TEXT_BYTES, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    fclose(file);
}

void machine_describe(struct machine *ret_machine)
{
    struct machine *machine = ret_machine;
    struct utsname names;

    memset(machine, 0, sizeof *machine);
    read_line(machine->cpu, "/proc/cpuinfo", "model name");
    read_line(machine->huge_pages, "/sys/kernel/mm/transparent_hugepage/enabled", "");
    if (uname(&names) == 0)
        snprintf(machine->system, sizeof machine->system, "%.100s %.100s", names.sysname, names.release);
    snprintf(machine->libc, sizeof machine->libc, "glibc %s", gnu_get_libc_version());
    machine->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (getloadavg(&machine->load, 1) != 1)
        machine->load = 0;
}

void machine_print(const struct machine *machine, FILE *out)
{
    fprintf(out, "%ld x %s, %s, %s\n", machine->cpus, machine->cpu, machine->system, machine->libc);
    fprintf(out, "transparent huge pages: %s\n", machine->huge_pages);
    if (machine->load > BUSY_LOAD)
        fprintf(
            out,
            "load %.2f at the start: others may be using this machine; trust only ratios, and the spread\n",
            machine->load);
}

json_t *machine_json(const struct machine *machine)
{
    json_t *object = json_object();

    json_object_set_new(object, "cpu", json_string(machine->cpu));
    json_object_set_new(object, "cpus", json_integer(machine->cpus));
    json_object_set_new(object, "system", json_string(machine->system));
    json_object_set_new(object, "libc", json_string(machine->libc));
    json_object_set_new(object, "huge_pages", json_string(machine->huge_pages));
    json_object_set_new(object, "load", json_real(machine->load));
    return object;
}
