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

// exportBatch is how many articles one command of an export reads, with their texts. Texts of the longest
// kind stay below the 48 MB of a message.
const exportBatch = 50

// Export calls visit with every article that isn't deleted, in the order of their sources. The source of
// an article that was written here is stoa/ with its id. An import of all of it into an empty blog makes
// equal articles; comments, biographies and the files of pictures are no part of it.
func (b *Blog) Export(ctx context.Context, visit func(Import) error) error {
	sources, err := b.store.ArticleSources(ctx)
	if err != nil {
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
	ids := slices.SortedFunc(maps.Keys(sources), func(x, y id.ID) int { return cmp.Compare(sources[x], sources[y]) })
	return b.each(ctx, ids, func(a *store.Article, text *store.Revision) error {
		if text == nil {
			return fmt.Errorf("export %s: its text %s is missing", a.ID, a.RevisionID)
		}
		out := Import{
			Source: sources[a.ID], Slug: a.Slug, Title: a.Title, Summary: a.Summary, Markdown: text.Markdown, Aliases: a.OldSlugs,
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
			line, err := json.Marshal(out)
			if err != nil {
				return fmt.Errorf("digest of %s: %w", out.Source, err)
			}
			sum := sha256.Sum256(line)
			out.Digest = hex.EncodeToString(sum[:])
		}
		return visit(out)
	})
}

// each calls visit with the articles that have ids, in their order, and with their texts; nil for a missing text.
// It reads both in batches, past the caches.
func (b *Blog) each(ctx context.Context, ids []id.ID, visit func(*store.Article, *store.Revision) error) error {
	for batch := range slices.Chunk(ids, exportBatch) {
		articles, err := store.Articles.Now(ctx, b.store, batch)
		if err != nil {
			return err
		}
		byID, textIDs := map[id.ID]*store.Article{}, []id.ID{}
		for _, a := range articles {
			byID[a.ID], textIDs = a, append(textIDs, a.RevisionID)
		}
		texts, err := store.Revisions.Now(ctx, b.store, textIDs)
		if err != nil {
			return err
		}
		textByID := map[id.ID]*store.Revision{}
		for _, r := range texts {
			textByID[r.ID] = r
		}
		for _, of := range batch {
			if a := byID[of]; a != nil {
				if err := visit(a, textByID[a.RevisionID]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
