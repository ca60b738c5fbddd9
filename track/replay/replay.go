// Package replay runs recorded detections through tracking and zones alone.
package replay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"vedette/infer"
	"vedette/track"
)

// Bounds of a recording.
const (
	maxLine    = 1 << 20
	maxClasses = 1 << 12
	maxCameras = 64
)

// Record is one frame of a recording.
type Record struct {
	Camera     string
	Frame      track.Frame
	Detections []infer.Detection
	End        bool // the recording is over: this is no frame, but the last one's time
}

// Reader reads a recording: the detections messages of docs/MQTT.md, one a line, as `mosquitto_sub -t '…/detections'` writes
// them. Frames of several cameras may be mixed; those of one are in order.
type Reader struct {
	lines  *bufio.Scanner
	number int
	labels []string // by class, as far as they have been seen
	last   map[string]time.Duration
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &Reader{lines: lines, last: map[string]time.Duration{}}
}

// message is what is read of a line.
type message struct {
	Camera    *string `json:"camera"`
	Sequence  uint32  `json:"sequence"`
	Monotonic *int64  `json:"monotonic_ns"`
	Frame     struct {
		Width  int `json:"width"`
		Height int `json:"height"`
	} `json:"frame"`
	Detections []struct {
		Label string    `json:"label"`
		Class int       `json:"class_id"`
		Score float32   `json:"score"`
		Box   []float32 `json:"box"`
	} `json:"detections"`
}

// Next gives the next frame, io.EOF after the last. Another error names the line.
func (r *Reader) Next() (Record, error) {
	for r.lines.Scan() {
		r.number++
		if len(r.lines.Bytes()) == 0 {
			continue
		}
		record, err := r.read(r.lines.Bytes())
		if err != nil {
			return Record{}, fmt.Errorf("line %d: %w", r.number, err)
		}
		return record, nil
	}
	switch err := r.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Record{}, fmt.Errorf("line %d has more than %d bytes", r.number+1, maxLine)
	case err != nil:
		return Record{}, fmt.Errorf("cannot read line %d: %w", r.number+1, err)
	}
	return Record{}, io.EOF
}

func (r *Reader) read(line []byte) (Record, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return Record{}, fmt.Errorf("this is no detections message: %w", err)
	}
	switch {
	case m.Camera == nil || m.Monotonic == nil:
		return Record{}, errors.New("this is no detections message: it has no camera or no monotonic_ns")
	case *m.Monotonic < 0:
		return Record{}, fmt.Errorf("monotonic_ns is %d, less than 0", *m.Monotonic)
	case len(m.Detections) > infer.MaxDetections:
		return Record{}, fmt.Errorf("%d detections, more than %d", len(m.Detections), infer.MaxDetections)
	}
	record := Record{Camera: *m.Camera, Frame: track.Frame{Sequence: m.Sequence, Monotonic: time.Duration(*m.Monotonic)}}
	last, known := r.last[record.Camera]
	if known && record.Frame.Monotonic < last {
		return Record{}, fmt.Errorf("camera %s goes back in time by %v: a recording is of one boot, in order", record.Camera,
			last-record.Frame.Monotonic)
	}
	if !known && len(r.last) == maxCameras {
		return Record{}, fmt.Errorf("more than %d cameras", maxCameras)
	}
	r.last[record.Camera] = record.Frame.Monotonic
	if m.Frame.Width > 0 && m.Frame.Height > 0 {
		record.Frame.Aspect = float32(m.Frame.Width) / float32(m.Frame.Height)
	}
	for i, d := range m.Detections {
		if d.Class < 0 || d.Class >= maxClasses {
			return Record{}, fmt.Errorf("class_id %d is outside 0 to %d", d.Class, maxClasses-1)
		}
		if len(d.Box) != 4 || !(d.Score >= 0 && d.Score <= 1) {
			return Record{}, fmt.Errorf("detection %d has no box of four numbers, or no score in 0..1", i+1)
		}
		box := infer.Box{X1: d.Box[0], Y1: d.Box[1], X2: d.Box[2], Y2: d.Box[3]}
		if !box.Finite() || math.Abs(float64(box.X1)) > 2 || math.Abs(float64(box.Y1)) > 2 || box.X2 > 2 || box.Y2 > 2 {
			return Record{}, fmt.Errorf("detection %d: box %v is not in 0..1", i+1, d.Box)
		}
		r.learn(d.Class, d.Label)
		record.Detections = append(record.Detections, infer.Detection{Class: d.Class, Score: d.Score, Box: box.Clip()})
	}
	record.Frame.Labels = r.labels
	return record, nil
}

// learn notes a class's name. A model's labels are not in a recording: they are known as far as they have occurred.
func (r *Reader) learn(class int, label string) {
	if class < len(r.labels) && r.labels[class] == label {
		return
	}
	labels := make([]string, max(class+1, len(r.labels)))
	copy(labels, r.labels)
	labels[class] = label
	r.labels = labels // a tracker may still hold the list before
}

// Run follows the objects of a recording. options gives what a camera's tracker goes by; tell is called for each frame's
// events, and at the end for those with which every object ends.
func Run(
	r *Reader, options func(camera string) (track.Options, error), tell func(Record, *track.Tracker, []track.Event) error,
) error {
	trackers, last := map[string]*track.Tracker{}, map[string]Record{}
	var order []string
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		tracker := trackers[record.Camera]
		if tracker == nil {
			o, err := options(record.Camera)
			if err != nil {
				return err
			}
			tracker = track.New(o)
			trackers[record.Camera] = tracker
			order = append(order, record.Camera)
		}
		last[record.Camera] = record
		if err := tell(record, tracker, tracker.Update(record.Frame, record.Detections)); err != nil {
			return err
		}
	}
	for _, camera := range order {
		record := last[camera]
		record.Detections, record.End = nil, true
		if err := tell(record, trackers[camera], trackers[camera].End(track.ServiceStop)); err != nil {
			return err
		}
	}
	return nil
}
