package main

import (
	"fmt"
	"math"
	"testing"
)

// The zone and the line that the window's camera has, apart from where page.mjs clicks in the editor. No edge is level, none upright.
const (
	zoneName = "path"
	lineName = "gate"
)

func zoneCorners() [][2]float64 {
	return [][2]float64{{0.3, 0.35}, {0.62, 0.3}, {0.7, 0.8}, {0.34, 0.75}}
}
func lineEnds() [][2]float64 { return [][2]float64{{0.86, 0.3}, {0.9, 0.75}} }

// edge is what page.mjs looks for, with its colour of web/page/assets/draw.js, and the least share of it that is to be seen.
type edge struct {
	Name   string     `json:"name"`
	From   [2]float64 `json:"from"`
	To     [2]float64 `json:"to"`
	Colour string     `json:"colour"`
	Least  float64    `json:"least"`
}

func edges() (all []edge) {
	const dashed, solid = 0.5, 0.8 // dashes are 8/13 of a zone's outline
	corners := zoneCorners()
	for i, from := range corners {
		all = append(all, edge{fmt.Sprintf("edge %d of zone %s", i+1, zoneName), from, corners[(i+1)%len(corners)], "#ffffff", dashed})
	}
	return append(all, edge{"line " + lineName, lineEnds()[0], lineEnds()[1], "#7cc7ff", solid})
}

// outline is what page.mjs saw of an edge, in the picture with most of it: which share has its colour where it has most, how far that is from
// where the edge is configured, as a part of the picture's width, and the share beside it.
type outline struct {
	Name                string
	Share, Away, Beside float64
}

// compareOutlines holds what was drawn to the configuration.
func compareOutlines(t *testing.T, outlines []outline) {
	t.Helper()
	if len(outlines) != len(edges()) {
		t.Fatalf("%d outlines were looked at", len(outlines))
	}
	for i, e := range edges() {
		o := outlines[i]
		t.Logf("%s: %.0f%% drawn, %.2f%% away, %.0f%% beside", o.Name, 100*o.Share, 100*o.Away, 100*o.Beside)
		if o.Name != e.Name || o.Share < e.Least || math.Abs(o.Away) > 0.01 || o.Beside > o.Share/3 {
			t.Errorf("%s: it is not drawn where the configuration says", e.Name)
		}
	}
}
