// The kernel for amd64 processors with AVX-512BW.
#pragma GCC target("avx2,fma,avx512f,avx512bw")
#define VP_VARIANT(name) name##_avx512
#include "kernel_body.h"
