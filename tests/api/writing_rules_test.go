package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stoa/access"
	"stoa/blog"
	"stoa/id"
	"stoa/store"
	"stoa/tests/stoatest"
)

// An author's page can belong to an existing account only.
func TestAnAuthorsPageIsOfAnAccountThatThereIs(t *testing.T) {
	s := stoatest.Start(t, nil)
	editor, _ := stoatest.SignedIn(t, s, "Edgar", access.Editor)
	_, reader := stoatest.SignedIn(t, s, "Ruth", access.Customer)
	type made struct {
		Author     *struct{ ID string }
		UserErrors []struct {
			Code string
			Path []string
		}
	}
	create := func(account string) (m made) {
		t.Helper()
		var out struct{ AuthorCreate made }
		stoatest.Check(t, editor.Ask(s, &out, `mutation ($in: AuthorCreateInput!) { authorCreate(input: $in) { author { id } userErrors { code path } } }`,
			map[string]any{"in": map[string]any{"name": "Ruth", "accountId": account}}))
		return out.AuthorCreate
	}
	update := func(author, account string) (m made) {
		t.Helper()
		var out struct{ AuthorUpdate made }
		stoatest.Check(t, editor.Ask(s, &out, `mutation ($in: AuthorUpdateInput!) { authorUpdate(input: $in) { author { id } userErrors { code path } } }`,
			map[string]any{"in": map[string]any{"id": author, "accountId": account}}))
		return out.AuthorUpdate
	}
	nobody := string(id.New(id.Account))
	if m := create(nobody); m.Author != nil || fmt.Sprint(m.UserErrors) != "[{NOT_FOUND [accountId]}]" {
		t.Errorf("a page of nobody's account: %+v", m)
	}
	m := create(string(reader.ID))
	if m.Author == nil {
		t.Fatalf("a page of a reader's account: %+v", m)
	}
	if m := update(m.Author.ID, nobody); m.Author != nil || len(m.UserErrors) != 1 || m.UserErrors[0].Code != "NOT_FOUND" {
		t.Errorf("a page becomes nobody's: %+v", m)
	}
}

// For an imported draft without a date, the time of the last change is the time of the import.
func TestAnImportedDraftWithoutADateIsAsOldAsItsImport(t *testing.T) {
	s := stoatest.Start(t, nil)
	began := time.Now().Add(-time.Second)
	in := blog.Import{Source: "a.md", Digest: "1", Slug: "undated", Title: "Undated", Markdown: "A.", Draft: true}
	for digest, title := range map[string]string{"1": "Undated", "2": "Undated, again"} {
		in.Digest, in.Title = digest, title
		importing, err := s.Blog.BeginImport(t.Context(), false)
		stoatest.Check(t, err)
		outcomes, err := importing.Add(t.Context(), []blog.Import{in})
		stoatest.Check(t, err)
		stoatest.Check(t, outcomes[0].Err)
		stoatest.Check(t, importing.Finish(t.Context()))
		docs, err := s.Store.Imported(t.Context())
		stoatest.Check(t, err)
		a := docs["a.md"]
		if a.UpdatedAt.Before(began) || a.UpdatedAt.After(time.Now()) || a.Status != store.Draft || !a.PublishedAt.IsZero() {
			t.Errorf("it is %+v", a)
		}
	}
	docs, err := s.Store.Imported(t.Context())
	stoatest.Check(t, err)
	if other := id.New(id.Article); docs["a.md"].ID[:8] != other[:8] {
		t.Errorf("its id is %s; one of now %s", docs["a.md"].ID, other)
	}
}

// For editors, each step of an article is a change of it.
func TestEachStepOfAnArticleMovesItsTime(t *testing.T) {
	s := stoatest.Start(t, nil)
	editor, _ := stoatest.SignedIn(t, s, "Edgar", access.Editor)
	type answered struct {
		Article *struct {
			ID        string
			UpdatedAt time.Time
		}
		UserErrors []struct{ Message string }
	}
	do := func(mutation string, in map[string]any) answered {
		t.Helper()
		var out struct{ Out answered }
		stoatest.Check(t, editor.Ask(s, &out, fmt.Sprintf(`mutation ($in: %s%sInput!) { out: %s(input: $in) { article { id updatedAt } userErrors { message } } }`,
			strings.ToUpper(mutation[:1]), mutation[1:], mutation), map[string]any{"in": in}))
		if out.Out.Article == nil {
			t.Fatalf("%s: %+v", mutation, out.Out.UserErrors)
		}
		return out.Out
	}
	a := do("articleCreate", map[string]any{"title": "Steps"}).Article
	before := a.UpdatedAt
	for _, step := range []string{"articleSchedule", "articleUnpublish", "articlePublish", "articleUnpublish", "articleDelete", "articleRestore"} {
		stoatest.Await(t, time.Second, "the next millisecond", func() bool { return time.Since(before) > 2*time.Millisecond })
		in := map[string]any{"id": a.ID}
		if step == "articleSchedule" {
			in["at"] = time.Now().Add(time.Hour)
		}
		after := do(step, in).Article.UpdatedAt
		if !after.After(before) || after.After(time.Now()) {
			t.Errorf("after %s it was updated at %s; before at %s", step, after, before)
		}
		before = after
		if again := do(step, in).Article.UpdatedAt; step != "articleSchedule" && !again.Equal(before) {
			t.Errorf("%s again, which changes nothing, moves it to %s", step, again)
		}
	}
}

// A viewer who may not see an article's revisions learns nothing about a cursor either.
func TestACursorOfRevisionsTellsNothing(t *testing.T) {
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(2))
	for _, arguments := range []string{"", `(after: "x")`, `(first: 1000)`} {
		var out struct {
			Article *struct{ Revisions *struct{} }
		}
		stoatest.Check(t, stoatest.NewCaller().Ask(s, &out, `{ article(slug: "article-0") { revisions`+arguments+` { nodes { id } } } }`, nil))
		if out.Article == nil || out.Article.Revisions != nil {
			t.Errorf("revisions%s are %+v", arguments, out)
		}
	}
	editor, _ := stoatest.SignedIn(t, s, "Edgar", access.Editor)
	if err := editor.Ask(s, &struct{}{}, `{ article(slug: "article-0") { revisions(after: "x") { nodes { id } } } }`, nil); err == nil || !strings.Contains(err.Error(), "INVALID") {
		t.Errorf("an editor's wrong cursor is answered %v", err)
	}
}
