package store

// Comments: reads and writes. Entry points: Comments, the methods of Store.

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// Comments are the readers' comments on articles.
var Comments = &Kind[Comment]{
	ID: id.Comment, Name: "comment", Collection: comments,
	Size:   func(c *Comment) int64 { return int64(400 + len(c.AuthorName) + len(c.BodyHTML) + len(c.BodyMarkdown)) },
	Public: Visible[Comment]{(*Comment).Public, publicComments()},
	Indexes: []index{
		{fields: []string{"articleId", "visible", "createdAt", "_id", "parentId", "status"}},
		{fields: []string{"articleId", "parentId", "visible", "bare", "createdAt", "_id"}},
		{fields: []string{"parentId", "visible", "bare", "createdAt", "_id"}},
		{fields: []string{"status", "-createdAt", "-_id"}},
		{fields: []string{"accountId", "-createdAt", "-_id"}},
		{fields: []string{"event"}, unique: true, sparse: true},
	},
}

// commentKeys is everything that becomes stale when before turns into after; before is nil
// for a comment that isn't there yet. When and on what it was written never changes.
func commentKeys(before, after *Comment) []string {
	keys := []string{string(after.ID)}
	for _, c := range []*Comment{before, after} {
		if c == nil {
			continue
		}
		if before == nil || before.State() != after.State() {
			keys = append(keys, statusTag(c.State()))
		}
		if before == nil && c.AccountID != "" {
			keys = append(keys, ownTag(c.AccountID))
		}
	}
	was := before != nil && before.Visible
	if !was && after.Visible {
		keys = append(keys, Topic(after.ArticleID).key())
	}
	if was != after.Visible || was && before.IsDeleted() != after.IsDeleted() {
		keys = append(keys, childrenKey(ChildrenKey(after.ArticleID)))
	}
	return compact(keys)
}

// ownTag is what the list of an account's comments depends on, statusTag what queues of
// comments of a status do.
func ownTag(account id.ID) string           { return "list/comments/" + string(account) }
func statusTag(status CommentStatus) string { return "list/comments/" + string(status) }

// AddComments stores new comments, those that are answered before those that answer them.
// One that is there already is left as it is. They come from elsewhere, so that they are
// there is no event.
func (s *Store) AddComments(ctx context.Context, cs []*Comment) error {
	if err := s.giveAncestors(ctx, cs); err != nil {
		return err
	}
	keys := []string{}
	for _, c := range cs {
		keys = append(keys, commentKeys(nil, c)...)
	}
	return s.write(ctx, compact(keys), func(ctx context.Context) error {
		return s.addToThreads(ctx, cs, func(ctx context.Context) error {
			_, err := s.collection(comments).InsertMany(ctx, cs, options.InsertMany().SetOrdered(false))
			if err != nil && !mongo.IsDuplicateKeyError(err) {
				return fmt.Errorf("add comments: %w", err)
			}
			return nil
		})
	})
}

// AddComment stores a new comment of an account, and returns what is there then: where it was
// there already, that is left as it is.
//
// The account may be deleted meanwhile, and its comments made nobody's before this one was
// among them; so that is looked for afterwards, and for calls that end in between by
// ForgetGone. NotFound when the account has gone.
func (s *Store) AddComment(ctx context.Context, c *Comment) (*Comment, error) {
	if err := s.addComment(ctx, c); err != nil {
		return nil, err
	}
	// From here on nobody who goes away may keep a name from being forgotten.
	ctx = context.WithoutCancel(ctx)
	there, err := s.HasAccount(ctx, c.AccountID)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := s.forgetAuthor(ctx, c.AccountID); err != nil {
			return nil, err
		}
		return nil, problem.New(problem.NotFound, "the account has been deleted in the meantime")
	}
	return s.commentNow(ctx, c.ID)
}

// addComment stores c, unless it is there.
func (s *Store) addComment(ctx context.Context, c *Comment) error {
	if err := s.giveAncestors(ctx, []*Comment{c}); err != nil {
		return err
	}
	insert := func(ctx context.Context) error {
		_, err := s.collection(comments).InsertOne(ctx, c)
		return err
	}
	const what = "the comment's id"
	var err error
	if c.Visible {
		err = s.inThread(nil, c, func() error {
			return s.write(ctx, commentKeys(nil, c), func(ctx context.Context) error {
				return s.countingThread(ctx, nil, c, func(ctx context.Context, _ bool) error {
					return conflict(s.take(ctx, Topic(c.ArticleID), func(ctx context.Context, event string) error {
						c.Event = event
						return insert(ctx)
					}), what)
				})
			})
		})
	} else {
		err = s.write(ctx, commentKeys(nil, c), func(ctx context.Context) error { return conflict(insert(ctx), what) })
	}
	if err != nil && !problem.Is(err, problem.Conflict) { // then it is there
		return fmt.Errorf("add a comment: %w", err)
	}
	return nil
}

// CommentNow returns a comment, whoever may see it, as it is in the database now; NotFound
// where there is none. It is for deciding about a change.
func (s *Store) CommentNow(ctx context.Context, comment id.ID) (*Comment, error) {
	access.MarkPrivate(ctx)
	return s.commentNow(ctx, comment)
}

func (s *Store) commentNow(ctx context.Context, comment id.ID) (*Comment, error) {
	found, err := find[Comment](ctx, s.collection(comments), bson.D{{Key: "_id", Value: comment}}, nil)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, problem.New(problem.NotFound, "there is no such comment")
	}
	return found[0], nil
}

// ChangeComment turns before, as it was read, into after, whose version it raises; Conflict
// when somebody else was faster. What is changed is the words, the name and the status.
func (s *Store) ChangeComment(ctx context.Context, before, after *Comment) error {
	after.Version = before.Version + 1
	version := bson.E{Key: "version", Value: before.Version}
	if before.Version == 0 { // written when there were none
		version.Value = bson.D{{Key: "$exists", Value: false}}
	}
	set := bson.D{
		{Key: "authorName", Value: after.AuthorName}, {Key: "bodyMarkdown", Value: after.BodyMarkdown}, {Key: "bodyHtml", Value: after.BodyHTML},
		{Key: "status", Value: after.Status}, {Key: "visible", Value: after.Visible}, {Key: "version", Value: after.Version},
	}
	if after.EditedAt != nil {
		set = append(set, bson.E{Key: "editedAt", Value: after.EditedAt})
	}
	update := func(ctx context.Context, set bson.D, bare bool) error {
		change := bson.D{{Key: "$set", Value: set}}
		switch {
		case bare:
			change[0].Value = append(slices.Clip(set), bson.E{Key: "bare", Value: true})
		case before.IsDeleted() != after.IsDeleted():
			change = append(change, bson.E{Key: "$unset", Value: bson.D{{Key: "bare", Value: ""}}})
		}
		result, err := s.collection(comments).UpdateOne(ctx, bson.D{{Key: "_id", Value: before.ID}, version}, change)
		if err != nil {
			return fmt.Errorf("change %s: %w", before.ID, err)
		}
		return changed(result.MatchedCount, nil, "the comment")
	}
	return s.inThread(before, after, func() error {
		return s.write(ctx, commentKeys(before, after), func(ctx context.Context) error {
			return s.countingThread(ctx, before, after, func(ctx context.Context, bare bool) error {
				if before.Visible || !after.Visible {
					return update(ctx, set, bare)
				}
				return s.take(ctx, Topic(after.ArticleID), func(ctx context.Context, event string) error {
					after.Event = event
					return update(ctx, append(slices.Clip(set), bson.E{Key: "event", Value: event}), bare)
				})
			})
		})
	})
}

// forgetAuthor makes an account's comments nobody's: its name is in none of them any more.
// Their versions go up, so that a change under way doesn't bring it back.
func (s *Store) forgetAuthor(ctx context.Context, account id.ID) error {
	found, err := findList[Comment](ctx, s.collection(comments), submissionsOf(account), projection("accountId"))
	if err != nil {
		return err
	}
	for some := range slices.Chunk(found, writtenAtOnce) {
		ids, keys := make([]id.ID, len(some)), []string{ownTag(account)}
		for i, c := range some {
			ids[i] = c.ID
			keys = append(keys, string(c.ID))
		}
		err := s.write(ctx, compact(keys), func(ctx context.Context) error {
			_, err := s.collection(comments).UpdateMany(ctx, in("_id", ids), bson.D{
				{Key: "$set", Value: bson.D{{Key: "authorName", Value: ""}}},
				{Key: "$unset", Value: bson.D{{Key: "accountId", Value: ""}}},
				{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}},
			})
			if err != nil {
				return fmt.Errorf("forget whose the comments of %s are: %w", account, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetGone makes nobody's what accounts have written that aren't there any more: comments
// that were added while their account was deleted, by a process that died before it had
// looked. It returns how many accounts those were.
func (s *Store) ForgetGone(ctx context.Context) (int, error) {
	var last id.ID
	gone := 0
	for {
		named, err := findList[Comment](ctx, s.collection(comments), bson.D{{Key: "accountId", Value: bson.D{{Key: "$gt", Value: last}}}},
			projection("accountId").SetSort(bson.D{{Key: "accountId", Value: 1}}).SetLimit(writtenAtOnce))
		if err != nil || len(named) == 0 {
			return gone, err
		}
		last = named[len(named)-1].AccountID // the rest of that account's comments is skipped
		some := make([]id.ID, len(named))
		for i, c := range named {
			some[i] = c.AccountID
		}
		some = slices.Compact(some)
		found, err := find[Account](ctx, s.collection(accounts), in("_id", some), projection("_id"))
		if err != nil {
			return gone, err
		}
		for _, account := range some {
			if slices.ContainsFunc(found, func(a *Account) bool { return a.ID == account }) {
				continue
			}
			if err := s.forgetAuthor(ctx, account); err != nil {
				return gone, err
			}
			gone++
		}
	}
}

// ShownComments returns the comments with ids that everyone may see who may see their
// article, in their order: nil where there is none. children is how the threads they are in
// are read, as Children reads them. Whether the article is public is for the caller to ask.
func (s *Store) ShownComments(ctx context.Context, ids []id.ID, children func(context.Context, []ChildrenKey) ([]*Children, error)) ([]*Comment, error) {
	found, err := Comments.All(ctx, s, ids)
	if err != nil {
		return nil, err
	}
	threads := make([]ChildrenKey, len(found)) // "" where there is none
	some := false
	for i, c := range found {
		if c != nil {
			threads[i], some = ChildrenKey(c.ArticleID), true
		}
	}
	if !some {
		return found, nil
	}
	articles := slices.DeleteFunc(compactKeys(threads), func(k ChildrenKey) bool { return k == "" })
	in, err := children(ctx, articles)
	if err != nil {
		return nil, err
	}
	shown := map[id.ID]bool{}
	long := map[id.ID]*Children{}
	for i, o := range in {
		if !o.Threaded() {
			long[id.ID(articles[i])] = o
			continue
		}
		for _, c := range found {
			if c != nil && o.Shows(c.ID) {
				shown[c.ID] = true
			}
		}
	}
	if len(long) > 0 {
		inLong, err := s.shownInLongThreads(ctx, slices.DeleteFunc(slices.Clone(found), func(c *Comment) bool { return c == nil || long[c.ArticleID] == nil }), long, children)
		if err != nil {
			return nil, err
		}
		maps.Copy(shown, inLong)
	}
	for i, c := range found {
		if c != nil && !shown[c.ID] {
			found[i] = nil
		}
	}
	return found, nil
}

// Depth returns how deep a comment is that is shown in thread, the list of its article: 1 for
// one that answers the article.
func (s *Store) Depth(ctx context.Context, c *Comment, thread *Children) (int, error) {
	if thread.Threaded() {
		return thread.Depth(c.ID), nil
	}
	up, err := s.Ancestors(ctx, []*Comment{c})
	return len(up[c.ID]) + 1, err
}

// UnderPublic returns those of comments whose articles are public, in their order: nil for the
// others, as where there was none. articles is how those are read, as Articles reads them.
func UnderPublic(ctx context.Context, comments []*Comment, articles func(context.Context, []id.ID) ([]*Article, error)) ([]*Comment, error) {
	var under []id.ID
	for _, c := range comments {
		if c != nil {
			under = append(under, c.ArticleID)
		}
	}
	found, err := articles(ctx, under)
	if err != nil {
		return nil, err
	}
	public := map[id.ID]bool{}
	for _, a := range found {
		if a != nil {
			public[a.ID] = true
		}
	}
	out := make([]*Comment, len(comments))
	for i, c := range comments {
		if c != nil && public[c.ArticleID] {
			out[i] = c
		}
	}
	return out, nil
}

func compactKeys(keys []ChildrenKey) []ChildrenKey {
	sorted := slices.Sorted(slices.Values(keys))
	return slices.Compact(sorted)
}

// Submissions returns the comments with ids that the viewer may see whatever their status, in
// their order: nil where there is none.
func (s *Store) Submissions(ctx context.Context, ids []id.ID) ([]*Submission, error) {
	out := make([]*Submission, len(ids))
	v, err := access.ViewerFrom(ctx)
	if err != nil || !v.SignedIn() {
		return out, err
	}
	found, err := Comments.any(ctx, s, ids)
	for i, c := range found {
		if x := (*Submission)(c); c != nil && x.VisibleTo(v) {
			out[i] = x
		}
	}
	return out, err
}

// ListOwnComments returns a part of the list of the viewer's comments, the newest first.
func (s *Store) ListOwnComments(ctx context.Context, w Window) (*List, error) {
	v, err := access.ViewerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return s.list(query{
		collection: comments, filter: submissionsOf(v.Account), sort: "createdAt", descending: true,
		tags: []string{ownTag(v.Account)}, empty: !v.SignedIn(),
	}, w)
}

// ListCommentQueue returns a part of the list of comments that have one of statuses, the
// newest first, for editors: Forbidden for others. Comments older than statuses aren't in it.
func (s *Store) ListCommentQueue(ctx context.Context, statuses []CommentStatus, w Window) (*List, error) {
	if _, err := access.Require(ctx, access.Editor); err != nil {
		return nil, err
	}
	statuses = slices.Compact(slices.Sorted(slices.Values(statuses)))
	q := query{collection: comments, sort: "createdAt", descending: true, empty: len(statuses) == 0}
	if q.filter = in("status", statuses); q.empty {
		q.filter = bson.D{}
	}
	for _, status := range statuses {
		q.tags = append(q.tags, statusTag(status))
	}
	return s.list(q, w)
}
