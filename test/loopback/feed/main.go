// Command feed shows a file of frames through a v4l2loopback device, over and over:
//
//	feed -device /dev/video10 -format mjpeg -size 320x240 -rate 10 FILE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vedette/capture"
	"vedette/test/loopback"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "feed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		size  capture.Size
		pixel capture.PixelFormat
	)
	device := flag.String("device", "/dev/video10", "node of the v4l2loopback device")
	rate := flag.Float64("rate", 10, "frames a second")
	flag.TextVar(&pixel, "format", capture.YUYV, "pixel format")
	flag.TextVar(&size, "size", capture.Size{Width: 320, Height: 240}, "size of a frame")
	flag.Parse()
	if flag.NArg() != 1 || *rate <= 0 {
		return errors.New("one file of frames is needed, and a rate above 0")
	}
	file, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		return err
	}
	format := capture.Format{Pixel: pixel, Width: size.Width, Height: size.Height}.Packed()
	frames, err := loopback.Frames(file, format)
	if err != nil {
		return err
	}
	d, err := loopback.Open(*device, format)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // the camera ends with this process anyway
	period := time.Duration(float64(time.Second) / *rate)
	for i := 0; ; i++ {
		if err := d.Show(frames[i%len(frames)]); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(period): // a late frame is not made up for: no sensor gives two at once
		}
	}
}
