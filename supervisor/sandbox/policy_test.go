package sandbox

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPolicyTravels(t *testing.T) {
	want := Policy{
		Read: []string{"/a"}, ReadExecute: []string{"/b"}, Write: []string{"/c"}, Devices: []string{"/dev/nvidia*"},
		Network: true, Keep: []int{3, 5}, OpenFiles: 10, Data: 1 << 30, OOMScore: 500,
		TimerSlack: time.Millisecond,
	}
	file, err := want.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := ReadPolicy(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestPolicyIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "EOF",
		`{"reed":["/a"]}`:                     `unknown field "reed"`,
		`{} {}`:                               "something follows it at byte 4",
		`{"read":["a"]}`:                      `read names "a", which is no absolute path`,
		`{"read":["/a\u0000"]}`:               "which is no absolute path",
		`{"devices":["/dev/[a"]}`:             "syntax error in pattern",
		`{"keep":[2]}`:                        "keep names descriptor 2",
		`{"oom_score":-1}`:                    "oom_score is -1",
		`{"timer_slack_ns":2000000000}`:       "timer_slack_ns is 2000000000",
		strings.Repeat(" ", maxPolicy) + "{}": "longer than",
		`{"write":[` + strings.Repeat(`"/a",`, maxPaths) + `"/a"]}`: "more than 1024",
	} {
		if _, err := ReadPolicy(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

// FuzzReadPolicy looks for a policy that is taken and does not come out as it went in.
func FuzzReadPolicy(f *testing.F) {
	f.Add(`{"read":["/lib"],"keep":[3],"open_files":1024,"oom_score":500}`)
	f.Add(`{"devices":["/dev/nvidia[0-9]*"],"network":true}`)
	f.Add(`{"keep":[2]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ReadPolicy(strings.NewReader(text))
		if err != nil {
			return
		}
		// As JSON, since an empty list and none are the same.
		first, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ReadPolicy(bytes.NewReader(first))
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second, err := json.Marshal(q); err != nil || !bytes.Equal(second, first) {
			t.Errorf("%s, %v, want %s", second, err, first)
		}
	})
}
