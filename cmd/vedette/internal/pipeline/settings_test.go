package pipeline

import (
	"context"
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

func (f failing) Reload(context.Context) error { return f.err }

func (f failing) Override(context.Context, func(config.Overrides) error) error { return f.err }

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
