/* SPDX-License-Identifier: MIT */
/* replay_plot.c -- bars of time and of memory per trace, drawn by gnuplot. */
#include "replay.h"

#include <err.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In single quotes gnuplot knows one escape: a quote is written twice. */
static void put_quoted(FILE *script, const char *text)
{
    fputc('\'', script);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputc('\'', script);
        fputc(*text == '\n' ? ' ' : *text, script);
    }
    fputc('\'', script);
}

static void put_data(FILE *script, const struct replay *replay, const struct replay_metric *metric,
                     int number)
{
    fprintf(script, "$data%d << END_OF_DATA\n", number);
    for (size_t i = 0; i < replay->traces_count; i++) {
        /* Quoted, since blanks separate columns; a quote inside would end the name early. */
        fputc('"', script);
        for (const char *c = replay->traces[i].name; *c != '\0'; c++)
            fputc(*c == '"' || *c == '\\' || *c == '\n' ? '_' : *c, script);
        fputc('"', script);
        for (size_t peer = 0; peer < replay->peers_count; peer++) {
            double value = metric->value(&replay->traces[i].cells[peer]);

            if (isnan(value))
                fprintf(script, " ?");
            else
                fprintf(script, " %.6g", value);
        }
        fputc('\n', script);
    }
    fprintf(script, "END_OF_DATA\n");
}

static void put_chart(FILE *script, const struct replay *replay, const char *title, const char *settings,
                      int number)
{
    fprintf(script, "%s\nset title ", settings);
    put_quoted(script, title);
    fprintf(script, "\nplot");
    for (size_t peer = 0; peer < replay->peers_count; peer++) {
        fprintf(script, "%s $data%d using %zu:xtic(1) title ", peer == 0 ? "" : ",", number, peer + 2);
        put_quoted(script, replay->peers[peer]->name);
    }
    fprintf(script, "\n");
}

static void put_script(FILE *script, const struct replay *replay)
{
    size_t bars = replay->traces_count * (replay->peers_count + 2);

    fprintf(script,
            "set terminal svg noenhanced size %zu,800 font 'sans-serif,12' background 'white'\nset output ",
            bars * 14 + 420);
    put_quoted(script, replay->options->plot_path);
    fprintf(script,
            "\nset datafile missing '?'\nset style data histograms\nset style histogram clustered gap 2\n"
            "set style fill solid 0.85 noborder\nset key outside right top\nset grid ytics\n"
            "set boxwidth 0.9\nset multiplot layout 2,1\n");
    put_data(script, replay, replay_metric_at(0), 0);
    put_data(script, replay, replay_metric_at(1), 1);
    put_chart(script, replay, "ns per event (logarithmic; less is better)",
              "set logscale y\nset yrange [1:*]", 0);
    put_chart(script, replay, "peak resident / peak live (less is better)",
              "unset logscale y\nset yrange [0:*]", 1);
    fprintf(script, "unset multiplot\n");
}

/* Start gnuplot with its standard input behind *ret_script. */
static pid_t start_gnuplot(FILE **ret_script)
{
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        return -1;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp("gnuplot", "gnuplot", "-", (char *)NULL);
        warn("gnuplot");
        _exit(127);
    }
    close(ends[0]);
    *ret_script = fdopen(ends[1], "w");
    return child;
}

int replay_plot(const struct replay *replay)
{
    FILE *script = NULL;
    pid_t child;
    int status = -1;

    signal(SIGPIPE, SIG_IGN); /* a gnuplot that could not start shows in its exit status */
    child = start_gnuplot(&script);
    if (child < 0 || script == NULL) {
        warn("gnuplot could not be started");
        return -1;
    }
    put_script(script, replay);
    fclose(script);
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    warnx("gnuplot could not draw %s", replay->options->plot_path);
    return -1;
}
