// Package live shows cameras' frames to whoever watches, with what was seen in each.
//
// Nothing is done while nobody watches. A frame that is shown costs its camera's goroutine one copy; it becomes a JPEG file on the hub's
// own goroutine, once for all viewers of a width whose turn it is, and that may use a small share of the machine only, and a sixth of what
// nobody else uses: then frames are left out, for all alike. A viewer that does not keep up misses frames, and one that takes none is dropped.
package live

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on what viewers may ask for.
const (
	MaxRate     = 15 // frames a second
	DefaultRate = 10
	MaxViewers  = 16
	MaxCameras  = 16 // of one viewer
)

// share is how much of all processors' time making pictures may take where a model keeps them busy. A session whose threads wait for each other loses more than what is
// taken from one of them: with 0.04 of two cores 5 viewers cost it 5.7% of its throughput, with 0.02 1.2% (docs/PERFORMANCE.md).
const share = 0.02

// longestRest is how long no picture is made at most, however long the last one took: a viewer sees a starved machine, too.
const longestRest = 2 * time.Second

// Widths are what pictures may be scaled to, so that viewers share them.
func Widths() []int { return []int{320, 480, 640, 960, 1280, 1920} }

// DefaultWidth is what a page shows well.
const DefaultWidth = 640

// Frame is one frame, as whoever shows it knows it.
type Frame struct {
	Pixels   []byte // valid until Show returns
	Sequence uint32
	// Message describes the frame as JSON: what was seen in it. Valid until Show returns.
	Message []byte
	// Encode makes a JPEG file of at most so many pixels across from a copy of Pixels. It is called on the hub's goroutine.
	Encode func(pixels []byte, width int) ([]byte, error)
}

// Picture is what a viewer gets.
type Picture struct {
	Camera   string
	Sequence uint32
	Message  []byte // JSON; not to be changed
	JPEG     []byte // not to be changed
}

// Stats are the hub's counts since its start.
type Stats struct {
	Viewers  int    // now
	Dropped  uint64 // viewers that took nothing
	Pictures uint64 // JPEG files made
	Failed   uint64 // frames that could not be made into one
}

// Hub brings frames to viewers. Its methods may be called from any goroutine.
type Hub struct {
	logger *slog.Logger
	share  float64                 // of one processor, where none idles
	idle   func() (float64, error) // processors
	wake   chan struct{}
	anyone atomic.Int32 // viewers: what Show looks at first

	mu      sync.Mutex // guards the rest; never held over a copy or while a picture is made
	cameras map[string]*camera
	turn    []string // cameras with a frame that waits, first come, first served
	viewers map[*Viewer]struct{}
	told    map[string]struct{} // cameras of which it was said that a frame could not be made into a picture
	stats   Stats
}

// camera is what the hub knows of one that is watched.
type camera struct {
	viewers []*Viewer
	taking  pace // of frames
	copying bool
	waiting *waiting // nil: no frame waits
	free    []byte   // memory for the next
}

// waiting is a frame that is yet to become a picture.
type waiting struct {
	pixels, message []byte
	sequence        uint32
	at              time.Time // when it was shown
	encode          func([]byte, int) ([]byte, error)
}

// New makes a hub without viewers.
func New(logger *slog.Logger) *Hub {
	return &Hub{
		logger: logger, share: share * float64(runtime.NumCPU()), idle: new(idle).now, wake: make(chan struct{}, 1),
		cameras: map[string]*camera{}, viewers: map[*Viewer]struct{}{}, told: map[string]struct{}{},
	}
}

// Stats may be called from any goroutine.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Viewers = len(h.viewers)
	return s
}

// Wants tells whether Show would take a frame of a camera now.
func (h *Hub) Wants(name string) bool {
	if h.anyone.Load() == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wants(name, time.Now())
}

// wants is for under the lock.
func (h *Hub) wants(name string, now time.Time) bool {
	c, ok := h.cameras[name]
	if !ok || c.copying {
		return false
	}
	fastest := c.fastest()
	return fastest > 0 && c.taking.due(now, fastest)
}

// fastest is the greatest rate that a viewer asks for; 0 where there is none.
func (c *camera) fastest() (rate float64) {
	for _, v := range c.viewers {
		rate = max(rate, v.rate)
	}
	return rate
}

// Show takes a frame where somebody wants it: it is copied. It never blocks. A frame that still waits is left out for it.
func (h *Hub) Show(name string, f Frame) {
	if h.anyone.Load() == 0 {
		return
	}
	now := time.Now()
	h.mu.Lock()
	if !h.wants(name, now) {
		h.mu.Unlock()
		return
	}
	c := h.cameras[name]
	c.copying = true
	c.taking.take(now, c.fastest())
	memory := c.free
	c.free = nil
	h.mu.Unlock()

	next := &waiting{
		pixels: append(memory[:0], f.Pixels...), message: slices.Clone(f.Message), sequence: f.Sequence, at: now, encode: f.Encode,
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	c.copying = false
	if h.cameras[name] != c { // the last viewer has gone, or the frame is to be forgotten
		return
	}
	if c.waiting == nil {
		h.turn = append(h.turn, name)
	} else {
		c.free = c.waiting.pixels
	}
	c.waiting = next
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run makes pictures until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	blind := false
	for {
		name, c, frame, widths := h.next()
		if frame == nil {
			select {
			case <-h.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		for _, width := range widths {
			h.make(name, c, frame, width)
		}
		h.giveBack(c, frame)
		idle, err := h.idle()
		if err != nil && !blind {
			h.logger.Warn("idle processors are not known; live pictures are made as if there were none", "error", err,
				"remedy", "let the service read /proc/stat: no ProcSubset=pid, and /proc mounted")
		}
		blind = err != nil
		// What it took is a part of the time that follows: so it takes no more than its share.
		rest := min(time.Duration(float64(time.Since(began))*(1/min(h.share+idle/6, 1)-1)), longestRest)
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
	}
}

// next takes the frame that has waited longest, with the widths of the viewers whose turn it is.
func (h *Hub) next() (string, *camera, *waiting, []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.turn) > 0 {
		name := h.turn[0]
		h.turn = slices.Delete(h.turn, 0, 1)
		c, ok := h.cameras[name]
		if !ok || c.waiting == nil {
			continue
		}
		frame := c.waiting
		c.waiting = nil
		var widths []int
		for _, v := range c.viewers {
			if v.due(name, frame.at) && !slices.Contains(widths, v.width) {
				widths = append(widths, v.width)
			}
		}
		return name, c, frame, widths
	}
	return "", nil, nil, nil
}

// make makes one picture and gives it to the viewers of its width whose turn it is.
func (h *Hub) make(name string, c *camera, f *waiting, width int) {
	file, err := f.encode(f.pixels, width)
	h.mu.Lock()
	if h.cameras[name] != c { // nobody watches any more, or the frame is to be forgotten
		h.mu.Unlock()
		return
	}
	_, told := h.told[name]
	if err != nil {
		h.stats.Failed++
		h.told[name] = struct{}{}
	} else {
		h.stats.Pictures++
		picture := &Picture{name, f.sequence, f.message, file}
		for _, v := range c.viewers {
			if v.width == width {
				v.give(picture, f.at)
			}
		}
	}
	h.mu.Unlock()
	if err != nil && !told {
		h.logger.Warn("a frame cannot be shown live; further ones of its camera are counted without a word", "camera", name, "seq", f.sequence,
			"error", err, "remedy", "give the camera another of its formats or an even size; one bad frame now and then needs nothing")
	}
}

// Forget drops what there is of a camera's pictures, made or in the making: they may show what is to be hidden from now on. What Show
// gets from now on is shown.
func (h *Hub) Forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.told, name) // it may be another camera now
	c, ok := h.cameras[name]
	if !ok {
		return
	}
	h.cameras[name] = &camera{viewers: c.viewers} // by which Show and make know that theirs is over
	h.turn = slices.DeleteFunc(h.turn, func(other string) bool { return other == name })
	for _, v := range c.viewers {
		v.forget(name)
	}
}

func (h *Hub) giveBack(c *camera, f *waiting) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(c.viewers) > 0 && c.free == nil {
		c.free = f.pixels
	}
}
