package main

import (
	"encoding/json"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
)

// The scene has a person at its left and a cup at its right. Flipped, the person is at the right: boxes, zones, masks and pictures are
// all of the flipped picture, whether masks are painted in raw frames or in decoded ones.
func TestAFlippedCamera(t *testing.T) {
	const (
		left    = "[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"
		right   = "[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]"
		flipped = ", rate: 5, flip: horizontal, masks: [" + left + "], zones: {right: {polygon: " + right + "}}, "
	)
	s := startService(t,
		"  - {name: raw"+flipped+"source: {scene: {size: 640x360, rate: 10, format: yuyv}}}\n"+
			"  - {name: packed"+flipped+"source: {scene: {size: 640x360, rate: 10, format: mjpeg}}}\n"+
			"infer: {thresholds: {default: 0.4}}\n", "commands: [snapshot]")
	for _, camera := range []string{"raw", "packed"} {
		s.await(t, camera+"/detections", func(text string) bool {
			var message struct{ Detections []detected }
			if err := json.Unmarshal([]byte(text), &message); err != nil {
				t.Fatal(err)
			}
			for _, d := range message.Detections {
				if d.Label == "cup" || d.Box[0] < 0.5 {
					t.Errorf("%s: %+v is where the mask is, or was before the flip", camera, d)
				}
			}
			return slices.ContainsFunc(message.Detections, func(d detected) bool { return d.Label == "person" })
		})
		s.await(t, camera+"/events", func(text string) bool {
			return strings.Contains(text, `"person"`) && strings.Contains(text, `"zones":["right"]`)
		})
		s.say(t, "vedette/test/command/snapshot", `{"id":"`+camera+`","args":{"camera":"`+camera+`"}}`)
		shot, err := jpeg.Decode(strings.NewReader(s.await(t, camera+"/snapshot", anything)))
		if err != nil {
			t.Fatal(err)
		}
		brightest := func(from, to int) (v uint8) {
			for y := range 360 {
				for x := from; x < to; x++ {
					v = max(v, color.GrayModel.Convert(shot.At(x, y)).(color.Gray).Y)
				}
			}
			return v
		}
		if masked, shown := brightest(0, 312), brightest(328, 640); masked > 12 || shown < 128 { // a JPEG's blocks blur the edge
			t.Errorf("%s: the brightest pixel that is masked is %d, of the others %d", camera, masked, shown)
		}
	}
}
