package bench

import (
	"os"
	"regexp"
	"testing"
	"time"

	"vedette/cmd/vedette/internal/pipeline"
)

// What is measured is the service as its unit runs it.
func TestTheUnitSetsTheSlack(t *testing.T) {
	const unit = "../../../../packaging/systemd/vedette.service"
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^TimerSlackNSec=(.*)$`).FindSubmatch(text)
	if line == nil {
		t.Fatalf("%s sets no TimerSlackNSec=", unit)
	}
	if slack, err := time.ParseDuration(string(line[1])); err != nil || slack != pipeline.ServiceTimerSlack {
		t.Errorf("%s: TimerSlackNSec=%s, and bench measures with %v (%v)", unit, line[1], pipeline.ServiceTimerSlack, err)
	}
}
