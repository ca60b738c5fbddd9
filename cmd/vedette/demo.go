package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/spf13/cobra"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/web"
)

// The demonstration's rate of inferences, which leaves a laptop cool and a terminal readable.
const demoRate = 4

// The demonstration shows what the model is less sure of, too: the default model is small, and gives the scene's cup 0.4 to 0.5.
const demoThreshold = 0.3

func demoCommand(env env) *cobra.Command {
	var (
		lasting time.Duration
		asJSON  bool
		listen  string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show detections of a built-in scene, without a camera or a broker",
		Long: `Show detections of a built-in scene: photographs of a person and of a cup that move. The whole service runs, with
a broker of its own on loopback, and what is shown was received from that broker. The web page of this machine shows the pictures.

With --json each detections message is a line, and the last line is {"summary":{…}}.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lasting < 0 {
				return usageError{errors.New("--for needs a time of 0 or more")}
			}
			ctx := cmd.Context()
			if lasting > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, lasting)
				defer cancel()
			}
			return runDemo(ctx, env, listen, asJSON)
		},
	}
	cmd.Flags().DurationVar(&lasting, "for", 0, "how long to show it; 0: until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each message as it was published, and a summary at the end")
	cmd.Flags().StringVar(&listen, "web", web.DefaultConfig().Listen, "where the web page is served; empty: nowhere")
	return cmd
}

// summary is the last line of `vedette demo --json`.
type summary struct {
	Frames    uint64            `json:"frames"`    // captured
	Published int               `json:"published"` // detections messages received
	Labels    map[string]int    `json:"labels"`    // detections by label
	Dropped   map[string]uint64 `json:"dropped"`   // frames that were not looked at, by cause
	Restarts  uint64            `json:"restarts"`  // of the worker
	Provider  string            `json:"provider"`
}

func runDemo(ctx context.Context, env env, listen string, asJSON bool) error {
	cfg := config.Default()
	cfg.Web.Listen = listen
	camera := capture.DefaultCamera()
	scene := capture.DefaultScene()
	camera.Name, camera.Source.Scene, camera.Rate = "scene", &scene, demoRate
	cfg.Cameras = []capture.Camera{camera}
	cfg.Infer.Thresholds = infer.Thresholds{"default": demoThreshold}
	if problem := problemOf(cfg.Web); problem != "" {
		return usageError{errors.New("--web: " + problem)}
	}
	logger := logging.New(env.stderr, slog.LevelInfo)
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program's own file: %w", err)
	}
	service, err := pipeline.New(pipeline.Options{Config: cfg, Version: version, Executable: executable, Logger: logger})
	if err != nil {
		return err
	}
	messages := make(chan []byte, 64) // what a terminal cannot take in is left out
	subscriber, err := subscribe(service.Broker(), service.Topics().Detections(camera.Name), messages)
	if err != nil {
		return err
	}
	defer subscriber.Disconnect(100)
	if !asJSON {
		fmt.Fprintf(env.stdout, "Detections arrive over MQTT. Beside this, try:\n  mosquitto_sub -p %s -v -t '%s/#'\n",
			port(service.Broker()), service.Topics().Prefix())
		if listen != "" {
			fmt.Fprintf(env.stdout, "and see the pictures at\n  %s\n", cfg.Web.URL())
		}
	}
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	total := summary{Labels: map[string]int{}, Dropped: map[string]uint64{}}
	for {
		select {
		case text := <-messages:
			if err := show(env.stdout, text, asJSON, &total); err != nil {
				return err
			}
		case err := <-done:
			if err != nil {
				return err
			}
			return conclude(env.stdout, service, asJSON, &total)
		}
	}
}

// problemOf gives the first mistake in a `web` section.
func problemOf(c web.Config) (first string) {
	c.Validate(func(_, problem string) {
		if first == "" {
			first = problem
		}
	})
	return first
}

// subscribe hands each message of a topic over.
func subscribe(broker, topic string, messages chan<- []byte) (paho.Client, error) {
	const within = 5 * time.Second
	client := paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetAutoReconnect(false).SetConnectTimeout(within))
	if token := client.Connect(); !token.WaitTimeout(within) || token.Error() != nil {
		return nil, fmt.Errorf("cannot connect to the broker at %s: %w", broker, token.Error())
	}
	token := client.Subscribe(topic, 0, func(_ paho.Client, m paho.Message) {
		select {
		case messages <- m.Payload():
		default:
		}
	})
	if !token.WaitTimeout(within) || token.Error() != nil {
		client.Disconnect(0)
		return nil, fmt.Errorf("cannot subscribe at %s: %w", broker, token.Error())
	}
	return client, nil
}

// received is what a subscriber reads of a detections message.
type received struct {
	Camera     string    `json:"camera"`
	CapturedAt time.Time `json:"captured_at"`
	Detections []struct {
		Label string     `json:"label"`
		Score float64    `json:"score"`
		Box   [4]float64 `json:"box"`
	} `json:"detections"`
	Timings struct {
		Total float64 `json:"total"`
	} `json:"timings_ms"`
}

func show(w io.Writer, text []byte, asJSON bool, total *summary) error {
	var message received
	if err := json.Unmarshal(text, &message); err != nil {
		return fmt.Errorf("cannot read a detections message: %w", err)
	}
	total.Published++
	for _, d := range message.Detections {
		total.Labels[d.Label]++
	}
	if asJSON {
		_, err := fmt.Fprintf(w, "%s\n", text)
		return err
	}
	var line strings.Builder
	fmt.Fprintf(&line, "%s  %-6s", message.CapturedAt.Local().Format("15:04:05.000"), message.Camera)
	for _, d := range message.Detections {
		fmt.Fprintf(&line, "  %s %.2f [%.2f %.2f %.2f %.2f]", d.Label, d.Score, d.Box[0], d.Box[1], d.Box[2], d.Box[3])
	}
	if len(message.Detections) == 0 {
		line.WriteString("  nothing")
	}
	_, err := fmt.Fprintf(w, "%s  (%.0f ms)\n", line.String(), message.Timings.Total)
	return err
}

func conclude(w io.Writer, service *pipeline.Pipeline, asJSON bool, total *summary) error {
	for cause, n := range service.Drops() {
		total.Dropped[string(cause)] = n
	}
	total.Frames, total.Restarts, total.Provider = service.Frames(), service.Restarts(), service.Provider()
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"summary": total})
	}
	_, err := fmt.Fprintf(w, "%d frames captured, %d messages received, detections %v, provider %s\n",
		total.Frames, total.Published, total.Labels, total.Provider)
	return err
}

func port(broker string) string {
	return broker[strings.LastIndex(broker, ":")+1:]
}
