package envelope

// A message of graphql-transport-ws: an object around the envelope of an operation. Entry point:
// ParseMessage.

import "stoa/gateway/refusal"

// Message is a message of a client.
type Message struct {
	ID, Type string
	Payload  []byte // JSON, not yet decoded; a part of the text. Nil if it has none
}

// ParseMessage reads a message as strictly as Parse reads a body. The payload is checked to be JSON,
// but not for members that occur twice in it. The error speaks of the body.
func ParseMessage(text []byte) (Message, error) {
	if err := check(text); err != nil {
		return Message{}, err
	}
	d, m, seen := &decoder{text: text}, Message{}, map[string]bool{}
	err := d.members(func(name string) (err error) {
		if seen[name] {
			return refusal.New(refusal.BadRequest, "the body has %q twice", refusal.ClipName(name))
		}
		seen[name] = true
		switch name {
		case "id":
			m.ID, err = d.stringOf(name)
		case "type":
			m.Type, err = d.stringOf(name)
		case "payload":
			d.space()
			start := d.at
			err = d.skip()
			m.Payload = text[start:d.at]
		default:
			err = d.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return Message{}, d.explain(err)
	case !d.ended():
		return Message{}, d.goesOn()
	}
	return m, nil
}

// stringOf reads the string that a member is, or null.
func (d *decoder) stringOf(name string) (string, error) {
	value, err := d.value()
	if err != nil {
		return "", err
	}
	return asString("the body's "+name, value)
}
