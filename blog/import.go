package blog

// Importing articles, authors, tags and comments from another system, so that a repeated import
// changes nothing. Entry points: Blog.BeginImport and the methods of Importing.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stoa/blog/markdown"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Import is an article from another system.
type Import struct {
	Source      string       `json:"source"`            // path relative to the imported folder, with the folder's identity in front
	Digest      string       `json:"digest"`            // of everything below, hex SHA-256; an equal digest means nothing to do
	Slug        string       `json:"slug"`              // the wanted slug; a taken one gets a number
	Title       string       `json:"title"`             // plain text
	Summary     string       `json:"summary,omitempty"` // plain text
	Markdown    string       `json:"bodyMarkdown"`
	Authors     []ImportName `json:"authors,omitempty"`
	Tags        []ImportName `json:"tags,omitempty"`
	PublishedAt time.Time    `json:"publishedAt,omitzero"` // UTC; zero only with Draft
	UpdatedAt   time.Time    `json:"updatedAt,omitzero"`   // UTC; zero when unknown
	Draft       bool         `json:"draft,omitempty"`
	Cover       *store.Image `json:"cover,omitempty"`   // at an address or in the media store; nil for none
	Aliases     []string     `json:"aliases,omitempty"` // last elements of former addresses, to be found under them
}

// ImportName is an author or a tag, by slug and name.
type ImportName struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// ImportStatus is the outcome of one Import.
type ImportStatus string

// The outcomes.
const (
	Created   ImportStatus = "created"
	Updated   ImportStatus = "updated"
	Unchanged ImportStatus = "unchanged"
	Failed    ImportStatus = "failed"
)

// Outcome is the outcome of the Import from Source. Err is set with Failed only.
type Outcome struct {
	Source string
	Status ImportStatus
	Err    error
}

// Importing is an import in progress. It knows the blog's content at its beginning and its own
// additions. A later addition of somebody else's is met as a conflict. It isn't for concurrent use.
type Importing struct {
	blog    *Blog
	dry     bool
	now     time.Time
	known   map[string]*store.Article // by source
	slugs   map[string]id.ID
	wanted  map[string]string // slug → the source that it is reserved for
	authors map[string]*store.Author
	tags    map[string]*store.Tag
}

// BeginImport begins an import: it reads the blog's sources, slugs, authors and tags. A dry import
// writes nothing.
func (b *Blog) BeginImport(ctx context.Context, dry bool) (*Importing, error) {
	i := &Importing{blog: b, dry: dry, now: time.Now(), wanted: map[string]string{}}
	var err error
	if i.known, err = b.store.Imported(ctx); err != nil {
		return nil, err
	}
	if i.slugs, err = b.store.TakenSlugs(ctx); err != nil {
		return nil, err
	}
	if i.authors, err = b.store.AllAuthors(ctx); err != nil {
		return nil, err
	}
	i.tags, err = b.store.AllTags(ctx)
	return i, err
}

// Add creates or updates the articles of a batch, in order. A failed one doesn't stop the others.
// An error stops everything; the outcomes are those of the articles before it.
func (i *Importing) Add(ctx context.Context, batch []Import) ([]Outcome, error) {
	var out []Outcome
	for _, in := range batch {
		if err := ctx.Err(); err != nil {
			return out, fmt.Errorf("import %s: %w", in.Source, err)
		}
		status, err := i.add(ctx, in)
		var refused *problem.Error
		switch {
		case errors.As(err, &refused):
			out = append(out, Outcome{in.Source, Failed, err})
		case err != nil:
			return out, fmt.Errorf("import %s: %w", in.Source, err)
		default:
			out = append(out, Outcome{in.Source, status, nil})
		}
	}
	return out, nil
}

func (i *Importing) add(ctx context.Context, in Import) (ImportStatus, error) {
	in.Digest = fmt.Sprintf("%s.%d", in.Digest, markdown.Version) // a better rendering is an update
	before := i.known[in.Source]
	if before != nil && before.Digest == in.Digest {
		return Unchanged, nil
	}
	if here, found := strings.CutPrefix(in.Source, store.OwnSource); found && before == nil {
		there, err := store.Articles.Now(ctx, i.blog.store, []id.ID{id.ID(here)})
		if err != nil || len(there) > 0 { // an export never replaces an article in the blog that it was written in
			return Unchanged, err
		}
	}
	status := Updated
	if before == nil {
		status = Created
	}
	rendered, err := i.blog.markdown.Render(ctx, in.Markdown)
	if err != nil {
		return "", refusedText(err)
	}
	after := i.article(in, before, rendered)
	if !i.dry {
		if after.AuthorIDs, err = i.authorIDs(ctx, in.Authors); err != nil {
			return "", err
		}
		if after.TagIDs, err = i.tagIDs(ctx, in.Tags); err != nil {
			return "", err
		}
		if err := i.write(ctx, before, after, in.Markdown, rendered); err != nil {
			return "", err
		}
	}
	i.known[in.Source] = after
	i.slugs[after.Slug] = after.ID
	for _, old := range after.OldSlugs {
		i.slugs[old] = after.ID
	}
	return status, nil
}

// article makes the article of an import, from the existing one if there is one.
func (i *Importing) article(in Import, before *store.Article, rendered markdown.Rendered) *store.Article {
	a := &store.Article{Version: 1, RelatedIDs: []id.ID{}}
	if before != nil {
		copied := *before
		a = &copied
	} else {
		at := in.PublishedAt
		if at.IsZero() {
			at = i.now
		}
		a.ID = id.At(id.Article, at)
	}
	a.Source, a.Digest = in.Source, in.Digest
	a.Title, a.TitleKey, a.Summary = in.Title, store.SortKey(in.Title), in.Summary
	a.Lead = markdown.Excerpt(rendered.Text, store.LeadWords+1)
	a.ReadingMinutes = markdown.ReadingMinutes(rendered.Words)
	a.PublishedAt, a.UpdatedAt = in.PublishedAt.Truncate(time.Millisecond), in.UpdatedAt.Truncate(time.Millisecond)
	if a.UpdatedAt.Before(a.PublishedAt) {
		a.UpdatedAt = a.PublishedAt
	}
	if a.UpdatedAt.IsZero() { // a draft without any date
		a.UpdatedAt = i.now.UTC().Truncate(time.Millisecond)
	}
	switch {
	case !a.DeletedAt.IsZero(): // an import doesn't restore a deleted article
	case in.Draft:
		a.Status = store.Draft
	case a.PublishedAt.After(i.now):
		a.Status = store.Scheduled
	default:
		a.Status = store.Published
	}
	a.Cover = in.Cover
	i.address(a, in, before)
	return a
}

// address gives an article its slug, and keeps its former ones. An article keeps its number as long
// as the wanted slug stays the same, even if the slug without the number becomes free.
func (i *Importing) address(a *store.Article, in Import, before *store.Article) {
	if before == nil || before.WantedSlug != in.Slug {
		a.Slug, a.WantedSlug = i.free(in.Slug, a.ID, in.Source), in.Slug
	}
	old := []string{}
	wanted := in.Aliases
	if before != nil {
		wanted = append(append([]string{}, before.OldSlugs...), in.Aliases...)
		if before.Slug != a.Slug {
			wanted = append(wanted, before.Slug)
		}
	}
	have := map[string]bool{a.Slug: true}
	for _, s := range wanted {
		if !have[s] && s != "" && len(s) <= store.MaxSlug && !i.takenByOther(s, a.ID, in.Source) {
			have[s] = true
			old = append(old, s)
		}
	}
	a.OldSlugs = old
}

// takenByOther reports whether another article has a slug, or another source has reserved it.
func (i *Importing) takenByOther(slug string, a id.ID, source string) bool {
	owner, taken := i.slugs[slug]
	holder, reserved := i.wanted[slug]
	return taken && owner != a || reserved && holder != source
}

// Reserve returns the slug that the article of a source gets if it wants one, and reserves it: other
// articles can then link to it before it is added. It isn't reserved beyond the import.
func (i *Importing) Reserve(source, wanted string) string {
	var of id.ID
	if before := i.known[source]; before != nil {
		if of = before.ID; before.WantedSlug == wanted {
			return before.Slug
		}
	}
	slug := i.free(wanted, of, source)
	i.wanted[slug] = source
	return slug
}

// free returns the slug that the article of a source gets if it wants one: with a number if that is
// taken.
func (i *Importing) free(wanted string, a id.ID, source string) string {
	slug := wanted
	for n := 2; i.takenByOther(slug, a, source); n++ {
		slug = wanted + "-" + strconv.Itoa(n)
	}
	return slug
}

// write stores the text, unless it is unchanged, and then the article that refers to it. An import
// that is killed in between leaves an unused text.
func (i *Importing) write(ctx context.Context, before, after *store.Article, source string, rendered markdown.Rendered) error {
	s := i.blog.store
	same := false
	if before != nil {
		now, err := store.Revisions.All(ctx, s, []id.ID{before.RevisionID})
		if err != nil {
			return err
		}
		same = now[0] != nil && now[0].Markdown == source && now[0].HTML == rendered.HTML &&
			now[0].Title == after.Title && now[0].Summary == after.Summary
	}
	if !same {
		r := revision(after, source, rendered)
		if before != nil {
			r.Version = before.Version + 1
		}
		if err := s.AddRevision(ctx, r); err != nil {
			return err
		}
		after.RevisionID = r.ID
	}
	if before == nil {
		return s.AddArticle(ctx, after)
	}
	return s.ChangeArticle(ctx, before, after)
}

func (i *Importing) authorIDs(ctx context.Context, names []ImportName) ([]id.ID, error) {
	ids := []id.ID{}
	for _, n := range names {
		a := i.authors[n.Slug]
		if a == nil {
			a = &store.Author{ID: id.New(id.Author), Slug: n.Slug, Name: n.Name, NameKey: store.SortKey(n.Name)}
			if err := store.Authors.Add(ctx, i.blog.store, a); err != nil {
				return nil, err
			}
			i.authors[n.Slug] = a
		}
		ids = append(ids, a.ID)
	}
	return ids, nil
}

func (i *Importing) tagIDs(ctx context.Context, names []ImportName) ([]id.ID, error) {
	ids := []id.ID{}
	for _, n := range names {
		t := i.tags[n.Slug]
		if t == nil {
			t = &store.Tag{ID: id.New(id.Tag), Slug: n.Slug, Name: n.Name, NameKey: store.SortKey(n.Name)}
			if err := store.Tags.Add(ctx, i.blog.store, t); err != nil {
				return nil, err
			}
			i.tags[n.Slug] = t
		}
		ids = append(ids, t.ID)
	}
	return ids, nil
}

// Author adds a biography and an address to an author, and creates the author if there is none.
func (i *Importing) Author(ctx context.Context, n ImportName, bio, url string) error {
	rendered, err := i.blog.markdown.Render(ctx, bio)
	if err != nil {
		return refusedText(fmt.Errorf("the biography of %s: %w", n.Slug, err))
	}
	there := i.authors[n.Slug]
	a := &store.Author{ID: id.New(id.Author), Slug: n.Slug}
	if there != nil {
		*a = *there
	}
	a.Name, a.NameKey, a.BioHTML = n.Name, store.SortKey(n.Name), rendered.HTML
	if url != "" {
		a.URL = &url
	}
	i.authors[n.Slug] = a
	if there == nil {
		return store.Authors.Add(ctx, i.blog.store, a)
	}
	return store.Authors.Change(ctx, i.blog.store, there, a)
}

// Tag adds a description to a tag, and creates the tag if there is none.
func (i *Importing) Tag(ctx context.Context, n ImportName, description string) error {
	there := i.tags[n.Slug]
	t := &store.Tag{ID: id.New(id.Tag), Slug: n.Slug}
	if there != nil {
		*t = *there
	}
	t.Name, t.NameKey, t.Description = n.Name, store.SortKey(n.Name), description
	i.tags[n.Slug] = t
	if there == nil {
		return store.Tags.Add(ctx, i.blog.store, t)
	}
	return store.Tags.Change(ctx, i.blog.store, there, t)
}

// ImportComment is a comment from another system, with its replies.
type ImportComment struct {
	Name, Markdown string
	At             time.Time
	Replies        []ImportComment
}

// Comments adds a thread of comments to the article with a slug. The id of a comment follows from
// its position and time, so a second import of a thread changes nothing.
func (i *Importing) Comments(ctx context.Context, slug string, thread []ImportComment) error {
	article, ok := i.slugs[slug]
	if !ok {
		return problem.New(problem.NotFound, "comments on %q: there is no such article", slug)
	}
	var all []*store.Comment
	var add func(parent id.ID, cs []ImportComment) error
	add = func(parent id.ID, cs []ImportComment) error {
		for at, in := range cs {
			rendered, err := i.blog.markdown.Render(ctx, in.Markdown)
			if err != nil {
				return refusedText(fmt.Errorf("a comment on %q: %w", slug, err))
			}
			c := &store.Comment{
				ID: id.Derived(id.Comment, in.At, fmt.Sprintf("%s/%s/%d", article, parent, at)), ArticleID: article, ParentID: parent, AuthorName: in.Name,
				BodyMarkdown: in.Markdown, BodyHTML: rendered.HTML, CreatedAt: in.At.UTC().Truncate(time.Millisecond),
				Status: store.CommentVisible, Visible: true, Version: 1,
			}
			all = append(all, c)
			if err := add(c.ID, in.Replies); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add("", thread); err != nil || len(all) == 0 {
		return err
	}
	return i.blog.store.AddComments(ctx, all)
}

// Finish relates the imported articles to all others. If the process dies before that, any replica
// does it.
func (i *Importing) Finish(ctx context.Context) error {
	if i.dry {
		return nil
	}
	return i.blog.Reconcile(ctx)
}
