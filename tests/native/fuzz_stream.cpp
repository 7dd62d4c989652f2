// libFuzzer reads bytes as what a performer posts and how many frames the host wants, one after the other, without real
// time: the stream must give every frame it is asked for, each a number of a size that can be, whatever was posted.
#include "rough_client.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

using namespace sopi;

namespace {

// Numbers out of bytes; zeros when they are used up.
class Bytes {
public:
    Bytes(const uint8_t *data, size_t size) : data_(data), left_(size) {}
    bool empty() const { return left_ == 0; }
    uint32_t operator()(uint32_t n)
    {
        uint32_t value = 0;
        for (uint32_t most = n - 1; most && left_; most >>= 8) {
            value = value << 8 | *data_++;
            left_--;
        }
        return value % n;
    }

private:
    const uint8_t *data_;
    size_t left_;
};

void play(Stream &stream, uint32_t frames)
{
    float left[512], right[512];
    float *const out[] = {left, right};
    for (; frames > 0; frames -= std::min(frames, 512u)) {
        const uint32_t n = std::min(frames, 512u);
        sopi_ring_read(stream.ring(), out, kRoughChannels, n, 0);
        for (uint32_t i = 0; i < n; i++) CHECK(std::fabs(left[i]) < 100 && std::fabs(right[i]) < 100);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const NativeEngine engine(make_weights(shapes[0], Form::i8, Form::i8), 1, 1, find_kernels("auto"));
    Bytes bytes(data, size);
    const auto stream = std::make_shared<Stream>(kRoughChannels, 0.02, true, 1 << 15);
    Stream::start(stream);
    sopi_ring_host(stream->ring(), 48000, 64, 1);
    RoughClient client(stream, engine, [&](uint32_t n) { return bytes(n); });
    for (int acts = 0; !bytes.empty() && acts < 100; acts++) {
        client.act();
        if (bytes(3) == 0) play(*stream, 1 + bytes(700));
    }
    play(*stream, 64);
    CHECK(stream->close(20));
    return 0;
}
