package blog

// Creating and changing authors and tags: the fields that only they have. Entry points:
// CreateAuthor, UpdateAuthor, CreateTag, UpdateTag.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stoa/access"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// MaxName is the longest name of an author or a tag, in characters.
const MaxName = 100

// NewAuthor is the input of CreateAuthor; nil for an omitted value.
type NewAuthor struct {
	Name           string
	Slug           *string
	BioMarkdown    *string
	URL            *string
	AccountID      *id.ID
	IdempotencyKey *string `json:"-"`
}

// AuthorUpdate is the input of UpdateAuthor; nil for a value that stays.
type AuthorUpdate struct {
	ID          id.ID
	Name        *string
	Slug        *string
	BioMarkdown *string
	URL         *string // "" for none
	AccountID   *id.ID
}

// NewTag is the input of CreateTag; nil for an omitted value.
type NewTag struct {
	Name           string
	Slug           *string
	Description    *string
	IdempotencyKey *string `json:"-"`
}

// TagUpdate is the input of UpdateTag; nil for a value that stays.
type TagUpdate struct {
	ID          id.ID
	Name        *string
	Slug        *string
	Description *string
}

// authorKind describes authors to package edit.
func authorKind(s *store.Store) *edit.Kind[store.Author] {
	return edit.Of(s, store.Authors, access.Editor, func(a *store.Author) edit.Fields {
		return edit.Fields{ID: &a.ID, Version: a.Version, Name: a.Name, Slug: &a.Slug, OldSlugs: &a.OldSlugs, MergedIDs: &a.MergedIDs}
	})
}

// tagKind describes tags to package edit.
func tagKind(s *store.Store) *edit.Kind[store.Tag] {
	return edit.Of(s, store.Tags, access.Editor, func(t *store.Tag) edit.Fields {
		return edit.Fields{ID: &t.ID, Version: t.Version, Name: t.Name, Slug: &t.Slug, OldSlugs: &t.OldSlugs, MergedIDs: &t.MergedIDs}
	})
}

// CreateAuthor creates an author's page, for editors.
func (b *Blog) CreateAuthor(ctx context.Context, in NewAuthor) (edit.Result[store.Author], error) {
	update := AuthorUpdate{Name: &in.Name, BioMarkdown: in.BioMarkdown, URL: in.URL, AccountID: in.AccountID}
	return b.authors.Create(ctx, edit.Creation[store.Author]{Key: in.IdempotencyKey, Input: in, Slug: in.Slug,
		Fill: func(ctx context.Context, _ access.Viewer, a *store.Author) error {
			return b.applyAuthor(ctx, a, update)
		},
	})
}

// CreateTag creates a tag, for editors.
func (b *Blog) CreateTag(ctx context.Context, in NewTag) (edit.Result[store.Tag], error) {
	update := TagUpdate{Name: &in.Name, Description: in.Description}
	return b.tags.Create(ctx, edit.Creation[store.Tag]{Key: in.IdempotencyKey, Input: in, Slug: in.Slug,
		Fill: func(_ context.Context, _ access.Viewer, t *store.Tag) error { return applyTag(t, update) },
	})
}

// UpdateAuthor changes an author's page, for editors.
func (b *Blog) UpdateAuthor(ctx context.Context, in AuthorUpdate) (edit.Result[store.Author], error) {
	return b.authors.Change(ctx, edit.Change[store.Author]{ID: in.ID, Slug: in.Slug,
		Apply: func(ctx context.Context, _ access.Viewer, a *store.Author) error { return b.applyAuthor(ctx, a, in) },
	})
}

// UpdateTag changes a tag, for editors.
func (b *Blog) UpdateTag(ctx context.Context, in TagUpdate) (edit.Result[store.Tag], error) {
	return b.tags.Change(ctx, edit.Change[store.Tag]{ID: in.ID, Slug: in.Slug,
		Apply: func(_ context.Context, _ access.Viewer, t *store.Tag) error { return applyTag(t, in) },
	})
}

func (b *Blog) applyAuthor(ctx context.Context, a *store.Author, in AuthorUpdate) error {
	var err error
	if in.Name != nil {
		if a.Name, err = edit.Line(*in.Name, "name", 1, MaxName); err != nil {
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
			if err := edit.CheckURL(*in.URL); err != nil {
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
	if err := edit.SetLine(&t.Name, in.Name, "name", 1, MaxName); err != nil {
		return err
	}
	if in.Name != nil {
		t.NameKey = store.SortKey(t.Name)
	}
	return edit.SetLine(&t.Description, in.Description, "description", 0, MaxSummary)
}

// ownPage returns the author's page of an account, and creates it if there is none. Its id
// follows from the account's, so that of several calls at once one creates it.
func (b *Blog) ownPage(ctx context.Context, account id.ID) (*store.Author, error) {
	pages, err := b.store.AuthorsOf(ctx, account)
	if err != nil {
		return nil, err
	}
	if len(pages) > 0 {
		return slices.MinFunc(pages, func(a, b *store.Author) int { return strings.Compare(string(a.ID), string(b.ID)) }), nil
	}
	owner, err := store.Accounts.For(ctx, b.store, []id.ID{account})
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
	made, err := b.authors.Add(ctx, &store.Author{
		ID: id.Derived(id.Author, owner[0].CreatedAt, string(account)), Name: name, NameKey: store.SortKey(name), AccountID: account,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("make the page of %s: %w", account, err)
	}
	return made.Value, nil
}
