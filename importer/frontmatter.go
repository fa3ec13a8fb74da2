package importer

// Front matter in YAML, TOML and JSON, read into one form, value. Entry points: decode, split.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v4"
)

// failure is the reason why a file can't be imported, in words for its author.
type failure struct {
	line   int // 1-based; 0 for the whole file
	reason string
}

func (f *failure) Error() string { return f.reason }

func failAt(line int, format string, args ...any) *failure {
	return &failure{line: line, reason: fmt.Sprintf(format, args...)}
}

// note tells the person at the terminal about a change in an imported file.
type note struct {
	line         int
	rule, detail string
}

// format is the language of a file's front matter.
type format string

const (
	formatNone format = ""
	formatYAML format = "YAML"
	formatTOML format = "TOML"
	formatJSON format = "JSON"
)

// matter is a file in its two parts.
type matter struct {
	format   format
	fields   map[string]value // by key in lower case: Hugo takes Title and title for one
	body     string
	bodyLine int // 1-based line of the file that body begins on
	notes    []note
}

// value is the value of a key: text, a list, a map, or nothing (null, or the empty text). Numbers,
// dates and truth values keep their text from the file, so that the slug 0123 isn't 83 and the
// title 1984 isn't a number.
type value struct {
	line   int // 1-based line of the file; in TOML and JSON, of the outermost key
	text   string
	list   []value
	fields map[string]value
}

func (v value) empty() bool { return v.text == "" && len(v.list) == 0 && len(v.fields) == 0 }

const (
	noteDuplicate = "the same key twice: the last one counts"
	noteTabs      = "front matter is indented with tabs, and YAML forbids these: each was read as two spaces"
)

// maxValues bounds the values of one file, because a few bytes of YAML with references to
// references can become very many. maxDepth is the depth of the deepest value that an article uses.
const (
	maxValues = 10_000
	maxDepth  = 5
)

// split separates the front matter from a text with lines that end in \n. Blank lines before the
// opening fence are ignored. YAML stands between --- and --- or ..., TOML between +++ and +++, JSON
// between the braces of one object.
func split(text string) (matter, error) {
	line := 1
	for {
		first, rest, more := strings.Cut(text, "\n")
		if strings.TrimSpace(first) != "" || !more {
			break
		}
		text = rest
		line++
	}
	first, rest, _ := strings.Cut(text, "\n")
	switch fence := strings.TrimRight(first, " \t"); {
	case fence == "---":
		return fenced(rest, line, formatYAML, "---", "...")
	case fence == "+++":
		return fenced(rest, line, formatTOML, "+++")
	case startsObject(text):
		return braced(text, line)
	}
	return matter{body: text, bodyLine: line}, nil
}

// fenced reads the text after the opening fence, from line on.
func fenced(text string, line int, f format, ends ...string) (matter, error) {
	var inside strings.Builder
	for n, rest := line+1, text; rest != ""; n++ {
		var current string
		current, rest, _ = strings.Cut(rest, "\n")
		if !slices.Contains(ends, strings.TrimRight(current, " \t")) {
			inside.WriteString(current)
			inside.WriteByte('\n')
			continue
		}
		m := matter{format: f, body: rest, bodyLine: n + 1}
		var err error
		if f == formatYAML {
			m.fields, m.notes, err = readYAML(inside.String(), line+1)
		} else {
			m.fields, err = readTOML(inside.String(), line+1)
		}
		return m, err
	}
	return matter{}, failAt(line, "front matter begins here and doesn't end: no line with only %s follows", strings.Join(ends, " or "))
}

// startsObject tells JSON from other text that begins with a brace, such as a shortcode.
func startsObject(text string) bool {
	after, found := strings.CutPrefix(text, "{")
	after = strings.TrimLeft(after, " \t\n")
	return found && (strings.HasPrefix(after, `"`) || strings.HasPrefix(after, "}"))
}

func readYAML(text string, line int) (map[string]value, []note, error) {
	var notes []note
	var document yaml.Node
	err := yaml.Unmarshal([]byte(text), &document)
	if err != nil && strings.Contains(text, "\t") {
		retry := yaml.Node{}
		if yaml.Unmarshal([]byte(untab(text)), &retry) == nil {
			document, err = retry, nil
			notes = append(notes, note{line: line - 1, rule: noteTabs})
		}
	}
	if err != nil {
		return nil, nil, yamlFailure(err, line)
	}
	if len(document.Content) == 0 {
		return nil, notes, nil // nothing, or only comments
	}
	y := yamlReader{line: line, notes: notes, left: maxValues}
	top := y.value(document.Content[0], 0)
	switch {
	case y.left < 0:
		return nil, nil, failAt(line-1, "front matter holds more than %d values", maxValues)
	case top.fields == nil && !top.empty():
		return nil, nil, failAt(line, "front matter is not a list of keys and values")
	}
	return top.fields, y.notes, nil
}

// untab replaces the tabs at the beginning of lines, an error in YAML.
func untab(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		body := strings.TrimLeft(l, " \t")
		lines[i] = strings.ReplaceAll(l[:len(l)-len(body)], "\t", "  ") + body
	}
	return strings.Join(lines, "\n")
}

// yamlFailure finds the line for a person to look at: the beginning of the thing that didn't parse,
// such as a quotation without an end. Within a map it is the parser's own line, because the
// beginning of the map says nothing.
func yamlFailure(err error, line int) *failure {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return failAt(line-1, "front matter isn't YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	where, reason := at.Mark.Line, at.Message
	if at.ContextMark.Line > 0 && !strings.Contains(at.ContextMsg, "block") {
		where, reason = at.ContextMark.Line, reason+", "+at.ContextMsg
	}
	if strings.Contains(reason, "mapping values") || strings.Contains(reason, "expected key") {
		reason += " (text with a colon or a quotation mark in it needs quotation marks around it)"
	}
	return failAt(line+max(where, 1)-1, "front matter isn't YAML: %s", reason)
}

type yamlReader struct {
	line  int // the line of the file that the YAML begins on
	notes []note
	left  int // number of values still allowed
}

func (y *yamlReader) value(n *yaml.Node, depth int) value {
	v := value{line: y.line + n.Line - 1}
	if y.left--; y.left < 0 || depth > maxDepth {
		return v
	}
	switch n.Kind {
	case yaml.AliasNode:
		v = y.value(n.Alias, depth+1)
	case yaml.ScalarNode:
		if n.Tag != "!!null" {
			v.text = strings.TrimSpace(n.Value)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			v.list = append(v.list, y.value(item, depth+1))
		}
	case yaml.MappingNode:
		v.fields = map[string]value{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.ToLower(n.Content[i].Value)
			item := y.value(n.Content[i+1], depth+1)
			item.line = y.line + n.Content[i].Line - 1
			if earlier, twice := v.fields[key]; twice {
				y.notes = append(y.notes, note{line: item.line, rule: noteDuplicate, detail: fmt.Sprintf("%s, first on line %d", key, earlier.line)})
			}
			v.fields[key] = item
		}
	}
	return v
}

func readTOML(text string, line int) (map[string]value, error) {
	var fields map[string]any
	if err := toml.Unmarshal([]byte(text), &fields); err != nil {
		reason, where := strings.TrimPrefix(err.Error(), "toml: "), 0
		var at *toml.DecodeError
		if errors.As(err, &at) {
			where, _ = at.Position()
		}
		return nil, failAt(line+max(where, 1)-1, "front matter isn't TOML: %s", reason)
	}
	lines := strings.Split(text, "\n")
	top := map[string]value{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		top[strings.ToLower(key)] = valueOf(fields[key], line+lineOfKey(lines, key), 0)
	}
	return top, nil
}

// lineOfKey returns the index of the line that begins with key, as a value or a table; 0 for rarer
// spellings.
func lineOfKey(lines []string, key string) int {
	for i, l := range lines {
		rest, found := strings.CutPrefix(strings.TrimLeft(l, " \t["), key)
		if found && strings.IndexAny(strings.TrimLeft(rest, " \t"), "=].") == 0 {
			return i
		}
	}
	return 0
}

// braced reads a JSON object that begins on line and is the whole front matter.
func braced(text string, line int) (matter, error) {
	in := json.NewDecoder(strings.NewReader(text))
	in.UseNumber()
	lineAt := func() int { return line + strings.Count(text[:in.InputOffset()], "\n") }
	m := matter{format: formatJSON, fields: map[string]value{}}
	broken := func(err error) (matter, error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return matter{}, failAt(line, "front matter begins here and doesn't end: its braces don't close")
		}
		where := lineAt()
		var at *json.SyntaxError
		if errors.As(err, &at) {
			where = line + strings.Count(text[:min(max(int(at.Offset)-1, 0), len(text))], "\n")
		}
		return matter{}, failAt(where, "front matter isn't JSON: %s", err)
	}
	if _, err := in.Token(); err != nil {
		return broken(err)
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return broken(err)
		}
		key, where := strings.ToLower(fmt.Sprint(name)), lineAt()
		var raw any
		if err := in.Decode(&raw); err != nil {
			return broken(err)
		}
		if earlier, twice := m.fields[key]; twice {
			m.notes = append(m.notes, note{line: where, rule: noteDuplicate, detail: fmt.Sprintf("%s, first on line %d", key, earlier.line)})
		}
		m.fields[key] = valueOf(raw, where, 0)
	}
	if _, err := in.Token(); err != nil {
		return broken(err)
	}
	m.bodyLine = lineAt() + 1
	_, m.body, _ = strings.Cut(text[in.InputOffset():], "\n")
	return m, nil
}

// valueOf turns results of the TOML and JSON decoders into text, lists and maps.
func valueOf(raw any, line, depth int) value {
	v := value{line: line}
	if depth > maxDepth {
		return v
	}
	switch x := raw.(type) {
	case nil:
	case string:
		v.text = strings.TrimSpace(x)
	case time.Time:
		v.text = x.Format(time.RFC3339Nano)
	case []any:
		for _, item := range x {
			v.list = append(v.list, valueOf(item, line, depth+1))
		}
	case map[string]any:
		v.fields = map[string]value{}
		for _, key := range slices.Sorted(maps.Keys(x)) {
			v.fields[strings.ToLower(key)] = valueOf(x[key], line, depth+1)
		}
	default:
		v.text = fmt.Sprint(x)
	}
	return v
}

// decode turns a file's bytes into UTF-8 text with lines that end in \n. It drops a byte order
// mark. Bytes that aren't UTF-8 are a failure: a guess at their encoding could be wrong.
func decode(data []byte) (string, error) {
	if bytes.HasPrefix(data, []byte{0xFE, 0xFF}) || bytes.HasPrefix(data, []byte{0xFF, 0xFE}) {
		return "", failAt(1, "the file is UTF-16: save it as UTF-8")
	}
	text := string(bytes.TrimPrefix(data, []byte("\uFEFF")))
	line := 1
	for i, c := range text {
		switch {
		case c == '\n':
			line++
		case c == 0:
			return "", failAt(line, "a NUL byte: this isn't text")
		case c == '\uFFFD' && !strings.HasPrefix(text[i:], "\uFFFD"):
			return "", failAt(line, "byte 0x%02X isn't UTF-8: save the file as UTF-8", text[i])
		}
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, "\r", "\n"), nil
}
