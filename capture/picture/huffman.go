package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
)

// Markers of a JPEG file (ITU-T T.81, table B.1).
const (
	markerSOI = 0xd8
	markerEOI = 0xd9
	markerSOS = 0xda
	markerDHT = 0xc4
)

// Standard gives a JPEG file with the standard Huffman tables (ITU-T T.81, annex K.3.3) where it has none, as the frames of most USB
// cameras. What is no such file comes back as it is.
func Standard(file []byte) []byte {
	if len(file) < 4 || file[0] != 0xff || file[1] != markerSOI {
		return file
	}
	for at := 2; at+4 <= len(file) && file[at] == 0xff; {
		switch marker := file[at+1]; marker {
		case 0xff: // fill
			at++
		case markerDHT, markerEOI:
			return file
		case markerSOS:
			return bytes.Join([][]byte{file[:at], standardTables(), file[at:]}, nil)
		default:
			at += 2 + int(binary.BigEndian.Uint16(file[at+2:]))
		}
	}
	return file
}

// standardTables gives the DHT segment with the standard tables: Go's encoder uses them, so its files have them.
func standardTables() []byte {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), nil); err != nil {
		return nil // it fails only where the writer does
	}
	text := file.Bytes()
	var tables []byte
	for at := 2; at+4 <= len(text) && text[at] == 0xff && text[at+1] != markerSOS; {
		end := at + 2 + int(binary.BigEndian.Uint16(text[at+2:]))
		if text[at+1] == markerDHT {
			tables = append(tables, text[at:end]...)
		}
		at = end
	}
	return tables
}
