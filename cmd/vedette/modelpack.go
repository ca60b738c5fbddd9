package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/bundle"
)

// packing is how to make a bundle.
type packing struct {
	out, key, passwordFile string
	pictures               []string
	expires                time.Duration
	manifest               bundle.Manifest
}

func packCommand(env env) *cobra.Command {
	var p packing
	cmd := &cobra.Command{
		Use:   "pack MODEL.onnx",
		Short: "Make a signed bundle of a model",
		Long: `Make a signed bundle of a model, and of MODEL.onnx.yaml beside it. The secret key is one that minisign -G made. With --picture the model looks
at each picture now, and every device has it find the same before it uses the bundle.`,
		Args: exactly("MODEL.onnx"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.pack(cmd, env, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.manifest.Name, "name", "", "what infer.model calls it (default: as the file is called)")
	flags.Uint64Var(&p.manifest.Version, "version", 0, "counts up: devices take no lower one than they have had")
	flags.StringVar(&p.manifest.MinVedette, "min-vedette", "", "the oldest Vedette that can run it, such as v1.4.0")
	flags.IntVar(&p.manifest.RuntimeAPI, "onnxruntime-api", 0, "the oldest ONNX Runtime that can, as the minor version of 1.x")
	flags.DurationVar(&p.expires, "expires", 0, "for how long it may be installed, such as 720h (default: for ever)")
	flags.StringArrayVar(&p.pictures, "picture", nil, "a JPEG for the self-test; may be given again")
	flags.StringVar(&p.key, "key", "", "file with minisign's secret key")
	flags.StringVar(&p.passwordFile, "password-file", "", "file with the secret key's password")
	flags.StringVar(&p.out, "out", "", "the bundle's file (default: NAME-VERSION.bundle)")
	_ = cmd.MarkFlagRequired("version") // fails only for a flag that is not there
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func (p *packing) pack(cmd *cobra.Command, env env, model string) error {
	if p.manifest.Name == "" {
		p.manifest.Name = strings.TrimSuffix(filepath.Base(model), ".onnx")
	}
	if p.out == "" {
		p.out = fmt.Sprintf("%s-%d.bundle", p.manifest.Name, p.manifest.Version)
	}
	key, err := p.secretKey()
	if err != nil {
		return err
	}
	p.manifest.Created = time.Now()
	if p.expires > 0 {
		expires := p.manifest.Created.Add(p.expires).UTC()
		p.manifest.Expires = &expires
	}
	sources := []bundle.Source{{Name: bundle.ModelFile, Path: model}}
	if manifest := model + ".yaml"; fileThere(manifest) {
		sources = append(sources, bundle.Source{Name: bundle.ModelYAML, Path: manifest})
	}
	pictures, err := p.lookAt(cmd, model)
	if err != nil {
		return err
	}
	if err := bundle.Pack(p.out, p.manifest, append(sources, pictures...), &key); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "%s: model %s version %d, %d self-tests\n", p.out, p.manifest.Name, p.manifest.Version,
		len(p.manifest.SelfTest))
	return err
}

func (p *packing) secretKey() (bundle.SecretKey, error) {
	var password string
	if p.passwordFile != "" {
		text, err := os.ReadFile(p.passwordFile)
		if err != nil {
			return bundle.SecretKey{}, fmt.Errorf("cannot read the secret key's password: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	return bundle.ReadSecretKey(p.key, password)
}

// lookAt runs the model, and writes into the manifest what it finds in each picture.
func (p *packing) lookAt(cmd *cobra.Command, model string) ([]bundle.Source, error) {
	if len(p.pictures) == 0 {
		return nil, nil
	}
	var pictures [][]byte
	var sources []bundle.Source
	for i, path := range p.pictures {
		picture, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read a picture: %w", err)
		}
		pictures = append(pictures, picture)
		sources = append(sources, bundle.Source{Name: fmt.Sprintf("selftest-%d.jpg", i+1), Path: path})
	}
	cfg := config.Default()
	absolute, err := filepath.Abs(model)
	if err != nil {
		return nil, err
	}
	cfg.Infer.Model = absolute
	described, found, err := probe(cmd.Context(), cfg, pictures)
	if err != nil {
		return nil, fmt.Errorf("cannot run the model: %w", err)
	}
	counts := cfg.Infer.Thresholds.Over(described.Thresholds)
	for i, detections := range found {
		expect := expected(detections, func(class int) float32 { return counts.For(described.Label(class)) })
		if len(expect) == 0 {
			return nil, errors.New(p.pictures[i] + ": the model finds nothing in it, so that it tests nothing: take another picture")
		}
		p.manifest.SelfTest = append(p.manifest.SelfTest, bundle.SelfTest{Image: sources[i].Name, Expect: expect})
	}
	return sources, nil
}

// expected leaves out what would not count: it is hardly the same on another device.
func expected(detections []infer.Detection, threshold func(class int) float32) (all []bundle.Expected) {
	for _, d := range detections {
		if d.Score < threshold(d.Class) {
			continue
		}
		all = append(all, bundle.Expected{Class: d.Class, Score: d.Score, Box: [4]float32{d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2}})
	}
	return all
}
