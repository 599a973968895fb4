/*
 * Runs several commands in turns and tells what each run took.
 *
 *     stopwatch ROUNDS SEPARATOR COMMAND [ARGUMENT ...] [SEPARATOR COMMAND [ARGUMENT ...]] ...
 *
 * For each run one line on standard output: the command's place in the list (from 0), wall time in ns, user and system
 * CPU time in µs, peak resident memory in KiB, exit status (128 + n for signal n). CPU and memory are those of the
 * command and of all its descendants that were waited for (wait4(2)).
 *
 * It is C, static and small because a child starts out with its parent's peak memory: under a large parent every
 * command would seem large. What the commands print is thrown away. One that takes longer than TIMEOUT_S ends by
 * SIGALRM. Each round begins with another command, so that none always follows the same one. All run at a real-time
 * priority: on a busy machine the times would otherwise be those of the queue for a processor.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_COMMANDS = 64, TIMEOUT_S = 20 };
/*
 * Lets the kernel's own clearing up after one command end before the next one starts: that of a network namespace with
 * links waits for RCU, some tens of milliseconds, and keeps whoever changes links meanwhile waiting.
 */
static const struct timespec PAUSE = {.tv_nsec = 80000000};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static long long now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        fail("clock_gettime");
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long us(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

static void measure(int place, char **command)
{
    struct rusage used;
    int status;
    long long start = now_ns();
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || close(null) < 0)
            _exit(125);
        alarm(TIMEOUT_S);
        execvp(command[0], command);
        _exit(127);
    }
    if (wait4(child, &status, 0, &used) < 0)
        fail("wait4");
    long long took = now_ns() - start;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("%d %lld %lld %lld %ld %d\n", place, took, us(used.ru_utime), us(used.ru_stime), used.ru_maxrss, code);
    fflush(stdout);
    nanosleep(&PAUSE, NULL);
}

int main(int count, char **arguments)
{
    char **commands[MOST_COMMANDS];
    int found = 0;
    if (count < 4) {
        fprintf(stderr, "usage: stopwatch ROUNDS SEPARATOR COMMAND ...\n");
        return 1;
    }
    const char *separator = arguments[2];
    for (int i = 3; i < count; i++) {
        if (strcmp(arguments[i], separator) == 0) {
            arguments[i] = NULL;
        } else if (i == 3 || arguments[i - 1] == NULL) {
            if (found == MOST_COMMANDS)
                return 1;
            commands[found++] = arguments + i;
        }
    }
    /* Not the C library's function: musl's refuses, for a call that here means this process and its children. */
    struct sched_param lowest = {.sched_priority = 1};
    if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &lowest) < 0)
        fail("sched_setscheduler");
    int rounds = atoi(arguments[1]);
    for (int round = 0; round < rounds; round++)
        for (int turn = 0; turn < found; turn++) {
            int place = (round + turn) % found;
            measure(place, commands[place]);
        }
    return 0;
}
