package pipeline

import (
	"context"
	"path/filepath"

	"vedette/capture"
	"vedette/cmd/vedette/internal/lives"
	"vedette/track"
)

// livesFile is in the state directory.
const livesFile = "open-objects"

// openLives reads which objects were open when the service was last cut off. What is not the service itself, as a demonstration,
// keeps nothing on disk.
func (p *Pipeline) openLives() {
	if p.opts.Configuration == nil {
		return
	}
	p.lives, p.left = lives.Open(filepath.Join(p.opts.Config.StateDir, livesFile), p.opts.Logger)
}

// publishEvent hands an event to the outbox, and notes it.
func (p *Pipeline) publishEvent(camera, id, kind string, encode func(dst []byte, epoch string, seq uint64) []byte) {
	var text []byte
	p.mqtt.PublishEvent(p.topics.Events(camera), func(dst []byte, epoch string, seq uint64) []byte {
		start := len(dst)
		dst = encode(dst, epoch, seq)
		text = append(text, dst[start:]...)
		return dst
	})
	if p.lives != nil && len(text) > 0 {
		p.lives.Note(id, kind, text)
	}
}

// endLeft ends what was open when the service was last cut off. First it sends again what the outbox may have lost with it.
func (p *Pipeline) endLeft() {
	for _, m := range p.left.Again {
		if capture.ValidateName(m.Camera) != nil {
			continue
		}
		p.mqtt.PublishEvent(p.topics.Events(m.Camera), func(dst []byte, _ string, _ uint64) []byte { return append(dst, m.Text...) })
	}
	ended := 0
	for _, m := range p.left.Open {
		end, err := lives.EndOf(m.Text, string(track.Restarted))
		if err == nil {
			err = capture.ValidateName(m.Camera)
		}
		if err != nil {
			p.opts.Logger.Error("an object that was open has no end", "object", m.ID, "error", err)
			continue
		}
		p.publishEvent(m.Camera, m.ID, string(track.TypeEnd), end)
		ended++
	}
	if ended > 0 {
		p.opts.Logger.Info("objects that were open when the service was cut off have ended", "objects", ended)
	}
	p.left = lives.Left{}
}

func (p *Pipeline) runLives(ctx context.Context) error {
	if p.lives == nil {
		return nil
	}
	return p.lives.Run(ctx)
}
