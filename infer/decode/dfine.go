package decode

import "fmt"

// D-FINE: exported as RT-DETR is, of which it is a descendant, and read the same. What tells them apart is the part of its
// decoder that judges where an edge lies, whose name its nodes carry.
// Source: tools/deployment/export_onnx.py and src/zoo/dfine/dfine_decoder.py of the D-FINE repository.
func dfineFamily() family {
	return family{
		name:  "dfine",
		shape: rtdetrShape,
		fits: func(m model) fit {
			its := m.hasNode(dfineNode)
			if !its && m.claimed == "" {
				return no
			}
			return rtdetrFit(m, its)
		},
		recognise: func(m model) (Family, error) {
			f, err := recogniseRTDETR(m)
			if err == nil && m.hasNode(dfineNode) {
				f.Evidence = append(f.Evidence, fmt.Sprintf("its nodes are named after D-FINE's decoder (%s)", dfineNode))
			}
			return f, err
		},
	}
}

const dfineNode = "lqe_layers"
