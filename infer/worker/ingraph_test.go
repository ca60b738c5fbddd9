package worker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/half"
	"vedette/infer/onnx"
	"vedette/infer/onnxfile"
	"vedette/infer/preprocess"
	"vedette/infer/wire"
)

// smoothFrame is a frame with edges and slopes, of any raw format.
func smoothFrame(f capture.Format) []byte {
	random := rand.New(rand.NewPCG(3, uint64(f.Pixel)))
	data := make([]byte, f.FrameBytes())
	for i := range data {
		data[i] = uint8(128 + 100*math.Sin(float64(i)/57) + float64(random.IntN(20)))
		if i/97%5 == 0 {
			data[i] = uint8(random.IntN(256))
		}
	}
	return data
}

// The graph's tensor is the host's, within two grey levels, whatever the format, the model's input and the camera's setting.
func TestGraphConvertsAsTheHostDoes(t *testing.T) {
	base := infer.InputSpec{Width: 64, Height: 48, Batch: 1, Order: infer.BGR, Fit: infer.Letterbox, Pad: 114, Scale: [3]float32{1, 1, 1}}
	with := func(change func(*infer.InputSpec)) infer.InputSpec { s := base; change(&s); return s }
	specs := map[string]infer.InputSpec{
		"letterbox": base,
		"stretched, normalised": with(func(s *infer.InputSpec) {
			s.Fit, s.Order, s.Mean, s.Scale = infer.Stretch, infer.RGB, [3]float32{124, 116, 104}, [3]float32{0.017, 0.0175, 0.0174}
		}),
		"top left, NHWC": with(func(s *infer.InputSpec) { s.Fit, s.Layout = infer.LetterboxTopLeft, infer.NHWC }),
		"float16":        with(func(s *infer.InputSpec) { s.Type, s.Scale = infer.Float16, [3]float32{1 / 255.0, 1 / 255.0, 1 / 255.0} }),
		"uint8, NHWC":    with(func(s *infer.InputSpec) { s.Type, s.Layout, s.Fit = infer.Uint8, infer.NHWC, infer.Stretch }),
	}
	cameras := map[string]preprocess.Stream{
		"plain":  {},
		"region": {Region: [4]float64{0.1, 0.2, 0.83, 0.95}},
		"turned": {Turn: capture.Turn{Rotate: 90, Flip: capture.FlipHorizontal}, Region: [4]float64{0, 0.25, 1, 1}},
	}
	for _, pixel := range []capture.PixelFormat{
		capture.YUYV, capture.UYVY, capture.NV12, capture.NV21, capture.I420, capture.YV12, capture.RGB24, capture.BGR24, capture.Grey,
	} {
		for specName, spec := range specs {
			for cameraName, camera := range cameras {
				if pixel != capture.YUYV && pixel != capture.NV12 && cameraName != "turned" && specName != "letterbox" {
					continue // the parts are tried with each other on two
				}
				t.Run(fmt.Sprintf("%s/%s/%s", pixel, specName, cameraName), func(t *testing.T) {
					camera.Format = capture.Format{Pixel: pixel, Width: 108, Height: 60, Matrix: capture.BT709}.Packed()
					compareGraph(t, spec, camera)
				})
			}
		}
	}
}

func compareGraph(t *testing.T, spec infer.InputSpec, camera preprocess.Stream) {
	t.Helper()
	frame := smoothFrame(camera.Format)
	pre, err := preprocess.New(spec, camera)
	if err != nil {
		t.Fatal(err)
	}
	defer pre.Close()
	want := make([]float32, 3*spec.Width*spec.Height)
	if spec.Type == infer.Uint8 {
		bytes := make([]uint8, len(want))
		err = pre.RunUint8(frame, bytes)
		for i, v := range bytes {
			want[i] = float32(v)
		}
	} else {
		err = pre.Run(frame, want)
	}
	if err != nil {
		t.Fatal(err)
	}
	if spec.Type == infer.Float16 { // what the model would see
		halves := make([]uint16, len(want))
		half.Encode(halves, want)
		half.NewDecoder().Decode(want, halves)
	}

	graph, err := preprocess.Graph(spec, camera, "images")
	if err != nil {
		t.Fatal(err)
	}
	data, err := onnxfile.Model{Producer: "test", Opset: 13, Graph: graph}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "graph.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := onnx.Open(onnx.Options{Runtime: defaultLoad(t).Runtime, Model: path, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	copy(s.InputBytes(0), frame)
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	got, _ := s.Output(0)
	if len(got) != len(want) {
		t.Fatalf("%d values instead of %d", len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i]-want[i]))/float64(spec.Scale[0]))
	}
	if worst > 2 {
		t.Errorf("%.3f grey levels apart", worst)
	}
}

func TestGraphRefusesCompressedFrames(t *testing.T) {
	_, err := preprocess.Graph(infer.InputSpec{Width: 64, Height: 64, Scale: [3]float32{1, 1, 1}},
		preprocess.Stream{Format: capture.Format{Pixel: capture.MJPEG, Width: 64, Height: 64, SizeImage: 9}}, "images")
	if err == nil || !strings.Contains(err.Error(), "use preprocess: host") {
		t.Errorf("%v: want the setting to change", err)
	}
}

// A whole worker: the first camera's frames are converted by the model, a second like it is served, another is refused until they have
// gone.
func TestModelThatConvertsFramesItself(t *testing.T) {
	for _, model := range []string{"", "../../../shared/models/yolox_nano.onnx"} {
		t.Run(filepath.Base(model), func(t *testing.T) {
			load := defaultLoad(t)
			load.Preprocess = preprocessInGraph
			if model != "" {
				if _, err := os.Stat(model); err != nil {
					t.Skipf("there is no %s", model)
				}
				load.Name, load.ModelPath = "yolox", model
			}
			c := start(t)
			p := photograph(t)
			yuyv, jpeg := p.ring(t, p.yuyv()), p.ring(t, p.jpeg)
			c.send(load)
			expect[*wire.Hello](c)
			open := func(stream uint32) wire.OpenStream {
				return wire.OpenStream{Generation: generation, Stream: stream, Name: "raw", Format: p.format(), Geometry: yuyv.Geometry()}
			}
			other := open(3)
			other.Region = [4]float64{0, 0, 0.5, 1}
			c.send(open(1), yuyv.File())
			c.send(open(2), yuyv.File())
			c.send(other, yuyv.File())
			c.send(wire.OpenStream{
				Generation: generation, Stream: 4, Name: "jpeg", Format: p.jpegFormat(), Geometry: jpeg.Geometry(),
			}, jpeg.File())
			size := uint32(len(p.yuyv()))
			c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{
				{Stream: 1, BytesUsed: size},
				{Stream: 2, BytesUsed: size},
				{Stream: 3, BytesUsed: size},
				{Stream: 4, BytesUsed: uint32(len(p.jpeg))},
				{Stream: 1, BytesUsed: size - 1},
			}})
			for i, want := range []wire.Status{
				wire.StatusOK, wire.StatusOK, wire.StatusFailed, wire.StatusFailed, wire.StatusDamaged,
			} {
				r := expect[*wire.Result](c)
				if r.Status != want {
					t.Errorf("frame %d has status %d: want %d", i, r.Status, want)
				}
				if want == wire.StatusOK && model == "" {
					p.check(t, r.Detections)
				}
				if want == wire.StatusOK && len(r.Detections) == 0 {
					t.Error("nothing is found")
				}
			}
			other.Stream = 5
			c.send(wire.CloseStream{Generation: generation, Stream: 1})
			c.send(wire.CloseStream{Generation: generation, Stream: 2})
			c.send(other, yuyv.File())
			c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{{Stream: 5, BytesUsed: size}}})
			if r := expect[*wire.Result](c); r.Status != wire.StatusOK {
				t.Errorf("a camera of another region, after the others have gone: status %d", r.Status)
			}
		})
	}
}
