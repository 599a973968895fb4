/*
 * Writes text at full speed and tells how long that took.
 *
 *     writer MEGABYTES LINE CHUNK
 *
 * Writes so many megabytes (10^6 bytes) to standard output, in lines of LINE bytes with their newline (0 for none at
 * all), CHUNK bytes with each write(2). Then one line on standard error: "took N", the time in ns from before the first
 * write to after the last.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_CHUNK = 1 << 20 };
/* Twice as long, so that a chunk can begin anywhere in a line. */
static char text[2 * LONGEST_CHUNK];

static long long now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
        exit(1);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    long long left = atoll(arguments[1]) * 1000000;
    size_t line = (size_t)atoll(arguments[2]), chunk = (size_t)atoll(arguments[3]), place = 0;
    if (chunk == 0 || chunk > LONGEST_CHUNK || line > LONGEST_CHUNK)
        return 2;
    memset(text, 'x', sizeof text);
    for (size_t end = line; line > 0 && end <= sizeof text; end += line)
        text[end - 1] = '\n';
    long long start = now_ns();
    while (left > 0) {
        size_t most = (long long)chunk < left ? chunk : (size_t)left;
        ssize_t written = write(1, text + place, most);
        if (written <= 0)
            return 1;
        left -= written;
        place = line == 0 ? 0 : (place + (size_t)written) % line;
    }
    dprintf(2, "took %lld\n", now_ns() - start);
    return 0;
}
