// How fast this machine reads memory, and multiplies: what the engine's products are measured against.
#pragma once

#include "kernel.hpp"

#include <cstddef>

namespace sopi {

// Bytes per second at which `threads` threads together read `bytes` of memory, a share each, again and again for about
// `seconds`. In pages as large as those of a model's weights. std::runtime_error if there are not so many threads.
double read_bandwidth(size_t bytes, int threads, double seconds);

// Products per second that `threads` threads together can do in a form by these kernels, nothing but products, measured
// for about `seconds`. std::runtime_error if there are not so many threads.
double peak_products(const Kernels &kernels, Form form, int threads, double seconds);

} // namespace sopi
