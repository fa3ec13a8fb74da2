package gateway

// The envelope: which document, which of its operations, with which variables. A POST has it
// as a JSON object in its body (readBody and parseEnvelope), a GET in its address
// (parseAddress).

import (
	"bytes"
	"context"
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
	query         string // the document; never empty
	operationName string // "" when it wasn't given
	variables     map[string]any
	extensions    map[string]any
}

const (
	// maxJSONNesting is how deep arrays and objects may lie in one another. Inputs nest a
	// handful deep; what reads variables recurses once per level.
	maxJSONNesting = 64

	// maxJSONValues is how many elements and members a body may have in all. Decoded, the
	// costliest take 350 bytes each for 7 in the body, so that this bounds them to 18 MB.
	maxJSONValues = 50_000
)

const exampleBody = `{"query": "{ __typename }"}`

// readEnvelope reads r's envelope from where its method has it. A body must have come by
// ctx's deadline.
func (g *Gateway) readEnvelope(ctx context.Context, w http.ResponseWriter, r *http.Request) (*envelope, *refusal) {
	if r.Method != http.MethodPost {
		return parseAddress(r.URL.RawQuery)
	}
	if no := checkContent(r.Header); no != nil {
		return nil, no
	}
	buffer := g.buffers.get()
	defer g.buffers.put(buffer)
	if no := g.readBody(ctx, w, r, buffer); no != nil {
		return nil, no
	}
	return parseEnvelope(buffer.Bytes())
}

// checkContent refuses what isn't plain JSON in UTF-8. Forms are refused with the rest: a
// page of another site can send them with a visitor's cookies and without asking first.
func checkContent(h http.Header) *refusal {
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

// readBody reads r's body, no more of it than may be and no longer than ctx lasts.
func (g *Gateway) readBody(ctx context.Context, w http.ResponseWriter, r *http.Request, into *bytes.Buffer) *refusal {
	if r.ContentLength > g.maxBody {
		return bodyTooLarge(g.maxBody)
	}
	// Not every ResponseWriter has deadlines; one without has no slow sender either. The
	// deadline is taken off again, since net/http goes on reading to see the client leave.
	connection := http.NewResponseController(w)
	if deadline, ok := ctx.Deadline(); ok && connection.SetReadDeadline(deadline) == nil {
		defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	}
	_, err := into.ReadFrom(http.MaxBytesReader(w, r.Body, g.maxBody))
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

func bodyTooLarge(limit int64) *refusal {
	return refusef(codePayloadTooLarge, "the body is larger than the %d bytes that are taken", limit).with("Connection", "close")
}

// parseEnvelope reads a POST's body: one JSON object in UTF-8, each of its members once.
// Members that the specification doesn't know are ignored, since it keeps them for its own
// future; they are named where the query is missing, which a misspelling looks like.
func parseEnvelope(body []byte) (*envelope, *refusal) {
	if no := checkJSON(body); no != nil {
		return nil, no
	}
	if e, ok := plainEnvelope(body); ok {
		return e, nil
	}
	return closeEnvelope(body)
}

// closeEnvelope is parseEnvelope for what isn't plain.
func closeEnvelope(body []byte) (*envelope, *refusal) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil { // the brace that checkJSON has seen
		return nil, badJSON(body, err)
	}
	e := &envelope{}
	seen := map[string]bool{}
	var unknown []string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, badJSON(body, err)
		}
		name, _ := token.(string) // a key: the decoder takes nothing else here
		if seen[name] {
			return nil, refusef(codeBadRequest, "the body has %.40q twice", name)
		}
		seen[name] = true
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, badJSON(body, err)
		}
		known, no := e.set(name, value)
		if no != nil {
			return nil, no
		}
		if !known && len(unknown) < 5 {
			unknown = append(unknown, clipName(name))
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, badJSON(body, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refusef(codeBadRequest, "the body goes on after its JSON object, at byte %d", decoder.InputOffset())
	}
	if e.query != "" {
		return e, nil
	}
	if len(unknown) > 0 {
		return nil, refusef(codeBadRequest, "query is missing; there is %s", strings.Join(unknown, ", "))
	}
	return nil, refusef(codeBadRequest, "query is missing: send an object such as %s", exampleBody)
}

// set takes one member of the body, and says whether the specification knows it.
func (e *envelope) set(name string, value any) (known bool, no *refusal) {
	switch name {
	case "query":
		e.query, no = asString(name, value)
	case "operationName":
		e.operationName, no = asString(name, value)
	case "variables":
		e.variables, no = asObject(name, value)
	case "extensions":
		e.extensions, no = asObject(name, value)
	default:
		return false, nil
	}
	return true, no
}

func asString(name string, value any) (string, *refusal) {
	switch value := value.(type) {
	case string:
		return value, nil
	case nil:
		return "", nil
	default:
		return "", refusef(codeBadRequest, "%s must be a string, not %s", name, kindOf(value))
	}
}

func asObject(name string, value any) (map[string]any, *refusal) {
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

// badJSON says what is wrong with a body that the decoder has stopped in. It is read once
// more, since the decoder counts bytes within a member.
func badJSON(body []byte, err error) *refusal {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refusef(codeBadRequest, "the body is no valid JSON: it ends in the middle")
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(json.RawMessage)); !errors.As(err, &syntax) {
		return refusef(codeBadRequest, "the body is no valid JSON")
	}
	return refusef(codeBadRequest, "the body is no valid JSON: %s, byte %d, counted from 1", syntax, syntax.Offset)
}

// checkJSON refuses a body for what shows without decoding it, before memory is spent on it.
func checkJSON(body []byte) *refusal {
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
func boundJSON(text []byte) *refusal {
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
func parseAddress(query string) (*envelope, *refusal) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, refusef(codeBadRequest, "the address's parameters can't be read: %s", err)
	}
	e := &envelope{}
	for _, name := range []string{"query", "operationName", "variables", "extensions"} {
		given := values[name]
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
		var no *refusal
		if name == "variables" || name == "extensions" {
			value, no = parseParameter(name, given[0])
		}
		if no != nil {
			return nil, no
		}
		if _, no := e.set(name, value); no != nil {
			return nil, no
		}
	}
	if e.query == "" {
		return nil, refusef(codeBadRequest, "query is missing: ask for %s?query={__typename}, or POST an object such as %s", graphqlPath, exampleBody)
	}
	return e, nil
}

// parseParameter reads a parameter that is JSON.
func parseParameter(name, text string) (any, *refusal) {
	if no := boundJSON([]byte(text)); no != nil {
		return nil, no
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, refusef(codeBadRequest, "%s is no valid JSON", name)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refusef(codeBadRequest, "%s goes on after its JSON object", name)
	}
	return value, nil
}
