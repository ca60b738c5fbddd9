package track_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"vedette/infer"
	"vedette/track"
)

// flock is n objects that move about at random, some of them over each other, as a detector sees them in so many frames. speed is the most that one moves in a second, each way.
func flock(n, frames int, speed float64) [][]infer.Detection {
	r := rand.New(rand.NewPCG(7, 7))
	type bird struct{ x, y, vx, vy, w, h float64 }
	birds := make([]bird, n)
	for i := range birds {
		birds[i] = bird{
			r.Float64(), r.Float64(), speed * (2*r.Float64() - 1), speed * (2*r.Float64() - 1),
			0.015 + 0.02*r.Float64(), 0.03 + 0.04*r.Float64(),
		}
	}
	seen := make([][]infer.Detection, frames)
	for k := range seen {
		for i := range birds {
			b := &birds[i]
			b.x, b.y = b.x+b.vx/10, b.y+b.vy/10
			if b.x < 0.05 || b.x > 0.95 {
				b.vx = -b.vx
			}
			if b.y < 0.05 || b.y > 0.95 {
				b.vy = -b.vy
			}
			d := infer.Detection{Class: i % 3, Score: 0.8, Box: infer.Box{
				X1: float32(b.x - b.w/2), Y1: float32(b.y - b.h/2), X2: float32(b.x + b.w/2), Y2: float32(b.y + b.h/2),
			}}
			if r.IntN(20) == 0 {
				d.Score = 0.2
			}
			seen[k] = append(seen[k], d)
		}
	}
	return seen
}

// watched has zones of many corners and lines, by ground point and by overlap.
func watched() track.Options {
	o := options()
	ring := func(cx, cy, size float32, corners int) (g track.Polygon) {
		for i := range corners {
			reach := size
			if i%2 == 1 {
				reach *= 0.7
			}
			g = append(g, track.Point{X: cx + reach*float32(cos(i, corners)), Y: cy + reach*float32(sin(i, corners))})
		}
		return g
	}
	o.Zones = []track.Zone{
		{Name: "a", Polygon: ring(0.3, 0.3, 0.25, 16), Inertia: 300 * time.Millisecond},
		{Name: "b", Polygon: ring(0.7, 0.7, 0.25, 16), Inertia: 300 * time.Millisecond, Overlap: 0.5},
		{Name: "c", Polygon: ring(0.5, 0.5, 0.4, 8), Inertia: 300 * time.Millisecond, Labels: []string{"person"}},
	}
	o.Lines = []track.Line{{Name: "l", From: track.Point{X: 0, Y: 0.5}, To: track.Point{X: 1, Y: 0.5}, Inertia: 300 * time.Millisecond}}
	return o
}

// BenchmarkUpdate is one frame at 10 frames a second through tracking, three zones and a line, with the events that there are.
func BenchmarkUpdate(b *testing.B) {
	benchmark(b, 0.02, 10, 100, 250, 500, 1000)
}

// BenchmarkSteady is the same while objects move so little that there is nothing to tell.
func BenchmarkSteady(b *testing.B) {
	benchmark(b, 0.0005, 10, 100)
}

func benchmark(b *testing.B, speed float64, sizes ...int) {
	labels := []string{"person", "car", "dog"}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			frames := flock(n, 200, speed)
			tracker := track.New(watched())
			at, k := time.Hour, 0
			step := func() {
				// To and fro, so that the film never jumps.
				at += 100 * time.Millisecond
				i := k % (2 * len(frames))
				if i >= len(frames) {
					i = 2*len(frames) - 1 - i
				}
				k++
				tracker.Update(track.Frame{Sequence: uint32(k), Monotonic: at, Labels: labels, Aspect: 16.0 / 9}, frames[i])
			}
			for range 2 * len(frames) {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/frame")
		})
	}
}
