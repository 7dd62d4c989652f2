// message.cpp: messages from Pd to Python values and back.
#include "message.hpp"

#include <cmath>

#include "interpreter.hpp"
#include "natives.hpp"
#include "pd_thread.hpp"

// ------------------------------------------------------------------ Pd to Python

PyObject *python_text(const char *text)
{
    const auto length = static_cast<Py_ssize_t>(std::char_traits<char>::length(text));
    return PyUnicode_DecodeUTF8(text, length, "surrogateescape");
}

std::string name_of_type(PyObject *o)
{
    const Ref name(PyType_GetName(Py_TYPE(o)));
    std::string text = "?";
    if (!name || !to_name(name, &text)) PyErr_Clear();
    return text;
}

PyObject *python_symbol(const t_symbol *s)
{
    static PyObject *type = PyObject_GetAttrString(host, "Symbol");
    const Ref text(python_text(s->s_name));
    return text ? PyObject_CallFunctionObjArgs(type, text.o, nullptr) : nullptr;
}

static PyObject *python_atom(const t_atom &a)
{
    if (a.a_type == A_SYMBOL || a.a_type == A_DOLLSYM) return python_symbol(a.a_w.w_symbol);
    if (a.a_type != A_FLOAT) {
        print_error(nullptr, "pyext: a pointer cannot be passed to Python, it gets None");
        Py_RETURN_NONE;
    }
    const double f = a.a_w.w_float;
    return std::isfinite(f) && f == std::trunc(f) ? PyLong_FromDouble(f) : PyFloat_FromDouble(f);
}

PyObject *python_atoms(int argc, const t_atom *argv)
{
    PyObject *tuple = PyTuple_New(argc);
    for (int i = 0; tuple && i < argc; i++) {
        PyObject *item = python_atom(argv[i]);
        if (!item || PyTuple_SetItem(tuple, i, item) != 0) Py_CLEAR(tuple);
    }
    return tuple;
}

// ------------------------------------------------------------------ Python to Pd

// New int or float of anything that is a number, numpy scalars too; null for anything else.
static PyObject *as_number(PyObject *o)
{
    PyObject *number = nullptr;
    if (PyIndex_Check(o)) number = PyNumber_Index(o);
    if (!number && !PyUnicode_Check(o) && PyType_GetSlot(Py_TYPE(o), Py_nb_float)) {
        PyErr_Clear();
        number = PyNumber_Float(o);
    }
    PyErr_Clear();
    return number;
}

// An int beyond any double is infinite.
static double as_double(PyObject *number)
{
    const double value = PyFloat_Check(number) ? PyFloat_AsDouble(number) : PyLong_AsDouble(number);
    if (!PyErr_Occurred()) return value;
    PyErr_Clear();
    return HUGE_VAL;
}

// New reference to a tuple, or null if `o` is not a sequence (text is none).
static PyObject *as_sequence(PyObject *o)
{
    if (PyUnicode_Check(o) || !PySequence_Check(o)) return nullptr;
    PyObject *sequence = PySequence_Tuple(o);
    if (!sequence) PyErr_Clear();
    return sequence;
}

void Outgoing::append_text(PyObject *text)
{
    t_atom a;
    a.a_type = A_SYMBOL;
    a.a_w.w_index = static_cast<int>(text_.size());
    const Ref bytes(text ? PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape") : nullptr);
    PyErr_Clear();
    if (bytes) text_ += PyBytes_AsString(bytes.o);
    text_ += '\0';
    atoms_.push_back(a);
}

void Outgoing::append(PyObject *item, const HandlePtr &handle)
{
    const Ref number(as_number(item));
    if (PyUnicode_Check(item)) append_text(item);
    else if (number) {
        t_atom a;
        SETFLOAT(&a, static_cast<t_float>(as_double(number)));
        atoms_.push_back(a);
    } else {
        print_error(handle, (handle ? handle->name : std::string("pyext")) + ": cannot send a " + name_of_type(item) +
                                " to Pd, only numbers, text and sequences of these; sent an empty symbol instead");
        append_text(nullptr);
    }
}

void Outgoing::append_all(PyObject *sequence, Py_ssize_t from, const HandlePtr &handle)
{
    for (Py_ssize_t i = from; i < PyTuple_Size(sequence); i++) append(PyTuple_GetItem(sequence, i), handle);
}

void Outgoing::select(const char *selector)
{
    text_ = selector;
    text_ += '\0';
}

// selector, argument, ... or selector, (argument, ...). False if no text stands first.
bool Outgoing::append_message(PyObject *args, const HandlePtr &handle)
{
    PyObject *value = PyTuple_Size(args) == 1 ? PyTuple_GetItem(args, 0) : args;
    const Ref inside(as_sequence(value));
    PyObject *sequence = inside ? inside.o : args;
    const Py_ssize_t n = PyTuple_Size(sequence);
    if (n == 0 || !PyUnicode_Check(PyTuple_GetItem(sequence, 0))) return false;
    append_text(PyTuple_GetItem(sequence, 0));
    atoms_.clear();
    const Ref arguments(n == 2 ? as_sequence(PyTuple_GetItem(sequence, 1)) : nullptr);
    if (arguments) append_all(arguments, 0, handle);
    else append_all(sequence, 1, handle);
    return true;
}

void Outgoing::append_value(PyObject *args, const HandlePtr &handle)
{
    PyObject *value = PyTuple_Size(args) == 1 ? PyTuple_GetItem(args, 0) : args;
    const Ref sequence(as_sequence(value));
    const Py_ssize_t n = sequence ? PyTuple_Size(sequence.o) : 1;
    if (value == Py_None || n == 0) select("bang");
    else if (!sequence) {
        select("float");
        append(value, handle);
    } else {
        select(n > 1 ? "list" : "float");
        append_all(sequence, 0, handle);
    }
    if (n == 1 && !atoms_.empty() && atoms_[0].a_type == A_SYMBOL) {
        text_.replace(0, sizeof "float", std::string("symbol", sizeof "symbol"));
        atoms_[0].a_w.w_index++;
    }
}

Outgoing::Outgoing(PyObject *args, const HandlePtr &handle, First first)
{
    PyObject *value = PyTuple_Size(args) == 1 ? PyTuple_GetItem(args, 0) : args;
    const Ref pair(as_sequence(value)); // ("selector", (argument, ...)) is a message everywhere
    const bool is_message = pair && PyTuple_Size(pair.o) == 2 && PyUnicode_Check(PyTuple_GetItem(pair.o, 0)) &&
                            Ref(as_sequence(PyTuple_GetItem(pair.o, 1))).o;
    if ((is_message || first == First::selector) && append_message(args, handle)) return;
    append_value(args, handle);
}

t_symbol *Outgoing::resolve()
{
    if (!selector_) {
        selector_ = gensym(text_.c_str());
        for (t_atom &a : atoms_)
            if (a.a_type == A_SYMBOL) a.a_w.w_symbol = gensym(text_.c_str() + a.a_w.w_index);
    }
    return selector_;
}

void Outgoing::to_outlet(t_outlet *outlet)
{
    t_symbol *s = resolve();
    const int argc = static_cast<int>(atoms_.size());
    if (s == &s_bang && argc == 0) outlet_bang(outlet);
    else if (s == &s_float && argc == 1 && atoms_[0].a_type == A_FLOAT) outlet_float(outlet, atoms_[0].a_w.w_float);
    else if (s == &s_symbol && argc == 1 && atoms_[0].a_type == A_SYMBOL) outlet_symbol(outlet, atoms_[0].a_w.w_symbol);
    else if (s == &s_list) outlet_list(outlet, s, argc, atoms_.data());
    else outlet_anything(outlet, s, argc, atoms_.data());
}

void Outgoing::to_receiver(t_pd *receiver)
{
    t_symbol *s = resolve();
    pd_typedmess(receiver, s, static_cast<int>(atoms_.size()), atoms_.data());
}
