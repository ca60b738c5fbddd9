// Package coco measures detections by the rules of the COCO detection challenge.
package coco

import (
	"math"
	"slices"
)

// Truth is an object that is in a picture. Boxes are x, y, width, height in pixels.
type Truth struct {
	Picture, Category int64
	Box               [4]float64
	Area              float64 // of the object, where it is known better than by its box
	Crowd             bool    // a group: found objects in it are neither right nor wrong
}

// Found is a detection.
type Found struct {
	Picture, Category int64
	Box               [4]float64
	Score             float64
}

// Metrics are the challenge's figures, each 0..1; -1 where there is nothing to measure it by.
type Metrics struct {
	AP       float64 `json:"ap"` // the mean over overlaps of 0.50 to 0.95 and over categories: mAP
	AP50     float64 `json:"ap50"`
	AP75     float64 `json:"ap75"`
	APSmall  float64 `json:"ap_small"`  // areas below 32²
	APMedium float64 `json:"ap_medium"` // 32² to 96²
	APLarge  float64 `json:"ap_large"`
	AR       float64 `json:"ar"` // the mean of the most recall, with up to 100 detections for each picture
}

const mostFound = 100 // for each picture and category

// overlaps are 0.50, 0.55, … 0.95.
func overlaps() (all [10]float64) {
	for i := range all {
		all[i] = 0.5 + 0.05*float64(i)
	}
	return all
}

type areaRange struct{ least, most float64 }

// Measure compares what was found with what is there.
// Definition: https://cocodataset.org/#detection-eval, and cocoapi's PythonAPI/pycocotools/cocoeval.py.
func Measure(truths []Truth, found []Found) Metrics {
	const small, large = 32 * 32, 96 * 96
	every := areaRange{0, math.Inf(1)}
	all := measure(truths, found, every)
	return Metrics{
		AP: mean(all.precision[:]), AP50: all.precision[0], AP75: all.precision[5], AR: mean(all.recall[:]),
		APSmall:  mean(precisionOf(truths, found, areaRange{0, small})),
		APMedium: mean(precisionOf(truths, found, areaRange{small, large})),
		APLarge:  mean(precisionOf(truths, found, areaRange{large, math.Inf(1)})),
	}
}

func precisionOf(truths []Truth, found []Found, r areaRange) []float64 {
	m := measure(truths, found, r)
	return m.precision[:]
}

// curves are, by overlap, means over the categories that have something to find.
type curves struct{ precision, recall [10]float64 }

func measure(truths []Truth, found []Found, r areaRange) curves {
	byCategory := map[int64]*problem{}
	var categories []int64
	of := func(category int64) *problem {
		p := byCategory[category]
		if p == nil {
			p = &problem{truths: map[int64][]Truth{}, found: map[int64][]Found{}}
			byCategory[category] = p
			categories = append(categories, category)
		}
		return p
	}
	for _, t := range truths {
		p := of(t.Category)
		p.truths[t.Picture] = append(p.truths[t.Picture], t)
	}
	for _, f := range found {
		p := of(f.Category)
		p.found[f.Picture] = append(p.found[f.Picture], f)
	}
	slices.Sort(categories)
	var m curves
	for i, overlap := range overlaps() {
		var precisions, recalls []float64
		for _, category := range categories {
			if precision, recall, ok := byCategory[category].solve(overlap, r); ok {
				precisions, recalls = append(precisions, precision), append(recalls, recall)
			}
		}
		m.precision[i], m.recall[i] = mean(precisions), mean(recalls)
	}
	return m
}

func mean(values []float64) float64 {
	if len(values) == 0 || values[0] < 0 {
		return -1
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// problem is one category, by picture.
type problem struct {
	truths map[int64][]Truth
	found  map[int64][]Found
}

// verdict is what became of a detection.
type verdict struct {
	score float64
	right bool
}

// solve gives the average precision and the recall; not ok where there is nothing to find.
func (p *problem) solve(overlap float64, r areaRange) (precision, recall float64, ok bool) {
	positives := 0
	var pictures []int64
	for picture, all := range p.truths {
		pictures = append(pictures, picture)
		for _, t := range all {
			if !r.ignores(t) {
				positives++
			}
		}
	}
	if positives == 0 {
		return 0, 0, false
	}
	for picture := range p.found {
		if _, known := p.truths[picture]; !known {
			pictures = append(pictures, picture)
		}
	}
	slices.Sort(pictures)
	var verdicts []verdict
	for _, picture := range pictures {
		verdicts = append(verdicts, judge(p.truths[picture], p.found[picture], overlap, r)...)
	}
	slices.SortStableFunc(verdicts, func(a, b verdict) int { return compare(b.score, a.score) })
	precision, recall = average(verdicts, positives)
	return precision, recall, true
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ignores tells whether an object does not count: finding it is neither right nor wrong.
func (r areaRange) ignores(t Truth) bool { return t.Crowd || t.Area < r.least || t.Area > r.most }

// judge matches one picture's detections, the best first, each with the object that it overlaps most and that is free.
func judge(truths []Truth, found []Found, overlap float64, r areaRange) (verdicts []verdict) {
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b Found) int { return compare(b.Score, a.Score) })
	truths = slices.Clone(truths)
	slices.SortStableFunc(truths, func(a, b Truth) int { // those that count come first
		if ia, ib := r.ignores(a), r.ignores(b); ia != ib {
			if ib {
				return -1
			}
			return 1
		}
		return 0
	})
	taken := make([]bool, len(truths))
	for _, f := range found[:min(len(found), mostFound)] {
		best, most := -1, min(overlap, 1-1e-10)
		for i, t := range truths {
			if taken[i] && !t.Crowd {
				continue
			}
			if best >= 0 && !r.ignores(truths[best]) && r.ignores(t) {
				break // what counts comes before what does not
			}
			if v := iou(f.Box, t); v >= most {
				best, most = i, v
			}
		}
		area := f.Box[2] * f.Box[3]
		switch {
		case best >= 0 && r.ignores(truths[best]):
			taken[best] = true
		case best >= 0:
			taken[best] = true
			verdicts = append(verdicts, verdict{f.Score, true})
		case area >= r.least && area <= r.most:
			verdicts = append(verdicts, verdict{f.Score, false})
		}
	}
	return verdicts
}

// iou is the overlap of a detection with an object; with a group it is the part of the detection that lies in it.
func iou(a [4]float64, t Truth) float64 {
	b := t.Box
	w := min(a[0]+a[2], b[0]+b[2]) - max(a[0], b[0])
	h := min(a[1]+a[3], b[1]+b[3]) - max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	union := a[2]*a[3] + b[2]*b[3] - w*h
	if t.Crowd {
		union = a[2] * a[3]
	}
	return w * h / union
}

// average is the precision at recalls of 0, 0.01, … 1, each the best at that recall or a higher one.
func average(verdicts []verdict, positives int) (precision, recall float64) {
	var precisions, recalls []float64
	right := 0
	for i, v := range verdicts {
		if v.right {
			right++
		}
		precisions = append(precisions, float64(right)/float64(i+1))
		recalls = append(recalls, float64(right)/float64(positives))
	}
	for i := len(precisions) - 2; i >= 0; i-- {
		precisions[i] = max(precisions[i], precisions[i+1])
	}
	sum, at := 0.0, 0
	for i := range 101 {
		for at < len(recalls) && recalls[at] < float64(i)/100 {
			at++
		}
		if at < len(precisions) {
			sum += precisions[at]
		}
	}
	return sum / 101, float64(right) / float64(positives)
}
