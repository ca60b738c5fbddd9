package payload

import (
	"slices"
	"strconv"
	"strings"
)

// maxLabel is the most bytes of a label as a part of a topic, as of every other name there.
const maxLabel = 32

// LabelPart makes a label a part of topics: letters become small, whatever is none of a-z, 0-9, _ and - becomes _, one for each
// run, and none stays at either end; at most 32 bytes are kept. What is left empty is class_<id>; what is a reserved name gets an
// _ at its end. So "Traffic Light" is traffic_light.
func LabelPart(label string, class int) string {
	var part strings.Builder
	gap := false
	for _, r := range strings.ToLower(label) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			if gap && part.Len() > 0 {
				part.WriteByte('_')
			}
			gap = false
			part.WriteRune(r)
		default:
			gap = true
		}
	}
	text := part.String()
	if len(text) > maxLabel {
		text = text[:maxLabel]
	}
	text = strings.Trim(text, "_")
	if text == "" {
		return "class_" + strconv.Itoa(class)
	}
	if slices.Contains(Reserved(), text) {
		return text + "_"
	}
	return text
}

// Reserved are the words that are parts of topics: no camera, zone or label has them.
func Reserved() []string {
	return []string{"status", "state", "faults", "command", "events", "detections", "snapshot", "all"}
}
