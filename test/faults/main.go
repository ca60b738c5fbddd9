// Command faults breaks what may break, one row of the fault table after the other, and tells who survived.
//
//	faults -vedette build/vedette-faultinject [-row 7] [-where host|guest]
//
// A row looks from outside alone: at MQTT messages, /proc, cgroup files, systemd's record, what the service prints. Before and
// after each row the service has to be healthy. Rows that need systemd or cgroup v2 run in a virtual machine, where this
// program is run with -where guest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// rowLimit is what no row comes near to but one that fails. Row 25 has the time that it is asked for on top.
const rowLimit = 15 * time.Minute

// row is a fault, and what must be seen when it happens.
type row struct {
	number int
	name   string
	where  string // host or guest
	config string // of the service, beside what every row has
	env    []string
	unit   string // lines of a drop-in to the service's unit, in the guest
	run    func(ctx context.Context, s *subject) (observed string, err error)
	ends   bool // whether the service is not there afterwards
}

func main() {
	var o options
	number := flag.Int("row", 0, "run this row alone")
	where := flag.String("where", "host", "run the rows of host or guest; in the guest itself: inside")
	flag.StringVar(&o.vedette, "vedette", "build/vedette-faultinject", "the program, built with the tag faultinject")
	flag.StringVar(&o.modelFile, "model", "build/models/coco.onnx", "the model")
	flag.StringVar(&o.runtime, "runtime", "build/onnxruntime/"+runtime.GOARCH+"/libonnxruntime.so", "the ONNX Runtime library")
	flag.IntVar(&o.kills, "kills", 100, "how often row 1 kills")
	flag.DurationVar(&o.soak, "soak", 0, "for how long row 25 breaks things, after its warm-up; 0: 5m with -row 25, otherwise it is left out")
	flag.StringVar(&o.fleet, "fleet", "build/fleet", "the program of row 24, of the module test/fleet")
	flag.Parse()
	if *number == soakRow && o.soak == 0 {
		o.soak = 5 * time.Minute
	}
	for _, path := range []*string{&o.vedette, &o.modelFile, &o.runtime, &o.fleet} { // the service has a working folder of its own
		if absolute, err := filepath.Abs(*path); err == nil {
			*path = absolute
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	well := false
	switch *where {
	case "host":
		well = tell(ctx, o, *number, "host")
	case "guest":
		well = inGuest(ctx, o, *number)
	case "inside": // the guest
		o.guest = true
		well = tell(ctx, o, *number, "guest")
	default:
		fmt.Fprintln(os.Stderr, "faults: -where is host or guest")
	}
	if !well {
		stop()
		os.Exit(1)
	}
}

// tell runs rows, prints one line for each, and says whether all are well.
func tell(ctx context.Context, o options, number int, where string) bool {
	well, ran := true, 0
	for _, r := range slices.Concat(hostRows(o.soak), guestRows(), cameraRows()) {
		if r.where != where || number != 0 && r.number != number {
			continue
		}
		ran++
		began := time.Now()
		observed, err := attempt(ctx, o, r)
		took := time.Since(began).Round(100 * time.Millisecond)
		if err != nil {
			well = false
			fmt.Printf("row %d FAIL %s: %v (%v)\n", r.number, r.name, err, took)
			continue
		}
		fmt.Printf("row %d ok %s: %s (%v)\n", r.number, r.name, observed, took)
	}
	if where == "host" && number == 0 && o.soak == 0 {
		fmt.Printf("row %d left out: it takes a while, make faults ROW=%[1]d WHERE=host SOAK=5m\n", soakRow)
	}
	if ran == 0 && number != 0 {
		fmt.Printf("row %d is not one of the %s's\n", number, where)
	}
	return well
}

func attempt(ctx context.Context, o options, r row) (observed string, err error) {
	ctx, cancel := context.WithTimeout(ctx, rowLimit+o.soak)
	defer cancel()
	s, err := start(ctx, o, r)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; log:\n%s", err, s.log(15))
		}
		err = errors.Join(err, s.close())
	}()
	if err := s.healthy(ctx); err != nil {
		return "", fmt.Errorf("before: %w", err)
	}
	if observed, err = r.run(ctx, s); err != nil || r.ends {
		return observed, err
	}
	if err := s.healthy(ctx); err != nil {
		return "", fmt.Errorf("after: %w", err)
	}
	return observed, nil
}
