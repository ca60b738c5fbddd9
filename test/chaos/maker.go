package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"vedette/mqtt"
	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// cameras of the maker, which take turns.
var cameras = [...]string{"yard", "gate", "porch"} //nolint:gochecknoglobals // constant

// ahead is how many events the maker lets wait: more than a connection ever has under way, and segments enough for the disk to
// have a part in it.
const ahead = 4000

// order is what a maker is told.
type order struct {
	Broker string
	Dir    string
	Events int
}

// told is a line that a maker prints: how far it is. What it has said outlives it.
type told struct {
	Epoch   string
	Made    uint64 // the last number that was given
	Kept    uint64 // every event up to this number is on the disk for sure, or was acknowledged
	Waiting int
	Lost    uint64 // given up, for whatever reason
}

// runMaker makes events until it is killed, or the broker has all of them.
func runMaker(ctx context.Context, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	topics, err := payload.NewTopics("vedette/{device}", "chaos")
	if err != nil {
		return err
	}
	config := mqtt.DefaultConfig()
	config.Brokers = []string{"tcp://" + o.Broker}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	client, err := mqtt.New(mqtt.Options{
		Config: config, Topics: topics, ClientID: "vedette-chaos", Logger: logger,
		Proven: time.Millisecond, // or the tries of so bad a link would soon be 30 s apart
		Outbox: outbox.Open(outbox.Options{
			Files: outbox.Folder(filepath.Join(o.Dir, "outbox")), Age: outbox.DefaultAge,
			Clock: func() outbox.Stamp { return outbox.Stamp{Wall: time.Now()} }, Logger: logger,
		}),
	})
	if err != nil {
		return err
	}
	run, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	go func() { done <- client.Run(run) }()
	err = makeEvents(ctx, client, topics, o.Events)
	end()
	return errors.Join(err, <-done, tell(client))
}

// makeEvents returns once the broker has everything, of earlier lives too.
func makeEvents(ctx context.Context, client *mqtt.Client, topics payload.Topics, events int) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for made := 0; ; {
		waiting := client.Status().Outbox.Depth
		for ; made < events && waiting < ahead; waiting++ {
			made++
			camera := cameras[made%len(cameras)]
			e := payload.Event{
				Type: "new", ID: fmt.Sprintf("chaos-%d", made), Camera: camera, BootID: "0f2f8b0e-1d2c-4c3b-8a49-5e6f70819203",
				Time: time.Now(), Clock: payload.Synced, Reason: "confirmed", Sequence: uint32(made),
				After: &payload.TrackedObject{Label: "person", Score: 0.5, Box: [4]float32{0, 0, 1, 1}},
			}
			client.PublishEvent(topics.Events(camera), e.AppendJSON)
		}
		if err := tell(client); err != nil {
			return err
		}
		if made == events && waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func tell(client *mqtt.Client) error {
	s := client.Status().Outbox
	return json.NewEncoder(os.Stdout).Encode(told{
		Epoch: s.Epoch, Made: s.Seq, Kept: s.Seq - min(s.Seq, uint64(s.Unsynced)), Waiting: s.Depth,
		Lost: s.Dropped + s.Oversized + s.Unreadable, // the torn tail that a kill leaves held nothing that was synced
	})
}
