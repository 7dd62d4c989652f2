// Weights as the kernels want them, from row-major floats.
#pragma once

#include "kernel.hpp"
#include "platform/platform.hpp"

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace sopi {

template <typename T> struct Aligned {
    using value_type = T;
    Aligned() = default;
    template <typename U> Aligned(const Aligned<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
    bool operator==(const Aligned &) const { return true; }
    bool operator!=(const Aligned &) const { return false; }
};
template <typename T> using Vec = std::vector<T, Aligned<T>>;

constexpr int padded(int n, int to) { return (n + to - 1) / to * to; }

// Memory for the weights of one model, all freed together: in pages of 2 MB where the system has them, because a model
// touches all of its weights again and again, and more small pages than a processor keeps track of.
class Arena {
public:
    Arena() = default;
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;
    template <typename T> T *take(size_t n) { return static_cast<T *>(take_bytes(n * sizeof(T))); }
    size_t bytes() const noexcept { return bytes_; } // in use

private:
    struct Free {
        void operator()(void *pages) const noexcept { platform::give_pages(pages); }
    };
    void *take_bytes(size_t n);

    std::vector<std::unique_ptr<void, Free>> slabs_;
    size_t bytes_ = 0, left_ = 0;
    char *next_ = nullptr;
};

// w [gates * units][columns], row-major. Rows are stored as [block of 16 units][gate][16], each gate's units padded to 16;
// gates 1: simply in order.
Matrix pack(Arena &arena, const float *w, int gates, int units, int columns, Form form);

// x [gates * units] in the same order.
Vec<float> pack_units(const float *x, int gates, int units);

// w [gates * units][columns] as [column][row in that order].
Vec<float> pack_columns(const float *w, int gates, int units, int columns);

// t [count][levels][width]; as 16-bit integers if `quantised`.
Tables pack_tables(Arena &arena, const float *t, int count, int levels, int width, bool quantised);

} // namespace sopi
