package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"vedette/infer/bundle"
	"vedette/test/logtest"
)

// release is a model that the running service may be switched to.
type release struct {
	name    string
	version uint64
	model   string // the hash of its file, by which workers say what they run
}

func (r release) String() string { return fmt.Sprintf("%s@%d", r.name, r.version) }

// updates kills the service while it switches to another model or to another version of one: at moments spread over the whole of a
// switch, and while it writes down what it has switched to. What runs afterwards is the old one or the new one, whole, and an unmade
// switch can be made again. Then workers fail with a new one, and the old one comes back by itself.
func updates(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	old := release{name: "what was configured", model: w.Model.SHA256}
	releases, err := s.install(ctx, release{name: "yard", version: 1}, release{name: "yard", version: 2}, release{name: "door", version: 1})
	if err != nil {
		return "", err
	}
	took, err := s.measuredSwitch(ctx, old, releases[0])
	if err != nil {
		return "", err
	}
	const kills = 6
	counts := map[string]int{}
	for i := range kills {
		next := releases[i%len(releases)]
		moment := func(ctx context.Context) error { return s.written(ctx, next) }
		if i%2 == 0 {
			after := took*time.Duration(i)/kills + rand.N(took/kills*2)
			moment = func(ctx context.Context) error { return pause(ctx, after) }
		}
		outcome, err := s.killedSwitch(ctx, old, next, moment)
		if err != nil {
			return "", fmt.Errorf("killed on the way from %v to %v, time %d: %w", old, next, i+1, err)
		}
		if counts[outcome]++; outcome == "old" {
			if err := s.use(ctx, next); err != nil {
				return "", fmt.Errorf("again, after kill %d: %w", i+1, err)
			}
		}
		old = next
	}
	said, err := s.failingSwitch(ctx, releases[0], releases[1])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("killed %d times in the middle of a switch, %d of them while it was written down: the old model ran %d times, and could "+
		"then be switched from, the new one %d times, never half; %q", kills, kills/2, counts["old"], counts["new"], said), nil
}

// written waits until the service writes down that it switches to a release, and then for a few of the writes that belong to that.
func (s *subject) written(ctx context.Context, r release) error {
	for {
		var trial struct {
			Name    string
			Version uint64
		}
		text, err := os.ReadFile(filepath.Join(s.dir, "state", "models", "trial.json"))
		if err == nil {
			err = json.Unmarshal(text, &trial) // it is exchanged as a whole
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if trial.Name == r.name && trial.Version == r.version {
			return pause(ctx, rand.N(15*time.Millisecond))
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// measuredSwitch switches to a bundle and back, and gives how long the way there took.
func (s *subject) measuredSwitch(ctx context.Context, old, next release) (time.Duration, error) {
	began := time.Now()
	if err := s.use(ctx, next); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if out, err := s.model(ctx, "rollback", next.name).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("going back from %v: %w: %s", next, err, out)
	}
	return took, s.runs(ctx, old)
}

// killedSwitch kills the service in the middle of a switch, starts it again, and tells which model runs: "old" or "new".
func (s *subject) killedSwitch(ctx context.Context, old, next release, moment func(context.Context) error) (string, error) {
	use := s.model(ctx, "use", next.String())
	var said logtest.Log
	use.Stdout, use.Stderr = &said, &said
	if err := use.Start(); err != nil {
		return "", err
	}
	err := errors.Join(moment(ctx), s.killed(ctx))
	_ = use.Wait() // its service was killed, mostly
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, &said)
	}
	if err := errors.Join(s.service.launch(ctx), s.healthy(ctx), s.allWhole(ctx)); err != nil {
		return "", err
	}
	w, err := s.worker(ctx, 1)
	switch {
	case err != nil:
		return "", err
	case w.Model.SHA256 == old.model:
		return "old", nil
	case w.Model.SHA256 == next.model:
		return "new", nil
	}
	return "", fmt.Errorf("neither of them runs, but %s", w.Model.SHA256)
}

// failingSwitch lets workers fail with the new version, until the old one is back.
func (s *subject) failingSwitch(ctx context.Context, old, next release) (string, error) {
	if err := s.use(ctx, old); err != nil {
		return "", err
	}
	place := s.messages.count()
	if err := s.use(ctx, next); err != nil {
		return "", err
	}
	for range 3 {
		if err := s.die(ctx); err != nil {
			return "", err
		}
	}
	said := fmt.Sprintf("%s version %d was rolled back: a worker failed 3 times with it", next.name, next.version)
	if _, err := s.messages.await(ctx, place, "state", func(text string) bool { return strings.Contains(text, said) }); err != nil {
		return "", fmt.Errorf("after three failures with %v: %w", next, err)
	}
	return said, s.runs(ctx, old)
}

// install makes a key, packs a bundle of each release, and installs it.
func (s *subject) install(ctx context.Context, releases ...release) ([]release, error) {
	private, err := newKey(filepath.Join(s.dir, "keys.d"))
	if err != nil {
		return nil, err
	}
	text, err := private.MarshalText()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, "secret.key")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	secret, err := bundle.ReadSecretKey(path, "")
	if err != nil {
		return nil, err
	}
	good, err := os.ReadFile(s.modelFile)
	if err != nil {
		return nil, err
	}
	const docString = 6<<3 | 2 // ModelProto.doc_string, with its length: of no meaning to whoever runs it
	for i := range releases {
		r := &releases[i]
		model := slices.Concat(good, []byte{docString, 1, byte('a' + i)})
		sum := sha256.Sum256(model)
		r.model = hex.EncodeToString(sum[:])
		file, packed := filepath.Join(s.dir, "release.onnx"), filepath.Join(s.dir, "release.bundle")
		if err := os.WriteFile(file, model, 0o600); err != nil {
			return nil, err
		}
		m := bundle.Manifest{Name: r.name, Version: r.version, Created: time.Now()}
		if err := bundle.Pack(packed, m, []bundle.Source{{Name: bundle.ModelFile, Path: file}}, &secret); err != nil {
			return nil, err
		}
		if out, err := s.model(ctx, "add", packed).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w: %s", r, err, out)
		}
	}
	return releases, nil
}

// model is a command about models.
func (s *subject) model(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{"model", "--config", filepath.Join(s.dir, "vedette.yaml"), "--keys", filepath.Join(s.dir, "keys.d")}, args...)
	cmd := exec.CommandContext(ctx, s.vedette, all...)
	cmd.Env = append(os.Environ(), "VEDETTE_CONTROL="+s.socket(), "VEDETTE_ONNXRUNTIME="+s.runtime)
	return cmd
}

// use switches, and waits until it runs.
func (s *subject) use(ctx context.Context, r release) error {
	if out, err := s.model(ctx, "use", r.String()).CombinedOutput(); err != nil {
		return fmt.Errorf("%v cannot be switched to: %w: %s", r, err, out)
	}
	return s.runs(ctx, r)
}

// runs waits until a worker runs the model.
func (s *subject) runs(ctx context.Context, r release) error {
	return until(ctx, func() error {
		w, err := s.worker(ctx, 1)
		if err == nil && w.Model.SHA256 != r.model {
			err = fmt.Errorf("a worker runs %s, not %v", w.Model.SHA256, r)
		}
		return err
	})
}

// killed kills the service, and waits for its end.
func (s *subject) killed(ctx context.Context) error {
	pid, err := s.service.pid(ctx)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return gone(ctx, pid)
}

// allWhole reads every installed bundle against its hashes and signature.
func (s *subject) allWhole(ctx context.Context) error {
	out, err := s.model(ctx, "list", "--json").Output()
	if err != nil {
		return err
	}
	var all []struct {
		Name    string
		Version uint64
		Damaged string
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return err
	}
	for _, i := range all {
		if i.Damaged != "" {
			return fmt.Errorf("%s: %s", i.Name, i.Damaged)
		}
		if out, err := s.model(ctx, "verify", release{name: i.Name, version: i.Version}.String()).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}
