// The frame-to-tensor kernel. One call turns a whole picture into the part of the tensor that it fills, a grid row at
// a time: blend the two source lines (vertical), gather and blend the two source columns (horizontal), convert the
// colour, write. The grid is the picture as the sensor sees it, already at output resolution; rotation by a quarter
// turn happens while writing.
#ifndef VEDETTE_PREPROCESS_KERNEL_H
#define VEDETTE_PREPROCESS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

// How the samples lie. VP_CHROMA_UV and VP_CHROMA_VU have U and V next to each other, in that order: in a plane of their
// own, or between the luma samples where packed says so.
enum { VP_PLANAR, VP_CHROMA_UV, VP_CHROMA_VU, VP_RGB, VP_GREY };

// Of VP_CHROMA_UV: which of two neighbouring bytes is luma, or that luma has a plane of its own.
enum { VP_NOT_PACKED, VP_LUMA_FIRST, VP_LUMA_SECOND };

// Weights of the vertical blend are in 1/2^VP_VBITS, of the horizontal one in 1/2^VP_HBITS.
enum { VP_VBITS = 7, VP_HBITS = 14 };

// Index and weight tables have room for a multiple of so many columns.
enum { VP_LANES = 16 };

// So many neighbouring values of a line may be read from any that is needed.
enum { VP_TABLE = 64 };

// The variants: the processor's instructions that the compiler was allowed.
enum { VP_BASE, VP_AVX2, VP_AVX512 };

// Grid rows that are turned together, so that a quarter turn writes whole cache lines.
enum { VP_TURN = 16 };

// The two lines that a grid row lies between, and the second's weight: for luma (or RGB), and for chroma.
typedef struct {
	int32_t y0, y1, wy;
	int32_t c0, c1, wc;
} vp_row;

typedef struct {
	// The source. Byte (0, 0) of plane k is the first that the tables' column 0 needs.
	int32_t layout, packed;
	size_t plane[3], stride[3], bytes[3]; // bytes of a line that are read; 0 for a plane that is not there
	int32_t cols, ccols; // columns to blend vertically, luma (or RGB) and chroma

	// The tables: column i of the grid is between columns xi[i] and xi[i] + 1, weights in the low and high half of
	// xw[i]; ci and cw likewise for chroma, whose weights are there twice where U and V are next to each other. Indices
	// ascend or descend; behind the last one it is repeated.
	int32_t grid_w, grid_h;
	int32_t *xi, *xw, *ci, *cw;
	vp_row *rows;

	// Channel c of the tensor's values (R, G, B) is clamp(m[c] . (Y, U, V, 1), lo[c], hi[c]); for VP_RGB only m[c][0] is
	// used, on channel c, and m[c][3]. The weights' fixed point is folded into m.
	float m[3][4], lo[3], hi[3];

	// The tensor. Value (i, j) of channel c is at origin + channel[c] + i*col_step + j*row_step. Interleaved: the three
	// channels of a value are next to each other, and so are the grid row's values.
	size_t origin, channel[3], col_step, row_step;
	int32_t interleaved;

	// Scratch: vertically blended lines with VP_TABLE values to spare; gathered pairs; VP_TURN rows of finished values for
	// each channel, rows vp_pitch(grid_w) values apart. Where U and V are next to each other, line 1 has both, and pair 1
	// four values for each column: U, V, and the next U, V.
	int16_t *line[3];
	int32_t *pair[3];
	float *block;
} vp_plan;

// An odd number of cache lines, so that the values of a column do not fall into one set of the cache.
static inline size_t vp_pitch(int32_t grid_w) { return ((size_t)grid_w + 31) / 32 * 32 + 16; }

// Each reads from src what the plan's tables say, and writes grid_w * grid_h values of each of three channels. The
// caller has checked that src and dst are as long as the plan assumes. variant is at most vp_best().
void vp_run_f32(int variant, const vp_plan *p, const uint8_t *src, float *dst);
void vp_run_u8(int variant, const vp_plan *p, const uint8_t *src, uint8_t *dst);

// The best variant that this processor can run; those below it, it can run too.
int vp_best(void);

void vp_run_f32_base(const vp_plan *p, const uint8_t *src, float *dst);
void vp_run_u8_base(const vp_plan *p, const uint8_t *src, uint8_t *dst);
void vp_run_f32_avx2(const vp_plan *p, const uint8_t *src, float *dst);
void vp_run_u8_avx2(const vp_plan *p, const uint8_t *src, uint8_t *dst);
void vp_run_f32_avx512(const vp_plan *p, const uint8_t *src, float *dst);
void vp_run_u8_avx512(const vp_plan *p, const uint8_t *src, uint8_t *dst);

// Fills out[i] with the two neighbouring values at line + index[i]. Compiled once, without gather instructions: those
// are slower than plain loads on processors with the mitigation against gather data sampling.
void vp_gather(int32_t *out, const int16_t *line, const int32_t *index, int n);

// The same for a line of two kinds of values in turn: out[2i] and out[2i + 1] are the four values at line + 2*index[i].
void vp_gather_two(int32_t *out, const int16_t *line, const int32_t *index, int n);

#endif
