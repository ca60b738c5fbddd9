package v4l2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"vedette/capture"
)

// Source is a camera that is named by its identity, so that it is found again wherever it is plugged in.
type Source struct {
	cfg   capture.V4L2Config
	log   *slog.Logger
	host  host
	clock func() time.Duration
	seen  string // what nodes there were when it was last opened
}

// New makes the source that cfg describes; what cfg leaves open is 1280x720 in the driver's own rate. The camera need
// not be there yet.
func New(cfg capture.V4L2Config, logger *slog.Logger) (*Source, error) {
	if cfg.Size == (capture.Size{}) {
		cfg.Size = capture.Size{Width: 1280, Height: 720}
	}
	if len(cfg.Formats) == 0 {
		cfg.Formats = []capture.PixelFormat{capture.MJPEG, capture.NV12, capture.YUYV}
	}
	if !(cfg.Rate >= 0 && cfg.Rate <= 1000) { // so written, NaN is refused
		return nil, fmt.Errorf("rate %g is outside 0 to 1000 frames a second", cfg.Rate)
	}
	for _, p := range cfg.Formats {
		if _, err := capture.ParsePixelFormat(p.String()); err != nil {
			return nil, err
		}
	}
	return &Source{cfg: cfg, log: logger, host: kernelHost(), clock: monotonic}, nil
}

// String names the camera as the configuration does.
func (s *Source) String() string { return "v4l2:" + cmp.Or(s.cfg.ID, "the only camera") }

// Changed implements capture.Plugged.
func (s *Source) Changed() bool { return s.host.signature() != s.seen }

// Open finds the camera, agrees on a format with its driver, and starts it. Where its bus has no room for that, it goes
// down a ladder: half the rate, a compressed format, a smaller size.
func (s *Source) Open(ctx context.Context) (capture.Stream, error) {
	s.seen = s.host.signature()
	path, err := s.host.resolve(s.cfg.ID)
	if err != nil {
		return nil, err
	}
	w := wish{s.cfg.Formats, s.cfg.Size, s.cfg.Rate}
	stream, refused, err := s.start(ctx, path, w)
	if err == nil {
		return stream, nil
	}
	if !errors.Is(err, ErrBandwidth) {
		return nil, err
	}
	tried := []capture.Format{refused}
	for _, rung := range ladder(w, refused) {
		stream, format, rungErr := s.start(ctx, path, rung, tried...)
		switch {
		case rungErr == nil:
			stream.compromise = fmt.Sprintf("the USB bus has no bandwidth left for %s: it is %s", describe(refused), describe(format))
			return stream, nil
		case errors.Is(rungErr, ErrBandwidth):
			tried = append(tried, format)
		case lacks(rungErr) || errors.Is(rungErr, errTried):
		default:
			return nil, rungErr
		}
	}
	return nil, fmt.Errorf("%w (%d smaller streams were tried)", err, len(tried)-1)
}

// lacks tells whether the camera has not the format of a rung: MJPEG is wished for by default, and not every camera has it.
func lacks(err error) bool {
	_, none := errors.AsType[noFormatError](err)
	return none
}

// errTried is for what the bus had no room for a moment ago.
var errTried = errors.New("it was tried before")

// start opens the camera and makes it stream, unless in a format that was tried before. The format is what was agreed
// on, whatever became of it.
func (s *Source) start(ctx context.Context, path string, w wish, tried ...capture.Format) (*stream, capture.Format, error) {
	if err := ctx.Err(); err != nil {
		return nil, capture.Format{}, err
	}
	d, err := s.host.openDevice(path)
	if err != nil {
		return nil, capture.Format{}, cannot("open "+path, err)
	}
	kind, format, err := s.prepare(d, path, w)
	if err == nil && slices.Contains(tried, format) {
		err = errTried
	}
	if err != nil {
		return nil, format, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
	}
	stream, err := startStream(d, kind, format, s.log, s.clock)
	if err != nil {
		return nil, format, fmt.Errorf("%s: %w", path, err)
	}
	return stream, format, nil
}

func describe(f capture.Format) string {
	text := fmt.Sprintf("%s %dx%d", f.Pixel, f.Width, f.Height)
	if f.Interval > 0 {
		text += fmt.Sprintf(" at %.4g/s", 1/f.Interval.Seconds())
	}
	return text
}

func (s *Source) prepare(d device, path string, w wish) (bufType, capture.Format, error) {
	_, kind, err := capabilities(d)
	if err != nil {
		return 0, capture.Format{}, err
	}
	format, err := negotiator{d, kind}.negotiate(w)
	if none, ok := errors.AsType[noFormatError](err); ok {
		if has := s.formats(path, kind); len(has) > 0 {
			none.offered = has
		}
		return 0, capture.Format{}, capture.FailFormat.Because(none)
	}
	if err != nil {
		return 0, capture.Format{}, err
	}
	return kind, format, s.setControls(path, kind)
}

// formats lists what the camera has, for an error's sake: nothing where it cannot be told.
func (s *Source) formats(path string, kind bufType) []capture.PixelFormat {
	c, err := s.host.catalogueOf(path, kind)
	if err != nil {
		return nil
	}
	defer func() { _ = c.close() }()
	var formats []capture.PixelFormat
	for _, f := range c.formats() {
		formats = append(formats, f.Pixel)
	}
	return formats
}

// setControls checks every setting before it makes the first. Booleans and menus come first, because they unlock
// others: a manual exposure can be set only when the automatic one is off.
func (s *Source) setControls(path string, kind bufType) error {
	if len(s.cfg.Controls) == 0 {
		return nil
	}
	c, err := s.host.catalogueOf(path, kind)
	if err != nil {
		return cannot("look at the controls", err)
	}
	defer func() { _ = c.close() }()
	known := map[string]Control{}
	for _, control := range c.controls() {
		known[control.Name] = control
	}
	var wanted []Control
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Controls)) {
		control, ok := known[name]
		if !ok {
			return capture.FailFormat.Because(fmt.Errorf("the camera has no control %s, but %s", name,
				cmp.Or(strings.Join(slices.Sorted(maps.Keys(known)), ", "), "none at all")))
		}
		if v := s.cfg.Controls[name]; v < int64(control.Min) || v > int64(control.Max) {
			return capture.FailFormat.Because(fmt.Errorf("control %s: %d is outside %d to %d", name, v, control.Min, control.Max))
		}
		wanted = append(wanted, control)
	}
	slices.SortStableFunc(wanted, func(a, b Control) int { return cmp.Compare(a.Kind.order(), b.Kind.order()) })
	for _, control := range wanted {
		value := int32(s.cfg.Controls[control.Name])
		if err := c.setControl(control.ID, value); err != nil {
			return fmt.Errorf("cannot set control %s to %d: %w", control.Name, value, err)
		}
	}
	return nil
}
