package store

// Writes of articles and their revisions, and reads of whole collections for imports and the
// schedule. Entry points: AddArticle, ChangeArticle, AddRevision, NextDue, Due, Imported, Begin. The
// function write is below every write of the package.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
)

// Cache keys of the time of the next scheduled article, of the next outgoing mail, and of the first
// article in the queue of those to be related.
const (
	dueKey       = "due"
	outgoingKey  = "letters" // the old name: only a migration changes a stored name
	unrelatedKey = "unrelated"
)

// queueTag is the dependency of lists of all accounts' drafts, draftsTag of one account's lists.
const queueTag = "list/queue"

func draftsTag(owner id.ID) string { return "list/drafts/" + string(owner) }

// listKeys returns the keys that become stale when a list under a parent gains or loses an
// element, or changes its order.
func listKeys(parent id.ID) []string {
	return []string{childrenKey(ChildrenKey(parent)), listTag(parent)}
}

func compact(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

// write runs change, a write to the database, and drops keys from the caches of all replicas
// before and after it; see cache.Write. It takes one slot, before anything is announced: a write that
// begins isn't held up in its middle.
func (s *Store) write(ctx context.Context, keys []string, change func(context.Context) error) error {
	return s.bulkheads.writes.within(ctx, func(ctx context.Context) error {
		return s.cache.Write(ctx, withFormerKeys(keys), func(ctx context.Context) (err error) {
			if slices.Contains(keys, editionsKey(id.Article)) {
				err = errInterrupted
				defer func() { s.known.note(nil, err) }()
			}
			err = change(ctx)
			return err
		})
	})
}

// errInterrupted is the outcome of a write that panicked.
var errInterrupted = errors.New("a write was interrupted")

// writeArticle is write for a change that turns before into after, one of them public. It updates
// the known editions by after; write would forget them.
func (s *Store) writeArticle(ctx context.Context, before, after *Article, change func(context.Context) error) error {
	return s.bulkheads.writes.within(ctx, func(ctx context.Context) error {
		return s.cache.Write(ctx, withFormerKeys(Articles.stale(before, after)), func(ctx context.Context) error {
			err := errInterrupted
			defer func() { s.known.note(after, err) }()
			err = change(ctx)
			return err
		})
	})
}

// AddRevision stores a text. No article names it yet. One that was added before is left as
// it is.
func (s *Store) AddRevision(ctx context.Context, r *Revision) error {
	return s.write(ctx, revisionKeys(r), func(ctx context.Context) error {
		if _, err := s.collection(revisions).InsertOne(ctx, r); err != nil && !mongo.IsDuplicateKeyError(err) {
			return fmt.Errorf("add a revision: %w", err)
		}
		return nil
	})
}

// DeleteRevision deletes a text that no article refers to, after its article couldn't be written.
func (s *Store) DeleteRevision(ctx context.Context, r *Revision) error {
	return s.write(ctx, revisionKeys(r), func(ctx context.Context) error {
		if _, err := s.collection(revisions).DeleteOne(ctx, bson.D{{Key: "_id", Value: r.ID}}); err != nil {
			return fmt.Errorf("delete a revision: %w", err)
		}
		return nil
	})
}

func revisionKeys(r *Revision) []string {
	return append(listKeys(id.ID(RevisionsOf(r.ArticleID))), string(r.ID))
}

// AddArticle stores a new article; Conflict when its slug is taken. A public one joins the queue of
// those to be related.
func (s *Store) AddArticle(ctx context.Context, a *Article) error {
	markUnrelated(nil, a)
	insert := func(ctx context.Context) error {
		_, err := s.collection(articles).InsertOne(ctx, a)
		return err
	}
	taken := fmt.Sprintf("the slug %q", a.Slug)
	if !a.Public() {
		return s.writeArticle(ctx, nil, a, func(ctx context.Context) error { return conflict(insert(ctx), taken) })
	}
	return s.inTurn(AllPublished, func() error {
		return s.writeArticle(ctx, nil, a, func(ctx context.Context) error {
			return s.counting(ctx, articlesCounted(nil, a), func(ctx context.Context) error {
				return conflict(s.take(ctx, AllPublished, func(ctx context.Context, event string) error {
					a.Event = event
					return insert(ctx)
				}), taken)
			})
		})
	})
}

// ChangeArticle replaces the article before, as it was read, by after, and sets the version of
// after to the next one. It returns Conflict if the article has another version by now, or if the
// slug is taken. If the change may move the article nearer to others, or away from them, the article
// joins the queue of those to be related: only Relate changes relations.
func (s *Store) ChangeArticle(ctx context.Context, before, after *Article) error {
	after.Version = before.Version + 1
	set := bson.D{
		{Key: "slug", Value: after.Slug}, {Key: "wantedSlug", Value: after.WantedSlug}, {Key: "oldSlugs", Value: after.OldSlugs},
		{Key: "title", Value: after.Title}, {Key: "titleKey", Value: after.TitleKey},
		{Key: "summary", Value: after.Summary}, {Key: "lead", Value: after.Lead},
		{Key: "readingMinutes", Value: after.ReadingMinutes},
		{Key: "status", Value: after.Status}, {Key: "publishedAt", Value: after.PublishedAt}, {Key: "updatedAt", Value: after.UpdatedAt},
		{Key: "ownerId", Value: after.OwnerID}, {Key: "createdAt", Value: after.CreatedAt}, {Key: "deletedAt", Value: after.DeletedAt},
		{Key: "authorIds", Value: after.AuthorIDs}, {Key: "tagIds", Value: after.TagIDs},
		{Key: "revisionId", Value: after.RevisionID}, {Key: "version", Value: after.Version},
		{Key: "source", Value: after.Source}, {Key: "digest", Value: after.Digest}, {Key: "previewEpoch", Value: after.PreviewEpoch},
	}
	if markUnrelated(before, after) {
		set = append(set, bson.E{Key: "unrelatedAt", Value: after.UnrelatedAt}, bson.E{Key: "unrelatedFrom", Value: after.UnrelatedFrom})
	}
	if !reflect.DeepEqual(before.Cover, after.Cover) { // else a newer program's fields in it would go
		set = append(set, bson.E{Key: "cover", Value: after.Cover})
	}
	update := func(ctx context.Context, set bson.D) error {
		result, err := s.collection(articles).UpdateOne(ctx,
			bson.D{{Key: "_id", Value: before.ID}, {Key: "version", Value: before.Version}}, bson.D{{Key: "$set", Value: set}})
		if err != nil {
			return err
		}
		return changed(result.MatchedCount, nil, fmt.Sprintf("the article %q", before.Slug))
	}
	taken := fmt.Sprintf("the slug %q", after.Slug)
	by := articlesCounted(before, after)
	if before.Public() || !after.Public() {
		return s.writeArticle(ctx, before, after, func(ctx context.Context) error {
			return s.counting(ctx, by, func(ctx context.Context) error { return conflict(update(ctx, set), taken) })
		})
	}
	return s.inTurn(AllPublished, func() error {
		return s.writeArticle(ctx, before, after, func(ctx context.Context) error {
			return s.counting(ctx, by, func(ctx context.Context) error {
				return conflict(s.take(ctx, AllPublished, func(ctx context.Context, event string) error {
					after.Event = event
					return update(ctx, append(slices.Clip(set), bson.E{Key: "event", Value: event}))
				}), taken)
			})
		})
	})
}

// due is the time of the next scheduled article or outgoing mail, or of the first article in the queue
// of those to be related; zero if there is none.
type due struct {
	At time.Time `bson:"t"`
}

func (s *Store) readDue(ctx context.Context, key string) (*due, error) {
	if key == outgoingKey {
		found, err := mailRecords.find(ctx, s, bson.D{{Key: "nextAt", Value: bson.D{{Key: "$gt", Value: time.Time{}}}}},
			projection("nextAt").SetSort(bson.D{{Key: "nextAt", Value: 1}}).SetLimit(1))
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return &due{found[0].NextAt}, nil
	}
	if key == unrelatedKey {
		found, err := s.Unrelated(ctx, 1)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return &due{found[0].UnrelatedAt}, nil
	}
	found, err := findList[Article](ctx, s.collection(articles), bson.D{{Key: "status", Value: Scheduled}},
		projection("publishedAt").SetSort(bson.D{{Key: "publishedAt", Value: 1}}).SetLimit(1))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &due{found[0].PublishedAt}, nil
}

func (s *Store) nextDue(ctx context.Context, key string) (at time.Time, ok bool, err error) {
	found, err := s.tables.due.Get(ctx, s.cache, []string{key})
	if err != nil || found[0] == nil {
		return time.Time{}, false, err
	}
	return found[0].At, true, nil
}

// NextDue returns when the next scheduled article is to be published; ok is false when
// none is scheduled.
func (s *Store) NextDue(ctx context.Context) (at time.Time, ok bool, err error) {
	return s.nextDue(ctx, dueKey)
}

// Due returns at most MaxPageSize articles that are scheduled for now or earlier, the earliest
// first.
func (s *Store) Due(ctx context.Context, now time.Time) ([]*Article, error) {
	return findList[Article](ctx, s.collection(articles),
		bson.D{{Key: "status", Value: Scheduled}, {Key: "publishedAt", Value: bson.D{{Key: "$lte", Value: now}}}},
		options.Find().SetSort(bson.D{{Key: "publishedAt", Value: 1}}).SetLimit(MaxPageSize))
}

// Imported returns all imported articles by their source. It reads the database, past the caches.
func (s *Store) Imported(ctx context.Context) (map[string]*Article, error) {
	found, err := findList[Article](ctx, s.collection(articles), bson.D{{Key: "source", Value: bson.D{{Key: "$gt", Value: ""}}}}, nil)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Article, len(found))
	for _, a := range found {
		out[a.Source] = a
	}
	return out, nil
}

// TakenSlugs returns the present and former slugs of all articles, with the articles' ids. Of two
// articles with one slug, the one that has it now wins.
func (s *Store) TakenSlugs(ctx context.Context) (map[string]id.ID, error) {
	found, err := findList[Article](ctx, s.collection(articles), bson.D{}, projection("slug", "oldSlugs"))
	if err != nil {
		return nil, err
	}
	out := make(map[string]id.ID, len(found))
	for _, a := range found {
		for _, old := range a.OldSlugs {
			if _, taken := out[old]; !taken {
				out[old] = a.ID
			}
		}
	}
	for _, a := range found {
		out[a.Slug] = a.ID
	}
	return out, nil
}

// OwnSource begins the source of what no import has made; its id follows.
const OwnSource = "stoa/"

// ArticleSources returns the sources of all articles that aren't deleted, by the articles' ids. It reads the
// database, past the caches.
func (s *Store) ArticleSources(ctx context.Context) (map[id.ID]string, error) {
	found, err := findList[Article](ctx, s.collection(articles), bson.D{}, projection("source", "deletedAt"))
	out := make(map[id.ID]string, len(found))
	for _, a := range found {
		if a.DeletedAt.IsZero() {
			out[a.ID] = cmp.Or(a.Source, OwnSource+string(a.ID))
		}
	}
	return out, err
}

// AllAuthors returns every author by present and former slugs. It reads the database, past the
// caches.
func (s *Store) AllAuthors(ctx context.Context) (map[string]*Author, error) {
	found, err := findList[Author](ctx, s.collection(authors), bson.D{}, nil)
	out := make(map[string]*Author, len(found))
	for _, a := range found {
		for _, old := range a.OldSlugs {
			out[old] = a
		}
	}
	for _, a := range found {
		out[a.Slug] = a
	}
	return out, err
}

// AllTags returns every tag by present and former slugs. It reads the database, past the caches.
func (s *Store) AllTags(ctx context.Context) (map[string]*Tag, error) {
	found, err := findList[Tag](ctx, s.collection(tags), bson.D{}, nil)
	out := make(map[string]*Tag, len(found))
	for _, t := range found {
		for _, old := range t.OldSlugs {
			out[old] = t
		}
	}
	for _, t := range found {
		out[t.Slug] = t
	}
	return out, err
}

// Begin records that a task is about to run. A task that is recorded and never finished must run
// again; see Unfinished and Finish.
func (s *Store) Begin(ctx context.Context, task string) error {
	_, err := s.collection(meta).InsertOne(ctx, bson.D{{Key: "_id", Value: "task/" + task}})
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return fmt.Errorf("note that %s begins: %w", task, err)
	}
	return nil
}

// Unfinished says whether a task was begun and not finished.
func (s *Store) Unfinished(ctx context.Context, task string) (bool, error) {
	err := s.collection(meta).FindOne(ctx, bson.D{{Key: "_id", Value: "task/" + task}}, &bson.Raw{})
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return false, fmt.Errorf("look whether %s was finished: %w", task, err)
	}
	return err == nil, nil
}

// Finish deletes the record that Begin made.
func (s *Store) Finish(ctx context.Context, task string) error {
	if _, err := s.collection(meta).DeleteOne(ctx, bson.D{{Key: "_id", Value: "task/" + task}}); err != nil {
		return fmt.Errorf("note that %s is finished: %w", task, err)
	}
	return nil
}

// Empty says whether there is no article, author or tag in the database.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	for _, c := range []string{articles, authors, tags} {
		err := s.collection(c).FindOne(ctx, bson.D{}, &bson.Raw{})
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return false, fmt.Errorf("look into %s: %w", c, err)
		}
	}
	return true, nil
}
