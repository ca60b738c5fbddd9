// Package bestview chooses the best view that a camera has had of each label's objects, as JPEG.
//
// Of one label it is the best view of the object that is there; when that has gone, it stays until another comes. Views are
// measured by track.Quality. A view that is chosen waits, as a copy of its frame, until its label's turn has come: a better one takes its
// place. Pictures are made on a goroutine of their own, which takes a small share of the machine.
package bestview

import (
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"vedette/capture/picture"
	"vedette/infer"
	"vedette/mqtt/payload"
	"vedette/track"
)

// Options are what a Chooser goes by.
type Options struct {
	Every    time.Duration // least time between two pictures of one camera and label
	Width    int           // most pixels across
	MaxBytes int           // of a picture
	Box      bool          // whether the object's box is drawn
	Crop     bool          // whether the picture is of the object and what is close to it
	// Publish is given each picture, in memory of its own. It must not block: the Chooser's lock is held, so that after Camera.Close
	// nothing of that camera comes.
	Publish func(Picture)
	Logger  *slog.Logger
}

// Picture is a best view.
type Picture struct {
	Camera string
	Label  string // as the model has it
	Part   string // as topics have it
	Object string // its id
	JPEG   []byte
}

// Frame is one frame, as whoever offers it knows it.
type Frame struct {
	Pixels  []byte          // valid until Offer returns
	Picture picture.Options // how a picture of it is made: its format and turn, and what has to be hidden
}

// betterBy is how much the quality of a view of an object has to grow for another picture: as much as for an update.
const betterBy = 1.1

// Bounds. Each view that waits is a frame in memory, each label a picture that the MQTT client keeps.
const (
	maxWaiting = 4
	maxSlots   = 64
)

// share is how much of all processors making pictures may take, as the live view's.
const share = 0.04

// Chooser chooses for all cameras. Its methods may be called from any goroutine.
type Chooser struct {
	opts    Options
	share   float64       // of one processor
	wake    chan struct{} // a view waits. One is enough: each is looked at
	encoder picture.Encoder

	mu      sync.Mutex // guards the rest; held while a frame that was chosen is copied, never while a picture is made
	cameras []*Camera
	slots   int
	waiting int
	stats   Stats
}

// Camera is one camera's side of it.
type Camera struct {
	chooser *Chooser
	name    string
	closed  bool
	slots   []*slot
}

// slot is the best view of one label.
type slot struct {
	label, part string
	object      string  // whose view was chosen last
	quality     float32 // of it
	due         time.Time
	waiting     *view // nil: none does

	best    int // in Offer: the index of the frame's best sighting of the label; -1: it has none
	bestAt  float32
	present bool // in Offer: whether object is still there
}

// view is one that waits.
type view struct {
	object  string
	pixels  []byte
	picture picture.Options
	box     infer.Box
}

// New makes a Chooser without cameras.
func New(opts Options) *Chooser {
	return &Chooser{
		opts: opts, share: share * float64(runtime.NumCPU()), wake: make(chan struct{}, 1), stats: Stats{Dropped: newDropped()},
	}
}

// Camera begins a camera. A Chooser that is nil gives one that takes nothing.
func (c *Chooser) Camera(name string) *Camera {
	cam := &Camera{chooser: c, name: name}
	if c == nil {
		return cam
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cameras = append(c.cameras, cam)
	return cam
}

// Close forgets the camera: no picture of a frame that was offered before comes after it.
func (v *Camera) Close() {
	c := v.chooser
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.closed = true
	c.cameras = slices.DeleteFunc(c.cameras, func(other *Camera) bool { return other == v })
	c.slots -= len(v.slots)
	for _, s := range v.slots {
		if s.waiting != nil {
			s.waiting = nil
			c.waiting--
		}
	}
	v.slots = nil
}

// Wants tells whether Offer looks at frames at all.
func (v *Camera) Wants() bool { return v.chooser != nil }

// Offer looks at a frame with what was seen in it, of believed objects. It copies the frame where one is seen better than before.
func (v *Camera) Offer(f Frame, sightings []track.Sighting) {
	c := v.chooser
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.closed {
		return
	}
	for _, s := range v.slots {
		s.best, s.bestAt, s.present = -1, 0, false
	}
	for i := range sightings {
		v.consider(sightings, i)
	}
	for _, s := range v.slots {
		free := !s.present && s.waiting == nil // what an object that has gone left to be shown is shown
		if s.best >= 0 && (free || s.bestAt >= betterBy*s.quality) {
			v.choose(s, f, sightings[s.best])
		}
	}
}

// consider finds the best sighting of each label in a frame.
func (v *Camera) consider(sightings []track.Sighting, i int) {
	sighting := &sightings[i]
	for _, s := range v.slots {
		s.present = s.present || s.object == sighting.ID
	}
	if sighting.Predicted {
		return
	}
	s := v.slot(sighting)
	if s == nil {
		v.chooser.stats.Dropped[ByMemory]++
		return
	}
	if q := track.Quality(sighting.Box, sighting.Score); q > s.bestAt {
		s.best, s.bestAt = i, q
	}
}

// slot gives a label's, nil where there is no room for one more. Labels that are the same as parts of topics share one.
func (v *Camera) slot(sighting *track.Sighting) *slot {
	for _, s := range v.slots {
		if s.label == sighting.Label && s.label != "" { // classes without a label are told apart by their number
			return s
		}
	}
	part := payload.LabelPart(sighting.Label, sighting.Class)
	for _, s := range v.slots {
		if s.part == part {
			return s
		}
	}
	if v.chooser.slots >= maxSlots {
		return nil
	}
	s := &slot{label: sighting.Label, part: part, best: -1}
	v.slots = append(v.slots, s)
	v.chooser.slots++
	return s
}

// choose lets a view wait, in the place of one that does.
func (v *Camera) choose(s *slot, f Frame, sighting track.Sighting) {
	c := v.chooser
	switch {
	case s.waiting != nil:
		c.stats.Dropped[ByRate]++
	case c.waiting >= maxWaiting:
		c.stats.Dropped[ByMemory]++
		return
	default:
		s.waiting = &view{}
		c.waiting++
	}
	w := s.waiting
	w.object, w.pixels, w.picture, w.box = sighting.ID, append(w.pixels[:0], f.Pixels...), f.Picture, sighting.Box
	s.object, s.quality = sighting.ID, s.bestAt
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
