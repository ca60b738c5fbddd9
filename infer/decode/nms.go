package decode

// suppression is greedy non-maximum suppression: of boxes that overlap the best stays.
type suppression struct {
	iou      float32 // overlap above which two boxes are the same object
	agnostic bool    // across classes, where it is else within each
}

// nms is the suppression that the manifest wants, or a family's own within each class.
func (m model) nms(iou float32) suppression {
	s := suppression{iou: iou, agnostic: m.manifest.NMS.Agnostic}
	if by := m.manifest.NMS.IoU; by != nil {
		s.iou = *by
	}
	return s
}

// suppress keeps the best of ranked candidates. It works in place and keeps at most `most`, so its time is bounded by
// len(all) times most.
func (s suppression) suppress(all []candidate, most int) []candidate {
	kept := 0
	for _, c := range all {
		if kept == most {
			break
		}
		if !s.covered(c, all[:kept]) {
			all[kept] = c
			kept++
		}
	}
	return all[:kept]
}

func (s suppression) covered(c candidate, kept []candidate) bool {
	for i := range kept {
		if (s.agnostic || kept[i].class == c.class) && kept[i].box.IoU(c.box) > s.iou {
			return true
		}
	}
	return false
}
