package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// firstWithin is how long a first detection may take: a small board's slow disk included.
const firstWithin = time.Minute

// firstDetection is how many seconds after its exec a demonstration shows its first detection; nil where none comes.
func firstDetection(ctx context.Context, executable, model string) (*float64, error) {
	ctx, cancel := context.WithTimeout(ctx, firstWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable, "demo", "--json")
	cmd.Env = append(os.Environ(), "VEDETTE_MODEL="+model)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start a demonstration: %w", err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a demonstration: %w", err)
	}
	var took *float64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var message struct {
			Detections []struct{} `json:"detections"`
		}
		if json.Unmarshal(lines.Bytes(), &message) == nil && len(message.Detections) > 0 && took == nil {
			seconds := round(time.Since(began).Seconds(), 3)
			took = &seconds
			cancel() // and read on until it has ended
		}
	}
	_ = cmd.Wait() // it was told to end; that it showed nothing is seen already
	return took, nil
}
