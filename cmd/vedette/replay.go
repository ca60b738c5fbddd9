package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/cmd/vedette/internal/replay"
)

func replayCommand(env env) *cobra.Command {
	o := replay.Options{Config: config.Default()}
	in := &o.Config.Infer
	in.Workers, in.Threads = runtime.GOMAXPROCS(0), 1
	var threshold float64
	cmd := &cobra.Command{
		Use:   "replay FILE|FOLDER …",
		Short: "Run pictures and videos through the detector, as fast as it goes",
		Long: `Run pictures (JPEG, PNG) and videos (whatever ffmpeg reads) through a pool of workers, and write a line of JSON for each
frame, in the order of the input: of a folder, by name. The same input gives the same bytes with any number of workers; only another
number of threads may change a score's last digit. Pictures are taken as they lie in the file, whatever it says of their orientation.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Inputs = args
			if in.Workers < 1 || in.Workers > 16 || in.Threads < 1 || in.Threads > 256 {
				return usageError{errors.New("--workers goes from 1 to 16, --threads from 1 to 256")}
			}
			if err := in.Batch.Check(in.Workers); err != nil {
				return usageError{fmt.Errorf("--batch: %w", err)}
			}
			o.Threshold = -1
			if cmd.Flags().Changed("threshold") {
				if !(threshold >= 0 && threshold <= 1) {
					return usageError{errors.New("--threshold goes from 0 to 1")}
				}
				o.Threshold = float32(threshold)
			}
			if in.Model, err = pipeline.ModelPath(in.Model, o.Config.StateDir); err != nil {
				return err
			}
			if o.Executable, err = os.Executable(); err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			o.Logger = logging.New(env.stderr, slog.LevelError)
			o.Output = env.stdout
			if o.Pictures != "" {
				if err := os.MkdirAll(o.Pictures, 0o755); err != nil {
					return fmt.Errorf("cannot keep annotated pictures: %w", err)
				}
			}
			if terminal(env.stderr) {
				o.Progress = env.stderr
			}
			summary, err := replay.Run(cmd.Context(), o)
			if errors.Is(err, replay.ErrInput) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(env.stderr, "%d frames, %d detections, %d failed, in %.2f s: %.1f frames/s\n",
				summary.Frames, summary.Detections, summary.Failed, summary.Took.Seconds(), summary.FPS())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Model, "model", in.Model, "a model's name, or the path of an .onnx file")
	flags.StringVarP(&o.Out, "out", "o", "", "file for the lines; standard output without")
	flags.StringVar(&o.Pictures, "pictures", "", "folder for a JPEG file of each frame, with what was found drawn in")
	flags.StringVar(&o.Video, "video", "", "file for a video of all frames, with what was found drawn in")
	flags.IntVar(&in.Workers, "workers", in.Workers, "worker processes")
	flags.IntVar(&in.Threads, "threads", in.Threads, "threads of one session")
	flags.IntVar(&in.Batch.Max, "batch", in.Batch.Max, "frames in one run, for a model with a free batch size")
	flags.Float64Var(&threshold, "threshold", 0, "the least score of any label; without, the default and what the model's manifest says")
	return cmd
}

// terminal tells whether somebody may look at it.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
