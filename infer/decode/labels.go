package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on the labels that a model's metadata may bring: more would not fit into the worker's first message, whose
// 64 KiB they share with little else.
const (
	maxLabels     = 2000
	maxLabelBytes = 256
	maxLabelsText = 48 << 10 // bytes
)

// parseLabels reads a list of labels: JSON's ["person", …], or what Python prints for a list or for a dict with the
// classes as keys, {0: 'person', …}, which must be 0 to n-1 in any order.
func parseLabels(text string) ([]string, error) {
	if len(text) > maxLabelsText {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxLabelsText)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var labels []string
	if err := json.Unmarshal([]byte(text), &labels); err != nil {
		p := labelParser{text: text}
		if labels, err = p.parse(); err != nil {
			return nil, fmt.Errorf("at byte %d: %w", p.at, err)
		}
	}
	if len(labels) == 0 || len(labels) > maxLabels {
		return nil, fmt.Errorf("%d labels are outside 1 to %d", len(labels), maxLabels)
	}
	for class, label := range labels {
		if label == "" || len(label) > maxLabelBytes {
			return nil, fmt.Errorf("label %d has %d bytes, outside 1 to %d", class, len(label), maxLabelBytes)
		}
		if strings.ContainsFunc(label, unicode.IsControl) {
			return nil, fmt.Errorf("label %d, %q, has a control character", class, label)
		}
	}
	return labels, nil
}

// labelParser reads Python's literals, as far as labels need them.
type labelParser struct {
	text string
	at   int // the next byte
}

func (p *labelParser) parse() ([]string, error) {
	p.space()
	var labels []string
	var err error
	switch {
	case p.take('['):
		labels, err = p.list()
	case p.take('{'):
		labels, err = p.dict()
	default:
		return nil, errors.New("a list or a dict is expected")
	}
	if err != nil {
		return nil, err
	}
	if p.space(); p.at != len(p.text) {
		return nil, errors.New("nothing more is expected")
	}
	return labels, nil
}

// items calls item for each comma-separated item up to the end mark; a trailing comma is Python's custom.
func (p *labelParser) items(end byte, item func() error) error {
	for n := 0; ; n++ {
		p.space()
		if p.take(end) {
			return nil
		}
		if n == maxLabels {
			return fmt.Errorf("more than %d labels", maxLabels)
		}
		if err := item(); err != nil {
			return err
		}
		p.space()
		if p.take(end) {
			return nil
		}
		if !p.take(',') {
			return fmt.Errorf("a comma or %q is expected", end)
		}
	}
}

func (p *labelParser) list() (labels []string, err error) {
	err = p.items(']', func() error {
		label, err := p.str()
		labels = append(labels, label)
		return err
	})
	return labels, err
}

func (p *labelParser) dict() ([]string, error) {
	byClass := map[int]string{}
	err := p.items('}', func() error {
		class, err := p.key()
		if err != nil {
			return err
		}
		if _, twice := byClass[class]; twice {
			return fmt.Errorf("class %d is named twice", class)
		}
		p.space()
		if !p.take(':') {
			return errors.New("a colon is expected")
		}
		p.space()
		byClass[class], err = p.str()
		return err
	})
	if err != nil {
		return nil, err
	}
	labels := make([]string, len(byClass))
	for class, label := range byClass {
		if class >= len(labels) {
			return nil, fmt.Errorf("class %d is named, and there are only %d labels", class, len(labels))
		}
		labels[class] = label
	}
	return labels, nil
}

// key reads a class number, bare or (as JSON must) in quotes.
func (p *labelParser) key() (int, error) {
	var digits string
	if p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
		var err error
		if digits, err = p.str(); err != nil {
			return 0, err
		}
	} else {
		start := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		digits = p.text[start:p.at]
	}
	class, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a class number", digits)
	}
	return int(class), nil
}

// str reads a string in either kind of quotes.
func (p *labelParser) str() (string, error) {
	if p.at >= len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\'' {
		return "", errors.New("a string in quotes is expected")
	}
	quote := p.text[p.at]
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		if c == quote {
			p.at++
			return b.String(), nil
		}
		if c != '\\' {
			b.WriteByte(c)
			p.at++
			continue
		}
		// Python and Go agree on these escapes; the quotes are unquoted as themselves.
		r, _, rest, err := strconv.UnquoteChar(p.text[p.at:min(p.at+10, len(p.text))], quote)
		if err != nil {
			return "", errors.New("an escape is not understood")
		}
		b.WriteRune(r)
		p.at = min(p.at+10, len(p.text)) - len(rest)
	}
	return "", errors.New("a string does not end")
}

func (p *labelParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *labelParser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}
