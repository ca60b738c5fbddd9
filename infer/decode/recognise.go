package decode

import (
	"fmt"
	"strings"

	"vedette/infer"
	"vedette/infer/manifest"
)

// Recognise tells a model's family by what the manifest says, by its custom metadata — `family` (a family's name) and
// `names` (the labels: a JSON list, or the Python dict that Ultralytics writes); a family may read further keys — and by
// its tensors' names and shapes. Where the first two name a family, the tensors must fit it. Where several families fit
// and nothing decides, the error names the setting that does.
//
// The shapes may be the file's, with free dimensions of -1, or those that a session has bound.
func Recognise(s infer.Signature, by manifest.Manifest) (Family, error) {
	claimed, source := by.Family, "the manifest"
	if claimed == "" {
		claimed, source = s.Metadata["family"], "its metadata"
	}
	if claimed != "" && !isKnown(claimed) {
		return Family{}, fmt.Errorf("cannot use the model: %s says family %q; known are %s", source, claimed, knownFamilies())
	}
	m := model{Signature: s, manifest: by, claimed: claimed}
	if err := m.readLabels(); err != nil {
		return Family{}, err
	}
	if err := m.findPicture(); err != nil {
		return Family{}, fmt.Errorf("cannot tell the model's family: it has %s; %w; known are %s", m, err, knownFamilies())
	}
	candidate, err := m.choose(claimed, source)
	if err != nil {
		return Family{}, err
	}
	f, err := candidate.recognise(m)
	if err != nil {
		return Family{}, fmt.Errorf("cannot use the model as %s: %w", candidate.name, err)
	}
	f.Name, f.Image, f.Thresholds = candidate.name, m.picture.index, by.Thresholds
	if claimed != "" {
		f.Evidence = append([]string{fmt.Sprintf("%s: family is %q", strings.TrimPrefix(source, "its "), claimed)}, f.Evidence...)
	}
	return f, m.applyInput(&f.Input)
}

// choose finds the one family that fits best.
func (m model) choose(claimed, source string) (family, error) {
	var best []family
	fit := no
	for _, candidate := range families() {
		if claimed != "" && claimed != candidate.name {
			continue
		}
		f := candidate.fits(m)
		switch {
		case f == no:
			if claimed != "" {
				return family{}, fmt.Errorf("cannot use the model as %s, which %s names: it has %s; needed is %s",
					candidate.name, source, m, candidate.shape)
			}
		case f > fit:
			fit, best = f, []family{candidate}
		case f == fit:
			best = append(best, candidate)
		}
	}
	switch len(best) {
	case 1:
		return best[0], nil
	case 0:
		if m.labels != nil { // a family that fits but for them says so
			without := m
			without.labels = nil
			if f, err := without.choose(claimed, source); err == nil {
				return f, nil
			}
		}
		return family{}, fmt.Errorf("cannot tell the model's family: it has %s; known are %s", m, knownFamilies())
	}
	var names []string
	for _, b := range best {
		names = append(names, b.name)
	}
	return family{}, fmt.Errorf("cannot tell the model's family: its tensors (%s) fit %s: say which by `family` in the "+
		"model's manifest or metadata", m, strings.Join(names, " and "))
}

// family is an entry in the list of those that are known.
type family struct {
	name  string
	shape string // what its tensors look like, for people
	// fits tells whether the tensors look like this family's.
	fits func(model) fit
	// recognise fills in what is the family's own of a model that fits; the error says what contradicts that.
	recognise func(model) (Family, error)
}

// fit is how well a model fits a family. The better fit wins.
type fit int

const (
	no    fit = iota
	maybe     // others may have tensors of these shapes
	sure      // by a name, by metadata, or by a shape that no other family has
)

// families are those that are known. Each is a file of its own.
func families() []family {
	return []family{
		centernetFamily(), dfineFamily(), fastestdetFamily(), nanodetFamily(), rfdetrFamily(), rtdetrFamily(), ssdFamily(),
		yolov5Family(), yolov8Family(), yolov10Family(), yoloxFamily(),
	}
}

func isKnown(name string) bool {
	for _, f := range families() {
		if f.name == name {
			return true
		}
	}
	return false
}

func knownFamilies() string {
	var known []string
	for _, f := range families() {
		known = append(known, f.name+" ("+f.shape+")")
	}
	return strings.Join(known, ", ")
}

// model is what recognition looks at.
type model struct {
	infer.Signature
	manifest manifest.Manifest
	claimed  string   // the family that somebody names; "" where nobody does
	labels   []string // nil where nobody says
	labelsBy string   // who does
	picture  picture
}

// String lists the tensors: "inputs images float32[1 3 416 416]; outputs output float32[1 3549 85]".
func (m model) String() string {
	list := func(tensors []infer.Tensor) string {
		var all []string
		for _, t := range tensors {
			all = append(all, fmt.Sprintf("%s %s%v", t.Name, t.Type, t.Shape))
		}
		return strings.Join(all, ", ")
	}
	return "inputs " + list(m.Inputs) + "; outputs " + list(m.Outputs)
}

func (m *model) readLabels() error {
	if len(m.manifest.Labels) > 0 {
		m.labels, m.labelsBy = m.manifest.Labels, "manifest"
		return nil
	}
	text, ok := m.Metadata["names"]
	if !ok {
		return nil
	}
	var err error
	m.labelsBy = "metadata"
	if m.labels, err = parseLabels(text); err != nil {
		return fmt.Errorf("cannot read the labels in the model's metadata (names): %w", err)
	}
	return nil
}

// labelsFor gives labels for a number of classes, and says where they come from.
func (m model) labelsFor(classes int) (labels []string, evidence string, err error) {
	switch {
	case m.labels != nil && len(m.labels) != classes:
		return nil, "", fmt.Errorf("its %s names %d labels for %d classes", m.labelsBy, len(m.labels), classes)
	case m.labels != nil:
		return m.labels, fmt.Sprintf("%s: %d labels", m.labelsBy, classes), nil
	case classes == len(coco()):
		return coco(), "no labels in the metadata: 80 classes are taken for COCO's", nil
	case classes == 1+len(cocoCategories()):
		return append([]string{"class_0"}, cocoCategories()...),
			"no labels in the metadata: 91 classes are taken for COCO's category numbers", nil
	}
	for class := range classes {
		labels = append(labels, fmt.Sprintf("class_%d", class))
	}
	return labels, fmt.Sprintf("no labels in the metadata: the %d classes are called by their numbers", classes), nil
}

// labelsOrCOCO gives labels for a number of classes that the tensors do not tell.
func (m model) labelsOrCOCO() (labels []string, evidence string) {
	if m.labels == nil {
		return coco(), "no labels in the metadata: the classes are taken for COCO's 80"
	}
	return m.labels, fmt.Sprintf("%s: %d labels", m.labelsBy, len(m.labels))
}

// labelsFit tells whether as many labels are known as there would be classes, or none.
func (m model) labelsFit(classes int64) bool {
	return m.labels == nil || m.claimed != "" || int64(len(m.labels)) == classes
}

// stridesOr gives the manifest's strides, or the sets that a family is known to have.
func (m model) stridesOr(known ...[]int) [][]int {
	if len(m.manifest.Strides) > 0 {
		return [][]int{m.manifest.Strides}
	}
	return known
}

// output gives the shape of the only output, where there is one and it is of numbers.
func (m model) output() (shape []int64, ok bool) {
	if len(m.Outputs) != 1 || !number(m.Outputs[0].Type) {
		return nil, false
	}
	return m.Outputs[0].Shape, true
}

func number(elements string) bool { return elements == "float32" || elements == "float16" }

// is tells whether a dimension is, or may become, a size.
func is(dimension, size int64) bool { return dimension == size || dimension < 0 }
