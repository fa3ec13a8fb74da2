// Package guard holds the tests derived from the schema: visibility and rights, evictions by
// writes, public fields, fragments that change no byte, pages of lists, and the number of database
// commands. samples_test.go has all that they need to know of a new kind.
// Tables: access.txt, evictions.txt, public.txt.
package guard

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gql "github.com/vektah/gqlparser/v2/ast"

	"stoa/access"
	"stoa/id"
	"stoa/store"
	"stoa/tests/golden"
	"stoa/tests/stoatest"
)

// The access matrix is access.txt: for every part of the schema, the result for each kind of
// viewer. The rows are derived from the schema, so a new field, argument or mutation without a
// row fails. Facts that the schema lacks are in ways, given, things and changes. UPDATE=1 go
// test ./tests/guard -run TestAccess writes it anew; people review the diff.

const matrixFile = "access.txt"

const matrixHead = `# Who may what: a row for each field, argument and mutation of the schema, made by
# access_test.go. The owner is who the account is, and whose the session is, that is asked
# for or about; customer and other have accounts and sessions of their own. The author has
# an article in each status; of mutations that write, the owner is an author, and author is
# another one.
#
#   shown      a value came, if only an empty text or a page
#   empty      a list came without anything in it
#   null       the field is null
#   not found  what the field is of is null: there is none, or not for whoever asks
#   done       the mutation was done
#   sign in    the error UNAUTHENTICATED
#   forbidden  the error FORBIDDEN
#   CODE       userErrors with this code
`

// askers are the viewers, in the order of the columns. The owner, customer and other are
// customers; for changes of articles, the owner is an author.
var askers = []string{"anonymous", "customer", "owner", "other", "author", "editor", "staff", "admin"}

func roleOf(caller string) access.Role {
	if role := access.Role(strings.ToUpper(caller)); slices.Contains(access.Roles, role) {
		return role
	}
	return access.Customer
}

// ways are queries for one object of each type, with %s for the selection on it. Lists and things of
// further kinds follow from the schema: see matrix.way.
var ways = map[string]string{
	"Query":                `{ %s }`,
	"Article":              `{ node(id: "<article how-to-fold>") { ... on Article { %s } } }`,
	"Author":               `{ node(id: "<author ada>") { ... on Author { %s } } }`,
	"Tag":                  `{ node(id: "<tag ink>") { ... on Tag { %s } } }`,
	"Comment":              `{ node(id: "<comment Jonas>") { ... on Comment { %s } } }`,
	"Account":              `{ node(id: "<account owner>") { ... on Account { %s } } }`,
	"Session":              `{ node(id: "<session owner>") { ... on Session { %s } } }`,
	"Viewer":               `{ viewer { %s } }`,
	"Heading":              `{ article(slug: "how-to-fold") { tableOfContents { %s } } }`,
	"Image":                `{ article(slug: "how-to-fold") { cover { %s } } }`,
	"PageInfo":             `{ articles { pageInfo { %s } } }`,
	"Count":                `{ articles { count { %s } } }`,
	"CommentConnection":    `{ article(slug: "how-to-fold") { comments { %s } } }`,
	"CommentEdge":          `{ article(slug: "how-to-fold") { comments { edges { %s } } } }`,
	"SessionConnection":    `{ viewer { sessions { %s } } }`,
	"SessionEdge":          `{ viewer { sessions { edges { %s } } } }`,
	"Revision":             `{ node(id: "<text of drafted>") { ... on Revision { %s } } }`,
	"RevisionConnection":   `{ node(id: "<article drafted>") { ... on Article { revisions { %s } } } }`,
	"RevisionEdge":         `{ node(id: "<article drafted>") { ... on Article { revisions { edges { %s } } } } }`,
	"RevisionDiff":         `{ revisionDiff(from: "<text of drafted>", to: "<text of drafted>") { %s } }`,
	"SearchConnection":     `{ search(query: "press") { %s } }`,
	"SearchEdge":           `{ search(query: "press") { edges { %s } } }`,
	"Warning":              `mutation { articleCreate(input: {title: "Press", slug: "press"}) { warnings { %s } } }`,
	"ArticlePreview":       `mutation { articlePreviewCreate(input: {id: "<article drafted>"}) { preview { %s } } }`,
	"ArticleError":         `mutation { articleDelete(input: {id: "art_01k9v6v0mvf5ts2c5zr0h4m8qd"}) { userErrors { %s } } }`,
	"CacheError":           `mutation { cachePurge(input: {tags: []}) { userErrors { %s } } }`,
	"Submission":           `{ viewer { comments { nodes { %s } } } }`,
	"SubmissionConnection": `{ viewer { comments { %s } } }`,
	"SubmissionEdge":       `{ viewer { comments { edges { %s } } } }`,
	"CommentError":         `mutation { commentDelete(input: {id: "com_01k9v6v0mvf5ts2c5zr0h4m8qd"}) { userErrors { %s } } }`,
	"MediaError":           "mutation ($file: Upload!) {\n# file: drawing.svg\nimageUpload(input: {file: $file, alt: \"A drawing\"}) { userErrors { %s } } }",
	"ProductOption":        `{ node(id: "<product sample>") { ... on Product { options { %s } } } }`,
	"PriceRange":           `{ node(id: "<product sample>") { ... on Product { priceRange { %s } } } }`,
	"Money":                `{ node(id: "<variant sample>") { ... on Variant { price { %s } } } }`,
	"SelectedOption":       `{ node(id: "<variant sample>") { ... on Variant { options { %s } } } }`,
	"ProductError":         `mutation { productDelete(input: {id: "prd_01k9v6v0mvf5ts2c5zr0h4m8qd"}) { userErrors { %s } } }`,
	"AccountError":         `mutation { accountVerify(input: {token: "wrong"}) { userErrors { %s } } }`,
}

// apart are the types that queries and mutations don't lead to, with the reason.
var apart = map[string]string{
	"Subscription":          "events are told over a stream: see subscriptions",
	"ArticlePublishedEvent": "the same",
	"CommentAddedEvent":     "the same",
}

// given are the values of arguments and of the fields of their input objects: by their
// whole name, or by the argument's for all of that name.
var given = map[string]string{
	"first": "1", "last": "1", "max": "5", "words": "5",
	"Query.node.id":    `"<article press>"`,
	"Query.nodes.ids":  `["<article press>", "<account owner>"]`,
	"Query.account.id": `"<account owner>"`, "Query.article.slug": `"press"`,
	"Query.author.slug": `"ada"`, "Query.tag.slug": `"ink"`,
	"ArticleWhere.tag": `"ink"`, "ArticleWhere.author": `"ada"`, "ArticleWhere.ids": `["<article press>"]`,
	"ArticleWhere.publishedAfter": `"2026-05-01T00:00:00Z"`, "ArticleWhere.publishedBefore": `"2026-05-01T00:00:00Z"`,
	"ArticleOrder.field": "TITLE", "ArticleOrder.direction": "ASC",
	"Viewer.commentQueue.status": "[PENDING]",
	"ArticleWhere.query":         `"press"`, "Query.search.query": `"press"`, "Query.search.types": "[ARTICLE]",
	"Image.url.width": "640", "Viewer.queue.status": "[DRAFT]", "Query.preview.token": `"<preview of drafted>"`,
	"Query.revisionDiff.from": `"<text of drafted>"`, "Query.revisionDiff.to": `"<text of drafted>"`,
	"SelectedOptionInput.name": `"Nib"`, "SelectedOptionInput.value": `"fine"`, "Query.product.slug": `"<slug of product sample>"`,
	"AccountWhere.email": `"owner@example.org"`, "AccountWhere.role": "CUSTOMER",
}

// thing is an object that is asked for by its id.
type thing struct{ what, typeName, id string }

// things are one of each kind in each state. See allThings for further kinds.
var things = []thing{
	{"a published article", "Article", "<article press>"},
	{"a draft", "Article", "<article unfinished>"},
	{"a scheduled article", "Article", "<article tomorrow>"},
	{"a draft of the author's", "Article", "<article drafted>"},
	{"a scheduled article of the author's", "Article", "<article due>"},
	{"a published article of the author's", "Article", "<article out>"},
	{"a deleted article of the author's", "Article", "<article gone>"},
	{"a draft of the owner's, who isn't an author any more", "Article", "<article former>"},
	{"the text of a published article", "Revision", "<text of press>"},
	{"the text of a draft", "Revision", "<text of unfinished>"},
	{"the text of a draft of the author's", "Revision", "<text of drafted>"},
	{"the text of a published article of the author's", "Revision", "<text of out>"},
	{"the text of a deleted article of the author's", "Revision", "<text of gone>"},
	{"the text of a draft of the owner's, who isn't an author any more", "Revision", "<text of former>"},
	{"an author", "Author", "<author ada>"},
	{"an author of nothing published", "Author", "<author emile>"},
	{"a tag", "Tag", "<tag ink>"},
	{"a tag of nothing published", "Tag", "<tag letters>"},
	{"a comment", "Comment", "<comment Petra>"},
	{"a hidden comment", "Comment", "<comment Moritz>"},
	{"an answer to a hidden comment", "Comment", "<comment Nora>"},
	{"a comment on a draft", "Comment", "<comment Quentin>"},
	{"a deleted comment with an answer", "Comment", "<comment deleted>"},
	{"a deleted comment without", "Comment", "<comment gone>"},
	{"a comment of the owner's that waits", "Comment", "<comment waiting>"},
	{"the owner's account", "Account", "<account owner>"},
	{"the session that the owner asks by", "Session", "<session owner>"},
	{"another session of the owner", "Session", "<session spare>"},
	{"an ended session of the owner", "Session", "<session ended>"},
	{"an account that there isn't", "Account", "acc_01k9v6v0mvf5ts2c5zr0h4m8qd"},
}

// hidden are other ways to hidden objects; the wanted value has the alias asked.
var hidden = []struct{ what, query string }{
	{"Query.article: the slug of a draft", `{ asked: article(slug: "unfinished") { id } }`},
	{"Query.article: the slug of a scheduled article", `{ asked: article(slug: "tomorrow") { id } }`},
	{"Query.article: a former slug of a scheduled article", `{ asked: article(slug: "later") { id } }`},
	{"Query.articles: drafts and scheduled articles by id", `{ articles(where: {ids: ["<article unfinished>", "<article tomorrow>"]}) { asked: nodes { id } } }`},
	{"Query.articles: by the tag of a draft", `{ articles(where: {tag: "letters"}) { asked: nodes { id } } }`},
	{"Query.articles: by the author of a scheduled article", `{ articles(where: {author: "emile"}) { asked: nodes { id } } }`},
	{"Author.articles: of a scheduled article", `{ author(slug: "emile") { articles { asked: nodes { id } } } }`},
	{"Tag.articles: of a draft", `{ tag(slug: "letters") { articles { asked: nodes { id } } } }`},
	{"Query.article: the slug of a draft of the author's", `{ asked: article(slug: "drafted") { id } }`},
	{"Query.article: the slug of a scheduled article of the author's", `{ asked: article(slug: "due") { id } }`},
	{"Query.article: the slug of a deleted article of the author's", `{ asked: article(slug: "gone") { id } }`},
	{"Query.articles: the author's by id", `{ articles(where: {ids: ["<article drafted>", "<article due>", "<article gone>"]}) { asked: nodes { id } } }`},
	{"Query.articles: words of a draft", `{ articles(where: {query: "zeppelin"}) { asked: nodes { id } } }`},
	{"Query.search: words of a draft", `{ search(query: "zeppelin") { asked: nodes { __typename } } }`},
	{"Query.search: words of a scheduled article", `{ search(query: "tomorrow", types: [ARTICLE]) { asked: nodes { __typename } } }`},
	{"Query.search: an author of nothing published", `{ search(query: "zed") { asked: nodes { __typename } } }`},
	{"Query.preview: a draft", `{ asked: preview(token: "<preview of drafted>") { id } }`},
	{"Query.preview: a deleted article", `{ asked: preview(token: "<preview of gone>") { id } }`},
	{"Query.preview: by an account that may not edit the draft any more", `{ asked: preview(token: "<preview of former>") { id } }`},
	{"Query.revisionDiff: of a published article", `{ asked: revisionDiff(from: "<text of press>", to: "<text of press>") { added } }`},
	{"Query.revisionDiff: of a draft of the author's", `{ asked: revisionDiff(from: "<text of drafted>", to: "<text of drafted>") { added } }`},
	{"Article.related: to a draft", `{ article(slug: "long") { asked: related { id } } }`},
	{"Article.next: a scheduled article", `{ node(id: "<article out>") { ... on Article { asked: next { id } } } }`},
	{"Article.revisions: of a published article", `{ article(slug: "press") { asked: revisions { nodes { id } } } }`},
	{"Article.revisions: of a published article of the author's", `{ article(slug: "out") { asked: revisions { nodes { id } } } }`},
	{"Viewer.drafts: the articles", `{ viewer { drafts { asked: nodes { id } } } }`},
	{"Viewer.queue: the articles", `{ viewer { queue { asked: nodes { id } } } }`},
	{"Viewer.deletedArticles: the articles", `{ viewer { deletedArticles { asked: nodes { id } } } }`},
	{"Comment.parent: of an answer to a hidden comment", `{ node(id: "<comment Nora>") { ... on Comment { asked: parent { id } } } }`},
	{"Query.accounts: the owner's", `{ accounts(where: {email: "owner@example.org"}) { asked: nodes { id } } }`},
}

// change is one case of a mutation: input makes its input for a call by caller about an object
// of target. Both are made for this one call; for the owner they are the same. For an
// anonymous viewer, caller is nobody.
type change struct {
	mutation, what string
	input          func(t *testing.T, s *stoatest.Stoa, caller, target stoatest.Person) string
	writes         bool // the owner is an author
}

func takes(format string, values ...func(caller, target stoatest.Person) string) func(*testing.T, *stoatest.Stoa, stoatest.Person, stoatest.Person) string {
	return func(_ *testing.T, _ *stoatest.Stoa, caller, target stoatest.Person) string {
		all := make([]any, len(values))
		for i, v := range values {
			all[i] = v(caller, target)
		}
		return fmt.Sprintf(format, all...)
	}
}

func targetEmail(_, target stoatest.Person) string { return target.Email }

func targetID(_, target stoatest.Person) string { return string(target.ID) }

func targetSession(_, target stoatest.Person) string { return string(target.Session) }

func ownID(caller, target stoatest.Person) string {
	if caller.Account == nil {
		return string(target.ID)
	}
	return string(caller.ID)
}

// byCode takes a code that a mail brought to the target.
func byCode(kind store.MailCodeKind, format string) func(*testing.T, *stoatest.Stoa, stoatest.Person, stoatest.Person) string {
	return func(t *testing.T, s *stoatest.Stoa, _, target stoatest.Person) string {
		c := store.MailCode{Kind: kind, AccountID: target.ID, Epoch: target.Epoch, Email: "new." + target.Email, Replaces: target.Email}
		if kind == store.CodeToVerify {
			c = store.MailCode{Kind: kind, Name: "New", Email: "new." + target.Email}
		}
		return fmt.Sprintf(format, s.MailCode(t, c))
	}
}

// comment is an id of a comment that the target has written, with a status.
func comment(status store.CommentStatus, format string) func(*testing.T, *stoatest.Stoa, stoatest.Person, stoatest.Person) string {
	return func(t *testing.T, s *stoatest.Stoa, _, target stoatest.Person) string {
		return fmt.Sprintf(format, says(t, s, target, press(t, s), status))
	}
}

// press is the id of the article press.
func press(t testing.TB, s *stoatest.Stoa) id.ID {
	t.Helper()
	a, err := store.Articles.BySlug(t.Context(), s.Store, "press")
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

// says stores a comment of somebody's on an article.
func says(t testing.TB, s *stoatest.Stoa, who stoatest.Person, article id.ID, status store.CommentStatus) id.ID {
	t.Helper()
	c := &store.Comment{
		ID: id.New(id.Comment), ArticleID: article, AccountID: who.ID, AuthorName: who.Name, BodyMarkdown: "Hello.", BodyHTML: "<p>Hello.</p>\n",
		CreatedAt: store.Now(), Status: status, Visible: status == store.CommentVisible, Version: 1,
	}
	if _, err := s.Store.AddComment(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c.ID
}

const another = "seven old lanterns" // password

// ofArticle takes a new article of the target's: its <id>, its <version> and the id of its
// <text>.
func ofArticle(status store.Status, format string) func(*testing.T, *stoatest.Stoa, stoatest.Person, stoatest.Person) string {
	return func(t *testing.T, s *stoatest.Stoa, _, target stoatest.Person) string {
		a := article(t, s, target, status, "An article of "+string(target.ID))
		return strings.NewReplacer("<id>", string(a.ID), "<version>", fmt.Sprint(a.Version), "<text>", string(a.RevisionID)).Replace(format)
	}
}

// article makes an article that is owner's, in any status.
func article(t *testing.T, s *stoatest.Stoa, owner stoatest.Person, status store.Status, title string) *store.Article {
	t.Helper()
	text := "There is a zeppelin in it." // nothing public has the word
	if status == store.Published {
		text = "There is none."
	}
	s.Token = owner.Token
	made := stoatest.Create(t, s, map[string]any{"title": title, "bodyMarkdown": text})
	s.Token = ""
	before, err := s.Store.ArticleNow(t.Context(), made)
	stoatest.Check(t, err)
	after, at := *before, store.Now()
	switch after.Status = status; status {
	case store.Published:
		after.PublishedAt = at
	case store.Scheduled:
		at = stoatest.Day("2998-01-01T00:00:00Z")
		after.PublishedAt = at
	case store.Deleted:
		after.DeletedAt = at
	}
	if status != store.Draft {
		stoatest.Check(t, s.Store.ChangeArticle(t.Context(), before, &after))
	}
	return &after
}

// ofNames takes a new <author>, an <other author>, a new <tag> and an <other tag>.
func ofNames(format string) func(*testing.T, *stoatest.Stoa, stoatest.Person, stoatest.Person) string {
	return func(t *testing.T, s *stoatest.Stoa, _, _ stoatest.Person) string {
		text := format
		for _, other := range []string{"", "other "} {
			a := &store.Author{ID: id.New(id.Author), Name: "Old"}
			a.Slug = strings.ReplaceAll(string(a.ID), "_", "-")
			stoatest.Check(t, store.Authors.Add(t.Context(), s.Store, a))
			x := &store.Tag{ID: id.New(id.Tag), Name: "Old"}
			x.Slug = strings.ReplaceAll(string(x.ID), "_", "-")
			stoatest.Check(t, store.Tags.Add(t.Context(), s.Store, x))
			text = strings.NewReplacer("<"+other+"author>", string(a.ID), "<"+other+"tag>", string(x.ID)).Replace(text)
		}
		return text
	}
}

var changes = []change{
	{"commentAdd", "", takes(`articleId: "<article press>", bodyMarkdown: "Hello."`), false},
	{"commentAdd", "about a draft", takes(`articleId: "<article unfinished>", bodyMarkdown: "Hello."`), false},
	{"commentUpdate", "the owner's", comment(store.CommentVisible, `id: "%s", bodyMarkdown: "Goodbye."`), false},
	{"commentUpdate", "one of the owner's that waits", comment(store.CommentPending, `id: "%s", bodyMarkdown: "Goodbye."`), false},
	{"commentDelete", "the owner's", comment(store.CommentVisible, `id: "%s"`), false},
	{"commentDelete", "one of the owner's that is hidden", comment(store.CommentHidden, `id: "%s"`), false},
	{"commentModerate", "one of the owner's that waits", comment(store.CommentPending, `id: "%s", action: APPROVE`), false},
	{"commentModerate", "the owner's", comment(store.CommentVisible, `id: "%s", action: HIDE`), false},
	{"cachePurge", "what nothing depends on", takes(`tags: ["list/nothing"]`), false},
	{"cachePurge", "an article", takes(`tags: ["<article press>"]`), false},
	{"accountRegister", "", takes(`email: "new.%s", password: "`+another+`", name: "New"`, targetEmail), false},
	{"accountRegister", "the owner's address", takes(`email: "%s", password: "`+another+`", name: "New"`, targetEmail), false},
	{"accountVerify", "", byCode(store.CodeToVerify, `token: "%s"`), false},
	{"accountUpdate", "", takes(`name: "New"`), false},
	{"accountDelete", "", takes(`password: "` + stoatest.Password + `"`), false},
	{"accountRoleSet", "the owner's", takes(`accountId: "%s", role: AUTHOR`, targetID), false},
	{"accountRoleSet", "their own", takes(`accountId: "%s", role: ADMIN`, ownID), false},
	{"emailChangeRequest", "", takes(`email: "new.%s", password: "`+stoatest.Password+`"`, targetEmail), false},
	{"emailChangeConfirm", "the owner's", byCode(store.CodeToChangeEmail, `token: "%s"`), false},
	{"passwordChange", "", takes(`currentPassword: "` + stoatest.Password + `", newPassword: "` + another + `"`), false},
	{"passwordResetRequest", "the owner's", takes(`email: "%s"`, targetEmail), false},
	{"passwordReset", "the owner's", byCode(store.CodeToReset, `token: "%s", password: "`+another+`"`), false},
	{"sessionCreate", "the owner's", takes(`email: "%s", password: "`+stoatest.Password+`"`, targetEmail), false},
	{"sessionCreate", "the owner's, by cookie", takes(`email: "%s", password: "`+stoatest.Password+`", delivery: COOKIE`, targetEmail), false},
	{"sessionRevoke", "the one that asks", takes(``), false},
	{"sessionRevoke", "one of the owner's", takes(`id: "%s"`, targetSession), false},
	{"sessionsRevokeOthers", "", nil, false},
	{"articleCreate", "", takes(`title: "New"`), true},
	{"articleUpdate", "the owner's draft", ofArticle(store.Draft, `id: "<id>", expectedVersion: <version>, title: "New"`), true},
	{"articleUpdate", "the owner's scheduled article", ofArticle(store.Scheduled, `id: "<id>", expectedVersion: <version>, title: "New"`), true},
	{"articleUpdate", "the owner's published article", ofArticle(store.Published, `id: "<id>", expectedVersion: <version>, title: "New"`), true},
	{"articleUpdate", "the owner's deleted article", ofArticle(store.Deleted, `id: "<id>", expectedVersion: <version>, title: "New"`), true},
	{"articlePublish", "the owner's draft", ofArticle(store.Draft, `id: "<id>"`), true},
	{"articleSchedule", "the owner's draft", ofArticle(store.Draft, `id: "<id>", at: "2999-01-01T00:00:00Z"`), true},
	{"articleUnpublish", "the owner's published article", ofArticle(store.Published, `id: "<id>"`), true},
	{"articleUnpublish", "the owner's scheduled article", ofArticle(store.Scheduled, `id: "<id>"`), true},
	{"articleDelete", "the owner's draft", ofArticle(store.Draft, `id: "<id>"`), true},
	{"articleDelete", "the owner's scheduled article", ofArticle(store.Scheduled, `id: "<id>"`), true},
	{"articleDelete", "the owner's published article", ofArticle(store.Published, `id: "<id>"`), true},
	{"articleRestore", "the owner's deleted article", ofArticle(store.Deleted, `id: "<id>"`), true},
	{"articlePreviewCreate", "the owner's draft", ofArticle(store.Draft, `id: "<id>"`), true},
	{"articlePreviewCreate", "the owner's published article", ofArticle(store.Published, `id: "<id>"`), true},
	{"articlePreviewCreate", "the owner's deleted article", ofArticle(store.Deleted, `id: "<id>"`), true},
	{"articlePreviewsRevoke", "the owner's draft", ofArticle(store.Draft, `id: "<id>"`), true},
	{"articlePreviewsRevoke", "the owner's published article", ofArticle(store.Published, `id: "<id>"`), true},
	{"articleRevisionRestore", "the owner's draft", ofArticle(store.Draft, `id: "<text>"`), true},
	{"articleRevisionRestore", "the owner's published article", ofArticle(store.Published, `id: "<text>"`), true},
	{"authorCreate", "", takes(`name: "New"`), true},
	{"authorUpdate", "", ofNames(`id: "<author>", bioMarkdown: "New."`), true},
	{"authorMerge", "", ofNames(`id: "<author>", intoId: "<other author>"`), true},
	{"tagCreate", "", takes(`name: "New"`), true},
	{"tagUpdate", "", ofNames(`id: "<tag>", description: "New."`), true},
	{"imageUpload", "", takes("\n# file: small.png\nfile: $file, alt: \"A press\""), true},
	{"imageUpload", "what is no picture", takes("\n# file: drawing.svg\nfile: $file, alt: \"A press\""), true},
	{"tagMerge", "", ofNames(`id: "<tag>", intoId: "<other tag>"`), true},
}

// row has the result of one case for each caller; without any it is a title.
type row struct {
	what string
	came []string
}

// matrix asks everything as everybody.
type matrix struct {
	schema *gql.Schema
	s      *stoatest.Stoa
	known  *golden.Names
	people map[string]stoatest.Person // without anonymous
	asked  int                        // so far: each call comes from an address of its own
	rows   []row

	// try is called for each query, with the part that it shows; query makes the query for a
	// caller.
	try func(t *testing.T, what string, query func(caller string) string)
}

func TestAccessMatrix(t *testing.T) {
	m := openMatrix(t)
	m.queries(t)
	m.subscriptions(t)
	m.title("Mutation")
	m.mutations(t)
	m.compare(t)
}

// queries tries everything that is no mutation.
func (m *matrix) queries(t *testing.T) {
	t.Helper()
	m.title("By id")
	for _, possible := range m.schema.PossibleTypes["Node"] {
		if !slices.ContainsFunc(allThings(), func(x thing) bool { return x.typeName == possible.Name }) {
			t.Errorf("there is no %s among the things that are asked for by id", possible.Name)
		}
	}
	for _, x := range allThings() {
		m.ask(t, "Query.node: "+x.what, fmt.Sprintf(`{ asked: node(id: "%s") { id } }`, x.id))
		m.ask(t, "Query.nodes: "+x.what, fmt.Sprintf(`{ asked: nodes(ids: ["%s"]) { id } }`, x.id))
	}
	m.title("By other ways")
	for _, x := range hidden {
		m.ask(t, x.what, x.query)
	}
	payloads := map[string]bool{}
	for _, f := range m.schema.Mutation.Fields {
		payloads[f.Type.Name()] = true
	}
	for _, d := range m.objects() {
		if payloads[d.Name] || d == m.schema.Mutation || apart[d.Name] != "" {
			continue
		}
		way := m.way(d)
		if way == "" {
			t.Errorf("no way leads to %s: say in ways how to reach one", d.Name)
			continue
		}
		m.title(d.Name)
		for _, f := range d.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				m.field(t, way, d, f)
			}
		}
	}
}

// told are the subscriptions that are asked for, each from before an event on.
var told = []struct{ what, query string }{
	{"Subscription.articlePublished(after:)", `subscription { asked: articlePublished(after: "<event before out>") { id } }`},
	{"ArticlePublishedEvent.id", `subscription { articlePublished(after: "<event before out>") { asked: id } }`},
	{"ArticlePublishedEvent.article", `subscription { articlePublished(after: "<event before out>") { asked: article { id } } }`},
	{"Subscription.commentAdded(after:)", `subscription { asked: commentAdded(articleId: "<article press>", after: "<event before said>") { id } }`},
	{"CommentAddedEvent.id", `subscription { commentAdded(articleId: "<article press>", after: "<event before said>") { asked: id } }`},
	{"CommentAddedEvent.comment", `subscription { commentAdded(articleId: "<article press>", after: "<event before said>") { asked: comment { id } } }`},
	{"Subscription.commentAdded: on a draft", `subscription { asked: commentAdded(articleId: "<article unfinished>") { id } }`},
	{"Subscription.commentAdded: on a scheduled article of the author's", `subscription { asked: commentAdded(articleId: "<article due>") { id } }`},
	{"Subscription.commentAdded: on a deleted article of the author's", `subscription { asked: commentAdded(articleId: "<article gone>") { id } }`},
	{"Subscription.commentAdded: on what isn't there", `subscription { asked: commentAdded(articleId: "art_01k9v6v0mvf5ts2c5zr0h4m8qd") { id } }`},
}

// subscriptions tries those, each over an event stream of the caller's.
func (m *matrix) subscriptions(t *testing.T) {
	t.Helper()
	press, err := store.Articles.BySlug(t.Context(), m.s.Store, "press")
	stoatest.Check(t, err)
	for _, name := range []string{"before said", "said"} {
		c := &store.Comment{ID: id.New(id.Comment), ArticleID: press.ID, AccountID: m.people["owner"].ID, CreatedAt: time.Now(), Status: store.CommentVisible, Visible: true, Version: 1}
		_, err := m.s.Store.AddComment(t.Context(), c)
		stoatest.Check(t, err)
		m.known.Call(string(m.event(t, store.Topic(press.ID), c.ID)), "event "+name)
	}
	m.known.Call(string(m.event(t, store.AllPublished, article(t, m.s, m.people["author"], store.Published, "Before").ID)), "event before out")
	article(t, m.s, m.people["author"], store.Published, "Told")
	m.title("Subscription")
	shown := map[string]bool{}
	for _, x := range told {
		m.ask(t, x.what, x.query)
		what, _, _ := strings.Cut(x.what, "(")
		shown[what] = true
	}
	for _, name := range []string{"Subscription", "ArticlePublishedEvent", "CommentAddedEvent"} {
		for _, f := range m.schema.Types[name].Fields {
			if !strings.HasPrefix(f.Name, "__") && !shown[name+"."+f.Name] {
				t.Errorf("%s.%s is not among what is told", name, f.Name)
			}
		}
	}
}

// event returns the id of the event for a publication, the last of a topic.
func (m *matrix) event(t *testing.T, topic store.Topic, of id.ID) id.ID {
	t.Helper()
	e, err := m.s.Store.LastEvent(t.Context(), topic)
	stoatest.Check(t, err)
	if e.Of != of {
		t.Fatalf("the last event is of %s, not of %s", e.Of, of)
	}
	return e.ID
}

func openMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{schema: stoatest.Schema(t), s: stoatest.Start(t, nil), people: map[string]stoatest.Person{}}
	m.try = m.askEach
	m.known = golden.Publish(t, m.s)
	for _, name := range askers[1:] {
		p := m.s.Join(t, name+"@example.org", name, roleOf(name), time.Time{})
		m.people[name] = p
		m.known.Call(string(p.ID), "account "+name)
		m.known.Call(string(p.Session), "session "+name)
	}
	owner := m.people["owner"]
	m.known.Call(string(says(t, m.s, owner, press(t, m.s), store.CommentPending)), "comment waiting")
	m.deleted(t)
	spare, _ := m.s.SignIn(t, owner.Account)
	ended, _ := m.s.SignIn(t, owner.Account)
	m.known.Call(string(spare), "session spare")
	m.known.Call(string(ended), "session ended")
	there, err := m.s.Store.SessionsUnder(t.Context(), owner.ID)
	stoatest.Check(t, err)
	stoatest.Check(t, m.s.Store.EndSessions(t.Context(), slices.DeleteFunc(there, func(x *store.Session) bool { return x.ID != ended })))
	m.write(t)
	m.addDerived(t)
	// No use older than the last one counts, so that no request changes the sessions shown to
	// later ones.
	used := map[id.ID]time.Time{}
	for _, p := range m.people {
		used[p.Session] = time.Now().Add(time.Hour)
	}
	stoatest.Check(t, m.s.Store.RecordLastUses(t.Context(), used, time.Minute))
	m.s.Quiesce(t)
	return m
}

// deleted makes two comments of which only the placeholders are left: one has a reply.
func (m *matrix) deleted(t *testing.T) {
	t.Helper()
	press, err := store.Articles.BySlug(t.Context(), m.s.Store, "press")
	stoatest.Check(t, err)
	add := func(name string, parent id.ID, status store.CommentStatus) id.ID {
		c := &store.Comment{ID: id.New(id.Comment), ArticleID: press.ID, ParentID: parent, CreatedAt: time.Now(), Status: status, Visible: true, Version: 1}
		stoatest.Check(t, m.s.Store.AddComments(t.Context(), []*store.Comment{c}))
		m.known.Call(string(c.ID), "comment "+name)
		return c.ID
	}
	add("answer", add("deleted", "", store.CommentDeleted), store.CommentVisible)
	add("gone", "", store.CommentDeleted)
}

// write gives the author an article in each status, and the owner a draft of earlier times.
func (m *matrix) write(t *testing.T) {
	t.Helper()
	author := m.people["author"]
	add := func(title string, status store.Status) *store.Article {
		a := article(t, m.s, author, status, title)
		m.known.Call(string(a.ID), "article "+strings.ToLower(title))
		m.known.Call(string(a.RevisionID), "text of "+strings.ToLower(title))
		return a
	}
	preview := func(a *store.Article, of string) {
		var made struct{ Preview struct{ Token string } }
		m.s.Token = author.Token
		stoatest.Mutate(t, m.s, "articlePreviewCreate", map[string]any{"id": a.ID}, "preview { token }", &made)
		m.s.Token = ""
		m.known.Call(made.Preview.Token, "preview of "+of)
	}
	draft := add("Drafted", store.Draft)
	preview(draft, "drafted")
	add("Due", store.Scheduled)
	add("Out", store.Published)
	gone := add("Gone", store.Draft)
	preview(gone, "gone")
	deleted, at := *gone, store.Now()
	deleted.Status, deleted.DeletedAt = store.Deleted, at
	stoatest.Check(t, m.s.Store.ChangeArticle(t.Context(), gone, &deleted))
	former := add("Former", store.Draft)
	preview(former, "former")
	moved := *former
	moved.OwnerID = m.people["owner"].ID
	stoatest.Check(t, m.s.Store.ChangeArticle(t.Context(), former, &moved))
	slugs, err := m.s.Store.TakenSlugs(t.Context())
	stoatest.Check(t, err)
	m.s.Quiesce(t) // else the articles above are related after this
	stoatest.Check(t, m.s.Store.Relate(t.Context(), []store.Relations{{Article: slugs["long"], IDs: []id.ID{draft.ID}}}))
	stoatest.Check(t, m.s.Search.Update(t.Context()))
}

// objects are the types that have fields, in the order of the schema.
func (m *matrix) objects() []*gql.Definition {
	var all []*gql.Definition
	for _, d := range m.schema.Types {
		if d.Kind == gql.Object && !d.BuiltIn && !strings.HasPrefix(d.Name, "__") {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *gql.Definition) int { return a.Position.Start - b.Position.Start })
	return all
}

func (m *matrix) title(text string) { m.rows = append(m.rows, row{what: text}) }

// field asks for a field without the arguments that can be left out, and with each of them.
func (m *matrix) field(t *testing.T, way string, d *gql.Definition, f *gql.FieldDefinition) {
	t.Helper()
	var required []string
	for _, a := range f.Arguments {
		if a.Type.NonNull && a.DefaultValue == nil {
			required = append(required, a.Name+": "+m.value(t, d.Name+"."+f.Name+"."+a.Name, a.Name))
		}
	}
	name := d.Name + "." + f.Name
	query := func(arguments ...string) string {
		text := "asked: " + f.Name
		if len(arguments) > 0 {
			text += "(" + strings.Join(arguments, ", ") + ")"
		}
		if m.schema.Types[f.Type.Name()].IsCompositeType() {
			text += " { __typename }"
		}
		return fmt.Sprintf(way, text)
	}
	m.ask(t, name, query(required...))
	for _, a := range f.Arguments {
		if a.Type.NonNull && a.DefaultValue == nil {
			continue
		}
		with := func(value string) string { return query(append(slices.Clone(required), a.Name+": "+value)...) }
		of := m.schema.Types[a.Type.Name()]
		switch {
		case of.Kind == gql.InputObject:
			for _, member := range of.Fields {
				fields := member.Name + ": " + m.value(t, of.Name+"."+member.Name, "")
				for _, other := range of.Fields {
					if other != member && other.Type.NonNull && other.DefaultValue == nil {
						fields += ", " + other.Name + ": " + m.value(t, of.Name+"."+other.Name, "")
					}
				}
				m.ask(t, fmt.Sprintf("%s(%s.%s:)", name, a.Name, member.Name), with("{"+fields+"}"))
			}
		case a.Name == "after" || a.Name == "before":
			cursor := strings.Replace(query(required...), "{ __typename }", "{ pageInfo { startCursor } }", 1)
			m.try(t, fmt.Sprintf("%s(%s:)", name, a.Name), func(caller string) string { return with(m.cursor(t, caller, cursor)) })
		default:
			m.ask(t, fmt.Sprintf("%s(%s:)", name, a.Name), with(m.value(t, name+"."+a.Name, a.Name)))
		}
	}
}

func (m *matrix) value(t *testing.T, whole, short string) string {
	t.Helper()
	if v, ok := given[whole]; ok {
		return v
	}
	v, ok := given[short]
	if field, is := strings.CutPrefix(whole, "Query."); is && short == "slug" {
		return fmt.Sprintf(`"<slug of %s sample>"`, strings.TrimSuffix(field, ".slug"))
	}
	if !ok {
		t.Fatalf("what is %s? Say so in given", whole)
	}
	return v
}

// cursor returns a cursor of the list of a query; any text if the list is empty for caller.
func (m *matrix) cursor(t *testing.T, caller, query string) string {
	t.Helper()
	found := `"none"`
	stoatest.EachObject(m.send(t, m.people[caller].Token, query).data, func(o map[string]any) {
		if cursor, ok := o["startCursor"].(string); ok {
			found = fmt.Sprintf("%q", cursor)
		}
	})
	return found
}

// ask tries a query with the alias asked for the wanted value.
func (m *matrix) ask(t *testing.T, what, query string) {
	t.Helper()
	m.try(t, what, func(string) string { return query })
}

// askEach adds a row with the result of a query for each caller.
func (m *matrix) askEach(t *testing.T, what string, query func(caller string) string) {
	t.Helper()
	r := row{what: what}
	for _, caller := range askers {
		a := m.send(t, m.people[caller].Token, query(caller))
		came := a.refused()
		if came == "" {
			came = cameOf(a.data)
		}
		r.came = append(r.came, came)
	}
	m.rows = append(m.rows, r)
}

// answered is an answer, decoded.
type answered struct {
	data  any
	codes []string // of its errors
}

func (m *matrix) send(t *testing.T, token, query string) answered {
	t.Helper()
	m.asked++
	from := fmt.Sprintf("10.0.%d.%d", m.asked/250, m.asked%250+1)
	r := golden.RequestOf(t, m.known.Request(t, m.s, query))
	r.Token, r.Header = token, map[string]string{"X-Forwarded-For": from}
	var a stoatest.Answer
	var err error
	switch {
	case r.File != "":
		a, err = golden.SendFile(t, m.s, r)
	case strings.HasPrefix(query, "subscription"):
		a, err = stoatest.FirstEvent(t.Context(), m.s, r.Request)
	default:
		a, err = m.s.Send(r.Request)
	}
	stoatest.Check(t, err)
	var out answered
	if len(a.Data) > 0 {
		stoatest.Check(t, json.Unmarshal(a.Data, &out.data))
	}
	for _, e := range a.Errors {
		out.codes = append(out.codes, fmt.Sprint(e.Extensions["code"]))
	}
	slices.Sort(out.codes)
	out.codes = slices.Compact(out.codes)
	return out
}

// refused returns the text of a row for a response with errors; "" without errors.
func (a answered) refused() string {
	said := map[string]string{"UNAUTHENTICATED": "sign in", "FORBIDDEN": "forbidden"}
	var all []string
	for _, code := range a.codes {
		if word, ok := said[code]; ok {
			code = word
		}
		all = append(all, code)
	}
	return strings.Join(all, ", ")
}

// cameOf describes the value under the alias asked.
func cameOf(data any) string {
	switch v := data.(type) {
	case []any:
		if len(v) > 0 {
			return cameOf(v[0])
		}
	case map[string]any:
		asked, ok := v["asked"]
		if !ok {
			for _, only := range v { // the way there has one field at each step
				return cameOf(only)
			}
		}
		list, isList := asked.([]any)
		switch {
		case asked == nil || isList && len(list) == 1 && list[0] == nil:
			return "null"
		case isList && len(list) == 0:
			return "empty"
		}
		return "shown"
	}
	return "not found"
}

// mutations does each change as everybody, to something new each time.
func (m *matrix) mutations(t *testing.T) {
	t.Helper()
	for _, c := range m.changes() {
		if m.schema.Mutation.Fields.ForName(c.mutation) == nil {
			t.Errorf("there is no mutation %s", c.mutation)
		}
	}
	number := 0
	for _, f := range m.schema.Mutation.Fields {
		shown := false
		for _, c := range m.changes() {
			if c.mutation != f.Name {
				continue
			}
			all := []row{{what: "Mutation." + f.Name}}
			if c.what != "" {
				all[0].what += ": " + c.what
			}
			payload := m.schema.Types[f.Type.Name()]
			selected := ""
			for _, of := range payload.Fields {
				switch {
				case of.Name == "userErrors":
					selected += " userErrors { code }"
				case m.schema.Types[of.Type.Name()].IsCompositeType():
					selected += " " + of.Name + " { __typename }"
				default:
					selected += " " + of.Name
				}
				all = append(all, row{what: payload.Name + "." + of.Name})
			}
			for _, caller := range askers {
				number++
				came := m.change(t, c, caller, number, selected)
				all[0].came = append(all[0].came, came["done"])
				for i, of := range payload.Fields {
					all[i+1].came = append(all[i+1].came, came[of.Name])
				}
			}
			if shown { // the payload's fields once
				all = all[:1]
			}
			shown = true
			m.rows = append(m.rows, all...)
		}
		if !shown {
			t.Errorf("nothing in changes tries %s", f.Name)
		}
	}
}

// askingFor is the mutation that makes c.
func askingFor(c change, arguments, selected string) string {
	form := ""
	if strings.Contains(arguments, "$file") {
		form = "($file: Upload!) "
	}
	return "mutation " + form + "{ asked: " + c.mutation + arguments + " {" + selected + " } }"
}

// change does c as a caller; number makes its people different from those of other calls. It
// returns the result, under done, and that of each field of the payload.
func (m *matrix) change(t *testing.T, c change, caller string, number int, selected string) map[string]string {
	t.Helper()
	role := access.Customer
	if c.writes {
		role = access.Author
	}
	target := m.s.Join(t, fmt.Sprintf("target-%d@example.org", number), "Target", role, time.Time{})
	asking := stoatest.Person{}
	switch caller {
	case "anonymous":
	case "owner":
		asking = target
		asking.Session, asking.Token = m.s.SignIn(t, target.Account)
	default:
		asking = m.s.Join(t, fmt.Sprintf("caller-%d@example.org", number), "Caller", roleOf(caller), time.Time{})
		_, _ = m.s.SignIn(t, asking.Account)
	}
	arguments := ""
	if c.input != nil {
		arguments = "(input: {" + c.input(t, m.s, asking, target) + "})"
	}
	before := m.state(t, target, asking)
	a := m.send(t, asking.Token, askingFor(c, arguments, selected))
	came := map[string]string{"done": a.refused()}
	payload, ok := a.data.(map[string]any)
	var fields map[string]any
	if ok {
		fields, _ = payload["asked"].(map[string]any)
	}
	for name, value := range fields {
		came[name] = "shown"
		if value == nil {
			came[name] = "null"
		}
	}
	if errs, _ := fields["userErrors"].([]any); came["done"] == "" && len(errs) > 0 {
		came["done"] = fmt.Sprint(errs[0].(map[string]any)["code"])
	}
	for name := range strings.FieldsSeq(selected) {
		if _, ok := came[name]; !ok {
			came[name] = "not found"
		}
	}
	if came["done"] != "" {
		if after := m.state(t, target, asking); after != before {
			t.Errorf("%s by %s is answered %q, but it has changed\n%s into\n%s", c.mutation, caller, came["done"], before, after)
		}
		return came
	}
	came["done"] = "done"
	return came
}

// state is everything that a mutation could change of some people.
func (m *matrix) state(t *testing.T, people ...stoatest.Person) string {
	t.Helper()
	var text strings.Builder
	for _, p := range people {
		if p.Account == nil {
			continue
		}
		secret, err := m.s.Store.SecretOf(t.Context(), p.ID)
		stoatest.Check(t, err)
		sessions, err := m.s.Store.SessionsUnder(t.Context(), p.ID)
		stoatest.Check(t, err)
		fmt.Fprintf(&text, "%+v with %d sessions\n", *secret, len(sessions))
		for _, x := range written(t, m.s, p) {
			fmt.Fprintf(&text, "%+v\n", *x)
		}
	}
	return text.String()
}

// written returns a writer's comments, newest first, at most a page.
func written(t testing.TB, s *stoatest.Stoa, who stoatest.Person) []*store.Submission {
	t.Helper()
	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: who.ID, Role: who.Role})
	l, err := s.Store.ListOwnComments(ctx, store.Window{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Page(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var ids []id.ID
	for _, e := range p.Entries {
		ids = append(ids, e.ID)
	}
	found, err := s.Store.Submissions(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// compare holds the rows against the file.
func (m *matrix) compare(t *testing.T) {
	t.Helper()
	got := map[string]string{}
	wide, cell := 0, len("anonymous")
	for _, r := range m.rows {
		wide = max(wide, len(r.what))
		for _, came := range r.came {
			cell = max(cell, len(came))
		}
	}
	var text strings.Builder
	text.WriteString(matrixHead)
	line := func(what string, cells []string) {
		padded := fmt.Sprintf("%-*s", wide, what)
		for _, c := range cells {
			padded += fmt.Sprintf("  %-*s", cell, c)
		}
		text.WriteString(strings.TrimRight(padded, " ") + "\n")
	}
	for _, r := range m.rows {
		if r.came == nil {
			text.WriteString("\n")
			line("# "+r.what, askers)
			continue
		}
		if _, twice := got[r.what]; twice {
			t.Errorf("%s has two rows", r.what)
		}
		got[r.what] = strings.Join(r.came, " | ")
		line(r.what, r.came)
	}
	if os.Getenv("UPDATE") != "" {
		stoatest.Check(t, os.WriteFile(matrixFile, []byte(text.String()), 0o644))
		return
	}
	want := readMatrix(t)
	for _, what := range slices.Sorted(maps.Keys(got)) {
		switch row, ok := want[what]; {
		case !ok:
			t.Errorf("%s has no row in %s; what comes of it for %v: %s", what, matrixFile, askers, got[what])
		case row != got[what]:
			t.Errorf("%s for %v\n  is %s\n  in %s it is %s", what, askers, got[what], matrixFile, row)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[what]; !ok {
			t.Errorf("%s has a row in %s, but isn't in the schema", what, matrixFile)
		}
	}
}

// readMatrix reads the file: columns are two spaces apart, or more.
func readMatrix(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(matrixFile)
	stoatest.Check(t, err)
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		var cells []string
		for cell := range strings.SplitSeq(line, "  ") {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells = append(cells, cell)
			}
		}
		if len(cells) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		rows[cells[0]] = strings.Join(cells[1:], " | ")
	}
	return rows
}

// Each argument for an id gets the id of every other kind of object, while nothing is cached:
// the response has no fault, and the object still exists for everybody afterwards. Caches name
// objects by ids alone, so an id must never be looked up as another kind.
func TestTheIDOfSomethingElseHarmsNothing(t *testing.T) {
	m := openMatrix(t)
	fine := func(caller, query string) string {
		a := m.send(t, m.people[caller].Token, query)
		if slices.Contains(a.codes, "INTERNAL") {
			t.Errorf("%s is answered with a fault", m.known.Request(t, m.s, query))
		}
		return cameOf(a.data)
	}
	tried := 0
	for _, f := range m.schema.Query.Fields {
		if len(f.Arguments) != 1 || f.Arguments[0].Type.Name() != "ID" {
			continue
		}
		tried++
		for _, x := range allThings() {
			node := fmt.Sprintf(`{ asked: node(id: "%s") { id } }`, x.id)
			id := fmt.Sprintf("%q", x.id)
			if f.Arguments[0].Type.Elem != nil {
				id = "[" + id + "]"
			}
			before := fine("owner", node)
			m.s.Store.Flush()
			fine("admin", fmt.Sprintf(`{ asked: %s(%s: %s) { id } }`, f.Name, f.Arguments[0].Name, id))
			if after := fine("owner", node); after != before {
				t.Errorf("%s with the id of %s: it was %s by node, and is %s now", f.Name, x.what, before, after)
			}
		}
	}
	if tried < 3 {
		t.Errorf("only %d fields take an id", tried)
	}
}
