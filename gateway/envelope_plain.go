package gateway

// Most bodies are plain: a query, an operation's name and variables, each once. plainEnvelope
// reads those without the decoder that tells what is wrong with all others, which costs a
// dozen allocations and a copy of the body.

import (
	"bytes"
	"encoding/json"
)

// plainEnvelope reads a body that checkJSON has passed; ok is false for what parseEnvelope
// has to look at closely, to read it or to refuse it.
func plainEnvelope(body []byte) (e *envelope, ok bool) {
	if !json.Valid(body) {
		return nil, false
	}
	e = &envelope{}
	var seen struct{ query, operationName, variables bool }
	rest := bytes.TrimLeft(body, space)[1:] // the brace that checkJSON has seen
	for {
		rest = bytes.TrimLeft(rest, space+",")
		if rest[0] == '}' {
			return e, e.query != ""
		}
		name := value(rest)
		rest = bytes.TrimLeft(rest[len(name):], space+":")
		member := value(rest)
		rest = rest[len(member):]
		var first *bool
		switch string(name) {
		case `"query"`:
			first, ok = &seen.query, text(&e.query, member)
		case `"operationName"`:
			first, ok = &seen.operationName, string(member) == "null" || text(&e.operationName, member)
		case `"variables"`:
			first, ok = &seen.variables, object(&e.variables, member)
		default:
			return nil, false
		}
		if !ok || *first {
			return nil, false
		}
		*first = true
	}
}

const space = " \t\r\n"

// value returns the JSON value that valid JSON begins with.
func value(text []byte) []byte {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				if quoted = false; depth == 0 {
					return text[:i+1]
				}
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 { // of what the value is in
				return text[:i]
			}
			if depth--; depth == 0 {
				return text[:i+1]
			}
		case depth == 0 && (c == ',' || c == ':' || bytes.IndexByte([]byte(space), c) >= 0):
			return text[:i]
		}
	}
	return text
}

// text reads a string; false for what is none.
func text(into *string, value []byte) bool {
	if value[0] != '"' {
		return false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		*into = string(value[1 : len(value)-1])
		return true
	}
	return json.Unmarshal(value, into) == nil
}

// object reads an object or null; false for what is neither.
func object(into *map[string]any, value []byte) bool {
	if string(value) == "null" {
		return true
	}
	if value[0] != '{' {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	return decoder.Decode(into) == nil
}
