/* SPDX-License-Identifier: MIT */
/* exec_asmjit_calls.cpp -- see exec_asmjit_calls.h. */
#include "exec_asmjit_calls.h"

#include <asmjit/core.h>

#include <new>

static asmjit::JitAllocator *allocator;

extern "C" bool exec_asmjit_open(bool fill)
{
    /* Never destroyed: the process ends first. */
    alignas(asmjit::JitAllocator) static unsigned char room[sizeof(asmjit::JitAllocator)];
    asmjit::JitAllocator::CreateParams params;

    params.options = asmjit::JitAllocatorOptions::kUseDualMapping;
    if (fill)
        params.options |= asmjit::JitAllocatorOptions::kFillUnusedMemory;
    allocator = new (room) asmjit::JitAllocator(&params);

    /* A machine that allows no pair of views shows at the first span. */
    void *rx = nullptr;
    void *rw = nullptr;
    if (allocator->alloc(&rx, &rw, 64) != asmjit::kErrorOk)
        return false;
    allocator->release(rx);
    return true;
}

extern "C" bool exec_asmjit_alloc(size_t bytes, void **ret_rx, void **ret_rw)
{
    return allocator->alloc(ret_rx, ret_rw, bytes) == asmjit::kErrorOk;
}

extern "C" void exec_asmjit_release(void *rx)
{
    allocator->release(rx);
}
