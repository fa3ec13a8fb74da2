package document

// Trusted documents: those that a front end was built with, in the manifest that its tool has
// written (ReadTrusted). Each is validated when the gateway is made (Store.trust), so a
// front end that doesn't fit the schema shows at the start.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"stoa/gateway/envelope"
	"stoa/gateway/refusal"
)

// Trusted is a document that is known before anybody asks for it.
type Trusted struct {
	ID   string // the id that clients send
	Text string
	File string // the manifest, for messages

	// Name and Kind (query, mutation or subscription) are those of its operation according to
	// the manifest; "" if it has none.
	Name, Kind string
}

// apolloFormat is the format that a manifest of Apollo's tools names.
const apolloFormat = "apollo-persisted-query-manifest"

// maxTrustedID is how long an id may be, in bytes. Those of the tools are hashes.
const maxTrustedID = 256

// ReadTrusted reads a manifest, or every file of a folder with a name in .json. A file is a
// manifest of Apollo's generate-persisted-query-manifest, or a JSON object of texts by their
// ids, as Relay's compiler writes it by persistConfig. It returns an error that names the
// file, also if there is no document at all.
func ReadTrusted(path string) ([]Trusted, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(escapeGlob(path), "*.json")); err != nil {
			return nil, err
		}
	}
	var all []Trusted
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		documents, err := parseManifest(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for i := range documents {
			documents[i].File = file
		}
		all = append(all, documents...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there is no document in it", path)
	}
	return all, nil
}

// escapeGlob makes a folder's name match only itself.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func parseManifest(content []byte) ([]Trusted, error) {
	type member struct {
		name  string
		value json.RawMessage
	}
	var members []member
	err := envelope.Object(content, func(name string, value json.RawMessage) error {
		members = append(members, member{name, value})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("a manifest is a JSON object: %w", err)
	}
	for _, m := range members {
		var format string
		if m.name == "format" && json.Unmarshal(m.value, &format) == nil && format == apolloFormat {
			return parseApollo(content)
		}
	}
	var all []Trusted
	for _, m := range members {
		t := Trusted{ID: m.name}
		if err := json.Unmarshal(m.value, &t.Text); err != nil {
			return nil, fmt.Errorf("%.40q isn't the text of a document: a manifest is an object of texts by their ids, or has the format %q", m.name, apolloFormat)
		}
		all = append(all, t)
	}
	return all, nil
}

func parseApollo(content []byte) ([]Trusted, error) {
	var manifest struct {
		Version    int `json:"version"`
		Operations []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			Type string `json:"type"`
			Body string `json:"body"`
		} `json:"operations"`
	}
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, fmt.Errorf("not a manifest in the format %q: %w", apolloFormat, err)
	}
	if manifest.Version != 1 {
		return nil, fmt.Errorf("the manifest has version %d, where 1 is known", manifest.Version)
	}
	var all []Trusted
	for _, o := range manifest.Operations {
		all = append(all, Trusted{ID: o.ID, Text: o.Body, Name: o.Name, Kind: o.Type})
	}
	return all, nil
}

// trust adds a document under its id and its hash, or returns its error.
func (s *Store) trust(t Trusted) error {
	fail := func(reason string, args ...any) error {
		return fmt.Errorf("%s: %s: "+reason, append([]any{t.File, t.title()}, args...)...)
	}
	hash := HashOf(t.Text)
	given, prefixed := strings.CutPrefix(t.ID, envelope.HashPrefix)
	switch {
	case t.ID == "" || len(t.ID) > maxTrustedID:
		return fail("an id has 1 to %d bytes", maxTrustedID)
	case (prefixed || envelope.IsHash(given)) && given != hash:
		return fail("the id isn't the SHA-256 of its text, which is %s", hash)
	}
	doc, err := s.documents.parsed(t.Text)
	if err == nil {
		err = s.documents.validate(doc)
	}
	if err != nil {
		first := refusal.Errors(err, gqlerror.Wrap)[0]
		if len(first.Locations) > 0 {
			return fail("%s (line %d, column %d of its text)", first.Message, first.Locations[0].Line, first.Locations[0].Column)
		}
		return fail("%s", first.Message)
	}
	if len(doc.AST.Operations) == 0 {
		return fail("it has no operation")
	}
	if operation := doc.AST.Operations.ForName(t.Name); t.Name != "" && (operation == nil || t.Kind != "" && operation.Operation != ast.Operation(t.Kind)) {
		return fail("its text has no %s of this name", t.Kind)
	}
	for _, id := range []string{given, hash} {
		if other := s.trusted[id]; other != nil && other.Text != t.Text {
			return fail("another document has this id")
		}
		s.trusted[id] = doc
	}
	s.texts[t.Text] = doc
	return nil
}

// title names t in a message.
func (t Trusted) title() string {
	if t.Name != "" {
		return fmt.Sprintf("operation %s (id %.80s)", refusal.ClipName(t.Name), t.ID)
	}
	text := strings.Join(strings.Fields(t.Text), " ")
	return fmt.Sprintf("id %.80s (%s)", t.ID, refusal.ClipName(text))
}
