/*
 * What system calls cost here, under whatever filter there is.
 *
 *     calls [least]
 *
 * With `least`, under the least filter that looks at an argument of every call but getppid: what the kernel takes for
 * a filter whatever it holds.
 *
 * For each kind of call one line on standard output: its name, and the median over all batches of the time that one
 * call takes, in tenths of nanoseconds. The kinds take turns, so that a slow moment of the machine falls on all of
 * them. Each call is one that the kernel refuses early or answers at once: what is left is the way there and back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 151, CALLS = 1000, NO_SUCH_TYPE = 15 };

/* A number and arguments, and the answer that shows that the call got through the filter. */
static const struct kind {
    const char *name;
    long number, arguments[3];
    int error;
} KINDS[] = {
    {"getppid", SYS_getppid, {0}, 0},
    {"read", SYS_read, {-1}, EBADF},
    {"personality", SYS_personality, {0xffffffff}, 0},
    {"socket", SYS_socket, {AF_INET, NO_SUCH_TYPE}, EINVAL},
    {"clone", SYS_clone, {CLONE_SIGHAND | SIGCHLD}, EINVAL},
    {"ioctl", SYS_ioctl, {-1, FIONREAD}, EBADF},
    {"prctl", SYS_prctl, {PR_GET_DUMPABLE}, 0},
};
enum { COUNT = sizeof KINDS / sizeof *KINDS };

/* sock_filter and sock_fprog of linux/filter.h, and what the numbers below mean. */
struct instruction {
    uint16_t code;
    uint8_t yes, no;
    uint32_t k;
};
struct program {
    uint16_t length;
    const struct instruction *instructions;
};
enum { LOAD = 0x20, EQUAL = 0x15, RETURN = 0x06, NUMBER = 0, FIRST_ARGUMENT = 16, SET_MODE_FILTER = 1 };
#define ALLOW 0x7fff0000u

static int confine(void)
{
    static const struct instruction instructions[] = {
        {LOAD, 0, 0, NUMBER},
        {EQUAL, 1, 0, SYS_getppid},
        {LOAD, 0, 0, FIRST_ARGUMENT},
        {RETURN, 0, 0, ALLOW},
    };
    const struct program program = {sizeof instructions / sizeof *instructions, instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SET_MODE_FILTER, 0, &program);
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int compare(const void *one, const void *other)
{
    long long a = *(const long long *)one, b = *(const long long *)other;
    return (a > b) - (a < b);
}

int main(int count, char **arguments)
{
    static long long took[COUNT][BATCHES];
    if (count > 1 && (strcmp(arguments[1], "least") != 0 || confine() < 0)) {
        perror("calls");
        return 1;
    }
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int kind = 0; kind < COUNT; kind++) {
            const struct kind *call = &KINDS[kind];
            long long start = now_ns();
            for (int round = 0; round < CALLS; round++) {
                errno = 0;
                syscall(call->number, call->arguments[0], call->arguments[1], call->arguments[2], 0, 0, 0);
                if (errno != call->error) {
                    fprintf(stderr, "%s: error %d\n", call->name, errno);
                    return 1;
                }
            }
            took[kind][batch] = now_ns() - start;
        }
    }
    for (int kind = 0; kind < COUNT; kind++) {
        qsort(took[kind], BATCHES, sizeof **took, compare);
        printf("%s %lld\n", KINDS[kind].name, took[kind][BATCHES / 2] * 10 / CALLS);
    }
    return 0;
}
