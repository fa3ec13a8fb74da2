package envelope

// JSON from clients, read strictly (decoder): no object has a member twice, since a reader of
// the first one and a reader of the last one would see two requests in it; no number and no
// list is longer than anybody means. A skipped value isn't decoded. Reading takes little more memory
// than its result.

import (
	"encoding/json"
	"strings"

	"stoa/gateway/refusal"
)

const (
	// maxNumber is how many characters a number may have: a decimal of 34 digits has room.
	maxNumber = 100

	// maxList is how many elements a list may have. The schema's take a hundred at most.
	maxList = 1000
)

// decoder reads one JSON text. Bound has bounded its nesting.
type decoder struct {
	text []byte
	at   int
}

// errSyntax is the error for invalid JSON; explain finds the position.
var errSyntax = refusal.New(refusal.BadRequest, "this is no valid JSON")

func (d *decoder) space() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// take takes c after any space, if it comes next.
func (d *decoder) take(c byte) bool {
	d.space()
	if d.at < len(d.text) && d.text[d.at] == c {
		d.at++
		return true
	}
	return false
}

// ended says whether nothing is left but space.
func (d *decoder) ended() bool {
	d.space()
	return d.at == len(d.text)
}

// members reads an object and calls read for each of its members, to read or skip the value.
func (d *decoder) members(read func(name string) error) error {
	if !d.take('{') {
		return errSyntax
	}
	if d.take('}') {
		return nil
	}
	for {
		d.space()
		name, err := d.string()
		if err != nil {
			return err
		}
		if !d.take(':') {
			return errSyntax
		}
		if err := read(name); err != nil {
			return err
		}
		switch {
		case d.take(','):
		case d.take('}'):
			return nil
		default:
			return errSyntax
		}
	}
}

// elements reads a list and calls read for each of its elements.
func (d *decoder) elements(read func() error) error {
	if !d.take('[') {
		return errSyntax
	}
	if d.take(']') {
		return nil
	}
	for n := 1; ; n++ {
		if n > maxList {
			return refusal.New(refusal.PayloadTooLarge, "a list has more than %d elements", maxList)
		}
		if err := read(); err != nil {
			return err
		}
		switch {
		case d.take(','):
		case d.take(']'):
			return nil
		default:
			return errSyntax
		}
	}
}

// value reads the next value: nil, bool, json.Number, string, []any or map[string]any.
func (d *decoder) value() (any, error) {
	d.space()
	if d.at == len(d.text) {
		return nil, errSyntax
	}
	switch c := d.text[d.at]; {
	case c == '{':
		object := map[string]any{}
		err := d.members(func(name string) error {
			if _, twice := object[name]; twice {
				return refusal.New(refusal.BadRequest, "an object has %q twice", refusal.ClipName(name))
			}
			value, err := d.value()
			object[name] = value
			return err
		})
		return object, err
	case c == '[':
		list := []any{}
		err := d.elements(func() error {
			value, err := d.value()
			list = append(list, value)
			return err
		})
		return list, err
	case c == '"':
		text, err := d.string()
		return text, err
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	default:
		for word, value := range map[string]any{"null": nil, "true": true, "false": false} {
			if rest := d.text[d.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
				d.at += len(word)
				return value, nil
			}
		}
		return nil, errSyntax
	}
}

// skip reads the next value and forgets it.
func (d *decoder) skip() error {
	d.space()
	if d.at == len(d.text) {
		return errSyntax
	}
	switch d.text[d.at] {
	case '{':
		return d.members(func(string) error { return d.skip() })
	case '[':
		return d.elements(d.skip)
	case '"':
		text, err := d.literal()
		if err == nil && hasEscape(text) && !json.Valid(text) {
			return errSyntax
		}
		return err
	default:
		_, err := d.value()
		return err
	}
}

// literal reads a string and returns it as it is written, with its quotes.
func (d *decoder) literal() (text []byte, err error) {
	start := d.at
	if d.at == len(d.text) || d.text[d.at] != '"' {
		return nil, errSyntax
	}
	for d.at++; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			return d.text[start:d.at], nil
		case c == '\\':
			d.at++
		case c < ' ':
			return nil, errSyntax
		}
	}
	return nil, errSyntax
}

func (d *decoder) string() (string, error) {
	text, err := d.literal()
	if err != nil {
		return "", err
	}
	if inner := text[1 : len(text)-1]; !hasEscape(inner) {
		return string(inner), nil
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return "", errSyntax
	}
	return s, nil
}

func hasEscape(text []byte) bool {
	for _, c := range text {
		if c == '\\' {
			return true
		}
	}
	return false
}

// number reads a number as it is written, so that none loses a digit.
func (d *decoder) number() (json.Number, error) {
	start := d.at
	for d.at < len(d.text) && d.at-start <= maxNumber && strings.IndexByte("+-.eE0123456789", d.text[d.at]) >= 0 {
		d.at++
	}
	text := d.text[start:d.at]
	if len(text) > maxNumber {
		return "", refusal.New(refusal.BadRequest, "a number has more than %d characters", maxNumber)
	}
	if !json.Valid(text) {
		return "", errSyntax
	}
	return json.Number(text), nil
}
