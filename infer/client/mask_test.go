package client

import (
	"bytes"
	"testing"
	"time"

	"vedette/capture"
	"vedette/infer/wire"
)

func TestMasksArePaintedBeforeAWorkerSeesTheFrame(t *testing.T) {
	c := newClient(Options{})
	format := capture.Format{Pixel: capture.RGB24, Width: 8, Height: 4}.Packed()
	results := make(chan []byte, 1)
	s := streamWith(t, c, StreamOptions{
		Name: "yard", Format: format,
		Masks:  [][]capture.Point{{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}}, // the left half
		Handle: func(r *Result) { results <- bytes.Clone(r.Pixels) },
	})
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	white := bytes.Repeat([]byte{255}, format.FrameBytes())
	if cause, ok := s.Offer(capture.NewFrame(white, 1, 1, time.Unix(1, 0), nil)); !ok {
		t.Fatal(cause)
	}
	r := p.record()
	c.mu.Lock()
	inRing := bytes.Clone(s.leases[r.Slot].slot.Bytes()[:r.BytesUsed])
	c.mu.Unlock()
	p.answer(r)
	for name, pixels := range map[string][]byte{"the ring": inRing, "the result": <-results} {
		for y := range 4 {
			line := pixels[y*format.Stride : (y+1)*format.Stride]
			if !bytes.Equal(line[:9], make([]byte, 9)) {
				t.Errorf("%s, line %d: masked pixels are %v", name, y, line[:9])
			}
			if !bytes.Equal(line[18:], white[:6]) {
				t.Errorf("%s, line %d: open pixels are %v", name, y, line[18:])
			}
		}
	}
	if white[0] != 255 {
		t.Error("the source's own buffer was painted")
	}
}
