// Command grab takes frames from a camera the way the service does, and tells what they were like:
//
//	grab -device /dev/video0 -format nv12 -size 320x180 -rate 10 -frames 100 -bars -out FOLDER
//
// It prints JSON. In FOLDER it leaves the last frame as the driver gave it (frame), and what the worker's preprocessing
// makes of it at its own size (rgb), for another program to compare.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"vedette/capture"
	"vedette/capture/v4l2"
	"vedette/infer"
	"vedette/infer/preprocess"
)

// report is what grab prints.
type report struct {
	Format  capture.Format               `json:"format"`
	Frames  int                          `json:"frames"`
	Gaps    uint64                       `json:"gaps"` // frames that the sequence lacks and the source does not account for
	Dropped map[capture.DropCause]uint64 `json:"dropped"`
	Torn    int                          `json:"torn"`      // frames whose lines differ, where all should be alike
	Still   int                          `json:"still"`     // frames that look as the one before
	Behind  int                          `json:"behind"`    // frames captured before the one before
	Seconds float64                      `json:"seconds"`   // from the first frame to the last
	MaxAge  float64                      `json:"max_age_s"` // from a frame's capture until it was had
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "grab:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		size  capture.Size
		pixel capture.PixelFormat
	)
	device := flag.String("device", "/dev/video0", "the camera, by any of its names")
	rate := flag.Float64("rate", 10, "frames a second")
	count := flag.Int("frames", 100, "how many frames")
	bars := flag.Bool("bars", false, "the picture is of upright bars that move sideways: every line is like the first")
	out := flag.String("out", "", "folder for the last frame")
	flag.TextVar(&pixel, "format", capture.YUYV, "pixel format")
	flag.TextVar(&size, "size", capture.Size{Width: 320, Height: 180}, "size of a frame")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	source, err := v4l2.New(capture.V4L2Config{
		ID: *device, Formats: []capture.PixelFormat{pixel}, Size: size, Rate: *rate,
	}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	stream, err := source.Open(ctx)
	if err != nil {
		return err
	}
	r, last, err := read(ctx, stream, *count, *bars)
	if closeErr := stream.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if *out != "" {
		if err := leave(*out, r.Format, last); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func read(ctx context.Context, stream capture.Stream, count int, bars bool) (report, []byte, error) {
	r := report{Format: stream.Format()}
	var (
		last            []byte
		sequence        uint32
		first, previous time.Duration
	)
	for ; r.Frames < count; r.Frames++ {
		before := total(stream.Dropped())
		frame, err := stream.Next(ctx)
		if err != nil {
			return r, nil, fmt.Errorf("frame %d: %w", r.Frames, err)
		}
		if r.Frames == 0 {
			first = frame.Monotonic
		} else {
			r.Gaps += uint64(frame.Sequence-sequence-1) - (total(stream.Dropped()) - before)
			if frame.Monotonic <= previous {
				r.Behind++
			}
			if bytes.Equal(frame.Data, last) {
				r.Still++
			}
		}
		if bars && torn(r.Format, frame.Data) {
			r.Torn++
		}
		sequence, previous = frame.Sequence, frame.Monotonic
		r.MaxAge = max(r.MaxAge, time.Since(frame.Wall).Seconds())
		last = append(last[:0], frame.Data...)
		frame.Release()
	}
	r.Seconds, r.Dropped = (previous - first).Seconds(), stream.Dropped()
	return r, last, nil
}

func total(drops map[capture.DropCause]uint64) (sum uint64) {
	for _, n := range drops {
		sum += n
	}
	return sum
}

// torn tells whether a line of any plane differs from its plane's first.
func torn(f capture.Format, frame []byte) bool {
	planes := []struct{ lines, stride, used int }{{f.Height, f.Stride, f.Width}}
	switch f.Pixel {
	case capture.YUYV, capture.UYVY:
		planes[0].used = 2 * f.Width
	case capture.RGB24, capture.BGR24:
		planes[0].used = 3 * f.Width
	case capture.NV12, capture.NV21:
		planes = append(planes, struct{ lines, stride, used int }{f.Height / 2, f.Stride, f.Width})
	case capture.I420, capture.YV12:
		half := struct{ lines, stride, used int }{f.Height / 2, f.Stride / 2, f.Width / 2}
		planes = append(planes, half, half)
	}
	for _, p := range planes {
		for line := range p.lines {
			if !bytes.Equal(frame[line*p.stride:][:p.used], frame[:p.used]) {
				return true
			}
		}
		frame = frame[p.lines*p.stride:]
	}
	return false
}

// leave writes the frame, and the tensor that the worker would make of it were the model's input as large as the frame.
func leave(folder string, f capture.Format, frame []byte) error {
	p, err := preprocess.New(infer.InputSpec{
		Width: f.Width, Height: f.Height, Layout: infer.NHWC, Fit: infer.Stretch, Scale: [3]float32{1, 1, 1},
	}, preprocess.Stream{Format: f})
	if err != nil {
		return err
	}
	defer p.Close()
	rgb := make([]uint8, 3*f.Width*f.Height)
	if err := p.RunUint8(frame, rgb); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "frame"), frame, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "rgb"), rgb, 0o644)
}
