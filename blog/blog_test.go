package blog

// Tests of reads: access to drafts, with and after a role, and the time of publication.

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/search"
	"stoa/store"
	"stoa/store/embedded"
)

// open opens a blog over a database of its own.
func open(t *testing.T) (*Blog, *store.Store) {
	t.Helper()
	return openWith(t, nil)
}

// openWith is open; onCommand is called with each command to the database.
func openWith(t *testing.T, onCommand func(string)) (*Blog, *store.Store) {
	t.Helper()
	return replica(t, database(t), onCommand)
}

// database is an empty database.
func database(t *testing.T) *embedded.Server {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close(context.Background())) })
	return server
}

// replica opens a blog over a database, one of several if others are open over it.
func replica(t *testing.T, server *embedded.Server, onCommand func(string)) (*Blog, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{
		URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 16 << 20, OnCommand: onCommand, Log: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close(context.Background())) })
	return New(s, search.New(search.NewLanguage("en"), s), "{token}", slog.New(slog.DiscardHandler)), s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as returns the context of a response to a viewer with a role, and the response's scope.
func as(t *testing.T, s *store.Store, role access.Role) (context.Context, *access.Answer) {
	t.Helper()
	ctx, answer := access.Begin(t.Context(), access.Request{})
	if role != "" {
		v := access.Viewer{Account: id.New(id.Account), Role: role}
		check(t, s.AddAccount(t.Context(), &store.Secret{Account: store.Account{ID: v.Account, Email: string(v.Account), Name: "Writer", Role: role, CreatedAt: store.Now()}}))
		access.Become(ctx, v)
	}
	return ctx, answer
}

// asked returns the context of a response to an anonymous client.
func asked(t *testing.T) (context.Context, *access.Answer) {
	t.Helper()
	return access.Begin(t.Context(), access.Request{})
}

// Public documents are found without reading the viewer, so the response can be cached for everyone.
// The errors for hidden and for missing documents are the same.
func TestWhoAsksIsLookedAtOnlyForWhatIsntPublic(t *testing.T) {
	b, s := open(t)
	editor, _ := as(t, s, access.Editor)
	public, err := b.Create(editor, NewArticle{Title: "Public"})
	check(t, err)
	_, err = b.Publish(editor, ArticleTransition{ID: public.Article.ID})
	check(t, err)
	draft, err := b.Create(editor, NewArticle{Title: "Draft"})
	check(t, err)
	is, err := store.Articles.All(editor, s, []id.ID{public.Article.ID})
	check(t, err)
	known := map[id.ID]store.Node{public.Article.ID: is[0]} // public articles were found before
	cases := map[string]struct {
		reason        string
		slug          string
		id            id.ID
		found, listed bool
	}{
		"Public": {"everyone sees it", "public", public.Article.ID, true, false},
		"Hidden": {"it might be the viewer's", "draft", draft.Article.ID, false, true},
		"Absent": {"so might this have been", "nothing", id.New(id.Article), false, true},
	}
	for name, c := range cases {
		ctx, answer := asked(t)
		a, err := b.Article(ctx, c.slug)
		if (err == nil) != c.found || err != nil && !problem.Is(err, problem.NotFound) || answer.Private() != c.listed {
			t.Errorf("%s by slug: %v, %v, private %t although %s", name, a, err, answer.Private(), c.reason)
		}
		ctx, answer = asked(t)
		found := maps.Clone(known)
		check(t, s.FindFor(ctx, []id.ID{c.id}, found))
		if (found[c.id] != nil) != c.found || answer.Private() != c.listed {
			t.Errorf("%s by id: %v, private %t although %s", name, found, answer.Private(), c.reason)
		}
	}
	ctx, answer := asked(t)
	_, err = b.Articles(ctx, nil, nil, store.Window{})
	if check(t, err); answer.Private() {
		t.Error("the public list looks at who asks")
	}
	link, err := b.CreatePreview(editor, PreviewRequest{ID: draft.Article.ID})
	check(t, err)
	ctx, answer = asked(t)
	if _, err := b.Preview(ctx, link.Token); err != nil || !answer.Private() {
		t.Errorf("a preview is private %t, %v", answer.Private(), err)
	}
}

// An author's name stands on an article only if the author or an editor wants it there.
func TestAuthorsNameOnlyThemselves(t *testing.T) {
	b, s := open(t)
	ctx, _ := as(t, s, access.Author)
	editor, _ := as(t, s, access.Editor)
	made, err := b.Create(ctx, NewArticle{Title: "Mine"})
	check(t, err)
	own := made.Article.AuthorIDs[0]
	other, err := b.CreateAuthor(editor, NewAuthor{Name: "Other"})
	check(t, err)
	version := made.Article.Version
	byline := func(ctx context.Context, pages ...id.ID) error {
		_, err := b.Update(ctx, ArticleUpdate{ID: made.Article.ID, ExpectedVersion: version, AuthorIDs: pages})
		if err == nil {
			version++
		}
		return err
	}
	for _, pages := range [][]id.ID{{other.Value.ID}, {own, other.Value.ID}} {
		if err := byline(ctx, pages...); !problem.Is(err, problem.Forbidden) {
			t.Errorf("an author names somebody else: %v", err)
		}
		if _, err := b.Create(ctx, NewArticle{Title: "Another", AuthorIDs: pages}); !problem.Is(err, problem.Forbidden) {
			t.Errorf("an author begins with somebody else's name: %v", err)
		}
	}
	check(t, byline(editor, own, other.Value.ID))
	check(t, byline(ctx, other.Value.ID, own)) // an editor has named both
	check(t, byline(ctx, own))
	if err := byline(ctx, own, other.Value.ID); !problem.Is(err, problem.Forbidden) {
		t.Errorf("an author names anew who isn't in the byline any more: %v", err)
	}
}

// A link to a preview ends with everything that it rests on, and with nothing else.
func TestPreviewsEnd(t *testing.T) {
	b, s := open(t)
	account := func(change func(*store.Secret)) func(*testing.T, context.Context, *store.Article) {
		return func(t *testing.T, ctx context.Context, _ *store.Article) {
			v, err := access.ViewerFrom(ctx)
			check(t, err)
			was, err := s.SecretOf(t.Context(), v.Account)
			check(t, err)
			is := *was
			change(&is)
			check(t, s.ChangeAccount(t.Context(), was, &is))
		}
	}
	status := func(change func(context.Context, ArticleTransition) (ArticleResult, error)) func(*testing.T, context.Context, *store.Article) {
		return func(t *testing.T, ctx context.Context, a *store.Article) {
			v, err := access.ViewerFrom(ctx)
			check(t, err)
			access.Become(ctx, access.Viewer{Account: v.Account, Role: access.Editor})
			_, err = change(ctx, ArticleTransition{ID: a.ID})
			check(t, err)
		}
	}
	cases := map[string]struct {
		reason string
		change func(*testing.T, context.Context, *store.Article)
		ends   bool
	}{
		"Nothing": {"the link shows the draft", func(*testing.T, context.Context, *store.Article) {}, false},
		"Edited": {"the link shows what the draft is now", func(t *testing.T, ctx context.Context, a *store.Article) {
			title := "New"
			_, err := b.Update(ctx, ArticleUpdate{ID: a.ID, ExpectedVersion: a.Version, Title: &title})
			check(t, err)
		}, false},
		"Published": {"everybody may read it", status(b.Publish), false},
		"Deleted":   {"nobody may read it", status(b.DeleteArticle), true},
		"Restored": {"a restored draft is shown to nobody by itself", func(t *testing.T, ctx context.Context, a *store.Article) {
			status(b.DeleteArticle)(t, ctx, a)
			status(b.Restore)(t, ctx, a)
		}, true},
		"Revoked":        {"its owner has ended it", status(b.RevokePreviews), true},
		"NewName":        {"the account is the same", account(func(a *store.Secret) { a.Name = "New" }), false},
		"NewPassword":    {"a thief of the session may have made it", account(func(a *store.Secret) { a.PasswordHash, a.Epoch = "new", a.Epoch+1 }), true},
		"RoleTaken":      {"its maker may not read the draft any more", account(func(a *store.Secret) { a.Role, a.Epoch = access.Customer, a.Epoch+1 }), true},
		"RoleTakenAlone": {"nor without an epoch", account(func(a *store.Secret) { a.Role = access.Customer }), true},
		"AccountDeleted": {"there is nobody who shows it", func(t *testing.T, ctx context.Context, _ *store.Article) {
			v, err := access.ViewerFrom(ctx)
			check(t, err)
			there, err := s.SecretOf(t.Context(), v.Account)
			check(t, err)
			check(t, s.DeleteAccount(t.Context(), &there.Account))
		}, true},
		"OwnerChanged": {"the draft is somebody else's", func(t *testing.T, _ context.Context, a *store.Article) {
			is := *a
			is.OwnerID = id.New(id.Account)
			check(t, s.ChangeArticle(t.Context(), a, &is))
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, _ := as(t, s, access.Author)
			made, err := b.Create(ctx, NewArticle{Title: name})
			check(t, err)
			link, err := b.CreatePreview(ctx, PreviewRequest{ID: made.Article.ID})
			check(t, err)
			c.change(t, ctx, made.Article)
			reader, _ := asked(t)
			if _, err := b.Preview(reader, link.Token); c.ends != problem.Is(err, problem.NotFound) || !c.ends && err != nil {
				t.Errorf("%s, and yet: %v", c.reason, err)
			}
			again, err := b.Preview(reader, link.Token[:len(link.Token)-1])
			if !problem.Is(err, problem.NotFound) {
				t.Errorf("a token without its end shows %v, %v", again, err)
			}
		})
	}
}

// An account without its role of author can no longer read or change its drafts.
func TestARoleThatWasTakenAwayTakesTheDraftsAlong(t *testing.T) {
	b, s := open(t)
	ctx, _ := as(t, s, access.Author)
	made, err := b.Create(ctx, NewArticle{Title: "Mine"})
	check(t, err)
	v, err := access.ViewerFrom(ctx)
	check(t, err)
	access.Become(ctx, access.Viewer{Account: v.Account, Role: access.Customer})
	if _, err := b.Article(ctx, "mine"); !problem.Is(err, problem.NotFound) {
		t.Errorf("by slug: %v", err)
	}
	if _, err := b.Update(ctx, ArticleUpdate{ID: made.Article.ID, ExpectedVersion: 1}); !problem.Is(err, problem.Forbidden) {
		t.Errorf("a change: %v", err)
	}
	drafts, err := b.Drafts(ctx, store.Window{})
	check(t, err)
	page, err := drafts.Page(ctx)
	if check(t, err); len(page.Entries) != 0 {
		t.Errorf("drafts: %v", page.Entries)
	}
}

// An article keeps the time of its first publication through later changes. A scheduled time goes
// when the article is published earlier, or its schedule is cancelled.
func TestWhenAnArticleWasPublished(t *testing.T) {
	b, s := open(t)
	ctx, _ := as(t, s, access.Editor)
	made, err := b.Create(ctx, NewArticle{Title: "T"})
	check(t, err)
	step := ArticleTransition{ID: made.Article.ID}
	at := func(w ArticleResult, err error) time.Time {
		t.Helper()
		check(t, err)
		return w.Article.PublishedAt
	}
	later := time.Now().Add(time.Hour)
	if got := at(b.Schedule(ctx, ArticleSchedule{ID: step.ID, At: later})); !got.Equal(later.UTC().Truncate(time.Millisecond)) {
		t.Errorf("scheduled for %s, not %s", got, later)
	}
	if got := at(b.Unpublish(ctx, step)); !got.IsZero() {
		t.Errorf("unscheduled, it has %s", got)
	}
	_, err = b.Schedule(ctx, ArticleSchedule{ID: step.ID, At: later})
	check(t, err)
	first := at(b.Publish(ctx, step))
	if first.After(time.Now()) {
		t.Errorf("published at %s, which is to come", first)
	}
	for range 2 { // the second changes nothing
		if got := at(b.Publish(ctx, step)); !got.Equal(first) {
			t.Errorf("published again: %s; first %s", got, first)
		}
	}
	if got := at(b.Unpublish(ctx, step)); !got.Equal(first) {
		t.Errorf("unpublished: %s; first %s", got, first)
	}
	again, err := b.Publish(ctx, step)
	if check(t, err); !again.Article.PublishedAt.Equal(first) || again.Article.UpdatedAt.Before(first) || again.Article.Version != 7 {
		t.Errorf("republished: %+v", again.Article)
	}
}
