// SPDX-License-Identifier: MIT
// test_exec_peer.cpp -- the simplest bad frees of test_exec_bad_frees.c, put to AsmJit's JitAllocator.
//
// It shows that the script finds what it looks for: AsmJit accepts a second free and a free in the middle of
// a span, and takes code from under whoever runs it.  A release of it that refuses them fails this test,
// which has then done its work and can go.
#include <asmjit/asmjit.h>

#include <cstdio>
#include <vector>

namespace
{

constexpr size_t span_bytes = 192; // three of its granules

struct live_span {
    void *rx, *rw;
};

bool is_live(const asmjit::JitAllocator &allocator, const live_span &span)
{
    void *rx, *rw;
    size_t bytes;
    return allocator.query(span.rx, &rx, &rw, &bytes) == asmjit::kErrorOk && rx == span.rx &&
           bytes == span_bytes;
}

// Of a thousand spans a hundred are put to bad_free: how many it answers with success, and how many of those
// that nobody has rightly freed are gone or have another size.
template <typename bad_free_fn>
void count(const char *what, bool is_freed_first, bad_free_fn bad_free, unsigned &ret_accepted)
{
    asmjit::JitAllocator::CreateParams params;
    params.options = asmjit::JitAllocatorOptions::kUseDualMapping;
    asmjit::JitAllocator allocator(&params);
    std::vector<live_span> spans(1000);
    unsigned accepted = 0, lost = 0;
    for (live_span &span : spans) {
        if (allocator.alloc(&span.rx, &span.rw, span_bytes) != asmjit::kErrorOk)
            std::printf("AsmJit: no memory\n");
    }
    for (size_t i = 1; i < spans.size(); i += 10)
        accepted += bad_free(allocator, spans[i]) == asmjit::kErrorOk;
    for (size_t i = 0; i < spans.size(); i++)
        lost += (i % 10 != 1 || !is_freed_first) && !is_live(allocator, spans[i]);
    std::printf("AsmJit, %s: %u of 100 accepted, %u live spans harmed\n", what, accepted, lost);
    ret_accepted += accepted;
}

} // namespace

int main()
{
    unsigned doubles = 0, interiors = 0;
    count(
        "double free", true,
        [](asmjit::JitAllocator &allocator, const live_span &span) {
            (void)allocator.release(span.rx);
            return allocator.release(span.rx);
        },
        doubles);
    count(
        "interior free", false,
        [](asmjit::JitAllocator &allocator, const live_span &span) {
            return allocator.release(static_cast<char *>(span.rx) + 64);
        },
        interiors);
    return doubles != 0 && interiors != 0 ? 0 : 1;
}
