// The threads of an engine: what each of them computes, and in which order.
#pragma once

#include "engine/engine.hpp"
#include "team.hpp"

#include <cstdint>
#include <vector>

namespace sopi {

// One thread's share of an engine. All workers run the same steps; each computes its share of the rows of every product,
// and where a step needs what the others computed, they meet. Every vector that is multiplied is quantised by each
// worker for itself: cheaper than one more meeting.
//
// At a frame's boundary only that is done which needs the newest code. Before it, spread over the samples of the frame:
//   recurrent * h of every layer                           once the frame before is done
//   c, what the tier above hands down, and condition * c   the same, unless the tier above ends its frame there too
//   frame * u, a column a sample                           as codes come
// and before each sample, what tier 0 hands down for it. None of this is state: it is worked out again when missing.
class Worker {
public:
    Worker(NativeEngine &engine, int index);
    void begin() noexcept;
    // Samples `from` to `to` of n, or as far as the team goes on.
    void generate(int32_t *codes, float *audio, int64_t n, int64_t from, int64_t to, const Controls &controls) noexcept;
    void prime(const int32_t *codes, int64_t n, int64_t from, int64_t to, const float *features) noexcept;
    void teacher_force(const int32_t *codes, int64_t stride, int64_t n, int64_t from, int64_t to, const float *features,
                       float *logits) noexcept;
    void look_ahead(const float *features) noexcept;
    void consume(const int32_t *codes) noexcept;
    int position() const noexcept { return position_; }
    int64_t reached() const noexcept { return reached_; } // the first sample of the last call that isn't done

private:
    struct Range {
        int begin, end;
    };
    struct Quantised {
        Vec<int8_t> q;
        Vec<int32_t> offset;
        Vec<float> scale;
    };
    // Work for a tier's next frame: `blocks` rows of blocks, the first of them number `first` of all of the tier's.
    struct Task {
        enum Kind { recurrent, condition, conditioned } kind;
        int layer, first, blocks;
    };
    struct TierShare {
        std::vector<Task> tasks; // recurrent ones, then condition, then conditioned ones
        int own = 0, all = 0; // blocks of the recurrent ones, of all
        int done = 0; // blocks done for the next frame
        int columns = 0; // of the next frame heard
        bool condition_read = false;
        std::vector<Quantised> h; // [layer]
        Quantised output, condition;
    };

    Range mine(int blocks) const noexcept { return share(0, blocks, 1); }
    // My share of [begin, end), in pieces of `unit`.
    Range share(int begin, int end, int unit) const noexcept
    {
        const int pieces = (end - begin) / unit;
        return {begin + pieces * index_ / size_ * unit, begin + pieces * (index_ + 1) / size_ * unit};
    }
    Quantised room(int columns) const;
    Vectors read(const float *x, int stride, int columns, Quantised &into) noexcept; // quantises
    Vectors as_read(const float *x, int stride, const Quantised &from) const noexcept;
    void multiply(const Matrix &m, Range blocks, const Vectors &x, const Sum &to) noexcept
    {
        if (blocks.begin < blocks.end) product([&] { k_.multiply(m, blocks.begin, blocks.end, x, e_.voices_, to); });
    }
    // Calls work(), all of which is products; for the caller of the engine it counts the time if that is asked for.
    template <typename Work> void product(Work &&work) noexcept
    {
        ProductTime *const time = index_ == 0 ? e_.product_time_ : nullptr;
        if (!time) return work();
        const int64_t began = platform::now_ns();
        work();
        time->ns += platform::now_ns() - began;
        time->calls++;
    }

    // Before each sample i but the first that are done together: false if the team leaves off here.
    bool wait_for_code(int64_t i, int64_t from) noexcept;
    void predict(const float *features, int64_t features_stride) noexcept;
    void advance(int tier, int until) noexcept;
    void prepare() noexcept;
    void hear(int tier, const float *features, int64_t features_stride) noexcept;
    void run_tier(int tier, const float *features, int64_t features_stride) noexcept;
    void run_tiers(const float *features, int64_t features_stride) noexcept;
    void hand_down() noexcept;
    void run_sample_level() noexcept;
    void take(int voice, int32_t code) noexcept;
    void pass() noexcept;
    int last_codes(int n) const noexcept { return position_ + w_.lookback() - n; } // where they begin in a history

    NativeEngine &e_;
    const Weights &w_;
    const Kernels &k_;
    Team &team_;
    const int index_;
    int size_ = 1; // of the team, in this call
    const int d_, gates_; // in memory
    int position_ = 0;
    int64_t reached_ = 0;
    bool handed_down_ = false;
    std::vector<TierShare> tiers_;
    Quantised level_, reset_;
};

} // namespace sopi
