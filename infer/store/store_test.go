package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"vedette/infer/bundle"
)

// signer is a key pair whose public half lies in a folder of keys.
type signer struct {
	keys   bundle.Keys
	secret bundle.SecretKey
	folder string
	path   string // of the secret key
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{folder: t.TempDir()}
	s.path = filepath.Join(t.TempDir(), "secret.key")
	put(t, filepath.Join(s.folder, "factory.pub"), text(t, public))
	put(t, s.path, text(t, private))
	if s.keys, err = bundle.ReadKeys(s.folder); err != nil {
		t.Fatal(err)
	}
	if s.secret, err = bundle.ReadSecretKey(s.path, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

func text(t *testing.T, key interface{ MarshalText() ([]byte, error) }) []byte {
	t.Helper()
	out, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

var created = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// pack makes a signed bundle, and gives its path.
func (s signer) pack(t *testing.T, version uint64, model string, change func(*bundle.Manifest)) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "m.onnx"), []byte(model))
	put(t, filepath.Join(dir, "m.yaml"), []byte("family: yolox\n"))
	m := bundle.Manifest{Name: "yard", Version: version, Created: created}
	if change != nil {
		change(&m)
	}
	path := filepath.Join(dir, "yard.bundle")
	sources := []bundle.Source{{Name: bundle.ModelFile, Path: filepath.Join(dir, "m.onnx")}, {Name: bundle.ModelYAML, Path: filepath.Join(dir, "m.yaml")}}
	if err := bundle.Pack(path, m, sources, &s.secret); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s signer) policy() Policy {
	return Policy{Keys: s.keys, Now: created.Add(time.Hour), Vedette: "v1.2.0", RuntimeAPI: 20}
}

func add(t *testing.T, s Store, path string, p Policy) (Installed, error) {
	t.Helper()
	r, err := bundle.Open(path)
	if err != nil {
		return Installed{}, err
	}
	defer r.Close()
	return s.Add(r, p)
}

func mustAdd(t *testing.T, s Store, path string, p Policy) Installed {
	t.Helper()
	i, err := add(t, s, path, p)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestInstallUseRollBack(t *testing.T) {
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	if _, err := s.Current("yard"); !errors.Is(err, ErrNoneInUse) {
		t.Errorf("an empty store has a model in use: %v", err)
	}
	one := mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy())
	if _, err := s.Current("yard"); !errors.Is(err, ErrNoneInUse) {
		t.Error("what is installed is in use already")
	}
	if err := s.Use(one, Origin{}); err != nil {
		t.Fatal(err)
	}
	two := mustAdd(t, s, key.pack(t, 2, "two", nil), key.policy())
	if err := s.Use(two, Origin{}); err != nil {
		t.Fatal(err)
	}
	now, err := s.Current("yard")
	if err != nil || now.Version != 2 || !now.Signed {
		t.Fatalf("in use is %+v, %v", now, err)
	}
	if content, err := os.ReadFile(now.Model()); err != nil || string(content) != "two" {
		t.Errorf("the model is %q, %v", content, err)
	}
	if err := s.Verify(now); err != nil {
		t.Error(err)
	}
	back, err := s.Rollback("yard")
	if err != nil || back.Version != 1 || !back.Current {
		t.Errorf("rolled back to %+v, %v", back, err)
	}
	if before, err := s.Previous("yard"); err != nil || before.Version != 2 {
		t.Errorf("the other way back leads to %+v, %v", before, err)
	}
	if again := mustAdd(t, s, key.pack(t, 2, "two", nil), key.policy()); again.ID != two.ID {
		t.Error("the same bundle is installed twice")
	}
	if _, err := s.Rollback("gate"); err == nil || !strings.Contains(err.Error(), "no previous version") {
		t.Errorf("rolling back what is not there: %v", err)
	}
}

// A switch from another name that is undone leaves the versions of its own name as they were.
func TestASwitchFromAnotherNameIsUndone(t *testing.T) {
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	one, two := mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy()), mustAdd(t, s, key.pack(t, 2, "two", nil), key.policy())
	three, from := mustAdd(t, s, key.pack(t, 3, "three", nil), key.policy()), Origin{Model: "coco", Override: "coco"}
	versions := func() (all [2]uint64) {
		t.Helper()
		for i, of := range []func(string) (Installed, error){s.Current, s.Previous} {
			if now, err := of("yard"); err == nil {
				all[i] = now.Version
			} else if !errors.Is(err, ErrNoneInUse) {
				t.Fatal(err)
			}
		}
		return all
	}
	try := func(i Installed, during, after [2]uint64) {
		t.Helper()
		if err := s.Use(i, from); err != nil {
			t.Fatal(err)
		}
		trial, ok, err := s.Trial()
		if err != nil || !ok || trial.Origin != from || trial.ID != i.ID || versions() != during {
			t.Errorf("on trial is %+v, %v, with %v, want %v", trial, err, versions(), during)
		}
		if err := s.Abandon(trial); err != nil || versions() != after {
			t.Errorf("undone: %v, %v, want %v", versions(), err, after)
		}
		if _, ok, err := s.Trial(); ok || err != nil {
			t.Errorf("still on trial: %v, %v", ok, err)
		}
	}
	try(one, [2]uint64{1, 0}, [2]uint64{})
	for _, i := range []Installed{one, two} {
		if err := s.Use(i, Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	try(three, [2]uint64{3, 2}, [2]uint64{2, 1})
	try(two, [2]uint64{2, 1}, [2]uint64{2, 1}) // it was in use already when the name was last
	if err := s.Use(Installed{Name: "coco"}, Origin{Model: "yard"}); err != nil {
		t.Fatal(err)
	}
	trial, ok, err := s.Trial()
	if err != nil || !ok || trial.Name != "coco" || trial.ID != "" {
		t.Errorf("a model that is no bundle is not on trial: %+v, %v", trial, err)
	}
	if err := s.Abandon(trial); err != nil {
		t.Error(err)
	}
}

// A switch that takes the service down with it is undone after a few starts, whoever remembers it.
func TestTrialCountsStarts(t *testing.T) {
	key, root := newSigner(t), filepath.Join(t.TempDir(), "models")
	s := New(root)
	if err := s.Use(mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy()), Origin{}); err != nil {
		t.Fatal(err)
	}
	for start := 1; start <= MaxStarts+1; start++ {
		trial, ok, spent, err := New(root).Start()
		if err != nil || !ok || trial.Name != "yard" || trial.Starts != start || spent != (start > MaxStarts) {
			t.Fatalf("start %d: %+v, on trial %v, spent %v, %v", start, trial, ok, spent, err)
		}
	}
	if err := s.EndTrial(); err != nil {
		t.Fatal(err)
	}
	if _, ok, _, err := s.Start(); ok || err != nil {
		t.Errorf("on trial %v, %v", ok, err)
	}
}

func TestRoomIsMadeOfWhatNobodyNeeds(t *testing.T) {
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	p := key.policy()
	model := strings.Repeat("x", 1000)
	size := int64(len(model) + len("1") + len("family: yolox\n"))
	p.Bound = 3 * size
	for version := uint64(1); version <= 4; version++ {
		i := mustAdd(t, s, key.pack(t, version, model+string(rune('0'+version)), nil), p)
		if version <= 2 {
			if err := s.Use(i, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	for _, i := range all {
		versions = append(versions, i.Version)
	}
	if len(versions) != 3 || versions[0] != 1 || versions[1] != 2 || versions[2] != 4 {
		t.Errorf("left are versions %v, want 1 and 2, which are in use, and 4", versions)
	}
	p.Bound = 2 * size
	if _, err := add(t, s, key.pack(t, 5, model+"5", nil), p); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("no room: %v", err)
	}
}

// Debian's minisign and ours agree, both ways.
func TestMinisignAgrees(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is missing: install it (apt-get install minisign)")
	}
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	i := mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy())
	out, err := exec.Command(tool, "-V", "-p", filepath.Join(key.folder, "factory.pub"), "-m", filepath.Join(i.Folder, bundle.ManifestFile)).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("verified")) || !bytes.Contains(out, []byte("name:yard version:1")) {
		t.Errorf("minisign says of our signature: %s, %v", out, err)
	}

	dir := t.TempDir()
	secret, public := filepath.Join(dir, "s.key"), filepath.Join(dir, "s.pub")
	for _, args := range [][]string{{"-G", "-W", "-s", secret, "-p", public}} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %s", args, out)
		}
	}
	theirs, err := bundle.ReadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, prehashed := range []bool{true, false} {
		folder := t.TempDir()
		for _, f := range []string{bundle.ModelFile, bundle.ModelYAML} {
			content, err := os.ReadFile(filepath.Join(i.Folder, f))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(folder, f), content)
		}
		manifest := filepath.Join(folder, bundle.ManifestFile)
		content, err := os.ReadFile(filepath.Join(i.Folder, bundle.ManifestFile))
		if err != nil {
			t.Fatal(err)
		}
		put(t, manifest, content)
		args := []string{"-S", "-W", "-s", secret, "-m", manifest}
		if !prehashed {
			args = append(args, "-l")
		}
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("minisign -S: %s", out)
		}
		p := key.policy()
		p.Keys = theirs
		if _, err := add(t, New(filepath.Join(t.TempDir(), "models")), folder, p); err != nil {
			t.Errorf("prehashed %v: a bundle that minisign signed is refused: %v", prehashed, err)
		}
		signer, err := bundle.ReadSecretKey(secret, "")
		if err != nil {
			t.Errorf("minisign's secret key: %v", err)
		}
		if _, err := theirs.Verify(content, signer.Sign(content, "")); err != nil {
			t.Errorf("signed with minisign's secret key: %v", err)
		}
	}
}

// member is a member of a hostile archive.
type member struct {
	header tar.Header
	text   []byte
}

func archive(t *testing.T, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		if m.header.Typeflag == 0 {
			m.header.Typeflag, m.header.Size = tar.TypeReg, int64(len(m.text))
		}
		m.header.Mode = 0o644
		if err := w.WriteHeader(&m.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(name string, text []byte) member { return member{tar.Header{Name: name}, text} }

// hostile makes archives around a good manifest that is signed.
type hostile struct {
	t         *testing.T
	key       signer
	manifest  []byte
	signature []byte
	model     []byte
}

func newHostile(t *testing.T, key signer, change func(m map[string]any)) hostile {
	t.Helper()
	model := []byte("a model")
	sum := sha256.Sum256(model)
	m := map[string]any{
		"v": 1, "name": "yard", "version": 4, "created": created,
		"files": []any{map[string]any{"name": bundle.ModelFile, "size": len(model), "sha256": hex.EncodeToString(sum[:])}},
	}
	if change != nil {
		change(m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return hostile{t, key, text, key.secret.Sign(text, ""), model}
}

func (h hostile) archive(more ...member) []byte {
	return archive(h.t, append([]member{file(bundle.ManifestFile, h.manifest), file(bundle.SignatureFile, h.signature)}, more...)...)
}

func (h hostile) good() []byte { return h.archive(file(bundle.ModelFile, h.model)) }

func first(m map[string]any) map[string]any { return m["files"].([]any)[0].(map[string]any) }

// Each of these is refused with a message of its own, and leaves the store as it was.
func TestHostileBundlesAreRefused(t *testing.T) {
	key, stranger := newSigner(t), newSigner(t)
	with := func(change func(m map[string]any)) []byte { return newHostile(t, key, change).good() }
	plain := newHostile(t, key, nil)
	cut := plain.good()
	flipped := bytes.Clone(plain.good())
	flipped[bytes.Index(flipped, plain.model)] ^= 1
	swapped := newHostile(t, key, func(m map[string]any) { m["version"] = 9 })
	tests := []struct {
		name    string
		archive []byte
		want    string
	}{
		{"path traversal", with(func(m map[string]any) { first(m)["name"] = "../../etc/cron.d/x" }), "no plain file name"},
		{"absolute path", with(func(m map[string]any) { first(m)["name"] = "/etc/passwd" }), "no plain file name"},
		{"hidden file", with(func(m map[string]any) { first(m)["name"] = ".bashrc" }), "no plain file name"},
		{"traversal in the name", with(func(m map[string]any) { m["name"] = "../../x" }), "no name for a model"},
		{"member outside", plain.archive(file("../model.onnx", plain.model)), `"../model.onnx" where model.onnx belongs`},
		{"symbolic link", plain.archive(member{tar.Header{Name: bundle.ModelFile, Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, nil}), "no plain file"},
		{"hard link", plain.archive(member{tar.Header{Name: bundle.ModelFile, Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}, nil}), "no plain file"},
		{"device", plain.archive(member{tar.Header{Name: bundle.ModelFile, Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}, nil}), "no plain file"},
		{"huge by its own word", with(func(m map[string]any) { first(m)["size"] = int64(1) << 50 }), "is outside 0.."},
		{"longer than it says", plain.archive(file(bundle.ModelFile, bytes.Repeat([]byte{0}, 1<<20))), "not of the 7 bytes"},
		{"shorter than it says", plain.archive(file(bundle.ModelFile, []byte("a"))), "not of the 7 bytes"},
		{"truncated", cut[:len(cut)-1024-512-100], "unexpected EOF"},
		{"ends before its model", plain.archive(), "ends too early"},
		{"wrong hash", flipped, "exchanged or damaged"},
		{"wrong key", newHostile(t, stranger, nil).good(), "a key that is not known here"},
		{"not signed", archive(t, file(bundle.ManifestFile, plain.manifest), file(bundle.ModelFile, plain.model)), "not signed"},
		{"junk for a signature", archive(t, file(bundle.ManifestFile, plain.manifest), file(bundle.SignatureFile, []byte("trust me")), file(bundle.ModelFile, plain.model)), "no signature of minisign's"},
		{
			"swapped manifest",
			archive(t, file(bundle.ManifestFile, swapped.manifest), file(bundle.SignatureFile, plain.signature), file(bundle.ModelFile, plain.model)),
			"does not fit its manifest",
		},
		{"expired", with(func(m map[string]any) { m["expires"] = created.Add(time.Minute) }), "expired on 2026-11-01"},
		{"older", with(func(m map[string]any) { m["version"] = 2 }), "an older one is not taken"},
		{"same version, other content", with(func(m map[string]any) { m["version"] = 3 }), "count the version up"},
		{"for a newer Vedette", with(func(m map[string]any) { m["min_vedette"] = "v2.0.0" }), "needs Vedette v2.0.0"},
		{"for a newer runtime", with(func(m map[string]any) { m["onnxruntime_api"] = 24 }), "needs ONNX Runtime 1.24"},
		{"unknown key", with(func(m map[string]any) { m["run_as_root"] = true }), `unknown field "run_as_root"`},
		{"of a later form", with(func(m map[string]any) { m["v"] = 2 }), "use a newer Vedette"},
		{"two of a name", with(func(m map[string]any) { m["files"] = []any{first(m), first(m)} }), "there twice"},
		{"its own manifest as a file", with(func(m map[string]any) { first(m)["name"] = bundle.ManifestFile }), "is taken"},
		{"no model", with(func(m map[string]any) { first(m)["name"] = "other.onnx" }), "there is no model.onnx"},
		{"one member more", plain.archive(file(bundle.ModelFile, plain.model), file("extra", []byte("x"))), "does not name"},
		{"endless manifest", archive(t, file(bundle.ManifestFile, bytes.Repeat([]byte(" "), 1<<20))), "has more than"},
		{"no archive", []byte(strings.Repeat("MZ\x90\x00", 1000)), "no tar archive"},
		{"empty", nil, "ends too early"},
	}
	s := New(filepath.Join(t.TempDir(), "models"))
	p := key.policy()
	for version := range uint64(3) {
		i := mustAdd(t, s, key.pack(t, version+1, "old", nil), p)
		p.Bound += i.Size // there is room for a fourth once the first, which is not in use, has gone
		if version > 0 {
			if err := s.Use(i, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := tree(t, s.root)
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hostile.bundle")
			put(t, path, c.archive)
			_, err := add(t, s, path, p)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the answer is %v, want one line that says %q", err, c.want)
			}
			if after := tree(t, s.root); after != before {
				t.Errorf("the store has changed:\n%s\nwas\n%s", after, before)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "good.bundle")
	put(t, path, plain.good())
	mustAdd(t, s, path, p)
	if _, err := s.Find("yard", 1); err == nil {
		t.Error("the good one was taken without a need of room: the others were not either")
	}
}

// tree tells each file of a folder with its content.
func tree(t *testing.T, root string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out.WriteString(path)
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			out.Write(content)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			out.WriteString(target)
		}
		out.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWhatWasChangedInTheStoreIsNotUsed(t *testing.T) {
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	i := mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy())
	if err := s.Use(i, Origin{}); err != nil {
		t.Fatal(err)
	}
	put(t, i.Model(), []byte("two"))
	if err := s.Verify(i); err == nil || !strings.Contains(err.Error(), "model.onnx") {
		t.Errorf("an exchanged model: %v", err)
	}
	manifest := filepath.Join(i.Folder, bundle.ManifestFile)
	content, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	put(t, manifest, bytes.Replace(content, []byte(`"version": 1`), []byte(`"version": 7`), 1))
	if _, err := s.Current("yard"); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("an exchanged manifest: %v", err)
	}
}
