// What the producer tells: in words what must be told, in numbers the rest.
#pragma once

#include "stream/queue.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>

namespace sopi {

struct Event {
    enum Kind { trap, error, refused, ended } kind = trap;
    uint64_t position = 0; // host frame
    int voice = 0;         // of a trap
    // trap: which; error: why the source stopped; refused: why a command could not be done; ended: the command whose effect
    // is over though nobody has asked for that
    char text[240] = "";
};

// A command that came too late for its time.
struct Late {
    uint64_t position = 0, by = 0; // host frame at which it took effect; frames
};

// A queue of events. What finds no room in it is counted. Late commands have a queue of their own: few ask which they were.
class Teller {
public:
    // RT. By the producer.
    void tell(Event::Kind kind, uint64_t position, const char *text, int voice = 0) noexcept
    {
        Event event;
        event.kind = kind;
        event.position = position;
        event.voice = voice;
        std::snprintf(event.text, sizeof event.text, "%s", text);
        if (!events_.push(event)) lost_.fetch_add(1, std::memory_order_relaxed);
    }
    // RT. By the producer.
    void tell_late(uint64_t position, uint64_t by) noexcept { late_.push({position, by}); }
    // By one thread at a time. False if there is nothing more.
    bool next_late(Late &late) noexcept { return late_.pop(late); }
    // By one thread at a time. False if there is nothing more.
    bool next(Event &event) noexcept { return events_.pop(event); }
    // How many were lost since last asked.
    uint64_t take_lost() noexcept { return lost_.exchange(0, std::memory_order_relaxed); }

private:
    Queue<Event, 256> events_;
    Queue<Late, 1024> late_;
    std::atomic<uint64_t> lost_{0};
};

struct Stats {
    std::atomic<uint64_t> late{0}, worst_late{0}; // commands; frames
    std::atomic<uint64_t> burst{0},
        usual_burst{0}; // frames: the largest of late, and what the host reaches again and again
    std::atomic<uint64_t> slips{
        0}; // what the same messages would not do again: sound that was late, a crossfade cut short
    std::atomic<uint64_t> limited{0}; // samples that models' limiters held at full scale
    std::atomic<double> real_time_factor{0}; // seconds of sound per busy second; 0: not known yet
};

} // namespace sopi
