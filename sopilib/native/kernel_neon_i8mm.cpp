// NEON with the products of 8-bit matrices.
#define SOPI_I8MM
#define SOPI_SET neon_i8mm
#include "kernel_neon.cpp" // NOLINT(bugprone-suspicious-include): the same with other products
