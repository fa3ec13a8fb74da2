// Package dataloader gives the resolvers of one response what they ask for, in batches and
// once: nothing is read twice, and what the elements of a list need is read for all of
// them in one go before the first of them asks (graph looks ahead and calls the same
// loaders). No timer and no goroutine waits for a batch to fill.
//
// It may import access, search, store, store/cache (for its errors), id and problem. It knows
// nothing of GraphQL. Entry points: With, From, the methods of Loaders.
package dataloader

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Loaders is what one response knows.
type Loaders struct {
	Articles       *Loader[id.ID, store.Article]
	Revisions      *Loader[id.ID, store.Revision]
	Authors        *Loader[id.ID, store.Author]
	Tags           *Loader[id.ID, store.Tag]
	Comments       *Loader[id.ID, store.Comment]
	Children       *Loader[store.ChildrenKey, store.Children]
	ChildrenCounts *Loader[store.ChildrenKey, store.ChildrenCount]
	Neighbours     *Loader[store.Position, store.Neighbours]
	Accounts       *Loader[id.ID, store.Account]
	Sessions       *Loader[id.ID, store.Session]
	LastUses       *Loader[id.ID, store.LastUse]

	Desk        *Loader[id.ID, store.Article]  // what the viewer may edit, published or not
	Texts       *Loader[id.ID, store.Revision] // of what the viewer may edit
	Submissions *Loader[id.ID, store.Submission]

	store     *store.Store
	resolving sync.Mutex    // guards what all of them have resolved
	byKind    [9]verifiable // the loaders whose values may be dependencies, by kind
	mu        sync.Mutex
	lists     map[string]*SubmissionConnection // of submissions, that the response has asked for
}

// New returns loaders that know nothing yet.
func New(s *store.Store) *Loaders {
	all := &struct { // in one piece, since each response has its own
		Loaders
		articles, desk   Loader[id.ID, store.Article]
		revisions, texts Loader[id.ID, store.Revision]
		authors          Loader[id.ID, store.Author]
		tags             Loader[id.ID, store.Tag]
		comments         Loader[id.ID, store.Comment]
		children         Loader[store.ChildrenKey, store.Children]
		childrenCounts   Loader[store.ChildrenKey, store.ChildrenCount]
		neighbours       Loader[store.Position, store.Neighbours]
		accounts         Loader[id.ID, store.Account]
		sessions         Loader[id.ID, store.Session]
		lastUses         Loader[id.ID, store.LastUse]
		submissions      Loader[id.ID, store.Submission]
	}{}
	l := &all.Loaders
	l.store = s
	mu := &l.resolving
	l.Articles = begin(&all.articles, mu, "article", s.Articles)
	l.Revisions = begin(&all.revisions, mu, "revision", s.Revisions)
	l.Authors = begin(&all.authors, mu, "author", s.Authors)
	l.Tags = begin(&all.tags, mu, "tag", s.Tags)
	l.Comments = begin(&all.comments, mu, "comment", l.shownComments)
	l.Children = begin(&all.children, mu, "list", s.Children)
	l.ChildrenCounts = begin(&all.childrenCounts, mu, "count", s.ChildrenCounts)
	l.Neighbours = begin(&all.neighbours, mu, "neighbours", s.Neighbours)
	l.Accounts = begin(&all.accounts, mu, "account", s.Accounts)
	l.Sessions = begin(&all.sessions, mu, "session", s.Sessions)
	l.LastUses = begin(&all.lastUses, mu, "last use of a session", s.LastUses)
	l.Desk = begin(&all.desk, mu, "article", s.Desk)
	l.Texts = begin(&all.texts, mu, "revision", s.VisibleRevisions)
	l.Submissions = begin(&all.submissions, mu, "comment", s.Submissions)
	l.Children.shows = func(k store.ChildrenKey) bool {
		kind := id.ID(k).Kind()
		return kind != id.Account && kind != id.Revision
	}
	l.ChildrenCounts.shows = l.Children.shows
	// The loaders whose values are the same for everybody. Any other loader makes a result uncacheable.
	verifies(l, 1, l.Articles)
	verifies(l, 2, l.Revisions)
	verifies(l, 3, l.Authors)
	verifies(l, 4, l.Tags)
	verifies(l, 5, l.Comments)
	verifies(l, 6, l.Children)
	verifies(l, 7, l.Neighbours)
	verifies(l, 8, l.ChildrenCounts)
	return l
}

// verifies numbers a loader whose values may be dependencies.
func verifies[K ~string, T any](l *Loaders, kind uint8, loader *Loader[K, T]) {
	loader.kind = kind
	l.byKind[kind] = loader
}

// Forget makes the loaders know nothing, after something has been changed.
func (l *Loaders) Forget() {
	l.Articles.forget()
	l.Revisions.forget()
	l.Authors.forget()
	l.Tags.forget()
	l.Comments.forget()
	l.Children.forget()
	l.Neighbours.forget()
	l.ChildrenCounts.forget()
	l.Accounts.forget()
	l.Sessions.forget()
	l.LastUses.forget()
	l.Desk.forget()
	l.Texts.forget()
	l.Submissions.forget()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.lists)
}

// Find adds to found what ids name that everybody may see: in one batch for each kind of thing.
// It is what the rest of the response knows, too, so that an answer agrees with itself.
func (l *Loaders) Find(ctx context.Context, ids []id.ID, found map[id.ID]store.Node) error {
	return errors.Join(
		store.Gather(ctx, found, ids, id.Article, l.Articles.All),
		store.Gather(ctx, found, ids, id.Author, l.Authors.All),
		store.Gather(ctx, found, ids, id.Tag, l.Tags.All),
		store.Gather(ctx, found, ids, id.Comment, l.Shown),
	)
}

type key struct{}

// later makes loaders when something first asks for them: a subscription waits long for
// each of its events.
type later struct {
	once    sync.Once
	store   *store.Store
	loaders *Loaders
}

// With attaches to the context of a response loaders that know nothing yet.
func With(ctx context.Context, s *store.Store) context.Context {
	return context.WithValue(ctx, key{}, &later{store: s})
}

// From returns the loaders of the response that ctx belongs to. It panics outside one.
func From(ctx context.Context) *Loaders {
	l := ctx.Value(key{}).(*later)
	l.once.Do(func() { l.loaders = New(l.store) })
	return l.loaders
}

// Listed returns a connection over a list that the database orders.
func Listed[T any](list *store.List, items *Loader[id.ID, T]) *Connection[T] {
	return &Connection[T]{page: list.Page, count: list.Count, items: items, name: list.CacheKey()}
}

// ArticlesBy returns a part of the published articles of an author.
func (l *Loaders) ArticlesBy(a *store.Author, w store.Window) (*ArticleConnection, error) {
	return windowed(l, store.ChildrenKey(a.ID), "", w, l.Articles)
}

// ArticlesTagged returns a part of the published articles that have a tag.
func (l *Loaders) ArticlesTagged(t *store.Tag, w store.Window) (*ArticleConnection, error) {
	return windowed(l, store.ChildrenKey(t.ID), "", w, l.Articles)
}

// CommentsOn returns a part of the comments that answer an article.
func (l *Loaders) CommentsOn(a *store.Article, w store.Window) (*CommentConnection, error) {
	return windowed(l, store.ChildrenKey(a.ID), "", w, l.Comments)
}

// RepliesTo returns a part of the comments that answer a comment.
func (l *Loaders) RepliesTo(c *store.Comment, w store.Window) (*CommentConnection, error) {
	return windowed(l, store.ChildrenKey(c.ArticleID), c.ID, w, l.Comments)
}

// SessionsOf returns a part of the viewer's sessions.
func (l *Loaders) SessionsOf(v *access.Viewer, w store.Window) (*SessionConnection, error) {
	return windowed(l, store.ChildrenKey(v.Account), "", w, l.Sessions)
}

// RevisionsOf returns a part of what an article said, for those who may know: nil for others.
func (l *Loaders) RevisionsOf(ctx context.Context, a *store.Article, w store.Window) (*RevisionConnection, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil || !a.EditableBy(v) {
		return nil, err
	}
	return windowed(l, store.RevisionsOf(a.ID), "", w, l.Texts)
}

// LastUse returns when a session was used last; nil where it wasn't since it began.
func (l *Loaders) LastUse(ctx context.Context, x *store.Session) (*time.Time, error) {
	found, err := l.LastUses.All(ctx, []id.ID{x.ID})
	if err != nil || found[0] == nil {
		return nil, err
	}
	return &found[0].At, nil
}

// windowed returns a connection that is cut from a list under a parent.
func windowed[T any](l *Loaders, key store.ChildrenKey, under id.ID, w store.Window, items *Loader[id.ID, T]) (*Connection[T], error) {
	window, err := store.NewChildrenWindow(key, under, w)
	if err != nil {
		return nil, err
	}
	return &Connection[T]{
		items: items,
		cut:   true,
		page: func(ctx context.Context) (*store.Page, error) {
			children, err := l.Children.One(ctx, window.Key())
			if err != nil {
				return nil, err
			}
			if p, ok := window.Page(children); ok {
				return p, nil
			}
			return window.Beyond(l.store).Page(ctx)
		},
		count: func(ctx context.Context, most int) (int, bool, error) {
			n, err := l.countUnder(ctx, window.Key(), most, window.Len)
			return min(n, most), n <= most, err
		},
		uncounted: func(ctx context.Context, most int) (store.ChildrenKey, error) {
			children, err := l.Children.One(ctx, window.Key())
			if err != nil {
				return "", err
			}
			if n, all := window.Len(children); all || n >= most {
				return "", nil
			}
			return window.Key().Whole(), nil
		},
	}, nil
}

// CountUnder returns how much hangs on a parent: published articles of an author or a
// tag, comments of an article with the replies to them.
func (l *Loaders) CountUnder(ctx context.Context, parent id.ID) (int, error) {
	return l.countUnder(ctx, store.ChildrenKey(parent), math.MaxInt, (*store.Children).Len)
}

// countUnder returns how much of a list there is by a measure, and more than most where there
// is: out of what the response knows of the list, or else by counting.
func (l *Loaders) countUnder(ctx context.Context, key store.ChildrenKey, most int, measure func(*store.Children) (n int, all bool)) (int, error) {
	children, err := l.Children.One(ctx, key)
	if err != nil {
		return 0, err
	}
	n, all := measure(children)
	if all || n > most {
		return n, nil
	}
	if n == most {
		return most + 1, nil
	}
	count, err := l.ChildrenCounts.One(ctx, key.Whole())
	if err != nil {
		return 0, err
	}
	return count.N, nil
}

// ReplyCount returns how many comments answer c directly.
func (l *Loaders) ReplyCount(ctx context.Context, c *store.Comment) (int, error) {
	children, err := l.Children.One(ctx, store.ChildrenKey(c.ArticleID))
	if err != nil {
		return 0, err
	}
	return children.Replies(c.ID), nil
}

// MaxRelated is how many related articles can be asked for.
const MaxRelated = 10

// Related returns the closest of the articles related to a.
func (l *Loaders) Related(ctx context.Context, a *store.Article, first int) ([]*store.Article, error) {
	if first < 1 || first > MaxRelated {
		return nil, problem.New(problem.Invalid, "first must be between 1 and %d, not %d", MaxRelated, first).At("first")
	}
	found, err := l.Articles.Present(ctx, a.RelatedIDs)
	return found[:min(first, len(found))], err
}

// Next returns the article published after a; NotFound for the newest.
func (l *Loaders) Next(ctx context.Context, a *store.Article) (*store.Article, error) {
	n, err := l.Neighbours.One(ctx, store.PositionOf(a))
	if err != nil {
		return nil, err
	}
	return l.Articles.One(ctx, n.Newer)
}

// Previous returns the article published before a; NotFound for the oldest.
func (l *Loaders) Previous(ctx context.Context, a *store.Article) (*store.Article, error) {
	n, err := l.Neighbours.One(ctx, store.PositionOf(a))
	if err != nil {
		return nil, err
	}
	return l.Articles.One(ctx, n.Older)
}

// Markdown returns a's text as its author wrote it.
func (l *Loaders) Markdown(ctx context.Context, a *store.Article) (string, error) {
	r, err := l.text(ctx, a)
	return r.Markdown, err
}

// HTML returns a's text, rendered and sanitised.
func (l *Loaders) HTML(ctx context.Context, a *store.Article) (string, error) {
	r, err := l.text(ctx, a)
	return r.HTML, err
}

// Headings returns the headings in a's text.
func (l *Loaders) Headings(ctx context.Context, a *store.Article) ([]*store.Heading, error) {
	r, err := l.text(ctx, a)
	headings := make([]*store.Heading, len(r.Headings))
	for i := range r.Headings {
		headings[i] = &r.Headings[i]
	}
	return headings, err
}

// text returns a's revision. That it is missing is a fault: it is written before a is.
func (l *Loaders) text(ctx context.Context, a *store.Article) (*store.Revision, error) {
	found, err := l.Revisions.All(ctx, []id.ID{a.RevisionID})
	if err == nil && found[0] == nil {
		err = fmt.Errorf("the text %s of article %s is missing", a.RevisionID, a.ID)
	}
	if err != nil {
		return &store.Revision{}, err
	}
	return found[0], nil
}
