package store

// Fields of a newer program's: every update leaves them.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"stoa/id"
)

// updates records the update commands of a store.
type updates struct {
	mu   sync.Mutex
	sent []bson.Raw
}

func (u *updates) watch(e *event.CommandStartedEvent) {
	if e.CommandName == "findAndModify" {
		panic("an update by findAndModify isn't looked at yet: let updates look at it")
	}
	if e.CommandName == "update" {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.sent = append(u.sent, slices.Clone(e.Command))
	}
}

// collections are those with updated documents, with the updates themselves.
func (u *updates) collections(t *testing.T) map[string][]bson.Raw {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := map[string][]bson.Raw{}
	for _, c := range u.sent {
		var command struct {
			Collection string `bson:"update"`
			Updates    []struct {
				U bson.Raw `bson:"u"`
			} `bson:"updates"`
		}
		check(t, bson.Unmarshal(c, &command))
		for _, update := range command.Updates {
			out[command.Collection] = append(out[command.Collection], update.U)
		}
	}
	return out
}

// A write that replaces a document loses the fields of a newer program.
func TestNoWriteReplacesADocument(t *testing.T) {
	u := &updates{}
	s := openStore(t, u.watch)
	calls := everyCall(t, s)
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		calls[name](t.Context())
	}
	for _, change := range namedChanges(t, s) {
		change()
	}
	seen := u.collections(t)
	for name, all := range seen {
		for _, update := range all {
			elements, err := update.Elements()
			check(t, err)
			for _, e := range elements {
				if !strings.HasPrefix(e.Key(), "$") {
					t.Errorf("a document of %s is replaced by %s", name, update)
					break
				}
			}
		}
	}
	for _, want := range []string{articles, authors, tags, comments, accounts, sessions, outgoingMail} {
		if seen[want] == nil {
			t.Errorf("no update of %s was seen", want)
		}
	}
}

// namedChanges add an author and a tag, and change them.
func namedChanges(t *testing.T, s *Store) []func() {
	a, tag := &Author{ID: id.New(id.Author), Slug: "a"}, &Tag{ID: id.New(id.Tag), Slug: "t"}
	check(t, Authors.Add(t.Context(), s, a))
	check(t, Tags.Add(t.Context(), s, tag))
	return []func(){
		func() { after := *a; after.Name = "A"; check(t, Authors.Change(t.Context(), s, a, &after)) },
		func() { after := *tag; after.Name = "T"; check(t, Tags.Change(t.Context(), s, tag, &after)) },
	}
}

// Every document, and each embedded one, has fields here that this version doesn't know. Each
// update leaves them, unless it exchanges the embedded document around them.
func TestANewerProgramsFieldsSurviveEveryUpdate(t *testing.T) {
	known := &updates{}
	other := openStore(t, known.watch)
	calls := everyCall(t, other)
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		calls[name](t.Context())
	}

	seen := &updates{}
	s := openStore(t, seen.watch)
	writeRecord(t, s)
	ctx := t.Context()
	pen := added(t, s, productOf("pen", second(1)))
	made := []string{articles, products, revisions, authors, tags, comments, accounts, sessions, lastUses, mailCodes, outgoingMail, idempotency, pictures, meta}
	for _, c := range made {
		result, err := s.db.Collection(c).UpdateMany(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "newer", Value: bson.D{{Key: "of", Value: c}}}}}})
		check(t, err)
		if result.MatchedCount == 0 {
			t.Fatalf("nothing is recorded of %s", c)
		}
	}
	_, err := s.db.Collection(articles).UpdateMany(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "cover.newer", Value: "cover"}}}})
	check(t, err)
	s.Flush()
	seen.mu.Lock()
	seen.sent = nil
	seen.mu.Unlock()

	article := func(n byte) *Article {
		t.Helper()
		a, err := s.ArticleNow(ctx, recordID(id.Article, n))
		check(t, err)
		return a
	}
	articleBecomes := func(n byte, change func(*Article)) {
		t.Helper()
		before := article(n)
		check(t, s.ChangeArticle(ctx, before, changedTo(before, change)))
	}
	commentBecomes := func(n byte, change func(*Comment)) {
		t.Helper()
		before, err := s.CommentNow(ctx, recordID(id.Comment, n))
		check(t, err)
		after := *before
		change(&after)
		check(t, s.ChangeComment(ctx, before, &after))
	}
	session := &Session{ID: recordID(id.Session, 1), AccountID: recordID(id.Account, 1)}
	letter := recordID(id.Mail, 1)
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"an article is edited", func() {
			articleBecomes(3, func(a *Article) {
				a.Title, a.TitleKey, a.Slug, a.OldSlugs, a.WantedSlug = "New", "new", "new", []string{"notes"}, ""
			})
		}},
		{"an article is published", func() { articleBecomes(0, func(a *Article) { a.Status = Published }) }},
		{"a scheduled article is published", func() { articleBecomes(1, func(a *Article) { a.Status = Published }) }},
		{"an article is withdrawn", func() { articleBecomes(1, func(a *Article) { a.Status = Draft }) }},
		{"an article is restored", func() { articleBecomes(2, func(a *Article) { a.Status, a.DeletedAt = Draft, time.Time{} }) }},
		{"articles are related", func() {
			check(t, s.Relate(ctx, []Relations{{Article: recordID(id.Article, 3), IDs: []id.ID{recordID(id.Article, 2)}}}))
		}},
		{"an author is changed", func() {
			found, err := Authors.Now(ctx, s, []id.ID{recordID(id.Author, 1)})
			check(t, err)
			after := *found[0]
			after.Name, after.URL, after.OldSlugs = "Countess", nil, nil
			check(t, Authors.Change(ctx, s, found[0], &after))
			now, err := Authors.Now(ctx, s, []id.ID{after.ID})
			if check(t, err); now[0].URL != nil || now[0].OldSlugs != nil || now[0].Name != "Countess" {
				t.Errorf("the author is %+v", now[0])
			}
		}},
		{"a tag is changed", func() {
			found, err := Tags.Now(ctx, s, []id.ID{recordID(id.Tag, 1)})
			check(t, err)
			after := *found[0]
			after.Description, after.OldSlugs = "", append(slices.Clone(after.OldSlugs), "x")
			check(t, Tags.Change(ctx, s, found[0], &after))
		}},
		{"a comment is edited", func() {
			at := second(900)
			commentBecomes(1, func(c *Comment) { c.BodyHTML, c.EditedAt = "<p>Well</p>", &at })
		}},
		{"a comment is shown", func() { commentBecomes(3, func(c *Comment) { c.Status, c.Visible = CommentVisible, true }) }},
		{"a comment without a version is hidden", func() { commentBecomes(2, func(c *Comment) { c.Status, c.Visible = CommentHidden, false }) }},
		{"an account is changed", func() {
			before, err := s.SecretOf(ctx, recordID(id.Account, 1))
			check(t, err)
			after := *before
			after.Name, after.Epoch = "A", 3
			check(t, s.ChangeAccount(ctx, before, &after))
		}},
		{"a session is used", func() { check(t, s.RecordLastUses(ctx, map[id.ID]time.Time{session.ID: second(5000)}, time.Minute)) }},
		{"a session is ended", func() { check(t, s.EndSessions(ctx, []*Session{session})) }},
		{"a product is changed", func() {
			before, err := s.ProductNow(ctx, pen.ID)
			check(t, err)
			after := *before
			after.Title, after.Variants = "Pens", slices.Clone(before.Variants)
			after.Variants[0].SKU = "P"
			check(t, s.ChangeProduct(ctx, before, &after))
		}},
		{"a mail is taken", func() {
			due, err := s.DueMails(ctx, time.Now())
			check(t, err)
			if ok, err := s.TakeMail(ctx, due[0], second(700)); err != nil || !ok {
				t.Errorf("the letter is taken: %t, %v", ok, err)
			}
		}},
		{"a mail is put off", func() { check(t, s.RescheduleMail(ctx, letter, second(800))) }},
		{"a mail is sent", func() { check(t, s.CloseMail(ctx, letter)) }},
		{"a key comes again", func() { _, err := s.RecordIdempotency(ctx, recordedKey); check(t, err) }},
		{"tags are purged", func() { check(t, s.Purge(ctx, []string{"list/all"})) }},
		{"a deleted article goes for good", func() {
			articleBecomes(2, func(a *Article) { a.Status, a.DeletedAt = Deleted, second(1) })
			n, err := s.PurgeDeleted(ctx, second(2))
			if check(t, err); n != 1 {
				t.Errorf("%d articles have gone", n)
			}
		}},
		{"an account's comments become nobody's", func() { check(t, s.forgetAuthor(ctx, recordID(id.Account, 1))) }},
	} {
		step.change()
		for _, c := range made {
			found, err := find[bson.M](ctx, s.collection(c), bson.D{}, nil)
			check(t, err)
			for _, d := range found {
				if fmt.Sprint((*d)["newer"]) != fmt.Sprint(bson.D{{Key: "of", Value: c}}) && (*d)["_id"] != purgedSequence {
					t.Errorf("when %s, %v of %s loses a newer program's field", step.name, (*d)["_id"], c)
				}
				cover, ok := (*d)["cover"].(bson.D)
				if ok && !slices.Contains(cover, bson.E{Key: "newer", Value: "cover"}) || c == articles && !ok {
					t.Errorf("when %s, the cover of %v loses a newer program's field", step.name, (*d)["_id"])
				}
			}
		}
	}
	walked := seen.collections(t)
	for c := range known.collections(t) {
		if walked[c] == nil {
			t.Errorf("there are updates of %s, and none here: add one", c)
		}
	}
}

// An exchanged cover takes along the newer program's fields of the old one.
func TestACoverThatIsExchangedIsTheNewOne(t *testing.T) {
	s := openStore(t, nil)
	a := published("a", second(1))
	a.Cover = &Image{URL: "https://example.com/a.png", Alt: "A"}
	check(t, s.AddArticle(t.Context(), a))
	now := a
	for _, cover := range []*Image{{URL: "https://example.com/b.png", Alt: "B"}, nil, a.Cover} {
		next := changedTo(now, func(a *Article) { a.Cover = cover })
		check(t, s.ChangeArticle(t.Context(), now, next))
		found, err := s.ArticleNow(t.Context(), a.ID)
		check(t, err)
		if (found.Cover == nil) != (cover == nil) || cover != nil && found.Cover.URL != cover.URL {
			t.Errorf("the cover is %+v; want %+v", found.Cover, cover)
		}
		now = next
	}
}
