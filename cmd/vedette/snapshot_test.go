package main

import (
	"fmt"
	"image"
	"image/jpeg"
	"strings"
	"testing"
)

const bestTopic = "yard/person/snapshot"

// bright is how many of a part's pixels are not black; what masks hide is.
func bright(img image.Image, part image.Rectangle) (n int) {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			if r, g, b, _ := img.At(x, y).RGBA(); max(r, g, b) > 40<<8 {
				n++
			}
		}
	}
	return n
}

// decoded is one of 640x360 pixels.
func decoded(t *testing.T, text string) image.Image {
	t.Helper()
	img, err := jpeg.Decode(strings.NewReader(text))
	if err != nil || img.Bounds() != image.Rect(0, 0, 640, 360) {
		t.Fatalf("a picture of %d bytes: %v, %v", len(text), img, err)
	}
	return img
}

// TestTheBestViewIsPublished looks at the pictures that a subscriber gets: the object is in the box, what masks hide is black, and
// after a change of the masks no picture comes, nor is one left, that was made before.
func TestTheBestViewIsPublished(t *testing.T) {
	mask := func(x1, x2 float64) string {
		return fmt.Sprintf("masks: [[[%g, 0], [%g, 0], [%g, 0.1], [%g, 0.1]]]", x1, x2, x2, x1)
	}
	left, right := image.Rect(0, 0, 120, 36), image.Rect(520, 0, 640, 36)
	masked := strings.Replace(yard, "{name: yard", "{name: yard, "+mask(0, 0.2), 1)
	s := startService(t, masked, "snapshots: {enabled: true, every: 1s, box: true}, dialects: [vedette, frigate], commands: [snapshot]")
	img := decoded(t, s.await(t, bestTopic, anything))
	if n := bright(img, left); n > left.Dx()*left.Dy()/100 {
		t.Errorf("%d pixels of what the mask hides are seen", n)
	}
	if n := bright(img, right); n < right.Dx()*right.Dy()/2 {
		t.Errorf("only %d pixels of what no mask hides are seen", n)
	}
	if box := outlined(img); box.Dx() < 60 || box.Dy() < 100 || bright(img, box) < box.Dx()*box.Dy()/3 {
		t.Errorf("the box is %v, with %d pixels in it that are not black", box, bright(img, box))
	}
	s.awaitTopic(t, "frigate/"+bestTopic, anything)
	later := &service{log: s.log, lines: listen(t, s.port(t))} // who comes later has the picture at once, and Home Assistant knows of it
	later.await(t, bestTopic, anything)
	later.awaitTopic(t, "homeassistant/device/vedette_test/config", func(text string) bool {
		return strings.Contains(text, `"img_t":"vedette/test/`+bestTopic)
	})
	if got := s.command(t, "snapshot", `{"id":"1"}`); !got.OK {
		t.Errorf("the command snapshot: %+v", got)
	}

	s.rewrite(t, mask(0, 0.2), mask(0.8, 1))
	if _, errs, code := s.ask(t, "config", "reload"); code != 0 {
		t.Fatalf("reload: %s", errs)
	}
	empty := func(text string) bool { return text == "" }
	s.await(t, bestTopic, empty)
	img = decoded(t, s.await(t, bestTopic, anything))
	if n := bright(img, right); n > right.Dx()*right.Dy()/100 {
		t.Errorf("%d pixels of what the new mask hides are seen", n)
	}
	later.await(t, "yard/snapshot", anything) // what the command asked for
	later.await(t, "yard/snapshot", empty)

	// The same while the service does not run: the next start takes back what is at the broker. A command that waits there is not
	// obeyed: nobody knows how old it is.
	s.stop(t)
	s.rewrite(t, mask(0.8, 1), mask(0.4, 0.6))
	s.say(t, "vedette/test/command/snapshot", `{"id":"2"}`, "-r")
	s.start(t)
	later.await(t, "command/snapshot/result", func(text string) bool {
		return strings.Contains(text, `"id":"2"`) && strings.Contains(text, `"ok":false`) && strings.Contains(text, "retained")
	})
	s.await(t, bestTopic, empty)
	s.await(t, bestTopic, func(text string) bool { return text != "" })
	s.rewrite(t, "{name: yard", "{name: porch")
	if _, errs, code := s.ask(t, "config", "reload"); code != 0 {
		t.Fatalf("reload: %s", errs)
	}
	s.await(t, bestTopic, empty)
}

// outlined is the rectangle that is drawn in green.
func outlined(img image.Image) (box image.Rectangle) {
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if r, g, b, _ := img.At(x, y).RGBA(); g > r+100<<8 && g > b+80<<8 {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return box
}
