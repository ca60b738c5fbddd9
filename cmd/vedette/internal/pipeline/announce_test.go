package pipeline

import (
	"log/slog"
	"testing"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/retained"
	"vedette/mqtt"
	"vedette/mqtt/payload"
	"vedette/track"
)

// Of a label that has no letter that a topic may have, the class is left: two of them are two counts.
func TestCountsOfLabelsWithoutLatinLettersAreApart(t *testing.T) {
	topics, err := payload.NewTopics("vedette", "d1")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	client, err := mqtt.New(mqtt.Options{Config: mqtt.Config{Brokers: []string{"tcp://127.0.0.1:1"}}, Topics: topics, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	p := &Pipeline{topics: topics, mqtt: client, opts: Options{Config: config.Default(), Logger: logger}}
	a := p.newAnnouncer()
	a.count("yard", []track.Count{{Label: "人", Class: 3, N: 1}, {Label: "車", Class: 7, N: 2}})
	var parts []string
	for _, e := range a.ledger.Entries(retained.Count) {
		parts = append(parts, e.Part+" "+e.Topic)
	}
	want := []string{"class_3 " + topics.Count("yard", "class_3"), "class_7 " + topics.Count("yard", "class_7")}
	if len(parts) != 2 || parts[0] != want[0] || parts[1] != want[1] {
		t.Errorf("%q, not %q", parts, want)
	}
}
