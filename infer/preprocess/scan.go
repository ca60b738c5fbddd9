package preprocess

import (
	"encoding/binary"
	"fmt"
)

// Markers of a JPEG file, ITU-T T.81 table B.1.
const (
	markerSOI   = 0xd8
	markerSOF0  = 0xc0 // baseline
	markerSOF1  = 0xc1 // extended sequential, Huffman
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerSOF15 = 0xcf
	markerSOS   = 0xda
)

// oneScan admits pictures whose one scan has every component, Huffman coded: what cameras send. Of the other kinds,
// progressive and arithmetic, the decoder cannot tell that the end is missing; a small one may also take it minutes.
func oneScan(src []byte) error {
	if len(src) < 2 || src[0] != 0xff || src[1] != markerSOI {
		return fmt.Errorf("%w: not a JPEG file", ErrDamaged)
	}
	components := -1
	for rest := src[2:]; ; {
		if len(rest) < 1 || rest[0] != 0xff {
			return fmt.Errorf("%w: no JPEG marker at byte %d", ErrDamaged, len(src)-len(rest))
		}
		for len(rest) > 1 && rest[1] == 0xff { // markers may have any number of these before them
			rest = rest[1:]
		}
		if len(rest) < 4 {
			return fmt.Errorf("%w: the JPEG header is cut short", ErrDamaged)
		}
		marker, length := rest[1], int(binary.BigEndian.Uint16(rest[2:]))
		if length < 2 || len(rest) < 2+length {
			return fmt.Errorf("%w: the JPEG header is cut short", ErrDamaged)
		}
		body := rest[4 : 2+length]
		rest = rest[2+length:]
		switch {
		case marker == markerSOF0, marker == markerSOF1:
			if len(body) < 6 {
				return fmt.Errorf("%w: the JPEG header is cut short", ErrDamaged)
			}
			components = int(body[5])
		case marker == markerDHT, marker == markerJPG, marker == markerDAC:
		case marker > markerSOF1 && marker <= markerSOF15:
			return fmt.Errorf("%w: a progressive, lossless or arithmetic JPEG (SOF%d): cameras send baseline ones",
				ErrDamaged, marker-markerSOF0)
		case marker == markerSOS:
			if len(body) < 1 || int(body[0]) != components {
				return fmt.Errorf("%w: a JPEG in several scans: cameras send one", ErrDamaged)
			}
			return nil
		}
	}
}

// Baseline gives an error where a JPEG file is of a kind that Run does not take. It reads the headers alone.
func Baseline(src []byte) error { return oneScan(src) }
