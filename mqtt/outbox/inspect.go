package outbox

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// SegmentReport is what a file of an outbox holds.
type SegmentReport struct {
	File     string    `json:"file"`
	Bytes    int       `json:"bytes"`
	Epoch    string    `json:"epoch,omitempty"` // missing where the header is damaged
	Made     time.Time `json:"made,omitzero"`
	Synced   bool      `json:"clock_synced"` // whether the clock that Made is of was to be trusted
	Messages int       `json:"messages"`
	Waiting  int       `json:"waiting"` // messages that are not acknowledged
	First    uint64    `json:"first_seq,omitempty"`
	Last     uint64    `json:"last_seq,omitempty"`
	Closed   bool      `json:"closed"`            // the service ended here in good order
	Damaged  int       `json:"damaged_stretches"` // without a good record
	Lost     int       `json:"damaged_bytes"`
}

// Report is what the folder of an outbox holds.
type Report struct {
	Segments []SegmentReport `json:"segments"`
	Waiting  int             `json:"waiting"`
	Damaged  int             `json:"damaged_stretches"`
}

// Inspect reads a folder that may be in use, and changes nothing. visit, which may be nil, is told each message that is not
// acknowledged.
func Inspect(path string, visit func(file string, seq uint64, topic, payload []byte)) (Report, error) {
	report := Report{Segments: []SegmentReport{}}
	names, err := list(path)
	if err != nil {
		return report, err
	}
	slices.Sort(names)
	var f found
	for _, name := range names {
		number, ok := fileNumber(name)
		if !ok {
			continue
		}
		data, err := read(filepath.Join(path, name), maxSegment)
		if errors.Is(err, fs.ErrNotExist) { // the service has sent it meanwhile
			continue
		}
		if err != nil {
			return report, err
		}
		damaged, lost := f.damage.stretches, f.damage.bytes
		f.add(number, data)
		s, seqs := f.segments[len(f.segments)-1], f.seqs[len(f.seqs)-1]
		r := SegmentReport{
			File: name, Bytes: len(data), Messages: len(seqs), Closed: f.end.seq > 0,
			Damaged: f.damage.stretches - damaged, Lost: f.damage.bytes - lost,
		}
		if s.known {
			r.Epoch, r.Made, r.Synced = s.header.epoch.String(), s.header.made.Wall.UTC(), s.header.made.Synced
		}
		if n := len(seqs); n > 0 {
			r.First, r.Last = seqs[0], seqs[n-1]
		}
		report.Segments = append(report.Segments, r)
	}
	report.Damaged = f.damage.stretches
	f.settle()
	for _, s := range f.segments {
		name := fileName(s.number)
		i := slices.IndexFunc(report.Segments, func(r SegmentReport) bool { return r.File == name })
		report.Segments[i].Waiting = s.messages
		report.Waiting += s.messages
		if visit == nil {
			continue
		}
		data, err := read(filepath.Join(path, name), maxSegment)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return report, err
		}
		scan(data, func(r record, _ int) {
			if topic, payload, ok := splitMessage(r.body); ok && r.kind == message && r.seq > s.skip {
				visit(name, r.seq, topic, payload)
			}
		})
	}
	return report, nil
}
