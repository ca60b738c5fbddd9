package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/track"
	"vedette/track/replay"
)

func trackCommand(env env) *cobra.Command {
	var path, mot string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "track [FILE]",
		Short: "Run recorded detections through tracking and zones alone",
		Long: `Run recorded detections through tracking, zones and lines alone, as fast as it goes, with the same events each time: this is
how zones are tried without a camera. A recording is what

  mosquitto_sub -t 'vedette/DEVICE/yard/detections' > detections.jsonl

writes; without FILE it is read from standard input. Cameras, zones and the settings of tracking are the configuration's; a camera
that it does not have is followed without zones. What the recording does not have cannot be found: to record what may continue an
object as well, set infer.thresholds as low as track.low meanwhile.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg := config.Default()
			if path != "" {
				var err error
				if cfg, err = loadConfig(path); err != nil {
					return err
				}
			}
			var in io.Reader = os.Stdin
			name := "standard input"
			if len(args) > 0 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("cannot replay: %w", err)
				}
				defer file.Close()
				in, name = file, args[0]
			}
			if err := replayTracks(env.stdout, cfg, in, mot, asJSON); err != nil {
				return fmt.Errorf("cannot replay %s: %w", name, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file; empty: the defaults, no zones")
	cmd.Flags().StringVar(&mot, "mot", "", "also write the tracks to this file, in the form of MOTChallenge")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each event as a line, and a summary at the end")
	return cmd
}

// told is an event as a line.
type told struct {
	Type      track.Type       `json:"type"`
	ID        string           `json:"id"`
	Camera    string           `json:"camera"`
	Reason    track.Reason     `json:"reason"`
	Sequence  uint32           `json:"sequence"`
	Monotonic time.Duration    `json:"monotonic_ns"`
	Crossed   []track.Crossing `json:"crossed,omitempty"`
	Before    *track.Object    `json:"before"`
	After     *track.Object    `json:"after"`
}

// tracked is the summary of a replay, by camera.
type tracked struct {
	Frames   int                       `json:"frames"`
	Objects  map[string]int            `json:"objects"` // by label
	Entered  map[string]map[string]int `json:"entered"` // by zone and label: how many objects ever were in it
	Crossed  map[string]map[string]int `json:"crossed"` // by line, and label and direction
	Duration float64                   `json:"duration_s"`
	first    time.Duration
}

func replayTracks(w io.Writer, cfg config.Config, in io.Reader, mot string, asJSON bool) error {
	out := bufio.NewWriter(w)
	cameras := map[string]capture.Camera{}
	for _, camera := range cfg.Cameras {
		cameras[camera.Name] = camera
	}
	summary := map[string]*tracked{}
	var tracks *motWriter
	if mot != "" {
		file, err := os.Create(mot)
		if err != nil {
			return err
		}
		defer file.Close()
		tracks = &motWriter{out: bufio.NewWriter(file), path: mot, ids: map[string]int{}}
	}
	options := func(camera string) (track.Options, error) {
		summary[camera] = &tracked{Objects: map[string]int{}, Entered: map[string]map[string]int{}, Crossed: map[string]map[string]int{}}
		return cfg.Tracker(cameras[camera], camera+"-"), nil
	}
	began := time.Now()
	err := replay.Run(replay.NewReader(in), options, func(r replay.Record, tracker *track.Tracker, events []track.Event) error {
		s := summary[r.Camera]
		if s.Frames == 0 {
			s.first = r.Frame.Monotonic
		}
		s.Duration = (r.Frame.Monotonic - s.first).Seconds()
		if !r.End {
			s.Frames++
		}
		for _, e := range events {
			s.add(e)
			if err := printEvent(out, r.Camera, e, asJSON); err != nil {
				return err
			}
		}
		if tracks != nil && !r.End {
			return tracks.frame(r, tracker)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if tracks != nil {
		if err := tracks.out.Flush(); err != nil {
			return err
		}
	}
	if err := printTracked(out, summary, time.Since(began), asJSON); err != nil {
		return err
	}
	return out.Flush()
}

func (s *tracked) add(e track.Event) {
	count := func(in map[string]map[string]int, of, what string) {
		if in[of] == nil {
			in[of] = map[string]int{}
		}
		in[of][what]++
	}
	for _, c := range e.Crossed {
		count(s.Crossed, c.Line, e.After.Label+" "+string(c.Direction))
	}
	if e.Type != track.TypeEnd {
		return
	}
	s.Objects[e.After.Label]++
	for _, zone := range e.After.Entered {
		count(s.Entered, zone, e.After.Label)
	}
}

func printEvent(w io.Writer, camera string, e track.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(told{
			Type: e.Type, ID: e.ID, Camera: camera, Reason: e.Reason, Sequence: e.Sequence, Monotonic: e.Monotonic,
			Crossed: e.Crossed, Before: e.Before, After: e.After,
		})
	}
	var more strings.Builder
	if len(e.After.Zones) > 0 {
		fmt.Fprintf(&more, " in %s", strings.Join(e.After.Zones, ", "))
	}
	for _, c := range e.Crossed {
		fmt.Fprintf(&more, " crossed %s %s", c.Line, c.Direction)
	}
	_, err := fmt.Fprintf(w, "%9d  %-6s  %-12s %-12s %s%s\n", e.Sequence, e.Type, e.ID, e.Reason, e.After.Label, &more)
	return err
}

func printTracked(w io.Writer, summary map[string]*tracked, took time.Duration, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"summary": summary})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, camera := range slices.Sorted(maps.Keys(summary)) {
		s := summary[camera]
		fmt.Fprintf(t, "%s\t%d frames, %.1f s, replayed in %s\n", camera, s.Frames, s.Duration, took.Round(time.Millisecond))
		fmt.Fprintf(t, "  objects\t%s\n", counts(s.Objects))
		for _, zone := range slices.Sorted(maps.Keys(s.Entered)) {
			fmt.Fprintf(t, "  entered %s\t%s\n", zone, counts(s.Entered[zone]))
		}
		for _, line := range slices.Sorted(maps.Keys(s.Crossed)) {
			fmt.Fprintf(t, "  crossed %s\t%s\n", line, counts(s.Crossed[line]))
		}
	}
	return t.Flush()
}

func counts(by map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d %s", by[name], name))
	}
	return strings.Join(parts, ", ")
}

// motWriter writes tracks for `vedette eval --tracking`, in thousandths of the picture's width and height: a recording may lack
// its size. Such a file is of one camera: those of two would have the same frames.
type motWriter struct {
	out       *bufio.Writer
	path      string
	camera    string
	ids       map[string]int
	sightings []track.Sighting
}

func (m *motWriter) frame(r replay.Record, tracker *track.Tracker) error {
	if m.camera == "" {
		m.camera = r.Camera
	}
	if r.Camera != m.camera {
		return fmt.Errorf("cannot write %s: the recording has cameras %s and %s, and a file of tracks is of one: record them one by one",
			m.path, m.camera, r.Camera)
	}
	m.sightings = tracker.Sightings(m.sightings[:0])
	for _, s := range m.sightings {
		if s.Predicted {
			continue
		}
		if m.ids[s.ID] == 0 {
			m.ids[s.ID] = len(m.ids) + 1
		}
		if _, err := fmt.Fprintf(m.out, "%d,%d,%.2f,%.2f,%.2f,%.2f,%.3f,-1,-1,-1\n", r.Frame.Sequence+1, m.ids[s.ID], 1000*s.Box.X1, 1000*s.Box.Y1,
			1000*(s.Box.X2-s.Box.X1), 1000*(s.Box.Y2-s.Box.Y1), s.Score); err != nil {
			return err
		}
	}
	return nil
}
