// A Fourier transform of a fixed size, for what looks at a sound: nothing that is heard goes through it.
#pragma once

#include <complex>
#include <vector>

namespace sopi {

class Fourier {
public:
    // The smallest power of two that is at least `least`.
    explicit Fourier(size_t least);
    // RT. In place, values [size], forward and unscaled.
    void transform(std::vector<std::complex<float>> &values) const noexcept;
    size_t size() const noexcept { return 2 * roots_.size(); }

private:
    std::vector<std::complex<float>> roots_; // [half the size]
};

} // namespace sopi
