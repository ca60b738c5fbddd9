package mqtt

import (
	"bufio"
	"errors"
	"io"
	"net"
)

// MaxReceived is how long the payload of a message to this device may be, in bytes: its commands are far shorter.
const MaxReceived = 16 << 10

// maxTopic is the most bytes of a topic and a packet identifier before a payload.
const maxTopic = 2 + 65535 + 2

// publishPacket is the type of a PUBLISH, in the upper half of a packet's first byte. (MQTT 3.1.1, 2.2.1.)
const publishPacket = 3

// bounded cuts messages that are too long out of what a broker sends. Paho takes memory for whatever length a packet claims, up
// to 256 MiB, and MQTT 3.1.1 has no way to tell a broker of a limit: who may write to a device's topics could otherwise exhaust
// it. The packets stay whole: their length is written anew, and the connection goes on.
type bounded struct {
	net.Conn
	from *bufio.Reader

	head []byte // of the packet, not handed on yet
	keep int    // bytes of its body still to hand on
	skip int    // bytes after these that nobody gets
}

func newBounded(conn net.Conn) *bounded {
	return &bounded{Conn: conn, from: bufio.NewReaderSize(conn, 4<<10)}
}

// Read hands on packets as they come, whatever the length of p.
func (b *bounded) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.head) == 0 && b.keep == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	if n := copy(p, b.head); n > 0 {
		b.head = b.head[n:]
		return n, nil
	}
	n, err := b.from.Read(p[:min(len(p), b.keep)])
	b.keep -= n
	return n, err
}

// next reads a packet's fixed header: its type, and the length of the rest in 1 to 4 bytes of 7 bits. (MQTT 3.1.1, 2.2.3.)
func (b *bounded) next() error {
	if _, err := io.CopyN(io.Discard, b.from, int64(b.skip)); err != nil {
		return err
	}
	b.skip = 0
	first, err := b.from.ReadByte()
	if err != nil {
		return err
	}
	b.head = append(b.head[:0], first)
	length := 0
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return errors.New("the broker sends a packet whose length has more than 4 bytes")
		}
		digit, err := b.from.ReadByte()
		if err != nil {
			return err
		}
		b.head = append(b.head, digit)
		length |= int(digit&0x7f) << shift
		if digit < 0x80 {
			break
		}
	}
	b.keep = length
	switch most := MaxReceived + 1; {
	case first>>4 == publishPacket && length > most:
		if most, err = b.mostOf(first); err != nil {
			return err
		}
		b.keep = min(length, most)
	case first>>4 != publishPacket && length > maxTopic: // no other packet to a client has more than a few bytes
		return errors.New("the broker sends a packet of a kind that is never so long")
	}
	if b.skip = length - b.keep; b.skip > 0 {
		b.head = appendLength(append(b.head[:0], first), b.keep)
	}
	return nil
}

// mostOf gives how much of a PUBLISH is handed on: its topic, its identifier where it has one, and a payload that is just too
// long.
func (b *bounded) mostOf(first byte) (int, error) {
	length, err := b.from.Peek(2)
	if err != nil {
		return 0, err
	}
	most := 2 + int(length[0])<<8 + int(length[1]) + MaxReceived + 1
	if first&0x06 != 0 { // QoS above 0
		most += 2
	}
	return most, nil
}

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
