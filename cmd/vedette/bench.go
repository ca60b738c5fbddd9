package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vedette/capture"
	"vedette/capture/v4l2"
	"vedette/cmd/vedette/internal/bench"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
)

func benchCommand(env env) *cobra.Command {
	o := bench.DefaultOptions()
	model, size, format := pipeline.DefaultModel, o.Scene.Size.String(), o.Scene.Format.String()
	source, camera := "scene", ""
	asJSON := false
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the whole pipeline beside the bare model",
		Long: `Measure the whole pipeline, from a scene's frames to MQTT messages, beside the bare model in ONNX Runtime: throughput,
CPU time, latency and memory. Both run in turn, with the same model, threads and workers. It takes about three times
blocks times block. Figures mean most on a machine that does nothing else.

With --source v4l2 the frames are a camera's: as many as are shown over and over are taken from it first, so that its rate
does not bound what is measured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if err = bench.SetTimerSlack(pipeline.ServiceTimerSlack); err != nil {
				return err
			}
			if o.Scene, err = sceneOf(size, format); err != nil {
				return usageError{err}
			}
			if o.Camera, err = cameraOf(source, camera, o.Scene, env.stderr); err != nil {
				return usageError{err}
			}
			if o.Model, err = pipeline.ModelPath(model, config.Default().StateDir); err != nil {
				return err
			}
			if o.Executable, err = os.Executable(); err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			o.Version, o.Logger = version, logging.New(env.stderr, slog.LevelError)
			report, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, report)
			}
			return printBench(env.stdout, report)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.StringVar(&model, "model", model, "a model's name, or the path of an .onnx file")
	flags.IntVar(&o.Blocks, "blocks", o.Blocks, "how many blocks of each")
	flags.DurationVar(&o.Block, "block", o.Block, "how long a block is")
	flags.IntVar(&o.Kills, "kill", o.Kills, "also kill the worker so often, without a spare and with one")
	flags.IntVar(&o.Viewers, "viewers", o.Viewers, "also measure with so many viewers of the live view")
	flags.BoolVar(&o.Draw, "draw", false, "draw each of the scene's frames when it is taken, instead of showing some over and over")
	flags.IntVar(&o.Threads, "threads", o.Threads, "threads of one session; 0: as many as there are processors")
	flags.IntVar(&o.Workers, "workers", o.Workers, "worker processes")
	flags.StringVar(&size, "size", size, "size of a frame")
	flags.StringVar(&format, "format", format, "pixel format of a frame")
	flags.StringVar(&source, "source", source, "where frames are from: scene or v4l2")
	flags.StringVar(&camera, "camera", camera, "with --source v4l2: a camera's id, as 'vedette camera list' tells; default: the only one")
	cmd.AddCommand(rawCommand(env))
	return cmd
}

// rawCommand is the bare session, which the measurement starts; nobody else has a use for it.
func rawCommand(env env) *cobra.Command {
	var (
		o            bench.RawOptions
		size, format string
	)
	cmd := &cobra.Command{
		Use:    bench.RawCommand,
		Short:  "Run a bare model for the measurement that started this process",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Scene, err = sceneOf(size, format); err != nil {
				return usageError{err}
			}
			if err = bench.SetTimerSlack(pipeline.WorkerTimerSlack); err != nil {
				return err
			}
			return bench.ServeRaw(cmd.Context(), o, os.Stdin, env.stdout)
		},
	}
	cmd.Flags().StringVar(&o.Model, "model", "", "path of the .onnx file")
	cmd.Flags().IntVar(&o.Threads, "threads", runtime.GOMAXPROCS(0), "threads of the session")
	cmd.Flags().StringVar(&size, "size", "1280x720", "size of the frame")
	cmd.Flags().StringVar(&format, "format", "yuyv", "pixel format of the frame")
	return cmd
}

func sceneOf(size, format string) (scene capture.SceneConfig, err error) {
	if err = scene.Size.UnmarshalText([]byte(size)); err == nil {
		err = scene.Format.UnmarshalText([]byte(format))
	}
	return scene, err
}

// cameraOf is nil where the scene is what is shown.
func cameraOf(source, id string, wish capture.SceneConfig, stderr io.Writer) (capture.Source, error) {
	switch source {
	case "scene":
		return nil, nil
	case "v4l2":
		return v4l2.New(capture.V4L2Config{
			ID: id, Formats: []capture.PixelFormat{wish.Format}, Size: wish.Size,
		}, logging.New(stderr, slog.LevelWarn))
	}
	return nil, fmt.Errorf("source %q is neither scene nor v4l2", source)
}

func printBench(w io.Writer, r bench.Report) error {
	first := "none"
	if r.FirstDetection != nil {
		first = fmt.Sprintf("%.2f s", *r.FirstDetection)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("machine", "%s, %d cores, %d MiB, Linux %s, load %.2f",
		r.Machine.CPU, r.Machine.Cores, r.Machine.MemoryMiB, r.Machine.Kernel, r.Machine.Load)
	row("model", "%s, %d threads x %d workers, %s %s", r.Model, r.Threads, r.Workers, r.Size, r.Format)
	row("bare model", "%.2f frames/s", r.Raw.FPS)
	row("pipeline", "%.2f frames/s", r.Pipeline.FPS)
	row("ratio", "%.3f (%.3f to %.3f, middle half %.3f to %.3f)", r.Ratio,
		r.RatioSpread.Min, r.RatioSpread.Max, r.RatioSpread.P25, r.RatioSpread.P75)
	row("CPU per frame", "%.2f ms outside the session: parent %.2f + child %.2f - bare model %.2f",
		r.CPU.OutsideSession, r.CPU.Parent, r.CPU.Child, r.CPU.Raw)
	row("stages (wall)", "preprocess %.2f ms, infer %.2f ms, decode %.2f ms", r.CPU.Preprocess, r.CPU.Infer, r.CPU.Decode)
	row("added latency", "p50 %.2f ms, p99 %.2f ms (%d frames)", r.Latency.P50, r.Latency.P99, r.Latency.Samples)
	row("memory", "parent %.1f MiB, child %.1f MiB, ring %.1f MiB", r.Memory.Parent, r.Memory.Child, r.Memory.Ring)
	row("first detection", "%s after exec", first)
	if w := r.Watched; w != nil {
		row("with viewers", "%d of them, %.1f pictures/s each (%.1f of a camera at %d frames/s): %.3f of the throughput without "+
			"(%.3f to %.3f, middle half %.3f to %.3f), heap %.1f MiB before, %.1f after", w.Viewers, w.Pictures, w.Paced, bench.ViewerRate, w.Ratio, w.RatioSpread.Min, w.RatioSpread.Max, w.RatioSpread.P25, w.RatioSpread.P75,
			w.HeapBefore, w.HeapAfter)
	}
	if k := r.Recovery; k != nil {
		row("after kill -9", "detections back after %.0f ms (median), %.0f ms (worst of %d): the model's load of %.0f ms (median) and %.0f, "+
			"%.0f ms (worst)", k.WithoutSpare.Median, k.WithoutSpare.Worst, k.Kills, k.WithoutSpare.LoadMedian,
			*k.WithoutSpare.BeyondLoadMedian, *k.WithoutSpare.BeyondLoadWorst)
		row("with a spare", "%.0f ms (median), %.0f ms (worst of %d)", k.WithSpare.Median, k.WithSpare.Worst, k.Kills)
	}
	row("lost", "%v of %d frames, %d restarts", r.Drops, r.Frames, r.Restarts)
	return t.Flush()
}
