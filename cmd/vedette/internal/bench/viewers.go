package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"vedette/infer/wire"
)

// ViewerRate is what each viewer asks for, pictures a second.
const ViewerRate = 10

// Watched is the pipeline while viewers watch its live view, each reading MJPEG from the web server, in this process.
type Watched struct {
	Viewers int `json:"viewers"`
	// Ratio is the median over the blocks of the throughput with viewers / without, each with its neighbour in time.
	Ratio       float64 `json:"ratio"`
	RatioSpread Spread  `json:"ratio_spread"`
	Pictures    float64 `json:"pictures_per_viewer_s"`
	// Paced is the pictures that each viewer gets of a camera with as many frames a second as the viewer asks for.
	Paced      float64 `json:"paced_pictures_per_viewer_s"`
	HeapBefore float64 `json:"heap_before_mib"` // live memory of this process, before the first viewer and after the last
	HeapAfter  float64 `json:"heap_after_mib"`
}

// watched are the measurements with viewers, one for each block.
type watched struct {
	fps, pictures, paced []float64
	before, after        float64
}

// addWatched runs a block while o.Viewers watch, and one at a camera's usual pace.
func (m *measurements) addWatched(ctx context.Context, o Options, s *service) error {
	if m.watched.before == 0 {
		m.watched.before = heap()
	}
	stop := s.reel.run() // there is something to see
	count, leave, err := s.watch(ctx, o.Viewers)
	stop()
	if err != nil {
		return err
	}
	pictures := func(f func() error) (float64, error) { // a second, of each viewer, while f runs
		before, began := count(), wire.Monotonic()
		err := f()
		return float64(count()-before) / (wire.Monotonic() - began).Seconds() / float64(o.Viewers), err
	}
	var b block
	full, err := pictures(func() (err error) {
		b, err = s.block(ctx, o.Block)
		return err
	})
	if err != nil {
		return errors.Join(err, leave())
	}
	paced, err := pictures(func() error {
		_, err := s.paced(ctx, time.Second/ViewerRate, o.Block)
		return err
	})
	err = errors.Join(err, leave())
	m.watched.fps = append(m.watched.fps, b.fps)
	m.watched.pictures = append(m.watched.pictures, full)
	m.watched.paced = append(m.watched.paced, paced)
	m.watched.after = heap()
	return err
}

func (m *measurements) concludeWatched(viewers int) *Watched {
	var ratios []float64
	for i, fps := range m.watched.fps {
		ratios = append(ratios, fps/m.pipeline[i])
	}
	s := spread(ratios)
	return &Watched{
		Viewers: viewers, Ratio: round(median(ratios), 3),
		RatioSpread: Spread{round(s.Min, 3), round(s.P25, 3), round(s.P75, 3), round(s.Max, 3)},
		Pictures:    round(median(m.watched.pictures), 2), Paced: round(median(m.watched.paced), 2),
		HeapBefore: round(m.watched.before, 1), HeapAfter: round(m.watched.after, 1),
	}
}

// heap is what is alive, in MiB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return inMiB(int64(stats.HeapAlloc))
}

// watch starts viewers and waits until each has its first picture. count is how many all have had; leave ends them, and waits until the
// service knows.
func (s *service) watch(ctx context.Context, viewers int) (count func() uint64, leave func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var shown atomic.Uint64
	var all sync.WaitGroup
	first, failed := make(chan struct{}, viewers), make(chan error, viewers)
	url := fmt.Sprintf("http://%s/api/v1/cameras/%s/stream.mjpeg?rate=%d", s.pipeline.WebAddress(), cameraName, ViewerRate)
	transport := &http.Transport{}
	for range viewers {
		var once sync.Once
		all.Go(func() {
			if err := view(ctx, &http.Client{Transport: transport}, url, func() {
				shown.Add(1)
				once.Do(func() { first <- struct{}{} })
			}); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	leave = func() error {
		cancel()
		all.Wait()
		transport.CloseIdleConnections()
		for deadline := time.Now().Add(patience); s.pipeline.Viewers() > 0; {
			if time.Now().After(deadline) {
				return errors.New("viewers that have gone are still there for the service")
			}
			runtime.Gosched()
		}
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	}
	for range viewers {
		select {
		case <-first:
		case err = <-failed:
		case <-time.After(patience):
			err = errors.New("viewers get no pictures")
		}
		if err != nil {
			return nil, nil, errors.Join(err, leave())
		}
	}
	return shown.Load, leave, nil
}

// view reads pictures until ctx ends.
func view(ctx context.Context, client *http.Client, url string, shown func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	_, params, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	reader := multipart.NewReader(response.Body, params["boundary"])
	for {
		part, err := reader.NextPart()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, part); err != nil {
			return err
		}
		shown()
	}
}
