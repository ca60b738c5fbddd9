package outbox

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var seeds = flag.Int("seeds", 2, "how many random times the outbox lives through; make nightly takes more")

// made is a message as the test knows it.
type made struct {
	text  string
	epoch string
	seq   uint64
	acked bool
	safe  bool // it had said that the disk has it
	cache bool // it had written it
}

// model is an outbox beside the list of what was put into it.
type model struct {
	t    *testing.T
	rand *rand.Rand
	disk *fakeDisk
	*Outbox

	all     []*made
	byText  map[string]*made
	taken   []Message
	dropped uint64 // in earlier lives
}

func (m *model) open() {
	m.Outbox = Open(Options{
		Files: m.disk, Clock: testClock, Logger: slog.New(slog.DiscardHandler), Size: LeastSize,
	})
	m.taken = nil
}

// someTimes does what an outbox may live through, in an order that the seed decides.
func (m *model) someTimes(steps int) {
	for range steps {
		if m.disk.crashed {
			return
		}
		switch n := m.rand.IntN(20); {
		case n < 7:
			m.append(1 + m.rand.IntN(40))
		case n < 11:
			m.take(m.rand.IntN(30))
		case n < 14:
			m.ack(m.rand.IntN(30))
		case n < 15:
			m.Rewind()
			m.taken = nil
		case n < 18:
			m.look()
		case n < 19:
			time.Sleep(time.Duration(m.rand.IntN(1500)) * time.Millisecond)
			m.look()
		default:
			m.closeAndOpen()
		}
	}
}

func (m *model) append(n int) {
	for range n {
		one := &made{text: fmt.Sprintf("%d %s", len(m.all), strings.Repeat("x", m.rand.IntN(4000)))}
		err := m.Append(fmt.Sprintf("t/%d", len(m.all)), func(dst []byte, epoch string, seq uint64) []byte {
			one.epoch, one.seq = epoch, seq
			return append(dst, one.text...)
		})
		if err != nil {
			m.t.Fatal(err)
		}
		m.all, m.byText[one.text] = append(m.all, one), one
	}
}

// look lets the goroutine that writes do what is due.
func (m *model) look() {
	m.step(time.Now())
	if m.disk.crashed || m.disk.broken != nil {
		return
	}
	safe := len(m.all) - m.Status().Unsynced // the oldest are synced first
	for i, one := range m.all {
		one.cache = true
		one.safe = one.safe || i < safe
	}
}

func (m *model) take(n int) {
	for range n {
		message, ok := m.Next()
		if !ok {
			m.look()
			if message, ok = m.Next(); !ok {
				return
			}
		}
		m.check(message)
		m.taken = append(m.taken, message)
	}
}

// check holds a message against what was made.
func (m *model) check(message Message) *made {
	one := m.byText[string(message.Payload)]
	if one == nil {
		m.t.Fatalf("it gives %q, which nobody put into it", message.Payload)
	}
	if want := "t/" + strings.Fields(one.text)[0]; message.Topic != want {
		m.t.Fatalf("the topic is %q, not %q", message.Topic, want)
	}
	return one
}

// ack acknowledges the oldest that were taken, not always in order.
func (m *model) ack(n int) {
	for range min(n, len(m.taken)) {
		i := 0
		if m.rand.IntN(10) == 0 {
			i = m.rand.IntN(min(len(m.taken), 4))
		}
		m.byText[string(m.taken[i].Payload)].acked = true
		m.Ack(m.taken[i])
		m.taken = slices.Delete(m.taken, i, i+1)
	}
}

func (m *model) closeAndOpen() {
	epoch, seq := m.Status().Epoch, m.Status().Seq
	m.dropped += m.Status().Dropped
	if err := m.close(); err != nil {
		if !m.disk.crashed {
			m.t.Fatal(err)
		}
		return
	}
	for _, one := range m.all {
		one.cache, one.safe = true, true
	}
	m.open()
	if s := m.Status(); !m.disk.crashed && (s.Epoch != epoch || s.Seq < seq) {
		m.t.Fatalf("after a close in good order %s %d continues as %s %d", epoch, seq, s.Epoch, s.Seq)
	}
}

// afterwards opens what is left of the disk, and holds what comes out of it against what has to.
func (m *model) afterwards(disk *fakeDisk, must func(*made) bool) {
	m.dropped += m.Status().Dropped
	m.disk = disk
	m.open()
	if s := m.Status(); s.Failure != "" {
		m.t.Fatalf("it does not open: %s", s.Failure)
	}
	m.append(1) // its number must be a new one
	came := map[*made]bool{}
	last := -1
	for {
		message, ok := m.Next()
		if !ok {
			m.step(time.Now())
			if message, ok = m.Next(); !ok {
				break
			}
		}
		one := m.check(message)
		if i := slices.Index(m.all, one); i <= last {
			m.t.Fatalf("message %d comes after %d", i, last)
		} else {
			last = i
		}
		came[one] = true
		m.Ack(message)
	}
	m.dropped += m.Status().Dropped
	lost := 0
	for i, one := range m.all {
		if must(one) && !one.acked && !came[one] {
			lost++
			if m.dropped == 0 {
				m.t.Fatalf("message %d of %d is lost: %s %d, safe %v, written %v", i, len(m.all), one.epoch, one.seq, one.safe, one.cache)
			}
		}
	}
	if uint64(lost) > m.dropped {
		m.t.Fatalf("%d messages are lost, %d were given up", lost, m.dropped)
	}
	numbers := map[string]string{}
	for _, one := range m.all {
		key := fmt.Sprint(one.epoch, one.seq)
		if other, is := numbers[key]; is {
			m.t.Fatalf("%s is the number of two messages: %.20q and %.20q", key, other, one.text)
		}
		numbers[key] = one.text
	}
}

// The outbox lives through random times and is stopped at every single change of the disk: before it, in the middle of it or
// after it; by the end of the process or of the power.
func TestCrashAtEveryWrite(t *testing.T) {
	const steps = 60
	crashes := 0
	for seed := range uint64(*seeds) {
		run := func(crashAt int, partial float64) (m *model) {
			synctest.Test(t, func(t *testing.T) {
				m = &model{t: t, rand: rand.New(rand.NewPCG(seed, 1)), disk: newFakeDisk(), byText: map[string]*made{}}
				m.disk.crashAt, m.disk.partial = crashAt, partial
				m.open()
				m.someTimes(steps)
				if crashAt == 0 {
					return
				}
				name := fmt.Sprintf("seed %d, change %d, %.1f of it", seed, crashAt, partial)
				defer func() {
					if t.Failed() {
						t.Log(name)
					}
				}()
				m.t.Logf("%s: %+v; disk %v", name, m.Status(), m.disk.describe())
				crashes++
				if crashes%2 == 0 {
					m.afterwards(m.disk.restart(), func(one *made) bool { return one.cache })
				} else {
					m.afterwards(m.disk.powerCut(m.rand), func(one *made) bool { return one.safe })
				}
			})
			return m
		}
		for change := 1; change <= run(0, 0).disk.calls; change++ {
			for _, partial := range []float64{0, 0.5, 1} {
				run(change, partial)
			}
		}
	}
	t.Logf("%d crashes", crashes)
}
