package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
)

// manifest is a group of weights: the files that, one after the other, hold them.
type manifest struct {
	Paths   []string     `json:"paths"`
	Weights []weightSpec `json:"weights"`
}

type weightSpec struct {
	Name         string  `json:"name"`
	Shape        []int64 `json:"shape"`
	Type         string  `json:"dtype"`
	Quantization *struct {
		Type string `json:"dtype"`
	} `json:"quantization"`
}

// weight is a constant: of its two lists one is set.
type weight struct {
	shape  []int64
	floats []float32
	ints   []int32
}

// readWeights reads every weight; read gives the content of a weight file, at most limit bytes of it.
func readWeights(groups []manifest, read func(name string, limit int64) ([]byte, error)) (map[string]weight, error) {
	weights := map[string]weight{}
	left := int64(maxWeights)
	for _, group := range groups {
		var data []byte
		for _, name := range group.Paths {
			if name == "" || name == ".." || filepath.Base(name) != name {
				return nil, fmt.Errorf("weight file %q is not a plain file name", name)
			}
			shard, err := read(name, left)
			if err != nil {
				return nil, err
			}
			left -= int64(len(shard))
			data = append(data, shard...)
		}
		for _, spec := range group.Weights {
			if _, twice := weights[spec.Name]; twice {
				return nil, fmt.Errorf("weight %q is there twice", spec.Name)
			}
			w, size, err := spec.read(data)
			if err != nil {
				return nil, fmt.Errorf("weight %q in %v: %w", spec.Name, group.Paths, err)
			}
			weights[spec.Name] = w
			data = data[size:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("weight files %v have %d bytes more than the weights in them", group.Paths, len(data))
		}
	}
	return weights, nil
}

// read takes one weight from the beginning of data and tells how many bytes it took.
func (s weightSpec) read(data []byte) (w weight, size int64, err error) {
	if len(s.Shape) > maxRank {
		return weight{}, 0, fmt.Errorf("%d dimensions are more than %d", len(s.Shape), maxRank)
	}
	n, err := elements(s.Shape)
	if err != nil {
		return weight{}, 0, err
	}
	stored := s.Type
	if s.Quantization != nil {
		if stored = s.Quantization.Type; s.Type != "float32" || stored != "float16" {
			return weight{}, 0, fmt.Errorf("%s stored as %s: only float32 stored as float16 can be converted", s.Type, stored)
		}
	}
	width, known := map[string]int64{"float32": 4, "float16": 2, "int32": 4}[stored]
	if !known || (s.Quantization == nil && stored == "float16") {
		return weight{}, 0, fmt.Errorf("data type %q is none of float32 and int32", stored)
	}
	size = n * width
	if size > int64(len(data)) {
		return weight{}, 0, fmt.Errorf("%d bytes are needed and %d are left: the file is short", size, len(data))
	}
	w.shape = s.Shape
	switch stored {
	case "int32":
		w.ints = make([]int32, n)
		for i := range w.ints {
			w.ints[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case "float32":
		w.floats = make([]float32, n)
		for i := range w.floats {
			w.floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case "float16":
		w.floats = make([]float32, n)
		for i := range w.floats {
			w.floats[i] = float16(binary.LittleEndian.Uint16(data[2*i:]))
		}
	}
	return w, size, nil
}

// float16 widens an IEEE 754 binary16 number, which is exact.
func float16(bits uint16) float32 {
	sign := uint32(bits>>15) << 31
	exponent := uint32(bits >> 10 & 0x1f)
	fraction := uint32(bits & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 0x1f: // infinity or not a number
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}
