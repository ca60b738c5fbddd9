package main

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
)

// Model files that are cut short, or changed in a few bytes, are taken or are one clear error of a child that refused or
// died; nothing happens to this process. VEDETTE_MUTATIONS says how many are tried: make nightly tries 10,000.
func TestDamagedModels(t *testing.T) {
	count := 200
	if text := os.Getenv("VEDETTE_MUTATIONS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	graphs, err := filepath.Glob("../../infer/decode/testdata/families/*.onnx")
	if err != nil || len(graphs) == 0 {
		t.Fatalf("%d graphs, %v", len(graphs), err)
	}
	folder := t.TempDir()
	cases := make(chan int)
	var answers sync.Map // what was said
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range cases {
				answers.Store(tryDamaged(t, folder, graphs, i), true)
			}
		})
	}
	for i := range count {
		cases <- i
		if i > 0 && i%500 == 0 { // make nightly shows that it goes on
			t.Logf("%d of %d", i, count)
		}
	}
	close(cases)
	workers.Wait()
	kinds := 0
	answers.Range(func(said, _ any) bool {
		kinds++
		if kinds <= 20 {
			t.Log(said)
		}
		return true
	})
	if kinds < 3 {
		t.Errorf("%d kinds of answers to %d files: want refusals of several kinds", kinds, count)
	}
}

// tryDamaged gives what the first words of the answer are.
func tryDamaged(t *testing.T, folder string, graphs []string, i int) string {
	random := rand.New(rand.NewPCG(uint64(i), 7))
	data, err := os.ReadFile(graphs[random.IntN(len(graphs))])
	if err != nil {
		t.Error(err)
		return ""
	}
	data = damage(random, data)
	path := filepath.Join(folder, fmt.Sprintf("damaged-%d.onnx", i))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Error(err)
		return ""
	}
	defer os.Remove(path)
	cfg := config.Default()
	cfg.StateDir = folder
	cfg.Infer.Runtime = onnxRuntime(t)
	cfg.Infer.Model, cfg.Infer.Threads, cfg.Infer.Deadlines.Load = path, 1, time.Minute
	model, _, err := pipeline.Probe(t.Context(), cfg, os.Args[0], nil, nil, logging.New(io.Discard, slog.LevelError))
	if err == nil {
		return "taken as " + model.Family
	}
	text := err.Error()
	if text == "" || strings.Contains(text, "\n") || len(text) > 4000 || strings.Contains(text, "infer.deadlines") {
		t.Errorf("case %d: error %q: want one line", i, text)
	}
	return fmt.Sprintf("%.60s", strings.ReplaceAll(text, path, "FILE"))
}

// damage cuts a file short, flips bits, or puts bytes in, out, or twice.
func damage(random *rand.Rand, data []byte) []byte {
	data = slices.Clone(data)
	for range 1 + random.IntN(4) {
		if len(data) < 8 {
			break
		}
		at := random.IntN(len(data))
		if random.IntN(2) == 0 { // where the structure is: constants lie in the middle
			at = random.IntN(min(len(data), 400))
		}
		switch random.IntN(5) {
		case 0:
			data = data[:at]
		case 1:
			data[at] ^= 1 << random.IntN(8)
		case 2:
			data[at] = byte(random.IntN(256))
		case 3:
			data = slices.Insert(data, at, data[at/2:min(at/2+random.IntN(16), len(data))]...)
		case 4:
			data = slices.Delete(data, at, min(at+random.IntN(8), len(data)))
		}
	}
	return data
}
