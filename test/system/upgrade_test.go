//go:build system

package system

import (
	"encoding/json"
	"slices"
	"strings"
)

func (p *packaged) upgrade() {
	p.replaces("next-"+p.Guest.Arch, "vedette_*.deb")
}

func (p *packaged) downgrade() {
	p.replaces(p.Guest.Arch, "vedette_*_"+p.Guest.Arch+".deb", "--allow-downgrades")
}

// replaces has apt put another version in the place of one that runs.
func (p *packaged) replaces(folder, pattern string, options ...string) {
	p.t.Helper()
	ctx := p.t.Context()
	pid, old := p.property("MainPID"), p.version()
	statuses := len(p.subscriber.Payloads("vedette/guest/status"))
	p.apt(append(append([]string{"install"}, options...), p.debs(folder, pattern)...)...)
	if now := p.version(); now == old {
		p.t.Errorf("it is %s as before", now)
	}
	if now := p.Show(ctx, "vedette", "MainPID", "ActiveState"); now["MainPID"] == pid || now["ActiveState"] != "active" {
		p.t.Errorf("the service had process %s and is %v", pid, now)
	}
	if now := string(p.Read(ctx, configFile)); now != packagedConfig {
		p.t.Errorf("the operator's configuration has become:\n%s", now)
	}
	p.sees()
	p.until("the broker hears of the next one", func() bool { return p.status() == "online" })
	if said := p.subscriber.Payloads("vedette/guest/status")[statuses:]; len(said) < 2 || said[0] != "offline" {
		p.t.Errorf("the broker heard %q", said)
	}
	p.complete()
}

// status is what the broker heard last of whether the service is there.
func (p *packaged) status() string {
	said := p.subscriber.Payloads("vedette/guest/status")
	if len(said) == 0 {
		return ""
	}
	return said[len(said)-1]
}

// complete looks whether each number that the outbox gave has come, up to one that was given after now.
func (p *packaged) complete() {
	p.t.Helper()
	const faults = "vedette/guest/faults"
	before := len(p.subscriber.Payloads(faults))
	p.Succeed(p.t.Context(), "sh", "-c", "echo 1 >"+p.worker()+"/cgroup.kill")
	p.until("a fault of now has come", func() bool { return len(p.subscriber.Payloads(faults)) > before })
	numbers := map[string][]int{} // by epoch: one ends with a life that did not end in good order
	for _, message := range p.subscriber.All() {
		if message.Topic != faults && !strings.HasSuffix(message.Topic, "/events") {
			continue
		}
		var n struct {
			Epoch string
			Seq   int
		}
		if err := json.Unmarshal([]byte(message.Payload), &n); err != nil || n.Epoch == "" {
			p.t.Fatalf("this has no number: %+v (%v)", message, err)
		}
		numbers[n.Epoch] = append(numbers[n.Epoch], n.Seq)
	}
	// Of an epoch's first numbers one is passed over when a service without cameras ended, which had no event, and others go to
	// messages that are sent again with the number they had.
	for epoch, all := range numbers {
		slices.Sort(all)
		all = slices.Compact(all) // again is no mistake: at least once
		for i, n := range all {
			if want := all[0] + i; n != want {
				p.t.Fatalf("number %d of %s never came: %d", want, epoch, all)
			}
		}
		p.t.Logf("events and faults of %s have come from number %d to %d, none is missing", epoch, all[0], all[len(all)-1])
	}
	p.detects("yard")
}
