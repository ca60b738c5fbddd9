package replay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"vedette/capture"
	"vedette/infer/client"
)

// line is one frame in the output.
type line struct {
	File    string   `json:"file"`
	Frame   int      `json:"frame"`   // from 0
	Seconds number   `json:"seconds"` // from the file's beginning, at its nominal rate
	Width   int      `json:"width"`
	Height  int      `json:"height"`
	Objects []object `json:"detections"`
	Error   string   `json:"error,omitempty"` // why there is no answer
}

type object struct {
	Label   string     `json:"label"`
	ClassID int        `json:"class_id"`
	Score   number     `json:"score"`
	Box     [4]float32 `json:"box"` // x1, y1, x2, y2 in 0..1 of the frame
}

// number is one with a fixed number of decimals.
type number string

// MarshalJSON gives it as it is written.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func decimals(v float64, digits int) number { return number(strconv.FormatFloat(v, 'f', digits, 64)) }

// answer is what is known of one frame.
type answer struct {
	text    []byte
	picture *image.RGBA // painted; nil where nobody wants it
	rate    float64     // of its stream, frames a second
}

// writer puts answers in the order of the input. Its methods are called from any goroutine.
type writer struct {
	options Options

	mu      sync.Mutex // guards the rest, and the order of what is written
	out     *bufio.Writer
	video   *encoder
	pending map[uint64]answer
	next    uint64
	total   Summary
	began   time.Time // when the first answer came
	err     error     // the first one; then nothing more is written
}

func newWriter(o Options) *writer {
	return &writer{options: o, out: bufio.NewWriter(o.Output), pending: map[uint64]answer{}}
}

func (w *writer) found(f frame, s *stream, r *client.Result) {
	l := line{
		File: f.name, Frame: f.number, Seconds: decimals(f.seconds, 3), Width: s.format.Width, Height: s.format.Height,
		Objects: []object{},
	}
	for _, d := range r.Detections {
		if d.Score < w.options.Threshold {
			continue
		}
		l.Objects = append(l.Objects, object{
			Label: r.Model.Label(d.Class), ClassID: d.Class, Score: decimals(float64(d.Score), 4),
			Box: [4]float32{d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2},
		})
	}
	a := answer{rate: rateOf(s.format)}
	var err error
	if w.options.Pictures != "" || w.options.Video != "" {
		if a.picture, err = s.painter.rgba(s.format, r.Pixels); err == nil {
			paint(a.picture, l.Objects)
		}
	}
	if err == nil && w.options.Pictures != "" {
		err = savePicture(w.options.Pictures, f, a.picture)
	}
	w.put(f.place, l, a, err)
}

func rateOf(f capture.Format) float64 {
	if f.Interval <= 0 {
		return 25
	}
	return float64(time.Second) / float64(f.Interval)
}

// failed notes a frame without an answer. That is the frame's fault: a worker's ends the replay.
func (w *writer) failed(f frame, format capture.Format) {
	w.put(f.place, line{
		File: f.name, Frame: f.number, Seconds: decimals(f.seconds, 3), Width: format.Width, Height: format.Height,
		Objects: []object{}, Error: "the picture is damaged, or of a kind that cannot be read",
	}, answer{}, nil)
}

func (w *writer) put(place uint64, l line, a answer, err error) {
	text, encodeErr := json.Marshal(l)
	a.text = append(text, '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total.Frames == 0 {
		w.began = time.Now()
	}
	w.total.Frames++
	w.total.Detections += uint64(len(l.Objects))
	if l.Error != "" {
		w.total.Failed++
	}
	w.total.Took = time.Since(w.began)
	w.err = errors.Join(w.err, err, encodeErr)
	w.pending[place] = a
	for w.err == nil {
		first, ok := w.pending[w.next]
		if !ok {
			return
		}
		delete(w.pending, w.next)
		w.next++
		w.err = w.write(first)
	}
}

func (w *writer) write(a answer) error {
	if _, err := w.out.Write(a.text); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if w.options.Video == "" || a.picture == nil {
		return nil
	}
	if w.video == nil {
		var err error
		if w.video, err = newEncoder(w.options.Video, a.picture.Bounds().Size(), a.rate); err != nil {
			return err
		}
	}
	return w.video.add(a.picture)
}

// waiting is how many answers wait for an earlier one.
func (w *writer) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}

// broken tells whether nothing more is written.
func (w *writer) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err != nil
}

func (w *writer) summary() Summary {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// close is for after the last answer.
func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.err
	if w.video != nil {
		err = errors.Join(err, w.video.close())
	}
	if flushed := w.out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("cannot write: %w", flushed)
	}
	return err
}

// overwriting empties a file when there is something to put into it.
type overwriting struct {
	file  *os.File
	begun bool
}

func (o *overwriting) Write(p []byte) (int, error) {
	if !o.begun {
		o.begun = true
		if info, err := o.file.Stat(); err == nil && info.Mode().IsRegular() {
			if err := o.file.Truncate(0); err != nil {
				return 0, err
			}
		}
	}
	return o.file.Write(p)
}

// pictureOf begins the names of an input's annotated pictures.
func pictureOf(name string) string { return strings.ReplaceAll(name, "/", "_") + "-" }

func savePicture(folder string, f frame, picture *image.RGBA) error {
	path := filepath.Join(folder, fmt.Sprintf("%s%06d.jpg", pictureOf(f.name), f.number))
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot keep an annotated picture: %w", err)
	}
	if err := errors.Join(jpeg.Encode(file, picture, &jpeg.Options{Quality: 90}), file.Close()); err != nil {
		return fmt.Errorf("cannot keep an annotated picture: %w", err)
	}
	return nil
}
