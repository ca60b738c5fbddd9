package preprocess

/*
#cgo LDFLAGS: -l:libturbojpeg.a -lm
#cgo noescape vp_jpeg_open
#cgo nocallback vp_jpeg_open
#cgo noescape vp_jpeg_decode
#cgo nocallback vp_jpeg_decode
#include <stdint.h>
#include <turbojpeg.h>
#include "kernel.h"

typedef struct {
	tjhandle handle; // NULL: out of memory
	int result, width, height;
} vp_jpeg;

// A new handle for every picture, which takes a microsecond: libjpeg keeps quantisation and Huffman tables from one
// picture to the next, and a damaged picture's must not serve the next.
static vp_jpeg vp_jpeg_open(const uint8_t *src, size_t n)
{
	int subsampling, colourspace;
	vp_jpeg j = {.handle = tjInitDecompress()};
	if (j.handle)
		j.result = tjDecompressHeader3(j.handle, src, n, &j.width, &j.height, &subsampling, &colourspace);
	return j;
}

// A warning stops the decoder: what follows a gap is a guess.
static int vp_jpeg_decode(tjhandle h, const uint8_t *src, size_t n, uint8_t *dst, int width, int height)
{
	return tjDecompress2(h, src, n, dst, width, 0, height, TJPF_RGB, TJFLAG_STOPONWARNING);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"vedette/capture"
	"vedette/infer/preprocess/mask"
)

// decoder turns JPEG files into RGB pictures, masked. RGB rather than the planes that the file holds: when it decodes
// at half the size, the decoder then keeps the chroma that a subsampled picture has in full.
type decoder struct {
	format        capture.Format
	divisor       int // pictures are decoded at 1/divisor of their size
	width, height int // of decoded pictures
	picture       []byte
	painter       *mask.Painter
}

func newDecoder(s Stream, g geometry) (*decoder, error) {
	d := &decoder{format: s.Format, divisor: divisor(s.Format, g)}
	d.width, d.height = ceilDiv(s.Format.Width, d.divisor), ceilDiv(s.Format.Height, d.divisor)
	var err error
	if d.painter, err = mask.NewOnGrid(d.grid(), s.Turn, s.Masks); err != nil {
		return nil, err
	}
	d.picture = make([]byte, 3*d.width*d.height)
	return d, nil
}

// divisor is how much smaller than the frame a picture may be decoded, so that it still is no smaller than what
// the model sees of it. The decoder is fast at powers of two alone. Below 16 pixels it cannot tell the scales apart by
// the size asked for.
func divisor(f capture.Format, g geometry) int {
	if min(f.Width, f.Height) < 16 {
		return 1
	}
	for _, d := range []int{8, 4, 2} {
		if g.region.width() >= d*g.target.width() && g.region.height() >= d*g.target.height() {
			return d
		}
	}
	return 1
}

// layout is how decoded pictures lie in memory.
func (d *decoder) layout() layout {
	line := 3 * d.width
	return layout{
		kind:   C.VP_RGB,
		planes: [3]plane{{0, line, 3}, {1, line, 3}, {2, line, 3}},
		subX:   1, subY: 1,
		scale: 1 / float64(d.divisor),
		bytes: len(d.picture),
	}
}

// grid is a decoded picture as the painter sees it. Cells are as large as a chroma block of any subsampling, 4x1, 2x2
// and 1x2. Polygons are in 0..1 of the frame; where that does not divide evenly, the picture reaches a little beyond.
func (d *decoder) grid() mask.Grid {
	const cellWidth, cellHeight = 4, 2
	return mask.Grid{
		Width: d.format.Width, Height: d.format.Height,
		CellWidth: cellWidth * d.divisor, CellHeight: cellHeight * d.divisor,
		Planes: []mask.Plane{{
			Stride: 3 * d.width, LineBytes: 3 * d.width, Lines: d.height,
			CellLines: cellHeight, Black: make([]byte, 3*cellWidth),
		}},
	}
}

// decode gives the picture, which is valid until the next call.
func (d *decoder) decode(src []byte) ([]byte, error) {
	if err := oneScan(src); err != nil {
		return nil, err
	}
	start, n := (*C.uint8_t)(unsafe.SliceData(src)), C.size_t(len(src))
	j := C.vp_jpeg_open(start, n)
	if j.handle == nil {
		return nil, errors.New("cannot make a JPEG decoder: out of memory")
	}
	defer C.tjDestroy(j.handle)
	if j.result != 0 {
		return nil, damaged(j.handle)
	}
	if int(j.width) != d.format.Width || int(j.height) != d.format.Height {
		return nil, fmt.Errorf("%w: %dx%d in a stream of %dx%d",
			ErrDamaged, j.width, j.height, d.format.Width, d.format.Height)
	}
	dst := (*C.uint8_t)(unsafe.SliceData(d.picture))
	if C.vp_jpeg_decode(j.handle, start, n, dst, C.int(d.width), C.int(d.height)) != 0 {
		return nil, damaged(j.handle)
	}
	if err := d.painter.Paint(d.picture); err != nil {
		return nil, err
	}
	return d.picture, nil
}

func damaged(h C.tjhandle) error {
	return fmt.Errorf("%w: %s", ErrDamaged, C.GoString(C.tjGetErrorStr2(h)))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
