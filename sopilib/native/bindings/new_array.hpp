// NumPy arrays made here: Python owns them, C++ fills them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <new>

namespace sopi {

// A new array of these sizes, its memory in *data, not initialised. std::bad_alloc, a MemoryError in Python, if it is too
// large.
template <typename T, typename... Sizes> auto new_array(T **data, Sizes... sizes)
{
    const size_t shape[] = {static_cast<size_t>(sizes)...};
    size_t total = 1;
    for (size_t s : shape)
        if (__builtin_mul_overflow(total, s, &total)) throw std::bad_alloc();
    *data = new T[total];
    nanobind::capsule owner(*data, [](void *p) noexcept { delete[] static_cast<T *>(p); });
    return nanobind::ndarray<nanobind::numpy, T>(*data, sizeof...(sizes), shape, owner);
}

} // namespace sopi
