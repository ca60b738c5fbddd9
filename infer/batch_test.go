package infer

import (
	"strings"
	"testing"
	"time"
)

func TestBatchIsChecked(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Batch = Batch{Max: 8, Wait: time.Second} }, ""},
		{func(c *Config) { c.Batch.Max, c.Workers = 3, 5 }, ""},
		{func(c *Config) { c.Workers = 16 }, ""},
		{func(c *Config) { c.Batch.Max = 0 }, "batch.max: 0 is outside 1 to 8"},
		{func(c *Config) { c.Batch.Max = 9 }, "batch.max: 9 is outside 1 to 8"},
		{func(c *Config) { c.Batch.Max, c.Workers = 8, 3 }, "batch.max: 8 frames times 3 workers"},
		{func(c *Config) { c.Batch.Max, c.Preprocess = 2, "graph" }, "batch.max: with preprocess: graph"},
		{func(c *Config) { c.Batch, c.Deadlines.Run = Batch{Max: 2, Wait: time.Second}, time.Second }, "batch.wait: 1s is more than half"},
		{func(c *Config) { c.Batch.Wait = -1 }, "batch.wait: "},
		{func(c *Config) { c.Batch.Wait = 2 * time.Second }, "batch.wait: 2s is outside 0s to 1s"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		var said []string
		cfg.Validate(func(path, problem string) { said = append(said, path+": "+problem) })
		if c.want == "" && len(said) > 0 || c.want != "" && (len(said) != 1 || !strings.HasPrefix(said[0], c.want)) {
			t.Errorf("%+v: %q, want one that begins with %q", cfg.Batch, said, c.want)
		}
	}
}
