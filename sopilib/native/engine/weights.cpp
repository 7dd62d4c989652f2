#include "engine/weights.hpp"

namespace sopi {

Weights::Work Weights::work() const noexcept
{
    Work all;
    all.memory = arena.bytes();
    const auto matrix = [&all](const Matrix &m, double times) {
        all.again += m.bytes();
        all.moved += times * static_cast<double>(m.bytes());
        all.products[static_cast<int>(m.form)] += times * m.blocks * kRows * m.columns;
    };
    for (const Tier &t : tiers) {
        const double times = 1.0 / t.frame;
        for (const Layer &l : t.layers) {
            for (const Matrix *m : {&l.condition, &l.below, &l.recurrent, &l.reset, &l.output}) matrix(*m, times);
            const size_t columns = l.frame.size() * sizeof(float);
            all.memory += columns;
            all.again += columns;
            all.moved += times * static_cast<double>(columns);
            all.products[static_cast<int>(Form::f32)] += times * static_cast<double>(l.frame.size());
        }
        for (const Matrix &m : t.up) matrix(m, times);
    }
    for (const SampleLayer &l : sample) matrix(l.weight, 1);
    all.moved += static_cast<double>(tables.count) * tables.width * (tables.f32 ? sizeof(float) : sizeof(int16_t));
    return all;
}

void Weights::note_size() noexcept
{
    const bool far = arena.bytes() > (static_cast<size_t>(24) << 20); // as large as third caches usually are
    for (Tier &t : tiers) {
        for (Layer &l : t.layers)
            for (Matrix *m : {&l.condition, &l.below, &l.recurrent, &l.reset, &l.output}) m->far = far;
        for (Matrix &m : t.up) m.far = far;
    }
    for (SampleLayer &l : sample) l.weight.far = far;
}

} // namespace sopi
