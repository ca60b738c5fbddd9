// The kernel's text, compiled once for each instruction set under the names that VP_VARIANT gives.
#include "kernel.h"

#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Vectors of L lanes. GCC's vector types carry the arithmetic; the few operations they lack are here by hand.
#if defined(__AVX512BW__)
enum { L = 16 };
#elif defined(__AVX2__)
enum { L = 8 };
#else
enum { L = 4 };
#endif
typedef int32_t vi __attribute__((vector_size(L * 4)));
typedef float vf __attribute__((vector_size(L * 4)));
typedef int16_t vs __attribute__((vector_size(L * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vi load(const int32_t *p)
{
	vi v;
	memcpy(&v, p, sizeof v);
	return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

INLINE vf splat(float f)
{
#if defined(__AVX512BW__)
	return (vf)_mm512_set1_ps(f);
#elif defined(__AVX2__)
	return (vf){f, f, f, f, f, f, f, f};
#else
	return (vf){f, f, f, f};
#endif
}

// Each lane's two 16-bit halves times the weights' halves, summed.
INLINE vf weigh(vi pair, vi weight)
{
#if defined(__AVX512BW__)
	vi sum = (vi)_mm512_madd_epi16((__m512i)pair, (__m512i)weight);
#elif defined(__AVX2__)
	vi sum = (vi)_mm256_madd_epi16((__m256i)pair, (__m256i)weight);
#elif defined(__SSE2__)
	vi sum = (vi)_mm_madd_epi16((__m128i)pair, (__m128i)weight);
#elif defined(__ARM_NEON)
	int16x8_t a = (int16x8_t)pair, b = (int16x8_t)weight;
	vi sum = (vi)vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
#else
	vi sum = ((pair << 16) >> 16) * ((weight << 16) >> 16) + (pair >> 16) * (weight >> 16);
#endif
	return __builtin_convertvector(sum, vf);
}

#if defined(__AVX512BW__)

// The values at[i] and at[i] + step of a table of VP_TABLE, next to each other.
INLINE vi pairs(const int16_t *table, vi at, int step)
{
	__m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + VP_TABLE / 2);
	return (vi)_mm512_permutex2var_epi16(low, (__m512i)(at | (at + step) << 16), high);
}

// As vp_gather, L columns at a time: those that lie close together are looked up in a table of two registers.
INLINE void gather(int32_t *restrict out, const int16_t *line, const int32_t *index, int n)
{
	for (int x = 0; x < n; x += L) {
		int a = index[x], b = index[x + L - 1], first = a < b ? a : b, last = a < b ? b : a;
		if (last + 1 - first < VP_TABLE) {
			vi p = pairs(line + first, load(index + x) - first, 1);
			memcpy(out + x, &p, sizeof p);
		} else {
			vp_gather(out + x, line, index + x, L);
		}
	}
}

// As vp_gather_two, but in another order: L columns' U and next U, then their V and next V.
INLINE void gather_two(int32_t *restrict out, const int16_t *line, const int32_t *index, int n)
{
	const vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	int32_t apart[2 * L];
	for (int x = 0; x < n; x += L) {
		int a = index[x], b = index[x + L - 1], first = a < b ? a : b, last = a < b ? b : a;
		const int16_t *table = line + 2 * first;
		vi at = 2 * (load(index + x) - first);
		if (2 * (last - first) + 3 >= VP_TABLE) {
			vp_gather_two(apart, line, index + x, L);
			table = (const int16_t *)apart;
			at = 4 * lane;
		}
		vi u = pairs(table, at, 2), v = pairs(table, at + 1, 2);
		memcpy(out + 2 * x, &u, sizeof u);
		memcpy(out + 2 * x + L, &v, sizeof v);
	}
}

// Of what gather_two gave for L columns: each column's weighted U and V. The weights are there twice.
INLINE void weigh_two(const int32_t *pairs, const int32_t *weights, vf *u, vf *v)
{
	vi once = __builtin_shufflevector(load(weights), load(weights + L), 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	*u = weigh(load(pairs), once);
	*v = weigh(load(pairs + L), once);
}

#else

INLINE void gather(int32_t *restrict out, const int16_t *line, const int32_t *index, int n) { vp_gather(out, line, index, n); }

INLINE void gather_two(int32_t *restrict out, const int16_t *line, const int32_t *index, int n)
{
	vp_gather_two(out, line, index, n);
}

// Of L columns' values U, V, next U, next V: each column's weighted U and V. The weights are there twice.
INLINE void weigh_two(const int32_t *pairs, const int32_t *weights, vf *u, vf *v)
{
	vf both[2];
	for (int half = 0; half < 2; half++) {
		vs x = (vs)load(pairs + half * L);
#if defined(__AVX2__)
		x = __builtin_shufflevector(x, x, 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
#else
		x = __builtin_shufflevector(x, x, 0, 2, 1, 3, 4, 6, 5, 7);
#endif
		both[half] = weigh((vi)x, load(weights + half * L));
	}
#if defined(__AVX2__)
	*u = __builtin_shufflevector(both[0], both[1], 0, 2, 4, 6, 8, 10, 12, 14);
	*v = __builtin_shufflevector(both[0], both[1], 1, 3, 5, 7, 9, 11, 13, 15);
#else
	*u = __builtin_shufflevector(both[0], both[1], 0, 2, 4, 6);
	*v = __builtin_shufflevector(both[0], both[1], 1, 3, 5, 7);
#endif
}

#endif

INLINE vf clamp(vf v, vf lo, vf hi)
{
#if defined(__AVX512BW__)
	return (vf)_mm512_min_ps(_mm512_max_ps((__m512)v, (__m512)lo), (__m512)hi);
#elif defined(__AVX2__)
	return (vf)_mm256_min_ps(_mm256_max_ps((__m256)v, (__m256)lo), (__m256)hi);
#elif defined(__SSE2__)
	return (vf)_mm_min_ps(_mm_max_ps((__m128)v, (__m128)lo), (__m128)hi);
#elif defined(__ARM_NEON)
	return (vf)vminq_f32(vmaxq_f32((float32x4_t)v, (float32x4_t)lo), (float32x4_t)hi);
#else
	for (int i = 0; i < L; i++)
		v[i] = v[i] < lo[i] ? lo[i] : v[i] > hi[i] ? hi[i] : v[i];
	return v;
#endif
}

// The weights sum to 1 << VP_VBITS, so that the blend of two bytes fits a signed value of 16 bits.
#define BLEND(a, b) (int16_t)((uint16_t)((uint16_t)(a) * w0) + (uint16_t)((uint16_t)(b) * w1))

// The blends: every step-th byte of two lines goes into consecutive values of one.
INLINE void blend(int16_t *restrict d, const uint8_t *a, const uint8_t *b, int step, int w, int n)
{
	const uint16_t w1 = (uint16_t)w, w0 = (uint16_t)((1 << VP_VBITS) - w);
	for (int i = 0; i < n; i++)
		d[i] = BLEND(a[i * step], b[i * step]);
}

// The blend of two packed lines, of n bytes of luma and as many of chroma in turn: the two go apart, as low and high
// bytes of one number.
INLINE void blend_packed(int16_t *restrict low, int16_t *restrict high, const uint8_t *a, const uint8_t *b, int w, int n)
{
	const uint16_t w1 = (uint16_t)w, w0 = (uint16_t)((1 << VP_VBITS) - w);
	for (int i = 0; i < n; i++) {
		uint16_t x, y;
		memcpy(&x, a + 2 * i, sizeof x);
		memcpy(&y, b + 2 * i, sizeof y);
		low[i] = BLEND(x & 255, y & 255);
		high[i] = BLEND(x >> 8, y >> 8);
	}
}

// Asks for the lines of a grid row to come: frames come from memory, and lines that are left out make the processor's own
// guesses wrong.
INLINE void prefetch_lines(const vp_plan *p, const uint8_t *src, const vp_row *r)
{
	for (int k = 0; k < (p->packed || p->layout == VP_RGB ? 1 : 3); k++) {
		const uint8_t *a = src + p->plane[k] + (size_t)(k == 0 ? r->y0 : r->c0) * p->stride[k];
		const uint8_t *b = src + p->plane[k] + (size_t)(k == 0 ? r->y1 : r->c1) * p->stride[k];
		for (size_t i = 0; i < p->bytes[k]; i += 64) {
			__builtin_prefetch(a + i);
			__builtin_prefetch(b + i);
		}
	}
}

INLINE void blend_line(const vp_plan *p, const uint8_t *src, const vp_row *r)
{
	const uint8_t *a[3], *b[3]; // the two lines of each plane
	for (int k = 0; k < 3; k++) {
		a[k] = src + p->plane[k] + (size_t)(k == 0 ? r->y0 : r->c0) * p->stride[k];
		b[k] = src + p->plane[k] + (size_t)(k == 0 ? r->y1 : r->c1) * p->stride[k];
	}
	switch (p->layout) {
	case VP_GREY:
		blend(p->line[0], a[0], b[0], 1, r->wy, p->cols);
		break;
	case VP_PLANAR:
		blend(p->line[0], a[0], b[0], 1, r->wy, p->cols);
		blend(p->line[1], a[1], b[1], 1, r->wc, p->ccols);
		blend(p->line[2], a[2], b[2], 1, r->wc, p->ccols);
		break;
	case VP_RGB:
		for (int k = 0; k < 3; k++)
			blend(p->line[k], a[k], b[k], 3, r->wy, p->cols);
		break;
	default:
		if (p->packed == VP_LUMA_FIRST) {
			blend_packed(p->line[0], p->line[1], a[0], b[0], r->wy, p->cols);
		} else if (p->packed == VP_LUMA_SECOND) {
			blend_packed(p->line[1], p->line[0], a[0], b[0], r->wy, p->cols);
		} else {
			blend(p->line[0], a[0], b[0], 1, r->wy, p->cols);
			blend(p->line[1], a[1], b[1], 1, r->wc, 2 * p->ccols);
		}
		break;
	}
}

// Turns gathered pairs into a grid row's values. The plan's numbers are copied to where the compiler sees that the
// stores do not change them.
INLINE void convert(const vp_plan *p, int layout, float *restrict o0, float *restrict o1, float *restrict o2)
{
	const int32_t *restrict p0 = p->pair[0], *restrict p1 = p->pair[1], *restrict p2 = p->pair[2];
	const int32_t *restrict xw = p->xw, *restrict cw = p->cw;
	const int n = p->grid_w;
	vf m[3][4], lo[3], hi[3];
	for (int c = 0; c < 3; c++) {
		for (int k = 0; k < 4; k++)
			m[c][k] = splat(p->m[c][k]);
		lo[c] = splat(p->lo[c]);
		hi[c] = splat(p->hi[c]);
	}
	for (int x = 0; x < n; x += L) {
		vf y = weigh(load(p0 + x), load(xw + x)), r, g, b;
		if (layout == VP_GREY) {
			r = y * m[0][0] + m[0][3];
			g = y * m[1][0] + m[1][3];
			b = y * m[2][0] + m[2][3];
		} else if (layout == VP_RGB) {
			r = y * m[0][0] + m[0][3];
			g = weigh(load(p1 + x), load(xw + x)) * m[1][0] + m[1][3];
			b = weigh(load(p2 + x), load(xw + x)) * m[2][0] + m[2][3];
		} else {
			// R has no U, and B no V, in either matrix.
			vf u, v;
			if (layout == VP_PLANAR) {
				u = weigh(load(p1 + x), load(cw + x));
				v = weigh(load(p2 + x), load(cw + x));
			} else if (layout == VP_CHROMA_UV) {
				weigh_two(p1 + 2 * x, cw + 2 * x, &u, &v);
			} else {
				weigh_two(p1 + 2 * x, cw + 2 * x, &v, &u);
			}
			r = y * m[0][0] + v * m[0][2] + m[0][3];
			g = y * m[1][0] + u * m[1][1] + v * m[1][2] + m[1][3];
			b = y * m[2][0] + u * m[2][1] + m[2][3];
		}
		r = clamp(r, lo[0], hi[0]);
		g = clamp(g, lo[1], hi[1]);
		b = clamp(b, lo[2], hi[2]);
		if (n - x >= L) {
			store(o0 + x, r);
			store(o1 + x, g);
			store(o2 + x, b);
		} else {
			const vf last[3] = {r, g, b}; // copies: what has an address does not stay in registers
			size_t rest = (size_t)(n - x) * sizeof *o0;
			memcpy(o0 + x, &last[0], rest);
			memcpy(o1 + x, &last[1], rest);
			memcpy(o2 + x, &last[2], rest);
		}
	}
}

// Computes one grid row: grid_w finished values of R, G and B.
static void row(const vp_plan *p, const uint8_t *src, int j, float *o0, float *o1, float *o2)
{
	if (j + 1 < p->grid_h)
		prefetch_lines(p, src, &p->rows[j + 1]);
	blend_line(p, src, &p->rows[j]);
	gather(p->pair[0], p->line[0], p->xi, p->grid_w);
	switch (p->layout) {
	case VP_GREY:
		convert(p, VP_GREY, o0, o1, o2);
		break;
	case VP_RGB:
		gather(p->pair[1], p->line[1], p->xi, p->grid_w);
		gather(p->pair[2], p->line[2], p->xi, p->grid_w);
		convert(p, VP_RGB, o0, o1, o2);
		break;
	case VP_PLANAR:
		gather(p->pair[1], p->line[1], p->ci, p->grid_w);
		gather(p->pair[2], p->line[2], p->ci, p->grid_w);
		convert(p, VP_PLANAR, o0, o1, o2);
		break;
	case VP_CHROMA_UV:
		gather_two(p->pair[1], p->line[1], p->ci, p->grid_w);
		convert(p, VP_CHROMA_UV, o0, o1, o2);
		break;
	case VP_CHROMA_VU:
		gather_two(p->pair[1], p->line[1], p->ci, p->grid_w);
		convert(p, VP_CHROMA_VU, o0, o1, o2);
		break;
	}
}

// Writes one finished value, as a byte or as a float; bytes is a constant wherever this ends up.
INLINE void put(void *dst, size_t at, float v, int bytes)
{
	if (bytes)
		((uint8_t *)dst)[at] = (uint8_t)(int)((v < 0 ? 0 : v > 255 ? 255 : v) + 0.5f);
	else
		((float *)dst)[at] = v;
}

// Writes grid rows j to j + rows - 1, whose values are in the block.
INLINE void scatter(const vp_plan *p, void *restrict dst, int j, int rows, int bytes)
{
	const size_t pitch = vp_pitch(p->grid_w), start = p->origin + (size_t)j * p->row_step;
	const size_t col_step = p->col_step, row_step = p->row_step;
	const int n = p->grid_w;
	const float *restrict in[3];
	if (p->interleaved) {
		for (int c = 0; c < 3; c++)
			in[p->channel[c]] = p->block + (size_t)c * VP_TURN * pitch;
		const float *restrict a = in[0], *restrict b = in[1], *restrict c = in[2];
		for (int i = 0; i < n; i++) {
			put(dst, start + 3 * (size_t)i, a[i], bytes);
			put(dst, start + 3 * (size_t)i + 1, b[i], bytes);
			put(dst, start + 3 * (size_t)i + 2, c[i], bytes);
		}
		return;
	}
	for (int c = 0; c < 3; c++) {
		const float *restrict v = p->block + (size_t)c * VP_TURN * pitch;
		for (int i = 0; i < n; i++)
			for (int t = 0; t < rows; t++)
				put(dst, start + p->channel[c] + (size_t)i * col_step + (size_t)t * row_step,
				    v[(size_t)t * pitch + (size_t)i], bytes);
	}
}

// Goes by way of the block: one row at a time, or VP_TURN where rows become columns.
INLINE void by_block(const vp_plan *p, const uint8_t *src, void *dst, int bytes)
{
	const size_t pitch = vp_pitch(p->grid_w), channel = VP_TURN * pitch;
	const int most = p->col_step > p->row_step ? VP_TURN : 1;
	for (int j = 0; j < p->grid_h; j += most) {
		int rows = p->grid_h - j < most ? p->grid_h - j : most;
		for (int t = 0; t < rows; t++) {
			float *o = p->block + (size_t)t * pitch;
			row(p, src, j + t, o, o + channel, o + 2 * channel);
		}
		scatter(p, dst, j, rows, bytes);
	}
}

void VP_VARIANT(vp_run_f32)(const vp_plan *p, const uint8_t *src, float *dst)
{
	if (p->col_step != 1) {
		by_block(p, src, dst, 0);
		return;
	}
	for (int j = 0; j < p->grid_h; j++) {
		float *o = dst + p->origin + (size_t)j * p->row_step;
		row(p, src, j, o + p->channel[0], o + p->channel[1], o + p->channel[2]);
	}
}

void VP_VARIANT(vp_run_u8)(const vp_plan *p, const uint8_t *src, uint8_t *dst) { by_block(p, src, dst, 1); }
