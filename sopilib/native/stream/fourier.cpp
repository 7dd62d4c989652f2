#include "stream/fourier.hpp"

#include <utility>

namespace sopi {

constexpr double kPi = 3.14159265358979323846;

Fourier::Fourier(size_t least)
{
    size_t size = 2;
    while (size < least) size *= 2;
    for (size_t k = 0; k < size / 2; k++)
        roots_.push_back(std::polar(1.0f, float(-2 * kPi * double(k) / double(size))));
}

// Radix 2, decimation in time.
void Fourier::transform(std::vector<std::complex<float>> &values) const noexcept
{
    const size_t size = this->size();
    for (size_t i = 1, j = 0; i < size; i++) {
        size_t bit = size >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) std::swap(values[i], values[j]);
    }
    for (size_t half = 1; half < size; half *= 2)
        for (size_t start = 0; start < size; start += 2 * half)
            for (size_t k = 0; k < half; k++) {
                const std::complex<float> a = values[start + k], w = roots_[k * (size / (2 * half))],
                                          b = values[start + k + half];
                const std::complex<float> c(w.real() * b.real() - w.imag() * b.imag(),
                                            w.real() * b.imag() + w.imag() * b.real());
                values[start + k] = a + c;
                values[start + k + half] = a - c;
            }
}

} // namespace sopi
