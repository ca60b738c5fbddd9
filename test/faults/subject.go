package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vedette/test/logtest"
)

// options are what every row's service is made of.
type options struct {
	vedette   string
	modelFile string
	runtime   string
	kills     int
	fleet     string // the program of row 24
	soak      time.Duration
	guest     bool
}

// camera is what an emulated machine can keep up with, in the guest.
func (o options) camera() string {
	if o.guest {
		return "  - {name: yard, rate: 5, source: {scene: {size: 320x180, rate: 5}}}"
	}
	return "  - {name: yard, rate: 10, source: {scene: {size: 640x360, rate: 10}}}"
}

// patience is what an emulated machine needs.
func (o options) patience() string {
	if o.guest {
		return ", deadlines: {run: 60s, load: 5m}"
	}
	return ""
}

// subject is the service under test, with a broker and a subscriber.
type subject struct {
	options
	dir      string
	web      string // host:port
	mqtt     string // the broker's port
	broker   *exec.Cmd
	link     *link  // between the service and the broker
	stage    *stage // of the row's own cameras
	messages *messages
	service  launcher
}

// launcher is how the service is run: as a process, or as a unit of systemd.
type launcher interface {
	launch(ctx context.Context) error
	pid(ctx context.Context) (int, error)
	stop() error
	log() string
}

// state is what the rows look at of the service's own account.
type state struct {
	Worker  worker
	Workers []worker
	Cameras map[string]camera
	Outbox  struct {
		Depth, Dropped, Damaged uint64
		Bytes                   int64
		Epoch                   string
	}
	Degraded []struct{ What, Why, Remedy string }
}

type camera struct {
	State    string
	FPS      float64
	Drops    map[string]uint64
	Failures map[string]uint64
}

type worker struct {
	State      string
	Generation uint64
	Restarts   uint64
	PID        int
	Model      struct{ SHA256 string }
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// start brings up a broker, a subscriber and the service.
func start(ctx context.Context, o options, r row) (s *subject, err error) {
	s = &subject{options: o}
	if s.dir, err = os.MkdirTemp("", "faults-*"); err != nil {
		return nil, err
	}
	defer func(made *subject) { // where start fails, s is nil
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}(s)
	if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // the unit runs as a user of its own
		return nil, err
	}
	if s.mqtt, err = freePort(); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.web = "127.0.0.1:" + port
	if err := s.startBroker(ctx); err != nil {
		return nil, err
	}
	if s.messages, err = subscribe(s.mqtt); err != nil {
		return nil, err
	}
	if s.link, err = newLink("127.0.0.1:" + s.mqtt); err != nil {
		return nil, err
	}
	if strings.Contains(r.config, "v4l2:") {
		if s.stage, err = setStage(ctx); err != nil {
			return nil, fmt.Errorf("cannot make the row's cameras: %w", err)
		}
	}
	text := fmt.Sprintf(`device: test
mqtt: {brokers: ["tcp://%s"]}
web: {listen: "%s"}
%s
`, s.link.address(), s.web, cameras(o, r)) + strings.ReplaceAll(r.config, "MODEL", o.modelFile)
	if !strings.Contains(text, "model:") {
		text += "infer: {model: " + o.modelFile + o.patience() + "}\n"
	}
	if strings.Contains(text, "DIR/model.onnx") { // a copy that the row may break
		text = strings.ReplaceAll(text, "DIR", s.dir)
		if err := copyFile(filepath.Join(s.dir, "model.onnx"), o.modelFile); err != nil {
			return nil, err
		}
	}
	if s.service, err = newLauncher(s, r, text); err != nil {
		return nil, err
	}
	return s, s.service.launch(ctx)
}

// cameras is the row's own, or one that every row can do with.
func cameras(o options, r row) string {
	if strings.Contains(r.config, "cameras:") {
		return ""
	}
	return "cameras:\n" + o.camera()
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func newLauncher(s *subject, r row, config string) (launcher, error) {
	if s.guest {
		return newUnit(r, config)
	}
	return newProcess(s, r, config)
}

// until tries again and again, until there is no error or ctx ends.
func until(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *subject) close() error {
	var err error
	if s.service != nil {
		err = s.service.stop()
	}
	if s.stage != nil {
		s.stage.strike()
	}
	s.stopBroker(syscall.SIGKILL)
	if s.link != nil {
		s.link.close()
	}
	if s.messages != nil {
		s.messages.close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// log is the end of what the service has said.
func (s *subject) log(lines int) string {
	all := strings.Split(strings.TrimSpace(s.service.log()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// socket is the control socket of the service.
func (s *subject) socket() string {
	if s.guest {
		return "/run/vedette/control.sock"
	}
	return filepath.Join(s.dir, "control.sock")
}

// state asks the service over its control socket.
func (s *subject) state(ctx context.Context) (state state, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://vedette/v1/state", http.NoBody)
	if err != nil {
		return state, err
	}
	response, err := client.Do(request)
	if err != nil {
		return state, err
	}
	defer response.Body.Close()
	return state, json.NewDecoder(response.Body).Decode(&state)
}

// metric is a number that the service exports: of one with labels, the sum over all of them, if none is named.
func (s *subject) metric(ctx context.Context, name string) (sum float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.web+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Close = true // a connection that is kept would count among the service's descriptors
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return 0, err
	}
	found := false
	for line := range strings.Lines(text.String()) {
		labelled, value, _ := strings.Cut(line, " ")
		if bare, _, _ := strings.Cut(labelled, "{"); bare != name && labelled != name {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}

// healthy waits until the service says that it is, and a frame that was captured from now on has been looked at.
func (s *subject) healthy(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.vedette, "health", "--wait", "60s")
	cmd.Env = append(os.Environ(), "VEDETTE_CONTROL="+s.socket())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("not healthy: %w: %s", err, out)
	}
	return s.detects(ctx)
}

// detects waits for what becomes of a frame from now on.
func (s *subject) detects(ctx context.Context) error {
	_, err := s.messages.await(ctx, s.messages.count(), "yard/detections", anything)
	return err
}

// order sends an order to fail.
func (s *subject) order(pid, number int) error {
	const realtime = 34
	return syscall.Kill(pid, syscall.Signal(realtime+number))
}

// worker waits until a worker of at least the given generation is ready.
func (s *subject) worker(ctx context.Context, generation uint64) (w worker, err error) {
	return w, until(ctx, func() error {
		state, err := s.state(ctx)
		if w = state.Worker; err == nil && (w.State != "ready" || w.Generation < generation) {
			err = fmt.Errorf("worker of generation %d is %s", w.Generation, w.State)
		}
		return err
	})
}

// gone waits until a process is no more, a zombie being no more.
func gone(ctx context.Context, pid int) error {
	return until(ctx, func() error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(text, []byte(") Z ")) {
			return nil
		}
		return fmt.Errorf("process %d is still there", pid)
	})
}

// process is the service as a child of this program.
type process struct {
	vedette, config string
	env             []string
	cmd             *exec.Cmd
	ended           chan struct{}
	said            *logtest.Log
}

func newProcess(s *subject, r row, config string) (*process, error) {
	p := &process{vedette: s.vedette, config: filepath.Join(s.dir, "vedette.yaml"), said: &logtest.Log{}}
	p.env = append(os.Environ(), "VEDETTE_CONTROL="+s.socket(), "VEDETTE_ONNXRUNTIME="+s.runtime)
	for _, value := range r.env {
		p.env = append(p.env, strings.ReplaceAll(value, "DIR", s.dir))
	}
	return p, os.WriteFile(p.config, []byte("state_dir: "+s.dir+"/state\n"+config), 0o600)
}

func (p *process) launch(ctx context.Context) error {
	cmd, ended := exec.CommandContext(context.WithoutCancel(ctx), p.vedette, "run", "--config", p.config), make(chan struct{})
	cmd.Env, cmd.Stderr = p.env, p.said
	p.cmd, p.ended = cmd, ended // its own goroutine's: that of the one before may be about to see its end
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // ProcessState tells
		close(ended)
	}()
	return nil
}

func (p *process) pid(context.Context) (int, error) { return p.cmd.Process.Pid, nil }
func (p *process) log() string                      { return p.said.String() }

// stop ends the service if it still runs; it has to end well and soon.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if !p.cmd.ProcessState.Success() {
			return fmt.Errorf("the service ended with %s", p.cmd.ProcessState)
		}
		return nil
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return errors.New("the service did not end within 20 s of SIGTERM")
	}
}
