package decode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/preprocess"
)

// The whole of vtest.avi, frame by frame: what a worker does with a BGR frame, beside OpenCV's own resizing and network
// with the reference's decoding. It takes minutes; VEDETTE_LONG=1 asks for it.
func TestYOLOXOverAVideo(t *testing.T) {
	if os.Getenv("VEDETTE_LONG") == "" {
		t.Skip("it takes minutes: set VEDETTE_LONG=1")
	}
	t.Setenv("FRAMES", "1")
	model := shared(t, "models/yolox_nano.onnx")
	video := sample(t, opencvData+"/vtest.avi", "Debian: opencv-doc")
	s, f := session(t, model)
	decoder := f.Decoder(infer.Thresholds{"default": 0.35})
	const frames, chunk = 795, 100
	var boxes, matched int
	for first := 0; first < frames; first += chunk {
		folder := t.TempDir()
		args := []string{"yolox_reference.py", model, video, folder}
		for frame := first; frame < min(first+chunk, frames); frame++ {
			args = append(args, fmt.Sprint(frame))
		}
		lines := bufio.NewScanner(bytes.NewReader(python(t, nil, args...)))
		for lines.Scan() {
			var want reference
			if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder, fmt.Sprintf("%d.bgr", want.Frame))
			frame, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(path)
			format := capture.Format{Pixel: capture.BGR24, Width: int(want.Width), Height: int(want.Height)}.Packed()
			pre, err := preprocess.New(f.Input, preprocess.Stream{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			if err := pre.Run(frame, s.Input()); err != nil {
				t.Fatal(err)
			}
			if err := s.Run(); err != nil {
				t.Fatal(err)
			}
			data, shape := s.Output(0)
			got, err := decoder.Decode([]Output{{data, shape}}, pre.Placement(), nil)
			if err != nil {
				t.Fatal(err)
			}
			pre.Close()
			a, b := want.matches(got)
			boxes, matched = boxes+a, matched+b
		}
	}
	t.Logf("%d of %d boxes agree: %.2f%%", matched, boxes, 100*float64(matched)/float64(boxes))
	if boxes < 2*frames || float64(matched) < 0.995*float64(boxes) {
		t.Errorf("%d of %d boxes agree: want 99.5%% of more than two for each frame", matched, boxes)
	}
}

// matches counts, in both directions, the boxes of 0.4 and more, and those of them that the other side has at 0.35 and
// more, of the same class, with an overlap of 0.95.
func (r reference) matches(got []infer.Detection) (boxes, matched int) {
	var want []infer.Detection
	for _, d := range r.Detections {
		want = append(want, infer.Detection{
			Class: d.Class, Score: d.Score, Box: infer.Box{X1: d.Box[0], Y1: d.Box[1], X2: d.Box[2], Y2: d.Box[3]},
		})
	}
	for _, side := range [][2][]infer.Detection{{got, want}, {want, got}} {
		for _, a := range side[0] {
			if a.Score < 0.4 {
				continue
			}
			boxes++
			for _, b := range side[1] {
				if a.Class == b.Class && a.Box.IoU(b.Box) >= 0.95 {
					matched++
					break
				}
			}
		}
	}
	return boxes, matched
}
