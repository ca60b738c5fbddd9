package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"vedette/capture"
	"vedette/infer/client"
)

// shape is what tells streams apart.
type shape struct {
	pixel         capture.PixelFormat
	width, height int
	matrix        capture.Matrix
	span          capture.Range
}

// frame is one frame on its way to the workers.
type frame struct {
	place   uint64 // in the output
	name    string // of the file
	number  int    // in the file
	seconds float64
	data    []byte

	sequence uint32 // in its stream
}

// stream is frames of one shape, in the order of the output. What was submitted and does not come back has failed: the
// client hands results on in the order of submission, so that the next result tells.
type stream struct {
	client *client.Stream
	format capture.Format
	out    *writer

	painter painter

	count uint32 // numbers frames; of submit's goroutine

	mu   sync.Mutex // guards sent
	sent []frame    // without their data
}

// maxStreams bounds the rings that are open at a time: a folder may have pictures of any number of sizes.
const maxStreams = 8

// stream gives the open stream for frames of a format, and opens it where there is none.
func (r *run) stream(f capture.Format) (*stream, error) {
	key := shape{f.Pixel, f.Width, f.Height, f.Matrix, f.Range}
	old, ok := r.streams[key]
	if ok && old.format.SizeImage >= f.SizeImage {
		return old, nil
	}
	for other, s := range r.streams {
		// This file is larger than its stream has room for; or any makes room, as what is written does not depend on it.
		if ok && s != old || !ok && len(r.streams) < maxStreams {
			continue
		}
		delete(r.streams, other)
		if err := s.close(r.ctx); err != nil {
			return nil, err
		}
	}
	s := &stream{format: f, out: r.out}
	var err error
	s.client, err = r.client.OpenStream(client.StreamOptions{
		Name: fmt.Sprintf("replay-%dx%d", f.Width, f.Height), Format: f, Handle: s.handle,
	})
	if err != nil {
		return nil, err
	}
	r.streams[key] = s
	return s, nil
}

func (s *stream) submit(ctx context.Context, f frame) error {
	s.count++
	captured := capture.NewFrame(f.data, s.count, time.Duration(f.place), time.Time{}, nil)
	f.data, f.sequence = nil, s.count
	s.mu.Lock()
	s.sent = append(s.sent, f)
	s.mu.Unlock()
	return s.client.Submit(ctx, captured)
}

// handle is called in the order of submission, on the stream's own goroutine.
func (s *stream) handle(r *client.Result) {
	for {
		s.mu.Lock()
		f := s.sent[0]
		s.sent = slices.Delete(s.sent, 0, 1)
		s.mu.Unlock()
		if f.sequence == r.Sequence {
			s.out.found(f, s, r)
			return
		}
		s.out.failed(f, s.format)
	}
}

// settle waits for the results that are missing; what has none then has failed.
func (s *stream) settle(ctx context.Context) error {
	if err := s.client.Drain(ctx); err != nil {
		return err
	}
	for _, f := range s.sent {
		s.out.failed(f, s.format)
	}
	s.sent = s.sent[:0]
	return nil
}

func (s *stream) close(ctx context.Context) error {
	err := s.settle(ctx)
	err = errors.Join(err, s.client.Close())
	s.painter.close()
	return err
}
