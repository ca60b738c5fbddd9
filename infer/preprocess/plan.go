package preprocess

/*
#cgo CFLAGS: -O3 -Wall -Wextra
#cgo noescape vp_run_f32
#cgo nocallback vp_run_f32
#cgo noescape vp_run_u8
#cgo nocallback vp_run_u8
#include <stdlib.h>
#include "kernel.h"
*/
import "C"

import (
	"math"
	"unsafe"

	"vedette/capture"
	"vedette/infer"
)

// plan is the kernel's tables for pictures of one layout. It lives in C's memory, so that C may hold pointers in it.
type plan struct {
	c       *C.vp_plan
	variant int // of the kernel
	bytes   int // of a picture
	freed   []unsafe.Pointer
}

func newPlan(spec infer.InputSpec, g geometry, turn capture.Turn, l layout, t transform) (*plan, error) {
	p := &plan{bytes: l.bytes, variant: int(C.vp_best())}
	p.c = &alloc[C.vp_plan](p, 1)[0]
	p.setTables(g, turn, l)
	p.setTensor(spec, g, turn)
	if err := p.setColour(spec, t); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// alloc gives zeroed memory of C's that lasts as long as the plan. Where there is none it panics, as Go's would.
func alloc[T any](p *plan, n int) []T {
	var t T
	ptr := C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof(t)))
	if ptr == nil {
		panic("out of memory")
	}
	p.freed = append(p.freed, ptr)
	return unsafe.Slice((*T)(ptr), n)
}

func (p *plan) close() {
	for _, ptr := range p.freed {
		C.free(ptr)
	}
	p.c, p.freed = nil, nil
}

func (p *plan) setTables(g geometry, turn capture.Turn, l layout) {
	horizontal, vertical := g.axes(turn, l.scale)
	c := p.c
	c.layout, c.packed = l.kind, l.packed
	c.grid_w, c.grid_h = C.int32_t(horizontal.n), C.int32_t(vertical.n)

	columns := taps(horizontal.n, horizontal.luma)
	chroma := taps(horizontal.n, func(i int) tap { return horizontal.chroma(i, l.subX) })
	copies := 1
	if l.kind == C.VP_CHROMA_UV || l.kind == C.VP_CHROMA_VU {
		copies = 2
	}
	if l.packed != C.VP_NOT_PACKED { // both are read at once, from a pair of pixels on
		chroma.first = min(columns.first/2, chroma.first)
		chroma.last = max(columns.last/2, chroma.last)
		columns.first, columns.last = 2*chroma.first, 2*chroma.last+1
	}
	c.xi, c.xw, c.cols = p.table(columns, 1)
	c.ci, c.cw, c.ccols = p.table(chroma, copies)
	for k, first := range [3]int{columns.first, chroma.first, chroma.first} {
		c.plane[k] = C.size_t(l.planes[k].offset + first*l.planes[k].step)
		c.stride[k] = C.size_t(l.planes[k].stride)
		c.bytes[k] = C.size_t(int([3]C.int32_t{c.cols, c.ccols, c.ccols}[k]) * l.planes[k].step)
		c.line[k] = &alloc[C.int16_t](p, int(max(c.cols, 2*c.ccols))+C.VP_TABLE)[0]
		c.pair[k] = &alloc[C.int32_t](p, 2*(horizontal.n+C.VP_LANES))[0]
	}
	c.block = &alloc[C.float](p, 3*C.VP_TURN*int(C.vp_pitch(c.grid_w)))[0]

	rows := alloc[C.vp_row](p, vertical.n)
	c.rows = &rows[0]
	for j := range rows {
		r := &rows[j]
		r.y0, r.y1, r.wy = lines(vertical.luma(j))
		r.c0, r.c1, r.wc = lines(vertical.chroma(j, l.subY))
	}
}

// span is the taps of one direction, and the first and last pixel that they need.
type span struct {
	taps        []tap
	first, last int
}

func taps(n int, at func(int) tap) span {
	s := span{first: math.MaxInt}
	for i := range n {
		t := at(i)
		s.taps = append(s.taps, t)
		s.first, s.last = min(s.first, t.i), max(s.last, t.i)
		if t.w > 0 {
			s.last = max(s.last, t.i+1)
		}
	}
	return s
}

// table makes the index and weight table of one direction, counted from the first column needed, each weight so many
// times.
func (p *plan) table(s span, copies int) (index, weight *C.int32_t, cols C.int32_t) {
	indices := alloc[C.int32_t](p, len(s.taps)+C.VP_LANES)
	weights := alloc[C.int32_t](p, copies*(len(s.taps)+C.VP_LANES))
	for i, t := range s.taps {
		second := C.int32_t(math.Round(t.w * (1 << C.VP_HBITS)))
		indices[i] = C.int32_t(t.i - s.first)
		for k := range copies {
			weights[copies*i+k] = (1<<C.VP_HBITS - second) | second<<16
		}
	}
	for i := len(s.taps); i < len(indices); i++ {
		indices[i] = indices[len(s.taps)-1]
	}
	return &indices[0], &weights[0], C.int32_t(s.last - s.first + 1)
}

func lines(t tap) (first, second, weight C.int32_t) {
	first, second = C.int32_t(t.i), C.int32_t(t.i)
	if t.w > 0 {
		second++
	}
	return first, second, C.int32_t(math.Round(t.w * (1 << C.VP_VBITS)))
}

// setTensor says where the grid's values go. A quarter turn makes the grid's rows the tensor's columns.
func (p *plan) setTensor(spec infer.InputSpec, g geometry, turn capture.Turn) {
	c := p.c
	value, channel := 1, spec.Width*spec.Height
	if spec.Layout == infer.NHWC {
		value, channel = 3, 1
	}
	line := value * spec.Width
	c.origin = C.size_t(g.target.y0*line + g.target.x0*value)
	for k := range c.channel {
		c.channel[k] = C.size_t(rgbOf(spec.Order, k) * channel)
	}
	c.col_step, c.row_step = C.size_t(value), C.size_t(line)
	if turn.Sideways() {
		c.col_step, c.row_step = c.row_step, c.col_step
	} else if spec.Layout == infer.NHWC {
		c.interleaved = 1
	}
}

// setColour folds the normalisation and the blends' fixed point into the colour transform.
func (p *plan) setColour(spec infer.InputSpec, t transform) error {
	norms, err := normals(spec)
	if err != nil {
		return err
	}
	const unit = 1.0 / (1 << (C.VP_VBITS + C.VP_HBITS))
	for k, n := range norms {
		for i := range 3 {
			p.c.m[k][i] = C.float(t[k][i] * n.scale * unit)
		}
		p.c.m[k][3] = C.float(n.apply(t[k][3]))
		a, b := n.apply(0), n.apply(255)
		p.c.lo[k], p.c.hi[k] = C.float(min(a, b)), C.float(max(a, b))
	}
	return nil
}

func (p *plan) runFloat32(src []byte, dst []float32) {
	s, d := (*C.uint8_t)(unsafe.SliceData(src)), (*C.float)(unsafe.SliceData(dst))
	C.vp_run_f32(C.int(p.variant), p.c, s, d)
}

func (p *plan) runUint8(src, dst []byte) {
	s, d := (*C.uint8_t)(unsafe.SliceData(src)), (*C.uint8_t)(unsafe.SliceData(dst))
	C.vp_run_u8(C.int(p.variant), p.c, s, d)
}
