// Package dataloader loads entities and lists for the resolvers of one response: each key once,
// many keys in one batch. Look-ahead, in package graph, loads an edge for all elements of a list
// before the first resolver of that edge runs. So no timer and no goroutine waits for a batch to
// fill.
//
// It may import access, search, store, store/cache (for its errors), id and problem. It knows
// nothing of GraphQL. Entry points: With, From, the methods of Loaders.
package dataloader

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Loaders are the loaders of one response: one for each source in use.
type Loaders struct {
	store     *store.Store
	resolving sync.Mutex // guards the resolved values of all loaders
	made      []made
	first     [8]made         // the first elements of made, enough for most responses
	adopted   []*Dependencies // resolved in this response; a loader learns of them when it is made
	mu        sync.Mutex
	lists     map[string]*SubmissionConnection // the lists of submissions in this response, by name and window
}

// made is a loader with its source.
type made struct {
	from   source
	loader verifiable
}

// source is the origin of a loader's values. Sources are package variables, so a pointer identifies
// a source, and the loader of it within a response.
type source interface {
	open(*Loaders) verifiable
}

// ofKind is a kind of documents as a source.
type ofKind[T any] store.Kind[T]

func (k *ofKind[T]) open(l *Loaders) verifiable {
	kind := (*store.Kind[T])(k)
	loader := begin(&Loader[id.ID, T]{}, &l.resolving, kind.Name, func(ctx context.Context, ids []id.ID) ([]*T, error) { return kind.All(ctx, l.store, ids) })
	if !kind.Private {
		loader.from = k
	}
	return loader
}

// Of returns the response's loader of a kind of documents. It finds the public ones, or for a
// private kind those that the viewer may see.
func Of[T any](l *Loaders, k *store.Kind[T]) *Loader[id.ID, T] {
	return l.loader((*ofKind[T])(k)).(*Loader[id.ID, T])
}

// Source declares a loader of values that aren't documents of a kind, or of documents with another
// read than the kind's.
type Source[K ~string, T any] struct {
	what   string // for messages
	fetch  func(ctx context.Context, l *Loaders, ks []K) ([]*T, error)
	public bool         // values are the same for every viewer, and may be dependencies
	shows  func(K) bool // reports whether public holds for a key; nil if for all
}

func (s *Source[K, T]) open(l *Loaders) verifiable {
	loader := begin(&Loader[K, T]{}, &l.resolving, s.what, func(ctx context.Context, ks []K) ([]*T, error) { return s.fetch(ctx, l, ks) })
	if loader.shows = s.shows; s.public {
		loader.from = s
	}
	return loader
}

// In returns the response's loader of s.
func (s *Source[K, T]) In(l *Loaders) *Loader[K, T] { return l.loader(s).(*Loader[K, T]) }

// The sources. A source with the name of a kind replaces the kind's loader in edges of the schema.
// A source with that name and ByID replaces it in node and nodes.
var (
	// Comments are those that are shown in their threads.
	Comments = &Source[id.ID, store.Comment]{what: "comment", public: true, fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Comment, error) {
		return l.store.ShownComments(ctx, ids, Children.In(l).All)
	}}
	// CommentsByID are the comments of Comments under public articles.
	CommentsByID = &Source[id.ID, store.Comment]{what: "comment", public: true, fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Comment, error) {
		found, err := Comments.In(l).All(ctx, ids)
		if err != nil {
			return nil, err
		}
		return store.UnderPublic(ctx, found, Of(l, store.Articles).All)
	}}
	// Children are the lists under parents.
	Children = &Source[store.ChildrenKey, store.Children]{what: "list", public: true, shows: isForAll, fetch: func(ctx context.Context, l *Loaders, ks []store.ChildrenKey) ([]*store.Children, error) {
		return l.store.Children(ctx, ks)
	}}
	// ChildrenCounts are the lengths of lists under parents.
	ChildrenCounts = &Source[store.ChildrenKey, store.ChildrenCount]{what: "count", public: true, shows: isForAll, fetch: func(ctx context.Context, l *Loaders, ks []store.ChildrenKey) ([]*store.ChildrenCount, error) {
		return l.store.ChildrenCounts(ctx, ks)
	}}
	// Neighbours are the ids of the articles published next before and after an article.
	Neighbours = &Source[store.Position, store.Neighbours]{what: "neighbours", public: true, fetch: func(ctx context.Context, l *Loaders, ks []store.Position) ([]*store.Neighbours, error) {
		return l.store.Neighbours(ctx, ks)
	}}
	// LastUses are the last uses of sessions.
	LastUses = &Source[id.ID, store.LastUse]{what: "last use of a session", fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.LastUse, error) {
		return l.store.LastUses(ctx, ids)
	}}
	// Desk are the articles that the viewer may edit, published or not.
	Desk = &Source[id.ID, store.Article]{what: "article", fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Article, error) {
		return l.store.Desk(ctx, ids)
	}}
	// Texts are the revisions of articles that the viewer may edit.
	Texts = &Source[id.ID, store.Revision]{what: "revision", fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Revision, error) {
		return store.Revisions.For(ctx, l.store, ids)
	}}
	// VariantsByID are the variants of published products.
	VariantsByID = &Source[id.ID, store.Variant]{what: "variant", public: true, fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Variant, error) {
		return l.store.PublicVariants(ctx, ids)
	}}
	// Submissions are comments as their owners and editors see them.
	Submissions = &Source[id.ID, store.Submission]{what: "comment", fetch: func(ctx context.Context, l *Loaders, ids []id.ID) ([]*store.Submission, error) {
		return l.store.Submissions(ctx, ids)
	}}
)

func isForAll(k store.ChildrenKey) bool {
	kind := id.ID(k).Kind()
	return kind != id.Account && kind != id.Revision
}

// New returns loaders that have resolved nothing yet.
func New(s *store.Store) *Loaders {
	l := &Loaders{store: s}
	l.made = l.first[:0]
	return l
}

// loader returns the response's loader of a source, and makes it at the first call.
func (l *Loaders) loader(from source) verifiable {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	return l.known(from)
}

// known is loader without the lock. The caller holds resolving.
func (l *Loaders) known(from source) verifiable {
	for i := range l.made {
		if l.made[i].from == from {
			return l.made[i].loader
		}
	}
	loader := from.open(l)
	l.made = append(l.made, made{from, loader})
	for _, d := range l.adopted {
		if slices.Contains(d.sources, from) {
			loader.adopt(d.reads)
		}
	}
	return loader
}

// Forget discards all resolved values, after a mutation.
func (l *Loaders) Forget() {
	l.resolving.Lock()
	l.adopted = nil
	for _, m := range l.made {
		m.loader.forget()
	}
	l.resolving.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.lists)
}

// FindFor adds to found the hidden documents with ids that the viewer may see, in one batch for each
// kind. It reads the viewer only if an id of a kind with hidden documents isn't in found already.
func (l *Loaders) FindFor(ctx context.Context, ids []id.ID, found map[id.ID]store.Node) error {
	return l.store.FindFor(ctx, ids, found)
}

type key struct{}

// later makes the loaders of a response at their first use: a subscription may wait long for its
// next event, and needs none until then.
type later struct {
	store *store.Store

	mu      sync.Mutex
	loaders *Loaders
	adopted *Dependencies // before there were loaders
}

// With attaches to the context of a response loaders that have resolved nothing yet.
func With(ctx context.Context, s *store.Store) context.Context {
	return context.WithValue(ctx, key{}, &later{store: s})
}

// From returns the loaders of the response that ctx belongs to. It panics outside one.
func From(ctx context.Context) *Loaders { return ctx.Value(key{}).(*later).get() }

func (l *later) get() *Loaders {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaders == nil {
		l.loaders = New(l.store)
		if l.adopted != nil {
			l.loaders.adopt(l.adopted) // nobody else has them yet
		}
	}
	return l.loaders
}

// Adopt is Loaders.Adopt for the response that ctx belongs to. The first set needs no loaders.
func Adopt(ctx context.Context, d *Dependencies) bool {
	l := ctx.Value(key{}).(*later)
	if adopted, first := l.adoptFirst(ctx, d); first {
		return adopted
	}
	return l.get().Adopt(ctx, d)
}

// adoptFirst adopts d if nothing is resolved yet, so nothing can disagree with it.
func (l *later) adoptFirst(ctx context.Context, d *Dependencies) (adopted, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaders != nil || l.adopted != nil {
		return false, false
	}
	v := d.validity.Load()
	if v == nil || !v.token.ValidNow() {
		return false, true
	}
	l.adopted = d
	v.token.AddTo(ctx, v.names)
	return true, true
}

// Listed returns a connection over a list that the database orders.
func Listed[T any](list *store.List, items *Loader[id.ID, T]) *Connection[T] {
	return &Connection[T]{page: list.Page, count: list.Count, items: items, name: list.CacheKey()}
}

// Under returns a connection that is cut from a list of documents under a parent.
func Under[T any](l *Loaders, key store.ChildrenKey, items *Loader[id.ID, T], w store.Window) (*Connection[T], error) {
	return windowed(l, key, "", w, items)
}

// CommentsOn returns a part of the comments that answer an article.
func (l *Loaders) CommentsOn(a *store.Article, w store.Window) (*CommentConnection, error) {
	return windowed(l, store.ChildrenKey(a.ID), "", w, Comments.In(l))
}

// RepliesTo returns a part of the comments that answer a comment.
func (l *Loaders) RepliesTo(c *store.Comment, w store.Window) (*CommentConnection, error) {
	return windowed(l, store.ChildrenKey(c.ArticleID), c.ID, w, Comments.In(l))
}

// SessionsOf returns a part of the viewer's sessions.
func (l *Loaders) SessionsOf(v *access.Viewer, w store.Window) (*SessionConnection, error) {
	return windowed(l, store.ChildrenKey(v.Account), "", w, Of(l, store.Sessions))
}

// RevisionsOf returns a part of an article's revisions if the viewer may edit the article, and nil
// otherwise.
func (l *Loaders) RevisionsOf(ctx context.Context, a *store.Article, w store.Window) (*RevisionConnection, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil || !a.EditableBy(v) {
		return nil, err
	}
	return windowed(l, store.RevisionsOf(a.ID), "", w, Texts.In(l))
}

// LastUse returns the time of a session's last use; nil if it wasn't used after its beginning.
func (l *Loaders) LastUse(ctx context.Context, x *store.Session) (*time.Time, error) {
	found, err := LastUses.In(l).All(ctx, []id.ID{x.ID})
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
	part := func(ctx context.Context) (*store.Children, error) {
		children, err := Children.In(l).One(ctx, window.Key())
		if err != nil {
			return nil, err
		}
		if part := window.Part(children); part != "" {
			return Children.In(l).One(ctx, part)
		}
		return children, nil
	}
	return &Connection[T]{
		items:  items,
		cut:    true,
		window: window,
		page: func(ctx context.Context) (*store.Page, error) {
			children, err := part(ctx)
			if err != nil {
				return nil, err
			}
			if p, ok := window.Page(children); ok {
				return p, nil
			}
			return window.Beyond(l.store).Page(ctx)
		},
		count: func(ctx context.Context, most int) (int, bool, error) {
			children, err := part(ctx)
			if err != nil {
				return 0, false, err
			}
			known, all := window.Len(children)
			n, err := l.countUnder(ctx, window.Counted(), most, known, all)
			return min(n, most), n <= most, err
		},
		uncounted: func(ctx context.Context, most int) (store.ChildrenKey, error) {
			children, err := part(ctx)
			if err != nil {
				return "", err
			}
			if n, all := window.Len(children); all || n >= most {
				return "", nil
			}
			return window.Counted(), nil
		},
	}, nil
}

// CountUnder returns the number of elements of a list under a parent. For the comments on an article
// it includes replies.
func (l *Loaders) CountUnder(ctx context.Context, key store.ChildrenKey) (int, error) {
	children, err := Children.In(l).One(ctx, key)
	if err != nil {
		return 0, err
	}
	n, all := children.Len()
	return l.countUnder(ctx, key.Whole(), math.MaxInt, n, all)
}

// countUnder returns how many elements a list has, and more than most if there are more: n are
// known, all of them or not.
func (l *Loaders) countUnder(ctx context.Context, key store.ChildrenKey, most, n int, all bool) (int, error) {
	if all || n > most {
		return n, nil
	}
	if n == most {
		return most + 1, nil
	}
	count, err := ChildrenCounts.In(l).One(ctx, key)
	if err != nil {
		return 0, err
	}
	return count.N, nil
}

// MaxRelated is how many related articles can be asked for.
const MaxRelated = 10

// Related returns the closest of the articles related to a.
func (l *Loaders) Related(ctx context.Context, a *store.Article, first int) ([]*store.Article, error) {
	if first < 1 || first > MaxRelated {
		return nil, problem.New(problem.Invalid, "first must be between 1 and %d, not %d", MaxRelated, first).At("first")
	}
	found, err := Of(l, store.Articles).Present(ctx, a.RelatedIDs)
	return found[:min(first, len(found))], err
}

// Next returns the article published after a; NotFound for the newest.
func (l *Loaders) Next(ctx context.Context, a *store.Article) (*store.Article, error) {
	n, err := Neighbours.In(l).One(ctx, store.PositionOf(a))
	if err != nil {
		return nil, err
	}
	return Of(l, store.Articles).One(ctx, n.Newer)
}

// Previous returns the article published before a; NotFound for the oldest.
func (l *Loaders) Previous(ctx context.Context, a *store.Article) (*store.Article, error) {
	n, err := Neighbours.In(l).One(ctx, store.PositionOf(a))
	if err != nil {
		return nil, err
	}
	return Of(l, store.Articles).One(ctx, n.Older)
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

// text returns a's revision. A missing revision is an error of ours, since the revision is written
// before the article.
func (l *Loaders) text(ctx context.Context, a *store.Article) (*store.Revision, error) {
	found, err := Of(l, store.Revisions).All(ctx, []id.ID{a.RevisionID})
	if err == nil && found[0] == nil {
		err = fmt.Errorf("the text %s of article %s is missing", a.RevisionID, a.ID)
	}
	if err != nil {
		return &store.Revision{}, err
	}
	return found[0], nil
}

// Description returns p's description; an empty one for a product that is deleted meanwhile.
func (l *Loaders) Description(ctx context.Context, p *store.Product) (*store.Description, error) {
	found, err := Of(l, store.Descriptions).All(ctx, []id.ID{p.DescriptionID()})
	if err != nil || found[0] == nil {
		return &store.Description{}, err
	}
	return found[0], nil
}
