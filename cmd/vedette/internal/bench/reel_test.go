package bench

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"vedette/capture"
	"vedette/capture/scene"
)

func small() capture.SceneConfig {
	return capture.SceneConfig{Size: capture.Size{Width: 320, Height: 180}, Format: capture.YUYV}
}

func TestReelShowsTheSceneOverAndOver(t *testing.T) {
	r, err := sceneReel(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}
	source, err := scene.New(small())
	if err != nil {
		t.Fatal(err)
	}
	want, err := source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := r.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop := r.run()
	defer stop()
	var first []byte
	for i := range uint32(reelFrames) {
		got, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expected, err := want.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Sequence != i || !bytes.Equal(got.Data, expected.Data) {
			t.Fatalf("frame %d (sequence %d) is not the scene's", i, got.Sequence)
		}
		if i == 0 {
			first = got.Data
		}
	}
	again, err := stream.Next(t.Context())
	if err != nil || !bytes.Equal(again.Data, first) {
		t.Errorf("after the last frame comes another than the first (error %v)", err)
	}
}

func TestReelIsDrawnAsItIsShown(t *testing.T) {
	r, err := (Options{Scene: small(), Draw: true}).reel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := r.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.run()()
	for i := range uint32(reelFrames + 1) {
		frame, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if frame.Sequence != i {
			t.Fatalf("frame %d has sequence %d", i, frame.Sequence)
		}
		if i == reelFrames && bytes.Equal(frame.Data, r.frames[0]) {
			t.Error("after as many frames as are kept comes the first one again")
		}
		frame.Release()
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
}

func TestReelWaits(t *testing.T) {
	r, err := sceneReel(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r.step, r.free = make(chan struct{}), make(chan struct{}) // of the bubble
		stream, err := r.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shown := make(chan error)
		next := func() {
			_, err := stream.Next(t.Context())
			shown <- err
		}
		go next()
		synctest.Wait()
		select {
		case <-shown:
			t.Fatal("a stopped reel showed a frame")
		default:
		}
		r.step <- struct{}{}
		if err := <-shown; err != nil {
			t.Fatal(err)
		}
		stop := r.run()
		go next()
		if err := <-shown; err != nil {
			t.Fatal(err)
		}
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := stream.Next(ctx); err == nil {
			t.Error("a reel that was stopped again showed a frame")
		}
	})
}
