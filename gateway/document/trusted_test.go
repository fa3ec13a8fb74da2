package document

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoa/gateway/envelope"
	"stoa/graph/generated"
)

// write makes a folder with these files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func apolloManifest(id, name, kind, body string) string {
	return fmt.Sprintf(`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":%q,"name":%q,"type":%q,"body":%q}]}`, id, name, kind, body)
}

func TestManifestsOfRelayAndApolloAreRead(t *testing.T) {
	dir := write(t, map[string]string{
		"apollo.json": apolloManifest(HashOf(slugs), "Slug", "query", slugs),
		"relay.json":  fmt.Sprintf(`{"8fcb5ee3ef8b5ddd3d1a5cdd6c5d9a3f": %q, "format": "{__typename}"}`, twice),
		"notes.txt":   "not a manifest",
	})
	all, err := ReadTrusted(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Trusted{
		{ID: HashOf(slugs), Text: slugs, File: filepath.Join(dir, "apollo.json"), Name: "Slug", Kind: "query"},
		{ID: "8fcb5ee3ef8b5ddd3d1a5cdd6c5d9a3f", Text: twice, File: filepath.Join(dir, "relay.json")},
		{ID: "format", Text: "{__typename}", File: filepath.Join(dir, "relay.json")},
	}
	if fmt.Sprint(all) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", all, want)
	}
	if one, err := ReadTrusted(filepath.Join(dir, "apollo.json")); err != nil || len(one) != 1 {
		t.Errorf("a file: %v %v", one, err)
	}
}

func TestAManifestThatIsWrongEndsTheStart(t *testing.T) {
	long := "{__typename} #" + strings.Repeat("x", 30)
	cases := map[string]struct {
		reason   string
		manifest string
		want     []string // all in the message
	}{
		"NotJSON":       {"a broken file", `{"a": `, []string{"m.json", "no valid JSON"}},
		"Open":          {"half a file", `{"a": "{__typename}"`, []string{"m.json", "no end"}},
		"Array":         {"another format", `[]`, []string{"m.json", "a manifest is a JSON object"}},
		"Rest":          {"two manifests", `{"a":"{__typename}"}{}`, []string{"m.json", "goes on"}},
		"Empty":         {"with only trusted ones that would refuse all", `{}`, []string{"m.json", "no document"}},
		"NotText":       {"a manifest of something else", `{"files":["a.js"]}`, []string{"m.json", `"files"`, "texts by their ids"}},
		"Version":       {"a later Apollo", `{"format":"apollo-persisted-query-manifest","version":2,"operations":[]}`, []string{"m.json", "version 2"}},
		"ApolloShape":   {"a broken one", `{"format":"apollo-persisted-query-manifest","version":1,"operations":{}}`, []string{"m.json", "apollo-persisted-query-manifest"}},
		"NoID":          {"nobody could ask for it", `{"":"{__typename}"}`, []string{"m.json", "an id has"}},
		"Hash":          {"the text was changed", fmt.Sprintf(`{"sha256:%s":"{__typename }"}`, HashOf("{__typename}")), []string{"m.json", "{__typename }", "isn't the SHA-256", HashOf("{__typename }")}},
		"BareHash":      {"in Apollo's form, too", apolloManifest(HashOf(twice), "Slug", "query", slugs), []string{"m.json", "operation Slug", "isn't the SHA-256"}},
		"ShortHash":     {"what claims to be one must be one", `{"sha256:ab":"{__typename}"}`, []string{"isn't the SHA-256"}},
		"Parse":         {"no document", `{"a1":"{"}`, []string{"m.json", "a1", "Expected Name"}},
		"Invalid":       {"a field that has gone", apolloManifest("a1", "Gone", "query", "query Gone {\n  gone\n}"), []string{"m.json", "operation Gone (id a1)", `Cannot query field "gone"`, "line 2, column 3"}},
		"Introspection": {"held to what others are held to", `{"a1":"{__schema{types{name}}}"}`, []string{"m.json", "a1", "schema isn't given out"}},
		"TooDeep":       {"within the limits", fmt.Sprintf(`{"a1":%q}`, "{"+nested(30, "a{", "b", "}")+"}"), []string{"m.json", "levels deep"}},
		"NoOperation":   {"nothing to run", `{"a1":"# later"}`, []string{"m.json", "a1", "has no operation"}},
		"OtherName":     {"the manifest contradicts itself", apolloManifest("a1", "Other", "query", slugs), []string{"m.json", "operation Other", "no query of this name"}},
		"OtherType":     {"here, too", apolloManifest("a1", "Slug", "mutation", slugs), []string{"m.json", "operation Slug", "no mutation of this name"}},
		"Twice":         {"one id, two texts", `{"a1":"{__typename}","a1":"{ __typename }"}`, []string{"m.json", "a1", "another document has this id"}},
		"Long":          {"an id of a kilobyte", fmt.Sprintf(`{"%s":%q}`, strings.Repeat("x", 1000), long), []string{"m.json", "an id has"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			all, err := ReadTrusted(filepath.Join(write(t, map[string]string{"m.json": c.manifest}), "m.json"))
			if err == nil {
				_, err = NewStore(Options{Schema: generated.NewExecutableSchema(generated.Config{}).Schema(), Trusted: all})
			}
			if err == nil {
				t.Fatalf("%s: it was taken: %v", c.reason, all)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q doesn't say %q", c.reason, err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1200 {
				t.Errorf("%s: more than one line: %q", c.reason, err)
			}
		})
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if all, err := ReadTrusted(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v %v", path, all, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"{__typename}"}`, `{"a":1}`, apolloManifest("a", "Slug", "query", slugs), `{"format":"apollo-persisted-query-manifest"}`, `[`} {
		f.Add([]byte(seed))
	}
	d := testDocuments(500, 10)
	f.Fuzz(func(t *testing.T, content []byte) {
		all, err := parseManifest(content)
		if err != nil {
			return
		}
		p, err := newStoreOf(d, nil, all, true)
		if err != nil {
			return
		}
		for _, trusted := range all {
			e := &envelope.Envelope{ID: strings.TrimPrefix(trusted.ID, envelope.HashPrefix)}
			if doc, _ := p.Ready(e); doc == nil || doc.Text != trusted.Text || !doc.valid {
				t.Errorf("%q: %q leads to %+v", content, trusted.ID, doc)
			}
		}
	})
}
