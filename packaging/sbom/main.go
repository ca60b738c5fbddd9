// Command sbom lists what a binary of Vedette is made of, as CycloneDX 1.6 JSON: sbom BINARY VERSION JPEG_VERSION.
//
// It says what the binary says of itself, and the one library that is linked in without Go's knowledge. There is neither a
// serial number nor a time in it: the same binary gives the same bytes.
package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// document is what CycloneDX calls a bill of materials, as far as it is used here.
type document struct {
	Format      string `json:"bomFormat"`
	SpecVersion string `json:"specVersion"`
	Version     int    `json:"version"`
	Metadata    struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type component struct {
	Ref      string    `json:"bom-ref"`
	Type     string    `json:"type"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	URL      string    `json:"purl,omitempty"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licences []licence `json:"licenses,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licence struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func run(args []string, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: sbom BINARY VERSION JPEG_VERSION")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("cannot read what %s is made of: %w", args[0], err)
	}
	listed, err := list(info, args[1], args[2])
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(listed)
}

func list(info *buildinfo.BuildInfo, version, jpeg string) (document, error) {
	d := document{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Components: []component{
		library("std", strings.TrimPrefix(info.GoVersion, "go"), "pkg:golang/std@"),
		library("libjpeg-turbo", jpeg, "pkg:deb/debian/libjpeg-turbo@"),
	}}
	var apache licence
	apache.License.ID = "Apache-2.0"
	d.Metadata.Component = component{
		Ref: "vedette", Type: "application", Name: "vedette", Version: version, Licences: []licence{apache},
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:"))
		if err != nil || len(sum) == 0 {
			return document{}, fmt.Errorf("module %s has no hash", module.Path)
		}
		c := library(module.Path, module.Version, "pkg:golang/"+module.Path+"@")
		c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		d.Components = append(d.Components, c)
	}
	all := dependency{Ref: "vedette"}
	for _, c := range d.Components {
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	d.Dependencies = []dependency{all}
	return d, nil
}

// library is a component that package managers call by url and a version.
func library(name, version, url string) component {
	return component{Ref: url + version, URL: url + version, Type: "library", Name: name, Version: version}
}
