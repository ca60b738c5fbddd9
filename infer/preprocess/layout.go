package preprocess

/*
#include "kernel.h"
*/
import "C"

import "vedette/capture"

// layout is how a picture's samples lie in memory.
type layout struct {
	kind       C.int32_t
	packed     C.int32_t
	planes     [3]plane // Y, U, V, or R, G, B; with chroma side by side Y and the first of U and V
	subX, subY int      // pixels that share a chroma sample, each way
	scale      float64  // of the frame to the picture in memory: below 1 where a JPEG was decoded smaller
	bytes      int      // of the whole picture
}

// plane is where one kind of sample lies: sample (x, y) at offset + x*step + y*stride.
type plane struct{ offset, stride, step int }

// rawLayout is how a raw frame lies in memory. The format is valid and not MJPEG.
func rawLayout(f capture.Format) layout {
	l := layout{subX: 1, subY: 1, scale: 1, bytes: f.FrameBytes()}
	all := func(kind C.int32_t, y, u, v plane) layout {
		l.kind, l.planes = kind, [3]plane{y, u, v}
		return l
	}
	s, luma := f.Stride, f.Stride*f.Height
	switch f.Pixel {
	case capture.YUYV:
		l.subX, l.packed = 2, C.VP_LUMA_FIRST
		return all(C.VP_CHROMA_UV, plane{0, s, 2}, plane{0, s, 4}, plane{})
	case capture.UYVY:
		l.subX, l.packed = 2, C.VP_LUMA_SECOND
		return all(C.VP_CHROMA_UV, plane{0, s, 2}, plane{0, s, 4}, plane{})
	case capture.NV12:
		l.subX, l.subY = 2, 2
		return all(C.VP_CHROMA_UV, plane{0, s, 1}, plane{luma, s, 2}, plane{})
	case capture.NV21:
		l.subX, l.subY = 2, 2
		return all(C.VP_CHROMA_VU, plane{0, s, 1}, plane{luma, s, 2}, plane{})
	case capture.I420:
		l.subX, l.subY = 2, 2
		return all(C.VP_PLANAR, plane{0, s, 1}, plane{luma, s / 2, 1}, plane{luma + luma/4, s / 2, 1})
	case capture.YV12:
		l.subX, l.subY = 2, 2
		return all(C.VP_PLANAR, plane{0, s, 1}, plane{luma + luma/4, s / 2, 1}, plane{luma, s / 2, 1})
	case capture.RGB24:
		return all(C.VP_RGB, plane{0, s, 3}, plane{1, s, 3}, plane{2, s, 3})
	case capture.BGR24:
		return all(C.VP_RGB, plane{2, s, 3}, plane{1, s, 3}, plane{0, s, 3})
	}
	return all(C.VP_GREY, plane{0, s, 1}, plane{0, s, 1}, plane{0, s, 1})
}

// colours is how samples become RGB. What is no raw YCbCr is taken as it is: the format's matrix and range do not speak
// of it.
func colours(f capture.Format) (transform, error) {
	switch f.Pixel {
	case capture.Grey, capture.RGB24, capture.BGR24, capture.MJPEG:
		return asIs(), nil
	}
	return yuvToRGB(f.Matrix, f.Range)
}
