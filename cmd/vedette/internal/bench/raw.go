package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"vedette/capture"
	"vedette/infer/decode"
	"vedette/infer/manifest"
	"vedette/infer/onnx"
	"vedette/infer/preprocess"
	"vedette/infer/wire"
)

// RawCommand is the command that starts ServeRaw, below `vedette bench`.
const RawCommand = "infer-raw"

// RawOptions are the bare session's.
type RawOptions struct {
	Model   string
	Threads int
	Scene   capture.SceneConfig // whose first frame is what the model is fed
}

// rawAnswer is one block of the bare session.
type rawAnswer struct {
	Runs    uint64  `json:"runs"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // of the whole process
}

// ServeRaw loads the model; then it runs it over and over for each duration that a line of in says, such as "2s", and
// answers with a line of JSON on out: {"runs":…,"seconds":…,"cpu_seconds":…}. It returns at the end of in.
func ServeRaw(ctx context.Context, o RawOptions, in io.Reader, out io.Writer) error {
	by, err := manifest.ReadBeside(o.Model) // as the worker goes by it
	if err != nil {
		return err
	}
	session, err := openRaw(o, by)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := feed(ctx, session, o, by); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		block, err := time.ParseDuration(lines.Text())
		if err != nil {
			return fmt.Errorf("cannot run for %q: %w", lines.Text(), err)
		}
		answer, err := runRaw(session, block)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return fmt.Errorf("cannot answer: %w", err)
		}
	}
	return lines.Err()
}

// openRaw binds the shapes that the worker would.
func openRaw(o RawOptions, by manifest.Manifest) (*onnx.Session, error) {
	file, err := onnx.Read(onnx.Options{Model: o.Model, Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	family, err := decode.Recognise(file.Signature(), by)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", o.Model, err)
	}
	return file.Open(family.Shapes(file.Signature(), max(family.Input.Batch, 1)))
}

// feed gives the session the pixels that the pipeline's worker would: on others a model may take another time.
func feed(ctx context.Context, session *onnx.Session, o RawOptions, by manifest.Manifest) error {
	family, err := decode.Recognise(session.Signature(), by)
	if err != nil {
		return fmt.Errorf("model %s: %w", o.Model, err)
	}
	reel, err := sceneReel(ctx, o.Scene)
	if err != nil {
		return err
	}
	pre, err := preprocess.New(family.Input, preprocess.Stream{Format: reel.format, Region: [4]float64{0, 0, 1, 1}})
	if err != nil {
		return err
	}
	defer pre.Close()
	return pre.Run(reel.frames[0], session.Input())
}

func runRaw(session *onnx.Session, block time.Duration) (rawAnswer, error) {
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return rawAnswer{}, err
	}
	var a rawAnswer
	began := wire.Monotonic()
	for now := began; now-began < block || a.Runs == 0; now = wire.Monotonic() {
		if err := session.Run(); err != nil {
			return rawAnswer{}, err
		}
		a.Runs++
	}
	a.Seconds = (wire.Monotonic() - began).Seconds()
	after, err := cpuTime(os.Getpid())
	a.CPU = (after - cpu).Seconds()
	return a, err
}

// rawProcess is a child that runs ServeRaw.
type rawProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func startRaw(ctx context.Context, executable string, o RawOptions) (*rawProcess, error) {
	p := &rawProcess{cmd: exec.CommandContext(ctx, executable, "bench", RawCommand,
		"--model", o.Model, "--threads", strconv.Itoa(o.Threads),
		"--size", o.Scene.Size.String(), "--format", o.Scene.Format.String())}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the bare session: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the bare session: %w", err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the bare session: %w", err)
	}
	return p, nil
}

func (p *rawProcess) begin(block time.Duration) error {
	if _, err := fmt.Fprintln(p.in, block); err != nil {
		return p.failure(err)
	}
	return nil
}

func (p *rawProcess) answer() (rawAnswer, error) {
	var a rawAnswer
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, p.failure(err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("cannot read the bare session's answer: %w", err)
	}
	if a.Runs == 0 || a.Seconds <= 0 {
		return a, errors.New("the bare session did not run")
	}
	return a, nil
}

// failure says what the child said before it went.
func (p *rawProcess) failure(err error) error {
	_ = p.in.Close()
	_ = p.cmd.Wait() // its words say more than its exit code
	if said := strings.TrimSpace(p.stderr.String()); said != "" {
		last := said[strings.LastIndexByte(said, '\n')+1:]
		err = errors.New(strings.TrimPrefix(last, "vedette: "))
	}
	return fmt.Errorf("cannot run the bare session: %w", err)
}

// stop lets it end at the end of its input.
func (p *rawProcess) stop() error {
	if p.cmd.ProcessState != nil {
		return nil // failure has told of its end
	}
	err := p.in.Close()
	return errors.Join(err, p.cmd.Wait())
}

// rawLoop is the bare sessions, one process each, which run at the same time.
type rawLoop []*rawProcess

func startRawLoop(ctx context.Context, executable string, n int, o RawOptions) (rawLoop, error) {
	var l rawLoop
	for range n {
		p, err := startRaw(ctx, executable, o)
		if err != nil {
			return nil, errors.Join(err, l.stop())
		}
		l = append(l, p)
	}
	return l, nil
}

// block gives the frames a second of all together, and the CPU time of one run in milliseconds.
func (l rawLoop) block(d time.Duration) (fps, cpu float64, err error) {
	for _, p := range l {
		if err := p.begin(d); err != nil {
			return 0, 0, err
		}
	}
	var runs, seconds float64
	for _, p := range l {
		a, err := p.answer()
		if err != nil {
			return 0, 0, err
		}
		fps += float64(a.Runs) / a.Seconds
		runs += float64(a.Runs)
		seconds += a.CPU
	}
	return fps, 1000 * seconds / runs, nil
}

func (l rawLoop) stop() error {
	var errs []error
	for _, p := range l {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
