package store

// Every query of the store has an index that serves it: these tests send all queries, and compare
// the driver's commands with the declared indexes. Entry points: everyQuery, index.serves.

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// shape is the part of a query that matters to an index.
type shape struct {
	collection string
	equal      []string // fields compared with one value, or a few
	ranges     []string // fields compared with bounds
	sort       []string // a minus before those that descend
	read       []string // the fields read; nil for all
	limited    bool     // it ends after a number of documents
}

func (s shape) String() string {
	return fmt.Sprintf("%s: equal %v, ranges %v, sort %v, read %v", s.collection, s.equal, s.ranges, s.sort, s.read)
}

// readsEverything are the methods that read a whole collection on purpose: an import compares all
// documents with all of its files, and a sitemap has everything.
var readsEverything = []string{"TakenSlugs", "AllAuthors", "AllTags", "Editions", "Addresses", "ArticleSources", "ProductSources"}

func TestEveryQueryHasAnIndexThatServesIt(t *testing.T) {
	sent := everyQuery(t)
	t.Run("Children", func(t *testing.T) { childrenAreReadFromTheIndexAlone(t, sent["Children"]) })
	for _, method := range slices.Sorted(maps.Keys(sent)) {
		for _, q := range sent[method] {
			everything := len(q.equal)+len(q.ranges)+len(q.sort) == 0
			if everything && (q.limited || slices.Contains(readsEverything, method)) {
				continue
			}
			if len(serving(q)) == 0 {
				t.Errorf("%s sends %s: no index serves it", method, q)
			}
		}
	}
}

// The lists under parents are large. They are read from an index alone, as far as MongoDB can do
// that: it can't for a field with several values.
func childrenAreReadFromTheIndexAlone(t *testing.T, sent []shape) {
	found := 0
	for _, q := range sent {
		if slices.Contains(q.equal, "tagIds") || slices.Contains(q.equal, "authorIds") || slices.Contains(q.equal, "_id") {
			continue
		}
		found++
		if !slices.ContainsFunc(serving(q), func(i index) bool { return i.covers(q) }) {
			t.Errorf("Children sends %s: no index has all that it reads", q)
		}
	}
	if found < 2 {
		t.Errorf("%d queries were looked at", found)
	}
}

func (i index) covers(q shape) bool {
	for _, field := range q.read {
		if field != "_id" && !slices.Contains(i.fields, field) && !slices.Contains(i.fields, "-"+field) {
			return false
		}
	}
	return q.read != nil && slices.ContainsFunc(i.fields, func(f string) bool { return strings.TrimPrefix(f, "-") == "_id" })
}

// serving are the indexes that serve q by MongoDB's rule of thumb (equality, sort, range): first
// come all fields compared with a value, then the sort fields of q, all in its direction or all
// against it, or else the field with bounds.
func serving(q shape) []index {
	if slices.Contains(q.equal, "_id") || len(q.equal)+len(q.sort) == 0 && slices.Equal(q.ranges, []string{"_id"}) {
		return []index{{collection: q.collection, fields: []string{"_id"}, unique: true}}
	}
	for _, i := range indexes() { // one document at most, with any other conditions
		if i.collection == q.collection && i.unique && len(i.fields) == 1 && slices.Contains(q.equal, i.fields[0]) {
			return []index{i}
		}
	}
	// An index can't have two fields with several values each. For a query on both, it serves one;
	// the other is checked on the documents found.
	if slices.Contains(q.equal, "tagIds") && slices.Contains(q.equal, "authorIds") {
		one, other := q, q
		one.equal = slices.DeleteFunc(slices.Clone(q.equal), func(f string) bool { return f == "tagIds" })
		other.equal = slices.DeleteFunc(slices.Clone(q.equal), func(f string) bool { return f == "authorIds" })
		return slices.Concat(serving(one), serving(other))
	}
	var out []index
	for _, i := range indexes() {
		if i.collection == q.collection && i.serves(q) {
			out = append(out, i)
		}
	}
	return out
}

func (i index) serves(q shape) bool {
	if len(i.fields) < len(q.equal) {
		return false
	}
	prefix, rest := slices.Clone(i.fields[:len(q.equal)]), i.fields[len(q.equal):]
	for at := range prefix {
		prefix[at] = strings.TrimPrefix(prefix[at], "-")
	}
	slices.Sort(prefix)
	if !slices.Equal(prefix, slices.Sorted(slices.Values(q.equal))) {
		return false
	}
	if len(q.sort) > 0 {
		return len(rest) >= len(q.sort) && (slices.Equal(rest[:len(q.sort)], q.sort) || slices.Equal(rest[:len(q.sort)], turned(q.sort)))
	}
	if len(q.ranges) > 0 {
		return len(q.ranges) == 1 && len(rest) > 0 && strings.TrimPrefix(rest[0], "-") == q.ranges[0]
	}
	return len(q.equal) > 0
}

// turned is an order reversed.
func turned(sort []string) []string {
	var out []string
	for _, field := range sort {
		if rest, descending := strings.CutPrefix(field, "-"); descending {
			out = append(out, rest)
			continue
		}
		out = append(out, "-"+field)
	}
	return out
}

func TestAnIndexServesWhatItIsFor(t *testing.T) {
	i := index{articles, []string{"status", "-publishedAt", "-_id"}, false, false}
	cases := map[string]struct {
		reason string
		q      shape
		want   bool
	}{
		"Same":      {"the very order", shape{equal: []string{"status"}, sort: []string{"-publishedAt", "-_id"}}, true},
		"Turned":    {"it can be read backwards", shape{equal: []string{"status"}, sort: []string{"publishedAt", "_id"}}, true},
		"Mixed":     {"but not half of it", shape{equal: []string{"status"}, sort: []string{"-publishedAt", "_id"}}, false},
		"OtherSort": {"another order", shape{equal: []string{"status"}, sort: []string{"titleKey"}}, false},
		"NoStatus":  {"its first field isn't known", shape{sort: []string{"-publishedAt"}}, false},
		"More":      {"a field that it doesn't have", shape{equal: []string{"status", "tagIds"}, sort: []string{"-publishedAt"}}, false},
		"Equal":     {"its first field alone", shape{equal: []string{"status"}}, true},
		"Range":     {"bounds on the next", shape{equal: []string{"status"}, ranges: []string{"publishedAt"}}, true},
		"OtherOne":  {"bounds on another", shape{equal: []string{"status"}, ranges: []string{"updatedAt"}}, false},
		"Nothing":   {"no condition", shape{}, false},
	}
	for name, c := range cases {
		if got := i.serves(c.q); got != c.want {
			t.Errorf("%s: %s: %t", name, c.reason, got)
		}
	}
}

// commandLog records the commands that a store sends. It is safe for concurrent use.
type commandLog struct {
	mu       sync.Mutex
	commands []bson.Raw
}

func (l *commandLog) watch(e *event.CommandStartedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = append(l.commands, slices.Clone(e.Command))
}

// during returns the commands sent while f runs.
func (l *commandLog) during(f func()) []bson.Raw {
	l.mu.Lock()
	l.commands = nil
	l.mu.Unlock()
	f()
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commands)
}

// everyQuery calls every method of the store, with every combination of arguments that makes
// another query, and returns the commands sent to the database, by method.
func everyQuery(t *testing.T) map[string][]shape {
	t.Helper()
	var sentBy commandLog
	s := openStore(t, sentBy.watch)
	calls := everyCall(t, s)
	sent := map[string][]shape{}
	all := reflect.TypeFor[*Store]()
	for m := range all.NumMethod() {
		if name := all.Method(m).Name; calls[name] == nil {
			t.Errorf("there is a new method, %s: let everyCall call it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		s.Flush() // so that no answer comes from memory
		for _, c := range sentBy.during(func() { calls[name](t.Context()) }) {
			for _, q := range shapesOf(t, c) {
				if !slices.ContainsFunc(sent[name], func(other shape) bool { return other.String() == q.String() }) {
					sent[name] = append(sent[name], q)
				}
			}
		}
	}
	return sent
}

// followingEnds returns a context, and a function that ends it and waits until there are no
// followers.
func followingEnds(ctx context.Context, s *Store) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	return ctx, func() {
		cancel()
		for some := true; some; {
			s.live.mu.Lock()
			some = len(s.live.topics) > 0
			s.live.mu.Unlock()
		}
	}
}

// everyCall calls each method of a Store, and the methods of kinds.
func everyCall(t *testing.T, s *Store) map[string]func(context.Context) {
	t.Helper()
	article := published("article", second(100))
	author, tag := &Author{ID: id.New(id.Author), Slug: "author"}, &Tag{ID: id.New(id.Tag), Slug: "tag"}
	comment := &Comment{ID: id.New(id.Comment), ArticleID: article.ID, Visible: true}
	article.AuthorIDs, article.TagIDs = []id.ID{author.ID}, []id.ID{tag.ID}
	check(t, Authors.Add(t.Context(), s, author))
	check(t, Tags.Add(t.Context(), s, tag))
	check(t, s.AddArticle(t.Context(), article))
	check(t, s.AddComments(t.Context(), []*Comment{comment}))
	owner := &Secret{Account: Account{ID: id.New(id.Account), Email: "owner", Role: access.Customer}}
	session, mail := &Session{ID: id.New(id.Session), AccountID: owner.ID, EndsAt: second(100)}, &OutgoingMail{ID: id.New(id.Mail), NextAt: second(1), CreatedAt: second(100)}
	check(t, s.AddAccount(t.Context(), owner))
	check(t, s.AddSession(t.Context(), session))
	check(t, s.AddMail(t.Context(), mail))
	check(t, s.AddMailCode(t.Context(), &MailCode{Hash: "2", Kind: CodeToReset, EndsAt: second(100)})) // deleted before "1" is read
	pen := productOf("pen", second(100))
	check(t, s.AddProduct(t.Context(), pen))
	nothing := func(context.Context) {}
	done := func(_ any, err error) { t.Helper(); check(t, err) }
	read := func(ctx context.Context, l *List, err error) {
		t.Helper()
		check(t, err)
		done(l.Page(ctx))
		_, _, err = l.Count(ctx, 10)
		check(t, err)
	}
	return map[string]func(context.Context){
		"Migrate": func(ctx context.Context) { check(t, s.Migrate(ctx, func(string) {})) },
		"Close":   nothing, "Cache": nothing, "Purge": nothing, "Flush": nothing, "Counts": nothing, "Ping": nothing, "AwaitPrimary": nothing, "Ready": nothing, "Namespace": nothing, "Followers": nothing,
		"Begin":      func(ctx context.Context) { check(t, s.Begin(ctx, "task")) },
		"HasAccount": func(ctx context.Context) { done(s.HasAccount(ctx, owner.ID)) },
		"ForgetGone": func(ctx context.Context) { done(s.ForgetGone(ctx)) },
		"Unfinished": func(ctx context.Context) { done(s.Unfinished(ctx, "task")) },
		"Finish":     func(ctx context.Context) { check(t, s.Finish(ctx, "task")) },
		"Articles.All": func(ctx context.Context) {
			done(Articles.All(ctx, s, []id.ID{article.ID}))
			done(Articles.All(ctx, s, []id.ID{id.New(id.Article), id.New(id.Article)}))
		},
		"Revisions.All": func(ctx context.Context) {
			done(Revisions.All(ctx, s, []id.ID{id.New(id.Revision), article.RevisionID}))
		},
		"Authors.All":     func(ctx context.Context) { done(Authors.All(ctx, s, []id.ID{author.ID, id.New(id.Author)})) },
		"Tags.All":        func(ctx context.Context) { done(Tags.All(ctx, s, []id.ID{tag.ID, id.New(id.Tag)})) },
		"Comments.All":    func(ctx context.Context) { done(Comments.All(ctx, s, []id.ID{comment.ID, id.New(id.Comment)})) },
		"Articles.BySlug": func(ctx context.Context) { done(Articles.BySlug(ctx, s, "article")) },
		"Authors.BySlug":  func(ctx context.Context) { done(Authors.BySlug(ctx, s, "author")) },
		"Tags.BySlug":     func(ctx context.Context) { done(Tags.BySlug(ctx, s, "tag")) },
		"ListArticles": func(ctx context.Context) {
			for _, f := range everyFilter() {
				for _, w := range windowsOf(func(w Window) (*List, error) { return s.ListArticles(ctx, f, w) }) {
					l, err := s.ListArticles(ctx, f, w)
					read(ctx, l, err)
				}
			}
		},
		"Children": func(ctx context.Context) {
			for _, kind := range []id.Kind{id.Article, id.Author, id.Tag, id.Account} {
				done(s.Children(ctx, []ChildrenKey{ChildrenKey(id.New(kind))}))
				done(s.Children(ctx, []ChildrenKey{ChildrenKey(id.New(kind)), ChildrenKey(id.New(kind))}))
			}
			for _, key := range []ChildrenKey{ChildrenKey(tag.ID), ChildrenKey(author.ID)} {
				last := 1
				done(s.Children(ctx, []ChildrenKey{key, key.End(Window{Last: &last})}))
				for _, w := range []Window{{}, {Last: &last}} {
					part, err := NewChildrenWindow(key, "", w)
					check(t, err)
					done(part.Beyond(s).Page(ctx))
				}
			}
			done(s.Children(ctx, []ChildrenKey{RevisionsOf(id.New(id.Article))}))
			done(s.Children(ctx, []ChildrenKey{RevisionsOf(id.New(id.Article)), RevisionsOf(id.New(id.Article))}))
		},
		"ChildrenCounts": func(ctx context.Context) {
			done(s.ChildrenCounts(ctx, []ChildrenKey{ChildrenKey(tag.ID), ChildrenKey(author.ID), ChildrenKey(id.New(id.Tag))}))
		},
		"Neighbours": func(ctx context.Context) {
			done(s.Neighbours(ctx, []Position{PositionOf(article), PositionOf(published("none", second(1)))}))
		},
		"AddRevision": func(ctx context.Context) { check(t, s.AddRevision(ctx, &Revision{ID: id.New(id.Revision)})) },
		"AddArticle":  func(ctx context.Context) { check(t, s.AddArticle(ctx, published("another", second(200)))) },
		"ChangeArticle": func(ctx context.Context) {
			check(t, s.ChangeArticle(ctx, article, changedTo(article, func(*Article) {})))
		},
		"Relate": func(ctx context.Context) {
			check(t, s.Relate(ctx, []Relations{{Article: article.ID, IDs: []id.ID{}}, {Article: article.ID, Version: 1}}))
		},
		"NextUnrelated": func(ctx context.Context) { _, _, err := s.NextUnrelated(ctx); check(t, err) },
		"Unrelated":     func(ctx context.Context) { done(s.Unrelated(ctx, 10)) },
		"NewestPublic":  func(ctx context.Context) { done(s.NewestPublic(ctx, 10)) },
		"NewestUnder": func(ctx context.Context) {
			done(s.NewestUnder(ctx, []id.ID{tag.ID, author.ID, id.New(id.Tag)}, 10))
		},
		"RelatedTo": func(ctx context.Context) {
			done(s.RelatedTo(ctx, []id.ID{article.ID}, "", 10))
			done(s.RelatedTo(ctx, []id.ID{article.ID, id.New(id.Article)}, article.ID, 10))
		},
		"ArticleCounts": func(ctx context.Context) {
			done(s.ArticleCounts(ctx, []id.ID{AllArticles, tag.ID, author.ID, id.New(id.Tag)}))
		},
		"Exclusively": func(ctx context.Context) {
			done(s.Exclusively(ctx, "task", func(context.Context) error { return nil }))
		},
		"AddComments": func(ctx context.Context) { check(t, s.AddComments(ctx, []*Comment{comment})) },
		"AddComment": func(ctx context.Context) {
			done(s.AddComment(ctx, &Comment{ID: id.New(id.Comment), ArticleID: article.ID, AccountID: owner.ID, Version: 1}))
			gone := &Comment{ID: id.New(id.Comment), ArticleID: article.ID, AccountID: id.New(id.Account)}
			if _, err := s.AddComment(ctx, gone); !problem.Is(err, problem.NotFound) {
				t.Errorf("whose account has gone comments: %v", err)
			}
		},
		"Follow": func(ctx context.Context) {
			ctx, end := followingEnds(ctx, s)
			defer end()
			f, err := s.Follow(ctx, AllPublished, nil)
			check(t, err)
			check(t, f.reader.read(ctx))
			from := newEvent(AllPublished, 1000, article.ID).ID
			done(s.Follow(ctx, AllPublished, &from))
		},
		"LastEvent": func(ctx context.Context) { done(s.LastEvent(ctx, AllPublished)) },
		"Published": func(ctx context.Context) {
			ctx, end := followingEnds(ctx, s)
			defer end()
			done(s.Published(ctx, nil))
		},
		"CommentsAdded": func(ctx context.Context) {
			ctx, end := followingEnds(ctx, s)
			defer end()
			done(s.CommentsAdded(ctx, article.ID, nil))
		},
		"CommentNow": func(ctx context.Context) { done(s.CommentNow(ctx, comment.ID)) },
		"ChangeComment": func(ctx context.Context) {
			after := *comment
			check(t, s.ChangeComment(ctx, comment, &after))
			again := after
			check(t, s.ChangeComment(ctx, &after, &again))
		},
		"ShownComments": func(ctx context.Context) {
			done(s.ShownComments(ctx, []id.ID{comment.ID, id.New(id.Comment)}, s.Children))
		},
		"Ancestors": func(ctx context.Context) {
			done(s.Ancestors(ctx, []*Comment{{ID: id.New(id.Comment), ParentID: id.New(id.Comment)}, {ID: id.New(id.Comment), ParentID: comment.ID}}))
		},
		"Depth": nothing,
		"Submissions": func(ctx context.Context) {
			ctx, _ = access.Begin(ctx, access.Request{})
			access.Become(ctx, access.Viewer{Account: owner.ID, Role: access.Customer})
			done(s.Submissions(ctx, []id.ID{comment.ID, id.New(id.Comment)}))
		},
		"ListOwnComments": func(ctx context.Context) {
			ctx, _ = access.Begin(ctx, access.Request{})
			access.Become(ctx, access.Viewer{Account: owner.ID, Role: access.Customer})
			list := func(w Window) (*List, error) { return s.ListOwnComments(ctx, w) }
			for _, w := range windowsOf(list) {
				l, err := list(w)
				read(ctx, l, err)
			}
		},
		"ListCommentQueue": func(ctx context.Context) {
			ctx, _ = access.Begin(ctx, access.Request{})
			access.Become(ctx, access.Viewer{Account: owner.ID, Role: access.Editor})
			for _, statuses := range [][]CommentStatus{{CommentPending}, {CommentSpam, CommentHidden}} {
				list := func(w Window) (*List, error) { return s.ListCommentQueue(ctx, statuses, w) }
				for _, w := range windowsOf(list) {
					l, err := list(w)
					read(ctx, l, err)
				}
			}
		},
		"Due":        func(ctx context.Context) { done(s.Due(ctx, second(0))) },
		"NextDue":    func(ctx context.Context) { _, _, err := s.NextDue(ctx); check(t, err) },
		"Imported":   func(ctx context.Context) { done(s.Imported(ctx)) },
		"TakenSlugs": func(ctx context.Context) { done(s.TakenSlugs(ctx)) }, "ArticleSources": func(ctx context.Context) { done(s.ArticleSources(ctx)) },
		"AllAuthors": func(ctx context.Context) { done(s.AllAuthors(ctx)) },
		"AllTags":    func(ctx context.Context) { done(s.AllTags(ctx)) },
		"FindFor": func(ctx context.Context) {
			check(t, s.FindFor(ctx, []id.ID{article.ID, owner.ID}, map[id.ID]Node{}))
		},
		"Editions": func(ctx context.Context) { done(s.Editions(ctx, Searched())) },
		"Words": func(ctx context.Context) {
			for _, kind := range Searched() {
				done(s.Words(ctx, kind, []id.ID{id.New(kind), id.New(kind)}))
			}
		},
		"Texts": func(ctx context.Context) {
			check(t, s.Texts(ctx, []id.ID{article.ID}, func([]Text) {}))
			check(t, s.Texts(ctx, []id.ID{article.ID, id.New(id.Article)}, func([]Text) {}))
		},
		"Empty": func(ctx context.Context) { done(s.Empty(ctx)) },

		"DeleteRevision": func(ctx context.Context) { check(t, s.DeleteRevision(ctx, &Revision{ID: id.New(id.Revision)})) },
		"Authors.Now":    func(ctx context.Context) { done(Authors.Now(ctx, s, []id.ID{author.ID, id.New(id.Author)})) },
		"Tags.Now":       func(ctx context.Context) { done(Tags.Now(ctx, s, []id.ID{tag.ID, id.New(id.Tag)})) },
		"AuthorsOf":      func(ctx context.Context) { done(s.AuthorsOf(ctx, owner.ID)) },
		"SlugsTaken": func(ctx context.Context) {
			done(Articles.SlugsTaken(ctx, s, []string{"a", "b"}))
			done(Authors.SlugsTaken(ctx, s, []string{"a", "b"}))
			done(Tags.SlugsTaken(ctx, s, []string{"a", "b"}))
		},
		"ArticleNow":         func(ctx context.Context) { done(s.ArticleNow(ctx, article.ID)) },
		"Articles.For":       func(ctx context.Context) { done(Articles.For(ctx, s, []id.ID{article.ID, id.New(id.Article)})) },
		"Desk":               func(ctx context.Context) { done(s.Desk(ctx, []id.ID{article.ID, id.New(id.Article)})) },
		"Articles.BySlugFor": func(ctx context.Context) { done(Articles.BySlugFor(ctx, s, "article")) },
		"Shared": func(ctx context.Context) {
			if _, _, err := s.Shared(ctx, article.ID, owner.ID); err != nil {
				t.Error(err)
			}
		},
		"Revisions.For": func(ctx context.Context) {
			done(Revisions.For(ctx, s, []id.ID{id.New(id.Revision), article.RevisionID}))
		},
		"RevisionAt": func(ctx context.Context) {
			if _, err := s.RevisionAt(ctx, article.ID, 3); err != nil && !problem.Is(err, problem.NotFound) {
				t.Error(err)
			}
		},
		"MoveChildren": func(ctx context.Context) {
			check(t, s.MoveChildren(ctx, id.New(id.Author), nil, nil))
			check(t, s.MoveChildren(ctx, id.New(id.Tag), nil, nil))
		},
		"Tasks": func(ctx context.Context) { done(s.Tasks(ctx, "merge/")) },
		"Seal":  func(ctx context.Context) { done(s.Seal(ctx, "purpose", "text")) },
		"Unseal": func(ctx context.Context) {
			token, err := s.Seal(ctx, "purpose", "text")
			check(t, err)
			done(s.Unseal(ctx, "purpose", token))
		},
		"PurgeDeleted": func(ctx context.Context) {
			gone := changedTo(published("gone", second(1)), func(a *Article) { a.Status, a.DeletedAt = Deleted, second(1) })
			check(t, s.AddArticle(ctx, gone))
			n, err := s.PurgeDeleted(ctx, second(2))
			if check(t, err); n != 1 {
				t.Errorf("%d were purged", n)
			}
		},
		"ListDesk": func(ctx context.Context) {
			for _, role := range []access.Role{access.Author, access.Editor} {
				ctx, _ := access.Begin(ctx, access.Request{})
				access.Become(ctx, access.Viewer{Account: owner.ID, Role: role})
				for _, statuses := range [][]Status{{Draft, Scheduled}, {Draft}, {Deleted}} {
					for _, own := range []bool{false, true} {
						list := func(w Window) (*List, error) { return s.ListDesk(ctx, statuses, own, w) }
						for _, w := range windowsOf(list) {
							l, err := list(w)
							read(ctx, l, err)
						}
					}
				}
			}
		},
		"Addresses":      func(ctx context.Context) { check(t, s.Addresses(ctx, func(Address) {})) },
		"AddressesStamp": func(ctx context.Context) { done(s.AddressesStamp(ctx)) },

		"Accounts.For": func(ctx context.Context) { done(Accounts.For(ctx, s, []id.ID{owner.ID, id.New(id.Account)})) },
		"ListAccounts": func(ctx context.Context) {
			for _, role := range access.Roles {
				ctx, _ := access.Begin(ctx, access.Request{})
				access.Become(ctx, access.Viewer{Account: owner.ID, Role: role})
				for _, f := range []AccountFilter{{}, {Email: &owner.Email}, {Role: &role}, {Email: &owner.Email, Role: &role}} {
					list := func(w Window) (*List, error) { return s.ListAccounts(ctx, f, w) }
					for _, w := range windowsOf(list) {
						l, err := list(w)
						read(ctx, l, err)
					}
				}
			}
		},
		"Identify":      func(ctx context.Context) { _, _, err := s.Identify(ctx, []id.ID{session.ID}); check(t, err) },
		"SecretOf":      func(ctx context.Context) { done(s.SecretOf(ctx, owner.ID)) },
		"SecretByEmail": func(ctx context.Context) { done(s.SecretByEmail(ctx, owner.Email)) },
		"AddAccount": func(ctx context.Context) {
			check(t, s.AddAccount(ctx, &Secret{Account: Account{ID: id.New(id.Account), Email: "new"}}))
		},
		"ChangeAccount": func(ctx context.Context) { after := *owner; check(t, s.ChangeAccount(ctx, owner, &after)) },
		"DeleteAccount": func(ctx context.Context) {
			gone := &Secret{Account: Account{ID: id.New(id.Account), Email: "gone"}}
			check(t, s.AddAccount(ctx, gone))
			check(t, s.DeleteAccount(ctx, &gone.Account))
		},
		"ForgetAccount": func(ctx context.Context) {
			gone := &Session{ID: id.New(id.Session), AccountID: id.New(id.Account)}
			check(t, s.AddSession(ctx, gone))
			check(t, s.ForgetAccount(ctx, gone.AccountID, "gone"))
		},
		"Sessions.For":  func(ctx context.Context) { done(Sessions.For(ctx, s, []id.ID{session.ID, id.New(id.Session)})) },
		"AddSession":    func(ctx context.Context) { check(t, s.AddSession(ctx, &Session{ID: id.New(id.Session)})) },
		"SessionsUnder": func(ctx context.Context) { done(s.SessionsUnder(ctx, owner.ID)) },
		"EndSessions":   func(ctx context.Context) { check(t, s.EndSessions(ctx, []*Session{session})) },
		"LastUses":      func(ctx context.Context) { done(s.LastUses(ctx, []id.ID{session.ID})) },
		"RecordLastUses": func(ctx context.Context) {
			check(t, s.RecordLastUses(ctx, map[id.ID]time.Time{session.ID: second(100)}, time.Minute))
		},
		"AddMailCode": func(ctx context.Context) {
			check(t, s.AddMailCode(ctx, &MailCode{Hash: "1", Kind: CodeToReset, EndsAt: second(100)}))
		},
		"MailCode":       func(ctx context.Context) { done(s.MailCode(ctx, CodeToReset, "1", second(0))) },
		"DeleteMailCode": func(ctx context.Context) { done(s.DeleteMailCode(ctx, "2")) },
		"AddMail":        func(ctx context.Context) { check(t, s.AddMail(ctx, &OutgoingMail{ID: id.New(id.Mail)})) },
		"HasMail":        func(ctx context.Context) { done(s.HasMail(ctx, mail.ID)) },
		"NextMail":       func(ctx context.Context) { _, _, err := s.NextMail(ctx); check(t, err) },
		"DueMails":       func(ctx context.Context) { done(s.DueMails(ctx, second(0))) },
		"TakeMail":       func(ctx context.Context) { done(s.TakeMail(ctx, mail, second(100))) },
		"RescheduleMail": func(ctx context.Context) {
			check(t, s.RescheduleMail(ctx, mail.ID, second(100)))
		},
		"CloseMail": func(ctx context.Context) { check(t, s.CloseMail(ctx, mail.ID)) },
		"RecordIdempotency": func(ctx context.Context) {
			for range 2 {
				done(s.RecordIdempotency(ctx, IdempotencyRecord{Caller: "me", Key: "0123456789012345678901", Mutation: "make", Input: 1}))
			}
		},
		"AddProduct":       func(ctx context.Context) { check(t, s.AddProduct(ctx, productOf("another", second(200)))) },
		"ChangeProduct":    func(ctx context.Context) { after := *pen; check(t, s.ChangeProduct(ctx, pen, &after)) },
		"DeleteProduct":    func(ctx context.Context) { check(t, s.DeleteProduct(ctx, added(t, s, productOf("gone", second(300))))) },
		"ProductNow":       func(ctx context.Context) { done(s.ProductNow(ctx, pen.ID)) },
		"ProductSources":   func(ctx context.Context) { done(s.ProductSources(ctx)) },
		"ProductsNow":      func(ctx context.Context) { done(s.ProductsNow(ctx, []id.ID{pen.ID})) },
		"ProductOfVariant": func(ctx context.Context) { done(s.ProductOfVariant(ctx, pen.Variants[0].ID)) },
		"PublicVariants": func(ctx context.Context) {
			done(s.PublicVariants(ctx, []id.ID{pen.Variants[0].ID, id.New(id.Variant)}))
		},
		"Descriptions.All": func(ctx context.Context) {
			done(Descriptions.All(ctx, s, []id.ID{pen.DescriptionID(), id.New(id.Description)}))
		},
		"Products.All":    func(ctx context.Context) { done(Products.All(ctx, s, []id.ID{pen.ID, id.New(id.Product)})) },
		"Products.BySlug": func(ctx context.Context) { done(Products.BySlug(ctx, s, "pen")) },
		"Products.List": func(ctx context.Context) {
			l, err := Products.List(s, Window{})
			read(ctx, l, err)
		},
		"Pictures": func(ctx context.Context) {
			done(s.Pictures(ctx, []id.ID{id.New(id.Image), id.New(id.Image)}))
		},
		"AddPicture": func(ctx context.Context) { check(t, s.AddPicture(ctx, &Picture{ID: id.New(id.Image)})) },
		"Sweep": func(ctx context.Context) {
			old := &Session{ID: id.New(id.Session), AccountID: id.New(id.Account), EndsAt: second(1)}
			check(t, s.AddSession(ctx, old))
			check(t, s.RecordLastUses(ctx, map[id.ID]time.Time{old.ID: second(1)}, time.Minute))
			check(t, s.Sweep(ctx, second(50), second(2)))
		},
	}
}

// everyFilter is every combination of conditions and orders. A filter with ids is served by these,
// with any other conditions.
func everyFilter() []ArticleFilter {
	slugs := func(s string) []*string { return []*string{nil, &s} }
	at := second(0)
	var all []ArticleFilter
	for _, order := range []ArticleOrder{ByPublished, ByTitle, ByUpdated} {
		for _, descending := range []bool{false, true} {
			for _, tag := range slugs("tag") {
				for _, author := range slugs("author") {
					for _, bounds := range [][2]*time.Time{{nil, nil}, {&at, nil}, {nil, &at}, {&at, &at}} {
						all = append(all, ArticleFilter{
							Order: order, Descending: descending, Tag: tag, Author: author, PublishedFrom: bounds[0], PublishedBefore: bounds[1],
						})
					}
				}
			}
			for _, ids := range [][]id.ID{{id.New(id.Article)}, {id.New(id.Article), id.New(id.Article)}} {
				all = append(all, ArticleFilter{Order: order, Descending: descending, IDs: ids})
			}
		}
	}
	return all
}

// windowsOf are windows of every shape onto a list: from either end, with cursors and without.
func windowsOf(list func(Window) (*List, error)) []Window {
	one := 1
	windows := []Window{{}}
	l, err := list(Window{})
	if err != nil {
		return windows // the first test of them shows the reason
	}
	cursor := encodeCursor(l.query.name(), Entry{ID: id.New(id.Article), Time: second(0), Text: "x"})
	return append(windows, Window{Before: &cursor, Last: &one}, Window{After: &cursor, Before: &cursor})
}

// shapesOf returns the shapes of one command, several for a query with alternatives. A plain insert
// has none.
func shapesOf(t *testing.T, command bson.Raw) []shape {
	t.Helper()
	elements, err := command.Elements()
	check(t, err)
	q := shape{collection: elements[0].Value().StringValue()}
	filter := bson.D{}
	decode := func(name string, into any) {
		t.Helper()
		if v, err := command.LookupErr(name); err == nil {
			check(t, v.Unmarshal(into))
		}
	}
	switch name := elements[0].Key(); name {
	case "find":
		var sort, read bson.D
		decode("filter", &filter)
		decode("sort", &sort)
		decode("projection", &read)
		for _, e := range sort {
			if fmt.Sprint(e.Value) == "-1" {
				e.Key = "-" + e.Key
			}
			q.sort = append(q.sort, e.Key)
		}
		for _, e := range read {
			q.read = append(q.read, e.Key)
		}
		_, err := command.LookupErr("limit")
		q.limited = err == nil
	case "aggregate":
		var stages []bson.D
		decode("pipeline", &stages)
		filter = stages[0][0].Value.(bson.D)
		q.read, q.limited = []string{}, stages[1][0].Key == "$limit"
		var inner []shape
		for _, stage := range stages {
			if stage[0].Key == "$lookup" {
				inner = append(inner, lookedUpBy(t, stage[0].Value.(bson.D))...)
			}
		}
		return append(inner, conditions(t, q, filter)...)
	case "update":
		var updates []struct {
			Q bson.D `bson:"q"`
		}
		decode("updates", &updates)
		filter = updates[0].Q
	case "delete":
		var deletes []struct {
			Q bson.D `bson:"q"`
		}
		decode("deletes", &deletes)
		filter = deletes[0].Q
	case "distinct":
		decode("query", &filter)
		q.read = []string{command.Lookup("key").StringValue()}
	case "insert":
		return nil
	default:
		t.Fatalf("what does %s need? Say so in shapesOf", name)
	}
	return conditions(t, q, filter)
}

// lookedUpBy is the shapes of the reads of a $lookup for each document. Its comparisons with
// variables are bounds on its sort fields.
func lookedUpBy(t *testing.T, lookup bson.D) []shape {
	t.Helper()
	q, filter := shape{}, bson.D{}
	for _, e := range lookup {
		switch e.Key {
		case "from":
			q.collection = e.Value.(string)
		case "foreignField":
			q.equal = append(q.equal, e.Value.(string))
		case "pipeline":
			for _, stage := range e.Value.(bson.A) {
				switch of := stage.(bson.D)[0]; of.Key {
				case "$match":
					filter = slices.DeleteFunc(of.Value.(bson.D), func(e bson.E) bool { return e.Key == "$expr" })
				case "$sort":
					for _, e := range of.Value.(bson.D) {
						if fmt.Sprint(e.Value) == "-1" {
							e.Key = "-" + e.Key
						}
						q.sort = append(q.sort, e.Key)
					}
				case "$project":
					for _, e := range of.Value.(bson.D) {
						q.read = append(q.read, e.Key)
					}
				case "$group":
					q.read = []string{}
				}
			}
		}
	}
	return conditions(t, q, filter)
}

// conditions adds the conditions of a filter to q: one shape for each way to meet them.
func conditions(t *testing.T, q shape, filter bson.D) []shape {
	t.Helper()
	ways := []shape{q}
	for _, e := range filter {
		switch v := e.Value.(type) {
		case bson.A:
			switch e.Key {
			case "$or":
				var out []shape
				for _, w := range ways {
					for _, branch := range v {
						out = append(out, conditions(t, w, branch.(bson.D))...)
					}
				}
				ways = out
			case "$and":
				for _, bound := range v {
					mustBeKeyset(t, q, bound.(bson.D))
				}
			default:
				t.Fatalf("what is %s? Say so in conditions", e.Key)
			}
		case bson.D:
			for i := range ways {
				if v[0].Key == "$in" {
					ways[i].equal = append(slices.Clone(ways[i].equal), e.Key)
				} else {
					ways[i].ranges = append(slices.Clone(ways[i].ranges), e.Key)
				}
			}
		default:
			for i := range ways {
				ways[i].equal = append(slices.Clone(ways[i].equal), e.Key)
			}
		}
	}
	return ways
}

// mustBeKeyset checks that a bound of a page is on the sort fields of the page only: such a bound
// is a position in the index that serves the order.
func mustBeKeyset(t *testing.T, q shape, bound bson.D) {
	t.Helper()
	for _, branch := range bound[0].Value.(bson.A) {
		for _, e := range branch.(bson.D) {
			if !slices.Contains(q.sort, e.Key) && !slices.Contains(q.sort, "-"+e.Key) {
				t.Errorf("a page sorted by %v is bounded by %s", q.sort, e.Key)
			}
		}
	}
}

// productOf returns a published product with one variant.
func productOf(slug string, at time.Time) *WholeProduct {
	p := &WholeProduct{Product: Product{ID: id.New(id.Product), Slug: slug, Title: slug, Status: ProductPublished, PublishedAt: &at}}
	p.Variants = []Variant{{ID: id.New(id.Variant), Options: []SelectedOption{}, Prices: []VariantPrice{}}}
	p.Description.ID = p.DescriptionID()
	p.Summarise()
	return p
}

func added(t *testing.T, s *Store, p *WholeProduct) *WholeProduct {
	t.Helper()
	check(t, s.AddProduct(t.Context(), p))
	return p
}
