package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stoa/access"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
	"stoa/tests/contention"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// everything that a public answer can hold.
const everyPath = `query ($id: ID!, $slug: String!, $com: ID!) {
	article(slug: $slug) { id title } node(id: $id) { id } nodes(ids: [$id, $id]) { id }
	articles(first: 100) { nodes { id title } edges { node { id } } count { value }  pageInfo { hasNextPage } }
	titles: articles(orderBy: {field: TITLE}) { nodes { id } count { value } }
	updated: articles(orderBy: {field: UPDATED_AT}) { nodes { id } }
	ids: articles(where: {ids: [$id]}) { nodes { id } count { value } }
	tagged: articles(where: {tag: "tag-0"}) { nodes { id } count { value } }
	by: articles(where: {author: "author-0"}) { nodes { id } count { value } }
	tag(slug: "tag-0") { articleCount articles { nodes { id } count { value } } }
	author(slug: "author-0") { articleCount articles { edges { node { id } } count { value } } }
	tags(first: 100) { nodes { articleCount articles(first: 100) { nodes { id } } } }
	authors(first: 100) { nodes { slug articleCount } }
	beside: articles(first: 100) { nodes { next { id } previous { id } related(first: 10) { id } commentCount } }
	comment: node(id: $com) { id ... on Comment { article { id } } }
}`

// A draft is reachable by nobody but its owner and editors: before it is published, when
// it was published and isn't any more, when it is scheduled, and when it is deleted.
func TestDraftsAreHiddenFromOthers(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(8))
	owner, editor := stoatest.NewWriter(t, s, "owner", access.Author), stoatest.NewWriter(t, s, "editor", access.Editor)
	others := []stoatest.Writer{stoatest.Nobody, stoatest.NewWriter(t, s, "customer", access.Customer), stoatest.NewWriter(t, s, "other", access.Author), stoatest.NewWriter(t, s, "staff", access.Staff)}
	var names struct{ Tag, Author struct{ ID string } }
	s.Data(t, &names, `{ tag(slug: "tag-0") { id } author(slug: "author-0") { id } }`, nil)
	var page struct {
		AuthorUpdate struct{ Author struct{ ID string } }
	}
	editor.Data(t, s, &page, `mutation ($in: AuthorUpdateInput!) { authorUpdate(input: $in) { author { id } } }`, map[string]any{"in": map[string]any{"id": names.Author.ID, "accountId": owner.ID}})

	look := func(w stoatest.Writer, article, slug, comment string) string {
		t.Helper()
		var out json.RawMessage
		w.Data(t, s, &out, everyPath, map[string]any{"id": article, "slug": slug, "com": comment})
		return string(out)
	}
	without := look(stoatest.Nobody, string(id.New(id.Article)), "no-such-thing", string(id.New(id.Comment)))
	made := owner.Do(t, s, "articleCreate", map[string]any{
		"title": "A secret", "slug": "a-secret", "bodyMarkdown": "Nobody knows.", "authorIds": []string{names.Author.ID}, "tagIds": []string{names.Tag.ID},
	})
	if made.Article == nil || made.Article.Status != "DRAFT" || made.Article.PublishedAt != nil {
		t.Fatalf("%+v", made)
	}
	a, comment := made.Article, id.New(id.Comment)
	stoatest.Check(t, s.Store.AddComments(t.Context(), []*store.Comment{{ID: comment, ArticleID: id.ID(a.ID), AuthorName: "Reader", Visible: true}}))
	hidden := func(when string) {
		t.Helper()
		s.Quiesce(t) // other articles are related to it, or aren't any more
		for _, w := range append(slices.Clone(others), owner, editor) {
			got := look(w, a.ID, "a-secret", string(comment))
			if w == owner || w == editor { // they see it under its own id and slug, and nowhere else
				for path, absent := range map[string]string{
					fmt.Sprintf(`"article":{"id":%q,"title":"A secret"}`, a.ID): `"article":null`, fmt.Sprintf(`"node":{"id":%q}`, a.ID): `"node":null`,
					fmt.Sprintf(`"nodes":[{"id":%q},{"id":%q}]`, a.ID, a.ID): `"nodes":[null,null]`,
				} {
					if !strings.Contains(got, path) && when != "deleted" {
						t.Errorf("%s: %s doesn't see %s in %s", when, w.Name, path, got)
					}
					got = strings.Replace(got, path, absent, 1)
				}
			}
			if strings.Contains(got, a.ID) {
				t.Errorf("%s: %s sees it in %s", when, w.Name, got)
			}
			if got != without {
				t.Errorf("%s: %s sees\n%.9000s\nwithout it there is\n%.9000s", when, w.Name, got, without)
			}
			var mine struct {
				Viewer *struct {
					Drafts, DeletedArticles struct{ Nodes []struct{ ID string } }
				}
			}
			w.Data(t, s, &mine, `{ viewer { drafts { nodes { id } } deletedArticles { nodes { id } } } }`, nil)
			if mine.Viewer == nil {
				continue
			}
			drafts, deleted := len(mine.Viewer.Drafts.Nodes), len(mine.Viewer.DeletedArticles.Nodes)
			gone := when == "deleted"
			if want := w == owner && !gone; drafts > 0 != want {
				t.Errorf("%s: %s has %d drafts", when, w.Name, drafts)
			}
			if want := (w == owner || w == editor) && gone; deleted > 0 != want {
				t.Errorf("%s: %s has %d deleted articles", when, w.Name, deleted)
			}
		}
		for _, w := range others {
			var out struct {
				Article *struct{ Revisions *struct{ Nodes []any } }
				Node    *struct{ ID string }
			}
			w.Data(t, s, &out, `query ($rev: ID!) { article(slug: "article-0") { revisions { nodes { id } } } node(id: $rev) { id } }`, map[string]any{"rev": revisionOf(t, s, a.ID)})
			if out.Article.Revisions != nil || out.Node != nil {
				t.Errorf("%s: %s sees what was said: %+v", when, w.Name, out)
			}
		}
	}
	hidden("draft")
	if got := editor.Do(t, s, "articlePublish", map[string]any{"id": a.ID}); got.Reason() != "" || got.Article.Status != "PUBLISHED" || got.Article.PublishedAt == nil {
		t.Fatalf("%+v", got)
	}
	if got := look(stoatest.Nobody, a.ID, "a-secret", string(comment)); strings.Count(got, a.ID) < 15 {
		t.Errorf("when it is published, it is seen in %d places only: %s", strings.Count(got, a.ID), got)
	}
	s.Quiesce(t)
	var related json.RawMessage
	s.Data(t, &related, `{ articles(first: 100) { nodes { related(first: 10) { id } } } }`, nil)
	if !strings.Contains(string(related), a.ID) {
		t.Errorf("nothing is related to it: %s", related)
	}
	editor.Do(t, s, "articleUnpublish", map[string]any{"id": a.ID})
	hidden("unpublished")
	if got := editor.Do(t, s, "articleSchedule", map[string]any{"id": a.ID, "at": time.Now().Add(time.Hour)}); got.Reason() != "" || got.Article.Status != "SCHEDULED" {
		t.Fatalf("%+v", got)
	}
	hidden("scheduled")
	editor.Do(t, s, "articlePublish", map[string]any{"id": a.ID})
	look(stoatest.Nobody, a.ID, "a-secret", string(comment))
	editor.Do(t, s, "articleDelete", map[string]any{"id": a.ID})
	hidden("deleted")
	if got := owner.Do(t, s, "articleRestore", map[string]any{"id": a.ID}); got.Reason() != "" || got.Article.Status != "DRAFT" {
		t.Fatalf("%+v", got)
	}
	hidden("restored")
}

// revisionOf is the text of an article.
func revisionOf(t *testing.T, s *stoatest.Stoa, article string) id.ID {
	t.Helper()
	a, err := s.Store.ArticleNow(t.Context(), id.ID(article))
	stoatest.Check(t, err)
	return a.RevisionID
}

func TestWhoMayDoWhatWithAnArticle(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner, other, editor := stoatest.NewWriter(t, s, "owner", access.Author), stoatest.NewWriter(t, s, "other", access.Author), stoatest.NewWriter(t, s, "editor", access.Editor)
	cases := map[string]struct {
		reason           string
		draft, published [3]string // results for owner, other and editor
		input            func(version int) map[string]any
	}{
		"articleUpdate": {"its owner's while it isn't published", [3]string{"", "NOT_FOUND", ""}, [3]string{"FORBIDDEN", "FORBIDDEN", ""},
			func(v int) map[string]any { return map[string]any{"expectedVersion": v, "summary": rand.Text()} }},
		"articleDelete":    {"its owner's while it isn't published", [3]string{"", "NOT_FOUND", ""}, [3]string{"FORBIDDEN", "FORBIDDEN", ""}, nil},
		"articleRestore":   {"what isn't deleted stays as it is", [3]string{"", "NOT_FOUND", ""}, [3]string{"FORBIDDEN", "FORBIDDEN", ""}, nil},
		"articlePublish":   {"an editor's", [3]string{"-", "-", ""}, [3]string{"-", "-", ""}, nil},
		"articleUnpublish": {"an editor's", [3]string{"-", "-", ""}, [3]string{"-", "-", ""}, nil},
		"articleSchedule": {"an editor's, and what is published can't be", [3]string{"-", "-", ""}, [3]string{"-", "-", "INVALID"},
			func(int) map[string]any { return map[string]any{"at": time.Now().Add(time.Hour)} }},
	}
	for mutation, c := range cases {
		for i, w := range []stoatest.Writer{owner, other, editor} {
			for status, want := range map[string]string{"DRAFT": c.draft[i], "PUBLISHED": c.published[i]} {
				made := owner.Do(t, s, "articleCreate", map[string]any{"title": "T"}).Article
				if status == "PUBLISHED" {
					made = editor.Do(t, s, "articlePublish", map[string]any{"id": made.ID}).Article
				}
				input := map[string]any{}
				if c.input != nil {
					input = c.input(made.Version)
				}
				input["id"] = made.ID
				got, err := w.Try(s, mutation, input)
				if want == "-" {
					if err == nil || !strings.Contains(err.Error(), "FORBIDDEN") {
						t.Errorf("%s of %s as %s: %+v, %v although it is %s", mutation, status, w.Name, got, err, c.reason)
					}
					continue
				}
				stoatest.Check(t, err)
				if got.Reason() != want || (got.Article == nil) != (want != "") {
					t.Errorf("%s of %s as %s: %+v; want %q: %s", mutation, status, w.Name, got, want, c.reason)
				}
			}
		}
	}
	if _, err := stoatest.Nobody.Try(s, "articleCreate", map[string]any{"title": "T"}); err == nil || !strings.Contains(err.Error(), "UNAUTHENTICATED") {
		t.Errorf("nobody: %v", err)
	}
}

func TestFiveEqualCreatesMakeOneArticle(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner := stoatest.NewWriter(t, s, "owner", access.Author)
	input := map[string]any{"title": "Once", "bodyMarkdown": "Only.", "idempotencyKey": rand.Text()}
	ids := map[string]bool{}
	for range 2 {
		for _, got := range together(t, 5, func(int) (stoatest.Wrote, error) { return owner.Try(s, "articleCreate", input) }) {
			if got.Article == nil || got.Article.Slug != "once" || len(got.Warnings) > 0 || got.Article.Author == nil || got.Article.Author.Name != "Owner" {
				t.Fatalf("%+v", got)
			}
			ids[got.Article.ID] = true
		}
	}
	var out struct {
		Viewer struct {
			Drafts struct {
				Nodes []struct {
					Revisions struct{ Nodes []struct{ Version int } }
				}
			}
		}
		Authors struct{ Count struct{ Value int } }
	}
	owner.Data(t, s, &out, `{ viewer { drafts { nodes { revisions { nodes { version } } } } } authors { count { value } } }`, nil)
	if len(ids) != 1 || len(out.Viewer.Drafts.Nodes) != 1 || len(out.Viewer.Drafts.Nodes[0].Revisions.Nodes) != 1 || out.Authors.Count.Value != 1 {
		t.Errorf("%d ids, %+v", len(ids), out)
	}
	if got := owner.Do(t, s, "articleCreate", map[string]any{"title": "Twice", "idempotencyKey": input["idempotencyKey"]}); got.Reason() != "KEY_REUSED" {
		t.Errorf("the key with another input: %+v", got)
	}
}

// together calls do n times at once.
func together(t *testing.T, n int, do func(i int) (stoatest.Wrote, error)) []stoatest.Wrote {
	t.Helper()
	out, errs := make([]stoatest.Wrote, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { out[i], errs[i] = do(i) })
	}
	all.Wait()
	for _, err := range errs {
		stoatest.Check(t, err)
	}
	return out
}

func TestOfArticlesWithOneSlugEachGetsItsOwn(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner := stoatest.NewWriter(t, s, "owner", access.Author)
	slugs, warned := map[string]bool{}, 0
	for _, got := range together(t, 5, func(int) (stoatest.Wrote, error) {
		return owner.Try(s, "articleCreate", map[string]any{"title": "The same title!"})
	}) {
		if got.Article == nil {
			t.Fatalf("%+v", got)
		}
		slugs[got.Article.Slug] = true
		warned += len(got.Warnings)
	}
	for _, want := range []string{"the-same-title", "the-same-title-2", "the-same-title-5"} {
		if !slugs[want] {
			t.Errorf("nobody got %s: %v", want, slugs)
		}
	}
	if len(slugs) != 5 || warned != 4 {
		t.Errorf("%d slugs, %d warnings", len(slugs), warned)
	}
	// One that was given up still leads to its article, and is nobody else's.
	a := owner.Do(t, s, "articleCreate", map[string]any{"title": "Old", "slug": "old"}).Article
	moved := owner.Do(t, s, "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": a.Version, "slug": "new"})
	other := owner.Do(t, s, "articleCreate", map[string]any{"title": "Other", "slug": "old"})
	if moved.Article.Slug != "new" || other.Article.Slug != "old-2" || len(other.Warnings) != 1 {
		t.Errorf("%+v, %+v", moved, other)
	}
	var out struct{ Article struct{ ID, Slug string } }
	owner.Data(t, s, &out, `{ article(slug: "old") { id slug } }`, nil)
	if out.Article.ID != a.ID || out.Article.Slug != "new" {
		t.Errorf("under its old slug: %+v", out)
	}
	back := owner.Do(t, s, "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": moved.Article.Version, "slug": "old"})
	if back.Article.Slug != "old" || len(back.Warnings) != 0 {
		t.Errorf("its own slug back: %+v", back)
	}
	for _, slug := range []string{"", "Upper", "a--b", "-a", "ü", strings.Repeat("a", 101), "a b"} {
		if got := owner.Do(t, s, "articleCreate", map[string]any{"title": "T", "slug": slug}); got.Reason() != "INVALID" || !slices.Equal(got.UserErrors[0].Path, []string{"slug"}) {
			t.Errorf("the slug %q: %+v", slug, got)
		}
	}
}

func TestOfTwoUpdatesOfOneVersionOneWins(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner, editor := stoatest.NewWriter(t, s, "owner", access.Author), stoatest.NewWriter(t, s, "editor", access.Editor)
	a := owner.Do(t, s, "articleCreate", map[string]any{"title": "First", "bodyMarkdown": "One\n\nTwo"}).Article
	won, lost := 0, 0
	for _, got := range together(t, 4, func(i int) (stoatest.Wrote, error) {
		return []stoatest.Writer{owner, editor}[i%2].Try(s, "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": a.Version, "title": fmt.Sprint("Title ", i), "bodyMarkdown": fmt.Sprint("One\n\nThree ", i)})
	}) {
		switch {
		case got.Reason() == "" && got.Article.Version == a.Version+1:
			won++
		case got.Reason() == "CONFLICT" && slices.Equal(got.UserErrors[0].Path, []string{"expectedVersion"}) && got.Current.Version == a.Version+1 && got.Expected != nil && got.Expected.Title == "First" && got.Expected.BodyMarkdown == "One\n\nTwo":
			lost++
		default:
			t.Errorf("%+v", got)
		}
	}
	if won != 1 || lost != 3 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	var out struct {
		Node struct {
			Version   int
			Revisions struct {
				Nodes []struct {
					ID, Title, AccountID string
					Version              int
				}
				Count struct{ Value int }
			}
		}
	}
	const asked = `query ($id: ID!) { node(id: $id) { ... on Article { version revisions { nodes { id title version accountId } count { value } } } } }`
	owner.Data(t, s, &out, asked, map[string]any{"id": a.ID})
	texts := out.Node.Revisions.Nodes
	if len(texts) != 2 || out.Node.Revisions.Count.Value != 2 || texts[0].Version != 2 || texts[1].Version != 1 || texts[1].AccountID != string(owner.ID) {
		t.Fatalf("what was refused is kept: %+v", out)
	}
	var diff struct {
		RevisionDiff *struct {
			Unified        string
			Added, Removed int
		}
	}
	const compared = `query ($from: ID!, $to: ID!) { revisionDiff(from: $from, to: $to) { unified added removed } }`
	owner.Data(t, s, &diff, compared, map[string]any{"from": texts[1].ID, "to": texts[0].ID})
	if d := diff.RevisionDiff; d == nil || d.Added != 2 || d.Removed != 2 || !strings.Contains(d.Unified, "-Two\n+Three") || !strings.Contains(d.Unified, "-# First\n+# Title") {
		t.Errorf("%+v", diff.RevisionDiff)
	}
	stoatest.Nobody.Data(t, s, &diff, compared, map[string]any{"from": texts[1].ID, "to": texts[0].ID})
	if diff.RevisionDiff != nil {
		t.Errorf("nobody sees %+v", diff.RevisionDiff)
	}
	restored := owner.Do(t, s, "articleRevisionRestore", map[string]any{"id": texts[1].ID})
	if restored.Article == nil || restored.Article.Title != "First" || restored.Article.Version != 3 {
		t.Errorf("%+v", restored)
	}
	owner.Data(t, s, &out, asked, map[string]any{"id": a.ID})
	if len(out.Node.Revisions.Nodes) != 3 || out.Node.Version != 3 {
		t.Errorf("%+v", out)
	}
}

func TestAPreviewShowsADraftToWhoeverHasTheLink(t *testing.T) {
	s := stoatest.Start(t, stoatest.Settings{"STOA_SITE_URL": "https://site.example"})
	owner, other, editor := stoatest.NewWriter(t, s, "owner", access.Author), stoatest.NewWriter(t, s, "other", access.Author), stoatest.NewWriter(t, s, "editor", access.Editor)
	a := owner.Do(t, s, "articleCreate", map[string]any{"title": "Soon", "bodyMarkdown": "*Soon*"}).Article
	type link struct {
		Out struct {
			Preview *struct {
				Token, URL string
				ExpiresAt  time.Time
			}
			UserErrors []struct{ Code string }
		}
	}
	create := func(w stoatest.Writer, input map[string]any) (out link) {
		t.Helper()
		w.Data(t, s, &out, `mutation ($in: ArticlePreviewCreateInput!) { out: articlePreviewCreate(input: $in) { preview { token url expiresAt } userErrors { code } } }`, map[string]any{"in": input})
		return out
	}
	for _, refused := range []link{create(other, map[string]any{"id": a.ID}), create(owner, map[string]any{"id": a.ID, "expiresIn": 0}), create(owner, map[string]any{"id": a.ID, "expiresIn": 30*24*3600 + 1})} {
		if refused.Out.Preview != nil || len(refused.Out.UserErrors) != 1 {
			t.Errorf("%+v", refused)
		}
	}
	p := create(owner, map[string]any{"id": a.ID}).Out.Preview
	if p == nil || p.URL != "https://site.example/preview#token="+p.Token || p.ExpiresAt.Before(time.Now().Add(6*24*time.Hour)) {
		t.Fatalf("%+v", p)
	}
	shown := func(token string) string {
		t.Helper()
		var out struct {
			Preview *struct{ BodyHTML, Status string }
		}
		stoatest.Nobody.Data(t, s, &out, `query ($token: String!) { preview(token: $token) { bodyHtml status } }`, map[string]any{"token": token})
		if out.Preview == nil {
			return ""
		}
		return out.Preview.Status + out.Preview.BodyHTML
	}
	if got := shown(p.Token); got != "DRAFT<p><em>Soon</em></p>\n" {
		t.Errorf("the link shows %q", got)
	}
	another := owner.Do(t, s, "articleCreate", map[string]any{"title": "Another"}).Article
	sealed := []byte(p.Token)
	for i := range sealed {
		other := bytes.Clone(sealed)
		if other[i]++; i%10 == 0 && shown(string(other)) != "" {
			t.Errorf("with another character %d the token shows the draft", i)
		}
	}
	for name, token := range map[string]string{
		"Nothing": "", "Half": p.Token[:len(p.Token)/2], "Article": a.ID, "Twice": p.Token + p.Token, "Long": strings.Repeat("A", 10_000),
	} {
		if got := shown(token); got != "" {
			t.Errorf("%s shows %q", name, got)
		}
	}
	revoke := func(w stoatest.Writer) string {
		t.Helper()
		var out struct{ Out stoatest.Wrote }
		w.Data(t, s, &out, `mutation ($in: ArticlePreviewsRevokeInput!) { out: articlePreviewsRevoke(input: $in) { article { id } userErrors { code } } }`, map[string]any{"in": map[string]any{"id": a.ID}})
		return out.Out.Reason()
	}
	if got := revoke(other); got != "NOT_FOUND" || shown(p.Token) == "" {
		t.Errorf("another author revokes the links of a draft: %q", got)
	}
	if got := revoke(owner); got != "" || shown(p.Token) != "" {
		t.Errorf("the owner revokes them: %q, and they show %q", got, shown(p.Token))
	}
	p = create(owner, map[string]any{"id": a.ID}).Out.Preview
	if got := shown(p.Token); got == "" {
		t.Error("a later link shows nothing")
	}
	editor.Do(t, s, "articleDelete", map[string]any{"id": a.ID})
	if got := shown(p.Token); got != "" {
		t.Errorf("of what is deleted it shows %q", got)
	}
	owner.Do(t, s, "articleRestore", map[string]any{"id": a.ID})
	if got := shown(p.Token); got != "" {
		t.Errorf("after deletion and restoration it shows %q", got)
	}
	short := create(editor, map[string]any{"id": another.ID, "expiresIn": 1}).Out.Preview
	stoatest.Await(t, 5*time.Second, "the link to end", func() bool { return shown(short.Token) == "" })
}

func TestWhatWasDeletedIsGoneAfterThirtyDays(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner := stoatest.NewWriter(t, s, "owner", access.Author)
	kept := owner.Do(t, s, "articleCreate", map[string]any{"title": "Kept"}).Article
	a := owner.Do(t, s, "articleCreate", map[string]any{"title": "Gone"}).Article
	comment := id.New(id.Comment)
	stoatest.Check(t, s.Store.AddComments(t.Context(), []*store.Comment{{ID: comment, ArticleID: id.ID(a.ID), Visible: true}}))
	text := revisionOf(t, s, a.ID)
	owner.Do(t, s, "articleDelete", map[string]any{"id": a.ID})
	for after, want := range map[time.Duration]int{0: 0, 29 * 24 * time.Hour: 0} {
		n, err := s.Blog.Purge(t.Context(), time.Now().Add(after))
		if stoatest.Check(t, err); n != want {
			t.Errorf("after %s, %d are purged", after, n)
		}
	}
	for _, want := range []int{1, 0} {
		n, err := s.Blog.Purge(t.Context(), time.Now().Add(30*24*time.Hour+time.Minute))
		if stoatest.Check(t, err); n != want {
			t.Errorf("%d are purged; want %d", n, want)
		}
	}
	if got := owner.Do(t, s, "articleRestore", map[string]any{"id": a.ID}); got.Reason() != "NOT_FOUND" {
		t.Errorf("%+v", got)
	}
	texts, err := store.Revisions.All(t.Context(), s.Store, []id.ID{text})
	stoatest.Check(t, err)
	said, err := store.Comments.All(t.Context(), s.Store, []id.ID{comment})
	stoatest.Check(t, err)
	if texts[0] != nil || said[0] != nil {
		t.Errorf("left are %v and %v", texts[0], said[0])
	}
	if _, err := s.Store.ArticleNow(t.Context(), id.ID(kept.ID)); err != nil {
		t.Error(err)
	}
	if got := owner.Do(t, s, "articleCreate", map[string]any{"title": "Gone"}).Article.Slug; got != "gone" {
		t.Errorf("its slug is free, but another gets %s", got)
	}
}

// A merge interrupted at any step is finished by the next one; repeating it changes nothing.
func TestAMergeThatWasCutShortIsFinished(t *testing.T) {
	for _, kind := range []string{"author", "tag"} {
		t.Run(kind, func(t *testing.T) {
			s := stoatest.Start(t, nil)
			s.Import(t, stoatest.Articles(8))
			editor := stoatest.NewWriter(t, s, "editor", access.Editor)
			from, into := nameID(t, s, kind, "0"), nameID(t, s, kind, "1")
			var before struct {
				A, B struct {
					Articles struct{ Nodes []struct{ ID string } }
				}
			}
			s.Data(t, &before, fmt.Sprintf(`{ a: %[1]s(slug: "%[1]s-0") { articles { nodes { id } } } b: %[1]s(slug: "%[1]s-1") { articles { nodes { id } } } }`, kind), nil)
			all := map[string]bool{}
			for _, n := range append(before.A.Articles.Nodes, before.B.Articles.Nodes...) {
				all[n.ID] = true
			}
			// As if it had ended after the first article.
			stoatest.Check(t, s.Store.Begin(t.Context(), "merge/"+from+"/"+into))
			ended := errors.New("the process has ended")
			err := s.Store.MoveChildren(t.Context(), id.ID(from), edit.Merge{ID: id.ID(from), IntoID: id.ID(into)}.Replace, store.ReplaceByKind{
				id.Article: func(ctx context.Context, before, after store.Node) error {
					return errors.Join(s.Store.ChangeArticle(ctx, before.(*store.Article), after.(*store.Article)), ended)
				},
			})
			if !errors.Is(err, ended) || problem.Is(err, problem.Conflict) {
				t.Fatal(err)
			}
			if other := nameID(t, s, kind, "2"); mergeOf(t, s, editor, kind, other, from) != "CONFLICT" {
				t.Error("what is being merged can be merged into")
			}
			stoatest.Check(t, s.Blog.FinishMerges(t.Context()))
			stoatest.Check(t, s.Blog.FinishMerges(t.Context()))
			for range 2 {
				if code := mergeOf(t, s, editor, kind, from, into); code != "" {
					t.Errorf("again: %s", code)
				}
			}
			var out struct {
				Old struct {
					ID, Slug     string
					ArticleCount int
					Articles     struct{ Nodes []struct{ ID string } }
				}
				Node *struct{ ID string }
			}
			s.Data(t, &out, fmt.Sprintf(`{ old: %[1]s(slug: "%[1]s-0") { id slug articleCount articles { nodes { id } } } node(id: %[2]q) { id } }`, kind, from), nil)
			if out.Old.ID != into || out.Old.Slug != kind+"-1" || out.Old.ArticleCount != len(all) || out.Node != nil {
				t.Errorf("of %d articles: %+v", len(all), out)
			}
			left, err := s.Store.Tasks(t.Context(), "merge/")
			if stoatest.Check(t, err); len(left) > 0 {
				t.Errorf("left to do: %v", left)
			}
			if got := mergeOf(t, s, editor, kind, into, into); got != "INVALID" {
				t.Errorf("into itself: %s", got)
			}
		})
	}
}

func nameID(t *testing.T, s *stoatest.Stoa, kind, n string) string {
	t.Helper()
	var out struct{ It struct{ ID string } }
	s.Data(t, &out, fmt.Sprintf(`{ it: %[1]s(slug: "%[1]s-%[2]s") { id } }`, kind, n), nil)
	return out.It.ID
}

// mergeOf merges and returns the code of the refusal.
func mergeOf(t *testing.T, s *stoatest.Stoa, w stoatest.Writer, kind, from, into string) string {
	t.Helper()
	var out struct {
		Out struct{ UserErrors []struct{ Code string } }
	}
	w.Data(t, s, &out, fmt.Sprintf(`mutation { out: %sMerge(input: {id: %q, intoId: %q}) { %s { id } userErrors { code } } }`, kind, from, into, kind), nil)
	if len(out.Out.UserErrors) > 0 {
		return out.Out.UserErrors[0].Code
	}
	return ""
}

func TestNamesAreMadeAndChanged(t *testing.T) {
	s := stoatest.Start(t, nil)
	editor := stoatest.NewWriter(t, s, "editor", access.Editor)
	type answer struct {
		A, B, C, D struct {
			Author, Tag *struct{ ID, Slug, Name, Description, BioHTML string }
			Warnings    []struct{ Message string }
			UserErrors  []struct {
				Code string
				Path []string
			}
		}
	}
	var out answer
	editor.Data(t, s, &out, `mutation {
		a: authorCreate(input: {name: " Ruth  Casey ", bioMarkdown: "*Writes*", url: "https://ruth.example/"}) { author { id slug name bioHtml } warnings { message } userErrors { code path } }
		b: authorCreate(input: {name: "Ruth Casey"}) { author { slug } warnings { message } userErrors { code path } }
		c: tagCreate(input: {name: "Ink", description: "Wet"}) { tag { id slug description } warnings { message } userErrors { code path } }
		d: tagCreate(input: {name: ""}) { tag { id } warnings { message } userErrors { code path } }
	}`, nil)
	if out.A.Author == nil || out.A.Author.Slug != "ruth-casey" || out.A.Author.Name != "Ruth Casey" || out.A.Author.BioHTML != "<p><em>Writes</em></p>\n" ||
		out.B.Author == nil || out.B.Author.Slug != "ruth-casey-2" || len(out.B.Warnings) != 1 || out.C.Tag == nil || out.C.Tag.Slug != "ink" ||
		out.D.Tag != nil || out.D.UserErrors[0].Code != "INVALID" || !slices.Equal(out.D.UserErrors[0].Path, []string{"name"}) {
		t.Fatalf("%+v", out)
	}
	author, tag := out.A.Author.ID, out.C.Tag.ID
	var found struct{ Old, New *struct{ Slug string } }
	s.Data(t, &found, `{ old: tag(slug: "ink") { slug } new: tag(slug: "paint") { slug } }`, nil)
	editor.Data(t, s, &out, fmt.Sprintf(`mutation {
		a: authorUpdate(input: {id: %q, slug: "ruth", name: "Ruth"}) { author { id slug name } warnings { message } userErrors { code path } }
		b: authorUpdate(input: {id: %q, slug: "ruth-casey-2"}) { author { slug } warnings { message } userErrors { code path } }
		c: tagUpdate(input: {id: %q, slug: "paint"}) { tag { id slug } warnings { message } userErrors { code path } }
		d: tagUpdate(input: {id: "tag_01k9v6v0mvf5ts2c5zr0h4m8qd"}) { tag { id } warnings { message } userErrors { code path } }
	}`, author, author, tag), nil)
	if out.A.Author.Slug != "ruth" || out.A.Author.Name != "Ruth" || out.B.Author.Slug != "ruth-casey-2-2" || len(out.B.Warnings) != 1 || out.D.UserErrors[0].Code != "NOT_FOUND" {
		t.Errorf("%+v", out)
	}
	s.Data(t, &found, `{ old: tag(slug: "ink") { slug } new: tag(slug: "paint") { slug } }`, nil)
	if found.Old == nil || found.New == nil || found.Old.Slug != "paint" {
		t.Errorf("under the old slug and the new one: %+v", found)
	}
}

// A writer's article that an editor schedules appears once, on time, on every replica, also
// when the one that scheduled it has gone.
func TestAnArticleThatIsScheduledAppearsOnTimeAndOnce(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis}
	replicas := []*stoatest.Stoa{stoatest.Start(t, settings), stoatest.Start(t, settings), stoatest.Start(t, settings)}
	owner, editor := stoatest.NewWriter(t, replicas[0], "owner", access.Author), stoatest.NewWriter(t, replicas[0], "editor", access.Editor)
	replicas[0].Import(t, stoatest.Articles(1))
	stoatest.AwaitTrust(t, replicas...)
	a := owner.Do(t, replicas[0], "articleCreate", map[string]any{"title": "Later"}).Article
	due := time.Now().Add(3 * time.Second).UTC().Truncate(time.Millisecond)
	if got := editor.Do(t, replicas[0], "articleSchedule", map[string]any{"id": a.ID, "at": due, "expectedVersion": 1}); got.Reason() != "" {
		t.Fatalf("%+v", got)
	}
	if got := editor.Do(t, replicas[0], "articleSchedule", map[string]any{"id": a.ID, "at": time.Now().Add(-time.Second)}); got.Reason() != "INVALID" {
		t.Errorf("in the past: %+v", got)
	}
	replicas[0].Stop()
	allowed := contention.Allow(due.Add(stoatest.PromisedLate * stoatest.Slack))
	for i, s := range replicas[1:] {
		for !stoatest.HasArticle(t, s, "later") {
			if allowed.Over() {
				t.Fatalf("replica %d doesn't have it %s after it was due", i+1, time.Since(due))
			}
		}
		if time.Now().Before(due) {
			t.Errorf("replica %d has it too early", i+1)
		}
	}
	found, err := replicas[1].Store.ArticleNow(t.Context(), id.ID(a.ID))
	stoatest.Check(t, err)
	if found.Version != 3 || found.Status != store.Published || !found.PublishedAt.Equal(due) || found.UpdatedAt.Before(due) {
		t.Errorf("%+v", found)
	}
	published := func() (n int) {
		for _, s := range replicas {
			n += s.Logged("published on schedule")
		}
		return n
	}
	stoatest.Await(t, 20*time.Second, "the publication in the log", func() bool { return published() > 0 }) // written after the article
	if n := published(); n != 1 {
		t.Errorf("published %d times", n)
	}
}

// Reads after a mutation in the same response see its result.
func TestAnAnswerSeesWhatItsMutationsDid(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(3))
	editor := stoatest.NewWriter(t, s, "editor", access.Editor)
	tag := nameID(t, s, "tag", "0")
	a := editor.Do(t, s, "articleCreate", map[string]any{"title": "New", "tagIds": []string{tag}}).Article
	var out struct {
		A, B struct {
			Article struct {
				Status string
				Tags   []struct{ ArticleCount int }
			}
		}
	}
	editor.Data(t, s, &out, fmt.Sprintf(`mutation {
		a: articlePublish(input: {id: %[1]q}) { article { status tags { articleCount } } }
		b: articleUnpublish(input: {id: %[1]q}) { article { status tags { articleCount } } }
	}`, a.ID), nil)
	if out.A.Article.Tags[0].ArticleCount != out.B.Article.Tags[0].ArticleCount+1 || out.B.Article.Status != "DRAFT" {
		t.Errorf("%+v", out)
	}
}

func TestWhatCantBeRenderedIsRefusedAtTheText(t *testing.T) {
	s := stoatest.Start(t, nil)
	owner := stoatest.NewWriter(t, s, "owner", access.Author)
	for name, input := range map[string]map[string]any{
		"bodyMarkdown": {"title": "T", "bodyMarkdown": strings.Repeat("> ", 50_000)},
		"title":        {"title": strings.Repeat("a", 301)},
		"summary":      {"title": "T", "summary": strings.Repeat("a", 2001)},
		"cover":        {"title": "T", "cover": map[string]any{"url": "javascript:alert(1)"}},
		"authorIds":    {"title": "T", "authorIds": []id.ID{id.New(id.Author)}},
		"tagIds":       {"title": "T", "tagIds": []id.ID{id.New(id.Tag)}},
	} {
		if got := owner.Do(t, s, "articleCreate", input); got.Reason() == "" || got.UserErrors[0].Path[0] != name {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Lists for editors take as many commands for many articles as for few, with all edges under
// them.
func TestNoListOfThoseWhoEditTakesACommandForEach(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(30))
	editor := stoatest.NewWriter(t, s, "editor", access.Editor)
	var names struct {
		Tags, Authors struct{ Nodes []struct{ ID string } }
	}
	s.Data(t, &names, `{ tags { nodes { id } } authors { nodes { id } } }`, nil)
	for i := range 24 {
		author, tag := names.Authors.Nodes[i%len(names.Authors.Nodes)].ID, names.Tags.Nodes[i%len(names.Tags.Nodes)].ID
		a := editor.Do(t, s, "articleCreate", map[string]any{"title": fmt.Sprint("Draft ", i), "authorIds": []string{author}, "tagIds": []string{tag}}).Article
		if i%2 == 0 {
			editor.Do(t, s, "articleDelete", map[string]any{"id": a.ID})
		}
	}
	const each = `{ nodes { title bodyHtml author { name articleCount } tags { name articles(first: 2) { nodes { title } } } revisions(first: 2) { nodes { version bodyMarkdown } count { value } } } count { value } }`
	for _, list := range []string{"drafts", "queue", "deletedArticles"} {
		var took []int
		for _, n := range []int{3, 12} {
			least := 1000
			for range 4 { // background work may read the database, too
				stoatest.Cool(t, s)
				editor.Data(t, s, new(any), fmt.Sprintf(`{ viewer { %s(first: %d) %s } }`, list, n, each), nil)
				least = min(least, s.Commands())
			}
			took = append(took, least)
			var out struct {
				Viewer map[string]struct {
					Nodes []struct{ Author *struct{ Name string } }
				}
			}
			editor.Data(t, s, &out, fmt.Sprintf(`{ viewer { %s(first: %d) %s } }`, list, n, each), nil)
			if found := out.Viewer[list].Nodes; len(found) != n || found[0].Author == nil {
				t.Fatalf("%s has %d of %d articles", list, len(found), n)
			}
		}
		if took[0] != took[1] {
			t.Errorf("%s takes %d commands for 3 articles and %d for 12", list, took[0], took[1])
		}
		t.Logf("%s: %v commands", list, took)
	}
}

// Lists of drafts are kept like others, and no longer than others: on every replica.
func TestAListOfDraftsIsAsFreshAsAnyOther(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t).URL()
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis}
	replicas := []*stoatest.Stoa{stoatest.Start(t, settings), stoatest.Start(t, settings)}
	replicas[0].Import(t, stoatest.Articles(1))
	owner, editor := stoatest.NewWriter(t, replicas[0], "owner", access.Author), stoatest.NewWriter(t, replicas[0], "editor", access.Editor)
	stoatest.AwaitTrust(t, replicas...)
	shown := func(s *stoatest.Stoa) string {
		t.Helper()
		type nodes struct{ Nodes []struct{ Title string } }
		var mine, all struct {
			Viewer struct{ Drafts, DeletedArticles, Queue nodes }
		}
		owner.Data(t, s, &mine, `{ viewer { drafts { nodes { title } } deletedArticles { nodes { title } } } }`, nil)
		editor.Data(t, s, &all, `{ viewer { queue { nodes { title } } drafts { nodes { title } } deletedArticles { nodes { title } } } }`, nil)
		return fmt.Sprint(mine.Viewer.Drafts, mine.Viewer.DeletedArticles, all.Viewer.Queue, all.Viewer.Drafts, all.Viewer.DeletedArticles)
	}
	expect := func(when, want string) {
		t.Helper()
		if got := shown(replicas[0]); got != want {
			t.Errorf("%s, the replica that wrote shows %s; want %s", when, got, want)
		}
		stoatest.Await(t, stoatest.Slack*time.Second, when+", on the other replica", func() bool { return shown(replicas[1]) == want })
	}
	expect("at first", "{[]} {[]} {[]} {[]} {[]}")
	a := owner.Do(t, replicas[0], "articleCreate", map[string]any{"title": "A"}).Article
	expect("begun", "{[{A}]} {[]} {[{A}]} {[]} {[]}")
	owner.Do(t, replicas[0], "articleCreate", map[string]any{"title": "B"})
	expect("another begun", "{[{B} {A}]} {[]} {[{B} {A}]} {[]} {[]}")
	owner.Do(t, replicas[0], "articleUpdate", map[string]any{"id": a.ID, "expectedVersion": 1, "title": "A2"})
	expect("changed", "{[{A2} {B}]} {[]} {[{A2} {B}]} {[]} {[]}")
	owner.Do(t, replicas[0], "articleDelete", map[string]any{"id": a.ID})
	expect("deleted", "{[{B}]} {[{A2}]} {[{B}]} {[]} {[{A2}]}")
	owner.Do(t, replicas[0], "articleRestore", map[string]any{"id": a.ID})
	editor.Do(t, replicas[0], "articlePublish", map[string]any{"id": a.ID})
	expect("published", "{[{B}]} {[]} {[{B}]} {[]} {[]}")
}
