package coco

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// Two cats in two pictures, a dog in the second. Worked by hand:
//
// Cats at an overlap of 0.5: scores 0.9 right, 0.8 wrong (nothing there), 0.7 right with an overlap of exactly 0.6.
// Precision by rank: 1, 1/2, 2/3; made falling: 1, 2/3, 2/3; recall: 1/2, 1/2, 1. At the recalls 0 to 0.50 (51 points) the
// precision is 1, at the other 50 it is 2/3: AP = (51 + 50*2/3)/101. At overlaps above 0.6 the last is wrong: precision 1
// up to recall 0.5, nothing beyond: AP = 51/101. So over the ten overlaps: 3 of the first kind, 7 of the second.
//
// The dog: found exactly, with a worse copy of it that is wrong and comes after: AP = 1 throughout.
func TestByHand(t *testing.T) {
	truths := []Truth{
		{Picture: 1, Category: 1, Box: [4]float64{0, 0, 100, 100}, Area: 10000},
		{Picture: 2, Category: 1, Box: [4]float64{0, 0, 100, 100}, Area: 10000},
		{Picture: 2, Category: 2, Box: [4]float64{200, 200, 20, 20}, Area: 400},
	}
	found := []Found{
		{Picture: 1, Category: 1, Box: [4]float64{0, 0, 100, 100}, Score: 0.9},
		{Picture: 1, Category: 1, Box: [4]float64{300, 300, 100, 100}, Score: 0.8},
		{Picture: 2, Category: 1, Box: [4]float64{0, 0, 60, 100}, Score: 0.7},
		{Picture: 2, Category: 2, Box: [4]float64{200, 200, 20, 20}, Score: 0.5},
		{Picture: 2, Category: 2, Box: [4]float64{202, 200, 20, 20}, Score: 0.4},
	}
	m := Measure(truths, found)
	cat50 := (51 + 50*2./3) / 101
	cat75 := 51. / 101
	cat := (3*cat50 + 7*cat75) / 10
	catRecall := (3*1 + 7*0.5) / 10
	for what, pair := range map[string][2]float64{
		"AP": {m.AP, (cat + 1) / 2}, "AP50": {m.AP50, (cat50 + 1) / 2}, "AP75": {m.AP75, (cat75 + 1) / 2},
		"AR": {m.AR, (catRecall + 1) / 2}, "small": {m.APSmall, 1}, "medium": {m.APMedium, -1}, "large": {m.APLarge, cat},
	} {
		if !near(pair[0], pair[1]) {
			t.Errorf("%s is %v: by hand it is %v", what, pair[0], pair[1])
		}
	}
}

func TestCrowdsAndLimits(t *testing.T) {
	truths := []Truth{
		{Picture: 1, Category: 1, Box: [4]float64{0, 0, 10, 10}, Area: 100},
		{Picture: 1, Category: 1, Box: [4]float64{100, 0, 100, 100}, Area: 10000, Crowd: true},
	}
	found := []Found{
		{Picture: 1, Category: 1, Box: [4]float64{110, 10, 10, 10}, Score: 0.9}, // in the group: no mistake
		{Picture: 1, Category: 1, Box: [4]float64{150, 50, 10, 10}, Score: 0.8}, // nor is the next
		{Picture: 1, Category: 1, Box: [4]float64{0, 0, 10, 10}, Score: 0.1},
		{Picture: 7, Category: 9, Box: [4]float64{0, 0, 10, 10}, Score: 1}, // of a category that is nowhere
	}
	if m := Measure(truths, found); m.AP != 1 || m.AR != 1 {
		t.Errorf("%+v: want 1", m)
	}
	for range 100 { // the hundred best of a picture count: the object's own is the 103rd
		found = append(found, Found{Picture: 1, Category: 1, Box: [4]float64{300, 300, 5, 5}, Score: 0.5})
	}
	if m := Measure(truths, found); m.AP != 0 || m.AR != 0 {
		t.Errorf("%+v: want 0", m)
	}
	if m := Measure(nil, found); m.AP != -1 {
		t.Errorf("%+v: want -1, as there is nothing to find", m)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	for text, want := range map[string]string{
		`{`:  path,
		`{}`: "0 images",
		`{"images": [{"id": 1, "file_name": "../x"}], "categories": [{"id": 1, "name": "a"}]}`: "leads out",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v: want %q", text, err, want)
		}
	}
	good := `{"images": [{"id": 1, "file_name": "x.jpg"}], "categories": [{"id": 3, "name": "Cat"}],
		"annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 0}]}`
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Read(path)
	id, ok := a.Category("cat")
	if err != nil || !ok || id != 3 || len(a.Truths()) != 1 || a.Truths()[0].Area != 12 {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzMeasure(f *testing.F) {
	f.Add(10.0, 20.0, 0.5)
	f.Fuzz(func(t *testing.T, x, w, score float64) {
		m := Measure([]Truth{{Box: [4]float64{0, 0, 10, 10}, Area: 100}}, []Found{{Box: [4]float64{x, 0, w, 10}, Score: score}})
		if !(m.AP >= 0 && m.AP <= 1) {
			t.Errorf("AP %v", m.AP)
		}
	})
}
