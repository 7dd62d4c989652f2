// arguments.hpp: what the text of a box says.
#pragma once

#include <m_pd.h>

#include <string>

// [pyext [inlets outlets] module class args... @attribute value...], [pyext~ inlets outlets signal-inlets
// signal-outlets module class args...], [py module function args...], [pym method args...]
struct Arguments {
    std::string module, name; // `name`: of the class, function or method
    int inlets = -1, outlets = -1; // -1: the class says
    int signal_inlets = 0, signal_outlets = 0;
    int detach = 0;
    bool respond = false, pass_objects = false, multichannel = false;
    int argc = 0;
    const t_atom *argv = nullptr;
    std::string unknown; // attributes that were left out

    // Returns what is wrong, or an empty text.
    std::string parse(const std::string &box, int n, const t_atom *atoms);

private:
    std::string parse_counts(bool tilde, int n, const t_atom *atoms, int *used);
    std::string parse_names(const std::string &box, int n, const t_atom *atoms);
    void parse_attributes(int n, const t_atom *atoms);
};
