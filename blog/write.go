package blog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Limits of what is written, in characters, bytes or elements as said.
const (
	MaxTitle   = 300  // characters
	MaxSummary = 2000 // characters
	MaxURL     = 2048 // bytes
	MaxAuthors = 20
	MaxTags    = 50

	// restorable is how long a deleted article can be restored.
	restorable = 30 * 24 * time.Hour

	// attempts is how often a change is tried again because somebody else changed the same
	// thing, or took the same slug, in between. Of those who want one slug at once, one gets
	// what it wants in each round.
	attempts = 100
)

// NewArticle is what an article begins with; nil for what is left out.
type NewArticle struct {
	Title          string
	Slug           *string
	Summary        *string
	BodyMarkdown   *string
	Cover          *Cover
	AuthorIDs      []id.ID
	TagIDs         []id.ID
	IdempotencyKey *string `json:"-"`
}

// Cover is a picture as an author names it: by its address, or by the id of an upload; by
// neither, none.
type Cover struct {
	URL     string
	ImageID *id.ID
	Alt     *string
}

// ArticleUpdate is what is to change of an article; nil for what stays.
type ArticleUpdate struct {
	ID              id.ID
	ExpectedVersion int
	Title           *string
	Slug            *string
	Summary         *string
	BodyMarkdown    *string
	Cover           *Cover
	AuthorIDs       []id.ID
	TagIDs          []id.ID
}

// ArticleStep names an article that is to get another status, at the version that the
// caller knows; any when that is nil.
type ArticleStep struct {
	ID              id.ID
	ExpectedVersion *int
}

// Scheduling is when an article is to be published.
type Scheduling struct {
	ID              id.ID
	At              time.Time
	ExpectedVersion *int
}

// Written is what has come of writing. With a Conflict, Current is the article as it is
// now, and Expected what it said at the version that the caller knew, nil where nothing is
// known of that.
type Written struct {
	Article  *store.Article
	Warnings []*problem.Warning
	Current  *store.Article
	Expected *store.Revision
}

// draft is an article that is being changed, and its new text; nil where that stays.
type draft struct {
	store.Article
	text *store.Revision
}

// Create begins an article, a draft that is its author's: the viewer's. Without authors it
// is by the viewer's own author page, which is made where there is none. Where the slug is
// taken it gets a number, and a warning says so.
func (b *Blog) Create(ctx context.Context, in NewArticle) (Written, error) {
	v, err := access.Require(ctx, access.Author)
	if err != nil {
		return Written{}, err
	}
	at := now()
	a := &draft{Article: store.Article{
		ID: id.At(id.Article, at), OwnerID: v.Account, Version: 1, Status: store.Draft,
		OldSlugs: []string{}, AuthorIDs: []id.ID{}, TagIDs: []id.ID{}, RelatedIDs: []id.ID{},
	}}
	a.RevisionID = id.At(id.Revision, at)
	update := ArticleUpdate{Title: &in.Title, Summary: in.Summary, BodyMarkdown: in.BodyMarkdown, Cover: in.Cover, AuthorIDs: in.AuthorIDs, TagIDs: in.TagIDs}
	if update.BodyMarkdown == nil {
		update.BodyMarkdown = new(string)
	}
	if err := b.apply(ctx, a, update); err != nil {
		return Written{}, err
	}
	if _, err := wantedSlug(in.Slug, a.Title, a.ID); err != nil {
		return Written{}, err
	}
	if in.IdempotencyKey != nil {
		record := store.IdempotencyRecord{Caller: string(v.Account), Key: *in.IdempotencyKey, Mutation: "articleCreate", Input: in}
		if at, err = b.store.RecordIdempotency(ctx, record); err != nil {
			return Written{}, err
		}
		a.ID, a.RevisionID = id.Derived(id.Article, at, record.Seed()), id.Derived(id.Revision, at, record.Seed())
		if there, err := b.begun(ctx, a.ID); !problem.Is(err, problem.NotFound) {
			return there, err
		}
	}
	if len(a.AuthorIDs) == 0 {
		own, err := b.ownPage(ctx, v.Account)
		if err != nil {
			return Written{}, err
		}
		a.AuthorIDs = []id.ID{own.ID}
	}
	a.CreatedAt, a.UpdatedAt = at, at
	a.text.ID, a.text.ArticleID, a.text.AccountID, a.text.CreatedAt = a.RevisionID, a.ID, v.Account, at
	if a.WantedSlug, err = wantedSlug(in.Slug, a.Title, a.ID); err != nil {
		return Written{}, err
	}
	if err := b.store.AddRevision(ctx, a.text); err != nil {
		return Written{}, err
	}
	for try := 0; ; try++ {
		if a.Slug, err = b.freeSlug(ctx, a.WantedSlug, a.ID); err != nil {
			return Written{}, err
		}
		err = b.store.AddArticle(ctx, &a.Article)
		if err == nil {
			return Written{Article: &a.Article, Warnings: articleWarnings(&a.Article)}, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return Written{}, err
		}
		if there, err := b.begun(ctx, a.ID); !problem.Is(err, problem.NotFound) {
			return there, err
		}
	}
}

// begun returns the article that an equal call has made; NotFound where none has.
func (b *Blog) begun(ctx context.Context, article id.ID) (Written, error) {
	there, err := b.store.ArticleNow(ctx, article)
	if err != nil {
		return Written{}, err
	}
	return Written{Article: there, Warnings: articleWarnings(there)}, nil
}

// Update changes what an article says: the owner's while it isn't published, an editor's
// at any time. Conflict when it has changed since the version that the caller knows.
func (b *Blog) Update(ctx context.Context, in ArticleUpdate) (Written, error) {
	var warnings []*problem.Warning
	out, err := b.change(ctx, in.ID, &in.ExpectedVersion, mayChange, func(_ access.Viewer, a *draft) error {
		err := b.apply(ctx, a, in)
		if err != nil || in.Slug == nil || *in.Slug == a.Slug {
			return err
		}
		if a.WantedSlug, err = wantedSlug(in.Slug, a.Title, a.ID); err != nil {
			return err
		}
		before := a.Slug
		if a.Slug, err = b.freeSlug(ctx, a.WantedSlug, a.ID); err != nil {
			return err
		}
		a.OldSlugs = readdressed(before, a.OldSlugs, a.Slug)
		warnings = articleWarnings(&a.Article)
		return nil
	})
	out.Warnings = warnings
	return out, err
}

// Publish publishes an article now, for editors. When it was first published stays as it
// is.
func (b *Blog) Publish(ctx context.Context, in ArticleStep) (Written, error) {
	return b.change(ctx, in.ID, in.ExpectedVersion, mayPublish, func(_ access.Viewer, a *draft) error {
		if a.Public() {
			return nil
		}
		if at := now(); a.PublishedAt.IsZero() || a.Status == store.Scheduled || a.PublishedAt.After(at) {
			a.PublishedAt = at
		}
		a.Status = store.Published
		return nil
	})
}

// Schedule has an article published at a time that is still to come, for editors.
func (b *Blog) Schedule(ctx context.Context, in Scheduling) (Written, error) {
	at := in.At.UTC().Truncate(time.Millisecond)
	return b.change(ctx, in.ID, in.ExpectedVersion, mayPublish, func(_ access.Viewer, a *draft) error {
		if a.Public() {
			return problem.New(problem.Invalid, "the article is published: unpublish it first").At("id")
		}
		if !at.After(now()) {
			return problem.New(problem.Invalid, "at must be in the future: publish what is to appear now").At("at")
		}
		a.Status, a.PublishedAt = store.Scheduled, at
		return nil
	})
}

// Unpublish makes a draft of what is published or scheduled, for editors.
func (b *Blog) Unpublish(ctx context.Context, in ArticleStep) (Written, error) {
	return b.change(ctx, in.ID, in.ExpectedVersion, mayPublish, func(_ access.Viewer, a *draft) error {
		if a.Status == store.Scheduled {
			a.PublishedAt = time.Time{}
		}
		a.Status = store.Draft
		return nil
	})
}

// DeleteArticle deletes an article so that it can be restored for 30 days: the owner's
// while it isn't published, an editor's at any time. Deleting it again changes nothing.
func (b *Blog) DeleteArticle(ctx context.Context, in ArticleStep) (Written, error) {
	may := func(v access.Viewer, a *store.Article) error {
		if a.Status == store.Deleted {
			return nil
		}
		return mayChange(v, a)
	}
	return b.change(ctx, in.ID, in.ExpectedVersion, may, func(_ access.Viewer, a *draft) error {
		if a.Status == store.Scheduled {
			a.PublishedAt = time.Time{}
		}
		if a.Status != store.Deleted {
			a.Status, a.DeletedAt = store.Deleted, now()
		}
		return nil
	})
}

// Restore makes a draft of a deleted article. One that isn't deleted stays as it is.
func (b *Blog) Restore(ctx context.Context, in ArticleStep) (Written, error) {
	may := func(v access.Viewer, a *store.Article) error {
		if a.Status != store.Deleted {
			return mayChange(v, a)
		}
		if time.Since(a.DeletedAt) > restorable {
			return problem.New(problem.NotFound, "there is no such article").At("id")
		}
		return nil
	}
	return b.change(ctx, in.ID, in.ExpectedVersion, may, func(_ access.Viewer, a *draft) error {
		if a.Status == store.Deleted {
			a.Status, a.DeletedAt = store.Draft, time.Time{}
		}
		return nil
	})
}

// mayChange says what speaks against v changing a, which it knows of.
func mayChange(v access.Viewer, a *store.Article) error {
	switch {
	case a.Status == store.Deleted:
		return problem.New(problem.Invalid, "the article is deleted: restore it first").At("id")
	case v.May(access.Editor):
		return nil
	case a.Public() || !a.EditableBy(v):
		return problem.New(problem.Forbidden, "the article is published: an editor has to change it").At("id")
	}
	return nil
}

// mayPublish says what speaks against v deciding when a is public.
func mayPublish(v access.Viewer, a *store.Article) error {
	if !v.May(access.Editor) {
		return problem.New(problem.Forbidden, "this takes the role %s; yours is %s", access.Editor, v.Role).At("id")
	}
	return mayChange(v, a)
}

// change turns an article, as it is in the database, into what by makes of a copy; with a
// text that by returns, the copy gets it. Whoever else changes the article at once is seen:
// with an expected version as a Conflict, without one by doing it again.
func (b *Blog) change(ctx context.Context, article id.ID, expected *int, may func(access.Viewer, *store.Article) error, by func(access.Viewer, *draft) error) (Written, error) {
	v, err := access.Require(ctx, access.Author)
	if err != nil {
		return Written{}, err
	}
	for try := 0; ; try++ {
		before, err := b.store.ArticleNow(ctx, article)
		if err == nil && !before.VisibleTo(v) && !before.EditableBy(v) {
			err = problem.New(problem.NotFound, "there is no such article")
		}
		if err != nil {
			return Written{}, problem.Locate(err, "id")
		}
		if err := may(v, before); err != nil {
			return Written{}, err
		}
		if expected != nil && int64(*expected) != before.Version {
			return b.conflict(ctx, before, *expected)
		}
		after := &draft{Article: *before}
		if err := by(v, after); err != nil {
			return Written{}, err
		}
		if after.text == nil && reflect.DeepEqual(before, &after.Article) {
			return Written{Article: before}, nil
		}
		err = b.commit(ctx, v, before, &after.Article, after.text)
		if err == nil {
			return Written{Article: &after.Article}, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return Written{}, err
		}
	}
}

// commit writes what change has made.
func (b *Blog) commit(ctx context.Context, v access.Viewer, before, after *store.Article, r *store.Revision) error {
	if r != nil {
		r.ID, r.ArticleID, r.Version, r.AccountID, r.CreatedAt = id.New(id.Revision), after.ID, before.Version+1, v.Account, now()
		after.RevisionID = r.ID
		if err := b.store.AddRevision(ctx, r); err != nil {
			return err
		}
	}
	if r != nil || contentDiffers(before, after) || before.Status != after.Status || !before.PublishedAt.Equal(after.PublishedAt) {
		after.UpdatedAt = now()
	}
	if after.Status == store.Published && after.UpdatedAt.Before(after.PublishedAt) {
		after.UpdatedAt = after.PublishedAt
	}
	if after.Public() && moved(before, after) {
		after.RelatedIDs = []id.ID{}
	}
	err := b.store.ChangeArticle(ctx, before, after)
	if problem.Is(err, problem.Conflict) && r != nil {
		return errors.Join(err, b.store.DeleteRevision(ctx, r))
	}
	if err == nil && moved(before, after) {
		b.reconcileLater(before, after)
	}
	return err
}

// contentDiffers says whether readers are told something else, besides the text.
func contentDiffers(before, after *store.Article) bool {
	return before.Slug != after.Slug || !reflect.DeepEqual(before.Cover, after.Cover) ||
		!slices.Equal(before.AuthorIDs, after.AuthorIDs) || !slices.Equal(before.TagIDs, after.TagIDs)
}

// moved says whether other articles are related otherwise after a change than before it.
func moved(before, after *store.Article) bool {
	if !before.Public() && !after.Public() {
		return false
	}
	return before.Public() != after.Public() || !slices.Equal(before.AuthorIDs, after.AuthorIDs) || !slices.Equal(before.TagIDs, after.TagIDs)
}

// conflict tells both versions of an article: the caller's and the present one.
func (b *Blog) conflict(ctx context.Context, a *store.Article, expected int) (Written, error) {
	out := Written{Current: a}
	r, err := b.store.RevisionAt(ctx, a.ID, int64(expected))
	if err != nil && !problem.Is(err, problem.NotFound) {
		return Written{}, err
	}
	if err == nil && int64(expected) < a.Version {
		out.Expected = r
	}
	return out, problem.New(problem.Conflict, "the article has changed: it is at version %d, not %d", a.Version, expected).At("expectedVersion")
}

// apply makes a what in says, its slug excepted. It gets a new text where title, summary or
// text are others than before.
func (b *Blog) apply(ctx context.Context, a *draft, in ArticleUpdate) error {
	title, summary := a.Title, a.Summary
	var err error
	if in.Title != nil {
		if title, err = line(*in.Title, "title", 1, MaxTitle); err != nil {
			return err
		}
	}
	if in.Summary != nil {
		if summary, err = line(*in.Summary, "summary", 0, MaxSummary); err != nil {
			return err
		}
	}
	if in.Cover != nil {
		if a.Cover, err = b.cover(ctx, *in.Cover); err != nil {
			return err
		}
	}
	if in.AuthorIDs != nil {
		if a.AuthorIDs, err = known(ctx, in.AuthorIDs, "authorIds", "author", MaxAuthors, b.store.AuthorsNow); err != nil {
			return err
		}
	}
	if in.TagIDs != nil {
		if a.TagIDs, err = known(ctx, in.TagIDs, "tagIds", "tag", MaxTags, b.store.TagsNow); err != nil {
			return err
		}
	}
	source, isNew, err := b.source(ctx, a, in.BodyMarkdown)
	if err != nil || !isNew && title == a.Title && summary == a.Summary {
		return err
	}
	rendered, err := b.markdown.Render(ctx, source)
	if err != nil {
		return refusedText(err, "bodyMarkdown")
	}
	a.Title, a.TitleKey, a.Summary = title, store.SortKey(title), summary
	a.Lead = markdown.Excerpt(rendered.Text, store.LeadWords+1)
	a.ReadingMinutes = markdown.ReadingMinutes(rendered.Words)
	a.text = revision(&a.Article, source, rendered)
	return nil
}

// source returns the text that a is to have, and whether it has another one now. One that
// is about to begin has none.
func (b *Blog) source(ctx context.Context, a *draft, given *string) (text string, isNew bool, err error) {
	if a.CreatedAt.IsZero() && a.Slug == "" {
		return *given, true, nil
	}
	found, err := b.store.Revisions(ctx, []id.ID{a.RevisionID})
	if err != nil {
		return "", false, err
	}
	if found[0] == nil {
		return "", false, fmt.Errorf("the text %s of article %s is missing", a.RevisionID, a.ID)
	}
	if given == nil {
		return found[0].Markdown, false, nil
	}
	return *given, *given != found[0].Markdown, nil
}

// revision is the text of a, without an id.
func revision(a *store.Article, source string, rendered markdown.Rendered) *store.Revision {
	r := &store.Revision{
		ID: id.New(id.Revision), ArticleID: a.ID, Version: a.Version, Title: a.Title, Summary: a.Summary,
		Markdown: source, HTML: rendered.HTML, CreatedAt: now(),
	}
	for _, h := range rendered.TOC {
		r.Headings = append(r.Headings, store.Heading{Level: h.Level, Text: h.Text, Anchor: h.Anchor})
	}
	return r
}

// line returns plain text as it is kept, of least to most characters.
func line(text, field string, least, most int) (string, error) {
	text = norm.NFC.String(strings.TrimSpace(text))
	if n := utf8.RuneCountInString(text); n < least || n > most {
		return "", problem.New(problem.Invalid, "%s takes %d to %d characters, not %d", field, least, most, n).At(field)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError }) {
		return "", problem.New(problem.Invalid, "%s takes plain text without control characters", field).At(field)
	}
	return strings.Join(strings.Fields(text), " "), nil
}

// cover returns the picture that c names; nil, without an error, where it names none.
func (b *Blog) cover(ctx context.Context, c Cover) (*store.Image, error) {
	switch {
	case c.ImageID != nil && c.URL != "":
		return nil, problem.New(problem.Invalid, "a cover is at an address or was uploaded: give url or imageId, not both").At("cover", "imageId")
	case c.ImageID != nil && b.Uploads != nil:
		cover, err := b.Uploads(ctx, *c.ImageID, c.Alt)
		var refused *problem.Error
		if errors.As(err, &refused) {
			field := "imageId"
			if len(refused.Path) > 0 {
				field = "alt"
			}
			return nil, refused.At("cover", field)
		}
		return cover, err
	case c.URL == "":
		return nil, nil
	}
	text := ""
	if c.Alt != nil {
		text = *c.Alt
	}
	alt, err := line(text, "alt", 0, MaxAlt)
	if err != nil {
		return nil, problem.Locate(err, "cover", "alt")
	}
	if err := checkURL(c.URL); err != nil {
		return nil, err.At("cover", "url")
	}
	return &store.Image{URL: c.URL, Alt: alt}, nil
}

// MaxAlt is the longest description of a picture, in characters.
const MaxAlt = 500

// checkURL refuses what is neither an address on the web nor a path on the site.
func checkURL(text string) *problem.Error {
	u, err := url.Parse(text)
	onSite := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//")
	onWeb := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil
	if !onSite && !onWeb || len(text) > MaxURL || strings.ContainsAny(text, " \"'<>\\^`|{}") {
		return problem.New(problem.Invalid, "url takes an absolute address with http or https, or a path that begins with a single /, of at most %d bytes", MaxURL)
	}
	return nil
}

// known returns ids, each once, when all of them name something.
func known[T store.Node](ctx context.Context, ids []id.ID, field, what string, most int, load func(context.Context, []id.ID) ([]T, error)) ([]id.ID, error) {
	out := make([]id.ID, 0, len(ids))
	for _, i := range ids {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
		if len(out) > most {
			return nil, problem.New(problem.Invalid, "%s takes at most %d", field, most).At(field)
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	found, err := load(ctx, out)
	if err != nil {
		return nil, err
	}
	for _, i := range out {
		if !slices.ContainsFunc(found, func(n T) bool { return n.NodeID() == i }) {
			return nil, problem.New(problem.NotFound, "there is no %s with the id %s", what, i).At(field)
		}
	}
	return out, nil
}

// Drafts returns a part of the list of the viewer's own drafts and scheduled articles, the
// last changed first.
func (b *Blog) Drafts(ctx context.Context, w store.Window) (*store.List, error) {
	return b.store.ListDesk(ctx, []store.Status{store.Draft, store.Scheduled}, true, w)
}

// Queue returns a part of the list of everybody's drafts and scheduled articles, the last
// changed first, for editors.
func (b *Blog) Queue(ctx context.Context, statuses []store.Status, w store.Window) (*store.List, error) {
	if _, err := access.Require(ctx, access.Editor); err != nil {
		return nil, err
	}
	for _, s := range statuses {
		if s != store.Draft && s != store.Scheduled {
			return nil, problem.New(problem.Invalid, "status takes DRAFT and SCHEDULED: what is published is in articles, what is deleted in deletedArticles").At("status")
		}
	}
	return b.store.ListDesk(ctx, slices.Compact(slices.Sorted(slices.Values(statuses))), false, w)
}

// DeletedArticles returns a part of the list of what can be restored, the last deleted
// first: the viewer's own, for editors everybody's.
func (b *Blog) DeletedArticles(ctx context.Context, w store.Window) (*store.List, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return b.store.ListDesk(ctx, []store.Status{store.Deleted}, !v.May(access.Editor), w)
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
