package score_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vedette/track/score"
)

// walk is one object in frames from..to-1, where it is at (x, 0).
func walk(id, from, to int, x float64) (items []score.Item) {
	for n := from; n < to; n++ {
		items = append(items, score.Item{Frame: n, ID: id, Box: score.Rect{X1: x, X2: x + 10, Y2: 10}})
	}
	return items
}

func join(lists ...[]score.Item) (all []score.Item) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.0005 {
		t.Errorf("%s is %.4f, not %.4f", what, got, want)
	}
}

func compare(t *testing.T, truth, tracked []score.Item) score.Result {
	t.Helper()
	r, err := score.Compare(truth, tracked)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A file may have millions of boxes, each of an object of its own, or all in one frame: that is refused before its tables are made.
func TestWhatIsTooMuchIsRefused(t *testing.T) {
	many := func(frame, id func(int) int) (items []score.Item) {
		for i := range 20_000 {
			items = append(items, score.Item{Frame: frame(i), ID: id(i), Box: score.Rect{X2: 1, Y2: 1}})
		}
		return items
	}
	self, zero := func(i int) int { return i }, func(int) int { return 0 }
	own, crowd := many(self, self), many(zero, zero)
	for text, items := range map[string][]score.Item{"20000 true objects and 20000 tracks": own, "pairs of boxes": crowd} {
		if _, err := score.Compare(items, items); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
}

// TestExampleOfHOTA is the example that the paper on HOTA opens with (Luiten et al., 2021, figure 1): a truth of one object, and
// three trackers of which each finds more of it than the one before, in more pieces. HOTA rates them alike.
func TestExampleOfHOTA(t *testing.T) {
	truth := walk(1, 0, 100, 0)
	for _, c := range []struct {
		name                         string
		tracks                       []score.Item
		hota, deta, assa, mota, idf1 float64
	}{
		{"A", walk(1, 0, 50, 0), 0.5, 0.5, 0.5, 0.5, 2.0 / 3},
		{"B", join(walk(1, 0, 35, 0), walk(2, 35, 70, 0)), math.Sqrt(0.7 * 0.35), 0.7, 0.35, 0.69, 0.7 / 1.7},
		{
			"C", join(walk(1, 0, 25, 0), walk(2, 25, 50, 0), walk(3, 50, 75, 0), walk(4, 75, 100, 0)),
			0.5, 1, 0.25, 0.97, 0.25,
		},
	} {
		r := compare(t, truth, c.tracks)
		near(t, c.name+"'s HOTA", r.HOTA, c.hota)
		near(t, c.name+"'s DetA", r.DetA, c.deta)
		near(t, c.name+"'s AssA", r.AssA, c.assa)
		near(t, c.name+"'s MOTA", r.MOTA, c.mota)
		near(t, c.name+"'s IDF1", r.IDF1, c.idf1)
	}
}

// TestExampleOfMotmetrics is the example that py-motmetrics' README works through (github.com/cheind/py-motmetrics, "Populating the
// accumulator", "Computing metrics"): three frames with a false alarm, a miss and a switch, and the table it ends with, of all frames and of
// the first two. Its distances are halved here, as boxes that are further than half apart make no pair, and so is its MOTP; of pairs
// that are not matched they are near the example's.
func TestExampleOfMotmetrics(t *testing.T) {
	at := func(frame, id int, apart float64) score.Item { // boxes d apart have 1 - d in common where they are d/(2-d) of their width apart
		x := 100 * apart
		return score.Item{Frame: frame, ID: id, Box: score.Rect{X1: x, X2: x + 100, Y2: 10}}
	}
	shift := func(distance float64) float64 { d := distance / 2; return d / (2 - d) }
	const a, b = 1, 2
	truth := []score.Item{
		at(0, a, 0), at(0, b, 2*shift(0.3)),
		at(1, a, 0), at(1, b, shift(0.2)+shift(0.4)),
		at(2, a, 0), at(2, b, shift(0.6)+shift(0.1)),
	}
	tracks := []score.Item{
		at(0, 1, -shift(0.1)), at(0, 2, 2*shift(0.3)+shift(0.2)), at(0, 3, shift(0.3)),
		at(1, 1, shift(0.2)),
		at(2, 1, shift(0.6)), at(2, 3, shift(0.1)),
	}
	for _, c := range []struct {
		name                      string
		frames                    int
		idf1, mota, motp          float64
		falses, misses, switching int
	}{{"full", 3, 0.833, 0.5, 0.340, 1, 1, 1}, {"part", 2, 0.75, 0.5, 0.167, 1, 1, 0}} {
		first := func(items []score.Item) (kept []score.Item) {
			for _, item := range items {
				if item.Frame < c.frames {
					kept = append(kept, item)
				}
			}
			return kept
		}
		r := compare(t, first(truth), first(tracks))
		if r.False != c.falses || r.Misses != c.misses || r.Switches != c.switching {
			t.Errorf("%s: %d false, %d misses, %d switches", c.name, r.False, r.Misses, r.Switches)
		}
		near(t, c.name+" IDF1", r.IDF1, c.idf1)
		near(t, c.name+" IDP", r.IDP, c.idf1)
		near(t, c.name+" IDR", r.IDR, c.idf1)
		near(t, c.name+" MOTA", r.MOTA, c.mota)
		near(t, c.name+" MOTP", 2*(1-r.MOTP), c.motp)
	}
}

// TestWorkedByHand: two objects whose tracks are exchanged in the middle, a miss, a false alarm and a box that lies 60% off.
func TestWorkedByHand(t *testing.T) {
	truth := join(walk(1, 0, 10, 0), walk(2, 0, 10, 100))
	tracks := join(walk(7, 0, 5, 0), walk(8, 0, 5, 100), walk(8, 5, 10, 0), walk(7, 5, 9, 100), walk(9, 3, 4, 500))
	r := compare(t, truth, tracks)
	if r.Misses != 1 || r.False != 1 || r.Switches != 2 {
		t.Errorf("%d misses, %d false, %d switches, not 1, 1 and 2", r.Misses, r.False, r.Switches)
	}
	near(t, "MOTA", r.MOTA, 1-4.0/20)
	// Each truth has 5 boxes of one track at the best: 1 of 7's and 2 of 8's, or 1 of 8's 5 and 2 of 7's 4.
	near(t, "IDF1", r.IDF1, 2*10.0/40)
	// 19 boxes are right; three pairs agree in 5 frames of 10 + 10 - 5 or 10 + 9 - 5, and one in 4.
	near(t, "DetA", r.DetA, 19.0/21)
	near(t, "AssA", r.AssA, (25.0/(10+9-5)+25.0/(10+10-5)+25.0/(10+10-5)+16.0/(10+9-4))/19)

	far := compare(t, walk(1, 0, 1, 0), walk(1, 0, 1, 6))
	if far.Misses != 1 || far.False != 1 {
		t.Errorf("boxes with 1/4 in common match: %+v", far)
	}
	near(t, "HOTA of boxes with 1/4 in common", far.HOTA, 5.0/19) // right at 0.05 to 0.25
}

func TestNothingIsNoDivisionByZero(t *testing.T) {
	for _, r := range []score.Result{
		compare(t, nil, nil), compare(t, walk(1, 0, 3, 0), nil), compare(t, nil, walk(1, 0, 3, 0)),
	} {
		for _, v := range []float64{r.MOTA, r.MOTP, r.IDF1, r.HOTA} {
			if math.IsNaN(v) || v != 0 {
				t.Errorf("%+v", r)
			}
		}
	}
}

// TestPublishedSequences compares with what py-motmetrics publishes for the two sequences that it carries (test_metrics.py,
// test_motchallenge_files), and for HOTA with what TrackEval's own
// code (github.com/JonathonLuiten/TrackEval, hota.py) says of them. The files are not this project's to hand on: VEDETTE_MOT names a folder with tud_campus_gt.csv,
// tud_campus_hyp.csv, tud_stadtmitte_gt.csv and tud_stadtmitte_hyp.csv, as github.com/tadejsv/EvalDeT has them.
func TestPublishedSequences(t *testing.T) {
	folder := os.Getenv("VEDETTE_MOT")
	if folder == "" {
		t.Skip("VEDETTE_MOT names no folder with the sequences")
	}
	read := func(name string, side score.Side) []score.Item {
		file, err := os.Open(filepath.Join(folder, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		items, err := score.ReadMOT(file, side)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	for _, c := range []struct {
		name                       string
		idf1, idp, idr, mota, dist float64
		fp, fn, switches           int
		hota, deta, assa           float64 // by TrackEval's code on the same files
	}{
		{"tud_campus", 0.557659, 0.729730, 0.451253, 0.526462, 0.277201, 13, 150, 7, 0.391397, 0.418047, 0.369121},
		{"tud_stadtmitte", 0.644619, 0.819760, 0.531142, 0.564014, 0.345904, 45, 452, 7, 0.397849, 0.392268, 0.408841},
	} {
		r := compare(t, read(c.name+"_gt", score.Truth), read(c.name+"_hyp", score.Tracks))
		near(t, c.name+" IDF1", r.IDF1, c.idf1)
		near(t, c.name+" IDP", r.IDP, c.idp)
		near(t, c.name+" IDR", r.IDR, c.idr)
		near(t, c.name+" MOTA", r.MOTA, c.mota)
		near(t, c.name+" MOTP", 1-r.MOTP, c.dist)
		if r.False != c.fp || r.Misses != c.fn || r.Switches != c.switches {
			t.Errorf("%s: %d false, %d misses, %d switches, not %d, %d and %d", c.name, r.False, r.Misses, r.Switches, c.fp, c.fn, c.switches)
		}
		near(t, c.name+" HOTA", r.HOTA, c.hota)
		near(t, c.name+" DetA", r.DetA, c.deta)
		near(t, c.name+" AssA", r.AssA, c.assa)
	}
}

func TestMistakesInAFileAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"1,1,2,3\n":                          "line 1: 4 values",
		"1,1,0,0,5,5,1\n\n1,x,0,0,5,5\n":     `line 3: value 2, "x"`,
		"1,1,0,0,5,5\n1,1,9,9,5,5\n":         "line 2: object 1 is in frame 1 already, by line 1",
		"1.5,1,0,0,5,5\n":                    "whole numbers",
		"1,1,0,0,-5,5\n":                     "0 or more",
		"1,1,NaN,0,5,5\n":                    "value 3",
		strings.Repeat("1", 5000) + ",2,3\n": "more than 4096 bytes",
	} {
		if _, err := score.ReadMOT(strings.NewReader(text), score.Tracks); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, not %q", text, err, want)
		}
	}
	items, err := score.ReadMOT(strings.NewReader("1,1,0,0,5,5,0,1,1\n2,1,0,0,5,5,1,1,1\n"), score.Truth)
	if err != nil || len(items) != 1 || items[0].Frame != 2 {
		t.Errorf("%v, %v", items, err)
	}
}

func FuzzReadMOT(f *testing.F) {
	f.Add("1,1,399,182,121,229,1,-1,-1,-1\n1,2,282,201,92,184,1,-1,-1,-1\n")
	f.Add("1,1,2,3\n")
	f.Add("0,-1,1e300,-0,Inf,nan\n")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := score.ReadMOT(strings.NewReader(text), score.Truth)
		if err != nil {
			return
		}
		if len(items) > 200 {
			return
		}
		r := compare(t, items, items)
		for _, v := range []float64{r.MOTA, r.IDF1, r.HOTA, r.DetA, r.AssA} {
			if math.IsNaN(v) || v > 1+1e-9 {
				t.Errorf("%+v", r)
			}
		}
	})
}
