// setup.cpp: the loader calls the library's body.
#include <m_pd.h>

#include "interpreter.hpp"
#include "object.hpp"
#include "pd_thread.hpp"
#include "platform/platform.hpp"
#include "process.hpp"
#include "worker.hpp"

extern "C" PYEXT_EXPORT void sopi_pyext_start(const BodyStart *start)
{
    static bool called = false; // by a loader of another name beside the same body
    if (called) return;
    called = true;
    PdScope scope;
    for (const char *name : {"pyext", "pyext~"})
        if (zgetfn(&pd_objectmaker, gensym(name))) {
            pd_error(nullptr,
                     "py: another library with [%s] is already loaded, which goes on working; this one (sopilib's) "
                     "does not start: load only one of them",
                     name);
            return;
        }
    os::keep_real_time_to_pd();
    prepare_quit();
    if (!start_python(*start)) return;
    prepare_freeze();
    setup_classes();
    start_poll();
    for (Worker *worker : {&ring_worker, &detach_worker, &spawner}) worker->start();
}
