// The engine: weights + state -> codes. Weights are shared and never change; each engine has its own state.
//
// weights.hpp says what the letters in shapes stand for.
#pragma once

#include "engine/random.hpp"
#include "engine/weights.hpp"
#include "loudness.hpp"
#include "source.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace sopi {

// Everything that one voice remembers, but for its RNN states.
struct Voice {
    std::vector<int32_t> history; // [2 * lookback], twice the same: any `lookback` in a row are all of it
    uint64_t seed = 0, drawn = 0; // random stream and how many numbers it gave
    Memory memory; // of undoing emphasis
    Loudness loudness;
    float sound = 0; // of the newest code
    uint64_t limited = 0; // samples that the limiter held
};

// How long the products of one thread took, its reading of the clock included, and in how many pieces.
struct ProductTime {
    int64_t ns = 0, calls = 0;
};

class Team;
class Worker;

constexpr int kMostVoices = 1024, kMostThreads = 64;

// An engine is used by one thread at a time. Whoever comes while another thread is in one of its functions gets a
// std::runtime_error, and changes nothing. So does a child made by fork(), where an engine with several threads lacks them.
class NativeEngine final : public Source {
public:
    // While one of these lives, it is this thread's. For those who read and write its state piece by piece.
    class Use {
    public:
        explicit Use(const NativeEngine &engine);
        ~Use() { engine_.used_.store(false, std::memory_order_release); }
        Use(const Use &) = delete;
        Use &operator=(const Use &) = delete;

    private:
        const NativeEngine &engine_;
    };

    // std::invalid_argument for voices outside 1 to kMostVoices, threads outside 1 to kMostThreads. If the system gives
    // fewer threads it works with those.
    NativeEngine(std::shared_ptr<const Weights> weights, int voices, int threads, const Kernels *kernels);
    ~NativeEngine() override;
    // The same weights with a state of its own, fresh.
    std::shared_ptr<NativeEngine> clone(int voices, int threads = 0) const;

    int voices() const noexcept override { return voices_; }
    int sample_rate() const noexcept override { return w_->sample_rate; }
    int frame() const noexcept override { return w_->tiers[0].frame; }
    int period() const noexcept override { return w_->lookback(); }
    const Coding &coding() const noexcept override { return w_->coding; }
    uint64_t limited() const noexcept override;
    const Weights &weights() const noexcept { return *w_; }
    const Kernels &kernels() const noexcept { return *k_; }
    int threads() const noexcept;
    // From now on the thread that calls generate() adds the time of its products there; null: no more.
    void count_products(ProductTime *into) noexcept { product_time_ = into; }

    void reset(uint64_t seed) override;
    void generate(int32_t *codes, float *audio, int64_t n, const Controls &controls) override;
    void prime(const int32_t *codes, int64_t n, const float *features) override;
    int features() const noexcept override { return w_->features; }
    void reset_voice(int voice, uint64_t seed) override;
    void save(State &state) const override;
    void check(const State &state) const override;
    void restore(const State &state) override;
    void restore_voice(int voice, const State &state) override;
    void approach(const State &state, float share) override;
    void kick(float share) override;
    // In turn, for whoever draws codes from several engines: looks at the next code, whose logits [q] are then there; and
    // takes the code [voices] that it is.
    void look_ahead(const float *features);
    const float *logits(int voice) const noexcept { return logits_.data() + static_cast<size_t>(voice) * widest_; }
    void consume(const int32_t *codes);
    // What a voice's next code is drawn at, if it was to be `own`.
    float temperature(int voice, float own, const Sampling &sampling) const noexcept
    {
        return sampling.rest > 0 && states_[voice].loudness.below(sampling.rest_level) ? sampling.rest : own;
    }
    float sound(int voice) const noexcept { return states_[voice].sound; } // of the code that was taken last
    // The next number of a voice's random stream, in [0, 1).
    float draw(int voice) noexcept { return coin(states_[voice].seed, voice, states_[voice].drawn++); }
    // history [voices][lookback] put in the place of the past, frames begin anew; RNN states stay
    void replace_history(const int32_t *codes, int64_t stride);
    // logits [voices][n][q] of codes [voices][n], which are consumed; features [voices][frames][F]
    void teacher_force(const int32_t *codes, int64_t stride, int64_t n, const float *features, float *logits);

    // The state, for reading and writing while a Use lives. position: samples since frames began, modulo lookback.
    int position() const noexcept override { return position_; }
    std::vector<Voice> &voice_states() noexcept { return states_; }
    const int32_t *history(int voice) const noexcept { return states_[voice].history.data() + position_; } // [lookback]
    void set_position(int p) noexcept { position_ = p; } // before histories
    void set_history(int voice, const int32_t *codes) noexcept; // [lookback]
    // Calls each(values [D], tier, layer) for the arrays of a layer's state: h, LSTM: and c.
    template <class F> void each_of(int tier, int layer, int voice, F &&each) noexcept
    {
        const size_t at = static_cast<size_t>(voice) * w_->units();
        each(tiers_[tier].h[layer].data() + at);
        if (w_->lstm) each(tiers_[tier].c[layer].data() + at);
    }
    float *output(int tier, int voice) noexcept; // [D]
    // Afterwards: forgets all that was worked out of it in advance.
    void state_changed() noexcept { stale_ = true; }

private:
    friend class Worker;

    // What each tier has worked out in advance, and its present frame's.
    struct TierState {
        std::vector<Vec<float>> h, c; // [layer][voices * D]; c: LSTM
        Vec<float> output; // [voices * D]
        std::vector<Vec<float>> recurrent; // [layer][voices * G*D] recurrent * h
        std::vector<Vec<float>> frame; // [layer][voices * G*D] bias + frame * u, as far as the frame is known
        std::vector<Vec<float>> conditioned; // [layer][voices * G*D] condition * c
        Vec<float> condition; // [voices * D] c: what the tier above hands down for the next frame
    };

    // Calls each(values, n) for every array of a voice's State::Row::values, in order.
    template <class F> void each_array(int voice, F &&each) noexcept;
    void hear(Voice &voice, int32_t code) noexcept
    {
        voice.sound = w_->coding.undo(code, voice.memory, voice.limited);
        voice.loudness.add(voice.sound);
    }
    void begin_voice(int voice, uint64_t seed) noexcept;
    void restore_row(int voice, const State::Row &row);
    // work(worker, from, to) on every member of the team, for pieces of n samples, one after the other.
    template <typename Work> void together(int64_t n, Work &&work) noexcept;

    std::shared_ptr<const Weights> w_;
    const Kernels *k_;
    int voices_;
    std::unique_ptr<Team> team_;

    int position_ = 0;
    bool stale_ = true;
    ProductTime *product_time_ = nullptr;
    mutable std::atomic<bool> used_{false};
    std::vector<Voice> states_;
    std::vector<TierState> tiers_;
    std::vector<std::unique_ptr<Worker>> workers_; // one a member of the team

    // scratch, [voices] each
    int gates_ = 0, widest_ = 0; // G*D and the widest vector of the sample level in memory
    Vec<float> gates_x_, reset_h_, reset_n_, conditioning_, level_a_, level_b_, logits_;
};

} // namespace sopi
