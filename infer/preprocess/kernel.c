// The kernel for every processor of the architecture: SSE2 on amd64, NEON on arm64.
#define VP_VARIANT(name) name##_base
#include "kernel_body.h"

void vp_gather(int32_t *restrict out, const int16_t *restrict line, const int32_t *restrict index, int n)
{
	for (int i = 0; i < n; i++)
		memcpy(&out[i], line + index[i], sizeof *out);
}

void vp_gather_two(int32_t *restrict out, const int16_t *restrict line, const int32_t *restrict index, int n)
{
	for (int i = 0; i < n; i++)
		memcpy(&out[2 * i], line + 2 * index[i], 2 * sizeof *out);
}

#ifdef __x86_64__

int vp_best(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return VP_BASE;
	return __builtin_cpu_supports("avx512bw") ? VP_AVX512 : VP_AVX2;
}

void vp_run_f32(int variant, const vp_plan *p, const uint8_t *src, float *dst)
{
	(variant == VP_AVX512 ? vp_run_f32_avx512 : variant == VP_AVX2 ? vp_run_f32_avx2 : vp_run_f32_base)(p, src, dst);
}

void vp_run_u8(int variant, const vp_plan *p, const uint8_t *src, uint8_t *dst)
{
	(variant == VP_AVX512 ? vp_run_u8_avx512 : variant == VP_AVX2 ? vp_run_u8_avx2 : vp_run_u8_base)(p, src, dst);
}

#else

int vp_best(void) { return VP_BASE; }

void vp_run_f32(int variant, const vp_plan *p, const uint8_t *src, float *dst)
{
	(void)variant;
	vp_run_f32_base(p, src, dst);
}

void vp_run_u8(int variant, const vp_plan *p, const uint8_t *src, uint8_t *dst)
{
	(void)variant;
	vp_run_u8_base(p, src, dst);
}

#endif
