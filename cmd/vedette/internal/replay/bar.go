package replay

import (
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// bar shows on a terminal how far a replay has come. A nil bar shows nothing.
type bar struct {
	to    io.Writer
	total int // frames; 0: nobody knows
	done  int
	began time.Time
	shown time.Time
}

const (
	barWidth = 30
	barEvery = 200 * time.Millisecond
)

func newBar(to io.Writer, items []item) *bar {
	b := &bar{to: to, began: time.Now()}
	for _, it := range items {
		n := 1
		if it.kind == video {
			n = framesIn(it.path)
		}
		if n == 0 {
			b.total = 0
			return b
		}
		b.total += n
	}
	return b
}

// framesIn asks ffprobe how many frames a file says that it has; 0 where it does not. Only the bar depends on it.
func framesIn(path string) int {
	out, err := exec.Command("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=nb_frames",
		"-of", "default=nokey=1:noprint_wrappers=1", "-i", path).Output()
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return 0
	}
	return n
}

// add counts a frame.
func (b *bar) add() {
	if b == nil {
		return
	}
	b.done++
	if now := time.Now(); now.Sub(b.shown) >= barEvery {
		b.shown = now
		b.show()
	}
}

func (b *bar) show() {
	rate := float64(b.done) / time.Since(b.began).Seconds()
	if b.total == 0 {
		fmt.Fprintf(b.to, "\r%d frames, %.1f/s ", b.done, rate)
		return
	}
	part := min(float64(b.done)/float64(b.total), 1)
	filled := int(part * barWidth)
	fmt.Fprintf(b.to, "\r[%s%s] %3.0f%% %d of %d frames, %.1f/s ", strings.Repeat("=", filled),
		strings.Repeat(" ", barWidth-filled), 100*part, b.done, b.total, rate)
}

// end leaves the terminal's next line to others.
func (b *bar) end() {
	if b != nil && b.done > 0 {
		b.show()
		fmt.Fprintln(b.to)
	}
}
