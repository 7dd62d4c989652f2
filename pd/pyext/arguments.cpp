// arguments.cpp: what the text of a box says.
#include "arguments.hpp"

#include <algorithm>
#include <cmath>

namespace {

bool is_attribute(const t_atom &a)
{
    return a.a_type == A_SYMBOL && a.a_w.w_symbol->s_name[0] == '@' && a.a_w.w_symbol->s_name[1];
}

int first_attribute(int n, const t_atom *atoms)
{
    return static_cast<int>(std::find_if(atoms, atoms + n, is_attribute) - atoms);
}

} // namespace

// The numbers at the beginning; `used` is how many there are.
std::string Arguments::parse_counts(bool tilde, int n, const t_atom *atoms, int *used)
{
    int counts = 0;
    while (counts < n && counts < (tilde ? 4 : 2) && atoms[counts].a_type == A_FLOAT) counts++;
    for (int k = 0; k < counts; k++) {
        const t_float f = atoms[k].a_w.w_float;
        if (f < 0 || f > 1024 || f != std::floor(f))
            return "found " + std::to_string(f) + " where a number of inlets or outlets (0 to 1024) was expected";
    }
    if (counts % 2)
        return tilde ? "expected 2 or 4 numbers (inlets outlets [signal inlets signal outlets]) before the module"
                     : "expected 2 numbers (inlets outlets) before the module";
    const auto count = [atoms](int k) { return static_cast<int>(atoms[k].a_w.w_float); };
    if (counts >= 2) inlets = count(0), outlets = count(1);
    if (counts == 4) signal_inlets = count(2), signal_outlets = count(3);
    *used = counts;
    return "";
}

// Module, class or function, and its arguments.
std::string Arguments::parse_names(const std::string &box, int n, const t_atom *atoms)
{
    const bool is_text = n > 0 && atoms[0].a_type == A_SYMBOL;
    int i = 0;
    if (box == "pym") {
        if (!is_text) return "expected the name of a method: [pym method]";
        name = atoms[i++].a_w.w_symbol->s_name;
    } else {
        if (!is_text)
            return "expected a Python module: [" + box + (box == "py" ? " module function]" : " module class]");
        module = atoms[i++].a_w.w_symbol->s_name;
        const size_t last = module.find_last_of("./");
        const bool split = box.find('.') == std::string::npos; // the last dot stands before the class
        if (split && last != std::string::npos && module[last] == '.' && last > 0) {
            name = module.substr(last + 1);
            module.resize(last);
        } else if (i < n && atoms[i].a_type == A_SYMBOL) name = atoms[i++].a_w.w_symbol->s_name;
        else name = last == std::string::npos ? module : module.substr(last + 1);
    }
    argc = n - i;
    argv = atoms + i;
    return "";
}

void Arguments::parse_attributes(int n, const t_atom *atoms)
{
    for (int i = 0; i < n;) {
        const std::string attribute = atoms[i++].a_w.w_symbol->s_name;
        const t_atom *value = atoms + i;
        const int values = first_attribute(n - i, value);
        i += values;
        const bool number = values == 1 && value->a_type == A_FLOAT;
        if (attribute == "@detach" && number) detach = std::clamp(static_cast<int>(value->a_w.w_float), 0, 2);
        else if (attribute == "@respond" && number) respond = value->a_w.w_float != 0;
        else if (attribute == "@py" && number) pass_objects = value->a_w.w_float != 0;
        else if (attribute == "@multichannel" && number) multichannel = value->a_w.w_float != 0;
        else if (attribute == "@args") argc = values, argv = value;
        else unknown += (unknown.empty() ? "" : ", ") + attribute;
    }
}

std::string Arguments::parse(const std::string &box, int n, const t_atom *atoms)
{
    const int end = first_attribute(n, atoms);
    int used = 0;
    if (box != "py" && box != "pym") {
        std::string wrong = parse_counts(box.find('~') != std::string::npos, end, atoms, &used);
        if (!wrong.empty()) return wrong;
    } else inlets = outlets = 1;
    std::string wrong = parse_names(box, end - used, atoms + used);
    if (!wrong.empty()) return wrong;
    parse_attributes(n - end, atoms + end);
    return "";
}
