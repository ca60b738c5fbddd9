// Command notices gathers the licences of the Go modules that the binary is made of.
//
//	go run ./packaging/notices >docs/licenses.txt
//	go run ./packaging/notices -yocto yocto/meta-vedette/recipes-vedette/vedette
//
// They have to go with every copy of the binary; a test compares the files with what the modules say.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	folder := flag.String("yocto", "", "write what a recipe of Yocto's includes into this `folder`, instead of the texts")
	flag.Parse()
	out := bufio.NewWriter(os.Stdout)
	do := func() error { return errors.Join(write(out), out.Flush()) }
	if *folder != "" {
		do = func() error { return writeYocto(*folder) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// module is a part of the binary.
type module struct{ Path, Version, Dir string }

func write(w io.Writer) error {
	modules, err := linked()
	if err != nil {
		return err
	}
	for _, m := range modules {
		texts, err := licences(m.Dir)
		if err != nil {
			return fmt.Errorf("cannot read the licence of %s: %w", m.Path, err)
		}
		fmt.Fprintf(w, "%s\n%s %s\n\n", strings.Repeat("=", 80), m.Path, m.Version)
		for _, text := range texts {
			fmt.Fprintf(w, "%s\n\n", bytes.TrimSpace(text))
		}
	}
	return nil
}

// linked are the modules of the binary for the boards.
func linked() ([]module, error) {
	const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"
	cmd := exec.Command("go", "list", "-deps", "-f", format, "vedette/cmd/vedette")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOARCH=arm64")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the modules: %w", err)
	}
	var modules []module
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if fields := strings.Split(lines.Text(), "\t"); len(fields) == 3 {
			modules = append(modules, module{fields[0], fields[1], fields[2]})
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(modules), nil
}

// licences are the texts of a module's root that a copy has to carry.
func licences(dir string) ([][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !isNotice(entry) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return nil, errors.New("it has none: look whether it may be used at all")
	}
	return texts, nil
}

func isNotice(entry fs.DirEntry) bool {
	name := strings.ToUpper(entry.Name())
	return slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}
