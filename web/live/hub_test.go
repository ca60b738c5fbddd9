package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// sharing gives a hub that may take so much of a processor, on a machine of which so much idles.
func sharing(share, idles float64) *Hub {
	h := New(quietLog())
	h.share, h.idle = share, func() (float64, error) { return idles, nil }
	return h
}

// tell makes a "picture" that says what it is of.
func tell(pixels []byte, width int) ([]byte, error) {
	return fmt.Appendf(nil, "%s at %d", pixels, width), nil
}

func frame(sequence uint32) Frame {
	return Frame{
		Pixels: fmt.Appendf(nil, "frame %d", sequence), Sequence: sequence,
		Message: fmt.Appendf(nil, `{"sequence":%d}`, sequence), Encode: tell,
	}
}

// running gives a hub that makes pictures until the test ends.
func running(t *testing.T) *Hub {
	h := sharing(0.5, 0)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	all.Go(func() { h.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	return h
}

func TestNothingIsDoneForNobody(t *testing.T) {
	h := running(t)
	if h.Wants("yard") {
		t.Error("it wants a frame")
	}
	f := frame(1)
	f.Encode = func([]byte, int) ([]byte, error) {
		t.Error("a picture is made")
		return nil, nil
	}
	h.Show("yard", f)
	if allocs := testing.AllocsPerRun(100, func() { h.Show("yard", f) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	v, err := h.Watch([]string{"gate"}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if h.Wants("yard") {
		t.Error("it wants frames of a camera that nobody watches")
	}
	h.Show("yard", f)
}

func TestFramesComeWithTheirMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(quietLog())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() { h.Run(ctx) })
		wide, err := h.Watch([]string{"yard", "gate"}, 1200, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer wide.Close()
		slow, err := h.Watch([]string{"yard"}, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		got := map[string]int{}
		for i := range uint32(20) {
			f := frame(i)
			h.Show("yard", f)
			copy(f.Pixels, "XXXXX") // they are the shower's again
			h.Show("gate", frame(1000+i))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			for {
				p := wide.take()
				if p == nil {
					break
				}
				got[p.Camera]++
				if want := fmt.Sprintf(`{"sequence":%d}`, p.Sequence); string(p.Message) != want || string(p.JPEG) != fmt.Sprintf("frame %d at 1280", p.Sequence) {
					t.Errorf("%s %s with %s", p.Camera, p.JPEG, p.Message)
				}
			}
			if p := slow.take(); p != nil {
				got["slow"]++
				if string(p.JPEG) != fmt.Sprintf("frame %d at 640", p.Sequence) {
					t.Errorf("%s", p.JPEG)
				}
			}
		}
		if got["yard"] != 20 || got["gate"] != 20 || got["slow"] != 4 {
			t.Errorf("%v", got)
		}
		cancel()
		all.Wait()
	})
}

// Making pictures takes no more than its share of time and a sixth of what idles, whatever is asked for.
func TestPicturesTakeTheirShare(t *testing.T) {
	for idles, want := range map[float64]float64{0: 0.08, 0.6: 0.18, 16: 1} {
		synctest.Test(t, func(t *testing.T) {
			h := sharing(0.08, idles)
			run(t, h)
			var spent atomic.Int64
			f := frame(1)
			f.Encode = func([]byte, int) ([]byte, error) {
				time.Sleep(20 * time.Millisecond)
				spent.Add(int64(20 * time.Millisecond))
				return []byte("x"), nil
			}
			for _, width := range Widths() {
				v, err := h.Watch([]string{"yard"}, width, 15)
				if err != nil {
					t.Fatal(err)
				}
				defer v.Close()
			}
			const lasting = 30 * time.Second
			for began := time.Now(); time.Since(began) < lasting; time.Sleep(10 * time.Millisecond) {
				h.Show("yard", f)
				synctest.Wait()
			}
			if share := float64(spent.Load()) / float64(lasting); share > want+0.01 || share < want-0.03 {
				t.Errorf("a share of %.3f where %.1f processors idle, want %.2f", share, idles, want)
			}
		})
	}
}

// A machine that takes a second for a picture still shows one now and then.
func TestAStarvedMachineShowsSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(0.01, 0)
		run(t, h)
		f := frame(1)
		f.Encode = func([]byte, int) ([]byte, error) {
			time.Sleep(time.Second)
			return []byte("x"), nil
		}
		v, err := h.Watch([]string{"yard"}, 640, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		for range 200 {
			h.Show("yard", f)
			time.Sleep(100 * time.Millisecond)
		}
		if n := h.Stats().Pictures; n < 6 || n > 8 {
			t.Errorf("%d pictures in 20 s, want one every three", n)
		}
	})
}

// Whoever cannot know what idles takes the share alone, and says so once.
func TestUnknownIdleTimeIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		h := New(slog.New(slog.NewTextHandler(&text, nil)))
		h.idle = func() (float64, error) { return 0, errors.New("no such file") }
		run(t, h)
		v, err := h.Watch([]string{"yard"}, 640, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		for range 10 {
			h.Show("yard", frame(1))
			time.Sleep(time.Second)
		}
		if n := strings.Count(text.String(), "/proc/stat"); n != 1 || h.Stats().Pictures != 10 {
			t.Errorf("said %d times, %d pictures: %s", n, h.Stats().Pictures, &text)
		}
	})
}

func TestIdleProcessors(t *testing.T) {
	var i idle
	if n, err := i.now(); n != 0 || err != nil {
		t.Fatalf("%v, %v before anything is known", n, err)
	}
	i.at = i.at.Add(-2 * measureEvery)
	i.spent -= 1 // a second of idling in two
	n, err := i.now()
	if err != nil || n < 0.45 || n > 0.5+float64(runtime.NumCPU()) {
		t.Errorf("%v processors, %v", n, err)
	}
	if again, err := i.now(); again != n || err != nil {
		t.Errorf("%v, %v a moment later, %v before", again, err, n)
	}
}

// Failures are said once for a camera, whatever becomes of its other frames and of who watches.
func TestFailuresAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		h := New(slog.New(slog.NewTextHandler(&text, nil)))
		run(t, h)
		good, bad := frame(1), frame(2)
		bad.Encode = func([]byte, int) ([]byte, error) { return nil, errors.New("no such colour") }
		for range 5 {
			v, err := h.Watch([]string{"yard"}, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []Frame{bad, good, bad} {
				h.Show("yard", f)
				time.Sleep(time.Second)
			}
			v.Close()
		}
		if n := strings.Count(text.String(), "no such colour"); n != 1 || !strings.Contains(text.String(), "remedy=") {
			t.Errorf("said %d times: %s", n, text.String())
		}
		if s := h.Stats(); s.Failed != 10 || s.Pictures != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// run makes pictures until the test's bubble ends.
func run(t *testing.T, h *Hub) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	all.Go(func() { h.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
}

// A width that only a slow viewer has is made at that viewer's rate, one of several at once, and each gets what it asks for.
func TestPicturesAreMadeForWhoseTurnItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := sharing(0.9, 0)
		run(t, h)
		got := map[*Viewer]int{}
		var viewers []*Viewer
		for _, c := range []struct {
			width int
			rate  float64
		}{{640, 10}, {640, 10}, {640, 10}, {640, 4}, {1920, 1}} {
			v, err := h.Watch([]string{"yard"}, c.width, c.rate)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			viewers = append(viewers, v)
			time.Sleep(7 * time.Millisecond)
		}
		made := map[int]int{}
		var late time.Duration
		f := frame(1)
		f.Encode = func(_ []byte, width int) ([]byte, error) {
			late = (late + 17*time.Millisecond) % (60 * time.Millisecond) // not all pictures take the same time
			time.Sleep(late)
			made[width]++
			return []byte("x"), nil
		}
		const seconds = 20
		for began := time.Now(); time.Since(began) < seconds*time.Second; time.Sleep(time.Second / 15) { // no multiple of any rate
			h.Show("yard", f)
			synctest.Wait()
			for _, v := range viewers {
				if v.take() != nil {
					got[v]++
				}
			}
		}
		time.Sleep(time.Second) // what is in the making
		synctest.Wait()
		for i, v := range viewers {
			if want := v.rate * seconds; math.Abs(float64(got[v])-want) > 3 {
				t.Errorf("viewer %d gets %d pictures, and asks for %.0f", i, got[v], want)
			}
		}
		if math.Abs(float64(made[640]-10*seconds)) > 3 || math.Abs(float64(made[1920]-seconds)) > 3 {
			t.Errorf("pictures are made %v", made)
		}
	})
}

// What a camera showed until now is not shown any more: neither what waits for a viewer, nor what waits to be made, nor what is in the
// making.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(quietLog())
		run(t, h)
		v, err := h.Watch([]string{"yard", "gate"}, 0, 15)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			got := ""
			for p := v.take(); p != nil; p = v.take() {
				got += fmt.Sprintf(" %s:%s", p.Camera, p.Message)
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		h.Show("yard", frame(1))
		time.Sleep(time.Second)
		h.Show("gate", frame(2))
		time.Sleep(time.Second)
		h.Forget("yard")
		h.Forget("nobody")
		expect(` gate:{"sequence":2}`)

		slow := frame(3)
		slow.Encode = func(pixels []byte, width int) ([]byte, error) {
			time.Sleep(time.Second)
			return tell(pixels, width)
		}
		h.Show("yard", slow)
		time.Sleep(time.Second / 2) // it is in the making,
		h.Show("yard", frame(4))    // and this one waits
		h.Forget("yard")
		time.Sleep(time.Minute)
		expect("")
		h.Show("yard", frame(5))
		time.Sleep(time.Second)
		expect(` yard:{"sequence":5}`)
	})
}

func TestViewersAreBounded(t *testing.T) {
	h := New(quietLog())
	for range MaxViewers {
		v, err := h.Watch([]string{"yard"}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
	}
	if _, err := h.Watch([]string{"yard"}, 0, 0); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

func TestWidths(t *testing.T) {
	for asked, want := range map[int]int{0: 640, 1: 320, 320: 320, 321: 480, 1300: 1920, 9999: 1920} {
		if got := widthFor(asked); got != want {
			t.Errorf("%d: %d, want %d", asked, got, want)
		}
	}
}

// served shows camera yard at a server until the test ends.
func served(t *testing.T, h *Hub, size int) *httptest.Server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		big := bytes.Repeat([]byte{1}, size)
		for i := uint32(0); ctx.Err() == nil; i++ {
			f := frame(i)
			f.Encode = func([]byte, int) ([]byte, error) { return big, nil }
			h.Show("yard", f)
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mjpeg", func(w http.ResponseWriter, r *http.Request) {
		_ = h.ServeMJPEG(w, r, Ask{Cameras: []string{"yard"}, Rate: 15})
	})
	mux.HandleFunc("GET /parts", func(w http.ResponseWriter, r *http.Request) {
		_ = h.ServeParts(w, r, Ask{Cameras: []string{"yard"}, Rate: 15})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		cancel()
		all.Wait()
		server.Close()
	})
	return server
}

func TestPartsAreReadByAnyone(t *testing.T) {
	h := running(t)
	server := served(t, h, 5000)
	for _, path := range []string{"/mjpeg", "/parts"} {
		response, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		reader := multipart.NewReader(response.Body, params["boundary"])
		for i := range 6 {
			part, err := reader.NextPart()
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			kind := part.Header.Get("Content-Type")
			text, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			switch wantJSON := path == "/parts" && i%2 == 0; {
			case wantJSON && (kind != "application/json" || !strings.HasPrefix(string(text), `{"sequence":`)):
				t.Errorf("%s %d: %s %.40s", path, i, kind, text)
			case !wantJSON && (kind != "image/jpeg" || len(text) != 5000):
				t.Errorf("%s %d: %s of %d bytes", path, i, kind, len(text))
			}
		}
		response.Body.Close()
	}
	server.Client().CloseIdleConnections()
}

// A viewer that stops reading is dropped, and the others see on; memory is back when all have gone.
func TestViewerThatDoesNotReadIsDropped(t *testing.T) {
	h := running(t)
	server := served(t, h, 300_000)
	stuck, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprint(stuck, "GET /mjpeg HTTP/1.1\r\nHost: x\r\n\r\n") // and never reads
	response, err := server.Client().Get(server.URL + "/mjpeg")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	buffer := make([]byte, 64<<10)
	for deadline := time.Now().Add(60 * time.Second); h.Stats().Dropped == 0; {
		if _, err := response.Body.Read(buffer); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody is dropped")
		}
	}
	before := h.Stats()
	if before.Viewers != 1 || before.Dropped != 1 {
		t.Errorf("%+v", before)
	}
	for h.Stats().Pictures < before.Pictures+5 { // the other still gets pictures
		if _, err := response.Body.Read(buffer); err != nil {
			t.Fatal(err)
		}
	}
	response.Body.Close()
	server.Client().CloseIdleConnections()
	for h.Stats().Viewers > 0 {
		runtime.Gosched()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.cameras) != 0 {
		t.Errorf("%d cameras are kept", len(h.cameras))
	}
}
