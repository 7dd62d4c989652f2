// Prints what engines with made-up weights generate, one line a shape, precision and instruction set: the set's name, a
// hash of the logits, one of the codes and one of the sound. Every line but for the set's name should be the same on every
// processor. Plain C++, for processors that this machine only emulates (test_other_processors.py).
#include "made_up_weights.hpp"

#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

using namespace sopi;

namespace {

template <typename T> unsigned long long hash(const std::vector<T> &values)
{
    uint64_t h = 14695981039346656037ull;
    for (const T &v : values) {
        uint32_t bits;
        std::memcpy(&bits, &v, 4);
        h = (h ^ bits) * 1099511628211ull;
    }
    return h;
}

} // namespace

int main(int argc, char **argv)
{
    constexpr int voices = 5, n = 50;
    for (const Shape &s : shapes)
        for (const auto &[precision, frames, samples] :
             {std::tuple("f32", Form::f32, Form::f32), std::tuple("int8", Form::i8, Form::i8),
              std::tuple("int4", Form::i4, Form::i8)})
            for (int a = 1; a < argc; a++) {
                const Kernels *kernels = find_kernels(argv[a]);
                if (!kernels) {
                    std::printf("no %s here\n", argv[a]);
                    return 1;
                }
                const std::shared_ptr<Weights> weights = make_weights(s, frames, samples);
                for (int c = 0; c < s.levels; c++)
                    weights->coding.values[static_cast<size_t>(c)] = static_cast<float>(c - (s.levels >> 1)) / 300.0f;
                weights->coding.poles = {0.85f, 0.5f}, weights->coding.level = 0.9f;
                NativeEngine engine(weights, voices, 2, kernels);
                std::vector<float> temperature(voices * n, 0.9f), logits(static_cast<size_t>(voices) * n * s.levels);
                std::vector<Sampling> sampling(voices);
                sampling[1].top_k = 9, sampling[2].top_p = 0.7f, sampling[3].min_p = 0.1f, sampling[4].rest = 1.4f,
                sampling[4].rest_level = -12;
                std::vector<int32_t> codes(voices * n);
                std::vector<float> audio(voices * n);
                engine.reset(7);
                engine.generate(codes.data(), audio.data(), n, {temperature.data(), sampling.data()});
                engine.teacher_force(codes.data(), n, n, nullptr, logits.data());
                std::printf("%s %s %s %016llx %016llx %016llx\n", s.name, precision, kernels->name, hash(logits),
                            hash(codes), hash(audio));
            }
}
