/* SPDX-License-Identifier: MIT */
/* progress.c -- draws and redraws one line. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_CHARS  30
#define TEXT_CHARS 40

static void draw(const struct progress *progress, const char *what)
{
    size_t total_steps = progress->total_steps != 0 ? progress->total_steps : 1;
    int filled = (int)(progress->done_steps * BAR_CHARS / total_steps);
    static const char full[] = "##############################";
    static const char empty[] = "..............................";

    fprintf(stderr, "\r[%s%.*s%s%.*s] %3zu%% %-*.*s", progress->has_colours ? "\033[32m" : "", filled, full,
            progress->has_colours ? "\033[0m" : "", BAR_CHARS - filled, empty,
            progress->done_steps * 100 / total_steps, TEXT_CHARS, TEXT_CHARS, what);
    fflush(stderr);
}

void progress_start(struct progress *progress, size_t total_steps, bool is_wanted)
{
    const char *terminal = getenv("TERM");

    progress->done_steps = 0;
    progress->total_steps = total_steps;
    progress->is_shown =
        is_wanted && isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0);
    progress->has_colours = getenv("NO_COLOR") == NULL;
    if (progress->is_shown)
        draw(progress, "");
}

void progress_step(struct progress *progress, const char *what)
{
    if (progress->done_steps < progress->total_steps)
        progress->done_steps++;
    progress_stay(progress, what);
}

void progress_stay(const struct progress *progress, const char *what)
{
    if (progress->is_shown)
        draw(progress, what);
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown)
        fprintf(stderr, "\r%*s\r", BAR_CHARS + TEXT_CHARS + 10, "");
    progress->is_shown = false;
}
