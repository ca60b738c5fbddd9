package pipeline

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/web"
)

// failing is a configuration that cannot be changed.
type failing struct{ err error }

func (f failing) Read() (config.Config, error) { return config.Config{}, f.err }

func (f failing) Override(func(config.Overrides) error, func(config.Config) error) (config.Config, func() error, error) {
	return config.Config{}, nil, f.err
}

// What the system refuses is not the caller's mistake, in whichever of its forms it comes.
func TestTheSystemsTroubleIsNobodysMistake(t *testing.T) {
	for _, c := range []struct {
		err     error
		mistake bool
	}{
		{errors.New("cameras[0].zones: a polygon has 3 corners"), true},
		{&os.PathError{Op: "open", Path: "/var/lib/vedette/overrides.yaml", Err: syscall.EROFS}, false},
		{&os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.ENOSPC}, false},
		{os.NewSyscallError("fsync", syscall.EIO), false},
	} {
		s := settings{&Pipeline{
			opts: Options{Configuration: failing{c.err}}, cameras: []*camera{{config: capture.Camera{Name: "yard"}}},
		}}
		err := s.SetRegions(t.Context(), "yard", []byte(`{"masks":[]}`))
		if _, mistake := errors.AsType[web.Mistake](err); !errors.Is(err, c.err) || mistake != c.mistake {
			t.Errorf("%v: the caller's mistake: %v", err, mistake)
		}
	}
}
