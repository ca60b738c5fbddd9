package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vedette/capture"
	"vedette/test/loopback"
)

// The cameras of the rows about cameras, in the guest: two that are fed, by v4l2loopback, and a made-up one, by vivid.
const (
	fedNode = "/dev/video10"
	rawNode = "/dev/video11"
	fedID   = "platform:v4l2loopback-000"
	rawID   = "platform:v4l2loopback-001"
	vividID = "platform:vivid-000"

	fedEvery = 250 * time.Millisecond
)

// fedSize is that of the fed cameras' frames.
func fedSize() capture.Size { return capture.Size{Width: 320, Height: 180} }

// stage is what a row's cameras show.
type stage struct {
	empty   []byte // a picture in which the tiny model sees nothing
	damages []damage
	spoilt  atomic.Int32 // which of the damages each good frame is followed by, from 1; 0: none
	end     context.CancelFunc
	feeds   sync.WaitGroup
}

// setStage makes the cameras and feeds them good frames, until strike.
func setStage(ctx context.Context) (s *stage, err error) {
	s = &stage{}
	if s.empty, err = picture(fedSize(), image.Rectangle{}); err != nil {
		return nil, err
	}
	if s.damages, err = damagedPictures(); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"modprobe", "-r", "vivid"}, // as another row may have left it
		{"modprobe", "v4l2loopback", "devices=2", "video_nr=10,11", "exclusive_caps=1,1", "max_buffers=8"},
		{"modprobe", "vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0x0"},
		{"udevadm", "settle"},
	} {
		if err := run(ctx, command...); err != nil {
			return nil, err
		}
	}
	feeding, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	for node, feed := range map[string]func(context.Context, string) error{fedNode: s.feedJPEG, rawNode: s.feedRaw} {
		ended := make(chan error, 1) // before its end only where it cannot begin
		s.feeds.Go(func() { ended <- feed(feeding, node) })
		if err := shows(ctx, node, ended); err != nil {
			s.strike()
			return nil, err
		}
	}
	return s, nil
}

// strike takes the cameras away. What stays of them ends with the guest.
func (s *stage) strike() {
	s.end()
	s.feeds.Wait()
	_ = exec.Command("modprobe", "-r", "vivid", "v4l2loopback").Run()
}

// shows waits until a node has become a camera.
func shows(ctx context.Context, node string, ended <-chan error) error {
	return until(ctx, func() error {
		select {
		case err := <-ended:
			return fmt.Errorf("cannot feed %s: %w", node, err)
		default:
		}
		out, err := exec.CommandContext(ctx, "v4l2-ctl", "-d", node, "-D").CombinedOutput()
		if err == nil && !strings.Contains(string(out), "Video Capture") {
			err = errors.New(node + " is no camera yet")
		}
		return err
	})
}

// damage is what becomes of a person's picture.
type damage struct {
	name    string
	picture []byte
}

// feedJPEG shows empty pictures. While there is damage, each is followed by a person's that is damaged: a detection can only
// be of that.
func (s *stage) feedJPEG(ctx context.Context, node string) error {
	return feed(ctx, node, capture.MJPEG, func(i int) []byte {
		if way := s.spoilt.Load(); way > 0 && i%2 == 1 {
			return s.damages[way-1].picture
		}
		return s.empty
	})
}

// feedRaw shows grey; while there is damage, each second frame is short.
func (s *stage) feedRaw(ctx context.Context, node string) error {
	const yuyvBytes = 2
	grey := bytes.Repeat([]byte{128}, yuyvBytes*fedSize().Width*fedSize().Height)
	return feed(ctx, node, capture.YUYV, func(i int) []byte {
		if s.spoilt.Load() > 0 && i%2 == 1 {
			return grey[:len(grey)/2]
		}
		return grey
	})
}

func feed(ctx context.Context, node string, pixel capture.PixelFormat, frame func(i int) []byte) error {
	d, err := loopback.Open(node, capture.Format{Pixel: pixel, Width: fedSize().Width, Height: fedSize().Height}.Packed())
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	ticker := time.NewTicker(fedEvery)
	defer ticker.Stop()
	for i := 0; ; i++ {
		if err := d.Show(frame(i)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// personPicture is one in which the tiny model sees somebody: it looks for red.
func personPicture(size capture.Size) ([]byte, error) {
	return picture(size, image.Rect(size.Width/4, size.Height/4, size.Width/2, size.Height*3/4))
}

// picture is grey, and red in a rectangle.
func picture(size capture.Size, red image.Rectangle) ([]byte, error) {
	shown := image.NewRGBA(image.Rect(0, 0, size.Width, size.Height))
	draw.Draw(shown, shown.Rect, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	draw.Draw(shown, red, image.NewUniform(color.RGBA{R: 255, A: 255}), image.Point{}, draw.Src)
	var file bytes.Buffer
	err := jpeg.Encode(&file, shown, nil)
	return file.Bytes(), err
}

// damagedPictures begins with one that is whole.
func damagedPictures() ([]damage, error) {
	person, err := personPicture(fedSize())
	if err != nil {
		return nil, err
	}
	large, err := personPicture(capture.Size{Width: 2 * fedSize().Width, Height: 2 * fedSize().Height})
	if err != nil {
		return nil, err
	}
	overwritten := bytes.Clone(person)
	clear(overwritten[len(person)/2 : len(person)*3/4])
	return []damage{
		{"that is whole", person},
		{"cut in half", person[:len(person)/2]},
		{"without its end", person[:len(person)-2]},
		{"cut in the header", person[:100]},
		{"without its beginning", person[100:]},
		{"with zeros in the scan", overwritten},
		{"of another size", large},
		{"no picture", []byte("no picture")},
	}, nil
}

// vividNode is where the made-up camera is at the moment.
func vividNode() (string, error) {
	nodes, err := filepath.Glob("/sys/devices/platform/vivid.0/video4linux/video*")
	if err != nil || len(nodes) != 1 {
		return "", fmt.Errorf("vivid has nodes %v, %w", nodes, err)
	}
	return "/dev/" + filepath.Base(nodes[0]), nil
}
