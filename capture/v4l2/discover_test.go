package v4l2

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// tree is a machine's /dev and /sys, and what its nodes answer.
type tree struct {
	t     *testing.T
	root  string
	nodes map[string]answer
	open  int
}

type answer struct {
	card, driver, bus string
	caps              uint32
	openErr           error
}

func newTree(t *testing.T) *tree {
	tr := &tree{t: t, root: t.TempDir(), nodes: map[string]answer{}}
	tr.mkdir("dev")
	tr.mkdir("sys/class/video4linux")
	tr.file("dev/null", "")
	tr.file("dev/video", "")
	tr.file("dev/videox", "")
	tr.mkdir("dev/v4l")
	return tr
}

func (tr *tree) mkdir(path string) {
	if err := os.MkdirAll(filepath.Join(tr.root, path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) file(path, content string) {
	tr.mkdir(filepath.Dir(path))
	if err := os.WriteFile(filepath.Join(tr.root, path), []byte(content), 0o600); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) link(path, target string) {
	tr.mkdir(filepath.Dir(path))
	if err := os.Symlink(target, filepath.Join(tr.root, path)); err != nil {
		tr.t.Fatal(err)
	}
}

// usb adds a node of a USB camera on a port; udev's links are added where model is not empty.
func (tr *tree) usb(node, port, serial, model, index string, a answer) {
	a.bus = "usb-0000:00:14.0-" + port
	tr.nodes[node] = a
	tr.file("dev/"+node, "")
	device := "sys/devices/pci0000:00/0000:00:14.0/usb1/1-" + port
	tr.file(device+"/idVendor", "046d\n")
	tr.file(device+"/busnum", "1\n")
	tr.file(device+"/speed", "480\n")
	if serial != "" {
		tr.file(device+"/serial", serial+"\n")
	}
	tr.file("sys/devices/pci0000:00/0000:00:14.0/usb1/idVendor", "1d6b\n") // the hub has a serial number as well
	tr.file("sys/devices/pci0000:00/0000:00:14.0/usb1/serial", "0000:00:14.0\n")
	tr.mkdir(device + "/1-" + port + ":1.0/video4linux/" + node)
	tr.link("sys/class/video4linux/"+node, "../../devices/pci0000:00/0000:00:14.0/usb1/1-"+port+"/1-"+port+":1.0/video4linux/"+node)
	if model != "" {
		os.Remove(filepath.Join(tr.root, "dev/v4l/by-id", "usb-"+model+"-video-index"+index)) // udev keeps one of two alike
		tr.link("dev/v4l/by-id/usb-"+model+"-video-index"+index, "../../"+node)
		tr.link("dev/v4l/by-path/pci-0000:00:14.0-usb-0:"+port+":1.0-video-index"+index, "../../"+node)
		tr.link("dev/v4l/by-path/pci-0000:00:14.0-usbv2-0:"+port+":1.0-video-index"+index, "../../"+node)
	}
}

func (tr *tree) platform(node, bus string, a answer) {
	a.bus = bus
	tr.nodes[node] = a
	tr.file("dev/"+node, "")
	tr.mkdir("sys/devices/platform/" + node + "/video4linux/" + node)
	tr.link("sys/class/video4linux/"+node, "../../devices/platform/"+node+"/video4linux/"+node)
}

func (tr *tree) host() host {
	return host{
		dev: filepath.Join(tr.root, "dev"), sys: filepath.Join(tr.root, "sys"),
		openDevice: func(path string) (device, error) {
			a, ok := tr.nodes[filepath.Base(path)]
			if !ok {
				return nil, unix.ENOENT
			}
			if a.openErr != nil {
				return nil, a.openErr
			}
			tr.open++
			return &askedNode{tr: tr, answer: a}, nil
		},
		openCatalogue: func(string) (catalogue, error) {
			return &fakeCatalogue{offers: []PixelOffer{{Pixel: capture.MJPEG}}}, nil
		},
	}
}

type askedNode struct {
	device
	tr *tree
	answer
}

func (n *askedNode) ioctl(request uint32, argument unsafe.Pointer) error {
	if request != reqQueryCap {
		return unix.ENOTTY
	}
	c := (*capability)(argument)
	copy(c.Card[:], n.card)
	copy(c.Driver[:], n.driver)
	copy(c.BusInfo[:], n.bus)
	c.Capabilities, c.DeviceCaps = capVideoCapture|capStreaming|capDeviceCaps, n.caps
	return nil
}

func (n *askedNode) close() error { n.tr.open--; return nil }

const (
	capsCamera   = capVideoCapture | capStreaming
	capsMetadata = 0x00800000 | capStreaming
	capsOutput   = 0x00000002 | capStreaming
	capsCodec    = 0x00004000 | capStreaming
)

// machine has a webcam with a serial number, two of a kind without, a sensor on the board, and nodes that are no
// cameras.
func machine(t *testing.T) *tree {
	tr := newTree(t)
	webcam := answer{card: "HD Pro Webcam C920", driver: "uvcvideo", caps: capsCamera}
	metadata := answer{card: "HD Pro Webcam C920", driver: "uvcvideo", caps: capsMetadata}
	cheap := answer{card: "USB Camera: with a name of 32 byt", driver: "uvcvideo", caps: capsCamera}
	tr.usb("video10", "3", "", "Cheap_Camera", "0", cheap)
	tr.usb("video0", "1", "A1B2", "046d_C920_A1B2", "0", webcam)
	tr.usb("video1", "1", "A1B2", "046d_C920_A1B2", "1", metadata)
	tr.usb("video2", "2", "", "Cheap_Camera", "0", cheap)
	tr.platform("video4", "platform:tegra-capture-vi", answer{card: "vi-output", driver: "tegra-video", caps: capVideoCaptureMulti | capStreaming})
	tr.platform("video5", "platform:out", answer{card: "output", caps: capsOutput})
	tr.platform("video6", "platform:codec", answer{card: "codec", caps: capsCodec})
	tr.platform("video7", "platform:locked", answer{openErr: unix.EACCES})
	tr.platform("video8", "platform:leaving", answer{openErr: unix.ENODEV})
	return tr
}

func TestDiscovery(t *testing.T) {
	tr := machine(t)
	devices, err := tr.host().devices()
	if err != nil {
		t.Fatal(err)
	}
	dev := filepath.Join(tr.root, "dev") + "/"
	want := []Device{
		{
			Node: dev + "video0", ID: "usb-046d_C920_A1B2-video-index0", Name: "HD Pro Webcam C920", Driver: "uvcvideo",
			Bus: "usb-0000:00:14.0-1", ByID: "usb-046d_C920_A1B2-video-index0",
			ByPath: "pci-0000:00:14.0-usb-0:1:1.0-video-index0", Serial: "A1B2",
			USBBus: 1, USBSpeed: 480,
		},
		{
			Node: dev + "video2", ID: "pci-0000:00:14.0-usb-0:2:1.0-video-index0", Name: "USB Camera: with a name of 32 by",
			Driver: "uvcvideo", Bus: "usb-0000:00:14.0-2", ByID: "usb-Cheap_Camera-video-index0",
			ByPath: "pci-0000:00:14.0-usb-0:2:1.0-video-index0", USBBus: 1, USBSpeed: 480,
		},
		{
			Node: dev + "video4", ID: "platform:tegra-capture-vi", Name: "vi-output", Driver: "tegra-video",
			Bus: "platform:tegra-capture-vi", Multi: true,
		},
		{
			Node: dev + "video7", ID: dev + "video7",
			Problem: "cannot open " + dev + "video7: add the service's user to the group video: permission denied",
		},
		{
			Node: dev + "video10", ID: "pci-0000:00:14.0-usb-0:3:1.0-video-index0", Name: "USB Camera: with a name of 32 by",
			Driver: "uvcvideo", Bus: "usb-0000:00:14.0-3", ByPath: "pci-0000:00:14.0-usb-0:3:1.0-video-index0",
			USBBus: 1, USBSpeed: 480,
		},
	}
	if len(devices) != len(want) {
		t.Fatalf("found %+v", devices)
	}
	for i, w := range want {
		if g := devices[i]; g.ID != w.ID || g.Name != w.Name || g.Node != w.Node || g.Driver != w.Driver || g.Bus != w.Bus ||
			g.ByID != w.ByID || g.ByPath != w.ByPath || g.Serial != w.Serial || g.USBBus != w.USBBus || g.USBSpeed != w.USBSpeed || g.Multi != w.Multi || g.Problem != w.Problem {
			t.Errorf("found  %+v\nwanted %+v", g, w)
		}
		tr.host().describe(&devices[i])
		if described := len(devices[i].Formats) == 1; described != (w.Problem == "" && !w.Multi) { // this one's driver knows no lists
			t.Errorf("%s: formats %v", w.Node, devices[i].Formats)
		}
	}
	if tr.open != 0 {
		t.Errorf("%d nodes were left open", tr.open)
	}
}

func TestCamerasAreFoundByTheirNames(t *testing.T) {
	tr := machine(t)
	for id, want := range map[string]string{
		"usb-046d_C920_A1B2-video-index0": "video0",
		"A1B2":                            "video0",
		"usb-0000:00:14.0-1":              "video0",
		"pci-0000:00:14.0-usb-0:2:1.0-video-index0":   "video2",
		"pci-0000:00:14.0-usbv2-0:3:1.0-video-index0": "video10",
		"platform:tegra-capture-vi":                   "video4",
	} {
		got, err := tr.host().resolve(id)
		if err != nil || got != filepath.Join(tr.root, "dev", want) {
			t.Errorf("%s is %s, %v", id, got, err)
		}
	}
	if got, err := tr.host().resolve("/dev/anything"); err != nil || got != "/dev/anything" {
		t.Errorf("a path is %s, %v", got, err)
	}
	for id, want := range map[string]string{
		"":                   "there are 4 cameras: set id to one of usb-046d_C920_A1B2-video-index0 (HD Pro Webcam C920, ",
		"no-such":            "cannot find camera no-such, only usb-046d_C920_A1B2-video-index0 (HD Pro",
		"../by-path/x":       "cannot find camera",
		"../../../../../etc": "cannot find camera",
	} {
		if got, err := tr.host().resolve(id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %s, error %v", id, got, err)
		} else if lost := errors.Is(err, capture.ErrLost); lost != (id != "") {
			t.Errorf("%q: lost %t", id, lost)
		}
	}
}

func TestTheOnlyCamera(t *testing.T) {
	tr := newTree(t)
	if _, err := tr.host().resolve(""); !errors.Is(err, capture.ErrLost) || !strings.Contains(err.Error(), "plug one in") {
		t.Errorf("no camera: %v", err)
	}
	tr.platform("video1", "platform:x", answer{openErr: unix.EACCES})
	if _, err := tr.host().resolve(""); err == nil || !strings.Contains(err.Error(), "group video") {
		t.Errorf("no permission: %v", err)
	}
	tr.usb("video0", "1", "", "", "0", answer{card: "Camera", caps: capsCamera})
	if got, err := tr.host().resolve(""); err != nil || filepath.Base(got) != "video0" {
		t.Errorf("one camera: %s, %v", got, err)
	}
	tr.usb("video2", "1", "", "", "1", answer{card: "Camera", caps: capsCamera})
	if _, err := tr.host().resolve("usb-0000:00:14.0-1"); err == nil || !strings.Contains(err.Error(), "names 2 cameras: set it to one of ") {
		t.Errorf("two nodes at one place: %v", err)
	}
}

// Sources are asked for by identity at each Open, so that a camera is found when its node's number changes.
func TestReenumeratedNode(t *testing.T) {
	tr := newTree(t)
	tr.usb("video0", "1", "A1B2", "046d_C920_A1B2", "0", answer{card: "Camera", caps: capsCamera})
	s, err := New(capture.V4L2Config{ID: "A1B2"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.host = tr.host()
	if _, err = s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "/video0: ") {
		t.Errorf("error %v", err)
	}
	os.Remove(filepath.Join(tr.root, "dev/video0"))
	os.RemoveAll(filepath.Join(tr.root, "sys"))
	os.RemoveAll(filepath.Join(tr.root, "dev/v4l"))
	if _, err = s.Open(t.Context()); !errors.Is(err, capture.ErrLost) {
		t.Errorf("error %v", err)
	}
	tr.usb("video3", "4", "A1B2", "046d_C920_A1B2", "0", answer{card: "Camera", caps: capsCamera})
	if _, err = s.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "/video3: ") {
		t.Errorf("error %v", err)
	}
	if tr.open != 0 {
		t.Errorf("%d nodes were left open", tr.open)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]capture.V4L2Config{
		"rate -1 is outside":          {Rate: -1},
		"rate 1001 is outside":        {Rate: 1001},
		`unknown pixel format "H264"`: {Formats: []capture.PixelFormat{capture.MJPEG, capture.FourCC("H264")}},
	} {
		if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v", cfg, err)
		}
	}
	s, err := New(capture.V4L2Config{}, slog.New(slog.DiscardHandler))
	if err != nil || s.String() != "v4l2:the only camera" || s.cfg.Size != (capture.Size{Width: 1280, Height: 720}) {
		t.Errorf("%v, %v", s, err)
	}
}

// On a machine without cameras, and without the devices' folder at all, there is simply nothing to list.
func TestDiscoverHere(t *testing.T) {
	if _, err := Discover(); err != nil {
		t.Error(err)
	}
	h := kernelHost()
	h.dev = filepath.Join(t.TempDir(), "none")
	if _, err := h.devices(); err == nil || !strings.HasPrefix(err.Error(), "cannot look for cameras") {
		t.Errorf("error %v", err)
	}
}
