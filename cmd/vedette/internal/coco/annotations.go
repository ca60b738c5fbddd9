package coco

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxAnnotations bounds the file: COCO's own largest has 450 MiB.
const maxAnnotations = 1 << 30

// Annotations are a file in COCO's form, as far as boxes go.
type Annotations struct {
	Images []struct {
		ID   int64  `json:"id"`
		File string `json:"file_name"`
	} `json:"images"`
	Annotations []struct {
		Image    int64      `json:"image_id"`
		Category int64      `json:"category_id"`
		Box      [4]float64 `json:"bbox"`
		Area     float64    `json:"area"`
		Crowd    int        `json:"iscrowd"`
	} `json:"annotations"`
	Categories []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"categories"`
}

// Read reads an annotation file.
func Read(path string) (Annotations, error) {
	f, err := os.Open(path)
	if err != nil {
		return Annotations{}, fmt.Errorf("cannot read the annotations: %w", err)
	}
	defer f.Close()
	var a Annotations
	if err := json.NewDecoder(io.LimitReader(f, maxAnnotations)).Decode(&a); err != nil {
		return Annotations{}, fmt.Errorf("cannot read the annotations in %s: %w", path, err)
	}
	if len(a.Images) == 0 || len(a.Categories) == 0 {
		return Annotations{}, fmt.Errorf("cannot use the annotations in %s: %d images and %d categories; "+
			"the form is that of COCO's instances_*.json", path, len(a.Images), len(a.Categories))
	}
	for _, image := range a.Images {
		if !filepath.IsLocal(image.File) {
			return Annotations{}, fmt.Errorf("cannot use the annotations in %s: image %d has the file name %q, "+
				"which leads out of the folder", path, image.ID, image.File)
		}
	}
	return a, nil
}

// Truths are the objects.
func (a Annotations) Truths() []Truth {
	truths := make([]Truth, 0, len(a.Annotations))
	for _, x := range a.Annotations {
		t := Truth{Picture: x.Image, Category: x.Category, Box: x.Box, Area: x.Area, Crowd: x.Crowd != 0}
		if t.Area == 0 {
			t.Area = x.Box[2] * x.Box[3]
		}
		truths = append(truths, t)
	}
	return truths
}

// Category finds a label's category by its name; upper and lower case are the same.
func (a Annotations) Category(label string) (id int64, ok bool) {
	for _, c := range a.Categories {
		if strings.EqualFold(c.Name, label) {
			return c.ID, true
		}
	}
	return 0, false
}
