package payload_test

import (
	"slices"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/mqtt/payload"
)

func TestTopicsAreUnderThePrefix(t *testing.T) {
	for _, c := range []struct{ prefix, device, want string }{
		{"vedette/{device}", "gate-7", "vedette/gate-7"},
		{"site/a b/{device}/eyes", "x", "site/a b/x/eyes"},
		{"{device}", "x", "x"},
		{"fixed", "x", "fixed"},
		{"\u00fcber/{device}", "x", "\u00fcber/x"},
	} {
		topics, err := payload.NewTopics(c.prefix, c.device)
		if err != nil {
			t.Errorf("%q: %v", c.prefix, err)
			continue
		}
		got := []string{topics.Prefix(), topics.Status(), topics.State(), topics.Faults(), topics.Detections("yard")}
		want := []string{c.want, c.want + "/status", c.want + "/state", c.want + "/faults", c.want + "/yard/detections"}
		if !slices.Equal(got, want) {
			t.Errorf("prefix %q, device %q: %q, want %q", c.prefix, c.device, got, want)
		}
	}
}

func TestPrefixesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ prefix, device, says string }{
		{"", "x", "does not have"},
		{"{device}", "", "does not have"},
		{strings.Repeat("a", 201), "x", "does not have"},
		{"vedette/+", "x", "wildcard"},
		{"vedette/#", "x", "wildcard"},
		{"vedette/{device}", "a+", "wildcard"},
		{"/vedette", "x", "slash"},
		{"vedette/", "x", "slash"},
		{"vedette/{device}", "", "slash"},
		{"$SYS/vedette", "x", "begins with $"},
		{"vedette/{camera}", "x", "placeholder"},
		{"vedette/\x00", "x", "bytes that no topic may have"},
		{"vedette/\n", "x", "bytes that no topic may have"},
		{"vedette/\xff", "x", "bytes that no topic may have"},
		{"vedette/{device}", "\x80", "bytes that no topic may have"},
	} {
		if _, err := payload.NewTopics(c.prefix, c.device); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("prefix %q, device %q: %v, want %q", c.prefix, c.device, err, c.says)
		}
	}
}

// A camera whose name is a topic's own part would speak for somebody else.
func TestNoCameraMayBeATopicsOwnPart(t *testing.T) {
	topics, err := payload.NewTopics("p", "")
	if err != nil {
		t.Fatal(err)
	}
	const camera = "yard"
	for _, topic := range []string{topics.Status(), topics.State(), topics.Faults(), topics.Detections(camera)} {
		for _, part := range strings.Split(strings.TrimPrefix(topic, "p/"), "/") {
			if part != camera && !slices.Contains(capture.ReservedNames(), part) {
				t.Errorf("a camera may be named %q, which is a part of topic %q", part, topic)
			}
		}
	}
	for _, name := range append(capture.ReservedNames(), "a/b", "+", "#", "a b", "A", "", "\u00e9", strings.Repeat("a", 33)) {
		if capture.ValidateName(name) == nil {
			t.Errorf("a camera may be named %q", name)
		}
	}
}
