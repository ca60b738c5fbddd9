package bestview

import (
	"context"
	"fmt"
	"image"
	"maps"
	"math"
	"time"

	"vedette/capture/picture"
	"vedette/infer"
)

// Why a view that was chosen did not become a picture.
const (
	ByRate   = "rate"   // a better one came before its turn
	ByMemory = "memory" // as many wait as may, or there are more labels than may have a picture
	BySize   = "size"   // it has too many bytes however small it is made
	ByFailed = "failed" // no picture can be made of the frame
)

// Stats are counts since the start.
type Stats struct {
	Published uint64
	Dropped   map[string]uint64 // by cause
}

func newDropped() map[string]uint64 {
	return map[string]uint64{ByRate: 0, ByMemory: 0, BySize: 0, ByFailed: 0}
}

// Stats of a Chooser that is nil are zeros.
func (c *Chooser) Stats() Stats {
	if c == nil {
		return Stats{Dropped: newDropped()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{c.stats.Published, maps.Clone(c.stats.Dropped)}
}

// Run makes pictures until ctx ends.
func (c *Chooser) Run(ctx context.Context) {
	said := false // that one could not be made
	for {
		cam, s, w, wait := c.next(time.Now())
		if w != nil {
			began := time.Now()
			file, err := c.encode(w)
			if c.finish(cam, s, w, file, err); err != nil && !said {
				said = true
				c.opts.Logger.Warn("no picture is made of a best view; further ones are only counted", "camera", cam.name, "label", s.label, "error", err)
			}
			// What it took is a part of the time that follows: so it never takes more than its share.
			wait = time.Duration(float64(time.Since(began)) * (1/c.share - 1))
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// next takes the view whose turn it has been for longest; where it is none's, it tells how long that takes.
func (c *Chooser) next(now time.Time) (cam *Camera, s *slot, w *view, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, candidate := range c.cameras {
		for _, each := range candidate.slots {
			if each.waiting != nil && (s == nil || each.due.Before(s.due)) {
				cam, s = candidate, each
			}
		}
	}
	switch {
	case s == nil:
		return nil, nil, nil, time.Hour
	case now.Before(s.due):
		return nil, nil, nil, s.due.Sub(now)
	}
	w, s.waiting, s.due = s.waiting, nil, now.Add(c.opts.Every)
	c.waiting--
	return cam, s, w, 0
}

// finish publishes a picture, unless its camera has been closed meanwhile.
func (c *Chooser) finish(cam *Camera, s *slot, w *view, file []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.stats.Dropped[ByFailed]++
	case file == nil:
		c.stats.Dropped[BySize]++
	case !cam.closed:
		c.stats.Published++
		c.opts.Publish(Picture{Camera: cam.name, Label: s.label, Part: s.part, Object: w.object, JPEG: file})
	}
}

// encode makes a picture of as many bytes as may be: at a lower quality, then smaller, where it has more. It gives nil where that is
// not enough.
func (c *Chooser) encode(w *view) ([]byte, error) {
	o := w.picture
	o.Coded = true
	upright := o.Upright()
	box := pixels(w.box, upright)
	if c.opts.Box {
		o.Frame = &box
	}
	if c.opts.Crop {
		crop := around(box, upright)
		o.Crop = &crop
	}
	for _, try := range []struct{ quality, width int }{
		{picture.Quality, c.opts.Width}, {50, c.opts.Width}, {30, c.opts.Width}, {50, c.opts.Width / 2}, {30, c.opts.Width / 4},
	} {
		o.Quality, o.Width = try.quality, max(try.width, 16)
		file, err := c.encoder.Encode(w.pixels, o)
		if err != nil {
			return nil, fmt.Errorf("of %dx%d pixels: %w", upright.Dx(), upright.Dy(), err)
		}
		if len(file) <= c.opts.MaxBytes {
			return file, nil
		}
	}
	return nil, nil
}

// pixels brings a box to a picture's pixels.
func pixels(b infer.Box, in image.Rectangle) image.Rectangle {
	x := func(v float32) int { return int(math.Round(float64(v) * float64(in.Dx()))) }
	y := func(v float32) int { return int(math.Round(float64(v) * float64(in.Dy()))) }
	return image.Rect(x(b.X1), y(b.Y1), x(b.X2), y(b.Y2))
}

// leastCrop is the least side of a crop, in pixels: what is smaller shows nothing.
const leastCrop = 64

// around widens a box by a quarter of its size on each side.
func around(box, in image.Rectangle) image.Rectangle {
	dx := max(box.Dx()/4, (leastCrop-box.Dx())/2)
	dy := max(box.Dy()/4, (leastCrop-box.Dy())/2)
	return image.Rect(box.Min.X-dx, box.Min.Y-dy, box.Max.X+dx, box.Max.Y+dy).Intersect(in)
}
