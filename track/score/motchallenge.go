package score

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Bounds of a file: more than any benchmark's has, and what is held in memory for it.
const (
	maxItems = 4 << 20
	maxLine  = 4 << 10
	maxFrame = 1 << 30
)

// Side says what a MOTChallenge file is of.
type Side bool

// In a file of the truth a row whose seventh value is 0 is not to be considered; in one of tracks that value is a score.
const (
	Truth  Side = true
	Tracks Side = false
)

// ReadMOT reads a file in the form of MOTChallenge (https://motchallenge.net/instructions): lines of
//
//	frame, id, left, top, width, height, confidence, …
//
// in pixels, of which the values after the seventh are not looked at. An object is at most once in a frame.
func ReadMOT(r io.Reader, side Side) ([]Item, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	type place struct{ frame, id int }
	seen := map[place]int{}
	var items []Item
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		item, counts, err := readRow(text, side)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !counts {
			continue
		}
		at := place{item.Frame, item.ID}
		if first, twice := seen[at]; twice {
			return nil, fmt.Errorf("line %d: object %d is in frame %d already, by line %d", n, item.ID, item.Frame, first)
		}
		seen[at] = n
		if len(items) == maxItems {
			return nil, fmt.Errorf("line %d: more than %d boxes", n, maxItems)
		}
		items = append(items, item)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("a line has more than %d bytes: this is no file of MOTChallenge's form", maxLine)
	case err != nil:
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	return items, nil
}

func readRow(text string, side Side) (item Item, counts bool, err error) {
	fields := strings.SplitN(text, ",", 8)
	if len(fields) < 6 {
		return Item{}, false, fmt.Errorf("%d values, where at least 6 are needed: frame, id, left, top, width, height", len(fields))
	}
	var v [7]float64
	v[6] = 1
	for i := range min(len(fields), len(v)) {
		v[i], err = strconv.ParseFloat(strings.TrimSpace(fields[i]), 64)
		if err != nil || math.IsNaN(v[i]) || math.Abs(v[i]) > maxFrame {
			return Item{}, false, fmt.Errorf("value %d, %.40q, is no number of at most %d", i+1, fields[i], maxFrame)
		}
	}
	if v[0] != math.Trunc(v[0]) || v[0] < 0 || v[1] != math.Trunc(v[1]) {
		return Item{}, false, errors.New("frame and id are whole numbers, the frame 0 or more")
	}
	if v[4] < 0 || v[5] < 0 {
		return Item{}, false, errors.New("a box has a width and a height of 0 or more")
	}
	item = Item{Frame: int(v[0]), ID: int(v[1]), Box: Rect{v[2], v[3], v[2] + v[4], v[3] + v[5]}}
	return item, side == Tracks || v[6] != 0, nil
}
