package mqtt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// fromBroker is a connection on which a broker has sent these bytes.
type fromBroker struct {
	net.Conn
	io.Reader
}

func (f fromBroker) Read(p []byte) (int, error) { return f.Reader.Read(p) }

func publishPackets(payloads ...int) []byte {
	var sent bytes.Buffer
	for i, n := range payloads {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Qos, p.MessageID, p.Payload = "c/x", byte(i%2), uint16(i+1), bytes.Repeat([]byte{'a' + byte(i)}, n)
		_ = p.Write(&sent)
	}
	return sent.Bytes()
}

func TestPacketsStayWhole(t *testing.T) {
	lengths := []int{0, 1, MaxReceived, MaxReceived + 1, MaxReceived + 2, 3 << 20, 7}
	sent := publishPackets(lengths...)
	for name, reader := range map[string]io.Reader{
		"at once": bytes.NewReader(sent), "byte by byte": iotest.OneByteReader(bytes.NewReader(sent)),
	} {
		conn := newBounded(fromBroker{Reader: reader})
		for i, n := range lengths {
			packet, err := packets.ReadPacket(conn)
			if err != nil {
				t.Fatalf("%s: packet %d: %v", name, i, err)
			}
			got := packet.(*packets.PublishPacket)
			if got.TopicName != "c/x" || len(got.Payload) != min(n, MaxReceived+1) || i%2 == 1 && got.MessageID != uint16(i+1) {
				t.Errorf("%s: of %d bytes came %d on %s, id %d", name, n, len(got.Payload), got.TopicName, got.MessageID)
			}
		}
		if _, err := packets.ReadPacket(conn); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

// Whatever a broker sends, no packet that is handed on is longer than the bound, and short ones are as they were.
func FuzzBounded(f *testing.F) {
	f.Add(publishPackets(3, 2*MaxReceived, 5))
	f.Add([]byte{0x20, 0x02, 0, 0})
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'c'})
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x90, 0xff, 0xff, 0x7f, 0})
	f.Fuzz(func(t *testing.T, sent []byte) {
		got, err := io.ReadAll(newBounded(fromBroker{Reader: bytes.NewReader(sent)}))
		if len(got) > len(sent)+4 {
			t.Errorf("%d bytes became %d", len(sent), len(got))
		}
		if err == nil && len(sent) < MaxReceived && !bytes.Equal(got, sent[:len(got)]) {
			// An honest length is never changed; a publication's lie is cut, and then the stream ends.
			if kind := kindOfLast(sent); kind != publishPacket {
				t.Errorf("% x became % x", sent, got)
			}
		}
	})
}

// kindOfLast is the type of the last packet in what was sent, whole or not.
func kindOfLast(sent []byte) (kind byte) {
	for len(sent) > 0 {
		kind = sent[0] >> 4
		length, n := binary.Uvarint(sent[1:]) // as MQTT writes a length
		if n <= 0 || length >= uint64(len(sent)-1-n) {
			break
		}
		sent = sent[1+n+int(length):]
	}
	return kind
}
