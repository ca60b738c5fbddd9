package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"

	"vedette/infer/bundle"
)

// hostile hands the running service and its command line what an attacker or a mistake would. Each is to be refused with a
// clear line, and nothing on disk is to change.
func hostile(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	keys := filepath.Join(s.dir, "keys.d")
	sign, err := newKey(keys)
	if err != nil {
		return "", err
	}
	before, err := s.onDisk()
	if err != nil {
		return "", err
	}
	configs, err := s.hostileConfigs(ctx)
	if err != nil {
		return "", err
	}
	models, err := s.hostileModels(ctx)
	if err != nil {
		return "", err
	}
	bundles, err := s.hostileBundles(ctx, keys, sign)
	if err != nil {
		return "", err
	}
	commands, err := s.hostileCommands(ctx)
	if err != nil {
		return "", err
	}
	after, err := s.onDisk()
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("something has changed on disk: %s, was %s", after, before)
	}
	if now, err := s.worker(ctx, 1); err != nil || now.Generation != w.Generation {
		return "", fmt.Errorf("the worker is of generation %d, was %d: %w", now.Generation, w.Generation, err)
	}
	return fmt.Sprintf("%d configurations, %d models, %d bundles refused, each with its place; %d MQTT commands not obeyed; "+
		"nothing changed on disk, the worker is the same", configs, models, bundles, commands), nil
}

// onDisk is a digest of what a hostile input could change: the configuration, the overrides, the models.
func (s *subject) onDisk() (string, error) {
	hash := sha256.New()
	for _, root := range []string{filepath.Join(s.dir, "vedette.yaml"), filepath.Join(s.dir, "state", "overrides.yaml"), filepath.Join(s.dir, "state", "models")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// refused runs a command that has to fail with one line that says want.
func (s *subject) refused(ctx context.Context, want string, args ...string) error {
	cmd := exec.CommandContext(ctx, s.vedette, args...)
	cmd.Env = append(os.Environ(), "VEDETTE_CONTROL="+s.socket(), "VEDETTE_ONNXRUNTIME="+s.runtime)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return fmt.Errorf("%v was not refused: %s", args, out)
	case exit.ExitCode() != 1 && exit.ExitCode() != 2:
		return fmt.Errorf("%v ends with code %d: %s", args, exit.ExitCode(), out)
	case !strings.Contains(string(out), want):
		return fmt.Errorf("%v answers %q, which does not say %q", args, out, want)
	}
	return nil
}

func (s *subject) hostileConfigs(ctx context.Context) (int, error) {
	good, err := os.ReadFile(filepath.Join(s.dir, "vedette.yaml"))
	if err != nil {
		return 0, err
	}
	all := map[string]string{
		string(good) + "rogue_key: 1\n": "rogue_key",
		"a: &a [*a]\n":                  "a.yaml:1:",
		"cameras: [\n":                  "a.yaml:",
		strings.Repeat("x", 2<<20):      "more than",
		"web: {listen: '0.0.0.0:80'}\n": "web.listen",
		"state_dir: ''\n":               "state_dir",
		"device: ../../etc\n":           "device",
		"cameras:\n  - {name: ../../x, source: {scene: {}}}\n":                  "cameras[0].name",
		"mqtt: {prefix: 'a/#'}\n":                                               "#",
		"infer: {limits: {memory: -5MiB}}\n":                                    "infer.limits.memory",
		"cameras:\n  - {name: a, rate: .nan, source: {scene: {}}}\n":            "rate",
		"cameras:\n  - {name: a, source: {scene: {size: 99999999x99999999}}}\n": "size",
	}
	path := filepath.Join(s.dir, "a.yaml")
	for text, want := range all {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return 0, err
		}
		if err := s.refused(ctx, want, "config", "check", path); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// hostileModels are tried in place of the running one: the service probes them in a child of their own.
func (s *subject) hostileModels(ctx context.Context) (int, error) {
	good, err := os.ReadFile(s.modelFile)
	if err != nil {
		return 0, err
	}
	flipped := bytes.Clone(good)
	for i := 100; i < len(flipped); i += 97 {
		flipped[i] ^= 0x55
	}
	all := [][]byte{nil, []byte("not a model"), good[:len(good)/3], flipped, bytes.Repeat([]byte{0x0a, 0xff}, 1<<16)}
	service := filepath.Join(s.dir, "vedette.yaml")
	config, err := os.ReadFile(service)
	if err != nil {
		return 0, err
	}
	for i, text := range all {
		path := filepath.Join(s.dir, fmt.Sprintf("hostile%d.onnx", i))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return 0, err
		}
		changed := strings.ReplaceAll(string(config), s.modelFile, path)
		if changed == string(config) {
			return 0, errors.New("the configuration does not name the model")
		}
		err := os.WriteFile(service, []byte(changed), 0o600)
		if err == nil {
			err = s.refused(ctx, "does not work", "config", "reload")
		}
		if err := errors.Join(err, os.WriteFile(service, config, 0o600)); err != nil {
			return 0, fmt.Errorf("model %d: %w", i, err)
		}
	}
	return len(all), nil
}

// newKey makes a key whose public half the service would trust.
func newKey(folder string) (minisign.PrivateKey, error) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return private, err
	}
	text, err := public.MarshalText()
	if err != nil {
		return private, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return private, err
	}
	return private, os.WriteFile(filepath.Join(folder, "factory.pub"), text, 0o600)
}

// hostileBundles are a few of those that infer/store's tests know, here by way of the command line.
func (s *subject) hostileBundles(ctx context.Context, keys string, key minisign.PrivateKey) (int, error) {
	_, stranger, err := minisign.GenerateKey(nil)
	if err != nil {
		return 0, err
	}
	model := []byte("a model")
	sum := sha256.Sum256(model)
	manifest := func(file, name string, size int) []byte {
		text, err := json.Marshal(map[string]any{
			"v": 1, "name": name, "version": 1, "created": time.Now(),
			"files": []any{map[string]any{"name": file, "size": size, "sha256": hex.EncodeToString(sum[:])}},
		})
		if err != nil {
			panic(err) // it is of plain values
		}
		return text
	}
	signed := func(text []byte, key *minisign.PrivateKey, members ...tar.Header) []byte {
		var out bytes.Buffer
		archive := tar.NewWriter(&out)
		add := func(header tar.Header, content []byte) {
			header.Mode, header.Size = 0o644, int64(len(content))
			_ = archive.WriteHeader(&header) // a buffer takes all
			_, _ = archive.Write(content)
		}
		add(tar.Header{Name: bundle.ManifestFile}, text)
		if key != nil {
			add(tar.Header{Name: bundle.SignatureFile}, minisign.Sign(*key, text))
		}
		for _, m := range members {
			if m.Typeflag != 0 && m.Typeflag != tar.TypeReg {
				add(m, nil)
				continue
			}
			add(m, model)
		}
		_ = archive.Close()
		return out.Bytes()
	}
	file := tar.Header{Name: bundle.ModelFile}
	good := manifest(bundle.ModelFile, "rogue", len(model))
	whole := signed(good, &key, file)
	all := []struct {
		content []byte
		want    string
	}{
		{signed(manifest("../../../../etc/cron.d/x", "rogue", len(model)), &key, file), "no plain file name"},
		{signed(manifest(bundle.ModelFile, "../rogue", len(model)), &key, file), "no name for a model"},
		{signed(good, &key, tar.Header{Name: "../model.onnx"}), "where model.onnx belongs"},
		{signed(good, &key, tar.Header{Name: bundle.ModelFile, Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}), "no plain file"},
		{signed(good, &stranger, file), "not known here"},
		{signed(good, nil, file), "not signed"},
		{bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":9`), 1), "does not fit its manifest"},
		{whole[:len(whole)-1024-512+3], "EOF"},
		{signed(manifest(bundle.ModelFile, "rogue", 1<<20), &key, file), "not of the"},
		{bytes.Repeat([]byte("junk"), 5000), "no tar archive"},
	}
	path := filepath.Join(s.dir, "hostile.bundle")
	for i, c := range all {
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			return 0, err
		}
		if err := s.refused(ctx, c.want, "model", "--config", filepath.Join(s.dir, "vedette.yaml"), "--keys", keys, "add", path); err != nil {
			return 0, fmt.Errorf("bundle %d: %w", i, err)
		}
	}
	return len(all), nil
}

// hostileCommands come over MQTT. Whether one is answered is its own affair; none is to be obeyed.
func (s *subject) hostileCommands(ctx context.Context) (int, error) {
	place := s.messages.count()
	all := []struct{ topic, text string }{
		{"restart-worker", `{"id":"not-allowed"}`},
		{"snapshot", `not JSON`},
		{"snapshot", `{"id":"expired","args":{"camera":"yard"},"expires_at":"2001-01-01T00:00:00Z"}`},
		{"snapshot", `{"id":"nowhere","args":{"camera":"../../etc/passwd"}}`},
		{"snapshot", `{"id":"huge","args":{"camera":"` + strings.Repeat("a", 100_000) + `"}}`},
		{"snapshot", `{"id":"deep","args":` + strings.Repeat("[", 4000) + `}`},
		{"reload", `{"id":"reload"}`},
		{"model", `{"id":"model","args":{"url":"https://127.0.0.1:1/m.bundle","sha256":"` + strings.Repeat("0", 64) + `"}}`},
		{"../../reload", `{"id":"traversal"}`},
		{"threshold", `{"id":"threshold","args":{"label":"person","value":0}}`},
	}
	for i, c := range all {
		cmd := exec.CommandContext(ctx, "mosquitto_pub", "-h", "127.0.0.1", "-p", s.mqtt, "-q", "1", "-t", "vedette/test/command/"+c.topic, "-s")
		cmd.Stdin = strings.NewReader(c.text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("cannot send command %d: %w: %s", i, err, out)
		}
	}
	// A good one last: when its answer is there, the others have been dealt with.
	good := exec.CommandContext(ctx, "mosquitto_pub", "-h", "127.0.0.1", "-p", s.mqtt, "-q", "1", "-t", "vedette/test/command/snapshot",
		"-m", `{"id":"good","args":{"camera":"yard"}}`)
	if out, err := good.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cannot send the good command: %w: %s", err, out)
	}
	if _, err := s.messages.await(ctx, place, "command/snapshot/result", func(text string) bool {
		return strings.Contains(text, `"id":"good"`) && strings.Contains(text, `"ok":true`)
	}); err != nil {
		return 0, fmt.Errorf("the good command is not answered: %w", err)
	}
	for _, name := range []string{"snapshot", "restart-worker", "reload", "threshold", "model"} {
		for _, m := range s.messages.since(place, "command/"+name+"/result") {
			if strings.Contains(m.payload, `"ok":true`) && !strings.Contains(m.payload, `"id":"good"`) {
				return 0, fmt.Errorf("a hostile command was obeyed: %s", m.payload)
			}
		}
	}
	return len(all), nil
}
