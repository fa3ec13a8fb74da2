package blog

// Creating and changing articles, their publication and deletion, and the lists of unpublished
// ones. Entry points: Create, Update, Publish, Schedule, Unpublish, DeleteArticle, Restore, Drafts,
// Queue, DeletedArticles.

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"stoa/access"
	"stoa/blog/markdown"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Limits of articles: in characters, or the number of elements.
const (
	MaxTitle   = 300  // characters
	MaxSummary = 2000 // characters
	MaxAuthors = 20
	MaxTags    = 50

	// restorable is the time in which a deleted article can be restored.
	restorable = 30 * 24 * time.Hour
)

// NewArticle is the input of Create; nil for an omitted value.
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

// Cover is the input of a picture: its address, or the id of an upload. Neither means no picture.
type Cover struct {
	URL     string
	ImageID *id.ID
	Alt     *string
}

// ArticleUpdate is the input of Update; nil for a value that stays.
type ArticleUpdate struct {
	ID              id.ID
	ExpectedVersion int64
	Title           *string
	Slug            *string
	Summary         *string
	BodyMarkdown    *string
	Cover           *Cover
	AuthorIDs       []id.ID
	TagIDs          []id.ID
}

// ArticleTransition is the input of a change of status.
type ArticleTransition struct {
	ID              id.ID
	ExpectedVersion *int64 // nil for any
}

// ArticleSchedule is the input of Schedule.
type ArticleSchedule struct {
	ID              id.ID
	At              time.Time
	ExpectedVersion *int64 // nil for any
}

// ArticleResult is the outcome of a mutation of an article. With a Conflict about the expected
// version, Current is the present article, and Expected its text at that version, or nil if that
// isn't known.
type ArticleResult struct {
	Article  *store.Article
	Warnings []*problem.Warning
	Current  *store.Article
	Expected *store.Revision
}

// draft is an article that is being changed, and its new text; nil if the text stays.
type draft struct {
	store.Article
	text *store.Revision
}

// articleKind describes articles to package edit.
func (b *Blog) articleKind() *edit.Kind[draft] {
	return &edit.Kind[draft]{
		ID: id.Article, Name: "article", Role: access.Author, Store: b.store,
		Fields: func(a *draft) edit.Fields {
			return edit.Fields{ID: &a.ID, Version: a.Version, Name: a.Title, Slug: &a.Slug, OldSlugs: &a.OldSlugs, WantedSlug: &a.WantedSlug}
		},
		Read: func(ctx context.Context, i id.ID) (*draft, error) {
			a, err := b.store.ArticleNow(ctx, i)
			if err != nil {
				return nil, err
			}
			return &draft{Article: *a}, nil
		},
		Visible: func(_ context.Context, v access.Viewer, a *draft) error {
			if a.VisibleTo(v) || a.EditableBy(v) {
				return nil
			}
			return problem.New(problem.NotFound, "there is no such article")
		},
		Taken: func(ctx context.Context, slugs []string) (map[string]id.ID, error) {
			return store.Articles.SlugsTaken(ctx, b.store, slugs)
		},
		Insert:  func(ctx context.Context, a *draft) error { return b.store.AddArticle(ctx, &a.Article) },
		Replace: b.replaceArticle,
	}
}

// Create creates an article, a draft of the viewer's. If there are no authors, it is by the
// viewer's own author page, and creates that if it is missing.
func (b *Blog) Create(ctx context.Context, in NewArticle) (ArticleResult, error) {
	update := ArticleUpdate{Title: &in.Title, Summary: in.Summary, BodyMarkdown: in.BodyMarkdown, Cover: in.Cover, AuthorIDs: in.AuthorIDs, TagIDs: in.TagIDs}
	if update.BodyMarkdown == nil {
		update.BodyMarkdown = new(string)
	}
	out, err := b.articles.Create(ctx, edit.Creation[draft]{Key: in.IdempotencyKey, Input: in, Slug: in.Slug,
		Fill: func(ctx context.Context, v access.Viewer, a *draft) error {
			a.OwnerID, a.Version, a.Status = v.Account, 1, store.Draft
			a.OldSlugs, a.AuthorIDs, a.TagIDs, a.RelatedIDs = []string{}, []id.ID{}, []id.ID{}, []id.ID{}
			return b.apply(ctx, v, a, update)
		},
		Complete: func(ctx context.Context, v access.Viewer, o edit.Origin, a *draft) error {
			if len(a.AuthorIDs) == 0 {
				own, err := b.ownPage(ctx, v.Account)
				if err != nil {
					return err
				}
				a.AuthorIDs = []id.ID{own.ID}
			}
			a.CreatedAt, a.UpdatedAt, a.RevisionID = o.At, o.At, o.ID(id.Revision)
			a.text.ID, a.text.ArticleID, a.text.CreatedAt = a.RevisionID, a.ID, o.At
			return b.store.AddRevision(ctx, a.text)
		},
	})
	return b.articleResult(ctx, out, nil, err)
}

// articleResult makes the outcome of an edit one of an article. It reads the text at the expected
// version after a conflict about it.
func (b *Blog) articleResult(ctx context.Context, in edit.Result[draft], expected *int64, err error) (ArticleResult, error) {
	out := ArticleResult{Warnings: in.Warnings}
	if in.Value != nil {
		out.Article = &in.Value.Article
	}
	if in.Current == nil {
		return out, err
	}
	out.Current = &in.Current.Article
	if *expected < out.Current.Version {
		r, readErr := b.store.RevisionAt(ctx, out.Current.ID, *expected)
		if readErr != nil && !problem.Is(readErr, problem.NotFound) {
			return ArticleResult{}, readErr
		}
		out.Expected = r
	}
	return out, err
}

// change changes an article as edit.Kind.Change does.
func (b *Blog) change(ctx context.Context, c edit.Change[draft]) (ArticleResult, error) {
	out, err := b.articles.Change(ctx, c)
	return b.articleResult(ctx, out, c.Expected, err)
}

// Update changes the contents of an article, for its owner while it isn't published, and for
// editors.
func (b *Blog) Update(ctx context.Context, in ArticleUpdate) (ArticleResult, error) {
	return b.change(ctx, edit.Change[draft]{ID: in.ID, Expected: &in.ExpectedVersion, Slug: in.Slug, May: mayChange,
		Apply: func(ctx context.Context, v access.Viewer, a *draft) error { return b.apply(ctx, v, a, in) },
	})
}

// transition changes the status of an article.
func (b *Blog) transition(ctx context.Context, in ArticleTransition, may func(access.Viewer, *draft) error, apply func(*draft) error) (ArticleResult, error) {
	return b.change(ctx, edit.Change[draft]{ID: in.ID, Expected: in.ExpectedVersion, May: may,
		Apply: func(_ context.Context, _ access.Viewer, a *draft) error { return apply(a) },
	})
}

// Publish publishes an article now, for editors. The time of its first publication stays.
func (b *Blog) Publish(ctx context.Context, in ArticleTransition) (ArticleResult, error) {
	return b.transition(ctx, in, mayPublish, func(a *draft) error {
		if a.Public() {
			return nil
		}
		if at := store.Now(); a.PublishedAt.IsZero() || a.Status == store.Scheduled || a.PublishedAt.After(at) {
			a.PublishedAt = at
		}
		a.Status = store.Published
		return nil
	})
}

// Schedule has an article published at a future time, for editors.
func (b *Blog) Schedule(ctx context.Context, in ArticleSchedule) (ArticleResult, error) {
	at := in.At.UTC().Truncate(time.Millisecond)
	return b.transition(ctx, ArticleTransition{in.ID, in.ExpectedVersion}, mayPublish, func(a *draft) error {
		if a.Public() {
			return problem.New(problem.Invalid, "the article is published: unpublish it first").At("id")
		}
		if !at.After(store.Now()) {
			return problem.New(problem.Invalid, "at must be in the future: publish what is to appear now").At("at")
		}
		a.Status, a.PublishedAt = store.Scheduled, at
		return nil
	})
}

// Unpublish makes a draft of a published or scheduled article, for editors.
func (b *Blog) Unpublish(ctx context.Context, in ArticleTransition) (ArticleResult, error) {
	return b.transition(ctx, in, mayPublish, func(a *draft) error {
		if a.Status == store.Scheduled {
			a.PublishedAt = time.Time{}
		}
		a.Status = store.Draft
		return nil
	})
}

// DeleteArticle deletes an article so that it can be restored for 30 days, for its owner while it
// isn't published, and for editors. Deleting it again changes nothing.
func (b *Blog) DeleteArticle(ctx context.Context, in ArticleTransition) (ArticleResult, error) {
	may := func(v access.Viewer, a *draft) error {
		if a.Status == store.Deleted {
			return nil
		}
		return mayChange(v, a)
	}
	return b.transition(ctx, in, may, func(a *draft) error {
		if a.Status == store.Scheduled {
			a.PublishedAt = time.Time{}
		}
		if a.Status != store.Deleted {
			a.Status, a.DeletedAt = store.Deleted, store.Now()
			a.PreviewEpoch++
		}
		return nil
	})
}

// Restore makes a draft of a deleted article. Another article stays as it is.
func (b *Blog) Restore(ctx context.Context, in ArticleTransition) (ArticleResult, error) {
	may := func(v access.Viewer, a *draft) error {
		if a.Status != store.Deleted {
			return mayChange(v, a)
		}
		if time.Since(a.DeletedAt) > restorable {
			return problem.New(problem.NotFound, "there is no such article").At("id")
		}
		return nil
	}
	return b.transition(ctx, in, may, func(a *draft) error {
		if a.Status == store.Deleted {
			a.Status, a.DeletedAt = store.Draft, time.Time{}
		}
		return nil
	})
}

// mayChange returns the reason why v can't change a visible article, or nil.
func mayChange(v access.Viewer, a *draft) error {
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

// mayPublish returns the reason why v can't change an article's time or state of publication, or
// nil.
func mayPublish(v access.Viewer, a *draft) error {
	if !v.May(access.Editor) {
		return problem.New(problem.Forbidden, "this takes the role %s; yours is %s", access.Editor, v.Role).At("id")
	}
	return mayChange(v, a)
}

// replaceArticle writes a change of an article, after its new text if it has one.
func (b *Blog) replaceArticle(ctx context.Context, was, is *draft) error {
	before, after, r := &was.Article, &is.Article, is.text
	if r != nil {
		r.ID, r.ArticleID, r.Version, r.CreatedAt = id.New(id.Revision), after.ID, before.Version+1, store.Now()
		after.RevisionID = r.ID
		if err := b.store.AddRevision(ctx, r); err != nil {
			return err
		}
	}
	if r != nil || contentDiffers(before, after) || before.Status != after.Status || !before.PublishedAt.Equal(after.PublishedAt) {
		after.UpdatedAt = store.Now()
	}
	if after.Status == store.Published && after.UpdatedAt.Before(after.PublishedAt) {
		after.UpdatedAt = after.PublishedAt
	}
	err := b.store.ChangeArticle(ctx, before, after)
	if problem.Is(err, problem.Conflict) && r != nil {
		return errors.Join(err, b.store.DeleteRevision(ctx, r))
	}
	return err
}

// contentDiffers reports whether readers see a difference, apart from the text.
func contentDiffers(before, after *store.Article) bool {
	return before.Slug != after.Slug || !reflect.DeepEqual(before.Cover, after.Cover) ||
		!slices.Equal(before.AuthorIDs, after.AuthorIDs) || !slices.Equal(before.TagIDs, after.TagIDs)
}

// apply changes an article as in says, without the slug. The article gets a new text if title,
// summary or text differ.
func (b *Blog) apply(ctx context.Context, v access.Viewer, a *draft, in ArticleUpdate) error {
	title, summary := a.Title, a.Summary
	err := edit.SetLine(&title, in.Title, "title", 1, MaxTitle)
	if err == nil {
		err = edit.SetLine(&summary, in.Summary, "summary", 0, MaxSummary)
	}
	if err != nil {
		return err
	}
	if in.Cover != nil {
		if a.Cover, err = b.cover(ctx, *in.Cover); err != nil {
			return err
		}
	}
	if in.AuthorIDs != nil {
		named, pages, err := edit.Existing(ctx, b.store, store.Authors, in.AuthorIDs, "authorIds", MaxAuthors)
		if err == nil {
			err = mayName(v, a, pages)
		}
		if err != nil {
			return err
		}
		a.AuthorIDs = named
	}
	if in.TagIDs != nil {
		if a.TagIDs, _, err = edit.Existing(ctx, b.store, store.Tags, in.TagIDs, "tagIds", MaxTags); err != nil {
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
	a.text.AccountID = v.Account
	return nil
}

// mayName returns the reason why v can't put a page on an article, or nil. Editors put anybody's;
// others their own, beside those that are on it already.
func mayName(v access.Viewer, a *draft, pages []*store.Author) error {
	for _, p := range pages {
		if !v.May(access.Editor) && !v.Is(p.AccountID) && !slices.Contains(a.AuthorIDs, p.ID) {
			return problem.New(problem.Forbidden, "%s isn't your page: an editor can put it on the article", p.Name).At("authorIds")
		}
	}
	return nil
}

// source returns the text that an article gets, and whether it is a new one. An article in creation
// has none yet.
func (b *Blog) source(ctx context.Context, a *draft, given *string) (text string, isNew bool, err error) {
	if a.CreatedAt.IsZero() && a.Slug == "" {
		return *given, true, nil
	}
	found, err := store.Revisions.All(ctx, b.store, []id.ID{a.RevisionID})
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

// revision makes a revision of a text, with a random id.
func revision(a *store.Article, source string, rendered markdown.Rendered) *store.Revision {
	r := &store.Revision{
		ID: id.New(id.Revision), ArticleID: a.ID, Version: a.Version, Title: a.Title, Summary: a.Summary,
		Markdown: source, HTML: rendered.HTML, CreatedAt: store.Now(),
	}
	for _, h := range rendered.TOC {
		r.Headings = append(r.Headings, store.Heading{Level: h.Level, Text: h.Text, Anchor: h.Anchor})
	}
	return r
}

// cover returns the picture of an input; nil without an error if there is none.
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
	alt, err := edit.Line(text, "alt", 0, MaxAlt)
	if err != nil {
		return nil, problem.Locate(err, "cover", "alt")
	}
	if err := edit.CheckURL(c.URL); err != nil {
		return nil, err.At("cover", "url")
	}
	return &store.Image{URL: c.URL, Alt: alt}, nil
}

// MaxAlt is the longest description of a picture, in characters.
const MaxAlt = 500

// Drafts returns a window of the list of the viewer's own drafts and scheduled articles, the last
// changed first.
func (b *Blog) Drafts(ctx context.Context, w store.Window) (*store.List, error) {
	return b.store.ListDesk(ctx, []store.Status{store.Draft, store.Scheduled}, true, w)
}

// Queue returns a window of the list of everybody's drafts and scheduled articles, the last changed
// first, for editors.
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

// DeletedArticles returns a window of the list of articles that can be restored, the last deleted
// first: the viewer's own, or everybody's for editors.
func (b *Blog) DeletedArticles(ctx context.Context, w store.Window) (*store.List, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return b.store.ListDesk(ctx, []store.Status{store.Deleted}, !v.May(access.Editor), w)
}
