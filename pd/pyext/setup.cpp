// setup.cpp: Pd loads the library `py`.
#include <m_pd.h>

#include "interpreter.hpp"
#include "object.hpp"
#include "pd_thread.hpp"
#include "process.hpp"
#include "thread.hpp"
#include "worker.hpp"

extern "C" __attribute__((visibility("default"))) void py_setup()
{
    PdScope scope;
    for (const char *name : {"pyext", "pyext~"})
        if (zgetfn(&pd_objectmaker, gensym(name))) {
            pd_error(nullptr,
                     "py: another library with [%s] is already loaded, which goes on working; this one (sopilib's) "
                     "does not start: load only one of them",
                     name);
            return;
        }
    keep_real_time_to_pd();
    prepare_quit();
    if (!start_python()) return;
    prepare_freeze();
    setup_classes();
    start_poll();
    for (Worker *worker : {&ring_worker, &detach_worker, &spawner}) worker->start();
}
