package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

func testClock() Stamp { return Stamp{Uptime: time.Since(began), Wall: time.Now(), Synced: true} }

var began = time.Now()

func opts(dir string) Options {
	return Options{Files: Folder(dir), Clock: testClock, Logger: slog.New(slog.DiscardHandler)}
}

func TestBasics(t *testing.T) {
	dir := t.TempDir()
	total := 0
	for life := range 3 {
		o := Open(opts(dir))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- o.Run(ctx) }()
		st := o.Status()
		t.Logf("%+v", st)
		if st.Depth != total {
			t.Fatalf("life %d: depth %d, want %d", life, st.Depth, total)
		}
		for i := range 2000 {
			err := o.Append("a/b", func(dst []byte, epoch string, seq uint64) []byte {
				return fmt.Appendf(dst, "%s %d %d %0500d", epoch, seq, i, 0)
			})
			if err != nil {
				t.Fatal(err)
			}
			total++
		}
		for n := 0; n < 1000; {
			m, ok := o.Next()
			if !ok {
				<-o.Ready()
				continue
			}
			n++
			o.Ack(m)
			total--
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", o.Status())
	}
}
