/* [stopwatch~ begin <name>], [stopwatch~ end <name>]: how long what stands between them takes in each of Pd's blocks.
 * `write <file>` to the one at the end: float32 microseconds, one a block, for at most an hour at 48 kHz. */
#include <m_pd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WATCHES = 8, MOST = 48000 / 64 * 3600 };

typedef struct {
    t_symbol *name;
    double begun; /* us */
    float *taken; /* [MOST], us */
    size_t n;
} watch;

typedef struct {
    t_object object;
    t_float unused;
    int ends;
    watch *watch;
} stopwatch;

static t_class *stopwatch_class;
static watch watches[WATCHES];

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static watch *find(t_symbol *name)
{
    for (int i = 0; i < WATCHES; i++) {
        if (!watches[i].name) watches[i] = (watch){name, 0, malloc(MOST * sizeof(float)), 0};
        if (watches[i].name != name) continue;
        if (watches[i].taken) memset(watches[i].taken, 0, MOST * sizeof(float)); /* before it counts, all pages are there */
        return watches[i].taken ? &watches[i] : NULL;
    }
    return NULL;
}

static t_int *perform(t_int *w)
{
    stopwatch *x = (stopwatch *)w[1];
    watch *at = x->watch;
    memmove((void *)w[3], (void *)w[2], (size_t)w[4] * sizeof(t_sample));
    if (!x->ends) at->begun = now_us();
    else if (at->n < MOST) at->taken[at->n++] = (float)(now_us() - at->begun);
    return w + 5;
}

static void dsp(stopwatch *x, t_signal **signals)
{
    dsp_add(perform, 4, x, signals[0]->s_vec, signals[1]->s_vec, (t_int)signals[0]->s_n);
}

static void write_file(stopwatch *x, t_symbol *path)
{
    FILE *file = fopen(path->s_name, "wb");
    const size_t written = file ? fwrite(x->watch->taken, sizeof(float), x->watch->n, file) : 0;
    if (!file || fclose(file) || written < x->watch->n) pd_error(x, "stopwatch~: could not write %s", path->s_name);
}

static void *make(t_symbol *which, t_symbol *name)
{
    watch *found = find(name);
    if (!found) return NULL;
    stopwatch *x = (stopwatch *)pd_new(stopwatch_class);
    x->ends = which == gensym("end");
    x->watch = found;
    outlet_new(&x->object, &s_signal);
    return x;
}

void stopwatch_tilde_setup(void)
{
    stopwatch_class = class_new(gensym("stopwatch~"), (t_newmethod)make, 0, sizeof(stopwatch), 0, A_DEFSYM, A_DEFSYM, A_NULL);
    CLASS_MAINSIGNALIN(stopwatch_class, stopwatch, unused);
    class_addmethod(stopwatch_class, (t_method)dsp, gensym("dsp"), A_CANT, A_NULL);
    class_addmethod(stopwatch_class, (t_method)write_file, gensym("write"), A_SYMBOL, A_NULL);
}
