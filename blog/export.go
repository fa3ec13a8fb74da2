package blog

// Exporting articles as an import takes them. Entry point: Blog.Export.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stoa/blog/markdown"
	"stoa/id"
	"stoa/store"
)

// writtenHere begins the source of an article without an import.
const writtenHere = "stoa/"

// exportBatch is how many articles one command of an export reads, with their texts. Texts of the longest
// kind stay below the 48 MB of a message.
const exportBatch = 50

// Export calls visit with every article that isn't deleted, in the order of their sources. The source of
// an article that was written here is stoa/ with its id. An import of all of it into an empty blog makes
// equal articles; comments, biographies and the files of pictures are no part of it.
func (b *Blog) Export(ctx context.Context, visit func(Import) error) error {
	slugs, err := b.store.TakenSlugs(ctx)
	if err != nil {
		return err
	}
	ids := slices.Compact(slices.Sorted(maps.Values(slugs)))
	sources := map[id.ID]string{}
	if err := b.each(ctx, ids, func(a *store.Article) error {
		if a.DeletedAt.IsZero() {
			sources[a.ID] = cmp.Or(a.Source, writtenHere+string(a.ID))
		}
		return nil
	}); err != nil {
		return err
	}
	authors, err := b.store.AllAuthors(ctx)
	if err != nil {
		return err
	}
	tags, err := b.store.AllTags(ctx)
	if err != nil {
		return err
	}
	names := map[id.ID]ImportName{}
	for _, a := range authors {
		names[a.ID] = ImportName{a.Slug, a.Name}
	}
	for _, t := range tags {
		names[t.ID] = ImportName{t.Slug, t.Name}
	}
	ids = slices.SortedFunc(maps.Keys(sources), func(x, y id.ID) int { return cmp.Compare(sources[x], sources[y]) })
	return b.each(ctx, ids, func(a *store.Article) error {
		texts, err := store.Revisions.All(ctx, b.store, []id.ID{a.RevisionID})
		if err != nil {
			return err
		}
		if texts[0] == nil {
			return fmt.Errorf("export %s: its text %s is missing", a.ID, a.RevisionID)
		}
		out := Import{
			Source: sources[a.ID], Slug: a.Slug, Title: a.Title, Summary: a.Summary, Markdown: texts[0].Markdown, Aliases: a.OldSlugs,
			PublishedAt: a.PublishedAt, UpdatedAt: a.UpdatedAt, Draft: a.Status == store.Draft, Cover: a.Cover,
		}
		for _, of := range a.AuthorIDs {
			out.Authors = append(out.Authors, names[of])
		}
		for _, of := range a.TagIDs {
			out.Tags = append(out.Tags, names[of])
		}
		// The digest is that of the last import, so that the file of that time still counts as known.
		if out.Digest = strings.TrimSuffix(a.Digest, fmt.Sprintf(".%d", markdown.Version)); out.Digest == "" {
			text, err := json.Marshal(out)
			if err != nil {
				return fmt.Errorf("digest of %s: %w", out.Source, err)
			}
			sum := sha256.Sum256(text)
			out.Digest = hex.EncodeToString(sum[:])
		}
		return visit(out)
	})
}

// each calls visit with the articles that have ids, in their order, in batches.
func (b *Blog) each(ctx context.Context, ids []id.ID, visit func(*store.Article) error) error {
	for batch := range slices.Chunk(ids, exportBatch) {
		found, err := store.Articles.Now(ctx, b.store, batch)
		if err != nil {
			return err
		}
		by := map[id.ID]*store.Article{}
		for _, a := range found {
			by[a.ID] = a
		}
		for _, of := range batch {
			if a := by[of]; a != nil {
				if err := visit(a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
