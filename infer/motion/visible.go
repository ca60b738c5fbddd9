package motion

import (
	"vedette/capture"
	"vedette/infer/preprocess/mask"
)

// visible finds the cells that no mask touches and that lie in the region: it paints a white frame as masks are painted,
// so that both agree about polygons and turns, and looks at what is left of it.
func (g *Gate) visible(f capture.Format, turn capture.Turn, region [4]float64, masks [][]capture.Point) ([]bool, error) {
	white := make([]byte, f.FrameBytes())
	for i := range white {
		white[i] = 255
	}
	hidden := append(outside(region), masks...)
	if len(hidden) > 0 {
		painter, err := mask.New(f, turn, hidden)
		if err != nil {
			return nil, err
		}
		if err := painter.Paint(white); err != nil {
			return nil, err
		}
	}
	g.look(white)
	counts := make([]bool, len(g.sums))
	for i, sum := range g.sums {
		counts[i] = sum == 255*places
	}
	return counts, nil
}

// outside is the polygons around a region; none for the zero region, which is everything.
func outside(region [4]float64) (around [][]capture.Point) {
	if region == ([4]float64{}) {
		return nil
	}
	x1, y1, x2, y2 := region[0], region[1], region[2], region[3]
	for _, r := range [][4]float64{{0, 0, 1, y1}, {0, y2, 1, 1}, {0, 0, x1, 1}, {x2, 0, 1, 1}} {
		if r[0] < r[2] && r[1] < r[3] {
			around = append(around, []capture.Point{{r[0], r[1]}, {r[2], r[1]}, {r[2], r[3]}, {r[0], r[3]}})
		}
	}
	return around
}
