package decode

import (
	"fmt"

	"vedette/infer"
)

// RF-DETR (Roboflow): the outputs are `dets` [1, N, 4], centre and size in 0..1 of the input, and `labels` [1, N, classes],
// logits. The model for COCO has 91 classes, the data set's own category numbers.
// Source: rfdetr/models/lwdetr.py, PostProcess; rfdetr/detr.py for the input's normalisation.
func rfdetrFamily() family {
	return family{
		name:  "rfdetr",
		shape: "a picture, outputs dets [1 N 4] and labels [1 N classes]",
		fits: func(m model) fit {
			switch _, _, named, ok := m.boxesAndLogits("dets", "labels"); {
			case !ok:
				return no
			case named:
				return sure
			}
			return maybe
		},
		recognise: func(m model) (Family, error) {
			boxes, logits, _, _ := m.boxesAndLogits("dets", "labels")
			shape := m.Outputs[logits].Shape
			if classes := int(shape[2]); len(m.labels) == classes-1 { // trained on one's own data, it has one too many
				m.labels = append(m.labels[:len(m.labels):len(m.labels)], fmt.Sprintf("class_%d", classes-1))
			}
			labels, evidence, err := m.labelsFor(int(shape[2]))
			if err != nil {
				return Family{}, err
			}
			return Family{
				Input:  m.spec(infer.RGB, infer.Stretch, imageNetMean(), imageNetScale()),
				Labels: labels,
				Evidence: []string{
					fmt.Sprintf("outputs %s %v and %s %v are boxes and a logit for each class",
						m.Outputs[boxes].Name, m.Outputs[boxes].Shape, m.Outputs[logits].Name, shape), evidence,
				},
				decoder: newQueries(m, boxes, logits, int(max(shape[1], 0))),
			}, nil
		},
	}
}

// ImageNet's mean and deviation, of 0..255, with which most of torchvision's networks are trained.
func imageNetMean() [3]float32 { return [3]float32{123.675, 116.28, 103.53} }

func imageNetScale() [3]float32 { return [3]float32{1 / 58.395, 1 / 57.12, 1 / 57.375} }
