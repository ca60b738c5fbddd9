package outbox

// damage is what of a segment could not be read.
type damage struct {
	stretches int // of bytes without a good record
	bytes     int
	header    bool // the header is among it
}

// A search for the next good record reads at most so many times the segment's bytes: what is on the disk may be made up.
const searchFactor = 16

// scan tells visit every good record of a segment, in order, and passes over what is damaged: where a record is bad, it
// looks for the next byte at which a good one begins. at is the record's offset.
func scan(data []byte, visit func(r record, at int)) (h header, d damage) {
	at := 0
	h, ok := readHeader(data)
	if ok {
		at = headerSize
	} else {
		d.header = true
	}
	budget := searchFactor * len(data)
	last := uint64(0) // the last message's sequence: they ascend
	bad := !ok        // whether what is before at is damaged
	begin := 0        // where the damage begins
	end := func(at int) {
		if bad && at > begin {
			d.stretches++
			d.bytes += at - begin
		}
		bad = false
	}
	for at < len(data) {
		r, size, ok := readHead(data[at:])
		if ok = ok && (r.kind != message || r.seq > last); ok {
			if budget -= size; budget < 0 {
				break
			}
			r, size, ok = readRecord(data[at:])
		}
		if !ok {
			if !bad {
				bad, begin = true, at
			}
			at++
			continue
		}
		end(at)
		if r.kind == message {
			last = r.seq
		}
		visit(r, at)
		at += size
	}
	if at < len(data) && !bad { // the budget is spent
		bad, begin = true, at
	}
	end(len(data))
	return h, d
}
