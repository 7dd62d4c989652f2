// What the external for Pd uses between threads, without Pd or Python: functions posted from many threads to one, which
// runs but never frees them; records of all lengths from one thread to another; `stop` against calls that begin.
#include "../../pd/pyext/post_queue.hpp"
#include "../../pd/pyext/record_queue.hpp"
#include "../../pd/pyext/stop.hpp"
#include "check.hpp"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace {

constexpr int posters = 4;
constexpr uint32_t posts_each = 20000;
constexpr int most_waiting = 256;

struct Posts {
    PostQueue queue{most_waiting};
    std::atomic<int> running{posters}; // threads that still post
    std::vector<uint32_t> next; // by thread: the number that comes next; Pd's thread alone
    uint64_t ran = 0; // Pd's thread alone
    int depth = 0; // Pd's thread alone
    std::atomic<uint64_t> accepted{0};
    std::shared_ptr<int> token = std::make_shared<int>(0); // held by each post until it is freed
};

// One post: the numbers of each thread must come in order. Some of them, as a patch does, run others meanwhile.
void arrive(Posts &posts, size_t thread, uint32_t number)
{
    CHECK(number >= posts.next[thread]); // those that were refused are missing
    posts.next[thread] = number + 1;
    posts.ran++;
    if (number % 64 == 0 && posts.depth < 4) {
        posts.depth++;
        posts.queue.run(3);
        posts.depth--;
    }
}

void post_numbers(Posts &posts, size_t thread)
{
    for (uint32_t number = 0; number < posts_each; number++) {
        std::function<void()> run = [&posts, thread, number, token = posts.token] { arrive(posts, thread, number); };
        bool accepted = true;
        if (number % 100 == 0) posts.queue.push_always(std::move(run));
        else accepted = posts.queue.push(std::move(run));
        if (accepted) posts.accepted++;
        else std::this_thread::yield();
        if (number % 1000 == 0) posts.queue.collect();
    }
    posts.running--;
}

void many_threads_post_to_one()
{
    Posts posts;
    posts.next.resize(posters);
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < posters; thread++) threads.emplace_back(post_numbers, std::ref(posts), thread);
    std::atomic<bool> done{false};
    std::thread collector([&] {
        while (!done) {
            posts.queue.collect();
            std::this_thread::yield();
        }
    });
    while (posts.running > 0 || !posts.queue.empty()) {
        posts.queue.discard([token = posts.token] {});
        if (!posts.queue.run(16)) std::this_thread::yield();
    }
    for (std::thread &thread : threads) thread.join();
    while (posts.queue.run(16)) {}
    done = true;
    collector.join();
    posts.queue.collect();
    CHECK(posts.ran == posts.accepted);
    CHECK(posts.token.use_count() == 1); // everything was freed, and not on the thread that ran it
}

// ---------------------------------------------------------------------------------------------------------------

constexpr uint32_t records = 30000;

// Lengths up to 48 KiB, most of them short.
uint32_t length_of(uint32_t number)
{
    const uint32_t mixed = number * 2654435761u;
    return number % 97 == 0 ? mixed % 49152 : mixed % 200;
}

struct Record {
    uint32_t number, length; // and `length` bytes, each the number's last
};

void write_records(RecordQueue &queue)
{
    for (uint32_t number = 0; number < records; number++) {
        const uint32_t length = length_of(number);
        void *place;
        while (!(place = queue.reserve(sizeof(Record) + length))) std::this_thread::yield();
        CHECK(reinterpret_cast<uintptr_t>(place) % 16 == 0);
        const Record record{number, length};
        std::memcpy(place, &record, sizeof record);
        std::memset(static_cast<char *>(place) + sizeof record, static_cast<int>(number & 255), length);
        queue.commit();
    }
}

void records_of_all_lengths_arrive_whole_and_in_order()
{
    RecordQueue queue;
    queue.allocate();
    CHECK(!queue.front() && queue.empty());
    CHECK(!queue.reserve(RecordQueue::size)); // never fits
    std::thread writer(write_records, std::ref(queue));
    for (uint32_t number = 0; number < records; number++) {
        void *place;
        while (!(place = queue.front())) std::this_thread::yield();
        Record record;
        std::memcpy(&record, place, sizeof record);
        CHECK(record.number == number && record.length == length_of(number));
        const unsigned char *bytes = static_cast<unsigned char *>(place) + sizeof record;
        for (uint32_t i = 0; i < record.length; i++) CHECK(bytes[i] == (number & 255));
        queue.pop();
    }
    writer.join();
    CHECK(queue.empty() && queue.put() == queue.taken());
}

// ---------------------------------------------------------------------------------------------------------------

void wait_for(const std::atomic<int> &value, int enough)
{
    for (int looked = 0; value < enough; looked++)
        if (looked > 200) std::this_thread::yield();
}

// A call and a `stop` at the same moment: the call doesn't begin, or it is asked to end.
void no_stop_is_lost()
{
    constexpr int rounds = 5000;
    std::vector<Stop> stops(rounds);
    std::atomic<int> ready{0}, asked{0};
    std::thread asker([&] {
        for (int round = 0; round < rounds; round++) {
            ready++;
            wait_for(ready, 2 * (round + 1));
            for (volatile int wait = round % 50; wait > 0;) wait = wait - 1;
            stops[static_cast<size_t>(round)].ask(1e6);
            asked++;
        }
    });
    for (int round = 0; round < rounds; round++) {
        Stop &stop = stops[static_cast<size_t>(round)];
        ready++;
        wait_for(ready, 2 * (round + 1));
        const bool begins = stop.may_begin(true);
        wait_for(asked, round + 1);
        CHECK(!begins || stop.pending());
        CHECK(!stop.may_begin(true));
    }
    asker.join();
}

} // namespace

int main()
{
    many_threads_post_to_one();
    records_of_all_lengths_arrive_whole_and_in_order();
    no_stop_is_lost();
    return 0;
}
