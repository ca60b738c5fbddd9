package infer

import "testing"

// The configuration's word on a label comes first, then the manifest's, then the manifest's default, then the configuration's.
func TestThresholdsOfAModel(t *testing.T) {
	configured := Thresholds{"default": 0.4, "person": 0.6}
	for _, c := range []struct {
		label    string
		manifest Thresholds
		want     float32
	}{
		{"cup", nil, 0.4},
		{"cup", Thresholds{"person": 0.2}, 0.4},
		{"cup", Thresholds{"cup": 0.2}, 0.2},
		{"cup", Thresholds{"default": 0.3}, 0.3},
		{"cup", Thresholds{"default": 0.3, "cup": 0.7}, 0.7},
		{"person", Thresholds{"default": 0.3, "person": 0.2}, 0.6},
	} {
		whole := configured.Over(c.manifest)
		if got := whole.For(c.label); got != c.want {
			t.Errorf("with %v in the manifest %s counts from %g on, want %g", c.manifest, c.label, got, c.want)
		}
		if got := whole.AtMost(0.25).For(c.label); got != min(c.want, 0.25) {
			t.Errorf("with %v in the manifest %s is given from %g on, want %g", c.manifest, c.label, got, min(c.want, 0.25))
		}
	}
	if len(configured) != 2 {
		t.Errorf("the configuration's own have become %v", configured)
	}
}
