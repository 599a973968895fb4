/*
 * The least that keeping a log of a pipe takes: system calls alone, nothing is looked at.
 *
 *     logger LINE
 *
 * Reads standard input to its end, and writes to files in the working directory as many bytes as a log would have whose
 * entries are HEAD bytes longer than their lines of LINE bytes (0 for none, when each read is an entry of its own). A
 * file is begun at FULL bytes, three are kept, the last ones are removed at the end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 40, FULL = 10 << 20, KEPT = 3, PIPE = 1 << 20, CHUNK = 256 << 10, ROOM = 512 << 10 };
static char input[CHUNK], output[ROOM];

static const char *name(long number)
{
    static char text[32];
    snprintf(text, sizeof text, "logger.%ld", number);
    return text;
}

static int begin(long number)
{
    unlink(name(number - KEPT));
    int file = open(name(number), O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        exit(1);
    /* Best effort: it only makes writing faster. */
    (void)fallocate(file, FALLOC_FL_KEEP_SIZE, 0, FULL);
    return file;
}

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    size_t line = (size_t)atoll(arguments[1]);
    memset(output, 'x', sizeof output);
    /* Best effort: it only makes reading faster. */
    (void)fcntl(0, F_SETPIPE_SZ, PIPE);
    long number = 0;
    size_t size = 0;
    int file = begin(number);
    for (;;) {
        ssize_t got = read(0, input, sizeof input);
        if (got < 0)
            return 1;
        if (got == 0)
            break;
        size_t entries = line == 0 ? 1 : (size_t)got / line;
        for (size_t left = (size_t)got + entries * HEAD; left > 0;) {
            size_t most = left < sizeof output ? left : sizeof output;
            ssize_t written = write(file, output, most);
            if (written <= 0)
                return 1;
            left -= (size_t)written;
            size += (size_t)written;
        }
        if (size >= FULL) {
            close(file);
            file = begin(++number);
            size = 0;
        }
    }
    for (int kept = 0; kept < KEPT; kept++)
        unlink(name(number - kept));
    return 0;
}
