package v4l2

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// Device is a node that captures video.
type Device struct {
	ID       string       `json:"id"` // what configuration should name: stable as long as the camera is
	Name     string       `json:"name"`
	Node     string       `json:"node"` // such as /dev/video0; changes when a camera is plugged in again
	Driver   string       `json:"driver"`
	Bus      string       `json:"bus"`               // where it is plugged in, in the driver's words
	ByID     string       `json:"by_id,omitempty"`   // the name that udev gives by vendor, model and serial number
	ByPath   string       `json:"by_path,omitempty"` // the name that udev gives by the place where it is plugged in
	Serial   string       `json:"serial,omitempty"`
	USBBus   int          `json:"usb_bus,omitempty"`  // cameras on one bus share its bandwidth; 0: it is not on USB
	USBSpeed float64      `json:"usb_mbps,omitempty"` // of the camera's connection, in Mbit/s
	Multi    bool         `json:"multi_planar,omitempty"`
	Problem  string       `json:"problem,omitempty"` // why it could not be asked; then it is not sure to be a camera
	Formats  []PixelOffer `json:"formats,omitempty"`
	Controls []Control    `json:"controls,omitempty"`
}

// Discover lists the cameras that the kernel knows, in the order of their nodes, with what they can do.
func Discover() ([]Device, error) {
	h := kernelHost()
	devices, err := h.devices()
	if err != nil {
		return nil, err
	}
	for i := range devices {
		h.describe(&devices[i])
	}
	return devices, nil
}

// host is where devices are looked for.
type host struct {
	dev, sys      string
	openDevice    func(path string) (device, error)
	openCatalogue func(path string) (catalogue, error)
}

func kernelHost() host {
	return host{dev: "/dev", sys: "/sys", openDevice: openNode, openCatalogue: openCatalogue}
}

// devices lists the nodes that capture video. Metadata nodes, outputs and codecs are left out.
func (h host) devices() ([]Device, error) {
	entries, err := os.ReadDir(h.dev)
	if err != nil {
		return nil, fmt.Errorf("cannot look for cameras: %w", err)
	}
	byID, byPath := h.links("by-id"), h.links("by-path")
	var devices []Device
	for _, e := range entries {
		if nodeNumber(e.Name()) < 0 {
			continue
		}
		d := Device{Node: filepath.Join(h.dev, e.Name())}
		d.Serial, d.USBBus, d.USBSpeed = h.usb(e.Name())
		d.ByID, d.ByPath = byID[e.Name()], byPath[e.Name()]
		if err := h.ask(&d); errors.Is(err, errNotCapture) || errors.Is(err, capture.ErrLost) {
			continue
		} else if err != nil {
			d.Problem = err.Error()
		}
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b Device) int { return cmp.Compare(nodeNumber(a.Node), nodeNumber(b.Node)) })
	identify(devices)
	return devices, nil
}

func (h host) ask(d *Device) error {
	node, err := h.openDevice(d.Node)
	if err != nil {
		return cannot("open "+d.Node, err)
	}
	defer func() { _ = node.close() }()
	c, kind, err := capabilities(node)
	d.Name, d.Driver, d.Bus = text(c.Card[:]), text(c.Driver[:]), text(c.BusInfo[:])
	d.Multi = kind == typeCaptureMulti
	return err
}

func (h host) describe(d *Device) {
	if d.Problem != "" {
		return
	}
	kind := typeCapture
	if d.Multi {
		kind = typeCaptureMulti
	}
	c, err := h.catalogueOf(d.Node, kind)
	if err != nil {
		d.Problem = cannot("list what it can do", err).Error()
		return
	}
	defer func() { _ = c.close() }()
	d.Formats, d.Controls = c.formats(), c.controls()
}

// identify gives each device the most lasting name that no other one has. A name from vendor and model alone says
// little where two of a kind are plugged in: with a serial number it comes first, without after the place.
func identify(devices []Device) {
	names := func(d Device) []string {
		if d.Serial != "" {
			return []string{d.ByID, d.ByPath, d.Bus, d.Node}
		}
		return []string{d.ByPath, d.ByID, d.Bus, d.Node}
	}
	for i, d := range devices {
		for _, name := range names(d) {
			taken := slices.ContainsFunc(devices, func(o Device) bool {
				return o.Node != d.Node && slices.Contains(names(o), name)
			})
			if name != "" && !taken {
				devices[i].ID = name
				break
			}
		}
	}
}

// signature is another one whenever a camera's node or one of its names has come, gone or changed hands, as when udev
// gives the service's group the right to open it.
func (h host) signature() string {
	var all strings.Builder
	note := func(path string) {
		var stat unix.Stat_t
		if unix.Lstat(path, &stat) == nil {
			fmt.Fprintln(&all, path, stat.Ino, stat.Ctim.Sec, stat.Ctim.Nsec)
		}
	}
	entries, err := os.ReadDir(h.dev)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if nodeNumber(e.Name()) >= 0 {
			note(filepath.Join(h.dev, e.Name()))
		}
	}
	for _, kind := range []string{"by-id", "by-path"} {
		note(filepath.Join(h.dev, "v4l", kind))
	}
	return all.String()
}

// resolve gives the node of the camera that id names: by any of its names, by its serial number or as a path.
func (h host) resolve(id string) (string, error) {
	if strings.HasPrefix(id, "/") {
		return id, nil
	}
	if id != "" && filepath.IsLocal(id) { // udev may have more links than the two that a Device tells
		for _, kind := range []string{"by-id", "by-path"} {
			if target, err := os.Readlink(filepath.Join(h.dev, "v4l", kind, id)); err == nil {
				return filepath.Join(h.dev, filepath.Base(target)), nil
			}
		}
	}
	devices, err := h.devices()
	if err != nil {
		return "", err
	}
	var found []Device
	for _, d := range devices {
		if id == "" && d.Problem == "" || id != "" && slices.Contains([]string{d.ID, d.ByID, d.ByPath, d.Serial, d.Bus}, id) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].Node, nil
	case len(found) > 1 && id == "":
		return "", fmt.Errorf("there are %d cameras: set id to one of %s", len(found), names(found))
	case len(found) > 1:
		return "", fmt.Errorf("id %s names %d cameras: set it to one of %s", id, len(found), names(found))
	case id == "" && len(devices) > 0:
		return "", errors.New(devices[0].Problem)
	case len(devices) > 0:
		return "", fmt.Errorf("cannot find camera %s, only %s: %w", id, names(devices), capture.ErrLost)
	}
	return "", fmt.Errorf("cannot find a camera: plug one in, or load its driver: %w", capture.ErrLost)
}

func names(devices []Device) string {
	var all []string
	for _, d := range devices {
		all = append(all, fmt.Sprintf("%s (%s, %s)", d.ID, cmp.Or(d.Name, "unknown"), d.Node))
	}
	return strings.Join(all, ", ")
}

// links maps a node's name to the name that udev's links in /dev/v4l give it.
func (h host) links(kind string) map[string]string {
	folder := filepath.Join(h.dev, "v4l", kind)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // no udev, as in containers
	}
	links := map[string]string{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(folder, e.Name()))
		// A camera can have several names by path: the first in order is kept, so that it is always the same.
		if node := filepath.Base(target); err == nil && links[node] == "" {
			links[node] = e.Name()
		}
	}
	return links
}

// usb reads the serial number, the bus and the speed of the USB device that a node belongs to: the nearest folder above
// the node's own that has a vendor.
func (h host) usb(node string) (serial string, bus int, speed float64) {
	folder, err := filepath.EvalSymlinks(filepath.Join(h.sys, "class/video4linux", node))
	if err != nil {
		return "", 0, 0
	}
	root, err := filepath.EvalSymlinks(h.sys)
	if err != nil {
		return "", 0, 0
	}
	attribute := func(name string) string {
		value, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(value))
	}
	for strings.HasPrefix(folder, root+"/") {
		if attribute("idVendor") == "" {
			folder = filepath.Dir(folder)
			continue
		}
		bus, _ = strconv.Atoi(attribute("busnum")) // 0 where there is none
		speed, _ = strconv.ParseFloat(attribute("speed"), 64)
		return attribute("serial"), bus, speed
	}
	return "", 0, 0
}

// text reads a driver's string, which ends with a zero byte or with its field.
func text(field []byte) string {
	s, _, _ := bytes.Cut(field, []byte{0})
	return strings.ToValidUTF8(string(s), "?")
}
