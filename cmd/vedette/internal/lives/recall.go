package lives

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
)

// Left is what a life that was cut off has left.
type Left struct {
	// Again are the last messages, which the outbox may have lost: they are to be sent again as they are, with their own epoch
	// and seq, so that subscribers who have them know them.
	Again []Message
	// Open are the last messages of objects that have not ended: see EndOf.
	Open []Message
}

// Message is an event as it was published.
type Message struct {
	Camera string
	ID     string
	Text   []byte
}

// head is what is read of a message.
type head struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Camera string `json:"camera"`
}

// Open reads what was left. A file that cannot be read is said in the log, and what it had is not ended.
func Open(path string, logger *slog.Logger) (*Journal, Left) {
	j := &Journal{path: path, logger: logger, wake: make(chan struct{}, 1), open: map[string]line{}}
	text, err := readBounded(path)
	if err != nil {
		logger.Error("objects that were open when the service was last killed will have no end", "error", err)
		return j, Left{}
	}
	if len(text) > 0 { // its last line may be torn: what comes next must not be glued to it. And its marks are to follow
		j.waiting, j.recent = []byte("\n"), []byte("\n")
	}
	return j, j.recall(text)
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the open objects: %w", err)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("cannot read the open objects: %s has more than %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the open objects: %w", err)
	}
	return text, nil
}

// recall goes through the file. Lines that are torn or damaged are passed over.
func (j *Journal) recall(text []byte) (left Left) {
	var sinceLast []Message // the last mark
	damaged := 0
	for raw := range bytes.Lines(text) {
		switch string(raw) {
		case mark:
			left.Again, sinceLast = sinceLast, nil
			continue
		case "\n": // where another life began
			continue
		}
		message, whole := bytes.CutSuffix(raw, []byte("\n"))
		var h head
		if !whole || len(raw) > maxLine || json.Unmarshal(message, &h) != nil || h.ID == "" || h.Camera == "" {
			damaged++
			continue
		}
		m := Message{h.Camera, h.ID, slices.Clone(message)}
		j.note(h.Type, m)
		sinceLast = append(sinceLast, m)
	}
	if damaged > 0 {
		j.logger.Warn("lines of the open objects' file are damaged", "lines", damaged, "path", j.path)
	}
	left.Again = append(left.Again, sinceLast...)
	for _, l := range j.inOrder() { // each once, though a file that was written anew may have it twice
		left.Open = append(left.Open, l.Message)
	}
	return left
}
