package v4l2

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"

	"vedette/capture"
)

// catalogue is what a camera says about itself.
type catalogue interface {
	formats() []PixelOffer
	controls() []Control
	setControl(id uint32, value int32) error
	close() error
}

// PixelOffer is a pixel format that a camera has.
type PixelOffer struct {
	Pixel       capture.PixelFormat `json:"format"`
	Description string              `json:"description"` // the driver's
	Sizes       []SizeOffer         `json:"sizes"`
}

// SizeOffer is a size, or a range of sizes, that a camera has in one pixel format.
type SizeOffer struct {
	Least capture.Size `json:"least"`
	Most  capture.Size `json:"most"`  // as Least, where the size is one
	Rates []float64    `json:"rates"` // frames a second; empty where the driver does not list them
}

// Control is a setting of a camera.
type Control struct {
	ID   uint32      `json:"-"`
	Name string      `json:"name"` // as configuration writes it, such as exposure_time_absolute
	Kind ControlKind `json:"kind"`
	Min  int32       `json:"min"`
	Max  int32       `json:"max"`
	Step int32       `json:"step"`
}

// ControlKind says what a control's values mean.
type ControlKind string

// The kinds of controls that can be set.
const (
	ControlInteger ControlKind = "integer"
	ControlBoolean ControlKind = "boolean"
	ControlMenu    ControlKind = "menu"
)

func (k ControlKind) order() int {
	if k == ControlInteger {
		return 1
	}
	return 0
}

// webcamCatalogue asks through the library, which sees cameras of the single-planar kind only.
type webcamCatalogue struct{ camera *webcam.Webcam }

func openCatalogue(path string) (catalogue, error) {
	// The library opens without O_CLOEXEC: no child may start before that is mended, or it would hold the camera.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	camera, err := webcam.Open(path)
	if err != nil {
		return nil, err
	}
	if err := closeOnExec(path); err != nil {
		_ = camera.Close()
		return nil, err
	}
	return webcamCatalogue{camera}, nil
}

// closeOnExec keeps all of this process's descriptors of a device node from its children.
func closeOnExec(path string) error {
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return fmt.Errorf("cannot look at %s: %w", path, err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list descriptors: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var have unix.Stat_t
		if unix.Fstat(fd, &have) == nil && have.Mode&unix.S_IFMT == unix.S_IFCHR && have.Rdev == want.Rdev {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// maxListed bounds what is asked about one camera: some have a size for every window.
const maxListed = 64

func (w webcamCatalogue) formats() []PixelOffer {
	var offers []PixelOffer
	for pixel, description := range w.camera.GetSupportedFormats() {
		offers = append(offers, PixelOffer{
			Pixel: capture.PixelFormat(pixel), Description: description, Sizes: w.sizes(pixel),
		})
	}
	slices.SortFunc(offers, func(a, b PixelOffer) int { return cmp.Compare(a.Pixel.String(), b.Pixel.String()) })
	return offers
}

func (w webcamCatalogue) sizes(pixel webcam.PixelFormat) []SizeOffer {
	var sizes []SizeOffer
	for _, s := range w.camera.GetSupportedFrameSizes(pixel) {
		if s.MaxWidth == 0 || len(sizes) == maxListed {
			continue // the library does not read a continuous range of sizes
		}
		offer := SizeOffer{
			Least: capture.Size{Width: int(s.MinWidth), Height: int(s.MinHeight)},
			Most:  capture.Size{Width: int(s.MaxWidth), Height: int(s.MaxHeight)},
		}
		for _, r := range w.camera.GetSupportedFramerates(pixel, s.MaxWidth, s.MaxHeight) {
			// The intervals are fractions of seconds, so that the rate is their inverse.
			if r.MinNumerator > 0 {
				offer.Rates = append(offer.Rates, float64(r.MinDenominator)/float64(r.MinNumerator))
			}
		}
		sizes = append(sizes, offer)
	}
	return sizes
}

func (w webcamCatalogue) controls() []Control {
	kinds := []ControlKind{ControlInteger, ControlBoolean, ControlMenu} // by the library's number for them
	var controls []Control
	for id, c := range w.camera.GetControls() {
		if c.Type < 0 || int(c.Type) >= len(kinds) {
			continue
		}
		controls = append(controls, Control{
			ID: uint32(id), Name: controlName(c.Name), Kind: kinds[c.Type], Min: c.Min, Max: c.Max, Step: c.Step,
		})
	}
	slices.SortFunc(controls, func(a, b Control) int { return cmp.Compare(a.ID, b.ID) })
	return controls
}

func (w webcamCatalogue) setControl(id uint32, value int32) error {
	return w.camera.SetControl(webcam.ControlID(id), value)
}

func (w webcamCatalogue) close() error { return w.camera.Close() }

// controlName writes a driver's name as v4l2-ctl does: "White Balance, Automatic" is white_balance_automatic.
func controlName(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "_")
}

// nodeNumber gives n of "videon"; -1 for other names.
func nodeNumber(name string) int {
	digits, ok := strings.CutPrefix(filepath.Base(name), "video")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return -1
	}
	return n
}
