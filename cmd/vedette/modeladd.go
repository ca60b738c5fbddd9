package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vedette/cmd/vedette/internal/download"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer/bundle"
	"vedette/infer/store"
)

// known is a model that is published without a signature of ours: its hash answers for it.
type known struct {
	name, url, sha256, licence string
}

// catalogue is the models that `model add` knows by name. The hashes are those of the files of the project's release.
func catalogue() []known {
	const release = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
	return []known{
		{"yolox_nano", release + "yolox_nano.onnx", "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d", "Apache-2.0"},
		{"yolox_tiny", release + "yolox_tiny.onnx", "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7", "Apache-2.0"},
		{"yolox_s", release + "yolox_s.onnx", "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063", "Apache-2.0"},
	}
}

func (m *models) addCommand() *cobra.Command {
	var a addition
	cmd := &cobra.Command{
		Use:   "add BUNDLE|FOLDER|URL|MODEL.onnx|NAME",
		Short: "Install a model; 'model use' switches to it",
		Long: `Install a model: a signed bundle as a file, a folder or an https URL; a plain .onnx file, which nobody has signed; or one that is
known by name: ` + knownNames() + `. What is refused changes nothing.`,
		Args: exactly("a bundle, a folder, an https URL, an .onnx file or a known name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.sha256 = strings.ToLower(a.sha256); a.sha256 != "" && !isSHA256(a.sha256) {
				return usageError{fmt.Errorf("--sha256 %q is not the 64 hexadecimal digits of a SHA-256", a.sha256)}
			}
			cfg, models, err := m.open()
			if err != nil {
				return err
			}
			policy, err := m.policy(cfg)
			if err != nil {
				return err
			}
			policy.AllowUnsigned = a.unsigned
			installed, err := m.add(cmd.Context(), models, policy, args[0], a)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(m.stdout, "model %s version %d is installed: 'vedette model use %[1]s' switches to it\n",
				installed.Name, installed.Version)
			return err
		},
	}
	cmd.Flags().BoolVar(&a.unsigned, "allow-unsigned", false, "take a model that nobody has signed: you answer for it")
	cmd.Flags().StringVar(&a.sha256, "sha256", "", "the hash that the file has to have, in hexadecimal digits")
	cmd.Flags().StringVar(&a.name, "name", "", "what to call a plain .onnx file; default: as the file is called")
	return cmd
}

func knownNames() string {
	var names []string
	for _, k := range catalogue() {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// addition is how to add a model.
type addition struct {
	unsigned     bool
	sha256, name string
}

func (m *models) add(ctx context.Context, models store.Store, policy store.Policy, what string, a addition) (store.Installed, error) {
	if i := slices.IndexFunc(catalogue(), func(k known) bool { return k.name == what }); i >= 0 {
		k := catalogue()[i]
		a.name, a.sha256, what = k.name, k.sha256, k.url
		policy.AllowUnsigned = true // the hash answers for it
	}
	plain := strings.HasSuffix(what, ".onnx")
	if strings.Contains(what, "://") {
		a.name = cmp.Or(a.name, plainName(what))
		path, done, err := m.fetch(ctx, models, what, a.sha256)
		if err != nil {
			return store.Installed{}, err
		}
		defer done()
		plain, what = plainName(what) != "", path
	} else if a.sha256 != "" {
		if err := download.Check(what, a.sha256); err != nil {
			return store.Installed{}, err
		}
	}
	if plain {
		if !policy.AllowUnsigned {
			return store.Installed{}, fmt.Errorf("%s is not signed: use --allow-unsigned if you answer for it, or pack it "+
				"(vedette model pack)", what)
		}
		path, done, err := wrap(models, what, a.name)
		if err != nil {
			return store.Installed{}, err
		}
		defer done()
		what = path
	}
	r, err := bundle.Open(what)
	if err != nil {
		return store.Installed{}, err
	}
	defer r.Close()
	return models.Add(r, policy)
}

// fetch downloads a model. done removes the file.
func (m *models) fetch(ctx context.Context, models store.Store, from, hash string) (file string, done func(), err error) {
	if err := download.Validate(from); err != nil {
		return "", nil, usageError{err}
	}
	bar, finish := m.bar(filepath.Base(from))
	defer finish()
	return pipeline.FetchModel(ctx, models, download.Request{URL: from, SHA256: hash, Progress: bar})
}

// plainName is what the .onnx file of a URL is called, without its ending; "" where it is none.
func plainName(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	name, plain := strings.CutSuffix(path.Base(u.Path), ".onnx")
	if !plain {
		return ""
	}
	return name
}

func isSHA256(text string) bool {
	digest, err := hex.DecodeString(text)
	return err == nil && len(digest) == sha256.Size
}

// bar shows how far a download is, to a person.
func (m *models) bar(what string) (progress func(got, all int64), finish func()) {
	file, ok := m.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(file), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(got, all int64) {
		bar.ChangeMax64(all)
		_ = bar.Set64(got) // a terminal that is gone shows nothing
	}, func() { _ = bar.Finish() }
}

// wrap makes an unsigned bundle of a plain model, with the next version. done removes it.
func wrap(models store.Store, path, name string) (packed string, done func(), err error) {
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), ".onnx")
	}
	if err := bundle.ValidateName(name); err != nil {
		return "", nil, usageError{fmt.Errorf("%w: give it one with --name", err)}
	}
	version, err := models.Next(name)
	if err != nil {
		return "", nil, err
	}
	folder, err := models.Scratch()
	if err != nil {
		return "", nil, err
	}
	packed = filepath.Join(folder, name+".bundle")
	sources := []bundle.Source{{Name: bundle.ModelFile, Path: path}}
	if manifest := path + ".yaml"; fileThere(manifest) {
		sources = append(sources, bundle.Source{Name: bundle.ModelYAML, Path: manifest})
	}
	m := bundle.Manifest{Name: name, Version: version, Created: time.Now()}
	return packed, func() { os.Remove(packed) }, bundle.Pack(packed, m, sources, nil)
}

func fileThere(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
