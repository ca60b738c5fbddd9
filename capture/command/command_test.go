package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sh(script string) capture.CommandConfig {
	return capture.CommandConfig{Argv: []string{"sh", "-c", script}, Format: "y4m", Timeout: time.Minute, Lossless: true}
}

func raw(script string) capture.CommandConfig {
	c := sh(script)
	c.Format, c.Size, c.Rate = "grey", capture.Size{Width: 4, Height: 2}, 25
	return c
}

// readAll reads frames until the stream ends. The log is in what it gives.
func readAll(t *testing.T, config capture.CommandConfig) (frames [][]byte, format capture.Format, log string, err error) {
	t.Helper()
	var out bytes.Buffer
	source, err := New(config, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stream, err := source.Open(ctx)
	if err != nil {
		return nil, capture.Format{}, out.String(), err
	}
	defer func() {
		if closeErr := stream.Close(); closeErr != nil {
			t.Error(closeErr)
		}
		log = out.String()
	}()
	for {
		frame, err := stream.Next(ctx)
		if err != nil {
			return frames, stream.Format(), "", err
		}
		if int(frame.Sequence) != len(frames) && config.Lossless {
			t.Errorf("frame %d has sequence number %d", len(frames), frame.Sequence)
		}
		frames = append(frames, bytes.Clone(frame.Data))
		frame.Release()
	}
}

func TestFFmpegsFramesArriveWhole(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not here to compare with")
	}
	scene := []string{"-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=10", "-frames:v", "20", "-pix_fmt", "yuv420p"}
	want, err := exec.Command("ffmpeg", append(scene, "-f", "rawvideo", "-")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	frames, format, _, err := readAll(t, capture.CommandConfig{
		Argv: append(append([]string{"ffmpeg"}, scene...), "-f", "yuv4mpegpipe", "-"), Format: "y4m", Lossless: true,
	})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if format.Pixel != capture.I420 || format.Width != 64 || format.Height != 48 || format.Interval != 100*time.Millisecond {
		t.Errorf("format %+v", format)
	}
	if !bytes.Equal(bytes.Join(frames, nil), want) {
		t.Errorf("%d frames differ from ffmpeg's raw video of %d bytes", len(frames), len(want))
	}
}

func TestRawFrames(t *testing.T) {
	frames, _, _, err := readAll(t, raw("printf abcdefghABCDEFGH"))
	if !errors.Is(err, io.EOF) || len(frames) != 2 || string(frames[1]) != "ABCDEFGH" {
		t.Errorf("%q, %v", frames, err)
	}
}

func TestEachWayToFailSaysWhatHappened(t *testing.T) {
	header := `printf 'YUV4MPEG2 W4 H2 F25:1 Cmono\n'; `
	short := sh("sleep 60")
	short.Timeout = 200 * time.Millisecond
	silent := raw("printf abcdefgh; sleep 60")
	silent.Timeout = 300 * time.Millisecond
	for _, c := range []struct {
		name   string
		config capture.CommandConfig
		frames int
		is     error
		says   []string
	}{
		{
			"no such program",
			capture.CommandConfig{Argv: []string{"no-such-program"}, Format: "y4m"},
			0, nil,
			[]string{"cannot start no-such-program"},
		},
		{
			"exit code and last line", sh(header + `printf 'FRAME\nabcdefgh'; echo oh >&2; echo no camera >&2; exit 7`), 1, nil,
			[]string{"exit status 7", "no camera"},
		},
		{"exit before the header", sh("echo gone >&2; exit 3"), 0, nil, []string{"exit status 3", "gone"}},
		{"killed", sh(header + "kill -9 $$"), 0, nil, []string{"signal: killed"}},
		{"silent from the start", short, 0, capture.ErrStalled, []string{"nothing within 200ms"}},
		{"silent later", silent, 1, capture.ErrStalled, []string{"nothing within 300ms"}},
		{"not Y4M", sh("echo hello"), 0, nil, []string{"byte 0", `"hello"`}},
		{"binary", sh("head -c 4096 /dev/zero"), 0, nil, []string{"byte "}},
		{"no size", sh(`printf 'YUV4MPEG2 F25:1\n'`), 0, nil, []string{"width or height is missing"}},
		{"huge", sh(`printf 'YUV4MPEG2 W65535 H65535\n'`), 0, nil, []string{"outside 1x1"}},
		{"interlaced", sh(`printf 'YUV4MPEG2 W4 H2 It\n'`), 0, nil, []string{"interlaced"}},
		{"4:4:4", sh(`printf 'YUV4MPEG2 W4 H2 C444\n'`), 0, nil, []string{`"444"`, "yuv420p"}},
		{"no frame", sh(header + `printf 'FRAME\nabcdefghJUNK\n'`), 1, nil, []string{"byte 42", `"JUNK"`}},
		{"cut frame", sh(header + `printf 'FRAME\nabc'`), 0, nil, []string{"byte 37", "cut off"}},
		{"cut raw frame", raw("printf abcdefghAB"), 1, nil, []string{"cut off", "size"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, _, _, err := readAll(t, c.config)
			if err == nil || len(frames) != c.frames || (c.is != nil && !errors.Is(err, c.is)) {
				t.Fatalf("%d frames and error %v, want %d and %v", len(frames), err, c.frames, c.is)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestNothingIsLeftOfAStubbornProgram(t *testing.T) {
	note := filepath.Join(t.TempDir(), "pid")
	source, err := New(raw(`trap '' TERM; sleep 300 & echo $! >`+note+`; printf abcdefgh; wait; wait`), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	// Close kills the group and reaps its leader; a grandchild is init's, and dies as soon as the scheduler lets it.
	stat := "/proc/" + strings.TrimSpace(string(pid)) + "/stat"
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		status, err := os.ReadFile(stat)
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the program's own child still runs: %s", status)
		}
	}
}

func TestALiveSourceGivesTheLatestFrame(t *testing.T) {
	config := raw(`for i in 1 2 3 4 5 6 7 8 9; do printf "frame00$i"; done; sleep 60`)
	config.Lossless = false
	source, err := New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var last string
	var seen uint64
	for last != "frame009" {
		frame, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = string(frame.Data)
		seen++
		frame.Release()
	}
	if dropped := stream.Dropped()[capture.DropSuperseded]; seen+dropped != 9 {
		t.Errorf("%d frames seen and %d superseded, of 9", seen, dropped)
	}
}

func TestSecretsComeByFileAndStayOutOfTheLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("rtsp://me:hunter2@cam/1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SERVICE_SECRET", "mine")
	config := raw(`echo "cannot open $CAMERA" >&2; printf "$CAMERA$SERVICE_SECRET" | head -c 8; exit 1`)
	config.EnvFile = map[string]string{"CAMERA": file}
	frames, _, log, err := readAll(t, config)
	if len(frames) != 1 || string(frames[0]) != "rtsp://m" {
		t.Errorf("frames %q: the program did not get its variable", frames)
	}
	if strings.Contains(fmt.Sprint(log, err), "hunter2") || !strings.Contains(log, "rtsp://me:***@cam/1") {
		t.Errorf("log %q, error %v", log, err)
	}
	source, err := New(capture.CommandConfig{Argv: []string{"ffmpeg", "-i", "rtsp://a:b@c/"}, Format: "y4m"}, slog.Default())
	if err != nil || strings.Contains(source.String(), ":b@") {
		t.Errorf("%v, %v", source, err)
	}
}

func FuzzY4M(f *testing.F) {
	f.Add([]byte("YUV4MPEG2 W4 H2 F25:1 Cmono\nFRAME\nabcdefghFRAME Ip\nABCDEFGH"))
	f.Add([]byte("YUV4MPEG2 W2 H2 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\nFRAME\nabcdef"))
	f.Add([]byte("YUV4MPEG2 W-1 H99999999999 F0:0\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		r, err := newY4MReader(bufio.NewReader(bytes.NewReader(input)))
		if err != nil {
			return
		}
		if err := r.format.Validate(); err != nil {
			t.Fatalf("a header was accepted that no frame can have: %v", err)
		}
		if r.format.FrameBytes() > 1<<20 {
			return
		}
		data := make([]byte, r.format.FrameBytes())
		for r.frame(data) == nil {
		}
	})
}
