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

#ifndef __x86_64__
int vp_has_avx2(void) { return 0; }
void vp_run_f32_avx2(const vp_plan *p, const uint8_t *src, float *dst) { vp_run_f32_base(p, src, dst); }
void vp_run_u8_avx2(const vp_plan *p, const uint8_t *src, uint8_t *dst) { vp_run_u8_base(p, src, dst); }
#endif
