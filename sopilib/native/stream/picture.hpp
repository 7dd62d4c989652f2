// What was handed out last, to be looked at: how loud it was, and how much of it is in bands of equal width in pitch.
// For whoever draws it: it reads the ring, and neither the producer nor the callback knows of it.
#pragma once

#include "ring.h"
#include "stream/fourier.hpp"

#include <complex>
#include <cstdint>
#include <vector>

namespace sopi {

class Picture {
public:
    static constexpr int kBands = 64;

    Picture();
    // The level and then the bands from low to high, each from 0, silent, to 255; false if nothing was handed out since
    // the last look. The level is the peak since then, of a tenth of a second at most, 255 for full scale and 0 for -60 dB
    // and less; a band's 255 is -12 dB, its 0 -90 dB.
    bool look(const sopi_ring *ring, double rate, uint8_t (&column)[1 + kBands]);

private:
    float collect(const sopi_ring *ring, uint64_t first, uint64_t end);

    Fourier fourier_;
    std::vector<float> shape_, heard_;
    std::vector<std::complex<float>> spectrum_;
    uint64_t looked_ = 0; // host position up to which it was
};

} // namespace sopi
