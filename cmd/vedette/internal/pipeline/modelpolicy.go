package pipeline

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/identity"
	"vedette/infer/onnx"
	"vedette/infer/store"
)

// ModelPolicy is what a bundle has to meet on this device, its signature and its size apart. version is this program's, with or
// without a v before it. The floor stands in for the clock of a board that boots in the past, where nothing has expired.
func ModelPolicy(cfg config.Config, version string, floor *identity.Floor) store.Policy {
	p := store.Policy{Now: time.Now(), Vedette: "v" + strings.TrimPrefix(version, "v")}
	if earliest := floor.Now(); earliest.After(p.Now) {
		p.Now = earliest
	}
	if found, err := onnx.Find(RuntimeSearch(cfg.Infer.Runtime)); err == nil { // one that is missing is said by whoever loads it
		p.RuntimeAPI = minor(found.Library.Version)
	}
	return p
}

// TimeFloor reads the floor that the service keeps in its state directory. It is usable even with an error.
func TimeFloor(stateDir string) (*identity.Floor, error) {
	return identity.OpenFloor(filepath.Join(stateDir, floorFile))
}

// RuntimeSearch is where this machine's ONNX Runtime is looked for; explicit is infer.runtime.
func RuntimeSearch(explicit string) onnx.Search {
	return onnx.Search{
		Root: "/", Explicit: explicit, Env: os.Getenv(onnx.EnvLibrary), LoaderPath: os.Getenv("LD_LIBRARY_PATH"), Arch: runtime.GOARCH,
	}
}

// minor is 20 of "1.20.1"; 0 where it is not known.
func minor(version string) int {
	_, rest, _ := strings.Cut(version, ".")
	number, _, _ := strings.Cut(rest, ".")
	n, _ := strconv.Atoi(number) // 0 where it is none
	return n
}
