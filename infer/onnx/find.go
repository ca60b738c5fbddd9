package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Where an operator names the library, and where the package puts its own.
const (
	EnvLibrary     = "VEDETTE_ONNXRUNTIME"
	PackagedFolder = "/usr/lib/vedette"
)

// jetson is on every Jetson, whose own library knows the GPU: the package's, which does not, comes last there.
const jetson = "/etc/nv_tegra_release"

// Search says where to look for ONNX Runtime's library.
type Search struct {
	Root       string // of the file system: "/" on a machine, a folder in tests
	Explicit   string // the configuration's `runtime`; a path as given, not under Root
	Env        string // the value of EnvLibrary; a path as given, not under Root
	LoaderPath string // the value of LD_LIBRARY_PATH
	Arch       string // as GOARCH says it: "amd64", "arm64"
}

// Candidate is a file that a search looked at.
type Candidate struct {
	Path    string
	From    string // who named it: "infer.runtime", EnvLibrary, "package", "loader", "well-known folder"
	Version string // ONNX Runtime's version, such as "1.30.0"; "" where the file does not say
	Problem string // why it will not do; "" for the one that will
}

// Found is a search's answer.
type Found struct {
	Library Candidate   // the library to load; its Path is "" where there is none
	Seen    []Candidate // every file that was there, the chosen one last
	Folders []string    // every folder that was looked into
}

// Find looks for ONNX Runtime's library and loads nothing. An explicit path, or else EnvLibrary, is the only candidate
// where it is set; otherwise the first library that will do wins: the package's own folder (on a Jetson: last), the dynamic
// loader's folders, the well-known ones. The error says what was looked at and what to do; Found is complete even then.
func Find(s Search) (Found, error) {
	for _, named := range []Candidate{{Path: s.Explicit, From: "infer.runtime"}, {Path: s.Env, From: EnvLibrary}} {
		if named.Path == "" {
			continue
		}
		named.inspect(s.Arch)
		f := Found{Seen: []Candidate{named}}
		if named.Problem != "" {
			return f, fmt.Errorf("cannot use ONNX Runtime %s, named by %s: %s", named.Path, named.From, named.Problem)
		}
		f.Library = named
		return f, nil
	}

	var f Found
	for _, folder := range s.folders() {
		f.Folders = append(f.Folders, folder.path)
		for _, name := range []string{"libonnxruntime.so", "libonnxruntime.so.1"} {
			c := Candidate{Path: filepath.Join(folder.path, name), From: folder.from}
			if _, err := os.Stat(c.Path); err != nil {
				continue
			}
			c.inspect(s.Arch)
			f.Seen = append(f.Seen, c)
			if c.Problem == "" {
				f.Library = c
				return f, nil
			}
		}
	}
	return f, f.missing()
}

func (f Found) missing() error {
	const remedy = "install ONNX Runtime " + minVersion + " or newer, or name its library by infer.runtime or " + EnvLibrary
	if len(f.Seen) == 0 {
		return fmt.Errorf("cannot find ONNX Runtime: no libonnxruntime.so in %s: %s", strings.Join(f.Folders, ", "), remedy)
	}
	var seen []string
	for _, c := range f.Seen {
		seen = append(seen, c.Path+" "+c.Problem)
	}
	return fmt.Errorf("cannot find a usable ONNX Runtime: %s: %s", strings.Join(seen, "; "), remedy)
}

func (c *Candidate) inspect(arch string) {
	version, err := inspect(c.Path, arch)
	c.Version = version
	if err != nil {
		c.Problem = err.Error()
	}
}

type folder struct{ path, from string }

// Folders lists the folders where a search looks for a library that nobody names, and the dynamic loader for those
// that it needs.
func (s Search) Folders() []string {
	var paths []string
	for _, f := range s.folders() {
		paths = append(paths, f.path)
	}
	return paths
}

// folders lists where the library may lie, each folder once, in the order of preference.
func (s Search) folders() []folder {
	var all []folder
	add := func(from string, paths ...string) {
		for _, p := range paths {
			p = filepath.Join(s.Root, p)
			known := false
			for _, f := range all {
				known = known || f.path == p
			}
			if !known {
				all = append(all, folder{p, from})
			}
		}
	}
	_, err := os.Stat(filepath.Join(s.Root, jetson))
	if onJetson := err == nil; !onJetson {
		add("package", PackagedFolder)
	}
	for _, p := range filepath.SplitList(s.LoaderPath) {
		if filepath.IsAbs(p) {
			add("loader", p)
		}
	}
	add("loader", s.configured("/etc/ld.so.conf", 0)...)
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[s.Arch]
	add("loader", "/lib/"+triplet, "/usr/lib/"+triplet, "/lib", "/usr/lib", "/lib64", "/usr/lib64")
	add("well-known folder", "/usr/local/lib", "/usr/local/lib64", "/opt/onnxruntime/lib", "/usr/local/onnxruntime/lib")
	add("package", PackagedFolder)
	return all
}

// configured reads the folders that the dynamic loader's configuration names, with its include lines (ld.so.conf(5)).
func (s Search) configured(path string, depth int) []string {
	const maxDepth, maxBytes = 4, 64 << 10
	text, err := os.ReadFile(filepath.Join(s.Root, path))
	if err != nil || len(text) > maxBytes || depth > maxDepth {
		return nil
	}
	var folders []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if pattern, ok := strings.CutPrefix(line, "include "); ok {
			pattern = strings.TrimSpace(pattern)
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(path), pattern)
			}
			files, _ := filepath.Glob(filepath.Join(s.Root, pattern)) // a bad pattern names no file
			for _, file := range files {
				folders = append(folders, s.configured(strings.TrimPrefix(file, filepath.Clean(s.Root)), depth+1)...)
			}
		} else if filepath.IsAbs(line) {
			folders = append(folders, line)
		}
	}
	return folders
}
