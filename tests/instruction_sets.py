"""The instruction sets that the native engine has a kernel for and this processor can run."""

from sopilib.native import _native

SETS = [name for name in ("plain", "avx2", "avx_vnni", "avx512", "neon", "neon_i8mm") if _native.instruction_set(name)]
