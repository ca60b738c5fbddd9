package decode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vedette/infer"
)

// SSD with its post-processing in the graph, as TensorFlow's object detection models are exported (tf2onnx): the outputs are
// detection_boxes [1, N, 4] (y1, x1, y2, x2 in 0..1 of the input), detection_classes [1, N], detection_scores [1, N] and
// num_detections [1]. Classes count from 1, TensorFlow Lite's (TFLite_Detection_PostProcess) from 0.
// Source: research/object_detection/exporter_lib_v2.py of TensorFlow's models repository; tensorflow/lite/kernels/
// detection_postprocess.cc.
func ssdFamily() family {
	return family{
		name:  "ssd",
		shape: "a picture, outputs detection_boxes [1 N 4], detection_classes [1 N], detection_scores [1 N], num_detections [1]",
		fits: func(m model) fit {
			switch o, ok := m.ssdOutputs(); {
			case !ok:
				return no
			case o.named:
				return sure
			}
			return maybe
		},
		recognise: recogniseSSD,
	}
}

// ssdOutputs are the outputs' indices. A model may have further outputs.
type ssdOutputs struct {
	boxes, classes, scores, count int
	named                         bool // they are known by their names
	lite                          bool // as TensorFlow Lite names them
}

func (m model) ssdOutputs() (o ssdOutputs, ok bool) {
	find := func(dims int, names ...string) int {
		return slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool {
			name, _, _ := strings.Cut(t.Name, ":0")
			return len(t.Shape) == dims && number(t.Type) && (len(names) == 0 || slices.Contains(names, name))
		})
	}
	const lite = "TFLite_Detection_PostProcess"
	o = ssdOutputs{
		boxes: find(3, "detection_boxes", lite), classes: find(2, "detection_classes", lite+":1"),
		scores: find(2, "detection_scores", lite+":2"), count: find(1, "num_detections", lite+":3"),
	}
	if o.named = o.boxes >= 0 && o.classes >= 0 && o.scores >= 0 && o.count >= 0; o.named {
		o.lite = strings.HasPrefix(m.Outputs[o.boxes].Name, lite)
	} else if len(m.Outputs) == 4 {
		o.boxes, o.count = find(3), find(1)
		o.classes, o.scores = -1, -1
		for i, t := range m.Outputs {
			if len(t.Shape) == 2 {
				o.classes, o.scores = o.scores, i // in the order of either exporter
			}
		}
	}
	if o.boxes < 0 || o.classes < 0 || o.scores < 0 || o.count < 0 {
		return o, false
	}
	n := m.Outputs[o.boxes].Shape[1]
	return o, n != 0 && n <= mostRows && is(m.Outputs[o.boxes].Shape[2], 4) &&
		m.Outputs[o.classes].Shape[1] == n && m.Outputs[o.scores].Shape[1] == n
}

func recogniseSSD(m model) (Family, error) {
	o, _ := m.ssdOutputs()
	if !o.named && m.claimed == "" {
		return Family{}, errors.New("its outputs have other names than an SSD's: say `family: ssd` in its manifest if they are " +
			"boxes, classes, scores and their number, in this order")
	}
	first, evidence := 1, "classes count from 1, as TensorFlow's do"
	if o.lite {
		first, evidence = 0, "classes count from 0, as TensorFlow Lite's do"
	}
	if by := m.manifest.FirstClass; by != nil {
		first, evidence = *by, fmt.Sprintf("manifest: classes count from %d", *by)
	}
	labels, labelEvidence := m.labels, fmt.Sprintf("%s: %d labels", m.labelsBy, len(m.labels))
	if labels == nil {
		labels, labelEvidence = cocoCategories(), "no labels in the metadata: the classes are taken for COCO's category numbers"
	}
	rows := int(max(m.Outputs[o.boxes].Shape[1], 0))
	return Family{
		Input:  m.spec(infer.RGB, infer.Stretch, same(0), same(1)),
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("outputs %s, %s, %s and %s are those of an SSD with its post-processing", m.Outputs[o.boxes].Name,
				m.Outputs[o.classes].Name, m.Outputs[o.scores].Name, m.Outputs[o.count].Name), evidence, labelEvidence,
		},
		decoder: func(thresholds []float32) Decoder {
			return &ssd{
				thresholds: thresholds, outputs: o, all: len(m.Outputs), rows: rows, first: float32(first),
				width: float32(m.picture.width), height: float32(m.picture.height), found: make([]candidate, 0, rows),
			}
		},
	}, nil
}

type ssd struct {
	thresholds    []float32 // by class
	outputs       ssdOutputs
	all           int // how many outputs the model has
	rows          int
	first         float32 // the number of the first class
	width, height float32 // of the input, in pixels
	found         []candidate
}

func (d *ssd) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	o := d.outputs
	if len(outputs) != d.all {
		return dst, fmt.Errorf("cannot decode %d outputs: the model has %d", len(outputs), d.all)
	}
	if err := check([]Output{outputs[o.boxes], outputs[o.classes], outputs[o.scores], outputs[o.count]},
		4*d.rows, d.rows, d.rows, 1); err != nil {
		return dst, err
	}
	boxes, classes, scores := outputs[o.boxes].Data, outputs[o.classes].Data, outputs[o.scores].Data
	rows := 0
	if count := outputs[o.count].Data[0]; count > 0 {
		rows = int(min(count, float32(d.rows)))
	}
	d.found = d.found[:0]
	for i := range rows {
		b := boxes[4*i:][:4]
		c := candidate{
			box:   infer.Box{X1: b[1] * d.width, Y1: b[0] * d.height, X2: b[3] * d.width, Y2: b[2] * d.height},
			score: scores[i], index: i,
		}
		if c.classify(classes[i]-d.first, d.thresholds) && c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.found, p, dst), nil
}
