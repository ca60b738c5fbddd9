package replay

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"vedette/capture"
	"vedette/cmd/vedette/internal/pipeline"
)

// video submits a video's frames, which ffmpeg decodes in a sandbox, as for a camera whose source is a command.
func (r *run) video(it item) error {
	path, err := filepath.Abs(it.path)
	if err != nil {
		return err
	}
	source, err := pipeline.NewSource(capture.SourceConfig{Command: &capture.CommandConfig{
		Argv: []string{
			"ffmpeg", "-nostdin", "-loglevel", "error", "-i", path,
			"-an", "-vsync", "passthrough", "-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "-",
		},
		Format: "y4m", Lossless: true,
	}}, r.options.Executable, r.options.Logger)
	if err != nil {
		return err
	}
	frames, err := source.Open(r.ctx)
	if err != nil {
		return err
	}
	err = r.frames(it, frames)
	return errors.Join(err, frames.Close())
}

func (r *run) frames(it item, frames capture.Stream) error {
	format := frames.Format()
	s, err := r.stream(format)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		f, err := frames.Next(r.ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = r.submit(s, frame{name: it.name, number: i, seconds: float64(i) * format.Interval.Seconds(), data: f.Data})
		f.Release()
		if err != nil {
			return err
		}
	}
}

// encoder writes a video with ffmpeg.
type encoder struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	errors bytes.Buffer
	size   image.Point
}

func newEncoder(path string, size image.Point, rate float64) (*encoder, error) {
	path, err := filepath.Abs(path) // a name may not look like an option
	if err != nil {
		return nil, err
	}
	e := &encoder{size: size}
	e.cmd = exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgba",
		"-s", fmt.Sprintf("%dx%d", size.X, size.Y), "-r", strconv.FormatFloat(rate, 'f', 3, 64), "-i", "-",
		"-pix_fmt", "yuv420p", "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-y", path)
	e.cmd.Stderr = &e.errors
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot write a video: %w (Debian: apt-get install ffmpeg)", err)
	}
	return e, nil
}

func (e *encoder) add(picture *image.RGBA) error {
	if picture.Bounds().Size() != e.size {
		return errSizes
	}
	if _, err := e.in.Write(picture.Pix); err != nil {
		return fmt.Errorf("cannot write a video: %w", err)
	}
	return nil
}

// close waits until the file is whole.
func (e *encoder) close() error {
	err := errors.Join(e.in.Close(), e.cmd.Wait())
	if err != nil {
		return fmt.Errorf("cannot write a video: %w: %s", err, strings.TrimSpace(e.errors.String()))
	}
	return nil
}
