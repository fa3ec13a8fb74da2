package store

// Writes of articles, authors and tags, and reads past the caches before a write. Entry points:
// Add, Change, Delete; ListDesk and Desk for authors; PurgeDeleted.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// AuthorsOf returns the author pages of an account, as they are in the database now.
func (s *Store) AuthorsOf(ctx context.Context, account id.ID) ([]*Author, error) {
	return findList[Author](ctx, s.collection(authors), bson.D{{Key: "accountId", Value: account}}, nil)
}

// ArticleNow returns an article as it is in the database now, without an access check, or NotFound.
func (s *Store) ArticleNow(ctx context.Context, article id.ID) (*Article, error) {
	access.MarkPrivate(ctx)
	found, err := find[Article](ctx, s.collection(articles), bson.D{{Key: "_id", Value: article}}, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Status == purging {
		return nil, problem.New(problem.NotFound, "there is no such article")
	}
	return found[0], nil
}

// Desk returns the articles with ids that the viewer may work on, deleted ones included, in their
// order: nil for the others.
func (s *Store) Desk(ctx context.Context, ids []id.ID) ([]*Article, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return Articles.that(ctx, s, ids, func(a *Article) bool { return a.EditableBy(v) })
}

// Shared returns an article and the account that shared it, without an access check: the caller
// decides if the account's right to share it is left. It returns NotFound if one of the two is
// missing or the article is deleted. It makes the response private.
func (s *Store) Shared(ctx context.Context, article, account id.ID) (*Article, *Account, error) {
	access.MarkPrivate(ctx)
	found, err := Articles.any(ctx, s, []id.ID{article})
	if err != nil {
		return nil, nil, err
	}
	by, err := Accounts.any(ctx, s, []id.ID{account})
	if err != nil {
		return nil, nil, err
	}
	if a := found[0]; a != nil && by[0] != nil && (a.Public() || a.Status == Draft || a.Status == Scheduled) {
		return a, by[0], nil
	}
	return nil, nil, problem.New(problem.NotFound, "there is no such article")
}

// ListDesk returns a part of the list of the articles in statuses that are the viewer's own or, for
// editors, everybody's: deleted ones by the time of deletion, others by the last change, the newest
// first. It is empty for viewers that may not write.
func (s *Store) ListDesk(ctx context.Context, statuses []Status, own bool, w Window) (*List, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	filter, ok := deskOf(v, statuses, own)
	q := query{collection: articles, filter: filter, sort: "updatedAt", descending: true, tags: []string{queueTag}, empty: !ok || len(statuses) == 0}
	if own {
		q.tags = []string{draftsTag(v.Account)}
	}
	if slices.Equal(statuses, []Status{Deleted}) {
		q.sort = "deletedAt"
	}
	return s.list(q, w)
}

// revisionsFor returns the revisions with ids of articles that the viewer may work on, in their
// order: nil for the others.
func revisionsFor(ctx context.Context, s *Store, k *Kind[Revision], ids []id.ID) ([]*Revision, error) {
	access.MarkPrivate(ctx)
	found, err := k.All(ctx, s, ids)
	if err != nil {
		return nil, err
	}
	of := make([]id.ID, len(found))
	for i, r := range found {
		if r != nil {
			of[i] = r.ArticleID
		}
	}
	under, err := s.Desk(ctx, compactIDs(of))
	if err != nil {
		return nil, err
	}
	mine := map[id.ID]bool{}
	for _, a := range under {
		if a != nil {
			mine[a.ID] = true
		}
	}
	for i, r := range found {
		if r != nil && !mine[r.ArticleID] {
			found[i] = nil
		}
	}
	return found, nil
}

func compactIDs(ids []id.ID) []id.ID {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	return slices.DeleteFunc(ids, func(i id.ID) bool { return i == "" })
}

// RevisionAt returns the revision of an article at a version, or NotFound.
func (s *Store) RevisionAt(ctx context.Context, article id.ID, version int64) (*Revision, error) {
	access.MarkPrivate(ctx)
	found, err := findList[Revision](ctx, s.collection(revisions),
		bson.D{{Key: "articleId", Value: article}, {Key: "version", Value: bson.D{{Key: "$lte", Value: version}}}},
		options.Find().SetSort(bson.D{{Key: "version", Value: -1}, {Key: "_id", Value: -1}}).SetLimit(1))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "nothing is known of version %d", version)
	}
	return found[0], nil
}

// Tasks returns the names of the tasks that were begun and not finished, without prefix, for those
// that have it.
func (s *Store) Tasks(ctx context.Context, prefix string) ([]string, error) {
	type document struct {
		ID string `bson:"_id"`
	}
	from := "task/" + prefix
	found, err := findList[document](ctx, s.collection(meta),
		bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: from + "\U0010ffff"}}}}, nil)
	out := make([]string, len(found))
	for i, d := range found {
		out[i] = strings.TrimPrefix(d.ID, from)
	}
	return out, err
}

// PurgeDeleted deletes for good the articles that were deleted at a time or before, with their
// revisions and comments, and returns their number. Several processes may do so at once; a later
// one completes the work of an interrupted one.
func (s *Store) PurgeDeleted(ctx context.Context, before time.Time) (int, error) {
	purged := 0
	for {
		found, err := findList[Article](ctx, s.collection(articles),
			append(in("status", []Status{Deleted, purging}), bson.E{Key: "deletedAt", Value: bson.D{{Key: "$lte", Value: before}}}),
			options.Find().SetLimit(MaxPageSize))
		if err != nil {
			return purged, err
		}
		went := 0
		for _, a := range found {
			switch err := s.purge(ctx, a); {
			case problem.Is(err, problem.Conflict): // an editor has restored it, or another process was faster
			case err != nil:
				return purged, err
			default:
				went++
			}
		}
		if purged += went; went == 0 {
			return purged, nil
		}
	}
}

// purge first makes a impossible to restore; then its revisions and comments can go.
func (s *Store) purge(ctx context.Context, a *Article) error {
	if a.Status != purging {
		after := *a
		after.Status = purging
		if err := s.ChangeArticle(ctx, a, &after); err != nil {
			return err
		}
		a = &after
	}
	if err := purgeUnder(ctx, s, Revisions, a.ID, listKeys(id.ID(RevisionsOf(a.ID)))); err != nil {
		return err
	}
	if err := purgeUnder(ctx, s, Comments, a.ID, []string{childrenKey(ChildrenKey(a.ID))}); err != nil {
		return err
	}
	keys := append(Articles.stale(a, nil), childrenKey(ChildrenKey(a.ID)))
	return s.write(ctx, compact(keys), func(ctx context.Context) error {
		if err := s.reserveSequence(ctx, a); err != nil {
			return err
		}
		result, err := s.collection(articles).DeleteOne(ctx, bson.D{{Key: "_id", Value: a.ID}, {Key: "version", Value: a.Version}})
		if err != nil {
			return fmt.Errorf("delete %s: %w", a.ID, err)
		}
		if err := changed(result.DeletedCount, nil, "the article"); err != nil {
			return err
		}
		s.forgetTallies(ctx, a.ID)
		return nil
	})
}

// purgeUnder deletes the documents of a kind that are under an article, some in each write, so that
// it ends in time. lists are the keys of their list.
func purgeUnder[T any](ctx context.Context, s *Store, k *Kind[T], article id.ID, lists []string) error {
	c := s.collection(k.Collection)
	for {
		found, err := find[T](ctx, c, bson.D{{Key: "articleId", Value: article}}, projection("_id").SetLimit(writtenAtOnce))
		if err != nil || len(found) == 0 {
			return err
		}
		ids, keys := make([]id.ID, len(found)), slices.Clone(lists)
		for i, d := range found {
			ids[i] = idOf(d)
			keys = append(keys, string(ids[i]))
		}
		err = s.write(ctx, compact(keys), func(ctx context.Context) error {
			if _, err := c.DeleteMany(ctx, in("_id", ids)); err != nil {
				return fmt.Errorf("delete from %s: %w", k.Collection, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
