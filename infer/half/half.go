// Package half converts between float32 and float16 (IEEE 754 binary16).
package half

import "math"

// Decoder turns float16 into float32 by a table of all of them, 256 KiB. Several goroutines may use one.
type Decoder struct {
	table [1 << 16]float32
}

// NewDecoder fills the table.
func NewDecoder() *Decoder {
	d := new(Decoder)
	for bits := range d.table {
		d.table[bits] = Float32(uint16(bits))
	}
	return d
}

// Decode writes src, in the machine's byte order, to dst, which has as many elements at least.
func (d *Decoder) Decode(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	for i, bits := range src {
		dst[i] = d.table[bits]
	}
}

// Float32 is the value of a float16's bits.
func Float32(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent, fraction := uint32(bits>>10&0x1f), uint32(bits&0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f: // infinity, or not a number
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// Bits are those of the float16 nearest to v; a tie goes to the even one. What is too large becomes an infinity.
func Bits(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7fffffff
	switch {
	case magnitude > 0x7f800000: // not a number: keep it one
		return sign | 0x7e00
	case magnitude >= 0x477ff000: // 65520, half way to what 65504 would be followed by
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14: subnormal, in units of 2^-24
		units := math.RoundToEven(float64(math.Float32frombits(magnitude)) * (1 << 24))
		return sign | uint16(units)
	}
	magnitude += 0xfff + magnitude>>13&1 // rounds to even, into the exponent where it has to
	return sign | uint16((magnitude-(127-15)<<23)>>13)
}

// Encode writes src as float16, in the machine's byte order, to dst, which has as many elements at least.
func Encode(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = Bits(v)
	}
}
