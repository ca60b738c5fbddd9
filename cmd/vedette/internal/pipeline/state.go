package pipeline

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/cmd/vedette/internal/identity"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// State is the document that says how the service is.
func (p *Pipeline) State() payload.State {
	state := payload.State{
		V: payload.Version, Time: payload.Time{Time: time.Now()}, Clock: clock(),
		Version: p.opts.Version, Device: p.device, BootID: p.bootID,
		Uptime:   time.Since(p.began).Seconds(),
		Cameras:  map[string]payload.Camera{},
		Degraded: append([]payload.Degradation{}, p.opts.Degraded...),
	}
	model := p.workers.model()
	roles := p.workers.roles()
	for i, s := range p.workers.supervisors {
		status := s.Status()
		if i == p.workers.standIn {
			if status.State == supervisor.Stopped { // nobody misses it
				continue
			}
			if model := p.workers.models[i].Load(); model != nil && status.State == supervisor.Ready {
				state.Degraded = append(state.Degraded, standInDegradation(model))
			}
		}
		w := workerState(p.workers.name(i), status, roles[i], p.workers.models[i].Load())
		if usage, ok := s.Usage(); ok {
			w.Memory = &payload.Memory{Current: usage.Current, Peak: usage.Peak, Pressure: usage.Pressure}
		}
		state.Workers = append(state.Workers, w)
		state.Resources.ChildRSS += residentBytes(status.PID)
		if status.State == supervisor.Degraded || status.State == supervisor.Unreapable {
			state.Degraded = append(state.Degraded, workerDegradation(w))
		}
		if roles[i] == client.RoleActive &&
			(state.Worker.Name == "" || badness(status.State) > badness(supervisor.State(state.Worker.State))) {
			state.Worker = w
		}
	}
	for _, cam := range p.list() {
		c := cameraState(cam)
		state.Cameras[cam.config.Name] = c
		if c.State == string(capture.Lost) || c.State == string(capture.Stalled) {
			state.Degraded = append(state.Degraded, payload.Degradation{
				What: cameraPart(cam.config.Name), Why: c.LastError,
				Remedy: "check its cable and power, or its source in the configuration; it is tried again by itself",
			})
		}
		if why := cam.loop.Status().Compromise; why != "" {
			state.Degraded = append(state.Degraded, payload.Degradation{
				What: cameraPart(cam.config.Name), Why: why,
				Remedy: "plug it into another USB controller ('vedette doctor' tells which cameras share one), or ask for less",
			})
		}
	}
	if model != nil && model.Degraded != "" {
		state.Degraded = append(state.Degraded, providerDegradation(model))
	}
	if missing := p.workers.sandbox.Missing; len(missing) > 0 {
		state.Degraded = append(state.Degraded, payload.Degradation{
			What: masksPart, Why: "advisory: a worker could look past them: " + strings.Join(missing, "; "),
			Remedy: "use a kernel with Landlock and seccomp, and let the service manager or container allow them",
		})
	}
	for _, d := range []*payload.Degradation{p.memory.Load(), p.modelNote.Load()} {
		if d != nil {
			state.Degraded = append(state.Degraded, *d)
		}
	}
	if d, is := p.webDegradation(); is {
		state.Degraded = append(state.Degraded, d)
	}
	mq := p.mqtt.Status()
	state.Outbox = outboxState(mq.Outbox, time.Since(p.began))
	if d, is := subscriptionsDegradation(mq.Denied); is {
		state.Degraded = append(state.Degraded, d)
	}
	if d, is := clientIDDegradation(mq); is {
		state.Degraded = append(state.Degraded, d)
	}
	if d, is := outboxDegradation(mq.Outbox); is {
		state.Degraded = append(state.Degraded, d)
	}
	state.Resources.Limits = p.workers.limitsState()
	state.Resources.ParentRSS = residentBytes(os.Getpid())
	state.Resources.Temperature = temperature("/sys")
	return state
}

func clock() payload.Clock {
	if identity.ClockSynced() {
		return payload.Synced
	}
	return payload.Unsynced
}

// badness orders states, so that of a pool the one that needs a look is shown.
func badness(s supervisor.State) int {
	switch s {
	case supervisor.Ready:
		return 0
	case supervisor.Starting, supervisor.Building, supervisor.Draining, supervisor.Stopped:
		return 1
	case supervisor.BackingOff:
		return 2
	}
	return 3
}

func workerState(name string, status supervisor.Status, role client.Role, model *infer.Model) payload.Worker {
	w := payload.Worker{
		Name: name, State: string(status.State), Role: string(role),
		Generation: status.Generation, Restarts: status.Restarts, PID: status.PID,
	}
	if model != nil {
		w.Provider, w.Degraded, w.Runtime, w.Nodes = model.Provider, model.Degraded, model.Runtime, model.Nodes
		w.Model = &payload.Model{Name: model.Name, SHA256: model.SHA256, Family: model.Family}
	}
	if status.LastFault != nil {
		fault := faultMessage(*status.LastFault)
		fault.Traceback, fault.LastLog = "", nil // the faults topic has them; the state stays small
		w.LastFault = &fault
	}
	return w
}

func workerDegradation(w payload.Worker) payload.Degradation {
	d := payload.Degradation{
		What: workerPart(w.Name), Why: "it failed too often in a row",
		Remedy: "see its last fault; it is tried again every 5 minutes, and a restart of the service tries at once",
	}
	if w.LastFault != nil {
		d.Why = w.LastFault.Kind + ": " + w.LastFault.Message
	}
	return d
}

func providerDegradation(model *infer.Model) payload.Degradation {
	return payload.Degradation{
		What: providerPart, Why: "the model runs on " + model.Provider + ": " + model.Degraded,
		Remedy: "mend what is named, and restart the service; or take the provider out of infer.providers",
	}
}

func standInDegradation(model *infer.Model) payload.Degradation {
	return payload.Degradation{
		What: providerPart, Why: "the model runs on " + model.Provider + " while TensorRT's engine is built, which takes minutes, once",
		Remedy: "wait; 'vedette model build' builds one ahead of time",
	}
}

func cameraState(cam *camera) payload.Camera {
	status := cam.loop.Status()
	c := payload.Camera{
		State: string(status.State), Disabled: cam.config.Disabled, Source: cam.source.String(), FPS: status.FPS,
		LastError: status.LastError, Drops: map[string]uint64{}, Failures: map[string]uint64{},
	}
	if status.Format.Width > 0 {
		c.Format, c.Width, c.Height = status.Format.Pixel.String(), status.Format.Width, status.Format.Height
	}
	for cause, n := range cam.Drops() {
		c.Drops[string(cause)] = n
	}
	for cause, n := range status.Failures {
		c.Failures[string(cause)] = n
	}
	if status.LastFrame > 0 {
		age := max(wire.Monotonic()-status.LastFrame, 0).Seconds() // uvcvideo estimates, and may be ahead
		c.LastFrameAge = &age
	}
	return c
}

func faultMessage(f supervisor.Fault) payload.Fault {
	m := payload.Fault{
		V: payload.Version, Time: payload.Time{Time: f.Time}, Clock: clock(),
		Process: f.Process, Kind: string(f.Kind), Exception: f.Exception, Message: f.Message, Traceback: f.Traceback, Generation: f.Generation,
		ExitCode: f.ExitCode, Uptime: f.Uptime.Seconds(), PeakRSS: f.PeakRSS, LastLog: f.LastLog,
	}
	if f.Signal != 0 {
		m.Signal = unix.SignalName(f.Signal)
	}
	return m
}

// residentBytes is a process's resident memory, shared mappings included; 0 where it is gone. (proc_pid_statm(5).)
func residentBytes(pid int) int64 {
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// temperature is the hottest thermal zone's, in degrees Celsius; nil where the board has none.
func temperature(sys string) *float64 {
	zones, err := filepath.Glob(filepath.Join(sys, "class/thermal/thermal_zone*/temp"))
	if err != nil {
		return nil
	}
	var hottest *float64
	for _, zone := range zones {
		text, err := os.ReadFile(zone)
		if err != nil {
			continue
		}
		milli, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			continue
		}
		if degrees := float64(milli) / 1000; hottest == nil || degrees > *hottest {
			hottest = &degrees
		}
	}
	return hottest
}
