package stores

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"testing"
	"time"

	"vedette/mqtt"
	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// BenchmarkDrain gives 50,000 events of 1 KiB that wait on the disk to mosquitto, at QoS 1.
func BenchmarkDrain(b *testing.B) {
	const waiting = 50_000
	broker := mosquitto(b)
	topics, err := payload.NewTopics("vedette/{device}", "bench")
	if err != nil {
		b.Fatal(err)
	}
	config := mqtt.DefaultConfig()
	config.Brokers = []string{"tcp://" + broker}
	logger := slog.New(slog.DiscardHandler)
	var took time.Duration
	for range b.N {
		dir := folder(b)
		open := func() *outbox.Outbox {
			return outbox.Open(outbox.Options{
				Files: outbox.Folder(dir), Size: 1 << 30, Clock: func() outbox.Stamp { return outbox.Stamp{} }, Logger: logger,
			})
		}
		fill(b, open(), waiting)
		o := open()
		client, err := mqtt.New(mqtt.Options{Config: config, Topics: topics, ClientID: "bench", Outbox: o, Logger: logger})
		if err != nil {
			b.Fatal(err)
		}
		ctx, end := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- client.Run(ctx) }()
		for !client.Status().Connected {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		for client.Status().Outbox.Depth > 0 {
			time.Sleep(time.Millisecond)
		}
		took += time.Since(began)
		end()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if s := o.Status(); s.Acked != waiting || s.Dropped > 0 {
			b.Fatalf("%+v", s)
		}
	}
	b.ReportMetric(float64(waiting*b.N)/took.Seconds(), "events/s")
}

func fill(b *testing.B, o *outbox.Outbox, n int) {
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	l := &log{Outbox: o}
	event := make([]byte, size)
	for i := range n {
		for l.append(event); i%group == 0 && o.Status().InMemory > 1<<20; {
			time.Sleep(time.Millisecond)
		}
	}
	end()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if s := o.Status(); s.Dropped > 0 {
		b.Fatalf("%+v", s)
	}
}

// mosquitto runs a broker until the benchmark ends.
func mosquitto(b *testing.B) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = listener.Addr().String()
	_ = listener.Close()
	cmd := exec.Command("mosquitto", "-p", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	if err := cmd.Start(); err != nil {
		b.Skipf("mosquitto is missing: %v", err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return addr
		}
		time.Sleep(10 * time.Millisecond)
	}
}
