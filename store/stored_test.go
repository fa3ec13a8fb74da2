package store

// Tests of stored names: fields, collections and keys that other versions of the program read, too.

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stoa/id"
	"stoa/store/cache"
)

// The names of stored fields, collections and keys are in testdata/stored.txt, so that a review
// shows each change of a name. Another version of the program may use the same database and Redis.
// A new line is an expansion. A changed or removed line takes a migration: see docs/operations.md.
// UPDATE=1 go test ./store -run StoredNames writes it.
func TestStoredNamesAreWhatTheyWere(t *testing.T) {
	const path = "testdata/stored.txt"
	got := strings.Join(storedNames(), "\n") + "\n"
	if os.Getenv("UPDATE") != "" {
		check(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("what is stored has other names than in %s (-there +now). Replicas of the version before use the same database and Redis: read docs/operations.md, then run UPDATE=1 go test ./store -run StoredNames.\n%s", path, diff)
	}
}

func storedNames() []string {
	var out []string
	type collection struct {
		name string
		of   []reflect.Type
	}
	all := []collection{
		{articles, []reflect.Type{reflect.TypeFor[Article](), reflect.TypeFor[Links]()}}, {revisions, []reflect.Type{reflect.TypeFor[Revision]()}},
		{authors, []reflect.Type{reflect.TypeFor[Author]()}}, {tags, []reflect.Type{reflect.TypeFor[Tag]()}},
		{comments, []reflect.Type{reflect.TypeFor[Comment]()}}, {accounts, []reflect.Type{reflect.TypeFor[Secret]()}},
		{sessions, []reflect.Type{reflect.TypeFor[Session]()}}, {pictures, []reflect.Type{reflect.TypeFor[Picture]()}},
		{products, []reflect.Type{reflect.TypeFor[WholeProduct]()}},
		{meta, []reflect.Type{reflect.TypeFor[databaseFormat](), reflect.TypeFor[leaseState]()}}, {degraded, nil}, {leases, nil}, {tallies, []reflect.Type{reflect.TypeFor[tally]()}},
	}
	for _, u := range uncachedKinds() {
		all = append(all, collection{u.collection(), []reflect.Type{reflect.TypeOf(u.document())}})
	}
	for _, k := range kinds() { // those that aren't above
		if name := k.kind().collection; !slices.ContainsFunc(all, func(c collection) bool { return c.name == name }) {
			all = append(all, collection{name, []reflect.Type{reflect.TypeOf(k.document())}})
		}
	}
	for _, c := range all {
		out = append(out, "collection "+c.name)
		var fields []string
		for _, t := range c.of {
			fields = append(fields, fieldsOf(t)...)
		}
		slices.Sort(fields)
		for _, f := range slices.Compact(fields) {
			out = append(out, "\tfield "+f)
		}
		for _, i := range indexes() {
			if i.collection == c.name {
				line := "\tindex " + i.name()
				if i.unique {
					line += " unique"
				}
				if i.sparse {
					line += " sparse"
				}
				out = append(out, line)
			}
		}
	}
	for _, name := range []string{formatKey, siteKey, purgedSequence} {
		out = append(out, "document of meta "+name)
	}
	list := &List{query: query{tags: []string{"tag"}}, key: "page", named: "list"}
	s := &Store{}
	s.openTables()
	tables := s.tables
	article := Article{ID: "art_1", Slug: "new", OldSlugs: []string{"old"}, Status: Published, AuthorIDs: []id.ID{"aut_1"}, TagIDs: []id.ID{"tag_1"}, OwnerID: "acc_1"}
	draft := article
	draft.Status, draft.Version = Scheduled, -1
	out = append(out,
		fmt.Sprintf("key of a table %s %s %s %s %s %s", tables.slugs.Key(slug{articles, "slug"}), tables.children.Key("tag_1"), tables.children.Key(RevisionsOf("art_1")), tables.counts.Key(counting{list, 10}), tables.editions.Key(id.Article), s.kinds[id.Article].(*cache.Table[id.ID, Article]).Key("tag_1")),
		"keys of an article that is published "+strings.Join(withFormerKeys(Articles.stale(&draft, &article)), " "),
		"keys of an author "+strings.Join(Authors.stale(&Author{ID: "aut_1", Slug: "a"}, &Author{ID: "aut_1", Slug: "a", Name: "A", NameKey: "a", Version: 1}), " "),
		"keys of a comment "+strings.Join(commentKeys(nil, &Comment{ID: "com_1", ArticleID: "art_1", AccountID: "acc_1", Status: CommentVisible, Visible: true}), " "),
		"keys of an account "+strings.Join(accountKeys(&Account{ID: "acc_1"}), " "),
		"keys of a session "+strings.Join(sessionKeys(&Session{ID: "ses_1", AccountID: "acc_1"}), " "),
		"keys of others "+strings.Join([]string{dueKey, outgoingKey, unrelatedKey, addressesKey, addressesTag, queueTag}, " "),
	)
	formats := cachedFormats()
	for _, name := range slices.Sorted(maps.Keys(formats)) {
		out = append(out, fmt.Sprintf("format of cached %s %08x", name, formats[name]))
	}
	return out
}

// cachedFormats are the formats of all tables, by the names of collections and of fields.
func cachedFormats() map[string]uint64 {
	s := &Store{}
	s.openTables()
	out := map[string]uint64{}
	all := reflect.ValueOf(s.tables)
	for i := range all.NumField() {
		out[all.Type().Field(i).Name] = all.Field(i).FieldByName("Format").Uint()
	}
	for _, k := range kinds() {
		out[k.kind().collection] = reflect.ValueOf(s.kinds[k.kind().id]).Elem().FieldByName("Format").Uint()
	}
	return out
}

func TestEachCachedKindHasAFormat(t *testing.T) {
	for name, format := range cachedFormats() {
		if format == 0 {
			t.Errorf("the table %s has no format: Redis would give it what another version wrote", name)
		}
	}
}

func TestAFormatIsThatOfTheFields(t *testing.T) {
	type one struct {
		ID   string `bson:"_id"`
		List []struct {
			N *int `bson:"n,omitempty"`
		} `bson:"list"`
		hidden int
	}
	type same struct {
		Elements []struct {
			Number int `bson:"n"`
		} `bson:"list"`
		Name id.ID `bson:"_id"`
	}
	type renamed struct {
		ID   string `bson:"_id"`
		List []struct {
			N int `bson:"m"`
		} `bson:"list"`
	}
	if got, want := shapeOf[one](), "{_id string, list [{n int}]}"; got != want {
		t.Errorf("the shape is %s; want %s", got, want)
	}
	_ = one{}.hidden
	if formatOf[one]() != formatOf[same]() {
		t.Error("what Go calls things makes another format")
	}
	if formatOf[one]() == formatOf[renamed]() {
		t.Error("a field within another has another name, and the format is the same")
	}
}
