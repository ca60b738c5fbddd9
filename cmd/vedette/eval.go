package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vedette/track/score"
)

func evalCommand(env env) *cobra.Command {
	var (
		tracking, asJSON bool
		of               boxes
	)
	cmd := &cobra.Command{
		Use:   "eval [MODEL]",
		Short: "Measure a model's accuracy (COCO's mAP), or how well tracks agree with the truth",
		Long: `Measure a model's accuracy, COCO's mAP for boxes, on a folder of pictures with annotations in COCO's form, such as
instances_val2017.json: whether a conversion, a precision or a setting kept what the model could. Pictures go through the same
worker, preprocessing and decoding as a camera's frames. Labels and categories are matched by name.

With --tracking TRUTH TRACKS: measure how well tracks agree with the truth: MOTA, IDF1 and HOTA, from two files in the form of MOTChallenge, lines of
"frame,id,left,top,width,height,confidence,…". Rows of the truth with a confidence of 0 do not count. Boxes agree from an
intersection over union of 0.5 on, for HOTA from 0.05 to 0.95.`,
		Example: "  vedette eval --annotations instances_val2017.json --images val2017 yard.onnx\n  vedette eval --tracking TRUTH TRACKS",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if want := map[bool]int{true: 2, false: min(len(args), 1)}[tracking]; len(args) != want {
				return usageError{errors.New("eval takes one model, or with --tracking two files: TRUTH TRACKS")}
			}
			if !tracking {
				result, err := of.measure(cmd.Context(), env, args)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(env.stdout, result)
				}
				return printEvaluation(env.stdout, result)
			}
			result, err := evalTracks(args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, result)
			}
			return printScore(env.stdout, result)
		},
	}
	cmd.Flags().BoolVar(&tracking, "tracking", false, "measure tracks")
	cmd.Flags().StringVar(&of.config, "config", "", "configuration file")
	cmd.Flags().StringVar(&of.annotations, "annotations", "", "annotations in COCO's form")
	cmd.Flags().StringVar(&of.images, "images", "", "folder of the pictures (JPEG, PNG)")
	cmd.Flags().IntVar(&of.limit, "limit", 0, "look at the first so many pictures; 0: at all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func evalTracks(truth, tracks string) (score.Result, error) {
	var sides [2][]score.Item
	for i, side := range []struct {
		path string
		side score.Side
	}{{truth, score.Truth}, {tracks, score.Tracks}} {
		file, err := os.Open(side.path)
		if err != nil {
			return score.Result{}, fmt.Errorf("cannot measure: %w", err)
		}
		defer file.Close()
		if sides[i], err = score.ReadMOT(file, side.side); err != nil {
			return score.Result{}, fmt.Errorf("cannot measure: %s: %w", side.path, err)
		}
	}
	if len(sides[0]) == 0 {
		return score.Result{}, fmt.Errorf("cannot measure: %s has no boxes", truth)
	}
	r, err := score.Compare(sides[0], sides[1])
	if err != nil {
		return r, fmt.Errorf("cannot measure: %w", err)
	}
	return r, nil
}

func printScore(w io.Writer, r score.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("HOTA", "%.3f (DetA %.3f, AssA %.3f)", r.HOTA, r.DetA, r.AssA)
	row("IDF1", "%.3f (precision %.3f, recall %.3f)", r.IDF1, r.IDP, r.IDR)
	row("MOTA", "%.3f (%d missed, %d false, %d switches of %d boxes), MOTP %.3f", r.MOTA, r.Misses, r.False, r.Switches, r.Truth, r.MOTP)
	row("frames", "%d, %d objects, %d tracks", r.Frames, r.Objects, r.Tracks)
	return t.Flush()
}
