package half

import (
	"bytes"
	"encoding/binary"
	"math"
	"os/exec"
	"testing"
)

// NumPy's float16 is the judge: every value there is, and float32 of every exponent, ties included.
func TestAgreesWithNumPy(t *testing.T) {
	const interpreter = "/usr/bin/python3"
	if err := exec.Command(interpreter, "-c", "import numpy").Run(); err != nil {
		t.Skipf("the reference needs NumPy (Debian: python3-numpy): %v", err)
	}
	var values []uint32
	for high := range uint32(1 << 16) {
		for _, low := range []uint32{0, 1, 0x0fff, 0x1000, 0x1001, 0x3000, 0xffff} {
			values = append(values, high<<16|low)
		}
	}
	var in bytes.Buffer
	if err := binary.Write(&in, binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	numpy := func(script string, in []byte) []byte {
		c := exec.Command(interpreter, "-c", "import sys, numpy as np\nnp.seterr(all='ignore')\nr = sys.stdin.buffer.read()\n"+script)
		c.Stdin = bytes.NewReader(in)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := numpy("sys.stdout.buffer.write(np.frombuffer(r, '<f4').astype('<f2').tobytes())", in.Bytes())
	for i, bits := range values {
		v, want := math.Float32frombits(bits), binary.LittleEndian.Uint16(out[2*i:])
		got := Bits(v)
		if nan := want&0x7c00 == 0x7c00 && want&0x3ff != 0; nan {
			if got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
				t.Fatalf("%x becomes %x: want a NaN", bits, got)
			}
		} else if got != want {
			t.Fatalf("%x (%v) becomes %x: NumPy has %x", bits, v, got, want)
		}
	}

	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	in.Reset()
	if err := binary.Write(&in, binary.LittleEndian, all); err != nil {
		t.Fatal(err)
	}
	out = numpy("sys.stdout.buffer.write(np.frombuffer(r, '<f2').astype('<f4').tobytes())", in.Bytes())
	got := make([]float32, 1<<16)
	NewDecoder().Decode(got, all)
	for i, v := range got {
		want := math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
		if v != want && !(math.IsNaN(float64(v)) && math.IsNaN(float64(want))) ||
			math.Signbit(float64(v)) != math.Signbit(float64(want)) {
			t.Fatalf("%x becomes %v: NumPy has %v", i, v, want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	d, dst, src := NewDecoder(), make([]float32, 84*8400), make([]uint16, 84*8400)
	for i := range src {
		src[i] = uint16(i * 7)
	}
	b.SetBytes(int64(2 * len(src)))
	for b.Loop() {
		d.Decode(dst, src)
	}
}

func BenchmarkEncode(b *testing.B) {
	dst, src := make([]uint16, 3*640*640), make([]float32, 3*640*640)
	for i := range src {
		src[i] = float32(i%256) / 255
	}
	b.SetBytes(int64(4 * len(src)))
	for b.Loop() {
		Encode(dst, src)
	}
}
