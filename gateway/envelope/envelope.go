// Package envelope is the content of a GraphQL request: the document, one of its operations, the
// variables. Parse reads it from a JSON object, such as the body of a POST, and ParseAddress from
// the parameters of a GET. It reads strictly, within bounds, and knows nothing of HTTP.
//
// It may import refusal.
package envelope

// This file has the envelope itself. json.go reads JSON.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"stoa/gateway/refusal"
)

// Envelope is the content of a request.
type Envelope struct {
	Query         string // the document; "" if only its id was given
	ID            string // of the document; "" if only its text was given
	OperationName string // "" when it wasn't given
	Variables     map[string]any
	Extensions    map[string]any

	documentID string // as it was given: see resolveID
	relayID    any    // likewise, and used only if nothing else names the document
}

const (
	// MaxJSONNesting is how deep arrays and objects may lie in one another. Inputs nest a
	// handful deep; the reader of variables recurses once per level.
	MaxJSONNesting = 64

	// maxJSONValues is how many elements and members a body may have in all. Decoded, the
	// costliest take 350 bytes each for 7 in the body, so that this bounds them to 4 MB.
	maxJSONValues = 10_000

	// HashPrefix marks a documentId that is the SHA-256 of its text (GraphQL over HTTP,
	// appendix "Persisted Documents"). Every place of a hash takes it, and does without.
	HashPrefix = "sha256:"
)

// Examples of valid requests, for messages.
const (
	exampleBody    = `{"query": "{ __typename }"}`
	exampleAddress = "/graphql?query={__typename}"
)

// Parse reads a POST's body: one JSON object in UTF-8, without duplicate members. Unknown
// members are ignored, since the specification reserves them for its own future; they are
// named if the query is missing, in case one is a misspelling.
func Parse(body []byte) (*Envelope, error) {
	if err := check(body); err != nil {
		return nil, err
	}
	d := &decoder{text: body}
	e := &Envelope{}
	seen := map[string]bool{}
	var unknown []string
	err := d.members(func(name string) error {
		if seen[name] {
			return refusal.New(refusal.BadRequest, "the body has %q twice", refusal.ClipName(name))
		}
		seen[name] = true
		if !e.hasMember(name) {
			if len(unknown) < 5 {
				unknown = append(unknown, refusal.ClipName(name))
			}
			return d.skip()
		}
		value, err := d.value()
		if err != nil {
			return err
		}
		return e.set(name, value)
	})
	switch {
	case err != nil:
		return nil, d.explain(err)
	case !d.ended():
		return nil, d.goesOn()
	}
	if err := e.resolveID(); err != nil {
		return nil, err
	}
	if e.Query != "" || e.ID != "" {
		return e, nil
	}
	if len(unknown) > 0 {
		return nil, refusal.New(refusal.BadRequest, "query is missing; there is %s", strings.Join(unknown, ", "))
	}
	return nil, refusal.New(refusal.BadRequest, "query is missing: send an object such as %s", exampleBody)
}

// resolveID finds the document's id in the places that clients use: extensions.persistedQuery
// (Apollo's automatic persisted queries), documentId (GraphQL over HTTP), or, if there is
// neither of these nor a text, doc_id or id (Relay's).
func (e *Envelope) resolveID() error {
	hash, err := persistedHash(e.Extensions["persistedQuery"])
	if err != nil {
		return err
	}
	id, err := withoutPrefix("documentId", e.documentID)
	if err != nil {
		return err
	}
	switch {
	case hash != "" && id != "" && hash != id:
		return refusal.New(refusal.BadRequest, "documentId and extensions.persistedQuery name two documents")
	case hash != "":
		e.ID = hash
	case id != "":
		e.ID = id
	case e.Query == "":
		if id, err = asString("the document's id", e.relayID); err == nil {
			e.ID, err = withoutPrefix("the document's id", id)
		}
	}
	return err
}

// withoutPrefix returns an id without HashPrefix; an error if the rest then isn't a hash.
func withoutPrefix(name, id string) (string, error) {
	hash, prefixed := strings.CutPrefix(id, HashPrefix)
	if prefixed && !IsHash(hash) {
		return "", refusal.New(refusal.BadRequest, "%s %q isn't a SHA-256: after %q come 64 hexadecimal digits in lower case", name, refusal.ClipName(id), HashPrefix)
	}
	return hash, nil
}

// persistedHash returns the hash in extensions.persistedQuery; "" if there is none.
func persistedHash(value any) (string, error) {
	persisted, err := asObject("extensions.persistedQuery", value)
	if persisted == nil {
		return "", err
	}
	if version, _ := persisted["version"].(json.Number); version != "1" {
		return "", refusal.New(refusal.BadRequest, "extensions.persistedQuery.version must be the number 1")
	}
	hash, err := asString("extensions.persistedQuery.sha256Hash", persisted["sha256Hash"])
	if err != nil {
		return "", err
	}
	if hash == "" {
		return "", refusal.New(refusal.BadRequest, "extensions.persistedQuery.sha256Hash is missing: it is the SHA-256 of the document's text")
	}
	return withoutPrefix("extensions.persistedQuery.sha256Hash", hash)
}

// IsHash says whether id is of the form of a hash of document.HashOf.
func IsHash(id string) bool {
	if len(id) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hasMember says whether a member of this name is the specification's, or names a document.
func (e *Envelope) hasMember(name string) bool {
	switch name {
	case "query", "operationName", "variables", "extensions", "documentId", "doc_id", "id":
		return true
	}
	return false
}

// set takes one member of the body.
func (e *Envelope) set(name string, value any) (err error) {
	switch name {
	case "query":
		e.Query, err = asString(name, value)
	case "operationName":
		e.OperationName, err = asString(name, value)
	case "variables":
		e.Variables, err = asObject(name, value)
	case "extensions":
		e.Extensions, err = asObject(name, value)
	case "documentId":
		e.documentID, err = asString(name, value)
	case "doc_id":
		e.relayID = value
	case "id":
		if e.relayID == nil {
			e.relayID = value
		}
	}
	return err
}

func asString(name string, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case nil:
		return "", nil
	default:
		return "", refusal.New(refusal.BadRequest, "%s must be a string, not %s", name, KindOf(value))
	}
}

func asObject(name string, value any) (map[string]any, error) {
	switch value := value.(type) {
	case map[string]any:
		return value, nil
	case nil:
		return nil, nil // null and absent are the same here
	default:
		return nil, refusal.New(refusal.BadRequest, "%s must be an object or null, not %s", name, KindOf(value))
	}
}

// KindOf names the kind of a JSON value with an article, for messages: "a string".
func KindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "the number " + refusal.ClipName(string(value))
	case string:
		return "a string"
	case []any:
		return "a list"
	case graphql.Upload:
		return "a file"
	default:
		return "an object"
	}
}

// explained is how much of a body is read again to explain its fault, in bytes. A longer one is a
// program's, and has its fault where the decoder stopped.
const explained = 16 << 10

// explain returns the error for a body that the decoder rejected with err.
func (d *decoder) explain(err error) error {
	if err != errSyntax {
		return err
	}
	if d.at >= len(d.text) {
		return refusal.New(refusal.BadRequest, "the body is no valid JSON: it ends in the middle")
	}
	var syntax *json.SyntaxError
	if len(d.text) <= explained && errors.As(json.Unmarshal(d.text, new(json.RawMessage)), &syntax) {
		if syntax.Error() == "unexpected end of JSON input" {
			return refusal.New(refusal.BadRequest, "the body is no valid JSON: it ends in the middle")
		}
		return refusal.New(refusal.BadRequest, "the body is no valid JSON: %s, byte %d, counted from 1", syntax, syntax.Offset)
	}
	return refusal.New(refusal.BadRequest, "the body is no valid JSON, byte %d, counted from 1", d.at+1)
}

// goesOn returns the error for a body that the decoder didn't read to its end.
func (d *decoder) goesOn() error {
	return refusal.New(refusal.BadRequest, "the body goes on after its JSON object, at byte %d", d.at)
}

// check refuses a body that is wrong at first sight, before memory is spent on decoding it.
func check(body []byte) error {
	start := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(start) == 0:
		return refusal.New(refusal.BadRequest, "the body is empty: send an object such as %s", exampleBody)
	case start[0] == '[':
		return refusal.New(refusal.BadRequest, "several requests in one array aren't taken: send each as an object of its own")
	case bytes.HasPrefix(start, []byte("\uFEFF")):
		return refusal.New(refusal.BadRequest, "the body begins with a byte order mark: send UTF-8 without one")
	case start[0] != '{':
		return refusal.New(refusal.BadRequest, "the body must be a JSON object such as %s", exampleBody)
	case !utf8.Valid(body):
		return refusal.New(refusal.BadRequest, "the body isn't UTF-8")
	}
	return Bound(body)
}

// Bound refuses JSON that nests too deep or has too many values. It counts
// separators, so that broken JSON is left to the decoder.
func Bound(text []byte) error {
	depth, values, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
			values++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			values++
		}
		if depth > MaxJSONNesting {
			return refusal.New(refusal.BadRequest, "arrays and objects nest deeper than %d at byte %d", MaxJSONNesting, i)
		}
		if values > maxJSONValues {
			return refusal.New(refusal.PayloadTooLarge, "there are more than %d values", maxJSONValues)
		}
	}
	return nil
}

// ParseAddress reads a GET's envelope. Parameters that the specification doesn't know are
// ignored: addresses gather them on their way.
func ParseAddress(query string) (*Envelope, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, refusal.New(refusal.BadRequest, "the address's parameters can't be read: %s", err)
	}
	e := &Envelope{}
	for _, name := range []string{"query", "operationName", "variables", "extensions", "documentId", "doc_id", "id"} {
		given := values[name]
		if name == "doc_id" || name == "id" {
			// Addresses contain parameters of many programs; these count only if nothing else
			// names the document.
			if e.Query != "" || e.documentID != "" || e.Extensions["persistedQuery"] != nil {
				continue
			}
		}
		if len(given) > 1 {
			return nil, refusal.New(refusal.BadRequest, "the address has %s %d times", name, len(given))
		}
		if len(given) == 0 || given[0] == "" {
			continue
		}
		if !utf8.ValidString(given[0]) {
			return nil, refusal.New(refusal.BadRequest, "%s isn't UTF-8", name)
		}
		// The copy lets go of the whole address, since the value may be a part of it.
		var value any = strings.Clone(given[0])
		var err error
		if name == "variables" || name == "extensions" {
			value, err = ParseParameter(name, given[0])
		}
		if err != nil {
			return nil, err
		}
		if err := e.set(name, value); err != nil {
			return nil, err
		}
	}
	if err := e.resolveID(); err != nil {
		return nil, err
	}
	if e.Query == "" && e.ID == "" {
		return nil, refusal.New(refusal.BadRequest, "query is missing: ask for %s, or POST an object such as %s", exampleAddress, exampleBody)
	}
	return e, nil
}

// NamesDocument says whether an address could be a request's.
func NamesDocument(values url.Values) bool {
	return values.Has("query") || values.Has("extensions") || values.Has("documentId") || values.Has("doc_id") || values.Has("id")
}

// ParseParameter reads a parameter that is JSON.
func ParseParameter(name, text string) (any, error) {
	if err := Bound([]byte(text)); err != nil {
		return nil, err
	}
	d := &decoder{text: []byte(text)}
	value, err := d.value()
	switch {
	case err == errSyntax:
		return nil, refusal.New(refusal.BadRequest, "%s is no valid JSON", name)
	case err != nil:
		return nil, err
	case !d.ended():
		return nil, refusal.New(refusal.BadRequest, "%s goes on after its JSON object", name)
	}
	return value, nil
}
