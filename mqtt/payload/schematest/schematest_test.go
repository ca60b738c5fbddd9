package schematest

import (
	"strings"
	"testing"
)

func edit(text, old, replacement string) string { return strings.Replace(text, old, replacement, 1) }

// A check that lets everything through would make every test that uses it worthless.
func TestCheckRefuses(t *testing.T) {
	in, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	const fault = `{"v":1,"epoch":"0123456789abcdef","seq":1,"time":"2026-10-01T08:00:00.000000Z","clock":"synced","process":"infer-worker","kind":"signal",` +
		`"message":"killed","generation":1,"exit_code":-1,"signal":"SIGKILL","uptime_s":1.5,"peak_rss_bytes":1}`
	for _, c := range []struct {
		name, topic, message string
		good                 bool
	}{
		{"fault", "vedette/test/faults", fault, true},
		{"prefix of one level", "p/faults", fault, true},
		{"status", "a/b/c/status", "online", true},
		{"status in quotes", "vedette/test/status", `"online"`, false},
		{"status word", "vedette/test/status", "on", false},
		{"no prefix", "faults", fault, false},
		{"topic of nobody", "vedette/test", "3", false},
		{"count", "vedette/test/yard/person", "3", true},
		{"count of none", "vedette/test/yard/gate/person", "0", true},
		{"count that is none", "vedette/test/yard/person", "-1", false},
		{"count that is removed", "vedette/test/yard/person", "", true},
		{"no picture", "vedette/test/yard/person/snapshot", "\xff\xd8", false},
		{"a command", "vedette/test/command/reload", `{"id":"1"}`, true},
		{"a command for a camera", "vedette/test/command/camera/yard/enable", `{"id":"1","args":{"enabled":true}}`, true},
		{"an answer", "vedette/test/command/reload/result", `{"v":1,"id":"1","ok":true}`, true},
		{"an answer without a reason", "vedette/test/command/reload/result", `{"v":1,"id":"1","ok":false}`, false},
		{"a count of Frigate's", "frigate/yard/all", "2", true},
		{"detections without a camera", "detections", "{}", false},
		{"empty", "vedette/test/faults", "", false},
		{"null", "vedette/test/faults", "null", false},
		{"two values", "vedette/test/faults", fault + fault, false},
		{"no UTF-8", "vedette/test/status", "\xff", false},
		{"missing key", "vedette/test/faults", edit(fault, `"clock":"synced",`, ""), false},
		{"no number", "vedette/test/faults", edit(fault, `"epoch":"0123456789abcdef","seq":1,`, ""), false},
		{"additional key", "vedette/test/faults", edit(fault, `"v":1`, `"v":1,"w":1`), false},
		{"unknown kind", "vedette/test/faults", edit(fault, `"signal",`, `"boredom",`), false},
		{"time without microseconds", "vedette/test/faults", edit(fault, ".000000Z", "Z"), false},
		{"time that is none", "vedette/test/faults", edit(fault, "2026-10-01", "2026-13-01"), false},
		{"negative number", "vedette/test/faults", edit(fault, `"uptime_s":`, `"uptime_s":-`), false},
		{"other version", "vedette/test/faults", edit(fault, `"v":1`, `"v":2`), false},
	} {
		if err := in.Check(c.topic, []byte(c.message)); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
