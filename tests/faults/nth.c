/* Has libfiu fail the Nth call of one kind in this process, once or from then on, and leaves a mark when it does so.
 *
 * Loaded before libfiu's wrappers, and told by the environment: NTH_POINT is libfiu's name of the call, NTH_CALL its
 * number from 1, NTH_ERRNO what it fails with, NTH_MARK the file that is made, NTH_ALWAYS that the calls after it fail too. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Of fiu.h and fiu-control.h, so that no headers are needed. */
int fiu_init(unsigned int flags);
int fiu_enable_external(const char *name, int failnum, void *failinfo, unsigned int flags,
                        int (*callback)(const char *, int *, void **, unsigned int *));

static atomic_long calls;
static long nth;
static int always;
static const char *mark;

static int fails(const char *name, int *failnum, void **failinfo, unsigned int *flags) {
    (void)name, (void)failnum, (void)failinfo, (void)flags;
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (call == nth) {
        /* What is called from here is not counted. */
        int file = open(mark, O_CREAT | O_WRONLY, 0600);
        if (file < 0) abort();
        close(file);
    }
    return call == nth || (always && call > nth);
}

__attribute__((constructor)) static void begin(void) {
    const char *point = getenv("NTH_POINT"), *number = getenv("NTH_CALL"), *error = getenv("NTH_ERRNO");
    mark = getenv("NTH_MARK");
    if (!point || !number || !error || !mark) abort();
    nth = atol(number);
    always = getenv("NTH_ALWAYS") != NULL;
    fiu_init(0);
    if (fiu_enable_external(point, 1, (void *)atol(error), 0, fails) != 0) abort();
}
