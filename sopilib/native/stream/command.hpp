// What is posted to the producer. The table of all commands (Id, kCommands) is made at build time from
// sopilib/live/commands.py by write_command_table.py: a command's range, its ramp and whether it may be meant for one
// voice are said there alone.
#pragma once

#include "command_table.hpp"
#include "stream/prepared.hpp"

#include <cstdint>
#include <type_traits>

namespace sopi {

struct Value {
    enum class Type : uint8_t { none, number, whole, prepared };
    Value() noexcept = default;
    Value(double x) noexcept : type(Type::number), number(x) {}
    Value(uint64_t x) noexcept : type(Type::whole), whole(x) {}
    Value(Prepared *x) noexcept : type(Type::prepared), prepared(x) {}

    Type type = Type::none;
    union {
        double number = 0;
        uint64_t whole;
        Prepared *prepared;
    };
};

struct Command {
    uint64_t t = 0;     // host frame at which it arrived
    uint64_t at = 0;    // host frame at which it takes effect; the producer knows it
    Id id = Id::play;
    int32_t voice = -1; // from 0; -1: all
    uint32_t index = 0; // which conditioning value, or what sounds while the model listens
    double ramp = 0;    // ms
    bool on_line = false; // it waits for the next line of the grid, if there is one
    Value value;        // in the unit of the message
};
static_assert(std::is_trivially_copyable_v<Command>, "commands are copied as they are through the queue");

// The entry of a command.
constexpr const Entry &entry_of(Id id) noexcept { return kCommands[static_cast<size_t>(id)]; }

} // namespace sopi
