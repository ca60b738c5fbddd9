package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPackIsReproducible(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "any.onnx")
	if err := os.WriteFile(model, []byte("a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := Manifest{Name: "yard", Version: 1, Created: time.Date(2026, 11, 1, 12, 0, 0, 5, time.UTC)}
	var packed [2][]byte
	for i := range packed {
		path := filepath.Join(dir, "b"+string(rune('0'+i)))
		if err := Pack(path, m, []Source{{ModelFile, model}}, nil); err != nil {
			t.Fatal(err)
		}
		var err error
		if packed[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("the same content gives two bundles")
	}
	if err := Pack(filepath.Join(dir, "b3"), Manifest{Name: "yard"}, []Source{{ModelFile, model}}, nil); err == nil {
		t.Error("a bundle without a version is packed")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".bundle-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// Pictures of self-tests are in memory together.
func TestALargePictureIsRefused(t *testing.T) {
	picture := File{Name: "p.jpg", Size: maxPicture, SHA256: strings.Repeat("0", 64)}
	model := File{Name: ModelFile, SHA256: strings.Repeat("0", 64)}
	m := Manifest{
		V: ManifestVersion, Name: "yard", Version: 1, Created: time.Now(), Files: []File{model, picture}, SelfTest: []SelfTest{{Image: picture.Name}},
	}
	if err := m.validate(); err != nil {
		t.Error(err)
	}
	m.Files[1].Size++
	if err := m.validate(); err == nil || !strings.Contains(err.Error(), "more than 8388608") {
		t.Errorf("a picture of 8 MiB and a byte: %v", err)
	}
}

// FuzzRead: whatever comes, reading ends with a bundle that holds what its manifest says, or with an error.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	model, path := filepath.Join(dir, "any.onnx"), filepath.Join(dir, "b")
	if err := os.WriteFile(model, []byte("a model"), 0o600); err != nil {
		f.Fatal(err)
	}
	m := Manifest{
		Name: "yard", Version: 1, Created: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		SelfTest: []SelfTest{{Image: ModelFile, Expect: []Expected{{Class: 1, Score: 0.5, Box: [4]float32{0, 0, 1, 1}}}}},
	}
	if err := Pack(path, m, []Source{{ModelFile, model}}, nil); err != nil {
		f.Fatal(err)
	}
	packed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add(packed[:700])
	f.Fuzz(func(t *testing.T, archive []byte) {
		r, err := readArchive(bytes.NewReader(archive))
		if err != nil {
			return
		}
		if r.Check() == nil && r.Manifest.Size() > int64(len(archive)) {
			t.Errorf("%d bytes of files in an archive of %d", r.Manifest.Size(), len(archive))
		}
	})
}

// FuzzManifest: a manifest that is taken is within its bounds.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"v":1,"name":"yard","version":1,"created":"2026-11-01T12:00:00Z","files":[{"name":"model.onnx","size":7,"sha256":"` +
		`0000000000000000000000000000000000000000000000000000000000000000"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Decode(text)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if filepath.Base(file.Name) != file.Name || file.Name == ".." || file.Size < 0 {
				t.Errorf("file %+v is taken", file)
			}
		}
		if len(m.Files) > maxFiles || m.Size() > maxTotal || ValidateName(m.Name) != nil {
			t.Errorf("out of bounds: %+v", m)
		}
	})
}

// FuzzVerify: no signature but the right one is good, and none makes it panic.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("untrusted comment: x\nRUS/SmJZH5QUn0n62dB6zUztL0EIGJTry939FE/zvB7C9fl83c40tjxOYYWaJhHUYPKhHdMcZHQdqM7TwOo0VpbrsZq8qRmQxgg=\n" +
		"trusted comment: t\nuMvYIcba4qCjgrf/KtzKtr6zc1IsDtiJEkADvxwE49WFoSqfHoghc5SJTzVeKBmN3OzxXoMZ01MsAsuX2+mICQ==\n"))
	f.Fuzz(func(t *testing.T, signature []byte) {
		key := Key{Name: "k"}
		if err := key.public.UnmarshalText([]byte("RWS/SmJZH5QUnwn5gHZ/iSx3jCSK2VtBu6YQAJlsmhUOjRiMzOTZcL2H")); err != nil {
			t.Fatal(err)
		}
		if _, err := (Keys{key}).Verify([]byte("another message"), signature); err == nil {
			t.Errorf("taken: %q", signature)
		}
	})
}
