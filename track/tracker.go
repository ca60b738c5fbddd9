package track

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"math"
	"slices"
	"strings"
	"time"

	"vedette/infer"
	"vedette/track/assign"
)

// Options are what a tracker goes by.
type Options struct {
	Config     Config
	Thresholds infer.Thresholds // a detection of so much, by label, may begin an object
	Zones      []Zone
	Lines      []Line
	Ignored    []Ignored
	// Prefix begins every id. Where ids have to be unique over trackers and restarts, it has to be: see NewPrefix.
	Prefix string
}

// NewPrefix makes a prefix that no other tracker has: 80 random bits.
func NewPrefix() string {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(random[:])) + "-"
}

// Tracker follows the objects of one camera. It is used by one goroutine at a time and keeps its memory: what its methods
// give is valid until the next call, but for objects in events, which are nobody's to change.
type Tracker struct {
	config     Config
	thresholds infer.Thresholds
	prefix     string
	zones      []Zone
	lines      []Line
	ignored    []Ignored

	objects []*object // the oldest first
	spare   []*object
	made    uint64 // ids
	frame   Frame  // the last
	began   bool
	aspect  float32
	model   []classRule // by class
	labels  []string    // of which model is made

	counts   map[countKey]int
	changed  []Count
	passages map[Passage]uint64

	events   []Event
	clipper  clipper
	solver   assign.Solver
	pairs    []assign.Pair
	sure     []int32 // detections that may begin an object, then those that may only continue one: from the left to the right
	doubtful []int32
	matched  []*object // by detection: the object it was taken for
	waiting  []*object // objects that have no detection yet
}

// classRule is what holds for one class of the model.
type classRule struct {
	label     string
	threshold float32
}

// New makes the tracker of one camera. Options are taken to be valid.
func New(o Options) *Tracker {
	return &Tracker{
		config: o.Config, thresholds: o.Thresholds, prefix: o.Prefix,
		zones: o.Zones, lines: o.Lines, ignored: o.Ignored,
		counts: map[countKey]int{}, passages: map[Passage]uint64{},
	}
}

// SetThresholds changes what score may begin an object from now on.
func (t *Tracker) SetThresholds(thresholds infer.Thresholds) {
	t.thresholds = thresholds
	for class := range t.model {
		t.model[class].threshold = thresholds.For(t.model[class].label)
	}
}

// Update takes what was detected in one frame and gives what there is to tell of it. Frames come in the order of their capture.
func (t *Tracker) Update(frame Frame, detections []infer.Detection) []Event {
	t.events, t.changed = t.events[:0], t.changed[:0]
	t.learn(frame.Labels)
	dt := 0.0
	if t.began {
		dt = max(0, (frame.Monotonic - t.frame.Monotonic).Seconds())
	}
	t.frame, t.began = frame, true
	if t.aspect = frame.Aspect; !(t.aspect > 0) || math.IsInf(float64(t.aspect), 0) {
		t.aspect = 1
	}
	t.advance(dt)
	t.sort(detections)
	t.associate(detections)
	t.begin(detections)
	t.tell()
	return t.events
}

// End ends every object, and gives what there is to tell of that. The tracker may be used on.
func (t *Tracker) End(reason Reason) []Event {
	t.events, t.changed = t.events[:0], t.changed[:0]
	t.endAll(reason)
	return t.events
}

func (t *Tracker) endAll(reason Reason) {
	for _, o := range t.objects {
		t.end(o, reason)
	}
	clear(t.objects)
	t.objects = t.objects[:0]
}

// learn makes the rules of a model's classes. Where one has another name than before, or none, it is another model, and what was seen with
// the first is at an end. A class that had no name is one that was not heard of yet.
func (t *Tracker) learn(labels []string) {
	if slices.Equal(labels, t.labels) {
		return
	}
	for i, label := range t.labels {
		if label != "" && (i >= len(labels) || labels[i] != label) {
			t.endAll(ModelChanged)
			break
		}
	}
	t.labels = slices.Clone(labels)
	t.model = t.model[:0]
	for _, label := range labels {
		t.model = append(t.model, classRule{label, t.thresholds.For(label)})
	}
}

func (t *Tracker) rule(class int) classRule {
	if class < 0 || class >= len(t.model) {
		return classRule{"", t.thresholds.For("")}
	}
	return t.model[class]
}

func (t *Tracker) label(class int) string { return t.rule(class).label }

// advance brings every object to the frame's time, and ends those that are out of sight for too long or have moved out of it.
func (t *Tracker) advance(dt float64) {
	now, kept := t.frame.Monotonic, t.objects[:0]
	for _, o := range t.objects {
		o.motion.predict(dt, float64(t.aspect), o.seen)
		o.box, o.seen = o.motion.box(), false
		switch {
		case now-o.last > t.patience(o):
			t.end(o, Gone)
		case outside(o.box):
			t.end(o, Left)
		default:
			kept = append(kept, o)
		}
	}
	clear(t.objects[len(kept):])
	t.objects = kept
}

// Objects that are not believed yet are given up soon, or false detections would add up; but not before a frame has come in which
// they are not seen, however rarely frames come. What has stood still for long and is hidden, as a parked car by a passing one, stays
// for longer.
const (
	unconfirmedPatience = 500 * time.Millisecond
	stationaryPatience  = 3
)

func (t *Tracker) patience(o *object) time.Duration {
	switch {
	case !o.confirmed() && o.lost:
		return min(unconfirmedPatience, t.config.Timeout)
	case o.rest.stationary:
		return stationaryPatience * t.config.Timeout
	}
	return t.config.Timeout
}

// outside tells whether a box has its middle outside the picture by more than a tenth of its own size.
func outside(b infer.Box) bool {
	x, y, dx, dy := (b.X1+b.X2)/2, (b.Y1+b.Y2)/2, (b.X2-b.X1)/10, (b.Y2-b.Y1)/10
	return x < -dx || x > 1+dx || y < -dy || y > 1+dy
}

// sort lists the detections that count from the left to the right, the sure apart from the doubtful.
func (t *Tracker) sort(detections []infer.Detection) {
	t.sure, t.doubtful = t.sure[:0], t.doubtful[:0]
	for i := range detections {
		d := &detections[i]
		if !d.Box.Finite() || d.Box.Area() <= 0 || t.ignores(d) {
			continue
		}
		switch {
		case d.Score >= t.rule(d.Class).threshold:
			t.sure = append(t.sure, int32(i))
		case d.Score >= t.config.Low:
			t.doubtful = append(t.doubtful, int32(i))
		}
	}
	byLeft := func(a, b int32) int {
		return cmp.Or(cmp.Compare(detections[a].Box.X1, detections[b].Box.X1), cmp.Compare(a, b))
	}
	slices.SortFunc(t.sure, byLeft)
	slices.SortFunc(t.doubtful, byLeft)
}

func (t *Tracker) ignores(d *infer.Detection) bool {
	for i := range t.ignored {
		if g := &t.ignored[i]; g.Polygon.Contains(ground(d.Box)) && takes(g.Labels, t.label(d.Class)) {
			return true
		}
	}
	return false
}

// begin makes objects of the sure detections that continue none. One that all but covers an object that was seen is a second
// detection of it.
func (t *Tracker) begin(detections []infer.Detection) {
	const same = 0.8
	for _, i := range t.sure {
		d := detections[i]
		if t.matched[i] != nil || slices.ContainsFunc(t.objects, func(o *object) bool {
			return o.seen && t.comparable(o, d.Class) && o.seenAs.IoU(d.Box) > same
		}) {
			continue
		}
		o := t.fresh()
		o.begin(d, t.frame, float64(t.aspect), len(t.zones), len(t.lines))
		t.matched[i] = o
		t.objects = append(t.objects, o)
	}
}

func (t *Tracker) fresh() *object {
	if n := len(t.spare); n > 0 {
		o := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return o
	}
	return &object{}
}

func (t *Tracker) comparable(o *object, class int) bool {
	return !t.config.PerClass || o.class == class
}

// ObjectOf gives the id of the object that a detection of the last Update was taken for; empty where it was for none that is
// believed.
func (t *Tracker) ObjectOf(detection int) string {
	if detection < 0 || detection >= len(t.matched) || t.matched[detection] == nil {
		return ""
	}
	return t.matched[detection].id
}

// Sightings appends where each believed object is, or should be, in the latest frame.
func (t *Tracker) Sightings(to []Sighting) []Sighting {
	for _, o := range t.objects {
		if !o.confirmed() {
			continue
		}
		s := Sighting{
			ID: o.id, Class: o.label, Label: t.label(o.label), Score: o.score, Box: o.seenAs,
			Predicted: !o.seen, Unseen: t.frame.Monotonic - o.last,
		}
		if s.Predicted {
			s.Box = o.box.Clip()
		}
		to = append(to, s)
	}
	return to
}

func sqrt32(v float32) float32 { return float32(math.Sqrt(float64(v))) }
