package blog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// lookEvery is how often a replica looks whether a scheduled article is due. The look is
// answered from memory until somebody schedules one.
const lookEvery = 250 * time.Millisecond

const (
	// mergesEvery is how often a replica looks for merges that ended in between.
	mergesEvery = time.Minute
	// purgeEvery is how often it looks for what was deleted too long ago to be restored.
	purgeEvery = time.Hour
	// remainsEvery is how often it looks for what processes that died have left half done and
	// nobody has noted: it reads the relations of all articles, and who has commented.
	remainsEvery = time.Hour
)

// Run does what nobody waits for, until ctx ends: it publishes scheduled articles when they
// are due, relates articles to each other, finishes what others left half done, and deletes
// for good. Every replica does so; a compare-and-set lets one of them win.
func (b *Blog) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() {
		b.every(ctx, lookEvery, "scheduled articles can't be published for now", func(ctx context.Context) error {
			_, err := b.PublishDue(ctx, time.Now())
			return err
		})
	})
	all.Go(func() { b.every(ctx, lookEvery, "articles can't be related for now", b.RelateTouched) })
	all.Go(func() {
		b.every(ctx, remainsEvery, "what was left half done can't be finished for now", b.FinishRemains)
	})
	all.Go(func() { b.every(ctx, mergesEvery, "merges can't be finished for now", b.FinishMerges) })
	all.Go(func() {
		b.every(ctx, purgeEvery, "deleted articles can't be deleted for good for now", func(ctx context.Context) error {
			_, err := b.Purge(ctx, time.Now())
			return err
		})
	})
	all.Wait()
}

// every does something at once, and again and again until ctx ends, and logs when it begins
// to fail.
func (b *Blog) every(ctx context.Context, pause time.Duration, trouble string, do func(context.Context) error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	well := true
	for {
		err := do(ctx)
		if failed := err != nil && ctx.Err() == nil; failed == well {
			well = !failed
			if failed {
				b.log.Warn(trouble, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Purge deletes for good, with its revisions and comments, what was deleted longer ago than
// it can be restored, and returns how many articles that were.
func (b *Blog) Purge(ctx context.Context, now time.Time) (int, error) {
	return b.store.PurgeDeleted(ctx, now.Add(-restorable))
}

// touch has what was related to an article, or is now, related anew soon.
func (b *Blog) touch(states ...*store.Article) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range states {
		for _, i := range slices.Concat([]id.ID{a.ID}, a.AuthorIDs, a.TagIDs) {
			b.touched[i] = true
		}
	}
}

// FinishRemains does what processes that died have left undone: it relates articles, and makes
// nobody's what accounts have written that have gone.
func (b *Blog) FinishRemains(ctx context.Context) error {
	err := b.relate(ctx, nil)
	gone, forgetErr := b.store.ForgetGone(ctx)
	if gone > 0 {
		b.log.Info("forgot the names of deleted accounts on comments", "accounts", gone)
	}
	return errors.Join(err, forgetErr)
}

// RelateTouched relates what was changed since it was last called; when it returns nothing of
// that is under way. What it can't do is left for the next call; what this process doesn't live
// to do, for the next relate of any: see FinishRemains.
func (b *Blog) RelateTouched(ctx context.Context) error {
	b.relating.Lock()
	defer b.relating.Unlock()
	b.mu.Lock()
	touched := b.touched
	b.touched = map[id.ID]bool{}
	b.mu.Unlock()
	if len(touched) == 0 {
		return nil
	}
	err := b.relate(ctx, touched)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		maps.Copy(b.touched, touched)
	}
	return err
}

// PublishDue publishes the articles that are due at now and returns those that this call
// published: another replica may have been faster.
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
	touched := map[id.ID]bool{}
	for _, before := range due {
		after := *before
		after.Status = store.Published
		if after.UpdatedAt.Before(after.PublishedAt) {
			after.UpdatedAt = after.PublishedAt
		}
		err = b.store.ChangeArticle(ctx, before, &after)
		if problem.Is(err, problem.Conflict) {
			err = nil
			continue
		}
		if err != nil {
			break
		}
		b.log.Info("published on schedule", "article", after.Slug, "due", after.PublishedAt)
		published, touched[after.ID] = append(published, &after), true
	}
	if len(published) > 0 {
		err = errors.Join(err, b.relate(ctx, touched))
	}
	return published, err
}
