// A state of a source that the producer fills and the control side keeps.
#pragma once

#include "source.hpp"

#include <atomic>

namespace sopi {

struct Snapshot {
    State state;                      // written once, before `filled`
    std::atomic<bool> filled{false};
    std::atomic<bool> posted{false}; // to be stored in: that happens once
};

} // namespace sopi
