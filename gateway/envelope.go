package gateway

// The envelope: which document, which of its operations, with which variables. A POST has it
// as a JSON object in its body (readBody and parseEnvelope), a GET in its address
// (parseAddress). The document is there as a text or by an id (envelope.settle).

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
)

// envelope is what a request asks for.
type envelope struct {
	query         string // the document; "" where only its id was given
	id            string // what it is known by; "" where only its text was given
	operationName string // "" when it wasn't given
	variables     map[string]any
	extensions    map[string]any

	documentID string // as it was given: see settle
	relayID    any    // so, too, and looked at only where nothing else says which document
}

const (
	// maxJSONNesting is how deep arrays and objects may lie in one another. Inputs nest a
	// handful deep; what reads variables recurses once per level.
	maxJSONNesting = 64

	// maxJSONValues is how many elements and members a body may have in all. Decoded, the
	// costliest take 350 bytes each for 7 in the body, so that this bounds them to 4 MB.
	maxJSONValues = 10_000
)

// readAtOnce is up to which size memory is given to a body before it has come, in bytes.
const readAtOnce = 4 << 10

const exampleBody = `{"query": "{ __typename }"}`

// readEnvelope reads r's envelope from where its method has it.
func (g *Gateway) readEnvelope(w http.ResponseWriter, r *http.Request, began time.Time) (*envelope, error) {
	if r.Method != http.MethodPost {
		return parseAddress(r.URL.RawQuery)
	}
	body := g.buffers.get()
	defer g.buffers.put(body)
	if err := g.takeBody(w, r, body, began); err != nil {
		return nil, err
	}
	goOnReading(w)
	return parseEnvelope(body.Bytes())
}

// checkContent refuses what isn't plain JSON in UTF-8. Forms are refused with the rest: a
// page of another site can send them with a visitor's cookies and without asking first.
func checkContent(h http.Header) error {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return refusef(codeUnsupportedMedia, "a POST says what its body is, once: Content-Type: application/json")
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != string(mediaJSON) {
		return refusef(codeUnsupportedMedia, "Content-Type %.100q isn't taken: send application/json, or multipart/form-data with files", types[0])
	}
	if charset, ok := params["charset"]; ok && !isUTF8(charset) {
		return refusef(codeUnsupportedMedia, "charset %.40q isn't taken: send UTF-8", charset)
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return refusef(codeUnsupportedMedia, "Content-Encoding %.40q isn't taken: send the body uncompressed", coding).with("Accept-Encoding", "identity")
	}
	return nil
}

// readBody reads r's body, no more of it than may be and no longer than until deadline, which
// goes on to hold for what is read of the connection: see goOnReading.
func (g *Gateway) readBody(deadline time.Time, w http.ResponseWriter, r *http.Request, into *bytes.Buffer) error {
	if r.ContentLength > g.maxBody {
		return bodyTooLarge(g.maxBody)
	}
	// Not every ResponseWriter has deadlines; one without has no slow sender either.
	_ = readDeadline(w).SetReadDeadline(deadline)
	var err error
	if n := int(r.ContentLength); n > 0 && n <= readAtOnce {
		into.Grow(n)
		read := into.AvailableBuffer()[:n]
		n, err = io.ReadFull(r.Body, read)
		into.Write(read[:n]) // where it lies already
	} else {
		_, err = into.ReadFrom(http.MaxBytesReader(w, r.Body, g.maxBody))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusef(codeRequestTimeout, "the body didn't arrive within %s: %d bytes of it had come", g.timeout, into.Len()).with("Connection", "close")
	default:
		return refusef(codeBadRequest, "the body ended before its end").with("Connection", "close")
	}
}

// goOnReading takes readBody's deadline back where net/http hasn't: it reads on to see the
// client leave, and would take the deadline's passing for that. A request that is answered at
// once needs it not.
func goOnReading(w http.ResponseWriter) { _ = readDeadline(w).SetReadDeadline(time.Time{}) }

// readDeadline is where the deadline for reading from w's connection is set.
func readDeadline(w http.ResponseWriter) interface{ SetReadDeadline(time.Time) error } {
	if has, ok := w.(interface{ SetReadDeadline(time.Time) error }); ok {
		return has
	}
	return http.NewResponseController(w)
}

func bodyTooLarge(limit int64) error {
	return refusef(codePayloadTooLarge, "the body is larger than the %d bytes that are taken", limit).with("Connection", "close")
}

// parseEnvelope reads a POST's body: one JSON object in UTF-8, each of its members once.
// Members that the specification doesn't know are ignored, since it keeps them for its own
// future; they are named where the query is missing, which a misspelling looks like.
func parseEnvelope(body []byte) (*envelope, error) {
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	d := &decoder{text: body}
	e := &envelope{}
	seen := map[string]bool{}
	var unknown []string
	err := d.members(func(name string) error {
		if seen[name] {
			return refusef(codeBadRequest, "the body has %q twice", clipName(name))
		}
		seen[name] = true
		if !e.knows(name) {
			if len(unknown) < 5 {
				unknown = append(unknown, clipName(name))
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
	case err == errSyntax:
		return nil, badJSON(body)
	case err != nil:
		return nil, err
	case !d.ended():
		return nil, refusef(codeBadRequest, "the body goes on after its JSON object, at byte %d", d.at)
	}
	if err := e.settle(); err != nil {
		return nil, err
	}
	if e.query != "" || e.id != "" {
		return e, nil
	}
	if len(unknown) > 0 {
		return nil, refusef(codeBadRequest, "query is missing; there is %s", strings.Join(unknown, ", "))
	}
	return nil, refusef(codeBadRequest, "query is missing: send an object such as %s", exampleBody)
}

// settle finds out the document's id from where clients put it: extensions.persistedQuery
// (Apollo's, by whose name there are automatic persisted queries), documentId (GraphQL over
// HTTP), or, where there is neither these nor a text, doc_id or id (Relay's).
func (e *envelope) settle() error {
	hash, err := persistedHash(e.extensions["persistedQuery"])
	if err != nil {
		return err
	}
	id, prefixed := strings.CutPrefix(e.documentID, hashPrefix)
	switch {
	case prefixed && !isHash(id):
		return refusef(codeBadRequest, "documentId %q isn't a SHA-256: after %q come 64 hexadecimal digits in lower case", clipName(e.documentID), hashPrefix)
	case hash != "" && id != "" && hash != id:
		return refusef(codeBadRequest, "documentId and extensions.persistedQuery name two documents")
	case hash != "":
		e.id = hash
	case id != "":
		e.id = id
	case e.query == "":
		id, err = asString("the document's id", e.relayID)
		e.id = strings.TrimPrefix(id, hashPrefix)
	}
	return err
}

// persistedHash returns the hash in extensions.persistedQuery; "" where there is none.
func persistedHash(value any) (string, error) {
	persisted, err := asObject("extensions.persistedQuery", value)
	if persisted == nil {
		return "", err
	}
	if version, _ := persisted["version"].(json.Number); version != "1" {
		return "", refusef(codeBadRequest, "extensions.persistedQuery.version must be the number 1")
	}
	hash, err := asString("extensions.persistedQuery.sha256Hash", persisted["sha256Hash"])
	if err == nil && hash == "" {
		err = refusef(codeBadRequest, "extensions.persistedQuery.sha256Hash is missing: it is the SHA-256 of the document's text")
	}
	return hash, err
}

// knows says whether a member of this name is the specification's, or names a document.
func (e *envelope) knows(name string) bool {
	switch name {
	case "query", "operationName", "variables", "extensions", "documentId", "doc_id", "id":
		return true
	}
	return false
}

// set takes one member of the body.
func (e *envelope) set(name string, value any) (err error) {
	switch name {
	case "query":
		e.query, err = asString(name, value)
	case "operationName":
		e.operationName, err = asString(name, value)
	case "variables":
		e.variables, err = asObject(name, value)
	case "extensions":
		e.extensions, err = asObject(name, value)
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
		return "", refusef(codeBadRequest, "%s must be a string, not %s", name, kindOf(value))
	}
}

func asObject(name string, value any) (map[string]any, error) {
	switch value := value.(type) {
	case map[string]any:
		return value, nil
	case nil:
		return nil, nil // null and absent are the same here
	default:
		return nil, refusef(codeBadRequest, "%s must be an object or null, not %s", name, kindOf(value))
	}
}

// kindOf names what JSON value was sent, for a sentence.
func kindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "the number " + clipName(string(value))
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

// clipName cuts a name or number of the client's, of which 40 bytes say enough.
func clipName(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// badJSON says what is wrong with a body that the decoder has stopped in.
func badJSON(body []byte) error {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(json.RawMessage)); !errors.As(err, &syntax) {
		return refusef(codeBadRequest, "the body is no valid JSON")
	}
	if syntax.Error() == "unexpected end of JSON input" {
		return refusef(codeBadRequest, "the body is no valid JSON: it ends in the middle")
	}
	return refusef(codeBadRequest, "the body is no valid JSON: %s, byte %d, counted from 1", syntax, syntax.Offset)
}

// checkJSON refuses a body for what shows without decoding it, before memory is spent on it.
func checkJSON(body []byte) error {
	start := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(start) == 0:
		return refusef(codeBadRequest, "the body is empty: send an object such as %s", exampleBody)
	case start[0] == '[':
		return refusef(codeBadRequest, "several requests in one array aren't taken: send each as an object of its own")
	case bytes.HasPrefix(start, []byte("\uFEFF")):
		return refusef(codeBadRequest, "the body begins with a byte order mark: send UTF-8 without one")
	case start[0] != '{':
		return refusef(codeBadRequest, "the body must be a JSON object such as %s", exampleBody)
	case !utf8.Valid(body):
		return refusef(codeBadRequest, "the body isn't UTF-8")
	}
	return boundJSON(body)
}

// boundJSON refuses what nests too deep or has too many values. It counts what separates
// them, so that broken JSON is left to the decoder.
func boundJSON(text []byte) error {
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
		if depth > maxJSONNesting {
			return refusef(codeBadRequest, "arrays and objects nest deeper than %d at byte %d", maxJSONNesting, i)
		}
		if values > maxJSONValues {
			return refusef(codePayloadTooLarge, "there are more than %d values", maxJSONValues)
		}
	}
	return nil
}

// parseAddress reads a GET's envelope. Parameters that the specification doesn't know are
// ignored: addresses gather them on their way.
func parseAddress(query string) (*envelope, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, refusef(codeBadRequest, "the address's parameters can't be read: %s", err)
	}
	e := &envelope{}
	for _, name := range []string{"query", "operationName", "variables", "extensions", "documentId", "doc_id", "id"} {
		given := values[name]
		if name == "doc_id" || name == "id" {
			// Addresses gather ids of all kinds; these count where nothing else says which document.
			if e.query != "" || e.documentID != "" || e.extensions["persistedQuery"] != nil {
				continue
			}
		}
		if len(given) > 1 {
			return nil, refusef(codeBadRequest, "the address has %s %d times", name, len(given))
		}
		if len(given) == 0 || given[0] == "" {
			continue
		}
		if !utf8.ValidString(given[0]) {
			return nil, refusef(codeBadRequest, "%s isn't UTF-8", name)
		}
		// The copy lets go of the whole address, of which the value may be a part.
		var value any = strings.Clone(given[0])
		var err error
		if name == "variables" || name == "extensions" {
			value, err = parseParameter(name, given[0])
		}
		if err != nil {
			return nil, err
		}
		if err := e.set(name, value); err != nil {
			return nil, err
		}
	}
	if err := e.settle(); err != nil {
		return nil, err
	}
	if e.query == "" && e.id == "" {
		return nil, refusef(codeBadRequest, "query is missing: ask for %s?query={__typename}, or POST an object such as %s", graphqlPath, exampleBody)
	}
	return e, nil
}

// namesDocument says whether an address could be a request's.
func namesDocument(values url.Values) bool {
	return values.Has("query") || values.Has("extensions") || values.Has("documentId") || values.Has("doc_id") || values.Has("id")
}

// parseParameter reads a parameter that is JSON.
func parseParameter(name, text string) (any, error) {
	if err := boundJSON([]byte(text)); err != nil {
		return nil, err
	}
	d := &decoder{text: []byte(text)}
	value, err := d.value()
	switch {
	case err == errSyntax:
		return nil, refusef(codeBadRequest, "%s is no valid JSON", name)
	case err != nil:
		return nil, err
	case !d.ended():
		return nil, refusef(codeBadRequest, "%s goes on after its JSON object", name)
	}
	return value, nil
}
