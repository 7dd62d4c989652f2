// AVX2 with AVX-VNNI.
#define SOPI_AVX_VNNI
#define SOPI_SET avx_vnni
#include "kernel_avx2.cpp" // NOLINT(bugprone-suspicious-include): the same with another dot product
