package stores

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"go.etcd.io/bbolt"

	"vedette/mqtt/outbox"
)

const (
	topic = "vedette/porch/yard/events"
	size  = 1024 // bytes of an event
	group = 32   // events of a commit, where each is waited for
	ahead = 2048 // events that wait for the disk, where none is
)

// store is what events are put into.
type store interface {
	// put brings events to the disk, for sure.
	put(events [][]byte) error
	close() error
}

// events are all different, as a store may compress.
func events(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = bytes.Repeat([]byte{byte(i)}, size)
		binary.LittleEndian.PutUint64(all[i], uint64(i))
	}
	return all
}

// BenchmarkGroups waits for the disk after each 32 events, and counts what the process asked the disk to write.
func BenchmarkGroups(b *testing.B) {
	for _, kind := range kinds() {
		b.Run(kind.name, func(b *testing.B) {
			s := kind.open(b)
			all := events(group)
			if err := s.put(all); err != nil {
				b.Fatal(err)
			}
			before, device := written(b), deviceWritten()
			n := 0
			for b.Loop() {
				if err := s.put(all); err != nil {
					b.Fatal(err)
				}
				n += group
			}
			after, deviceAfter := written(b), deviceWritten()
			if err := s.close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(after-before)/float64(n)/1024, "KiB/event")
			b.ReportMetric(float64(deviceAfter-device)/float64(n)/1024, "device-KiB/event")
		})
	}
}

// BenchmarkStream hands events over as they come, up to 2,048 ahead of the disk, which takes them in groups of its own choosing;
// the other stores get commits of 2,048. The time ends when everything is on the disk.
func BenchmarkStream(b *testing.B) {
	for _, kind := range kinds() {
		b.Run(kind.name, func(b *testing.B) {
			s := kind.open(b)
			all := events(ahead)
			if err := s.put(all[:group]); err != nil {
				b.Fatal(err)
			}
			n := 0
			if o, ok := s.(*log); ok {
				for b.Loop() {
					for _, event := range all {
						o.append(event)
						for n++; n%group == 0 && o.Status().Unsynced > ahead; {
							time.Sleep(50 * time.Microsecond)
						}
					}
				}
				o.wait()
			} else {
				for b.Loop() {
					if err := s.put(all); err != nil {
						b.Fatal(err)
					}
					n += len(all)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			if err := s.close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

type kind struct {
	name string
	open func(b *testing.B) store
}

func kinds() []kind {
	return []kind{
		{"outbox", func(b *testing.B) store { return openOutbox(b) }},
		{"sqlite-wal", func(b *testing.B) store { return openSQLite(b) }},
		{"bbolt", func(b *testing.B) store { return openBolt(b) }},
	}
}

// log is the outbox, with nobody who takes what is in it.
type log struct {
	*outbox.Outbox
	end  func()
	done chan error
}

func openOutbox(b *testing.B) *log {
	o := &log{done: make(chan error, 1), Outbox: outbox.Open(outbox.Options{
		Files: outbox.Folder(folder(b)), Size: 4 << 30,
		Clock: func() outbox.Stamp { return outbox.Stamp{} }, Logger: slog.New(slog.DiscardHandler),
	})}
	var ctx context.Context
	ctx, o.end = context.WithCancel(context.Background())
	go func() { o.done <- o.Run(ctx) }()
	for o.append(make([]byte, size)); o.Status().Unsynced > 0; time.Sleep(time.Millisecond) { // the broker is known to be away then
	}
	return o
}

func (o *log) append(event []byte) {
	_ = o.Append(topic, func(dst []byte, _ string, _ uint64) []byte { return append(dst, event...) })
}

func (o *log) put(events [][]byte) error {
	for _, event := range events {
		o.append(event)
	}
	o.wait()
	return nil
}

func (o *log) wait() {
	for o.Status().Unsynced > 0 {
		time.Sleep(20 * time.Microsecond)
	}
}

func (o *log) close() error {
	s := o.Status()
	o.end()
	if err := <-o.done; err != nil || s.Dropped+uint64(s.Unsynced) > 0 || s.Failure != "" {
		return fmt.Errorf("%+v: %w", s, err)
	}
	return nil
}

type database struct{ *sql.DB }

func openSQLite(b *testing.B) store {
	db, err := sql.Open("sqlite3", filepath.Join(folder(b), "events.db")+"?_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE events (seq INTEGER PRIMARY KEY, topic TEXT, payload BLOB)"); err != nil {
		b.Fatal(err)
	}
	return database{db}
}

func (d database) put(events [][]byte) error {
	tx, err := d.Begin()
	if err != nil {
		return err
	}
	insert, err := tx.Prepare("INSERT INTO events (topic, payload) VALUES (?, ?)")
	if err != nil {
		return err
	}
	for _, event := range events {
		if _, err := insert.Exec(topic, event); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (d database) close() error { return d.Close() }

type bolt struct{ *bbolt.DB }

var bucket = []byte("events")

func openBolt(b *testing.B) store {
	db, err := bbolt.Open(filepath.Join(folder(b), "events.bolt"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		made, err := tx.CreateBucket(bucket)
		if err == nil {
			made.FillPercent = 1 // keys ascend
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bolt{db}
}

func (d bolt) put(events [][]byte) error {
	return d.Update(func(tx *bbolt.Tx) error {
		all := tx.Bucket(bucket)
		all.FillPercent = 1
		for _, event := range events {
			seq, err := all.NextSequence()
			if err != nil {
				return err
			}
			if err := all.Put(binary.BigEndian.AppendUint64(nil, seq), append([]byte(topic), event...)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d bolt) close() error { return d.Close() }

// folder is one on the disk that VEDETTE_BENCH_DIR names, or the temporary files are on.
func folder(b *testing.B) string {
	dir, err := os.MkdirTemp(os.Getenv("VEDETTE_BENCH_DIR"), "stores-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// written is what this process has asked the disk to write. (proc(5), io: write_bytes; without what the file system itself adds.)
func written(b *testing.B) uint64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// deviceWritten is what every disk was given, by whomever: it says something on a machine that does nothing else.
func deviceWritten() (bytes uint64) {
	text, _ := os.ReadFile("/proc/diskstats")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || strings.HasPrefix(fields[2], "loop") || strings.HasPrefix(fields[2], "ram") || strings.HasPrefix(fields[2], "zram") {
			continue
		}
		if _, err := os.Stat("/sys/block/" + fields[2]); err != nil { // a partition is counted with its disk
			continue
		}
		sectors, _ := strconv.ParseUint(fields[9], 10, 64)
		bytes += sectors * 512
	}
	return bytes
}
