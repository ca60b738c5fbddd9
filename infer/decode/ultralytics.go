package decode

import (
	"fmt"
	"strings"

	"vedette/infer"
)

// isUltralytics tells whether the metadata is of the kind that Ultralytics' exporter writes.
func (m model) isUltralytics() bool {
	if m.Metadata["author"] == "Ultralytics" {
		return true
	}
	for _, key := range []string{"task", "stride", "names"} {
		if m.Metadata[key] == "" {
			return false
		}
	}
	return true
}

// ultralytics is what Ultralytics' families have in common: RGB/255, letterboxed; labels in the metadata. A classes of 0
// is not known.
func (m model) ultralytics(classes int) (Family, error) {
	if task := m.Metadata["task"]; task != "" && task != "detect" {
		return Family{}, fmt.Errorf("it is made for another task (its metadata says task %q): export one for detection", task)
	}
	f := Family{Input: m.spec(infer.RGB, infer.Letterbox, same(0), same(1./255))}
	var evidence string
	var err error
	if classes > 0 {
		f.Labels, evidence, err = m.labelsFor(classes)
	} else {
		f.Labels, evidence = m.labelsOrCOCO()
	}
	f.Evidence = []string{evidence}
	if said := m.Metadata["description"]; m.isUltralytics() && said != "" {
		f.Evidence = append(f.Evidence, fmt.Sprintf("metadata: %.80q", strings.Join(strings.Fields(said), " ")))
	}
	return f, err
}
