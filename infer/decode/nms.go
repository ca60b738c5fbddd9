package decode

// defaultIoU is the overlap from which two boxes are the same object: YOLOX's own evaluation and OpenCV's samples use it.
const defaultIoU = 0.45

// suppress keeps the best of ranked candidates that overlap: greedy non-maximum suppression within each class. It works
// in place and keeps at most `most`, so its time is bounded by len(all) times most.
func suppress(all []candidate, iou float32, most int) []candidate {
	kept := 0
	for _, c := range all {
		if kept == most {
			break
		}
		if !covered(c, all[:kept], iou) {
			all[kept] = c
			kept++
		}
	}
	return all[:kept]
}

func covered(c candidate, kept []candidate, iou float32) bool {
	for i := range kept {
		if kept[i].class == c.class && kept[i].box.IoU(c.box) > iou {
			return true
		}
	}
	return false
}
