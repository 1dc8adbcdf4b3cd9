// SPDX-License-Identifier: MIT
// asmjit.cpp -- asmjit generates, a heap of ours holds the code.
//
// A CodeHolder collects code without an address.  relocateToBase then fits it to the address at which it will
// run, and copyFlattenedData writes it: the first takes a span's rx, the second its rw.
//
// The heap lies within reach of direct calls from the program itself.  So a call of one of the program's own
// functions is five bytes, and asmjit drops the eight-byte address that it had kept room for: the span is
// taken with the most that the code may need, and shrunk to what it needs at that address.
#include "common.h"

#include <asmjit/x86.h>

#include <vector>

namespace
{

constexpr int functions_made = 1000;

using function = int(int);

struct made {
    pageheap_exec_span span;
    function *run;
};

int seven_times(int n)
{
    return 7 * n;
}

// int f(int n) { return seven_times(n) + k; }
void generate(asmjit::CodeHolder &code, int k)
{
    using namespace asmjit;
    x86::Assembler as(&code);
    as.sub(x86::rsp, 8); // the stack is aligned to 16 bytes at a call
    as.call(imm(reinterpret_cast<uintptr_t>(&seven_times)));
    as.add(x86::eax, k);
    as.add(x86::rsp, 8);
    as.ret();
}

made make(pageheap_exec *heap, int k, size_t *saved_bytes)
{
    asmjit::CodeHolder code;
    REQUIRE(code.init(asmjit::Environment::host()) == asmjit::kErrorOk);
    generate(code, k);
    REQUIRE(code.flatten() == asmjit::kErrorOk);
    REQUIRE(code.resolveUnresolvedLinks() == asmjit::kErrorOk);

    const size_t bytes_max = code.codeSize();
    made result{};
    REQUIRE(pageheap_exec_alloc(heap, bytes_max, &result.span) == 0);
    REQUIRE(code.relocateToBase(reinterpret_cast<uintptr_t>(result.span.rx)) == asmjit::kErrorOk);
    const size_t bytes = code.codeSize();
    REQUIRE(code.copyFlattenedData(result.span.rw, bytes) == asmjit::kErrorOk);
    REQUIRE(pageheap_exec_shrink(heap, result.span.rx, bytes_max, bytes) == 0);
    REQUIRE(pageheap_exec_publish(heap, result.span.rx, bytes) == 0);
    REQUIRE(pageheap_exec_find(heap, result.span.rx, &result.span) == 0);
    *saved_bytes = bytes_max - bytes;
    result.run = reinterpret_cast<function *>(result.span.rx);
    return result;
}

void try_functions(pageheap_exec *heap)
{
    std::vector<made> all;
    size_t saved_bytes = 0;
    for (int k = 0; k < functions_made; k++)
        all.push_back(make(heap, k, &saved_bytes));
    for (int k = 0; k < functions_made; k++)
        REQUIRE(all[static_cast<size_t>(k)].run(k) == 8 * k);
    const int writable = mappings_with("wx");
    printf("%d functions, all called, %d mappings writable and executable\n", functions_made, writable);
    printf("a function at %p calls one at %p: %s\n", all[0].span.rx, reinterpret_cast<void *>(&seven_times),
           saved_bytes > 0 ? "directly" : "through an address in memory");
    REQUIRE(writable == 0);
    REQUIRE(saved_bytes > 0);
    for (const made &one : all)
        REQUIRE(pageheap_exec_free(heap, one.span.rx, one.span.bytes) == 0);
}

} // namespace

int main()
{
    pageheap_exec *heap = pageheap_exec_create(nullptr);
    if (heap == nullptr) {
        perror("no executable memory here");
        return SKIPPED;
    }
    const uint32_t backend = backend_of(heap);
    if (backend != PAGEHEAP_EXEC_MEMFD && backend != PAGEHEAP_EXEC_ANON) {
        printf("the best backend here is %s, which has no second view for asmjit to write through\n",
               backend_name(backend));
        return SKIPPED;
    }
    try_functions(heap);
    REQUIRE(pageheap_exec_check(heap) == 0);
    REQUIRE(pageheap_exec_destroy(heap) == 0);
    return 0;
}
