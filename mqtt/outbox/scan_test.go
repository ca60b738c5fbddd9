package outbox

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// sample is a segment with messages of several sizes and an acknowledgement, and where its records begin.
func sample() (data []byte, begins []int) {
	data = header{Epoch{1, 2, 3}, Stamp{Uptime: time.Hour, Wall: time.Unix(1e9, 0), Synced: true}}.append(nil)
	for i, size := range []int{10, 0, 700, 3000, 40, 40, 5000} {
		begins = append(begins, len(data))
		start := len(data)
		data = beginMessage(data, fmt.Sprintf("vedette/test/yard/events%d", i))
		data = append(data, bytes.Repeat([]byte{byte('a' + i)}, size)...)
		endRecord(data, start, message, uint64(i+1))
		if i == 3 {
			begins = append(begins, len(data))
			data = appendRecord(data, acknowledged, 2, nil)
		}
	}
	begins = append(begins, len(data))
	return appendRecord(data, closed, 7, nil), begins
}

func offsets(data []byte) (found []int, d damage) {
	_, d = scan(data, func(_ record, at int) { found = append(found, at) })
	return found, d
}

func TestScanPassesOverWhatIsDamaged(t *testing.T) {
	whole, begins := sample()
	if found, d := offsets(whole); !slices.Equal(found, begins) || d != (damage{}) {
		t.Fatalf("of a good segment it finds %v of %v, damage %+v", found, begins, d)
	}
	end := func(i int) int {
		if i+1 < len(begins) {
			return begins[i+1]
		}
		return len(whole)
	}
	check := func(name string, data []byte, from, to int) {
		var want []int
		for i, at := range begins {
			if end(i) <= from || at >= to {
				want = append(want, at)
			}
		}
		found, d := offsets(data)
		if !slices.Equal(found, want) {
			t.Errorf("%s: it finds %v, not %v", name, found, want)
		}
		if d.stretches != 1 {
			t.Errorf("%s: damage is %+v", name, d)
		}
	}
	for at := range whole { // a flipped bit anywhere
		data := bytes.Clone(whole)
		data[at] ^= 1 << (at % 8)
		check(fmt.Sprintf("bit in byte %d", at), data, at, at+1)
	}
	for from := 0; from < len(whole); from += 512 { // a sector of zeros anywhere
		to := min(from+512, len(whole))
		data := bytes.Clone(whole)
		clear(data[from:to])
		check(fmt.Sprintf("zeros at %d", from), data, from, to)
	}
	for size := headerSize + 1; size < len(whole); size++ { // a torn tail
		if !slices.Contains(begins, size) {
			check(fmt.Sprintf("cut to %d", size), whole[:size], size, len(whole))
		}
	}
}

// FuzzScan: whatever a segment holds, what is found lies within it, in order, does not overlap, and is good by itself.
func FuzzScan(f *testing.F) {
	whole, _ := sample()
	f.Add(whole)
	f.Add(whole[:headerSize])
	f.Add(whole[100:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		end, last, bad := 0, uint64(0), 0
		h, d := scan(data, func(r record, at int) {
			size := recordHead + len(r.body)
			if at < end || at+size > len(data) {
				t.Fatalf("a record at %d of %d bytes, after %d", at, size, end)
			}
			bad += at - end
			end = at + size
			if r.kind == message {
				if r.seq <= last {
					t.Fatalf("message %d after %d", r.seq, last)
				}
				last = r.seq
			}
			if again := appendRecord(nil, r.kind, r.seq, r.body); !bytes.Equal(again, data[at:end]) {
				t.Fatalf("the record at %d is %x, written anew it is %x", at, data[at:end], again)
			}
		})
		bad += len(data) - end
		if !d.header {
			bad -= headerSize
			if again := h.append(nil); len(again) != headerSize {
				t.Fatal("no header")
			}
		}
		if bad != d.bytes {
			t.Fatalf("%d bytes are not in records, the damage says %+v", bad, d)
		}
	})
}

// FuzzOpen: an outbox opens whatever lies in its folder, takes messages, and gives them out.
func FuzzOpen(f *testing.F) {
	whole, begins := sample()
	f.Add(whole, whole[:begins[3]])
	f.Add([]byte("x"), []byte{})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		disk := newFakeDisk()
		for i, content := range [][]byte{one, two} {
			name := fileName(uint64(i + 1))
			disk.files[name] = &fakeFile{disk: disk, cache: content, named: true}
		}
		o := Open(Options{Files: disk, Clock: testClock, Logger: slog.New(slog.DiscardHandler)})
		err := o.Append("t", func(dst []byte, _ string, _ uint64) []byte { return append(dst, "the new one"...) })
		if err != nil {
			t.Fatal(err)
		}
		depth := o.Status().Depth
		came, last := 0, ""
		for {
			m, ok := o.Next()
			if !ok {
				o.step(time.Now())
				if m, ok = o.Next(); !ok {
					break
				}
			}
			came, last = came+1, string(m.Payload)
			o.Ack(m)
		}
		if came != depth || last != "the new one" || o.Status().Depth != 0 {
			t.Fatalf("%d came of %d, %q the last; %+v", came, depth, last, o.Status())
		}
		if err := o.close(); err != nil {
			t.Fatal(err)
		}
		again := Open(Options{Files: disk, Clock: testClock, Logger: slog.New(slog.DiscardHandler)})
		if again.Status().Depth != 0 {
			t.Fatalf("after everything was acknowledged: %+v", again.Status())
		}
	})
}
