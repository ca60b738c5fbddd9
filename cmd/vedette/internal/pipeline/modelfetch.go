package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vedette/cmd/vedette/internal/download"
	"vedette/infer/bundle"
	"vedette/infer/store"
)

// Bounds of models, in bytes: of a download, of all that are installed.
const (
	MostBundle = 2 << 30
	MostModels = 4 << 30
)

// A download by command may take so long, over so many connections.
const (
	fetchWithin = time.Hour
	fetchTries  = 10
)

// FetchModel downloads into the store's own file system, under a name that the URL alone decides, so that a try that is cut goes on at
// the next. done removes the file.
func FetchModel(ctx context.Context, models store.Store, r download.Request) (file string, done func(), err error) {
	folder, err := models.Scratch()
	if err != nil {
		return "", nil, err
	}
	id := sha256.Sum256([]byte(r.URL))
	r.Most, r.Path = MostBundle, filepath.Join(folder, hex.EncodeToString(id[:8]))
	return r.Path, func() { os.Remove(r.Path) }, download.Fetch(ctx, r)
}

// installModel fetches a bundle, installs it and switches to it: only one that is signed by a key that is trusted here.
func (p *Pipeline) installModel(ctx context.Context, url, hash string) error {
	if p.opts.Configuration == nil {
		return errNoConfiguration
	}
	keys, err := bundle.ReadKeys(p.opts.Keys)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("no key is trusted here: put the public key of whoever signs models into %s", p.opts.Keys)
	}
	cfg := p.config()
	models := Models(cfg.StateDir)
	file, done, err := FetchModel(ctx, models, download.Request{URL: url, SHA256: strings.ToLower(hash), Tries: fetchTries})
	if err != nil {
		return err
	}
	defer done()
	r, err := bundle.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	policy := ModelPolicy(cfg, p.opts.Version, p.floor)
	policy.Keys, policy.Bound = keys, MostModels
	installed, err := models.Add(r, policy)
	if err != nil {
		return err
	}
	if now, err := models.Current(installed.Name); err == nil && now.ID == installed.ID && p.config().Infer.Model == installed.Name {
		return nil // it is in use
	}
	return p.UseModel(ctx, installed.Name, installed.Version)
}
