package wire

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode holds for any bytes: a message or a *Rejected, no panic, and what is a message can be sent on. The binary
// kinds have one form each, so that they come out byte for byte as they went in.
func FuzzDecode(f *testing.F) {
	var decoder Decoder
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := decoder.Decode(packet)
		if err != nil {
			var rejected *Rejected
			if m != nil || !errors.As(err, &rejected) {
				t.Fatalf("got %v, %v", m, err)
			}
			return
		}
		again, err := Append(nil, m)
		switch m.(type) {
		case *Frames, *Heartbeat, *Result, *Goodbye:
			if err != nil || !bytes.Equal(again, packet) {
				t.Fatalf("%x came out as %x (%v)", packet, again, err)
			}
		case *Fault:
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
