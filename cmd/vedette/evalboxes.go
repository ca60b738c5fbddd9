package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"vedette/cmd/vedette/internal/coco"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/cmd/vedette/internal/replay"
	"vedette/infer"
	"vedette/infer/preprocess"
)

// evaluation is what `vedette eval` prints of a model's boxes.
type evaluation struct {
	Model    string       `json:"model"`
	Family   string       `json:"family"`
	Provider string       `json:"provider"`
	Pictures int          `json:"pictures"`
	Unknown  []string     `json:"unknown_labels"` // the model's, that no category is named after
	Metrics  coco.Metrics `json:"metrics"`
}

// boxes are the flags of a measurement of boxes.
type boxes struct {
	annotations, images, config string
	limit                       int
}

func (b boxes) measure(ctx context.Context, env env, args []string) (evaluation, error) {
	if b.annotations == "" || b.images == "" {
		return evaluation{}, usageError{errors.New("eval needs --annotations FILE and --images FOLDER, or --tracking")}
	}
	m := &models{env: env, file: b.config}
	cfg, _, err := m.open()
	if err != nil {
		return evaluation{}, err
	}
	if err := nameModel(&cfg, args); err != nil {
		return evaluation{}, err
	}
	truth, err := coco.Read(b.annotations)
	if err != nil {
		return evaluation{}, err
	}
	return evaluate(ctx, cfg, truth, b.images, b.limit)
}

// picturesAtOnce bounds what is in memory.
const picturesAtOnce = 64

func evaluate(ctx context.Context, cfg config.Config, a coco.Annotations, folder string, limit int) (evaluation, error) {
	// Average precision wants the uncertain ones too; below this they are nothing but work.
	cfg.Track.Low = 0.01
	cfg.Infer.Deadlines.Load = max(cfg.Infer.Deadlines.Load, 10*time.Minute) // of which the pictures are a part
	executable, err := os.Executable()
	if err != nil {
		return evaluation{}, fmt.Errorf("cannot find this program's own file: %w", err)
	}
	files := a.Images
	if limit > 0 {
		files = files[:min(limit, len(files))]
	}
	e := evaluation{Pictures: len(files), Unknown: []string{}}
	var found []coco.Found
	looked := map[int64]bool{}
	for len(files) > 0 {
		chunk := files[:min(len(files), picturesAtOnce)]
		files = files[len(chunk):]
		pictures, sizes := make([][]byte, len(chunk)), make([]image.Point, len(chunk))
		for i, f := range chunk {
			if pictures[i], sizes[i], err = readPicture(filepath.Join(folder, f.File)); err != nil {
				return evaluation{}, err
			}
		}
		model, seen, err := pipeline.Probe(ctx, cfg, executable, nil, pictures, logging.New(io.Discard, slog.LevelError))
		if err != nil {
			return evaluation{}, err
		}
		e.Model, e.Family, e.Provider = model.Name, model.Family, model.Provider
		for i, detections := range seen {
			looked[chunk[i].ID] = true
			for _, d := range detections {
				if category, ok := a.Category(model.Label(d.Class)); ok {
					found = append(found, coco.Found{
						Picture: chunk[i].ID, Category: category, Box: pixels(d.Box, sizes[i]), Score: float64(d.Score),
					})
				}
			}
		}
		if len(e.Unknown) == 0 {
			for _, label := range model.Labels {
				if _, ok := a.Category(label); !ok {
					e.Unknown = append(e.Unknown, label)
				}
			}
		}
	}
	var truths []coco.Truth
	for _, t := range a.Truths() {
		if looked[t.Picture] {
			truths = append(truths, t)
		}
	}
	e.Metrics = coco.Measure(truths, found)
	return e, nil
}

// readPicture gives a baseline JPEG: the file itself where it is one that the worker takes, else what is in it, encoded anew.
func readPicture(path string) ([]byte, image.Point, error) {
	data, size, err := replay.ReadPicture(path)
	if err != nil {
		return nil, image.Point{}, fmt.Errorf("picture %s: %w", path, err)
	}
	if preprocess.Baseline(data) == nil {
		return data, size, nil
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, image.Point{}, fmt.Errorf("cannot read picture %s: %w", path, err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 100}); err != nil {
		return nil, image.Point{}, fmt.Errorf("cannot encode picture %s: %w", path, err)
	}
	return b.Bytes(), size, nil
}

func pixels(b infer.Box, size image.Point) [4]float64 {
	w, h := float64(size.X), float64(size.Y)
	return [4]float64{
		float64(b.X1) * w, float64(b.Y1) * h, float64(b.X2-b.X1) * w, float64(b.Y2-b.Y1) * h,
	}
}

func printEvaluation(w io.Writer, e evaluation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s (%s) on %s\n", e.Model, e.Family, e.Provider)
	fmt.Fprintf(t, "pictures\t%d\n", e.Pictures)
	if len(e.Unknown) > 0 {
		fmt.Fprintf(t, "not in the annotations\t%d labels: %.200q\n", len(e.Unknown), e.Unknown)
	}
	m := e.Metrics
	fmt.Fprintf(t, "mAP 0.50:0.95\t%.4f\n", m.AP)
	fmt.Fprintf(t, "mAP 0.50\t%.4f\n", m.AP50)
	fmt.Fprintf(t, "mAP 0.75\t%.4f\n", m.AP75)
	fmt.Fprintf(t, "small, medium, large\t%.4f, %.4f, %.4f\n", m.APSmall, m.APMedium, m.APLarge)
	fmt.Fprintf(t, "recall (AR, 100)\t%.4f\n", m.AR)
	return t.Flush()
}
