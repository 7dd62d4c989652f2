// A model's arrays, from whoever has them, to the weights of an engine.
#pragma once

#include "engine/weights.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace sopi {

// std::invalid_argument with one sentence if they don't fit; -1: any size.
void check_shape(const std::string &name, const std::vector<int64_t> &given, const std::vector<int64_t> &expected);
void check_range(const std::string &name, int64_t given, int64_t least, int64_t most);
std::string shape_of(const std::vector<int64_t> &shape);

// The weights as sopilib.engine.pack gives them: row-major, named and shaped as docs/model.md says. They stay the caller's.
class Arrays {
public:
    void add(std::string name, const float *data, std::vector<int64_t> shape)
    {
        arrays_[std::move(name)] = {data, std::move(shape)};
    }
    bool has(const std::string &name) const { return arrays_.count(name) > 0; }
    // std::invalid_argument if it is not there or has another shape.
    const float *data(const std::string &name, const std::vector<int64_t> &shape) const
    {
        check_shape(name, of(name).shape, shape);
        return of(name).data;
    }
    int size(const std::string &name, size_t axis) const
    {
        const Array &array = of(name);
        if (axis >= array.shape.size()) throw std::invalid_argument(name + " has shape " + shape_of(array.shape));
        return static_cast<int>(array.shape[axis]);
    }
    // The next ones are empty if there is none of that name. Vectors are padded, the units of each gate for themselves.
    Vec<float> vector(const std::string &name, int gates, int units) const
    {
        if (!has(name)) return {};
        return pack_units(data(name, {static_cast<int64_t>(gates) * units}), gates, units);
    }
    Vec<float> columns(const std::string &name, int gates, int units, int columns) const
    {
        if (!has(name)) return {};
        return pack_columns(data(name, {static_cast<int64_t>(gates) * units, columns}), gates, units, columns);
    }
    Matrix matrix(Arena &arena, const std::string &name, int gates, int units, int columns, Form form) const
    {
        if (!has(name)) return {};
        return pack(arena, data(name, {static_cast<int64_t>(gates) * units, columns}), gates, units, columns, form);
    }

private:
    struct Array {
        const float *data;
        std::vector<int64_t> shape;
    };
    const Array &of(const std::string &name) const
    {
        const auto found = arrays_.find(name);
        if (found == arrays_.end()) throw std::invalid_argument("the weights lack " + name);
        return found->second;
    }
    std::unordered_map<std::string, Array> arrays_;
};

// The shape of a model: of sopilib.Config what the engine needs.
struct Shape {
    int dim = 0, mlp_dim = 0, q_levels = 0, q_zero = 0, sample_rate = 0, features = 0, num_rnn_layers = 0;
    bool lstm = false, skip_conn = false, gru_reset_after = true;
    std::vector<int> frame_sizes;
    std::vector<bool> sample_relu;
    float level = 1;
    std::vector<float> emphasis;
};

// precision: f32, int8 or int4. std::invalid_argument, as far as memory depends on it; sopilib.Config has checked the rest.
std::shared_ptr<Weights> read_weights(const Shape &shape, const Arrays &read, const std::string &precision);

} // namespace sopi
