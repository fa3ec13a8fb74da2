package dataloader

// Comments of the response: their position in a thread, single comments, and the lists of
// submissions for their owner and for editors. Entry points: Depth, ShownOne, OwnComments,
// CommentQueue.

import (
	"context"
	"fmt"
	"math"

	"stoa/access"
	"stoa/id"
	"stoa/store"
)

// Depth returns the depth of a comment in its thread: 1 for a comment on the article itself.
func (l *Loaders) Depth(ctx context.Context, c *store.Comment) (int, error) {
	thread, err := Children.In(l).One(ctx, store.ChildrenKey(c.ArticleID))
	if err != nil {
		return 0, err
	}
	return l.store.Depth(ctx, c, thread)
}

// Depths loads the dependencies of Depth for each of cs.
func (l *Loaders) Depths(ctx context.Context, cs []*store.Comment) error {
	threads, err := Children.In(l).All(ctx, threadsOf(cs))
	if err != nil {
		return err
	}
	var long []*store.Comment
	for i, thread := range threads {
		if !thread.Threaded() {
			long = append(long, cs[i])
		}
	}
	_, err = l.store.Ancestors(ctx, long)
	return err
}

// ReplyCount returns how many comments answer c directly.
func (l *Loaders) ReplyCount(ctx context.Context, c *store.Comment) (int, error) {
	replies, err := l.RepliesTo(c, store.Window{})
	if err != nil {
		return 0, err
	}
	n, _, err := replies.count(ctx, math.MaxInt)
	return n, err
}

// ReplyCounts loads the dependencies of ReplyCount for each of cs: one batch for their threads, one
// for the replies in long threads, and one for the counts of those.
func (l *Loaders) ReplyCounts(ctx context.Context, cs []*store.Comment) error {
	lists := make([]*CommentConnection, len(cs))
	for i, c := range cs {
		var err error
		if lists[i], err = l.RepliesTo(c, store.Window{}); err != nil {
			return err
		}
	}
	if err := LoadParts(ctx, l, lists); err != nil {
		return err
	}
	return CountsOf(ctx, l, lists, math.MaxInt)
}

func threadsOf(cs []*store.Comment) []store.ChildrenKey {
	keys := make([]store.ChildrenKey, len(cs))
	for i, c := range cs {
		keys[i] = store.ChildrenKey(c.ArticleID)
	}
	return keys
}

// ShownOne returns a comment if it is shown to everyone under a public article, and nil otherwise.
func (l *Loaders) ShownOne(ctx context.Context, comment id.ID) (*store.Comment, error) {
	found, err := CommentsByID.In(l).All(ctx, []id.ID{comment})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Added returns the comment of an event; nil if it isn't shown any more.
func (l *Loaders) Added(ctx context.Context, e *store.Publication) (*store.Comment, error) {
	return l.ShownOne(ctx, e.Of)
}

// OwnComments returns a part of the viewer's comments, the newest first.
func (l *Loaders) OwnComments(ctx context.Context, _ *access.Viewer, w store.Window) (*SubmissionConnection, error) {
	return l.submissions("own", w, func() (*store.List, error) { return l.store.ListOwnComments(ctx, w) })
}

// CommentQueue returns a part of the comments with one of statuses, the newest first, for
// editors: Forbidden for others.
func (l *Loaders) CommentQueue(ctx context.Context, statuses []store.CommentStatus, w store.Window) (*SubmissionConnection, error) {
	return l.submissions(fmt.Sprint(statuses), w, func() (*store.List, error) { return l.store.ListCommentQueue(ctx, statuses, w) })
}

// submissions returns the connection over a list of submissions. It keeps the connection by name
// and window, so that a response reads each list once.
func (l *Loaders) submissions(name string, w store.Window, list func() (*store.List, error)) (*SubmissionConnection, error) {
	key := name + w.CacheKey()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.lists[key]; c != nil {
		return c, nil
	}
	read, err := list()
	if err != nil {
		return nil, err
	}
	c := Listed(read, Submissions.In(l))
	if l.lists == nil {
		l.lists = map[string]*SubmissionConnection{}
	}
	l.lists[key] = c
	return c, nil
}
