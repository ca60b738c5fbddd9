package decode

import (
	"fmt"

	"vedette/infer"
)

// YOLOv10, YOLO26 and other end-to-end exports of Ultralytics' (nms=True): the output is [1, N, 6], a row being x1, y1, x2,
// y2 in input pixels, score, class. Nothing is left to suppress. CenterNet's output looks the same, so that one of the two
// with its channels first has to be named, by metadata or manifest.
func yolov10Family() family {
	return family{
		name:  "yolov10",
		shape: "a picture, one output [1 N 6], N up to 1000",
		fits: func(m model) fit {
			if _, ok := m.endToEndRows(); !ok {
				return no
			}
			switch {
			case m.isUltralytics():
				return sure
			case m.picture.layout == infer.NHWC && m.claimed == "":
				return no // Ultralytics' have their channels first
			}
			return maybe
		},
		recognise: func(m model) (Family, error) {
			rows, _ := m.endToEndRows()
			f, err := m.ultralytics(0)
			if err != nil {
				return Family{}, err
			}
			f.Evidence = append([]string{fmt.Sprintf("output %v is rows of box, score, class", m.Outputs[0].Shape)}, f.Evidence...)
			if said, ok := m.Metadata["end2end"]; ok {
				f.Evidence = append(f.Evidence, "metadata: end2end is "+said)
			}
			f.decoder = newEndToEnd(rows)
			return f, nil
		},
	}
}
