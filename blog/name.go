package blog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// MaxName is the longest name of an author or a tag, in characters.
const MaxName = 100

// NewAuthor is what an author begins with; nil for what is left out.
type NewAuthor struct {
	Name           string
	Slug           *string
	BioMarkdown    *string
	URL            *string
	AccountID      *id.ID
	IdempotencyKey *string `json:"-"`
}

// AuthorUpdate is what is to change of an author; nil for what stays.
type AuthorUpdate struct {
	ID          id.ID
	Name        *string
	Slug        *string
	BioMarkdown *string
	URL         *string // "" for none
	AccountID   *id.ID
}

// NewTag is what a tag begins with; nil for what is left out.
type NewTag struct {
	Name           string
	Slug           *string
	Description    *string
	IdempotencyKey *string `json:"-"`
}

// TagUpdate is what is to change of a tag; nil for what stays.
type TagUpdate struct {
	ID          id.ID
	Name        *string
	Slug        *string
	Description *string
}

// Named is what has come of writing about an author or a tag.
type Named[K store.Versioned] struct {
	Is       K
	Warnings []*problem.Warning
}

// naming is how one kind of what has a name is kept.
type naming[K store.Versioned] struct {
	kind   id.Kind
	what   string
	now    func(context.Context, []id.ID) ([]K, error)
	copied func(K) K
	parts  func(K) named
}

// named are the parts of an author or a tag that both have.
type named struct {
	slug   *string
	old    *[]string
	merged *[]id.ID
}

func (b *Blog) authors() naming[*store.Author] {
	return naming[*store.Author]{id.Author, "author", b.store.AuthorsNow,
		func(a *store.Author) *store.Author { c := *a; return &c },
		func(a *store.Author) named { return named{&a.Slug, &a.OldSlugs, &a.MergedIDs} }}
}

func (b *Blog) tags() naming[*store.Tag] {
	return naming[*store.Tag]{id.Tag, "tag", b.store.TagsNow,
		func(t *store.Tag) *store.Tag { c := *t; return &c },
		func(t *store.Tag) named { return named{&t.Slug, &t.OldSlugs, &t.MergedIDs} }}
}

// one returns an author or a tag as it is in the database now; NotFound where there is none.
func (n naming[K]) one(ctx context.Context, i id.ID) (K, error) {
	found, err := n.now(ctx, []id.ID{i})
	if err == nil && len(found) == 0 {
		err = problem.New(problem.NotFound, "there is no %s with the id %s", n.what, i)
	}
	if err != nil {
		var none K
		return none, err
	}
	return found[0], nil
}

// CreateAuthor begins an author's page, for editors.
func (b *Blog) CreateAuthor(ctx context.Context, in NewAuthor) (Named[*store.Author], error) {
	a := &store.Author{}
	update := AuthorUpdate{Name: &in.Name, BioMarkdown: in.BioMarkdown, URL: in.URL, AccountID: in.AccountID}
	return begin(ctx, b, b.authors(), a, &a.ID, in.Name, in.Slug, in.IdempotencyKey, in, func() error { return b.applyAuthor(ctx, a, update) })
}

// CreateTag begins a tag, for editors.
func (b *Blog) CreateTag(ctx context.Context, in NewTag) (Named[*store.Tag], error) {
	t := &store.Tag{}
	update := TagUpdate{Name: &in.Name, Description: in.Description}
	return begin(ctx, b, b.tags(), t, &t.ID, in.Name, in.Slug, in.IdempotencyKey, in, func() error { return applyTag(t, update) })
}

// begin adds what, once by has filled it; with a key it is added once.
func begin[K store.Versioned](ctx context.Context, b *Blog, n naming[K], what K, i *id.ID, name string, slug, key *string, input any, by func() error) (Named[K], error) {
	v, err := access.Require(ctx, access.Editor)
	if err != nil {
		return Named[K]{}, err
	}
	if err := by(); err != nil {
		return Named[K]{}, err
	}
	*i = id.New(n.kind)
	if key != nil {
		record := store.IdempotencyRecord{Caller: string(v.Account), Key: *key, Mutation: n.what + "Create", Input: input}
		made, err := b.store.RecordIdempotency(ctx, record)
		if err != nil {
			return Named[K]{}, err
		}
		*i = id.Derived(n.kind, made, record.Seed())
	}
	wanted, err := wantedSlug(slug, name, *i)
	if err != nil {
		return Named[K]{}, err
	}
	for try := 0; ; try++ {
		if key != nil || try > 0 {
			there, err := n.one(ctx, *i)
			if err == nil {
				return Named[K]{there, numberedWarning(wanted, *n.parts(there).slug)}, nil
			}
			if !problem.Is(err, problem.NotFound) {
				return Named[K]{}, err
			}
		}
		if *n.parts(what).slug, err = b.freeSlug(ctx, wanted, *i); err != nil {
			return Named[K]{}, err
		}
		err = store.Add(ctx, b.store, what)
		if err == nil {
			return Named[K]{what, numberedWarning(wanted, *n.parts(what).slug)}, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return Named[K]{}, err
		}
	}
}

// UpdateAuthor changes an author's page, for editors.
func (b *Blog) UpdateAuthor(ctx context.Context, in AuthorUpdate) (Named[*store.Author], error) {
	return rename(ctx, b, b.authors(), in.ID, in.Slug, func(a *store.Author) error { return b.applyAuthor(ctx, a, in) })
}

// UpdateTag changes a tag, for editors.
func (b *Blog) UpdateTag(ctx context.Context, in TagUpdate) (Named[*store.Tag], error) {
	return rename(ctx, b, b.tags(), in.ID, in.Slug, func(t *store.Tag) error { return applyTag(t, in) })
}

// rename turns an author or a tag, as it is in the database, into what by makes of it, under
// another slug where one is asked for.
func rename[K store.Versioned](ctx context.Context, b *Blog, n naming[K], i id.ID, slug *string, by func(K) error) (Named[K], error) {
	if _, err := access.Require(ctx, access.Editor); err != nil {
		return Named[K]{}, err
	}
	for try := 0; ; try++ {
		before, err := n.one(ctx, i)
		if err != nil {
			return Named[K]{}, problem.Locate(err, "id")
		}
		after := n.copied(before)
		if err := by(after); err != nil {
			return Named[K]{}, err
		}
		out := Named[K]{after, []*problem.Warning{}}
		if was := *n.parts(before).slug; slug != nil && *slug != was {
			wanted, err := wantedSlug(slug, "", i)
			if err != nil {
				return Named[K]{}, err
			}
			is, err := b.freeSlug(ctx, wanted, i)
			if err != nil {
				return Named[K]{}, err
			}
			*n.parts(after).slug, *n.parts(after).old = is, readdressed(was, *n.parts(before).old, is)
			out.Warnings = numberedWarning(wanted, is)
		}
		err = store.Change(ctx, b.store, before, after)
		if err == nil {
			return out, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return Named[K]{}, err
		}
	}
}

func (b *Blog) applyAuthor(ctx context.Context, a *store.Author, in AuthorUpdate) error {
	var err error
	if in.Name != nil {
		if a.Name, err = line(*in.Name, "name", 1, MaxName); err != nil {
			return err
		}
		a.NameKey = store.SortKey(a.Name)
	}
	if in.BioMarkdown != nil {
		rendered, err := b.markdown.Render(ctx, *in.BioMarkdown)
		if err != nil {
			return refusedText(err, "bioMarkdown")
		}
		a.BioHTML = rendered.HTML
	}
	if in.URL != nil {
		a.URL = nil
		if *in.URL != "" {
			if err := checkURL(*in.URL); err != nil {
				return err.At("url")
			}
			a.URL = in.URL
		}
	}
	if in.AccountID != nil && *in.AccountID != a.AccountID {
		if in.AccountID.Kind() != id.Account {
			return problem.New(problem.Invalid, "accountId takes the id of an account").At("accountId")
		}
		there, err := b.store.HasAccount(ctx, *in.AccountID)
		if err != nil {
			return err
		}
		if !there {
			return problem.New(problem.NotFound, "there is no account with the id %s", *in.AccountID).At("accountId")
		}
		pages, err := b.store.AuthorsOf(ctx, *in.AccountID)
		if err != nil {
			return err
		}
		if len(pages) > 0 {
			return problem.New(problem.Conflict, "the account has the page %q: merge the two", pages[0].Slug).At("accountId")
		}
		a.AccountID = *in.AccountID
	}
	return nil
}

func applyTag(t *store.Tag, in TagUpdate) error {
	var err error
	if in.Name != nil {
		if t.Name, err = line(*in.Name, "name", 1, MaxName); err != nil {
			return err
		}
		t.NameKey = store.SortKey(t.Name)
	}
	if in.Description != nil {
		t.Description, err = line(*in.Description, "description", 0, MaxSummary)
	}
	return err
}

// ownPage returns the author's page of an account, which it makes where there is none. Its
// id follows from the account's, so that of several calls at once one makes it.
func (b *Blog) ownPage(ctx context.Context, account id.ID) (*store.Author, error) {
	for try := 0; ; try++ {
		pages, err := b.store.AuthorsOf(ctx, account)
		if err != nil {
			return nil, err
		}
		if len(pages) > 0 {
			return slices.MinFunc(pages, func(a, b *store.Author) int { return strings.Compare(string(a.ID), string(b.ID)) }), nil
		}
		owner, err := b.store.Accounts(ctx, []id.ID{account})
		if err != nil {
			return nil, err
		}
		if owner[0] == nil {
			return nil, problem.New(problem.NotFound, "your account isn't there any more")
		}
		name := owner[0].Name
		if name == "" {
			return nil, problem.New(problem.Invalid, "give your account a name first, or say whose the article is").At("authorIds")
		}
		a := &store.Author{ID: id.Derived(id.Author, owner[0].CreatedAt, string(account)), Name: name, NameKey: store.SortKey(name), AccountID: account}
		wanted, err := wantedSlug(nil, name, a.ID)
		if err != nil {
			return nil, err
		}
		if a.Slug, err = b.freeSlug(ctx, wanted, a.ID); err != nil {
			return nil, err
		}
		err = store.Add(ctx, b.store, a)
		if err == nil {
			return a, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return nil, fmt.Errorf("make the page of %s: %w", account, err)
		}
	}
}
