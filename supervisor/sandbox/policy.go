package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds on a policy.
const (
	maxPolicy = 256 << 10 // bytes of its JSON
	maxPaths  = 1024      // of one list
	maxKeep   = 64        // descriptors
)

// Policy says what a process may do. The zero policy allows no file, device or socket.
type Policy struct {
	// Absolute paths of files, and of folders with all that lies under them. Those that are not there are skipped.
	Read        []string `json:"read,omitempty"`
	ReadExecute []string `json:"read_execute,omitempty"`
	Write       []string `json:"write,omitempty"` // and read; in folders files and folders may be made and removed

	// Devices are patterns, as filepath.Match has them, of device nodes that may be read, written and controlled. They are
	// resolved at Enter: a node that appears later is out of reach.
	Devices []string `json:"devices,omitempty"`

	// Network allows Unix, IPv4, IPv6 and netlink sockets; otherwise there are none but those in Keep.
	Network bool `json:"network,omitempty"`

	// Keep are the descriptors from 3 on that stay open.
	Keep []int `json:"keep,omitempty"`

	// OpenFiles and Data are resource limits, hard ones: descriptors, and bytes of private writable memory. 0 leaves the
	// limit as it is. Core files, which would hold frames, are never written.
	OpenFiles uint64 `json:"open_files,omitempty"`
	Data      uint64 `json:"data,omitempty"`

	// OOMScore is the least oom_score_adj, 0 to 1000: higher dies earlier.
	OOMScore int `json:"oom_score,omitempty"`

	// TimerSlack is how much later than asked the program's timers may fire, so that several fire at once (prctl(2),
	// PR_SET_TIMERSLACK); 0 leaves what it is. Its threads and programs inherit it.
	TimerSlack time.Duration `json:"timer_slack_ns,omitempty"`
}

// ReadPolicy reads what File wrote. Unknown fields are errors.
func ReadPolicy(r io.Reader) (Policy, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPolicy+1))
	if err != nil {
		return Policy{}, fmt.Errorf("cannot read the policy: %w", err)
	}
	if len(text) > maxPolicy {
		return Policy{}, fmt.Errorf("cannot read the policy: it is longer than %d bytes", maxPolicy)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var p Policy
	if err := decoder.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("cannot read the policy: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Policy{}, fmt.Errorf("cannot read the policy: something follows it at byte %d", decoder.InputOffset())
	}
	return p, p.validate()
}

// File gives the policy as a file for a child to inherit; the caller closes it.
func (p Policy) File() (*os.File, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("cannot write the policy: %w", err)
	}
	fd, err := unix.MemfdCreate("policy", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file for the policy: %w", err)
	}
	file := os.NewFile(uintptr(fd), "policy")
	if _, err := file.Write(text); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write the policy: %w", err), file.Close())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot rewind the policy: %w", err), file.Close())
	}
	return file, nil
}

func (p Policy) validate() error {
	for name, paths := range map[string][]string{
		"read": p.Read, "read_execute": p.ReadExecute, "write": p.Write, "devices": p.Devices,
	} {
		if len(paths) > maxPaths {
			return fmt.Errorf("cannot confine: %s names %d paths, more than %d", name, len(paths), maxPaths)
		}
		for _, path := range paths {
			if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
				return fmt.Errorf("cannot confine: %s names %q, which is no absolute path", name, path)
			}
		}
	}
	for _, pattern := range p.Devices {
		if _, err := filepath.Match(pattern, ""); err != nil {
			return fmt.Errorf("cannot confine: devices names %q: %w", pattern, err)
		}
	}
	if len(p.Keep) > maxKeep {
		return fmt.Errorf("cannot confine: keep names %d descriptors, more than %d", len(p.Keep), maxKeep)
	}
	for _, fd := range p.Keep {
		if fd < 3 || fd > 1<<20 {
			return fmt.Errorf("cannot confine: keep names descriptor %d", fd)
		}
	}
	if p.OOMScore < 0 || p.OOMScore > 1000 {
		return fmt.Errorf("cannot confine: oom_score is %d, not 0 to 1000", p.OOMScore)
	}
	if p.TimerSlack < 0 || p.TimerSlack > time.Second {
		return fmt.Errorf("cannot confine: timer_slack_ns is %d, not 0 to %d", p.TimerSlack, time.Second)
	}
	return nil
}
