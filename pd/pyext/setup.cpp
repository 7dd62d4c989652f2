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
    PdScope scope;
    if (called || zgetfn(&pd_objectmaker, gensym("sopi"))) return; // or one in another folder has started
    called = true;
    os::keep_real_time_to_pd();
    prepare_quit();
    if (!start_python(*start)) return;
    prepare_freeze();
    setup_classes();
    start_poll();
    for (Worker *worker : {&ring_worker, &detach_worker, &spawner}) worker->start();
}
