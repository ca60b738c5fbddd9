package lives

import (
	"encoding/json"
	"errors"
	"fmt"
)

// wire is a message of docs/schema/event.schema.json.
type wire struct {
	V         json.RawMessage `json:"v"`
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Camera    string          `json:"camera"`
	Reason    string          `json:"reason"`
	Epoch     string          `json:"epoch"`
	Seq       uint64          `json:"seq"`
	Time      json.RawMessage `json:"time"`
	Clock     json.RawMessage `json:"clock"`
	BootID    json.RawMessage `json:"boot_id"`
	Monotonic json.RawMessage `json:"monotonic_ns"`
	Sequence  json.RawMessage `json:"sequence"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
}

// EndOf makes the end of an object of its last message: as it was last told, for a reason, with a new epoch and seq. Its times are
// those of that message, in that boot.
func EndOf(message []byte, reason string) (func(dst []byte, epoch string, seq uint64) []byte, error) {
	var m wire
	if err := json.Unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("cannot end an object: %w", err)
	}
	m.Type, m.Reason, m.Before = "end", reason, m.After
	for _, part := range []json.RawMessage{m.V, m.Time, m.Clock, m.BootID, m.Monotonic, m.Sequence, m.After} {
		if len(part) == 0 {
			return nil, errors.New("cannot end an object: its last message is not whole")
		}
	}
	return func(dst []byte, epoch string, seq uint64) []byte {
		m.Epoch, m.Seq = epoch, seq
		text, err := json.Marshal(m)
		if err != nil { // parts that were read can be written
			return dst
		}
		return append(dst, text...)
	}, nil
}
