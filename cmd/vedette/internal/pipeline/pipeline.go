// Package pipeline wires cameras, workers and MQTT into the running service.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vedette/capture"
	"vedette/capture/picture"
	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/faultlog"
	"vedette/cmd/vedette/internal/identity"
	"vedette/cmd/vedette/internal/inject"
	"vedette/cmd/vedette/internal/lives"
	"vedette/cmd/vedette/internal/metrics"
	"vedette/infer/client"
	"vedette/mqtt"
	"vedette/mqtt/command"
	"vedette/mqtt/embedded"
	"vedette/mqtt/frigate"
	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
	"vedette/web"
	"vedette/web/live"
)

// EmbeddedAddr is where the embedded broker listens, where the port is free.
const EmbeddedAddr = "127.0.0.1:1883"

// stateEvery is how often the state is published when nothing changes.
const stateEvery = 30 * time.Second

// Options are what a Pipeline is made of.
type Options struct {
	Config     config.Config
	Version    string
	Executable string // the program to start as worker
	Logger     *slog.Logger
	// Sources take the place of the configured ones, by camera name; nil: none.
	Sources map[string]capture.Source
	// Lossless makes every camera wait for the workers instead of dropping frames: for sources that are not live.
	Lossless bool
	// Outbox keeps events until the broker has them, and is closed by the pipeline; nil: they are in memory alone.
	Outbox *outbox.Outbox
	// Configuration is where the configuration comes from; nil: it cannot change, and nothing is kept in the state directory.
	Configuration Configuration
	// Keys is the folder of the public keys whose model bundles are taken by command.
	Keys string
	// FaultLog is where faults are kept; nil: nowhere.
	FaultLog *faultlog.Log
	// Degraded is what is known to be so from the start.
	Degraded []payload.Degradation
	// Tree is where workers get cgroups; nil: they get none.
	Tree *cgroup.Tree
	// Notifier is told how the service is; nil: nobody is.
	Notifier *notify.Notifier
	// Policy says how often workers are started again; zero: as supervisor.DefaultPolicy says.
	Policy supervisor.Policy
	// Handled is told each result after its publication; nil: nobody is. It must not keep the result.
	Handled func(*client.Result)
}

// Pipeline is the service: what `vedette run` runs.
type Pipeline struct {
	opts   Options
	device string
	bootID string
	began  time.Time
	topics payload.Topics

	frigate   frigate.Topics
	lives     *lives.Journal // nil: nothing is kept on disk
	left      lives.Left
	announcer *announcer
	desk      *command.Desk
	floor     *identity.Floor
	budget    *budget // of detections
	withheld  withheld

	broker       *embedded.Broker // nil where one is configured
	mqtt         *mqtt.Client
	mqttProgress *notify.Progress
	client       *client.Client
	workers      *workers
	sources      map[string]capture.Source
	records      *metrics.Recorder
	web          *web.Server        // nil where web.listen is empty
	hub          *live.Hub          // shows frames to whoever watches
	encoder      picture.Encoder    // of the hub's goroutine
	recent       recent             // faults
	happened     happened           // events
	shots        sync.WaitGroup     // pictures of events that are waited for
	best         *bestview.Chooser  // nil where no best views are published
	picturing    sync.Mutex         // held while a retained picture is set, or taken back as its camera has changed; taken before mu
	changed      chan struct{}      // the state may have changed. One is enough: it is made anew
	faults       chan payload.Fault // to be kept on disk: as many as a crash loop brings while the disk takes a second or two
	watchdog     *notify.Watchdog
	started      outcome
	giveUp       atomic.Pointer[context.CancelCauseFunc] // ends Run
	memory       atomic.Pointer[payload.Degradation]     // nil while the machine has enough
	modelNote    atomic.Pointer[payload.Degradation]     // nil unless a model was rolled back
	modelFaults  modelFaults
	longestStart time.Duration // until started; then the service ends

	reloading    sync.Mutex
	changes      chan change   // to the cameras' own goroutine
	camerasEnded chan struct{} // closed when it no longer listens

	mu      sync.Mutex    // guards the rest; held for assignments only
	live    config.Config // what holds now
	cameras []*camera     // never changed, only replaced
}

// New checks everything that can be checked before anything runs. With an error the outbox is closed.
func New(opts Options) (*Pipeline, error) {
	p, err := newPipeline(opts)
	if err != nil && opts.Outbox != nil {
		ended, end := context.WithCancel(context.Background())
		end()
		err = errors.Join(err, opts.Outbox.Run(ended)) // which closes it
	}
	return p, err
}

func newPipeline(opts Options) (*Pipeline, error) {
	p := &Pipeline{
		opts: opts, live: opts.Config, began: time.Now(), changes: make(chan change), camerasEnded: make(chan struct{}),
		changed: make(chan struct{}, 1), records: metrics.NewRecorder(), hub: live.New(opts.Logger),
		faults: make(chan payload.Fault, 8), watchdog: newWatchdog(opts), started: outcome{there: make(chan struct{})},
		longestStart: longestStart(opts.Config.Infer),
	}
	if err := needsCamera(opts.Config); err != nil {
		return nil, err
	}
	if err := p.identify(); err != nil {
		return nil, err
	}
	p.startTrial()
	opts = p.opts // it may have gone back to another model
	if opts.Configuration != nil {
		_ = os.MkdirAll(opts.Config.StateDir, 0o750) // whoever needs it says what is wrong with it
	}
	p.openLives()
	p.budget, p.announcer = newBudget(opts.Config.MQTT.Detections), p.newAnnouncer()
	p.best = p.newBest()
	p.newDesk()
	p.client = client.New(client.Options{
		Workers:       opts.Config.Infer.Workers,
		InFlight:      inFlight(opts.Config.Infer),
		RunDeadline:   opts.Config.Infer.Deadlines.Run,
		LoadDeadline:  opts.Config.Infer.Deadlines.Load,
		BuildDeadline: opts.Config.Infer.Deadlines.Build,
	}, opts.Logger)
	var err error
	p.workers, err = newWorkers(workerOptions{
		config: opts.Config, executable: opts.Executable, tree: opts.Tree, client: p.client, policy: restartPolicy(opts.Policy),
		fault: p.publishFault, changed: p.workerChanged, watchdog: p.watchdog, standIn: wantsStandIn(opts.Config.Infer), logger: opts.Logger,
	})
	if err != nil {
		return nil, err
	}
	if p.sources, err = p.newSources(opts.Config.Cameras); err != nil {
		return nil, err
	}
	p.remember()
	if p.web, err = p.newWeb(); err != nil {
		return nil, err
	}
	return p, p.connect()
}

func (p *Pipeline) identify() error {
	var err error
	if p.device = p.opts.Config.Device; p.device == "" {
		var ok bool
		if p.device, ok, err = identity.Device("/"); err != nil {
			return err
		}
		if !ok {
			p.opts.Logger.Warn("this machine has no machine id: the device gets a new name at each start; "+
				"set device in the configuration, or run systemd-machine-id-setup", "device", p.device)
		}
	}
	if p.bootID, err = identity.BootID("/"); err != nil {
		return err
	}
	if p.topics, err = payload.NewTopics(p.opts.Config.MQTT.Prefix, p.device); err != nil {
		return err
	}
	frigates, err := payload.NewTopics(p.opts.Config.MQTT.Frigate.Prefix, p.device)
	p.frigate = frigate.Topics{Prefix: frigates.Prefix()}
	return err
}

// connect prepares the way to a broker: the embedded one where none is configured.
func (p *Pipeline) connect() error {
	cfg := p.opts.Config.MQTT
	if len(cfg.Brokers) == 0 {
		broker, err := embedded.Start(EmbeddedAddr, p.opts.Logger)
		if err != nil {
			return err
		}
		p.broker = broker
		cfg.Brokers = []string{"tcp://" + broker.Addr()}
		p.opts.Logger.Warn("no MQTT broker is configured: an embedded one serves this machine only", "address", broker.Addr())
	}
	var err error
	p.mqttProgress = p.watchdog.Watch("mqtt", 2*mqtt.LongestStep)
	p.mqtt, err = mqtt.New(mqtt.Options{
		Config: cfg, Topics: p.topics, ClientID: "vedette-" + p.device, Outbox: p.opts.Outbox,
		Secrets:       os.Getenv("CREDENTIALS_DIRECTORY"), // systemd.exec(5)
		Subscriptions: slices.Concat(p.desk.Subscriptions(), p.announcer.homeAssistant()),
		Progress:      p.mqttProgress.Made, Proven: inject.Proven(), Logger: p.opts.Logger,
	})
	if err != nil && p.broker != nil {
		err = errors.Join(err, p.broker.Close())
	}
	return err
}

// Broker is the address of the first broker, as host:port for the embedded one.
func (p *Pipeline) Broker() string {
	if p.broker != nil {
		return "tcp://" + p.broker.Addr()
	}
	return p.opts.Config.MQTT.Brokers[0]
}

// Started is closed once the first worker is ready, or given up.
func (p *Pipeline) Started() <-chan struct{} { return p.started.there }

// Topics are those that the service publishes to.
func (p *Pipeline) Topics() payload.Topics { return p.topics }

// Run runs the service until ctx ends or until every source has ended. Then everything stops in the order in which
// frames flow: cameras, workers, MQTT; the metrics tell of it to the end.
func (p *Pipeline) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	stop := func() { end(nil) }
	defer stop()
	p.giveUp.Store(&end)
	p.watchdog.Check("cameras", p.stuck)
	watchdogDone := p.stage(ctx, p.watchdog.Run)
	webDone := p.stage(ctx, p.runWeb)
	hubDone := p.stage(ctx, p.runHub)
	livesDone := p.stage(ctx, p.runLives)
	p.endLeft()
	mqttDone := p.stage(ctx, p.runMQTT)
	stateDone := p.stage(ctx, p.publishState)
	faultsDone := p.stage(ctx, p.keepFaults)
	announcerDone := p.stage(ctx, p.announcer.run)
	deskDone := p.stage(ctx, p.runDesk)
	tracksDone := p.stage(ctx, p.watchTracks)
	bestDone := p.stage(ctx, p.runBest)
	workersDone := p.stage(ctx, p.runWorkers)
	memoryDone := p.stage(ctx, p.watchMemory)
	injectDone := p.stage(ctx, p.injectEvents)
	trialDone := p.stage(ctx, p.watchTrial)
	told := make(chan error, 1)
	go func() {
		told <- p.tellSystemd(ctx)
		stop() // a service that did not start in time ends
	}()

	p.speakFrigate(payload.Online)
	p.runCameras(ctx)
	stop()
	p.endTracks()
	p.shots.Wait()

	err := errors.Join(<-told, trialDone(), injectDone(), deskDone(), tracksDone(), bestDone(), memoryDone(), workersDone(), faultsDone(), stateDone(), announcerDone())
	p.speakFrigate(payload.Offline)
	err = errors.Join(err, mqttDone(), livesDone(), webDone(), hubDone(), watchdogDone())
	if p.broker != nil {
		err = errors.Join(err, p.broker.Close())
	}
	if errors.Is(context.Cause(ctx), ErrUnreapable) {
		err = errors.Join(ErrUnreapable, err)
	}
	return err
}

// stage runs f in the background, beyond the end of ctx; what it gives ends f and waits for it.
func (p *Pipeline) stage(ctx context.Context, f func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func (p *Pipeline) runMQTT(ctx context.Context) error {
	defer p.mqttProgress.Ended()
	return p.mqtt.Run(ctx)
}

func (p *Pipeline) runWorkers(ctx context.Context) error { return p.workers.run(ctx) }

func restartPolicy(policy supervisor.Policy) supervisor.Policy {
	if policy == (supervisor.Policy{}) {
		policy = supervisor.DefaultPolicy()
	}
	return inject.Policy(policy)
}

// Drops is how many frames of all cameras were not looked at, by cause.
func (p *Pipeline) Drops() map[capture.DropCause]uint64 {
	sum := map[capture.DropCause]uint64{}
	for _, cam := range p.list() {
		for cause, n := range cam.Drops() {
			sum[cause] += n
		}
	}
	return sum
}

func (p *Pipeline) cameraStates() map[string]capture.State {
	states := map[string]capture.State{}
	for _, cam := range p.list() {
		states[cam.config.Name] = cam.loop.Status().State
	}
	return states
}

// Restarts is how often workers were started again.
func (p *Pipeline) Restarts() (n uint64) {
	for _, s := range p.workers.supervisors {
		n += s.Status().Restarts
	}
	return n
}

// Frames is how many frames all cameras captured.
func (p *Pipeline) Frames() (n uint64) {
	for _, cam := range p.list() {
		n += cam.loop.Status().Frames
	}
	return n
}

// Provider is the execution provider that runs the model; empty before the model is loaded.
func (p *Pipeline) Provider() string {
	if model := p.workers.model(); model != nil {
		return model.Provider
	}
	return ""
}

// touch asks for a new state document.
func (p *Pipeline) touch() {
	if p.web != nil {
		p.web.StateChanged()
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// publishFault counts and publishes a fault, and hands it to keepFaults.
func (p *Pipeline) publishFault(fault supervisor.Fault) {
	p.records.Fault(fault)
	p.modelFaults.add(p.workers.startedWith(fault.Process))
	message := faultMessage(fault)
	p.recent.add(message)
	p.mqtt.PublishEvent(p.topics.Faults(), func(dst []byte, epoch string, seq uint64) []byte {
		m := message
		m.Epoch, m.Seq = epoch, seq
		text, err := json.Marshal(m)
		if err != nil { // it has nothing that JSON could not say
			return fmt.Appendf(dst, "%q", err)
		}
		return append(dst, text...)
	})
	select {
	case p.faults <- message:
	default:
		p.opts.Logger.Error("a fault is not kept on disk, as the disk does not keep up", "worker", fault.Process,
			"generation", fault.Generation)
	}
}

// keepFaults writes faults to disk, apart from the supervisors: a disk may take its time.
func (p *Pipeline) keepFaults(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case fault := <-p.faults:
			if p.opts.FaultLog == nil {
				continue
			}
			if err := p.opts.FaultLog.Add(fault); err != nil {
				p.opts.Logger.Warn("a fault is not kept on disk", "error", err)
			}
		}
	}
}

// publishState keeps the retained state document fresh: on every change, at most once a second, and every 30 s.
func (p *Pipeline) publishState(ctx context.Context) error {
	ticker, look := time.NewTicker(stateEvery), time.NewTicker(time.Second)
	defer ticker.Stop()
	defer look.Stop()
	var cameras map[string]capture.State // as they were published
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-p.changed:
		case <-look.C: // a camera that comes or goes tells nobody
			if maps.Equal(cameras, p.cameraStates()) {
				continue
			}
		}
		cameras = p.cameraStates()
		state := p.State()
		p.publishFrigateStats(state)
		text, err := json.Marshal(state)
		if err != nil {
			return fmt.Errorf("cannot describe the state: %w", err)
		}
		p.mqtt.SetRetained(p.topics.State(), text)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second): // changes come in bursts
		}
	}
}
