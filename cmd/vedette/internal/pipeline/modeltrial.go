package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/bundle"
	"vedette/infer/store"
)

// How near a self-test's detection has to come to what the manifest expects. Providers and their precisions differ by less.
const (
	selfTestIoU   = 0.9
	selfTestScore = 0.05
)

// tryBundle loads an installed bundle's model in a worker of its own, and compares what it finds in the bundle's own pictures with
// what it is to find.
func (p *Pipeline) tryBundle(ctx context.Context, cfg config.Config, i store.Installed) error {
	cfg = ForSelfTest(cfg)
	logger := p.opts.Logger.With("purpose", "try model "+i.Name, "version", i.Version)
	_, err := SelfTest(ctx, i, func(ctx context.Context, pictures [][]byte) (infer.Model, [][]infer.Detection, error) {
		return Probe(ctx, cfg, p.opts.Executable, p.opts.Tree, pictures, logger)
	})
	return err
}

// ForSelfTest is a configuration in which a self-test finds what it is to find, whatever scores count on this device: it was
// written down with what holds where a configuration is silent.
func ForSelfTest(cfg config.Config) config.Config {
	silent := config.Default()
	cfg.Infer.Thresholds, cfg.Track.Low = silent.Infer.Thresholds, silent.Track.Low
	return cfg
}

// SelfTest runs a bundle's own test by way of probe, which is handed the pictures.
func SelfTest(ctx context.Context, i store.Installed, probe func(context.Context, [][]byte) (infer.Model, [][]infer.Detection, error),
) (infer.Model, error) {
	var pictures [][]byte
	for _, test := range i.Manifest.SelfTest {
		picture, err := os.ReadFile(filepath.Join(i.Folder, test.Image))
		if err != nil {
			return infer.Model{}, fmt.Errorf("cannot read a self-test's picture: %w", err)
		}
		pictures = append(pictures, picture)
	}
	model, found, err := probe(ctx, pictures)
	if err != nil {
		return infer.Model{}, err
	}
	for n, test := range i.Manifest.SelfTest {
		for _, want := range test.Expect {
			if !isIn(found[n], want) {
				return infer.Model{}, fmt.Errorf("its self-test fails: in %s it does not find %s at %.3v with score %.2f", test.Image,
					labelOf(model, want.Class), want.Box, want.Score)
			}
		}
	}
	return model, nil
}

func labelOf(model infer.Model, class int) string {
	if label := model.Label(class); label != "" {
		return label
	}
	return fmt.Sprintf("class %d", class)
}

func isIn(found []infer.Detection, want bundle.Expected) bool {
	box := infer.Box{X1: want.Box[0], Y1: want.Box[1], X2: want.Box[2], Y2: want.Box[3]}
	for _, d := range found {
		if difference := d.Score - want.Score; d.Class == want.Class && difference <= selfTestScore && -difference <= selfTestScore &&
			d.Box.IoU(box) >= selfTestIoU {
			return true
		}
	}
	return false
}
