/* Lets User Mode Linux run on processors whose register state is longer than the 2,696 bytes that
 * it hands to ptrace (AMX, CET). Loaded before libc by LD_PRELOAD.
 *
 * Get: the whole state is read, the leading part returned. Set: the given bytes are laid over the
 * whole state; feature bits above 9 in the header (the word at offset 512) stay as they were.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEK_FIRST = 1, PEEK_LAST = 3, GETREGSET = 0x4204, SETREGSET = 0x4205, XSTATE = 0x202 };
enum { HEADER = 512 };

static unsigned char state[1 << 16];

static long call(long request, long pid, void *addr, void *data)
{
    return syscall(SYS_ptrace, request, pid, addr, data);
}

static long exchange(long request, long pid, struct iovec *given)
{
    struct iovec whole = {state, sizeof state};
    uint64_t before, now, kept = ~(uint64_t)0x3ff;
    long result = call(GETREGSET, pid, (void *)XSTATE, &whole);

    if (result < 0)
        return result;
    if (given->iov_len > whole.iov_len)
        given->iov_len = whole.iov_len;
    if (request == GETREGSET) {
        memcpy(given->iov_base, state, given->iov_len);
        return 0;
    }
    memcpy(&before, state + HEADER, sizeof before);
    memcpy(state, given->iov_base, given->iov_len);
    memcpy(&now, state + HEADER, sizeof now);
    now = (now & ~kept) | (before & kept);
    memcpy(state + HEADER, &now, sizeof now);
    return call(SETREGSET, pid, (void *)XSTATE, &whole);
}

long ptrace(int request, ...)
{
    va_list rest;
    va_start(rest, request);
    long pid = va_arg(rest, int);
    void *addr = va_arg(rest, void *), *data = va_arg(rest, void *);
    va_end(rest);
    if ((request == GETREGSET || request == SETREGSET) && (long)addr == XSTATE)
        return exchange(request, pid, data);
    if (request >= PEEK_FIRST && request <= PEEK_LAST) {
        /* The system call stores the word; libc's function returns it. */
        long word = 0, result = call(request, pid, addr, &word);
        if (result < 0)
            return result;
        errno = 0;
        return word;
    }
    return call(request, pid, addr, data);
}
