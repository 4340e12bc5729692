/* A program that checks the C kernels without Python: random shapes, each kernel against its formula in double.
 *
 *     check SECONDS SEED [broken]        prints a line and returns 0; or prints each wrong number, and returns 1
 *
 * It exists for instruction sets that this machine can only emulate, where Python and NumPy would be missing or slow
 * (`make test-aarch64`). tests/backend/cpu/cases.py tests more: memory layouts, special values, what Python passes.
 *
 * All arrays have guards at both ends, which a kernel must not write. Results begin as NaN. Bounds are those of
 * cases.py, where their reasons are given. With `broken` one number of each result is changed a little, so every case
 * must fail: it checks the check.
 */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simd.h"
#include "threads.h"

enum { GUARD = 64, MOST_ARRAYS = 64 };

static unsigned long state; /* of the random generator */
static unsigned long seed_of_case;
static const char *case_name;
static long failures;
int is_broken;

/* -- random choices ------------------------------------------------------------------------------------------------- */

static unsigned long next_random(void) { /* splitmix64 */
    unsigned long z = (state += 0x9e3779b97f4a7c15UL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
    return z ^ (z >> 31);
}

long integer(long low, long high) { return low + (long)(next_random() % (unsigned long)(high - low + 1)); }

int maybe(void) { return (int)integer(0, 1); }

double uniform(void) { return (double)(next_random() >> 11) / 9007199254740992.0; }

static double normal(void) { return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()); }

long some_channels(void) {
    static const long options[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 40};
    return options[integer(0, 14)];
}

/* -- arrays, which live until the case is over --------------------------------------------------------------------- */

static struct {
    float *first;
    long count;
} arrays[MOST_ARRAYS];
static int array_count;
static void *tables[MOST_ARRAYS];
static int table_count;

static float guard(long k) { return -12345.5f - (float)k; }

float *blank(long count) {
    float *block = malloc((size_t)(count + 2 * GUARD) * sizeof(float)), *first = block + GUARD;
    for (long k = 0; k < GUARD; k++) block[k] = guard(k), first[count + k] = guard(k);
    for (long k = 0; k < count; k++) first[k] = NAN;
    arrays[array_count].first = first, arrays[array_count++].count = count;
    return first;
}

float *random_array(long count) {
    float *a = blank(count);
    for (long k = 0; k < count; k++) a[k] = (float)normal();
    return a;
}

double *zeros(long count) { return tables[table_count++] = calloc((size_t)count + 1, sizeof(double)); }

void fail(const char *what, long at, double got, double expected, double allowed) {
    printf("%s: seed %lu: %s[%ld] is %.9g for %.9g, allowed %.3g\n", case_name, seed_of_case, what, at, got, expected, allowed);
    failures++;
}

static void free_arrays(void) {
    for (int a = 0; a < array_count; a++) {
        float *block = arrays[a].first - GUARD;
        for (long k = 0; k < GUARD; k++) {
            long at = arrays[a].count + k;
            if (block[k] != guard(k)) fail("before the array", k - GUARD, block[k], guard(k), 0);
            if (arrays[a].first[at] != guard(k)) fail("after the array", at, arrays[a].first[at], guard(k), 0);
        }
        free(block);
    }
    for (int t = 0; t < table_count; t++) free(tables[t]);
    array_count = table_count = 0;
}

void compare(const char *what, float *got, const double *expected, const double *size, double factor, long count) {
    if (is_broken && count) {
        long at = integer(0, count - 1);
        got[at] = isfinite(got[at]) ? got[at] + (float)(4 * factor * size[at] + 4 * EPS * fabs(got[at]) + 1e-30) : 0;
    }
    for (long k = 0; k < count; k++)
        if (got[k] != expected[k] && !(fabs(got[k] - expected[k]) <= factor * size[k])) { /* infinities are equal */
            fail(what, k, got[k], expected[k], factor * size[k]);
            return;
        }
}

void compare_to_largest(const char *what, float *got, const double *expected, double *size, double factor, long count) {
    double largest = 0;
    for (long k = 0; k < count; k++) largest = fmax(largest, size[k]);
    for (long k = 0; k < count; k++) size[k] = largest;
    compare(what, got, expected, size, factor, count);
}

void must_succeed(const char *what, int failed) {
    if (failed) fail(what, -1, failed, 0, 0);
}

/* -- main ----------------------------------------------------------------------------------------------------------- */

#define ROW(name) {#name, check_##name},

static const struct {
    const char *name;
    void (*check)(void);
} checks[] = {FOR_ALL_CHECKS(ROW)};
enum { CHECKS = sizeof checks / sizeof *checks };

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    long turns = 0, missed = 0;
    time_t end = time(NULL) + (time_t)seconds;
    is_broken = argc > 3 && !strcmp(argv[3], "broken");
    threads_start();
    do { /* each case at least once */
        for (int k = 0; k < CHECKS; k++, turns++, seed++) {
            state = seed_of_case = seed, case_name = checks[k].name;
            threads_set((int)integer(1, 4));
            long before = failures;
            checks[k].check();
            if (is_broken && failures == before) printf("%s: seed %lu: the change was not seen\n", case_name, seed), missed++;
            free_arrays();
        }
    } while (time(NULL) < end && (is_broken || failures < 20));
    printf("%ld turns of %d kinds, %d lanes, %ld wrong\n", turns, CHECKS, LANES, failures);
    return is_broken ? missed > 0 : failures > 0;
}
