#include "crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace sopi {
namespace {

#if defined(__x86_64__)
#define SOPI_CRC __attribute__((target("sse4.2")))
bool in_hardware() { return __builtin_cpu_supports("sse4.2"); }
SOPI_CRC uint32_t step(uint32_t crc, uint64_t word) { return static_cast<uint32_t>(_mm_crc32_u64(crc, word)); }
SOPI_CRC uint32_t step(uint32_t crc, uint8_t byte) { return _mm_crc32_u8(crc, byte); }
#elif defined(__ARM_FEATURE_CRC32)
#define SOPI_CRC
bool in_hardware() { return true; }
uint32_t step(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
uint32_t step(uint32_t crc, uint8_t byte) { return __crc32cb(crc, byte); }
#endif

#if defined(SOPI_CRC)
SOPI_CRC uint32_t hardware(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        std::memcpy(&word, data, 8);
        crc = step(crc, word);
    }
    for (; size; size--) crc = step(crc, *data++);
    return crc;
}
#endif

// tables[k][b]: what byte b does to the CRC when k more bytes follow it.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

Tables make_tables()
{
    Tables t{};
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        t[0][b] = crc;
    }
    for (size_t k = 1; k < t.size(); k++)
        for (size_t b = 0; b < 256; b++) t[k][b] = t[k - 1][b] >> 8 ^ t[0][t[k - 1][b] & 255];
    return t;
}

} // namespace

uint32_t crc32c_plain(const uint8_t *data, size_t size) noexcept
{
    static const Tables t = make_tables();
    uint32_t crc = ~0u;
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t next = 0;
        for (size_t k = 0; k < 8; k++) next ^= t[7 - k][data[k] ^ (k < 4 ? crc >> (8 * k) & 255 : 0)];
        crc = next;
    }
    for (; size; size--) crc = crc >> 8 ^ t[0][(crc ^ *data++) & 255];
    return ~crc;
}

uint32_t crc32c(const uint8_t *data, size_t size) noexcept
{
#if defined(SOPI_CRC)
    if (in_hardware()) return ~hardware(~0u, data, size);
#endif
    return crc32c_plain(data, size);
}

} // namespace sopi
