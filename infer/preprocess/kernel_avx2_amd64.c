// The kernel for amd64 processors with AVX2 and FMA.
#pragma GCC target("avx2,fma")
#define VP_VARIANT(name) name##_avx2
#include "kernel_body.h"
