// The kernel for amd64 processors with AVX2 and FMA.
#pragma GCC target("avx2,fma")
#define VP_VARIANT(name) name##_avx2
#include "kernel_body.h"

int vp_has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
