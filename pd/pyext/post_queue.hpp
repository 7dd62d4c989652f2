// post_queue.hpp: functions on their way to one thread, which runs them and frees nothing. Knows neither Pd nor Python.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "stack.hpp"

class PostQueue {
public:
    // At most `most` functions wait; what must arrive (`push_always`) is not refused.
    explicit PostQueue(int most) : most_(most) {}

    // Any thread. False if too many wait.
    bool push(std::function<void()> run)
    {
        if (waiting_.fetch_add(1) >= most_) {
            waiting_--;
            return false;
        }
        posted_.push(new Post{std::move(run), nullptr});
        return true;
    }

    void push_always(std::function<void()> run)
    {
        waiting_++;
        posted_.push(new Post{std::move(run), nullptr});
    }

    // The one thread: runs at most `most` functions, in the order in which they were pushed; whether there were any.
    // What one of them does may come back here: the inner call goes on with the next one.
    bool run(int most)
    {
        if (Post *taken = posted_.take()) {
            (ready_ ? last_->next : ready_) = taken;
            while (taken->next) taken = taken->next;
            last_ = taken;
        }
        bool any = false;
        while (ready_ && most-- > 0) {
            Post *post = ready_;
            ready_ = post->next;
            post->run();
            waiting_--;
            done_.push(post);
            any = true;
        }
        return any;
    }

    // Any thread: what `held` owns is destroyed in the next collect().
    void discard(std::function<void()> held) { done_.push(new Post{std::move(held), nullptr}); }

    // Any thread but the one: frees what has run.
    void collect()
    {
        if (done_.empty()) return;
        for (Post *post = done_.take(); post;) {
            Post *next = post->next;
            delete post;
            post = next;
        }
    }

    bool empty() const { return posted_.empty(); }

private:
    struct Post {
        std::function<void()> run;
        Post *next;
    };
    const int most_;
    std::atomic<int> waiting_{0};
    Stack<Post> posted_, done_;
    Post *ready_ = nullptr, *last_ = nullptr; // taken from `posted_`, not run yet; the one thread's
};
