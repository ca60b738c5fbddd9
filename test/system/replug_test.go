//go:build system

package system

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/mqtt/mqtttest"
	"vedette/test/vm"
)

// gateRate is that of the camera that must not notice: emulation holds it even where the host does other things.
const gateRate = 2

// twoCameras is a vivid camera, which is unplugged, beside one that is fed, which must not notice.
const twoCameras = `
device: guest
cameras:
  - name: yard
    rate: 5
    source: {v4l2: {id: "platform:vivid-000", formats: [yuyv], size: 320x180, rate: 5}}
  - name: gate
    rate: 0
    source: {v4l2: {id: "platform:v4l2loopback-000", formats: [mjpeg], size: 384x288, rate: 2}}
infer:
  model: ` + modelFile + `
  deadlines: {run: 60s, load: 5m}
mqtt:
  brokers: [tcp://127.0.0.1:1883]
`

// watched is the service in a guest, seen from outside.
type watched struct {
	t *testing.T
	*vm.Machine
	subscriber *mqtttest.Subscriber
}

// watch starts the service with a configuration, and a subscriber on the host.
func watch(t *testing.T, m *vm.Machine, config string) *watched {
	t.Helper()
	m.Write(t.Context(), configFile, config)
	w := fromOutside(t, m)
	m.Succeed(t.Context(), asService("--property=SupplementaryGroups=video", "--unit=vedette", "vedette", "run", "--config", configFile)...)
	return w
}

// fromOutside has a subscriber on the host hear all that the guest's service will say.
func fromOutside(t *testing.T, m *vm.Machine) *watched {
	t.Helper()
	ctx := t.Context()
	m.Write(ctx, "/etc/mosquitto/conf.d/outside.conf", "listener 1883\nallow_anonymous true\n")
	m.Succeed(ctx, "systemctl", "restart", "mosquitto")
	_, port, err := net.SplitHostPort(m.Forward(ctx, 1883))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			journal, err := m.Guest.Journal(context.Background(), "vedette")
			t.Log(journal, err)
		}
	})
	return &watched{t, m, mqtttest.Subscribe(t, port, "vedette/guest/#")}
}

// until waits for something that emulation may make slow.
func (w *watched) until(what string, holds func() bool) {
	w.t.Helper()
	const patience = 4 * time.Minute
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// detects waits for what becomes of a camera's frame from now on.
func (w *watched) detects(camera string) {
	w.t.Helper()
	topic := "vedette/guest/" + camera + "/detections"
	before := len(w.subscriber.Payloads(topic))
	w.until("detections of "+camera, func() bool { return len(w.subscriber.Payloads(topic)) > before })
}

// metrics are the service's own, by name and labels.
func (w *watched) metrics() map[string]float64 {
	w.t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(w.Succeed(w.t.Context(), "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8642/metrics")) {
		if i := strings.LastIndexByte(strings.TrimSpace(line), ' '); i > 0 && !strings.HasPrefix(line, "#") {
			all[line[:i]], _ = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		}
	}
	return all
}

func failures(camera, cause string) string {
	return fmt.Sprintf(`vedette_camera_failures_total{camera="%s",cause="%s"}`, camera, cause)
}

func drops(camera, cause string) string {
	return fmt.Sprintf(`vedette_camera_frames_dropped_total{camera="%s",cause="%s"}`, camera, cause)
}

// held is what the service's process has of the kernel: descriptors, and mappings of files and devices.
type held struct{ pid, descriptors, mappings int }

func (w *watched) holds() (h held) {
	w.t.Helper()
	pid := w.Show(w.t.Context(), "vedette", "MainPID")["MainPID"]
	said := w.Succeed(w.t.Context(), "sh", "-c", "echo "+pid+" $(ls /proc/"+pid+"/fd | wc -l) $(grep -c / /proc/"+pid+"/maps)")
	if _, err := fmt.Sscan(said, &h.pid, &h.descriptors, &h.mappings); err != nil {
		w.t.Fatalf("%v: %s", err, said)
	}
	return h
}

// settles waits until the service holds the same a few times in a row: a request that is just being served counts, too.
func (w *watched) settles() (last held) {
	w.t.Helper()
	same := 0
	w.until("the service holds the same for a while", func() bool {
		now := w.holds()
		if same++; now != last {
			last, same = now, 0
		}
		return same >= 3
	})
	return last
}

// node is where the vivid camera is now.
func (w *watched) node() string {
	w.t.Helper()
	var list struct {
		Cameras []struct{ Node, Bus string }
	}
	said := w.Succeed(w.t.Context(), "vedette", "camera", "list", "--json")
	if err := json.Unmarshal([]byte(said), &list); err != nil {
		w.t.Fatalf("%v: %s", err, said)
	}
	for _, c := range list.Cameras {
		if c.Bus == "platform:vivid-000" {
			return c.Node
		}
	}
	w.t.Fatalf("vivid is not listed:\n%s", said)
	return ""
}

const vividDriver = "/sys/bus/platform/drivers/vivid/"

func unplugAndReplug(t *testing.T, w *watched, i int) time.Duration {
	t.Helper()
	ctx := t.Context()
	node := w.node()
	lost := w.metrics()[failures("yard", "lost")]
	gone := func() bool { return w.metrics()[failures("yard", "lost")] > lost }
	switch i % 3 {
	case 1: // the control, after which the camera is back as soon as nobody has it open
		back := time.Now()
		w.Succeed(ctx, "v4l2-ctl", "-d", node, "-c", "disconnect=1")
		w.until("yard is lost", gone)
		w.detects("yard")
		return time.Since(back)
	case 2: // somebody holds the old node, so that the camera comes back under another number
		hold := fmt.Sprintf("hold%d", i)
		w.Succeed(ctx, "systemd-run", "--quiet", "--unit="+hold, "sh", "-c", "exec sleep 1000 <"+node)
		held := "ls -l /proc/$(systemctl show --value -p MainPID " + hold + ")/fd | grep -q " + node
		w.until("the node is held", func() bool { return w.Run(ctx, "sh", "-c", held).ExitCode == 0 })
		defer w.Succeed(ctx, "systemctl", "stop", hold)
	}
	w.Succeed(ctx, "sh", "-c", "echo vivid.0 >"+vividDriver+"unbind")
	w.until("yard is lost", gone)
	w.Succeed(ctx, "sh", "-c", "echo vivid.0 >"+vividDriver+"bind")
	back := time.Now()
	w.detects("yard")
	took := time.Since(back)
	if now := w.node(); i%3 == 2 && now == node {
		t.Errorf("round %d: the camera was to come back under another number, and is %s again", i, now)
	}
	return took
}

func TestUnplugAndReplug(t *testing.T) {
	m := installed(t)
	ctx := t.Context()
	loadLoopback(t, m, "10")
	format := capture.Format{Pixel: capture.MJPEG, Width: 384, Height: 288}.Packed()
	feeds(ctx, m, 10, format, gateRate, pedestrians(t, m, format, gateRate))
	m.Succeed(ctx, "modprobe", "vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0x0")
	w := watch(t, m, twoCameras)
	w.detects("yard")
	w.detects("gate")

	rounds, within := 3, 2*time.Minute // a machine that does other things proves nothing about seconds
	if nightly() {
		rounds, within = 20, 3*time.Second
	}
	before, counts := w.settles(), w.metrics()
	var took []time.Duration
	for i := range rounds {
		took = append(took, unplugAndReplug(t, w, i))
	}
	w.detects("gate")
	after := w.metrics()
	const read = `vedette_camera_frames_total{camera="gate"}`
	late := drops("gate", "superseded") // this machine was slower than a frame's period, emulated as it is
	slices.Sort(took)
	t.Logf("%d times unplugged; the other camera gave %v frames meanwhile, of which the service was late for %v; detections back after %v (median), %v (worst)", rounds,
		after[read]-counts[read], after[late]-counts[late], took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	if worst := took[len(took)-1]; worst > within {
		t.Errorf("the camera was back %v after its return, want %v", worst, within)
	}
	for _, cause := range capture.FailureCauses() {
		if n := after[failures("gate", string(cause))]; n > 0 {
			t.Errorf("the other camera failed %v times: %s", n, cause)
		}
	}
	// A service that comes too late for frames is short of processor, which does not say who lost them.
	starved := !nightly() && after[late] > counts[late]
	for _, cause := range []string{"driver", "bad_buffer"} {
		switch n := after[drops("gate", cause)] - counts[drops("gate", cause)]; {
		case n > 0 && starved:
			t.Logf("the other camera lost %v frames on a machine that was too slow: %s", n, cause)
		case n > 0:
			t.Errorf("the other camera lost %v frames: %s", n, cause)
		}
	}
	w.until(fmt.Sprintf("the service is the same and holds no more than before: %+v", before), func() bool {
		now := w.holds()
		return now.pid == before.pid && now.descriptors <= before.descriptors && now.mappings <= before.mappings
	})
	t.Logf("before: %+v; after: %+v", before, w.holds())
	injections(t, w)
}

// injections has vivid fail in every way that it knows: each has its own count, and the camera recovers.
func injections(t *testing.T, w *watched) {
	ctx := t.Context()
	set := func(control string) { w.Succeed(ctx, "v4l2-ctl", "-d", w.node(), "-c", control) }
	for _, c := range []struct {
		count    string
		controls []string
	}{
		{failures("yard", "lost"), []string{"disconnect=1"}},
		{drops("yard", "bad_buffer"), []string{"inject_v4l2_buf_flag_error=1"}},
		{failures("yard", "queue"), []string{"inject_vidioc_qbuf_error=1"}},
		{failures("yard", "driver"), []string{"inject_fatal_streaming_error=1"}},
		// These two strike when a stream starts: one that is running is ended for it.
		{failures("yard", "buffers"), []string{"inject_vidioc_reqbufs_error=1", "inject_fatal_streaming_error=1"}},
		{failures("yard", "start"), []string{"inject_vidioc_streamon_error=1", "inject_fatal_streaming_error=1"}},
		{drops("yard", "driver"), []string{"percentage_of_dropped_buffers=50"}},
	} {
		before := w.metrics()[c.count]
		for _, control := range c.controls {
			set(control)
		}
		w.until(c.count+" after "+strings.Join(c.controls, ", "), func() bool { return w.metrics()[c.count] > before })
		if strings.HasPrefix(c.controls[0], "percentage") {
			set("percentage_of_dropped_buffers=0")
		}
		w.detects("yard")
		t.Logf("%s: %v more, then detections again", c.count, w.metrics()[c.count]-before)
	}
	if n := w.Show(ctx, "vedette", "NRestarts", "ActiveState"); n["NRestarts"] != "0" || n["ActiveState"] != "active" {
		t.Errorf("the service: %v", n)
	}
}

// The default model finds pedestrians of a real video that a camera shows, and a subscriber outside hears of it.
func TestPedestriansAreSeenFromOutside(t *testing.T) {
	if os.Getenv("VEDETTE_VM_ARCH") == "arm64" && !nightly() {
		t.Skip("skipped: amd64 has it in the short form; VEDETTE_NIGHTLY=1 make system-test ARCH=arm64 has it here")
	}
	m := installed(t)
	ctx := t.Context()
	m.Put(ctx, built(t, filepath.Join("models", "coco.onnx"), os.Getenv("VEDETTE_MODEL")), "/usr/lib/vedette/models/coco.onnx")
	loadLoopback(t, m, "10")
	format := capture.Format{Pixel: capture.MJPEG, Width: 768, Height: 576}.Packed()
	feeds(ctx, m, 10, format, 1, pedestrians(t, m, format, 1))
	w := watch(t, m, `
device: guest
cameras:
  - {name: gate, rate: 0, source: {v4l2: {id: "platform:v4l2loopback-000", formats: [mjpeg], size: 768x576, rate: 1}}}
infer: {model: /usr/lib/vedette/models/coco.onnx, deadlines: {run: 4m, load: 4m}}
mqtt: {brokers: ['tcp://127.0.0.1:1883']}
`)
	began := time.Now()
	var seen detections
	for end := time.Now().Add(8 * time.Minute); len(seen.Detections) == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody was seen in 8 minutes")
		}
		for _, payload := range w.subscriber.Payloads("vedette/guest/gate/detections") {
			var message detections
			if err := json.Unmarshal([]byte(payload), &message); err != nil {
				t.Fatalf("%v: %s", err, payload)
			}
			for _, d := range message.Detections {
				if d.Label == "person" {
					seen = message
				}
			}
		}
	}
	t.Logf("after %v, frame %d: %+v", time.Since(began).Round(time.Second), seen.Sequence, seen.Detections)
	if seen.Frame.Width != 768 || seen.Frame.Height != 576 {
		t.Errorf("frame of %+v", seen.Frame)
	}
}
