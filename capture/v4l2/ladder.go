package v4l2

import (
	"slices"

	"vedette/capture"
)

// Below these a stream is of no use to a model.
const (
	leastRate  = 5   // frames a second
	leastWidth = 160 // pixels
)

// ladder is what to ask for when the bus has no room for what the driver granted, best first: half the rate, and a
// quarter; MJPEG, where it is among the formats wished for; then half the size, at the wished rate and less, and so on
// down. A device that cannot do a rung grants what it granted before, which is not tried again.
func ladder(w wish, refused capture.Format) []wish {
	raw := wish{[]capture.PixelFormat{refused.Pixel}, capture.Size{Width: refused.Width, Height: refused.Height}, w.rate}
	if raw.rate == 0 && refused.Interval > 0 {
		raw.rate = 1 / refused.Interval.Seconds()
	}
	jpeg := raw
	jpeg.formats = []capture.PixelFormat{capture.MJPEG}
	hasJPEG := refused.Pixel != capture.MJPEG && slices.Contains(w.formats, capture.MJPEG)

	var rungs []wish
	for first := true; raw.size.Width >= leastWidth; first = false {
		for i, from := range []wish{raw, jpeg} {
			if i == 1 && !hasJPEG {
				continue
			}
			for rung := from; rung.rate >= leastRate; rung.rate /= 2 {
				if asked := first && i == 0 && rung.rate == raw.rate; !asked {
					rungs = append(rungs, rung)
				}
				if rung.rate <= from.rate/4 {
					break
				}
			}
		}
		raw.size = capture.Size{Width: raw.size.Width / 2, Height: raw.size.Height / 2}
		jpeg.size = raw.size
	}
	return rungs
}
