// natives_array.cpp: named arrays of Pd.
#include <m_pd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "natives.hpp"
#include "pd_thread.hpp"

namespace {

constexpr int frames_at_once = 1 << 16; // copied on Pd's thread in one go

t_garray *find_array(const std::string &name, int *frames, t_word **words)
{
    auto *array = reinterpret_cast<t_garray *>(pd_findbyclass(gensym(name.c_str()), garray_class));
    if (array && garray_getfloatwords(array, frames, words)) return array;
    *frames = -1;
    return nullptr;
}

// Frames, or -1 for no such array.
PyObject *array_size(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    auto frames = std::make_shared<int>();
    if (!call_on_pd([name, frames] {
            t_word *words;
            find_array(name, frames.get(), &words);
        }))
        return unreachable();
    return PyLong_FromLong(*frames);
}

// Pd's thread: the words themselves, a number of sample_bytes at every word_bytes; None for no such array.
PyObject *array_memory(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    int frames;
    t_word *words;
    if (!on_pd_thread() || !find_array(name, &frames, &words)) Py_RETURN_NONE;
    return PyMemoryView_FromMemory(reinterpret_cast<char *>(words), frames * static_cast<Py_ssize_t>(sizeof(t_word)),
                                   PyBUF_WRITE);
}

// A copy, as bytes of float32; None for no such array.
PyObject *array_read(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    auto frames = std::make_shared<int>();
    const auto measure = [name, frames] {
        t_word *words;
        find_array(name, frames.get(), &words);
    };
    if (!call_on_pd(measure)) return unreachable();
    if (*frames < 0) Py_RETURN_NONE;
    auto data = std::make_shared<std::vector<float>>(static_cast<size_t>(*frames)); // not made on Pd's thread
    for (int start = 0; start < *frames; start += frames_at_once) {
        const bool done = call_on_pd([name, data, start] {
            int n;
            t_word *words;
            find_array(name, &n, &words);
            const int end = std::min({n, start + frames_at_once, static_cast<int>(data->size())});
            for (int i = start; i < end; i++) (*data)[static_cast<size_t>(i)] = words[i].w_float;
        });
        if (!done) return unreachable();
    }
    return PyBytes_FromStringAndSize(reinterpret_cast<const char *>(data->data()),
                                     static_cast<Py_ssize_t>(data->size() * sizeof(float)));
}

// Writes float32 `values` at start, start + step, ...; what does not fit is left out.
PyObject *array_write(PyObject *, PyObject *args)
{
    std::string name;
    int start, step;
    Py_buffer values;
    if (!PyArg_ParseTuple(args, "O&iiy*", to_name, &name, &start, &step, &values)) return nullptr;
    const auto *floats = static_cast<const float *>(values.buf);
    auto data = std::make_shared<std::vector<float>>(floats,
                                                     floats + values.len / static_cast<Py_ssize_t>(sizeof(float)));
    PyBuffer_Release(&values);
    const int n = static_cast<int>(data->size());
    for (int from = 0; from < n; from += frames_at_once) {
        const bool done = call_on_pd([name, data, start, step, from, n] {
            int frames;
            t_word *words;
            find_array(name, &frames, &words);
            for (int i = from; i < std::min(n, from + frames_at_once); i++)
                if (const int at = start + i * step; at >= 0 && at < frames)
                    words[at].w_float = (*data)[static_cast<size_t>(i)];
        });
        if (!done) return unreachable();
    }
    Py_RETURN_NONE;
}

// False for no such array.
PyObject *array_resize(PyObject *, PyObject *args)
{
    std::string name;
    int frames, keep;
    if (!PyArg_ParseTuple(args, "O&ip", to_name, &name, &frames, &keep)) return nullptr;
    auto found = std::make_shared<bool>(false);
    if (!call_on_pd([name, frames, keep, found] {
            int n;
            t_word *words;
            t_garray *array = find_array(name, &n, &words);
            if (!array) return;
            *found = true;
            garray_resize_long(array, frames);
            if (!keep && garray_getfloatwords(array, &n, &words))
                for (int i = 0; i < n; i++) words[i].w_float = 0;
        }))
        return unreachable();
    return PyBool_FromLong(*found);
}

PyObject *array_redraw(PyObject *, PyObject *text)
{
    std::string name;
    if (!to_name(text, &name)) return nullptr;
    send_soon(nullptr, [name] {
        int frames;
        t_word *words;
        if (t_garray *array = find_array(name, &frames, &words)) garray_redraw(array);
    });
    Py_RETURN_NONE;
}

} // namespace

PyMethodDef array_methods[] = {
    {"array_size", array_size, METH_O, nullptr},
    {"array_memory", array_memory, METH_O, nullptr},
    {"array_read", array_read, METH_O, nullptr},
    {"array_write", array_write, METH_VARARGS, nullptr},
    {"array_resize", array_resize, METH_VARARGS, nullptr},
    {"array_redraw", array_redraw, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
