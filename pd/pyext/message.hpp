// message.hpp: messages from Pd to Python values and back.
#pragma once

#include <m_pd.h>

#include <string>
#include <vector>

#include "handle.hpp"

PyObject *python_text(const char *text);               // new str, with surrogates for what is no UTF-8
std::string name_of_type(PyObject *o);                // as error lines say it
PyObject *python_symbol(const t_symbol *s);           // new Symbol
PyObject *python_atoms(int argc, const t_atom *argv); // new tuple

// A message on its way from Python to Pd: made with the GIL on any thread, delivered on Pd's.
class Outgoing {
public:
    enum class First { value, selector };
    // `args`: tuple of what follows the outlet or receiver, or of a whole message whose first text is the selector.
    // Never fails: what cannot be converted is an empty symbol and a console line.
    Outgoing(PyObject *args, const HandlePtr &handle, First first = First::value);
    std::string selector() const { return text_.substr(0, text_.find('\0')); }
    void to_outlet(t_outlet *outlet);
    void to_receiver(t_pd *receiver);

private:
    void select(const char *selector);
    void append_value(PyObject *args, const HandlePtr &handle);
    bool append_message(PyObject *args, const HandlePtr &handle);
    void append(PyObject *item, const HandlePtr &handle);
    void append_all(PyObject *sequence, Py_ssize_t from, const HandlePtr &handle);
    void append_text(PyObject *text);
    t_symbol *resolve(); // Pd's thread: interns the names; returns the selector
    std::string text_; // the selector, then each name, all zero-terminated
    std::vector<t_atom> atoms_; // names as offsets into text_ until resolved
    t_symbol *selector_ = nullptr;
};
