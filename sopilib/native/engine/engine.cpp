#include "engine/engine.hpp"

#include "denormals.hpp"
#include "engine/worker.hpp"
#include "team.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace sopi {

NativeEngine::Use::Use(const NativeEngine &engine) : engine_(engine)
{
    if (!engine_.team_->complete())
        throw std::runtime_error(
            "the engine's threads stayed in the process that made it; make an engine of this process's own");
    if (engine_.used_.exchange(true, std::memory_order_acquire))
        throw std::runtime_error(
            "the engine is being used by another thread; each thread needs one of its own: clone it");
}

// In range, or a sentence that says what is wrong.
static int checked(const char *what, int given, int most)
{
    if (given < 1 || given > most)
        throw std::invalid_argument(std::string(what) + " is " + std::to_string(given) + ", expected 1 to " +
                                    std::to_string(most));
    return given;
}

NativeEngine::NativeEngine(std::shared_ptr<const Weights> weights, int voices, int threads, const Kernels *kernels)
    : w_(std::move(weights)), k_(kernels), voices_(checked("voices", voices, kMostVoices)),
      team_(std::make_unique<Team>(checked("threads", threads, kMostThreads)))
{
    const Weights &w = *w_;
    states_.resize(voices_);
    for (Voice &v : states_) v.history.resize(2 * static_cast<size_t>(w.lookback()));
    const auto each = [this](int n) { return Vec<float>(static_cast<size_t>(n) * voices_); };
    const int d = w.units();
    gates_ = w.gates * d;
    widest_ = padded(std::max(w.width, w.levels), kChunk);
    for (const Tier &t : w.tiers) {
        TierState state;
        for (const Layer &layer : t.layers) {
            state.h.push_back(each(d));
            state.c.push_back(each(w.lstm ? d : 0));
            state.recurrent.push_back(each(gates_));
            state.frame.push_back(each(layer.frame.empty() ? 0 : gates_));
            state.conditioned.push_back(each(layer.condition ? gates_ : 0));
        }
        state.output = each(d);
        state.condition = each(d);
        tiers_.push_back(std::move(state));
    }
    gates_x_ = each(gates_);
    for (Vec<float> *v : {&reset_h_, &reset_n_}) *v = each(d);
    for (Vec<float> *v : {&conditioning_, &level_a_, &level_b_, &logits_}) *v = each(widest_);
    for (int i = 0; i < team_->size(); i++) workers_.push_back(std::make_unique<Worker>(*this, i));
    position_ = 0;
    for (int v = 0; v < voices_; v++) begin_voice(v, 0);
}

NativeEngine::~NativeEngine() = default;

std::shared_ptr<NativeEngine> NativeEngine::clone(int voices, int threads) const
{
    return std::make_shared<NativeEngine>(w_, voices, threads ? threads : this->threads(), k_);
}

int NativeEngine::threads() const noexcept { return team_->size(); }

void NativeEngine::reset(uint64_t seed)
{
    const Use use(*this);
    position_ = 0;
    for (int v = 0; v < voices_; v++) begin_voice(v, seed);
}

void NativeEngine::reset_voice(int voice, uint64_t seed)
{
    const Use use(*this);
    begin_voice(voice, seed);
}

void NativeEngine::begin_voice(int voice, uint64_t seed) noexcept
{
    const Weights &w = *w_;
    Voice &v = states_[voice];
    std::fill(v.history.begin(), v.history.end(), w.silence);
    v.seed = seed;
    v.drawn = 0;
    v.memory = Memory();
    v.loudness = Loudness();
    for (int i = 0; i < w.lookback(); i++) hear(v, w.silence);
    for (size_t t = 0; t < w.tiers.size(); t++) {
        for (size_t l = 0; l < w.tiers[t].layers.size(); l++) {
            const float *from = w.tiers[t].layers[l].initial.data();
            each_of(t, l, voice, [&](float *x) {
                std::copy_n(from, w.dim, x);
                from += w.dim;
            });
        }
        std::fill_n(output(t, voice), w.dim, 0.0f);
    }
    state_changed();
}

void NativeEngine::set_history(int voice, const int32_t *codes) noexcept
{
    const int lookback = w_->lookback();
    for (int i = 0; i < lookback; i++) {
        int32_t *history = states_[voice].history.data() + (position_ + i) % lookback;
        history[0] = history[lookback] = codes[i];
    }
    Voice &v = states_[voice];
    const uint64_t limited = v.limited;
    v.memory = Memory();
    v.loudness = Loudness();
    for (int i = 0; i < lookback; i++) hear(v, codes[i]);
    v.limited = limited; // nobody hears it again
    state_changed();
}

void NativeEngine::replace_history(const int32_t *codes, int64_t stride)
{
    const Use use(*this);
    position_ = 0;
    for (int v = 0; v < voices_; v++) set_history(v, codes + v * stride);
}

float *NativeEngine::output(int tier, int voice) noexcept
{
    return tiers_[tier].output.data() + static_cast<size_t>(voice) * w_->units();
}

// ---------------------------------------------------------------- playing

constexpr int64_t kPiece = 64; // samples, after which it may be another team that goes on

template <typename Work> void NativeEngine::together(int64_t n, Work &&work) noexcept
{
    const DenormalsFlushed flushed;
    for (int64_t from = 0; from < n;) {
        const int64_t to = std::min(n, from + kPiece);
        if (team_->choose()) state_changed(); // what was worked out ahead was divided in another way
        team_->run([&](int member) {
            workers_[member]->begin();
            work(*workers_[member], from, to);
        });
        from = workers_[0]->reached();
        position_ = workers_[0]->position();
        stale_ = false;
    }
}

void NativeEngine::generate(int32_t *codes, float *audio, int64_t n, const Controls &controls)
{
    const Use use(*this);
    together(n, [=](Worker &w, int64_t from, int64_t to) { w.generate(codes, audio, n, from, to, controls); });
}

uint64_t NativeEngine::limited() const noexcept
{
    uint64_t all = 0;
    for (const Voice &v : states_) all += v.limited;
    return all;
}

void NativeEngine::prime(const int32_t *codes, int64_t n, const float *features)
{
    const Use use(*this);
    together(n, [=](Worker &w, int64_t from, int64_t to) { w.prime(codes, n, from, to, features); });
}

void NativeEngine::teacher_force(const int32_t *codes, int64_t stride, int64_t n, const float *features, float *logits)
{
    const Use use(*this);
    together(
        n, [=](Worker &w, int64_t from, int64_t to) { w.teacher_force(codes, stride, n, from, to, features, logits); });
}

void NativeEngine::look_ahead(const float *features)
{
    const Use use(*this);
    together(1, [=](Worker &w, int64_t, int64_t) { w.look_ahead(features); });
}

void NativeEngine::consume(const int32_t *codes)
{
    const Use use(*this);
    together(1, [=](Worker &w, int64_t, int64_t) { w.consume(codes); });
}

} // namespace sopi
