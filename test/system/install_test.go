//go:build system

package system

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"vedette/infer/onnxfile/tinymodel"
	"vedette/test/vm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Where the installed machine has what the tests name.
const (
	modelFile  = "/usr/lib/vedette/models/tiny.onnx"
	configFile = "/etc/vedette/vedette.yaml"
)

// Emulated arithmetic is several hundred times slower than real: a tiny model, small frames, deadlines to match.
const config = `
device: guest
cameras:
  - name: yard
    source: {scene: {size: 320x180, rate: 5}}
infer:
  model: ` + modelFile + `
  deadlines: {run: 60s, load: 5m}
mqtt:
  brokers: [tcp://127.0.0.1:1883]
`

// installed gives a machine with the program, ONNX Runtime, a tiny model and a configuration where packages put them.
func installed(t *testing.T) *vm.Machine {
	t.Helper()
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Put(ctx, built(t, "vedette-"+m.Guest.Arch, ""), "/usr/bin/vedette")
	library := ""
	if m.Guest.Arch == runtime.GOARCH {
		library = os.Getenv("VEDETTE_ONNXRUNTIME")
	}
	m.Put(ctx, built(t, filepath.Join("onnxruntime", m.Guest.Arch, "libonnxruntime.so"), library),
		"/usr/lib/vedette/libonnxruntime.so")
	var model bytes.Buffer
	if err := tinymodel.Write(&model, 64); err != nil {
		t.Fatal(err)
	}
	m.Write(ctx, modelFile, model.String())
	m.Write(ctx, configFile, config)
	return m
}

// built gives a file that `make build` makes or fetches, or the one that stands in for it.
func built(t *testing.T, name, instead string) string {
	t.Helper()
	if instead != "" {
		return instead
	}
	path := filepath.Join("../../build", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run 'make build', with ARCH for another architecture", err)
	}
	return path
}

// asService are the arguments of systemd-run for a command with the rights of the service.
func asService(arguments ...string) []string {
	return append([]string{
		"systemd-run", "--quiet", "--property=DynamicUser=yes", "--property=StateDirectory=vedette", "--property=Delegate=yes",
	}, arguments...)
}
