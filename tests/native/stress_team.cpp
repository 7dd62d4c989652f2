// Teams of several sizes do thousands of jobs: with meetings, with rests in which members fall asleep, from callers that
// take turns, and ended while members sleep or spin.
#include "check.hpp"
#include "platform/platform.hpp"
#include "team.hpp"

#include <atomic>
#include <thread>
#include <vector>

using namespace sopi;

namespace {

// Every member adds up what all members wrote before they met.
void sum_what_others_wrote(Team &team, int rounds)
{
    const int size = team.size();
    std::vector<int> written(size), sums(size);
    team.run([&](int member) {
        for (int round = 0; round < rounds; round++) {
            written[member] = round + member;
            team.meet(member);
            int sum = 0;
            for (int other = 0; other < size; other++) sum += written[other];
            sums[member] = sum;
            team.meet(member);
        }
    });
    for (int member = 0; member < size; member++) CHECK(sums[member] == size * (rounds - 1) + size * (size - 1) / 2);
}

// A member arrives, does something of its own, and waits only then.
void arrive_and_wait(Team &team)
{
    const int size = team.size();
    std::vector<int> written(size);
    std::atomic<int> wrong{0};
    team.run([&](int member) {
        written[member] = member + 1;
        team.arrive(member);
        team.wait(member);
        for (int other = 0; other < size; other++) wrong += written[other] != other + 1;
    });
    CHECK(wrong == 0);
}

} // namespace

int main()
{
    for (int threads : {1, 2, 3, 5}) {
        Team team(threads);
        CHECK(team.size() == threads);
        for (int job = 0; job < 200; job++) {
            sum_what_others_wrote(team, 5);
            arrive_and_wait(team);
            if (job % 50 == 0) platform::sleep_ns(2000000); // long enough for members to fall asleep
        }
        // one caller after the other
        std::thread([&] { sum_what_others_wrote(team, 100); }).join();
    }
    for (int again = 0; again < 50; again++) {
        Team team(3);
        if (again % 2) sum_what_others_wrote(team, 2);
    }
}
