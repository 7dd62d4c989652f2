// The engine: weights + state -> codes. Weights are shared and never change; each engine has its own state.
//
// Shapes: D = dim, W = mlp_dim, n = frame size, G = gates, r = parts a tier hands down per frame, V = width of a part,
// q = levels, f = frame size of tier 0 (the smallest). docs/model.md has the equations.
#pragma once

#include "kernel.hpp"
#include "source.hpp"

#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace sopi {

// ---------------------------------------------------------------- weights

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

// A matrix in the kernels' order, float32 or int8 with one scale per row. Empty if rows is 0.
struct Matrix {
    int rows = 0, columns = 0;
    bool quantised = false;
    Vec<float> f32;
    Vec<int8_t> i8;
    Vec<float> row_scale; // [blocks * 16]
    Vec<int32_t> row_sum; // [blocks * 16]

    Matrix() = default;
    // w [rows][columns], row-major
    Matrix(const float *w, int rows, int columns, bool quantise);
    explicit operator bool() const noexcept { return rows > 0; }
    int blocks() const noexcept { return (rows + kRows - 1) / kRows; }
};

struct Layer {
    Matrix input;     // [G*D][D|n] from the tier's input, or empty
    Matrix below;     // [G*D][D] from the layer below, or empty
    Matrix recurrent; // [G*D][D], or [2*D][D] (r z) with the reset before the matmul
    Matrix reset;     // [D][D] the candidate's, then; else empty
    Matrix output;    // [D][D] to the tier's output, or empty
    Vec<float> bias, candidate, initial; // [G*D], [D] or empty, [state]
};

struct Tier {
    int frame = 0;              // n, samples
    int ratio = 0, below = 0;   // r, V
    Matrix input;               // [D][n, tier 0 n + F], or empty: the frame goes straight into the RNN
    Vec<float> input_bias;      // [D]
    std::vector<Layer> layers;
    Vec<float> output_bias;     // [D], with skip connections
    std::vector<Matrix> up;     // [r] of [V][D]
    Vec<float> up_bias;         // [r][V]
};

struct SampleLayer {
    Matrix weight;
    Vec<float> bias;
    bool relu = false;
};

struct Weights {
    int dim = 0, width = 0, levels = 0, silence = 0, gates = 0, state_size = 0, sample_rate = 0;
    int features = 0; // F: columns of tier 0's input that follow those of the frame
    bool lstm = false, skip = false, reset_after = true, sum_relu = false, quantised = false;
    float frame_scale = 0, frame_offset = 0;
    std::vector<Tier> tiers; // smallest frames first
    Vec<float> tables;       // [f][q][W]
    Vec<int16_t> tables16;   // the same as int16 with one scale, if quantised
    float tables_scale = 0;
    std::vector<SampleLayer> sample;
    Vec<float> decode; // [q]

    int lookback() const noexcept { return tiers.back().frame; }
};

// ---------------------------------------------------------------- state

// Everything that one voice remembers.
struct Voice {
    std::vector<int32_t> history;              // [2 * lookback], the last `lookback` codes end at `end`
    uint64_t seed = 0, drawn = 0;              // random stream and how many numbers it gave
};

// ---------------------------------------------------------------- engine

class Team;

class NativeEngine final : public Source {
public:
    NativeEngine(std::shared_ptr<const Weights> weights, int voices, int threads, const Kernels *kernels);
    ~NativeEngine() override;
    // The same weights with a state of its own, fresh.
    std::shared_ptr<NativeEngine> clone() const;

    int voices() const noexcept override { return voices_; }
    int sample_rate() const noexcept override { return w_->sample_rate; }
    int frame() const noexcept override { return w_->tiers[0].frame; }
    int period() const noexcept override { return w_->lookback(); }
    const float *decode_table() const noexcept override { return w_->decode.data(); }
    const Weights &weights() const noexcept { return *w_; }
    const Kernels &kernels() const noexcept { return *k_; }
    int threads() const noexcept;

    void reset(uint64_t seed) override;
    void generate(int32_t *codes, int64_t n, const Controls &controls) override;
    void prime(const int32_t *codes, int64_t n, const float *features) override;
    int features() const noexcept override { return w_->features; }
    void reset_voice(int voice, uint64_t seed) override;
    void save(State &state) const override;
    void restore(const State &state) override;
    void restore_voice(int voice, const State &state) override;
    void approach(const State &state, float share) override;
    void kick(float share) override;
    // history [voices][lookback] put in the place of the past, frames begin anew; RNN states stay
    void replace_history(const int32_t *codes, int64_t stride);
    // logits [voices][n][q] of codes [voices][n], which are consumed; features [voices][frames][F]
    void teacher_force(const int32_t *codes, int64_t stride, int64_t n, const float *features, float *logits);

    // The state, for reading and writing. position: samples since frames began, modulo lookback.
    int position() const noexcept override { return position_; }
    void set_position(int p) noexcept { position_ = p; }
    std::vector<Voice> &voice_states() noexcept { return states_; }
    const int32_t *history(int voice) const noexcept { return states_[voice].history.data() + end_ - w_->lookback(); }
    void set_history(int voice, const int32_t *codes) noexcept;
    float *rnn(int tier, int layer) noexcept { return rnn_[tier][layer].data(); } // [voices][state_size]
    float *output(int tier, int voice) noexcept { return output_[tier].data() + static_cast<size_t>(voice) * stride_; } // [D]
    void refresh_output(int tier) noexcept; // after output() was written

private:
    // Calls each(values, n) for every array of a voice's State::Row::values, in order.
    template <class F> void each_array(int voice, F &&each) const;
    void restore_row(int voice, const State::Row &row);
    void check(const State &state) const;
    void refresh_outputs() noexcept;
    void run_tiers() noexcept;
    void run_tier(int tier) noexcept;
    void run_sample_level() noexcept; // -> logits_
    void push(const int32_t *codes, int64_t stride) noexcept;
    // y [voices][rows] = m x; x [voices][x_stride], y_stride >= padded rows. xq and x_scale take x as int8, or hold it
    // already if `quantise` is false.
    void multiply(const Matrix &m, const float *x, int x_stride, float *y, int y_stride, int8_t *xq, float *x_scale,
                  bool quantise = true) noexcept;

    std::shared_ptr<const Weights> w_;
    const Kernels *k_;
    int voices_;
    std::unique_ptr<Team> team_;

    int position_ = 0, end_ = 0;
    const float *features_ = nullptr; // [voices][F] that the next frame of tier 0 hears, or null: zeros
    int64_t features_stride_ = 0;
    std::vector<Voice> states_;
    std::vector<std::vector<Vec<float>>> rnn_; // [tier][layer][voices * state_size]
    std::vector<Vec<float>> output_;           // [tier][voices * D]: the present frame's
    std::vector<Vec<int8_t>> output_q_;        // the same, quantised
    std::vector<Vec<float>> output_scale_;

    // scratch, [voices] each
    int stride_ = 0, stride_q_ = 0;
    Vec<float> frame_, input_, gates_x_, gates_u_, sum_, scratch_, level_a_, level_b_, logits_;
    Vec<int8_t> xq_, hq_;
    Vec<float> x_scale_, h_scale_;
    std::vector<int32_t> codes_;
};

} // namespace sopi
