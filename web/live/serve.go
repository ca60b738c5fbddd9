package live

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// takeWithin is how long a viewer may take over one picture: then it is dropped.
const takeWithin = 5 * time.Second

// quiet is how long nothing may be written: a viewer that has gone without a word is found out by then.
const quiet = 10 * time.Second

// boundary parts the pictures of a stream.
const boundary = "vedette-frame"

// Ask is what a viewer wants, as its URL says: `width` in pixels and `rate` a second.
type Ask struct {
	Cameras []string
	Width   int
	Rate    float64
}

// ReadAsk reads the query of a request.
func ReadAsk(r *http.Request) (Ask, error) {
	var a Ask
	query := r.URL.Query()
	var err error
	if text := query.Get("width"); text != "" {
		if a.Width, err = strconv.Atoi(text); err != nil || a.Width < 1 || a.Width > 16384 {
			return a, fmt.Errorf("width=%.20q is not a number of pixels", text)
		}
	}
	if text := query.Get("rate"); text != "" {
		if a.Rate, err = strconv.ParseFloat(text, 64); err != nil || !(a.Rate > 0 && a.Rate <= 1000) {
			return a, fmt.Errorf("rate=%.20q is not a number of frames a second", text)
		}
	}
	a.Cameras = query["camera"]
	return a, nil
}

// ServeMJPEG shows one camera as a stream that browsers and recorders know: JPEG files, each in place of the one before.
func (h *Hub) ServeMJPEG(w http.ResponseWriter, r *http.Request, a Ask) error {
	return h.stream(w, r, a, "multipart/x-mixed-replace", func(w http.ResponseWriter, p *Picture) error {
		_, err := fmt.Fprintf(w, "--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\nX-Sequence: %d\r\n\r\n%s\r\n",
			boundary, len(p.JPEG), p.Sequence, p.JPEG)
		return err
	})
}

// ServeParts shows cameras as pairs of parts: what was seen in a frame, as JSON, and then the frame.
func (h *Hub) ServeParts(w http.ResponseWriter, r *http.Request, a Ask) error {
	return h.stream(w, r, a, "multipart/mixed", func(w http.ResponseWriter, p *Picture) error {
		_, err := fmt.Fprintf(w, "--%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s\r\n"+
			"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n",
			boundary, len(p.Message), p.Message, boundary, len(p.JPEG), p.JPEG)
		return err
	})
}

// stream writes pictures until the viewer has gone. Its error comes before anything is written.
func (h *Hub) stream(
	w http.ResponseWriter, r *http.Request, a Ask, kind string, write func(http.ResponseWriter, *Picture) error,
) error {
	v, err := h.Watch(a.Cameras, a.Width, a.Rate)
	if err != nil {
		return err
	}
	defer v.Close()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // that of the request's body would end the answer
	w.Header().Set("Content-Type", kind+"; boundary="+boundary)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy is not to collect it
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	for {
		p, err := v.nextWithin(r.Context(), quiet)
		if err != nil {
			return nil
		}
		began := time.Now()
		_ = control.SetWriteDeadline(began.Add(takeWithin))
		if p == nil { // white space between parts is nobody's
			_, err = w.Write([]byte("\r\n"))
		} else {
			err = write(w, p)
		}
		if err == nil {
			err = control.Flush()
		}
		switch {
		case err == nil:
			continue
		case time.Since(began) >= takeWithin: // HTTP/2 has another error for it than HTTP/1
			v.drop()
			h.logger.Info("a viewer that does not read is dropped", "remote", r.RemoteAddr, "waited", takeWithin)
		}
		return nil
	}
}

// nextWithin gives nil where there is no picture for so long.
func (v *Viewer) nextWithin(ctx context.Context, d time.Duration) (*Picture, error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	p, err := v.Next(within)
	if err != nil && ctx.Err() == nil {
		return nil, nil
	}
	return p, err
}

// Snapshot waits for one picture.
func (h *Hub) Snapshot(ctx context.Context, camera string, width int) (*Picture, error) {
	v, err := h.Watch([]string{camera}, width, MaxRate)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return v.Next(ctx)
}
