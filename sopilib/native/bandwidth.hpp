// How fast this machine reads memory: what the engine's products are measured against.
#pragma once

#include <cstddef>

namespace sopi {

// Bytes per second at which `threads` threads together read `bytes` of memory, a share each, again and again for about
// `seconds`. In pages as large as those of a model's weights. std::runtime_error if there are not so many threads.
double read_bandwidth(size_t bytes, int threads, double seconds);

} // namespace sopi
