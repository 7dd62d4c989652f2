// CRC-32C (Castagnoli), with the processor's own instruction where there is one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sopi {

uint32_t crc32c(const uint8_t *data, size_t size) noexcept;
// The same by tables, about ten times slower: for processors without the instruction.
uint32_t crc32c_plain(const uint8_t *data, size_t size) noexcept;

} // namespace sopi
