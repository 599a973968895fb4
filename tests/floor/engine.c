/*
 * What an engine does with an OCI runtime, and nothing more.
 *
 *     engine SEPARATOR COMMAND [ARGUMENT ...] [SEPARATOR COMMAND [ARGUMENT ...]] ...
 *
 * The commands run one after another. Before the last one, which deletes the container, the container's process is waited
 * for: orphans come to this process, as they come to conmon or to a shim of containerd. Ends with the status of the
 * first command that fails, 0 if none does.
 *
 * It is C and static so that it costs little beside what it starts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

static void fail(const char *what)
{
    perror(what);
    exit(125);
}

static int run(char **command)
{
    pid_t child;
    int status;
    errno = posix_spawnp(&child, command[0], NULL, NULL, command, environ);
    if (errno != 0)
        fail(command[0]);
    if (waitpid(child, &status, 0) < 0)
        fail("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void reap(void)
{
    while (waitpid(-1, NULL, 0) >= 0)
        continue;
    if (errno != ECHILD)
        fail("waitpid");
}

int main(int count, char **words)
{
    if (count < 3) {
        fputs("engine SEPARATOR COMMAND ... [SEPARATOR COMMAND ...] ...\n", stderr);
        return 125;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        fail("prctl");
    const char *separator = words[1];
    int start = 2, status = 0;
    for (int place = 2; place <= count && status == 0; place++) {
        if (place < count && strcmp(words[place], separator) != 0)
            continue;
        words[place] = NULL;
        if (place == count)
            reap();
        status = run(&words[start]);
        start = place + 1;
    }
    return status;
}
