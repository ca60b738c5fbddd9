package worker

import (
	"testing"
	"time"

	"vedette/infer/wire"
)

// BenchmarkFrame is a frame's whole way in the child with the default model: from its record to its result in the parent's hands. The
// steady state allocates nothing.
func BenchmarkFrame(b *testing.B) {
	e, p := newTestEngine(b), photograph(b)
	parent, conn := connect(b)
	w := &worker{conn: conn, generation: generation}
	only := newBatch(e.input)
	for i, c := range []struct {
		name string
		data []byte
	}{{"yuyv", p.yuyv()}, {"mjpeg", p.jpeg}} {
		b.Run(c.name, func(b *testing.B) {
			stream := uint32(i + 1)
			ring := p.ring(b, c.data)
			open := wire.OpenStream{Generation: generation, Stream: stream, Format: p.format(), Geometry: ring.Geometry()}
			if c.name == "mjpeg" {
				open.Format = p.jpegFormat()
			}
			if err := parent.Send(time.Now().Add(patience), open, ring.File()); err != nil {
				b.Fatal(err)
			}
			m, files, err := conn.Receive(time.Now().Add(patience))
			if err != nil {
				b.Fatal(err)
			}
			e.open(m.(*wire.OpenStream), files[0])
			defer e.closeStream(stream)
			frame := wire.FrameRecord{Stream: stream, BytesUsed: uint32(len(c.data)), Submitted: 1}
			answer := func() {
				if _, err := do(w, e, only, frame); err != nil {
					b.Fatal(err)
				}
				m, _, err := parent.Receive(time.Time{})
				if r, ok := m.(*wire.Result); err != nil || !ok || r.Status != wire.StatusOK {
					b.Fatalf("result %+v, %v", m, err)
				}
			}
			answer() // buffers grow to what a frame needs
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				answer()
			}
		})
	}
}
