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

// replaces has apt put another version in the place of one that runs.
func (p *packaged) replaces(folder, pattern string) {
	p.t.Helper()
	ctx := p.t.Context()
	pid, old := p.property("MainPID"), p.version()
	statuses := len(p.subscriber.Payloads("vedette/guest/status"))
	p.apt(append([]string{"install"}, p.debs(folder, pattern)...)...)
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

// complete looks whether each number of the one outbox has come, from the first to one that was given after now.
func (p *packaged) complete() {
	p.t.Helper()
	const faults = "vedette/guest/faults"
	before := len(p.subscriber.Payloads(faults))
	p.Succeed(p.t.Context(), "sh", "-c", "echo 1 >"+p.worker()+"/cgroup.kill")
	p.until("a fault of now has come", func() bool { return len(p.subscriber.Payloads(faults)) > before })
	type number struct {
		Epoch string
		Seq   int
	}
	var numbers []number
	for _, message := range p.subscriber.All() {
		if message.Topic != faults && !strings.HasSuffix(message.Topic, "/events") {
			continue
		}
		var n number
		if err := json.Unmarshal([]byte(message.Payload), &n); err != nil || n.Epoch == "" {
			p.t.Fatalf("this has no number: %+v (%v)", message, err)
		}
		numbers = append(numbers, n)
	}
	slices.SortFunc(numbers, func(a, b number) int { return a.Seq - b.Seq })
	numbers = slices.Compact(numbers) // again is no mistake: at least once
	for i, n := range numbers {
		if want := (number{numbers[0].Epoch, numbers[0].Seq + i}); n != want {
			p.t.Fatalf("%+v never came: %+v", want, numbers)
		}
	}
	p.t.Logf("%d events and faults have come so far, none is missing", len(numbers))
	p.detects("yard")
}
