package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "renew the transcript in docs/MQTT.md")

// The transcript lies between these lines of the document.
const (
	subscribersPage = "../../docs/MQTT.md"
	transcriptBegin = "<!-- transcript: renewed by go test ./cmd/vedette -run TestTheTranscriptIsWhatASubscriberSees -update -->\n" +
		"```console\n$ mosquitto_sub -v -t '#'\n"
	transcriptEnd = "```\n<!-- end of the transcript -->\n"
)

func TestTheTranscriptIsWhatASubscriberSees(t *testing.T) {
	page, err := os.ReadFile(subscribersPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), transcriptBegin)
	committed, after, ends := strings.Cut(rest, transcriptEnd)
	if !begins || !ends {
		t.Fatalf("%s has no transcript between its two markers", subscribersPage)
	}
	seen := demoSeen(t)
	if *update {
		text := before + transcriptBegin + strings.Join(seen, "\n") + "\n" + transcriptEnd + after
		if err := os.WriteFile(subscribersPage, []byte(text), 0o644); err != nil { // a document is for all to read
			t.Fatal(err)
		}
		return
	}
	got := shape(t, seen)
	want := shape(t, strings.Split(strings.TrimSpace(committed), "\n"))
	if got != want {
		t.Errorf("a subscriber sees\n%s\n%s says\n%s\nIf that is meant: go test ./cmd/vedette -run %s -update",
			got, subscribersPage, want, t.Name())
	}
}

func TestTheDocumentsExamplesAreAsTheSchemasSay(t *testing.T) {
	page, err := os.ReadFile(subscribersPage)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)<!-- message of (\\w+) -->\n```json\n(.*?)```\n").FindAllSubmatch(page, -1)
	if len(examples) != 4 {
		t.Errorf("%d examples, want one each of events, detections, state and faults", len(examples))
	}
	in := promises(t)
	for _, example := range examples {
		if err := in.Check("vedette/test/yard/"+string(example[1]), example[2]); err != nil {
			t.Error(err)
		}
	}
}

// demoSeen is one message of each topic that mosquitto_sub sees beside `vedette demo`, by topic: the first that shows it at
// work.
func demoSeen(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "demo")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	var hint []string
	for hint == nil {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("the demonstration does not say how to listen: %v", err)
		}
		hint = regexp.MustCompile(`mosquitto_sub -p (\d+) `).FindStringSubmatch(line)
	}
	lines := listen(t, hint[1])
	drained := make(chan struct{}) // a pipe that nobody reads would stop the demonstration
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, said)
	}()
	seen := map[string]string{}
	for timeout := time.After(3 * time.Minute); len(seen) < 7; {
		select {
		case line := <-lines:
			topic, message, _ := strings.Cut(line, " ")
			working := false
			switch levels := strings.Split(topic, "/"); levels[len(levels)-1] {
			case "status", "update":
				working = true
			case "state":
				working = strings.Contains(message, `"state":"ready"`) && strings.Contains(message, `"last_frame_age_s"`)
			case "detections":
				working = strings.Contains(message, `"track_id"`)
			case "events":
				working = strings.Contains(message, `"type":"update"`)
			case "config":
				working = strings.Contains(message, `"l_scene_person_count"`)
			case "person":
				working = message != "0"
			}
			if _, there := seen[topic]; working && !there {
				seen[topic] = line
			}
		case <-timeout:
			t.Fatalf("after three minutes there are only %v", slices.Collect(maps.Keys(seen)))
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-drained
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demonstration: %v", err)
	}
	var sorted []string
	for _, topic := range slices.Sorted(maps.Keys(seen)) {
		sorted = append(sorted, seen[topic])
	}
	return sorted
}

// shape is what transcripts of two machines and times have in common: topics, keys, and the words for states.
func shape(t *testing.T, lines []string) string {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		topic, message, _ := strings.Cut(line, " ")
		levels := strings.Split(topic, "/")
		levels[slices.IndexFunc(levels, func(level string) bool { return len(level) >= 32 })] = "{device}"
		text.WriteString(strings.Join(levels, "/") + " ")
		var doc any
		if err := json.Unmarshal([]byte(message), &doc); err != nil {
			text.WriteString(message + "\n") // the status is a bare word
			continue
		}
		out, err := json.MarshalIndent(shapeOf("", doc), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(out, '\n'))
	}
	return text.String()
}

func shapeOf(key string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		shaped := map[string]any{}
		for key, value := range v {
			switch key {
			case "temperature_c": // some boards have none
			case "cmps": // depends on what was seen
				seen, _ := value.(map[string]any)
				maps.DeleteFunc(seen, func(name string, _ any) bool {
					return name == "temperature" || strings.HasPrefix(name, "l_") && !strings.HasPrefix(name, "l_scene_person_")
				})
				shaped[key] = shapeOf(key, seen)
			case "zones", "entered", "crossed":
			case "drops", "degraded": // depend on how fast the machine is, and on its kernel
				shaped[key] = nil
			default:
				shaped[key] = shapeOf(key, value)
			}
		}
		return shaped
	case []any:
		if len(v) > 1 && key == "detections" { // the frame decides how many there are
			v = v[:1]
		}
		var shaped []any
		for _, value := range v {
			shaped = append(shaped, shapeOf("", value))
		}
		return shaped
	case string:
		if key == "state" || key == "name" || key == "camera" || key == "family" || key == "provider" {
			return v
		}
		return ""
	default:
		return 0
	}
}
