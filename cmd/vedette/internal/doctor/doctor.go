// Package doctor tells what a machine has and lacks for Vedette, with the remedy for what it lacks.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/capture/v4l2"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/control"
	"vedette/cmd/vedette/internal/faultlog"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/mqtt/payload"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/sandbox"
)

// Verdict is what came of a check.
type Verdict string

// Missing is for what a machine may do without; Bad for what keeps the service from its work.
const (
	Good    Verdict = "good"
	Missing Verdict = "missing"
	Bad     Verdict = "bad"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"`
}

// Report is what `vedette doctor --json` prints.
type Report struct {
	V       int             `json:"v"`
	Version string          `json:"version"`
	Checks  []Check         `json:"checks"`
	Cameras []v4l2.Device   `json:"cameras"`
	Model   *infer.Model    `json:"model,omitempty"` // as the probe loaded it
	State   *payload.State  `json:"state,omitempty"` // of the service, where it runs
	Faults  []payload.Fault `json:"faults"`          // of workers, as kept on disk, oldest first
}

// Bad tells whether something keeps the service from its work.
func (r Report) Bad() bool {
	for _, c := range r.Checks {
		if c.Verdict == Bad {
			return true
		}
	}
	return false
}

// Options are what Examine goes by.
type Options struct {
	Config     config.Config
	Version    string
	Executable string
	Service    *control.Client
	Logger     *slog.Logger
}

// Examine looks at everything. ONNX Runtime is loaded by a child, never by this process.
func Examine(ctx context.Context, o Options) Report {
	report := Report{V: 1, Version: o.Version, Cameras: []v4l2.Device{}, Faults: []payload.Fault{}}
	add := func(c Check) { report.Checks = append(report.Checks, c) }

	devices, err := v4l2.Discover()
	add(cameras(devices, err))
	report.Cameras = append(report.Cameras, devices...)
	for _, shared := range sharedBuses(devices) {
		add(shared)
	}

	library, err := onnx.Find(pipeline.RuntimeSearch(o.Config.Infer.Runtime))
	named := o.Config.Infer.Runtime != "" || os.Getenv(onnx.EnvLibrary) != ""
	add(foundRuntime(library, named, err))
	path, modelErr := pipeline.ModelPath(o.Config.Infer.Model, o.Config.StateDir)
	add(foundModel(path, o.Config.Infer.Model != pipeline.DefaultModel, modelErr))
	if err == nil && modelErr == nil {
		model, _, probeErr := pipeline.Probe(ctx, o.Config, o.Executable, nil, nil, o.Logger)
		add(inference(model, o.Config.Infer, probeErr))
		if probeErr == nil {
			report.Model = &model
		}
	}
	for _, camera := range o.Config.Cameras {
		add(source(ctx, camera, o.Executable, o.Logger))
	}
	for _, broker := range brokers(ctx, o.Config) {
		add(broker)
	}
	add(confinement(sandbox.Supported()))
	add(port(ctx, o.Config.Web))
	add(delegation("/sys/fs/cgroup", "/proc"))
	add(stateDir(o.Config.StateDir))
	state, err := o.Service.State(ctx)
	add(service(state, err))
	if err == nil {
		report.State = &state
	}
	kept, err := faultlog.New(o.Config.StateDir).Faults()
	report.Faults = append(report.Faults, kept...)
	add(faults(kept, err, time.Now()))
	return report
}

func cameras(devices []v4l2.Device, err error) Check {
	c := Check{Name: "cameras", Verdict: Good}
	var names []string
	for _, d := range devices {
		names = append(names, fmt.Sprintf("%s (%s, id %s)", d.Name, d.Node, d.ID))
	}
	switch {
	case err != nil:
		c.Verdict, c.Found = Missing, err.Error()
		c.Remedy = "let this user read /dev/video*: add it to the group video"
	case len(devices) == 0:
		c.Verdict, c.Found = Missing, "no V4L2 camera"
		c.Remedy = "plug one in, or use a command source (ffmpeg, gst-launch-1.0) for files, RTSP and CSI cameras"
	default:
		c.Found = strings.Join(names, "; ")
	}
	return c
}

// sharedBuses tells which cameras share a USB bus: together they get no more than it has. That is so on most boards, and
// trouble only where the service says so of a camera.
func sharedBuses(devices []v4l2.Device) []Check {
	byBus := map[int][]string{}
	for _, d := range devices {
		if d.USBBus != 0 {
			byBus[d.USBBus] = append(byBus[d.USBBus], fmt.Sprintf("%s (%s, %g Mbit/s)", d.Name, d.Node, d.USBSpeed))
		}
	}
	var checks []Check
	for _, bus := range slices.Sorted(maps.Keys(byBus)) {
		if names := byBus[bus]; len(names) > 1 {
			checks = append(checks, Check{
				Name: fmt.Sprintf("USB bus %d", bus), Verdict: Good, Found: "is shared by " + strings.Join(names, "; "),
				Remedy: "where a camera is degraded for want of bandwidth, plug it into another controller, or ask for mjpeg, less size or rate",
			})
		}
	}
	return checks
}

// absent is Missing for what nobody asked for, Bad for what somebody named.
func absent(named bool) Verdict {
	if named {
		return Bad
	}
	return Missing
}

// frameWithin is how long a camera may take to show its first frame.
const frameWithin = 15 * time.Second

// source opens a configured camera and waits for a frame.
func source(ctx context.Context, camera capture.Camera, executable string, logger *slog.Logger) Check {
	c := Check{Name: "camera " + camera.Name, Verdict: Good}
	format, err := firstFrame(ctx, camera, executable, logger)
	if err != nil {
		c.Verdict, c.Found = Bad, err.Error()
		c.Remedy = "check the camera and its source in the configuration; a camera that the running service uses is busy for doctor"
		return c
	}
	c.Found = fmt.Sprintf("shows %s %dx%d", format.Pixel, format.Width, format.Height)
	return c
}

func firstFrame(
	ctx context.Context, camera capture.Camera, executable string, logger *slog.Logger,
) (capture.Format, error) {
	ctx, cancel := context.WithTimeout(ctx, frameWithin)
	defer cancel()
	src, err := pipeline.NewSource(camera.Source, executable, logger)
	if err != nil {
		return capture.Format{}, err
	}
	stream, err := src.Open(ctx)
	if err != nil {
		return capture.Format{}, err
	}
	frame, err := stream.Next(ctx)
	if err != nil {
		return capture.Format{}, errors.Join(err, stream.Close())
	}
	frame.Release()
	return stream.Format(), stream.Close()
}

func foundRuntime(found onnx.Found, named bool, err error) Check {
	c := Check{Name: "ONNX Runtime", Verdict: Good}
	if err != nil {
		c.Verdict, c.Found = absent(named), err.Error()
		c.Remedy = "install vedette-onnxruntime, or name the library in infer.runtime or VEDETTE_ONNXRUNTIME"
		return c
	}
	c.Found = strings.TrimSpace(found.Library.Version + " at " + found.Library.Path)
	return c
}

func foundModel(path string, named bool, err error) Check {
	if err != nil {
		return Check{Name: "model", Verdict: absent(named), Found: err.Error(), Remedy: "name an .onnx file in infer.model"}
	}
	return Check{Name: "model", Verdict: Good, Found: path}
}

// inference is what a worker says that loaded the model.
func inference(model infer.Model, cfg infer.Config, err error) Check {
	c := Check{Name: "inference", Verdict: Good}
	if err != nil {
		c.Verdict, c.Found = Bad, err.Error()
		c.Remedy = "see the message; infer.providers says which accelerators are tried, infer.model which model"
		return c
	}
	c.Found = fmt.Sprintf("%s (%s, %dx%d, %d labels) runs on %s with ONNX Runtime %s",
		model.Name, model.Family, model.Width, model.Height, len(model.Labels), model.Provider, model.Runtime)
	if len(model.Nodes) > 0 {
		c.Found += ": " + model.Placement()
	}
	if model.Degraded != "" {
		c.Verdict, c.Found = Missing, c.Found+"; degraded: "+model.Degraded
		c.Remedy = fmt.Sprintf("install what the providers %v need; infer.fallback: fail makes it an error", cfg.Providers)
	}
	return c
}

func brokers(ctx context.Context, cfg config.Config) []Check {
	if len(cfg.MQTT.Brokers) == 0 {
		return []Check{{
			Name: "MQTT broker", Verdict: Missing, Found: "none is configured: an embedded one serves this machine only",
			Remedy: "name one in mqtt.brokers",
		}}
	}
	var checks []Check
	for _, broker := range cfg.MQTT.Brokers {
		checks = append(checks, reach(ctx, broker))
	}
	return checks
}

func reach(ctx context.Context, broker string) Check {
	c := Check{Name: "MQTT broker " + broker, Verdict: Good, Found: "takes connections"}
	u, err := url.Parse(broker)
	if err == nil {
		port := u.Port()
		if port == "" {
			port = map[string]string{"tcp": "1883", "tls": "8883", "ws": "80", "wss": "443"}[u.Scheme]
		}
		dialer := net.Dialer{Timeout: 3 * time.Second}
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port)); err == nil {
			_ = conn.Close()
			return c
		}
	}
	c.Verdict, c.Found = Bad, err.Error()
	c.Remedy = "check mqtt.brokers, the network and the broker; the service goes on trying by itself"
	return c
}

// confinement tells whether the worker can be kept from what it has no business with.
func confinement(status sandbox.Status) Check {
	c := Check{Name: "sandbox", Verdict: Good, Found: fmt.Sprintf("Landlock version %d and seccomp", status.Landlock)}
	if len(status.Missing) > 0 {
		c.Verdict, c.Found = Missing, strings.Join(status.Missing, "; ")
		c.Remedy = "use a kernel with Landlock and seccomp; without them privacy masks are advisory: a worker could look past them"
	}
	return c
}

// delegation tells whether this process, if it were the service, could give its worker a cgroup with limits.
func delegation(root, proc string) Check {
	c := Check{Name: "cgroup delegation", Verdict: Good}
	var err error
	if c.Found, err = cgroup.Find(root, proc); err == nil {
		return c
	}
	c.Verdict, c.Found = Missing, err.Error()
	if unavailable, ok := errors.AsType[*cgroup.Unavailable](err); ok {
		c.Found, c.Remedy = unavailable.Reason, unavailable.Remedy+"; without it the worker runs without limits"
	}
	return c
}

func stateDir(path string) Check {
	c := Check{Name: "state directory", Verdict: Good, Found: path + " can be written"}
	if err := unix.Access(path, unix.W_OK); err != nil {
		c.Verdict, c.Found = Missing, fmt.Sprintf("%s cannot be written: %v", path, err)
		if errors.Is(err, unix.ENOENT) {
			c.Found = path + " is not there"
		}
		c.Remedy = "systemd makes it for the service (StateDirectory=); by hand, name another in state_dir"
	}
	return c
}

// service tells what the running service says of itself.
func service(state payload.State, err error) Check {
	c := Check{Name: "service", Verdict: Good}
	if err != nil {
		c.Verdict, c.Found = Missing, err.Error()
		c.Remedy = "systemctl start vedette, or vedette run"
		return c
	}
	c.Found = fmt.Sprintf("%s runs for %s, nothing is degraded", state.Version, time.Duration(state.Uptime*float64(time.Second)).Round(time.Second))
	var what, remedies []string
	for _, d := range state.Degraded {
		what = append(what, d.What+": "+d.Why)
		remedies = append(remedies, d.Remedy)
	}
	if len(what) > 0 {
		c.Verdict, c.Found, c.Remedy = Bad, "degraded: "+strings.Join(what, "; "), strings.Join(remedies, "; ")
	}
	return c
}

// recent is how long ago a fault may be to be worth a look now.
const recent = 24 * time.Hour

// faults tells what the worker died of lately.
func faults(kept []payload.Fault, err error, now time.Time) Check {
	c := Check{Name: "faults", Verdict: Good, Found: "none is kept"}
	if n := len(kept); n > 0 {
		last := kept[n-1]
		c.Found = fmt.Sprintf("%d kept; the last at %s, of %s: %s: %s",
			n, last.Time.UTC().Format(time.RFC3339), last.Process, last.Kind, last.Message)
		if now.Sub(last.Time.Time) < recent {
			c.Verdict = Missing
			c.Remedy = "see its traceback and last log lines in doctor --json"
		}
	}
	if err != nil {
		c.Verdict, c.Found = Missing, err.Error()
		c.Remedy = "let this user read the folder faults in state_dir"
	}
	return c
}
