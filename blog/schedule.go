package blog

import (
	"context"
	"errors"
	"time"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// lookEvery is how often a replica looks whether a scheduled article is due. The look is
// answered from memory until somebody schedules one.
const lookEvery = 250 * time.Millisecond

// KeepSchedule publishes scheduled articles when they are due, until ctx ends. Every
// replica does so; a compare-and-set lets one of them win.
func (b *Blog) KeepSchedule(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	well := true
	for {
		_, err := b.PublishDue(ctx, time.Now())
		if failed := err != nil && ctx.Err() == nil; failed == well {
			well = !failed
			if failed {
				b.log.Warn("scheduled articles can't be published for now", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
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
