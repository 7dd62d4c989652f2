// A client that posts to a stream whatever there is to post, and a source that fails: for stress_stream and fuzz_stream.
#pragma once
#include "check.hpp"
#include "made_up_weights.hpp"
#include "stream/envelope.hpp"
#include "stream/stream.hpp"

#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace sopi {

constexpr int kRoughChannels = 2; // of the streams that it posts to

// Fails now and then, and can do nothing that is only there for native engines.
class Moody final : public Source {
public:
    int voices() const noexcept override { return 2; }
    int sample_rate() const noexcept override { return 16000; }
    int frame() const noexcept override { return 4; }
    int period() const noexcept override { return 16; }
    int position() const noexcept override { return position_; }
    int features() const noexcept override { return 0; }
    const Coding &coding() const noexcept override { return coding_; }
    void reset(uint64_t) override { position_ = 0; }
    void generate(int32_t *codes, float *audio, int64_t n, const Controls &) override
    {
        if (++calls_ % 97 == 0) throw std::runtime_error("out of tune");
        for (int64_t i = 0; i < 2 * n; i++) {
            codes[i] = static_cast<int32_t>(i % 4);
            audio[i] = coding_.values[static_cast<size_t>(i % 4)];
        }
        position_ = static_cast<int>((position_ + n) % 16);
    }
    void prime(const int32_t *, int64_t, const float *) override { throw 1; } // no std::exception either
    void reset_voice(int, uint64_t) override { throw std::runtime_error("no single voices"); }
    bool remembers() const noexcept override { return false; }
    void save(State &) const override { throw std::runtime_error("no snapshots"); }
    void check(const State &) const override { throw std::runtime_error("no snapshots"); }
    void restore(const State &) override { throw std::runtime_error("no snapshots"); }
    void restore_voice(int, const State &) override { throw std::runtime_error("no snapshots"); }
    void approach(const State &, float) override { throw std::runtime_error("no snapshots"); }
    void kick(float) override { throw std::runtime_error("no kicks"); }

private:
    int position_ = 0, calls_ = 0;
    const Coding coding_{{-0.5f, -0.1f, 0.1f, 0.5f}, {}};
};

// Posts what a performer may, in any order: whatever `pick(n)` says, which gives a number below n. It is the stream's one
// client for as long as it is called.
class RoughClient {
public:
    using Pick = std::function<uint32_t(uint32_t n)>;
    RoughClient(std::shared_ptr<Stream> stream, const NativeEngine &engine, Pick pick)
        : stream_(std::move(stream)), engine_(engine), pick(std::move(pick))
    {
        snapshots_.push_back(std::make_shared<Snapshot>()); // never taken
    }
    void act()
    {
        post_something();
        for (Event e; stream_->teller().next(e);) CHECK(e.text[0] != 0);
    }

private:
    std::shared_ptr<Source> source()
    {
        if (pick(4) == 0) return std::make_shared<Moody>();
        auto made = engine_.clone(1 + static_cast<int>(pick(3)));
        made->reset(pick(1000));
        return made;
    }
    int host_rate() const { return static_cast<int>(stream_->host_rate()); }
    std::shared_ptr<Player> player() { return std::make_shared<Player>(source(), kRoughChannels, host_rate()); }

    // What the command takes, for those that take something prepared; nothing for the others.
    std::unique_ptr<Prepared> prepared(Id id)
    {
        if (id == Id::swap || id == Id::swap_keeping || id == Id::second)
            return pick(5) ? std::make_unique<Prepared>(player()) : nullptr;
        if (id == Id::store) {
            snapshots_.push_back(std::make_shared<Snapshot>());
            return std::make_unique<Prepared>(snapshots_.back());
        }
        if (id == Id::recall || id == Id::morph)
            return std::make_unique<Prepared>(snapshots_[pick(static_cast<uint32_t>(snapshots_.size()))]);
        if (id == Id::listen)
            return std::make_unique<Prepared>(
                std::make_shared<Listener>(player(), std::vector<float>{-0.5f, 0.0f, 0.5f}, host_rate()));
        if (id == Id::guard && pick(3))
            return std::make_unique<Prepared>(
                std::make_shared<Guard>(static_cast<Guarding>(pick(3)), 16000, 1 + static_cast<int>(pick(3))));
        if (id == Id::temperature && pick(2))
            return std::make_unique<Prepared>(
                std::make_shared<Envelope>(1.0, std::vector<Segment>{{2.0, 0.05}, {0.5, 0.02, Curve::exponential}}));
        return nullptr;
    }
    void post_something()
    {
        Command c;
        c.id = static_cast<Id>(pick(kIds));
        const Entry &entry = entry_of(c.id);
        c.t = sopi_ring_now(stream_->ring()) - std::min<uint64_t>(sopi_ring_now(stream_->ring()), pick(200));
        if (entry.voice && pick(3) == 0) c.voice = static_cast<int32_t>(pick(3));
        if (entry.longest_ramp > 0 && pick(2)) c.ramp = pick(100);
        if (c.id == Id::listen) c.index = 1 + pick(3);
        if (c.id == Id::feature) c.index = pick(4);
        std::unique_ptr<Prepared> made = prepared(c.id);
        const double share = pick(1000) / 1000.0;
        if (made) c.value = Value(made.get());
        else if (entry.whole) c.value = Value(uint64_t(pick(UINT32_MAX)));
        else if (entry.integer) c.value = Value(std::floor(entry.least + share * (entry.most - entry.least)));
        else if (entry.number)
            c.value = Value(c.id == Id::latency ? 2 + 60 * share : entry.least + share * (entry.most - entry.least));
        if (c.id == Id::play) c.value = Value(pick(4) ? 1.0 : 0.0);
        if (!made && (c.id == Id::guard || c.id == Id::listened || entry.name == std::string("swap-keeping")))
            c.value = Value();
        if (stream_->post(c)) (void)made.release();
    }

    const std::shared_ptr<Stream> stream_;
    const NativeEngine &engine_;
    const Pick pick;
    std::vector<std::shared_ptr<Snapshot>> snapshots_;
};

} // namespace sopi
