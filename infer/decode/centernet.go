package decode

import (
	"fmt"

	"vedette/infer"
)

// CenterNet with its peaks picked in the graph, as the default model (MobileNetV3, 512x512) has it: the output is
// [1, N, 6], a row being x1, y1, x2, y2 in input pixels, score, class. Picking peaks leaves nothing for non-maximum
// suppression.
func centernetFamily() family {
	return family{
		name:  "centernet",
		shape: "a picture, one output [1 N 6], N up to 1000",
		fits: func(m model) fit {
			if _, ok := m.endToEndRows(); !ok {
				return no
			}
			return maybe
		},
		recognise: func(m model) (Family, error) {
			rows, _ := m.endToEndRows()
			labels, evidence := m.labelsOrCOCO()
			return Family{
				Input:    m.spec(infer.RGB, infer.Stretch, same(0), same(1)),
				Labels:   labels,
				Evidence: []string{fmt.Sprintf("output %v is rows of box, score, class", m.Outputs[0].Shape), evidence},
				decoder:  newEndToEnd(rows),
			}, nil
		},
	}
}
