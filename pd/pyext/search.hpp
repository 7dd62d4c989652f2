// search.hpp: where there is a Python that Pd can run. Knows neither Pd nor Python's headers.
#pragma once

#include <string>
#include <vector>

struct Python {
    std::string program; // its absolute path
    std::string why;     // it was looked at: "SOPI_PYTHON", "on the PATH"
    std::string trouble; // why Pd can't run it, and what to do; empty: it can
    std::string version; // "3.11"
    std::string library; // the shared one
    bool numpy = false;
};

struct Search {
    std::vector<Python> seen; // in the order of the search, as far as it went
    int found = -1;           // which of them
    std::string trouble;      // without one: what to do, in one sentence
};

// For an external in `folder`. What it finds is remembered in the person's cache, so that the next search need not start it.
Search find_python(const std::string &folder);

// The search in words, a line for each that was looked at.
std::string told(const Search &search);
