package blog

// Background work: due articles, interrupted work, old deleted articles. Entry points:
// Run, Quiesce, and the tasks that a test calls by themselves: PublishDue, CleanUp, Purge; Reconcile
// is in related.go.

import (
	"context"
	"time"

	"stoa/background"
	"stoa/problem"
	"stoa/store"
)

// lookEvery is the pause between two looks for due articles. A look is answered from memory until
// somebody schedules an article.
const lookEvery = 250 * time.Millisecond

const (
	// mergesEvery is the pause between two looks for merges that were cut short.
	mergesEvery = time.Minute
	// purgeEvery is the pause between two looks for deleted articles that are too old to be
	// restored.
	purgeEvery = time.Hour
	// cleanUpEvery is the pause between two looks for unfinished work of dead processes that isn't
	// noted anywhere: a look reads the accounts of all comments.
	cleanUpEvery = time.Hour
)

// tasks are repeated by Run. The articles that they change are related last.
func (b *Blog) tasks() []background.Task {
	return []background.Task{
		{Every: lookEvery, Trouble: "scheduled articles can't be published for now", Do: func(ctx context.Context) error {
			_, err := b.PublishDue(ctx, time.Now())
			return err
		}},
		{Every: mergesEvery, Trouble: "merges can't be finished for now", Do: b.FinishMerges, Sweep: true},
		{Every: cleanUpEvery, Trouble: "what was left half done can't be finished for now", Do: b.CleanUp, Sweep: true},
		{Every: purgeEvery, Trouble: "deleted articles can't be deleted for good for now", Sweep: true, Do: func(ctx context.Context) error {
			_, err := b.Purge(ctx, time.Now())
			return err
		}},
		{Every: lookEvery, Trouble: "articles can't be related for now", Do: b.Reconcile},
	}
}

// Run works in the background until ctx ends: it publishes scheduled articles when they are due,
// relates articles to each other, finishes interrupted work, and deletes old articles for good.
// Every replica does so; a compare-and-set, or a lease, lets one of them win.
func (b *Blog) Run(ctx context.Context) { b.background.Run(ctx) }

// Quiesce returns when Run has done the work that earlier responses left: articles are related, and
// due articles are published.
func (b *Blog) Quiesce(ctx context.Context) error { return b.background.Quiesce(ctx) }

// Purge deletes old deleted articles for good, with their revisions and comments, after the time in
// which they can be restored. It returns their number.
func (b *Blog) Purge(ctx context.Context, now time.Time) (int, error) {
	return b.store.PurgeDeleted(ctx, now.Add(-restorable))
}

// CleanUp finishes the work of dead processes: it removes the names of deleted accounts from their
// comments.
func (b *Blog) CleanUp(ctx context.Context) error {
	gone, err := b.store.ForgetGone(ctx)
	if gone > 0 {
		b.log.Info("forgot the names of deleted accounts on comments", "accounts", gone)
	}
	return err
}

// PublishDue publishes the articles that are due at now, and returns those that this call
// published: another replica may have been faster. Reconcile relates them.
func (b *Blog) PublishDue(ctx context.Context, now time.Time) ([]*store.Article, error) {
	at, ok, err := b.store.NextDue(ctx)
	if err != nil || !ok || at.After(now) {
		return nil, err
	}
	due, err := b.store.Due(ctx, now)
	if err != nil {
		return nil, err
	}
	var published []*store.Article
	for _, before := range due {
		after := *before
		after.Status = store.Published
		if after.UpdatedAt.Before(after.PublishedAt) {
			after.UpdatedAt = after.PublishedAt
		}
		err = b.store.ChangeArticle(ctx, before, &after)
		if problem.Is(err, problem.Conflict) {
			continue
		}
		if err != nil {
			return published, err
		}
		b.log.Info("published on schedule", "article", after.Slug, "due", after.PublishedAt)
		published = append(published, &after)
	}
	return published, nil
}
