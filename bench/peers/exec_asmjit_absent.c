/* SPDX-License-Identifier: MIT */
/* exec_asmjit_absent.c -- in place of exec_asmjit_calls.cpp where asmjit was not found. */
#include "exec_asmjit_calls.h"

bool exec_asmjit_open(bool fill)
{
    (void)fill;
    return false;
}

bool exec_asmjit_alloc(size_t bytes, void **ret_rx, void **ret_rw)
{
    (void)bytes;
    (void)ret_rx;
    (void)ret_rw;
    return false;
}

void exec_asmjit_release(void *rx)
{
    (void)rx;
}
