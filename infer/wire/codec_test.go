package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/ring"
)

func messages() []Message {
	return []Message{
		&Load{
			Generation: 3, Protocol: ProtocolVersion, Name: "coco", ModelPath: "/m/coco.onnx", Runtime: "/r.so",
			Providers: []string{"cuda", "cpu"}, Fallback: "cpu", Accelerator: 1, Threads: 2,
			Batch: infer.Batch{Max: 4, Wait: time.Millisecond}, Ahead: true,
			Thresholds: infer.Thresholds{"default": 0.4}, Low: 0.1,
		},
		&OpenStream{
			Generation: 3, Stream: 9, Name: "yard",
			Format: capture.Format{
				Pixel: capture.YUYV, Width: 1280, Height: 720, Matrix: capture.BT709, Interval: time.Second / 30,
			}.Packed(),
			Geometry: ring.Geometry{Slots: 4, SlotSize: 1 << 20}, Region: [4]float64{0, 0.25, 1, 1}, Turn: capture.Turn{Rotate: 180, Flip: capture.FlipVertical},
			Masks: [][]capture.Point{{{0, 0}, {1, 0}, {1, 1}}},
		},
		&CloseStream{Generation: 3, Stream: 9},
		&Frames{Generation: 3, Records: []FrameRecord{
			{Stream: 9, Slot: 1, Sequence: 77, BytesUsed: 1843200, Monotonic: 5 * time.Second, Submitted: 6 * time.Second},
			{Stream: 10, Slot: 3, Sequence: math.MaxUint32, BytesUsed: 1, Monotonic: 1, Submitted: 2},
		}},
		&Shutdown{Generation: 3, Reason: "the service stops"},
		&Hello{Generation: 3, Protocol: ProtocolVersion, PID: 4711, Model: infer.Model{
			Name: "coco", SHA256: "00ff", Family: "centernet", Labels: []string{"person", "cup"}, Width: 512, Height: 512,
			Inputs: []infer.Tensor{{Name: "image", Type: "float32", Shape: []int64{1, 512, 512, 3}}}, Provider: "cpu",
		}},
		&Heartbeat{Generation: 3, Stage: StageBuilding, Counter: 1 << 40},
		&Result{
			Generation: 3, Stream: 9, Slot: 1, Sequence: 77, First: true,
			Timings: infer.Timings{Queue: 1, Preprocess: 2, Infer: 3, Decode: 4},
			Detections: []infer.Detection{
				{Class: 0, Score: 0.5, Box: infer.Box{X1: 0.1, Y1: 0.2, X2: 0.3, Y2: 0.4}},
				{Class: 79, Score: 1, Box: infer.Box{X2: 1, Y2: 1}},
			},
		},
		&Result{Generation: 3, Stream: 9, Status: StatusDamaged, Detections: []infer.Detection{}},
		&Fault{Generation: 3, Kind: "panic", Message: "index out of range", Traceback: "goroutine 1:\n\tmain.go:1"},
		&Goodbye{Generation: 3},
	}
}

func TestRoundTrip(t *testing.T) {
	var decoder Decoder
	for _, want := range messages() {
		packet, err := Append([]byte("before"), want)
		if err != nil {
			t.Errorf("%s: %v", KindOf(want), err)
			continue
		}
		got, err := decoder.Decode(packet[len("before"):])
		if err != nil {
			t.Errorf("%s: %v", KindOf(want), err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", KindOf(want), diff)
		}
		if GenerationOf(got) != 3 || KindOf(got) != KindOf(want) {
			t.Errorf("%s of generation %d came as %s of %d", KindOf(want), 3, KindOf(got), GenerationOf(got))
		}
	}
}

// TestLayout holds the binary messages against doc.go, written out by hand.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{&Frames{Generation: 0x0102030405060708, Records: []FrameRecord{{
			Stream: 1, Slot: 2, Sequence: 3, BytesUsed: 0x0a0b0c0d, Monotonic: 4, Submitted: -1,
		}}}, `56 01 04 00  20 00 00 00  08 07 06 05 04 03 02 01
			01 00 00 00  02 00 00 00  03 00 00 00  0d 0c 0b 0a
			04 00 00 00 00 00 00 00   ff ff ff ff ff ff ff ff`},
		{&Heartbeat{Generation: 1, Stage: StageReady, Counter: 258}, `56 01 11 00  10 00 00 00  01 00 00 00 00 00 00 00
			03 00 00 00 00 00 00 00  02 01 00 00 00 00 00 00`},
		{&Result{
			Generation: 1, Stream: 5, Slot: 6, Sequence: 7, First: true,
			Timings:    infer.Timings{Queue: 1, Preprocess: 2, Infer: 3, Decode: 256},
			Detections: []infer.Detection{{Class: 9, Score: 1, Box: infer.Box{X1: 0.5, Y1: 0.25, X2: 1, Y2: 2}}},
		}, `56 01 12 00  48 00 00 00  01 00 00 00 00 00 00 00
			05 00 00 00  06 00 00 00  07 00 00 00  00 01 01 00
			01 00 00 00 00 00 00 00   02 00 00 00 00 00 00 00
			03 00 00 00 00 00 00 00   00 01 00 00 00 00 00 00
			09 00 00 00  00 00 80 3f  00 00 00 3f  00 00 80 3e  00 00 80 3f  00 00 00 40`},
		{&Goodbye{Generation: 2}, `56 01 14 00  00 00 00 00  02 00 00 00 00 00 00 00`},
		{&CloseStream{Generation: 2, Stream: 8}, `56 01 03 00  0c 00 00 00  02 00 00 00 00 00 00 00` +
			hex.EncodeToString([]byte(`{"stream":8}`))},
	} {
		want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Append(nil, c.m)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s (%v):\n got %x\nwant %x", KindOf(c.m), err, got, want)
		}
	}
}

// edited is a good packet with one thing wrong. A change of length is made known to the header.
func edited(m Message, edit func(packet []byte) []byte) []byte {
	packet, err := Append(nil, m)
	if err != nil {
		panic(err)
	}
	length := len(packet)
	packet = edit(packet)
	if len(packet) != length {
		binary.LittleEndian.PutUint32(packet[4:], uint32(len(packet)-headerSize))
	}
	return packet
}

func set(at int, bytes ...byte) func([]byte) []byte {
	return func(p []byte) []byte { copy(p[at:], bytes); return p }
}

type bad struct {
	name   string
	packet []byte
	reason Reason
}

func badPackets() []bad {
	all := messages()
	load, open, frames, heartbeat, result, fault, goodbye := all[0], all[1], all[3], all[6], all[7], all[9], all[10]
	nan := []byte{0, 0, 0xc0, 0x7f}
	same := func(p []byte) []byte { return p }
	grow := func(n int) func([]byte) []byte { return func(p []byte) []byte { return append(p, make([]byte, n)...) } }
	cut := func(n int) func([]byte) []byte { return func(p []byte) []byte { return p[:len(p)-n] } }
	text := func(s string) func([]byte) []byte {
		return func(p []byte) []byte { return append(p[:headerSize], s...) }
	}
	return []bad{
		{"nothing", nil, Truncated},
		{"half a header", edited(goodbye, same)[:15], Truncated},
		{"another magic", edited(goodbye, set(0, 'W')), Malformed},
		{"another version", edited(goodbye, set(1, 2)), UnknownVersion},
		{"an unknown kind", edited(goodbye, set(2, 99)), UnknownKind},
		{"kind 0", edited(goodbye, set(2, 0)), UnknownKind},
		{"a reserved byte", edited(goodbye, set(3, 1)), Malformed},
		{"a length of 4 GiB", edited(frames, set(4, 255, 255, 255, 255)), Truncated},
		{"a body cut short", edited(frames, same)[:40], Truncated},
		{"a body too long", append(edited(heartbeat, same), 0), Malformed},
		{"too many bytes", edited(fault, grow(MaxMessage)), Oversized},
		{"goodbye with a body", edited(goodbye, grow(1)), Malformed},
		{"no frames", edited(frames, cut(64)), Malformed},
		{"a frame and a half", edited(frames, cut(16)), Malformed},
		{"seventeen frames", edited(frames, grow(15*recordSize)), Malformed},
		{"stage 0", edited(heartbeat, set(16, 0)), Malformed},
		{"stage 4", edited(heartbeat, set(16, 4)), Malformed},
		{"heartbeat's padding", edited(heartbeat, set(20, 1)), Malformed},
		{"a short heartbeat", edited(heartbeat, cut(8)), Malformed},
		{"a short result", edited(result, cut(49)), Malformed},
		{"status 3", edited(result, set(28, 3)), Malformed},
		{"a run's first frame, neither yes nor no", edited(result, set(29, 2)), Malformed},
		{"65535 detections", edited(result, set(30, 255, 255)), Malformed},
		{"301 detections", edited(result, func(p []byte) []byte {
			return set(30, 0x2d, 1)(append(p, make([]byte, 299*detectionSize)...))
		}), Malformed},
		{"one detection fewer", edited(result, cut(detectionSize)), Malformed},
		{"detections of a damaged picture", edited(result, set(28, 1)), Malformed},
		{"a negative time", edited(result, set(39, 0x80)), Malformed},
		{"class -1", edited(result, set(64, 255, 255, 255, 255)), Malformed},
		{"score NaN", edited(result, set(68, nan...)), Malformed},
		{"x1 NaN", edited(result, set(72, nan...)), Malformed},
		{"y2 infinite", edited(result, set(84, 0, 0, 0x80, 0xff)), Malformed},
		{"no JSON", edited(load, text("load this")), Malformed},
		{"an empty body", edited(load, text("")), Malformed},
		{"an unknown key", edited(load, text(`{"protocol":1,"colour":"red"}`)), Malformed},
		{"JSON of another type", edited(load, text(`{"protocol":"one"}`)), Malformed},
		{"two values", edited(load, text(`{"protocol":1}{}`)), Malformed},
		{"deep JSON", edited(load, text(strings.Repeat("[", 60000))), Malformed},
		{"no format", edited(open, text(`{"stream":1}`)), Malformed},
		{"a huge geometry", edited(open, func(p []byte) []byte {
			return bytes.Replace(p, []byte(`"slots":4`), []byte(`"slots":4000000000`), 1)
		}), Malformed},
		{"an unknown pixel format", edited(open, func(p []byte) []byte {
			return bytes.Replace(p, []byte(`"yuyv"`), []byte(`"yuvy"`), 1)
		}), Malformed},
	}
}

func TestRejected(t *testing.T) {
	var decoder Decoder
	for _, c := range badPackets() {
		m, err := decoder.Decode(c.packet)
		var rejected *Rejected
		if !errors.As(err, &rejected) {
			t.Errorf("%s: got %v, %v", c.name, m, err)
		} else if rejected.Reason != c.reason {
			t.Errorf("%s: %v, want %s", c.name, err, c.reason)
		}
	}
}

// TestNothingIsAllocatedOnALengthsWord bounds what a rejected packet may cost by its own size.
func TestNothingIsAllocatedOnALengthsWord(t *testing.T) {
	var decoder Decoder
	for _, c := range badPackets() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = decoder.Decode(c.packet)
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16<<10+16*len(c.packet)); got > most {
			t.Errorf("%s: %d bytes for a packet of %d", c.name, got, len(c.packet))
		}
	}
}

func TestAppendRefusesWhatWouldBeRejected(t *testing.T) {
	nan := float32(math.NaN())
	for name, m := range map[string]Message{
		"no frames":            &Frames{},
		"seventeen frames":     &Frames{Records: make([]FrameRecord, 17)},
		"stage 0":              &Heartbeat{},
		"status 3":             &Result{Status: 3},
		"301 detections":       &Result{Detections: make([]infer.Detection, infer.MaxDetections+1)},
		"damaged and detected": &Result{Status: StatusDamaged, Detections: make([]infer.Detection, 1)},
		"a negative time":      &Result{Timings: infer.Timings{Infer: -1}},
		"score NaN":            &Result{Detections: []infer.Detection{{Score: nan}}},
		"class -1":             &Result{Detections: []infer.Detection{{Class: -1}}},
		"box NaN":              &Result{Detections: []infer.Detection{{Box: infer.Box{Y1: nan}}}},
		"an oversized load":    &Load{Name: strings.Repeat("x", MaxMessage)},
	} {
		if packet, err := Append(nil, m); err == nil {
			t.Errorf("%s: %d bytes", name, len(packet))
		}
	}
}

func TestAFaultAlwaysFits(t *testing.T) {
	long := strings.Repeat("goroutine \x00\xff", 1<<20)
	packet, err := Append(nil, Fault{Kind: "panic", Message: long, Traceback: long})
	if err != nil {
		t.Fatal(err)
	}
	var decoder Decoder
	m, err := decoder.Decode(packet)
	if err != nil {
		t.Fatal(err)
	}
	fault := m.(*Fault)
	if fault.Kind != "panic" || !strings.HasPrefix(fault.Traceback, "goroutine ") || len(fault.Traceback) < 4<<10 {
		t.Errorf("too little is left: %d bytes of traceback", len(fault.Traceback))
	}
}

func fullResult() *Result {
	r := &Result{Generation: 1, Stream: 2, Slot: 3, Sequence: 4}
	for i := range 20 {
		r.Detections = append(r.Detections, infer.Detection{Class: i, Score: 0.5, Box: infer.Box{X2: 1, Y2: 1}})
	}
	return r
}

func hotMessages() []Message {
	return []Message{&Frames{Records: make([]FrameRecord, 1)}, fullResult(), &Heartbeat{Stage: StageReady}}
}

func TestHotMessagesAllocateNothing(t *testing.T) {
	for _, m := range hotMessages() {
		var decoder Decoder
		buffer := make([]byte, 0, MaxMessage)
		var err error
		if n := testing.AllocsPerRun(100, func() { buffer, err = Append(buffer[:0], m) }); n != 0 || err != nil {
			t.Errorf("encoding %s: %v allocations, %v", KindOf(m), n, err)
		}
		if n := testing.AllocsPerRun(100, func() { _, err = decoder.Decode(buffer) }); n != 0 || err != nil {
			t.Errorf("decoding %s: %v allocations, %v", KindOf(m), n, err)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	for _, m := range hotMessages() {
		var decoder Decoder
		buffer, err := Append(nil, m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encode/"+KindOf(m).String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buffer, _ = Append(buffer[:0], m)
			}
		})
		b.Run("decode/"+KindOf(m).String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = decoder.Decode(buffer)
			}
		})
	}
}
