/* SPDX-License-Identifier: MIT */
/* scenes.h -- what a program does with a heap while the system fails; test_sweep.c runs each of them. */
#ifndef PH_TESTS_SCENES_H
#define PH_TESTS_SCENES_H

#include "stage.h"

typedef struct scene {
    const char *name;
    void (*act)(stage *s); /* opens the stage, and leaves live runs on it */
} scene;

extern const scene scenes[];
extern const unsigned scene_count;

#endif
