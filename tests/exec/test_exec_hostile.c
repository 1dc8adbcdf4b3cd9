/* SPDX-License-Identifier: MIT */
/* test_exec_hostile.c -- hosts that refuse: no files, no descriptors, little address space, no memory that is
 * made executable, no memfd, an old kernel.  Each gives code that runs, or an errno; none a signal.
 *
 * Every host is a process of its own, since what works is tried once in a process; this one tries nothing.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "exec_test.h"
#include "refuse.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#ifndef SYS_open
#define SYS_open SYS_openat
#endif

#define MUST_WORK 1u /* host.flags: some backend gives running code here */
#define LATE      2u /* the host becomes hostile after the heap is made */

#define ANY_ERRNO 4u /* what is refused is refused with EINVAL, perhaps */

typedef struct host {
    const char *name;
    void (*make)(void);
    unsigned flags;
} host;

/* ---- hosts ----------------------------------------------------------------------------- */

static void limit(int resource, rlim_t most)
{
    struct rlimit both = { most, most };
    REQUIRE(setrlimit((__rlimit_resource_t)resource, &both) == 0);
}

static void no_files(void)
{
    limit(RLIMIT_FSIZE, 0);
}

static void small_files(void)
{
    limit(RLIMIT_FSIZE, PAGE);
}

static void no_descriptors(void)
{
    limit(RLIMIT_NOFILE, 3);
}

static void all_descriptors_taken(void)
{
    limit(RLIMIT_NOFILE, 64);
    while (open("/dev/null", O_RDONLY) >= 0)
        continue;
}

static void little_address_space(void)
{
    limit(RLIMIT_AS, 256 << 20);
}

static void hardly_any_address_space(void)
{
    limit(RLIMIT_AS, 12 << 20);
}

static void no_address_space(void)
{
    limit(RLIMIT_AS, 4096);
}

static void no_data(void)
{
    limit(RLIMIT_DATA, 0);
}

static void no_locked_memory(void)
{
    limit(RLIMIT_MEMLOCK, 0);
}

static void no_write_then_execute(void)
{
    if (prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0)
        _exit(CHILD_CANNOT);
}

static void refuse_one(long number, int error)
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, number, error);
    refuse_install(&r);
}

static void no_memfd(void)
{
    refuse_one(SYS_memfd_create, EPERM);
}

static void unknown_memfd(void)
{
    refuse_one(SYS_memfd_create, ENOSYS);
}

static void no_memfd_to_execute(void) /* vm.memfd_noexec = 2, as seen by who asks for MFD_EXEC */
{
    refusals r;
    refuse_begin(&r);
    refuse_bits(&r, SYS_memfd_create, 1, 0x10, 1, EACCES);
    refuse_install(&r);
}

static void memfd_must_not_execute(void) /* the same, to its letter: nothing without MFD_NOEXEC_SEAL */
{
    refusals r;
    refuse_begin(&r);
    refuse_bits(&r, SYS_memfd_create, 1, 0x08, 0, EACCES);
    refuse_install(&r);
}

static void memfd_of_old(void) /* before Linux 6.3: neither flag is known */
{
    refusals r;
    refuse_begin(&r);
    refuse_bits(&r, SYS_memfd_create, 1, 0x18, 1, EINVAL);
    refuse_install(&r);
}

static void no_memfd_no_mremap(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, SYS_memfd_create, EPERM);
    refuse_call(&r, SYS_mremap, EPERM);
    refuse_install(&r);
}

static void no_guards(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_value(&r, SYS_madvise, 2, 102, EINVAL);
    refuse_value(&r, SYS_madvise, 2, 103, EINVAL);
    refuse_install(&r);
}

static void no_advice(void)
{
    refuse_one(SYS_madvise, EINVAL);
}

static void no_fork_advice(void) /* nothing keeps a view from the child */
{
    refusals r;
    refuse_begin(&r);
    refuse_value(&r, SYS_madvise, 2, MADV_DONTFORK, EINVAL);
    refuse_install(&r);
}

static void no_barriers(void)
{
    refuse_one(SYS_membarrier, EPERM);
}

static void unknown_barriers(void)
{
    refuse_one(SYS_membarrier, ENOSYS);
}

static void no_holes(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, SYS_fallocate, EOPNOTSUPP);
    refuse_value(&r, SYS_madvise, 2, MADV_REMOVE, EINVAL);
    refuse_install(&r);
}

static void no_proc(void) /* what is opened by name is not there */
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, SYS_openat, ENOENT);
    refuse_call(&r, SYS_open, ENOENT);
    refuse_install(&r);
}

static void no_protection_changes(void)
{
    refuse_one(SYS_mprotect, EACCES);
}

static void no_execute_by_mprotect(void) /* SELinux without execmod */
{
    refusals r;
    refuse_begin(&r);
    refuse_bits(&r, SYS_mprotect, 2, PROT_EXEC, 1, EACCES);
    refuse_install(&r);
}

static void no_execute_at_all(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_bits(&r, SYS_mprotect, 2, PROT_EXEC, 1, EACCES);
    refuse_bits(&r, SYS_mmap, 2, PROT_EXEC, 1, EACCES);
    refuse_install(&r);
}

static void no_mappings_at_all(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, SYS_mmap, ENOMEM);
    refuse_call(&r, SYS_mremap, ENOMEM);
    refuse_install(&r);
}

static void nothing_but_memfd(void)
{
    refusals r;
    refuse_begin(&r);
    refuse_call(&r, SYS_mremap, ENOSYS);
    refuse_call(&r, SYS_membarrier, ENOSYS);
    refuse_call(&r, SYS_madvise, ENOSYS);
    refuse_call(&r, SYS_fallocate, ENOSYS);
    refuse_call(&r, SYS_mseal, ENOSYS);
    refuse_call(&r, SYS_prctl, EPERM);
    refuse_install(&r);
}

/* What an administrator sets, in a namespace of our own. */
static void memfd_noexec(const char *text)
{
    int status = -1;
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        _exit(CHILD_CANNOT);
    pid_t inside = fork();
    if (inside != 0)
        _exit(inside < 0 || waitpid(inside, &status, 0) != inside ? CHILD_CANNOT
              : WIFEXITED(status)                                 ? WEXITSTATUS(status)
                                                                  : 128);
    child_begin(20);
    int file = open("/proc/sys/vm/memfd_noexec", O_WRONLY);
    if (file < 0 || write(file, text, 1) != 1)
        _exit(CHILD_CANNOT);
    close(file);
}

static void memfd_noexec_1(void)
{
    memfd_noexec("1");
}

static void memfd_noexec_2(void)
{
    memfd_noexec("2");
}

static void empty_root(void)
{
    char folder[] = "/tmp/pageheap-XXXXXX";
    if (mkdtemp(folder) == NULL || chroot(folder) != 0)
        _exit(CHILD_CANNOT);
    REQUIRE(chdir("/") == 0 && rmdir("/") != 0);
}

/* ---- what is done there ---------------------------------------------------------------- */

static bool is_refusal(int error)
{
    return error == PAGEHEAP_ENOMEM || error == PAGEHEAP_EACCES || error == PAGEHEAP_ERANGE;
}

/* All that a heap is for; what the system refuses on the way is answered with a code. */
static bool works_here(pageheap_exec *heap)
{
    static const size_t cases[] = { 1, 64, 3000, PAGE, 5 * PAGE, 300 * PAGE, BLOCK + PAGE };
    pageheap_exec_span spans[7], again;
    bool has_run = false;
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 7; i++) {
            int error = pageheap_exec_alloc(heap, cases[i], &spans[i]);
            REQUIRE(error == 0 || is_refusal(error));
            spans[i].bytes = error == 0 ? spans[i].bytes : 0;
            error = error == 0 ? pattern_write(heap, &spans[i], i) : error;
            REQUIRE(error == 0 || is_refusal(error));
            has_run |= error == 0;
            if (error == 0)
                REQUIRE(pattern_holds(spans[i].rx, spans[i].bytes, i) && code_run(spans[i].rx) == i);
        }
        if (spans[6].bytes != 0 && pageheap_exec_shrink(heap, spans[6].rx, spans[6].bytes, PAGE) == 0)
            spans[6].bytes = PAGE;
        for (unsigned i = 0; i < 7; i++) {
            if (spans[i].bytes == 0)
                continue;
            REQUIRE(pageheap_exec_free(heap, spans[i].rx, spans[i].bytes) ==
                    0); /* whatever the system says */
            REQUIRE(pageheap_exec_free(heap, spans[i].rx, spans[i].bytes) < 0);
        }
        (void)pageheap_exec_trim(heap, 0);
        (void)pageheap_exec_collapse(heap);
        int error = pageheap_exec_alloc(heap, PAGE, &again);
        REQUIRE(error == 0 || is_refusal(error));
        REQUIRE(error != 0 || pageheap_exec_free(heap, again.rx, PAGE) == 0);
    }
    REQUIRE(pageheap_exec_check(heap) == 0);
    return has_run;
}

/* A child may have what the policy says or less, and cannot be stopped from running. */
static void fork_here(pageheap_exec *heap)
{
    pageheap_exec_span span;
    if (pattern_alloc(heap, PAGE, 9, &span) != 0)
        return;
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        REQUIRE(code_run(span.rx) == 9);
        unsigned char code[16];
        code_make(code, 10);
        if (pageheap_exec_write(heap, span.rx, code, CODE_BYTES) == 0)
            REQUIRE(code_run(span.rx) == 10);
        _exit(0);
    }
    REQUIRE(child < 0 || (waitpid(child, &status, 0) == child && status == 0));
    REQUIRE(code_run(span.rx) == 9);
    REQUIRE(pageheap_exec_free(heap, span.rx, PAGE) == 0);
}

static bool try_backend(const host *h, uint32_t backend, uint32_t flags)
{
    static const uint32_t policies[] = { PAGEHEAP_EXEC_FORK_DENY, PAGEHEAP_EXEC_FORK_PRIVATE };
    bool works = false;
    for (unsigned i = 0; i < (backend == PAGEHEAP_EXEC_BEST ? 2 : 1); i++) {
        pageheap_exec_options options = exec_options(backend);
        options.flags = flags;
        options.fork_policy = policies[i];
        errno = 0;
        pageheap_exec *heap = pageheap_exec_create(&options);
        if (heap == NULL) {
            REQUIRE(errno != 0 && (errno != EINVAL || h->flags & ANY_ERRNO));
            continue;
        }
        if (h->flags & LATE)
            h->make();
        works = works_here(heap);
        fork_here(heap);
        REQUIRE(pageheap_exec_destroy(heap) == 0);
        if (h->flags & LATE)
            break;
    }
    return works;
}

typedef struct trial {
    const host *h;
    uint32_t backend;
    pageheap_exec_caps caps; /* what the child found: it may be refused to print it */
} trial;

static void visit(void *of)
{
    trial *t = of;
    pageheap_exec_caps caps = { .struct_bytes = sizeof caps };
    if (!(t->h->flags & LATE))
        t->h->make();
    errno = 4711;
    REQUIRE(pageheap_exec_probe(0, &caps) == 0 && errno == 4711);
    bool works = try_backend(t->h, t->backend, 0);
    if (t->backend != PAGEHEAP_EXEC_BEST) {
        REQUIRE(!works || t->backend == PAGEHEAP_EXEC_RWX || caps.errors[t->backend] == 0);
        return;
    }
    if (caps.best == PAGEHEAP_EXEC_BEST)
        REQUIRE(!works);
    if (t->h->flags & MUST_WORK)
        REQUIRE(works);
    t->caps = caps;
    if (!(t->h->flags & LATE))
        (void)try_backend(t->h, PAGEHEAP_EXEC_BEST, PAGEHEAP_EXEC_HUGE | PAGEHEAP_EXEC_ANYWHERE);
}

#define EARLY_AND_LATE(make, flags)                                                                          \
    { #make, make, flags },                                                                                  \
    {                                                                                                        \
#make " later", make, LATE                                                                           \
    }

static const host hosts[] = {
    EARLY_AND_LATE(no_files, MUST_WORK),
    EARLY_AND_LATE(small_files, MUST_WORK),
    EARLY_AND_LATE(no_descriptors, MUST_WORK),
    EARLY_AND_LATE(all_descriptors_taken, MUST_WORK),
    EARLY_AND_LATE(little_address_space, MUST_WORK),
    EARLY_AND_LATE(hardly_any_address_space, 0),
    EARLY_AND_LATE(no_address_space, 0),
    EARLY_AND_LATE(no_data, 0),
    EARLY_AND_LATE(no_locked_memory, MUST_WORK),
    EARLY_AND_LATE(no_write_then_execute, MUST_WORK),
    EARLY_AND_LATE(no_memfd, MUST_WORK),
    EARLY_AND_LATE(unknown_memfd, MUST_WORK),
    EARLY_AND_LATE(no_memfd_to_execute, MUST_WORK),
    EARLY_AND_LATE(memfd_must_not_execute, MUST_WORK),
    EARLY_AND_LATE(memfd_of_old, MUST_WORK),
    EARLY_AND_LATE(no_memfd_no_mremap, MUST_WORK),
    EARLY_AND_LATE(no_guards, MUST_WORK),
    EARLY_AND_LATE(no_advice, 0),
    EARLY_AND_LATE(no_fork_advice, 0),
    EARLY_AND_LATE(no_barriers, MUST_WORK),
    EARLY_AND_LATE(unknown_barriers, MUST_WORK),
    EARLY_AND_LATE(no_holes, MUST_WORK),
    EARLY_AND_LATE(no_proc, MUST_WORK),
    EARLY_AND_LATE(no_protection_changes, 0),
    EARLY_AND_LATE(no_execute_by_mprotect, MUST_WORK),
    EARLY_AND_LATE(no_execute_at_all, 0),
    EARLY_AND_LATE(no_mappings_at_all, 0),
    EARLY_AND_LATE(nothing_but_memfd, 0),
    { "memfd_noexec_1", memfd_noexec_1, MUST_WORK },
    { "memfd_noexec_2", memfd_noexec_2, MUST_WORK },
    { "empty_root", empty_root, MUST_WORK },
};

static void on_host(const host *h, trial *t, unsigned *skipped, unsigned *wrongs)
{
    for (uint32_t backend = PAGEHEAP_EXEC_BEST; backend <= PAGEHEAP_EXEC_FLIP; backend++) {
        *t = (trial){ .h = h, .backend = backend };
        int status = child_status(visit, t, 20);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CANNOT) {
            ++*skipped;
        } else if (status != 0) {
            print_error("%s, %s: the child's status is %#x\n", h->name, exec_name_of(backend),
                        (unsigned)status);
            ++*wrongs;
        } else if (backend == PAGEHEAP_EXEC_BEST && !(h->flags & LATE)) {
            const int32_t *found = t->caps.errors;
            print_message("%s: best is %s; errors %d %d %d %d\n", h->name, exec_name_of(t->caps.best),
                          found[1], found[2], found[3], found[4]);
        }
    }
}

static void on_every_host(void **state)
{
    (void)state;
    unsigned skipped = 0, wrongs = 0;
    trial *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(t != MAP_FAILED);
    for (unsigned i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        on_host(&hosts[i], t, &skipped, &wrongs);
    print_message("%u trials skipped\n", skipped);
    assert_int_equal(wrongs, 0);
}

/* ---- any mixture ----------------------------------------------------------------------- */

static const long calls[] = { SYS_memfd_create, SYS_ftruncate, SYS_fallocate,  SYS_mremap,   SYS_madvise,
                              SYS_mprotect,     SYS_openat,    SYS_membarrier, SYS_pwrite64, SYS_prctl,
                              SYS_fcntl,        SYS_mseal,     SYS_munmap,     SYS_mmap };
static const int errors[] = { EPERM, ENOSYS, EINVAL, EACCES, ENOMEM, EAGAIN, EMFILE };

static uint64_t mixture_seed;

static void refuse_some(void)
{
    refusals r;
    dice d = dice_from_seed(mixture_seed);
    refuse_begin(&r);
    uint64_t chance = 2 + dice_below(&d, 6);
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (dice_below(&d, chance) == 0)
            refuse_call(&r, calls[i], errors[dice_below(&d, sizeof errors / sizeof errors[0])]);
    }
    refuse_install(&r);
}

/* Calls are refused at random, from the start or later.  When even munmap is, some memory is lost, and the
 * heap says so or not; it does not fall. */
static void mixture(void *of)
{
    dice d = dice_from_seed(mixture_seed = *(uint64_t *)of);
    for (unsigned i = 0; i < 5; i++)
        (void)dice_next(&d);
    host h = { "mixture", refuse_some, ANY_ERRNO | (dice_below(&d, 2) ? LATE : 0) };
    if (!(h.flags & LATE))
        h.make();
    (void)try_backend(&h, (uint32_t)dice_below(&d, PAGEHEAP_EXEC_BACKENDS), 0);
}

static void any_mixture(void **state)
{
    (void)state;
    dice d = dice_new();
    for (unsigned n = 0; n < (exec_is_long() ? 10000 : 150); n++) {
        uint64_t seed = dice_next(&d) | 1;
        int status = child_status(mixture, &seed, 20);
        if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CANNOT))
            fail_msg("mixture %llu: the child's status is %#x", (unsigned long long)seed, (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_every_host),
        cmocka_unit_test(any_mixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
