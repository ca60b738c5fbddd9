package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"vedette/web/live"
)

// pictureWithin is how long a snapshot waits for the camera's next frame.
const pictureWithin = 5 * time.Second

// snapshot answers with the camera's next frame.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	ask, ok := s.ask(w, r, r.PathValue("camera"))
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pictureWithin)
	defer cancel()
	picture, err := s.opts.Live.Snapshot(ctx, ask.Cameras[0], ask.Width)
	switch {
	case errors.Is(err, live.ErrFull):
		answer(w, http.StatusServiceUnavailable, problem{err.Error()})
	case err != nil:
		answer(w, http.StatusServiceUnavailable, problem{fmt.Sprintf("no picture came within %v: GET /readyz says how the camera is", pictureWithin)})
	default:
		h := w.Header()
		h.Set("Content-Type", "image/jpeg")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Sequence", fmt.Sprint(picture.Sequence))
		_, _ = w.Write(picture.JPEG) // fails where the client has gone
	}
}

// shot answers with an event's picture.
func (s *Server) shot(w http.ResponseWriter, r *http.Request) {
	picture := s.opts.Documents.Shot(r.PathValue("id"))
	if picture == nil {
		answer(w, http.StatusNotFound, problem{"there is no picture of this event, or it is kept no more"})
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Cache-Control", "no-store") // a mask may come to hide what it shows
	_, _ = w.Write(picture)                     // fails where the client has gone
}

// mjpeg shows one camera for as long as somebody watches.
func (s *Server) mjpeg(w http.ResponseWriter, r *http.Request) {
	if ask, ok := s.ask(w, r, r.PathValue("camera")); ok {
		s.streamed(w, s.opts.Live.ServeMJPEG(w, r, ask))
	}
}

// live shows several cameras, each frame with what was seen in it.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if ask, ok := s.ask(w, r, r.URL.Query()["camera"]...); ok {
		s.streamed(w, s.opts.Live.ServeParts(w, r, ask))
	}
}

// streamed answers where a stream did not begin.
func (s *Server) streamed(w http.ResponseWriter, err error) {
	if err != nil {
		answer(w, http.StatusServiceUnavailable, problem{err.Error()})
	}
}

// ask reads what a viewer wants; it has answered where that is nothing that there is.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, cameras ...string) (live.Ask, bool) {
	ask, err := live.ReadAsk(r)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return ask, false
	}
	slices.Sort(cameras)
	ask.Cameras = slices.Compact(cameras)
	if len(ask.Cameras) == 0 || len(ask.Cameras) > live.MaxCameras {
		answer(w, http.StatusBadRequest, problem{fmt.Sprintf("name 1 to %d cameras, as in ?camera=yard", live.MaxCameras)})
		return ask, false
	}
	known := s.opts.Documents.Names()
	for _, name := range ask.Cameras {
		if !slices.Contains(known, name) {
			answer(w, http.StatusNotFound, problem{fmt.Sprintf("there is no camera %.40q: GET /api/v1/cameras lists them", name)})
			return ask, false
		}
	}
	return ask, true
}
