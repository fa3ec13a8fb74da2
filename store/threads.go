package store

// Threads of comments. One of up to headSize comments is read whole, and everything about it
// follows from that. Of a longer one the caches hold heads: of the comments that answer the article,
// and of the replies to each. The writes maintain the number of comments that it shows, and a mark
// on each deleted comment without shown replies. docs/decisions.md, "Long threads are read in parts".
// Entry points: Store.readThreads, Store.readThreadParts, Store.countingThread, Store.Ancestors.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/id"
	"stoa/problem"
	"stoa/store/cache"
)

// threadTally is the tally of all comments that an article shows, topTally that of those that
// answer the article itself, repliesTally that of those that answer a comment. While the first
// isn't trusted, neither are the others.
func threadTally(article id.ID) string           { return string(article) }
func topTally(article id.ID) string              { return string(article) + "/top" }
func repliesTally(article, comment id.ID) string { return string(article) + "/" + string(comment) }

// partsOf selects the tallies of all lists in a thread but its own.
func partsOf(article id.ID) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: string(article)}, {Key: "$lt", Value: string(article) + string('/'+1)}}}}
}

func byTime(direction int) bson.D {
	return bson.D{{Key: "createdAt", Value: direction}, {Key: "_id", Value: direction}}
}

// placed are the fields of a comment that decide its place.
func placed() bson.D {
	return bson.D{{Key: "articleId", Value: 1}, {Key: "parentId", Value: 1}, {Key: "createdAt", Value: 1}, {Key: "status", Value: 1}}
}

func rowOf(c *Comment) row {
	return row{ID: c.ID, Parent: c.ParentID, Time: c.CreatedAt, Gone: c.status() == CommentDeleted}
}

// status is State of a comment that is visible.
func (c *Comment) status() CommentStatus {
	if c.Status == "" {
		return CommentVisible
	}
	return c.Status
}

// readThreads reads the threads of articles into out. It takes one command, for no more than two
// heads of each: that of all comments, which is the thread if it is no longer, and that of the comments
// that answer the article.
func (s *Store) readThreads(ctx context.Context, keys []ChildrenKey, out map[ChildrenKey]*Children) error {
	type document struct {
		Article id.ID      `bson:"_id"`
		Tally   []*tally   `bson:"tally"`
		Under   []*Comment `bson:"under"`
		Top     []*Comment `bson:"top"`
	}
	of := map[id.ID]ChildrenKey{}
	for _, k := range keys {
		of[k.document()] = k
		out[k] = newChildren(nil, true, false)
	}
	all := childrenOf{collection: comments, field: "articleId", shown: publicComments()}
	head := []bson.D{{{Key: "$sort", Value: byTime(1)}}, {{Key: "$limit", Value: headSize + 1}}}
	times := bson.D{{Key: "$project", Value: bson.D{{Key: "createdAt", Value: 1}}}}
	now := time.Now()
	found, err := aggregate[document](ctx, s.collection(articles),
		append(all.under(of, append(slices.Clip(head), bson.D{{Key: "$project", Value: placed()}})...),
			lookUp("tally", tallies, "_id", "_id"), keys[0].children().beneath("top", append(slices.Clip(head), times)...))...)
	if err != nil {
		return err
	}
	var untrusted []ChildrenKey
	there := map[string]*tally{}
	for _, d := range found {
		key := of[d.Article]
		if len(d.Under) <= headSize {
			out[key] = newChildren(rowsOf(d.Under), true, false)
			continue
		}
		if len(d.Tally) > 0 {
			there[d.Tally[0].ID] = d.Tally[0]
		}
		t := there[threadTally(d.Article)]
		if !t.trusted(now) {
			untrusted = append(untrusted, key)
			continue
		}
		head := newChildren(rowsOf(d.Top[:min(len(d.Top), headSize)]), false, false)
		head.more, head.shown, head.reached = len(d.Top) > headSize, int(t.N), t.Reached
		out[key] = head
	}
	return s.readUntrusted(ctx, untrusted, there, now, out)
}

// rowsOf are the rows of comments in their order.
func rowsOf(cs []*Comment) []row {
	rows := make([]row, len(cs))
	for i, c := range cs {
		rows[i] = rowOf(c)
	}
	return rows
}

// lookUp is a stage that adds the documents of a collection with the value of a field.
func lookUp(as, from, local, foreign string) bson.D {
	return bson.D{{Key: "$lookup", Value: bson.D{
		{Key: "from", Value: from}, {Key: "localField", Value: local}, {Key: "foreignField", Value: foreign}, {Key: "as", Value: as},
	}}}
}

// readThreadParts reads heads and ends of lists in long threads into out, in one command for all
// heads of replies, and one for all ends.
func (s *Store) readThreadParts(ctx context.Context, keys []ChildrenKey, out map[ChildrenKey]*Children) error {
	type document struct {
		Parent id.ID      `bson:"_id"`
		Tally  []*tally   `bson:"tally"`
		Under  []*Comment `bson:"under"`
	}
	now := time.Now()
	there := map[string]*tally{}
	var untrusted []ChildrenKey
	type group struct {
		name string
		end  bool
	}
	groups := map[group]map[id.ID]ChildrenKey{}
	for _, k := range keys {
		out[k] = newChildren(nil, false, false)
		g := group{k.group(), k.isEnd()}
		if groups[g] == nil {
			groups[g] = map[id.ID]ChildrenKey{}
		}
		groups[g][k.document()] = k
	}
	for g, of := range groups {
		direction, size, thread := 1, headSize, "articleId"
		var where childrenOf
		for _, k := range of {
			where = k.children()
			break
		}
		if g.end {
			direction, size = -1, MaxPageSize
		}
		if g.name == topGroup {
			thread = "_id"
		}
		found, err := aggregate[document](ctx, s.collection(where.parents),
			bson.D{{Key: "$match", Value: in("_id", slices.Sorted(maps.Keys(of)))}},
			bson.D{{Key: "$project", Value: bson.D{{Key: "articleId", Value: 1}}}},
			lookUp("tally", tallies, thread, "_id"),
			where.beneath("under", bson.D{{Key: "$sort", Value: byTime(direction)}}, bson.D{{Key: "$limit", Value: size + 1}}, bson.D{{Key: "$project", Value: bson.D{{Key: "createdAt", Value: 1}}}}))
		if err != nil {
			return err
		}
		for _, d := range found {
			key := of[d.Parent]
			if len(d.Tally) > 0 {
				there[d.Tally[0].ID] = d.Tally[0]
			}
			if !there[threadTally(key.thread())].trusted(now) {
				untrusted = append(untrusted, key)
				continue
			}
			rows := rowsOf(d.Under[:min(len(d.Under), size)])
			if g.end {
				slices.Reverse(rows)
			}
			part := newChildren(rows, false, false)
			part.more, part.end = len(d.Under) > size, g.end
			out[key] = part
		}
	}
	return s.readUntrusted(ctx, untrusted, there, now, out)
}

// readUntrusted cuts lists out of their whole threads into out, and lets those be read in parts.
func (s *Store) readUntrusted(ctx context.Context, keys []ChildrenKey, there map[string]*tally, now time.Time, out map[ChildrenKey]*Children) error {
	if len(keys) == 0 {
		return nil
	}
	whole, err := s.readWhole(ctx, keys)
	if err != nil {
		return err
	}
	for _, k := range keys {
		out[k] = whole[k.thread()].part(k)
	}
	for _, article := range slices.Sorted(maps.Keys(whole)) {
		s.trust(ctx, article, there[threadTally(article)], whole[article], now)
	}
	return nil
}

// readWhole reads the whole threads that lists are in, by their articles.
func (s *Store) readWhole(ctx context.Context, keys []ChildrenKey) (map[id.ID]*Children, error) {
	rows := map[id.ID][]row{}
	for _, k := range keys {
		rows[k.thread()] = nil
	}
	found, err := findList[Comment](ctx, s.collection(comments), append(in("articleId", slices.Sorted(maps.Keys(rows))), publicComments()...),
		options.Find().SetProjection(placed()))
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		rows[c.ArticleID] = append(rows[c.ArticleID], rowOf(c))
	}
	out := make(map[id.ID]*Children, len(rows))
	for article, of := range rows {
		out[article] = newChildren(of, true, false)
	}
	return out, nil
}

// under is the list that k names in a thread that is known whole.
func (c *Children) under(k ChildrenKey) []Entry {
	if id.ID(k).Kind() == id.Comment {
		return c.replies[k.document()]
	}
	return c.entries
}

// part is the head or the end of a list in a thread that is known whole.
func (c *Children) part(k ChildrenKey) *Children {
	entries := c.under(k)
	n := len(entries)
	if k.isEnd() {
		entries = entries[max(0, n-MaxPageSize):]
	} else {
		entries = entries[:min(n, headSize)]
	}
	rows := make([]row, len(entries))
	for i, e := range entries {
		rows[i] = row{ID: e.ID, Time: e.Time}
	}
	out := newChildren(rows, false, false)
	out.more, out.end = len(entries) < n, k.isEnd()
	if id.ID(k).Kind() == id.Article && !out.end {
		out.shown, out.reached = len(c.depths), c.reachesAll()
	}
	return out
}

// reachesAll says whether a thread that is known whole shows each comment that isn't deleted. Then
// all comments above one that has a place have theirs. A change with a known difference leaves
// that as it is.
func (c *Children) reachesAll() bool {
	return !slices.ContainsFunc(c.rows, func(r row) bool { return !r.Gone && c.depths[r.ID] == 0 })
}

// trust lets a thread be read in parts from now on. whole is the thread, read after t. While somebody
// writes in the thread it does nothing, and leaves that to the next reader. Its writes take a slot of
// lists: a reader doesn't wait for writers.
func (s *Store) trust(ctx context.Context, article id.ID, t *tally, whole *Children, now time.Time) {
	if t != nil && t.underWay(now) {
		return
	}
	err := s.bulkheads.lists.within(ctx, func(ctx context.Context) error {
		turn := s.sequences.turn(Topic(article))
		if !turn.TryLock() {
			return nil
		}
		defer turn.Unlock()
		ctx, cancel := context.WithTimeout(ctx, cache.WriteLimit)
		defer cancel()
		return s.trustWhole(ctx, article, t, whole, now)
	})
	if err != nil {
		s.log.WarnContext(ctx, "a thread is still read whole", "article", article, "error", err)
	}
}

func (s *Store) trustWhole(ctx context.Context, article id.ID, t *tally, whole *Children, now time.Time) error {
	c, name := s.collection(tallies), rand.Text()[:12]
	unchanged := bson.E{Key: "rev", Value: bson.D{{Key: "$exists", Value: false}}}
	over, rev := bson.D{{Key: pendingField(name), Value: ""}}, int64(1)
	if t != nil {
		unchanged.Value, rev = t.Rev, t.Rev+1
		for _, abandoned := range slices.Sorted(maps.Keys(t.Pending)) {
			over = append(over, bson.E{Key: pendingField(abandoned), Value: ""})
		}
	}
	self := bson.E{Key: "_id", Value: threadTally(article)}
	result, err := c.UpdateOne(ctx, bson.D{self, unchanged},
		bson.D{{Key: "$set", Value: bson.D{{Key: pendingField(name), Value: now.UTC()}, {Key: "ok", Value: false}}}, revised()}, options.UpdateOne().SetUpsert(t == nil))
	if mongo.IsDuplicateKeyError(err) || err == nil && result.MatchedCount+result.UpsertedCount == 0 {
		return nil // somebody has written since
	}
	if err != nil {
		return fmt.Errorf("register with the count of %s: %w", article, err)
	}
	if err := s.markBare(ctx, whole); err != nil {
		return err
	}
	if _, err := c.UpdateMany(ctx, partsOf(article), bson.D{{Key: "$set", Value: bson.D{{Key: "ok", Value: false}}}, revised()}); err != nil {
		return fmt.Errorf("have lists under %s counted anew: %w", article, err)
	}
	result, err = c.UpdateOne(ctx, bson.D{self, {Key: "rev", Value: rev}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "n", Value: int64(len(whole.depths))}, {Key: "reached", Value: whole.reachesAll()}, {Key: "ok", Value: true}, {Key: "countedAt", Value: now.UTC()}}},
		{Key: "$unset", Value: over}, revised(),
	})
	if err == nil && result.MatchedCount == 0 {
		_, err = c.UpdateOne(ctx, bson.D{self}, bson.D{{Key: "$unset", Value: over[:1]}, revised()})
	}
	if err != nil {
		return fmt.Errorf("write down the count of %s: %w", article, err)
	}
	return nil
}

// markBare marks the places of deleted comments that have nothing shown under them, and takes
// the mark from the others.
func (s *Store) markBare(ctx context.Context, whole *Children) error {
	var gone []id.ID
	for _, r := range whole.rows {
		if r.Gone {
			gone = append(gone, r.ID)
		}
	}
	for some := range slices.Chunk(gone, writtenAtOnce) {
		found, err := find[Comment](ctx, s.collection(comments), in("_id", some), projection("bare"))
		if err != nil {
			return err
		}
		var bare, shown []id.ID
		for _, c := range found {
			switch is := whole.depths[c.ID] == 0; {
			case is && !c.Bare:
				bare = append(bare, c.ID)
			case !is && c.Bare:
				shown = append(shown, c.ID)
			}
		}
		for _, change := range []struct {
			of     []id.ID
			update bson.D
		}{
			{bare, bson.D{{Key: "$set", Value: bson.D{{Key: "bare", Value: true}}}}},
			{shown, bson.D{{Key: "$unset", Value: bson.D{{Key: "bare", Value: ""}}}}},
		} {
			if len(change.of) == 0 {
				continue
			}
			filter := append(in("_id", change.of), bson.E{Key: "status", Value: CommentDeleted})
			if _, err := s.collection(comments).UpdateMany(ctx, filter, change.update); err != nil {
				return fmt.Errorf("mark places of deleted comments: %w", err)
			}
		}
	}
	return nil
}

// inThread runs write, a change of before into after, in the turn of its thread if the thread
// changes by it; before is nil for a comment that isn't there yet.
func (s *Store) inThread(before, after *Comment, write func() error) error {
	if !changesThread(before, after) {
		return write()
	}
	return s.inTurn(Topic(after.ArticleID), write)
}

func changesThread(before, after *Comment) bool {
	was := before != nil && before.Visible
	return was != after.Visible || was && before.IsDeleted() != after.IsDeleted()
}

// countingThread makes a write that turns before into after; before is nil for a comment that
// isn't there yet. write is told whether it deletes a comment without replies. The difference
// to a long thread is known for a comment without replies, under shown comments, while nobody
// else writes in the thread. After any other change the thread is read whole once. The errors are those of write.
func (s *Store) countingThread(ctx context.Context, before, after *Comment, write func(ctx context.Context, bare bool) error) error {
	if !changesThread(before, after) {
		return write(ctx, false)
	}
	thread, name := threadTally(after.ArticleID), rand.Text()[:12]
	if err := s.register(ctx, name, []string{thread}); err != nil {
		return err
	}
	there, err := s.readTallies(ctx, []string{thread})
	if err != nil {
		return err
	}
	t, known := there[thread], false
	long := t != nil && t.OK
	if long && len(t.Pending) == 1 {
		if known, err = s.isLeaf(ctx, before, after); err != nil {
			return err
		}
	}
	bare := known && after.IsDeleted()
	err = write(ctx, bare)
	var by int64
	var refused *problem.Error
	switch {
	case errors.As(err, &refused):
		known = true // nothing was written
	case err != nil:
		return err // it may still happen: the registration stays, to be repaired
	case known:
		by = timesListed(after, bare) - timesListed(before, false)
	}
	self := bson.D{{Key: "_id", Value: thread}}
	end := bson.E{Key: "$unset", Value: bson.D{{Key: pendingField(name), Value: ""}}}
	distrusted := bson.E{Key: "$set", Value: bson.D{{Key: "ok", Value: false}}}
	var models []mongo.WriteModel
	switch {
	case !long:
		models = append(models, mongo.NewUpdateOneModel().SetFilter(self).SetUpdate(bson.D{end, revised()}))
	case !known:
		models = append(models, mongo.NewUpdateOneModel().SetFilter(self).SetUpdate(bson.D{distrusted, end, revised()}))
	default:
		list := topTally(after.ArticleID)
		if after.ParentID != "" {
			list = repliesTally(after.ArticleID, after.ParentID)
		}
		counted := bson.E{Key: "$inc", Value: bson.D{{Key: "n", Value: by}, {Key: "rev", Value: int64(1)}}}
		models = append(models, // the first if another write, or a repair, has begun meanwhile
			mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: thread}, {Key: "rev", Value: bson.D{{Key: "$ne", Value: t.Rev}}}}).SetUpdate(bson.D{distrusted}),
			mongo.NewUpdateOneModel().SetFilter(self).SetUpdate(bson.D{counted, end}),
			mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: list}}).SetUpdate(bson.D{counted}))
	}
	if _, failed := s.collection(tallies).BulkWrite(ctx, models); failed != nil {
		s.log.WarnContext(ctx, "the count of a thread will have to be repaired", "article", after.ArticleID, "error", failed)
	}
	return err
}

// timesListed is how often a comment is in the list under its parent.
func timesListed(c *Comment, bare bool) int64 {
	if c == nil || !c.Visible || bare {
		return 0
	}
	return 1
}

// isLeaf says whether the change of a comment changes nothing but its own place: it has no replies,
// and all that it answers is shown with its words.
func (s *Store) isLeaf(ctx context.Context, before, after *Comment) (bool, error) {
	if before != nil {
		if before.IsDeleted() {
			return false, nil
		}
		replies, err := findList[Comment](ctx, s.collection(comments),
			bson.D{{Key: "articleId", Value: after.ArticleID}, {Key: "parentId", Value: after.ID}}, projection("_id").SetLimit(1))
		if err != nil || len(replies) > 0 {
			return false, err
		}
	}
	if after.ParentID == "" {
		return true, nil
	}
	if len(after.AncestorIDs) == 0 {
		return false, nil
	}
	above, err := find[Comment](ctx, s.collection(comments), in("_id", after.AncestorIDs), projection("visible", "status"))
	if err != nil {
		return false, err
	}
	for _, c := range above {
		if !c.Visible || c.IsDeleted() {
			return false, nil
		}
	}
	return len(above) == len(after.AncestorIDs), nil
}

// addToThreads adds many comments. Their threads are read whole once afterwards.
func (s *Store) addToThreads(ctx context.Context, cs []*Comment, insert func(context.Context) error) error {
	var threads []string
	for _, c := range cs {
		if c.Visible {
			threads = append(threads, threadTally(c.ArticleID))
		}
	}
	if len(threads) == 0 {
		return insert(ctx)
	}
	threads = compact(threads)
	name := rand.Text()[:12]
	if err := s.register(ctx, name, threads); err != nil {
		return err
	}
	if err := insert(ctx); err != nil {
		return err
	}
	_, err := s.collection(tallies).UpdateMany(ctx, in("_id", threads), bson.D{
		{Key: "$set", Value: bson.D{{Key: "ok", Value: false}}}, {Key: "$unset", Value: bson.D{{Key: pendingField(name), Value: ""}}}, revised(),
	})
	if err != nil {
		return fmt.Errorf("have threads read whole: %w", err)
	}
	return nil
}

// dropUncertain takes a list out of counted if its thread has been written to since was was read:
// the count may include that write, and the writer adds it once more.
func (s *Store) dropUncertain(ctx context.Context, counted map[string]int64, was map[string]*tally) error {
	var threads []string
	for list := range counted {
		if thread, _, part := strings.Cut(list, "/"); part {
			threads = append(threads, thread)
		}
	}
	if len(threads) == 0 {
		return nil
	}
	now, err := s.readTallies(ctx, compact(threads))
	if err != nil {
		return err
	}
	maps.DeleteFunc(counted, func(list string, _ int64) bool {
		thread, _, part := strings.Cut(list, "/")
		return part && (now[thread] == nil || was[thread] == nil || now[thread].Rev != was[thread].Rev || len(now[thread].Pending) > 0)
	})
	return nil
}

// hasPlace says whether all comments between this one and the article are known.
func (c *Comment) hasPlace() bool { return c.ParentID == "" || len(c.AncestorIDs) > 0 }

// Ancestors returns, of each comment, the comments that it answers, from the one that answers the
// article down: by the comments' ids. Those of replies that earlier versions stored are looked up,
// in a command for each level.
func (s *Store) Ancestors(ctx context.Context, cs []*Comment) (map[id.ID][]id.ID, error) {
	return ancestors(cs, func(ids []id.ID) ([]*Comment, error) { return Comments.any(ctx, s, ids) })
}

// ancestors is Ancestors by any way to read comments.
func ancestors(cs []*Comment, read func([]id.ID) ([]*Comment, error)) (map[id.ID][]id.ID, error) {
	all := map[id.ID]*Comment{}
	for _, c := range cs {
		if c != nil {
			all[c.ID] = c
		}
	}
	for {
		var missing []string
		for _, c := range all {
			if c == nil || c.hasPlace() {
				continue
			}
			if _, there := all[c.ParentID]; !there {
				missing = append(missing, string(c.ParentID))
			}
		}
		if len(missing) == 0 {
			break
		}
		var ids []id.ID
		for _, i := range compact(missing) {
			ids = append(ids, id.ID(i))
			all[id.ID(i)] = nil
		}
		found, err := read(ids)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if c != nil {
				all[c.ID] = c
			}
		}
	}
	out := make(map[id.ID][]id.ID, len(cs))
	for _, c := range cs {
		if c == nil {
			continue
		}
		var up []id.ID
		at := c
		for at != nil && !at.hasPlace() && len(up) <= len(all) { // some answer one another in a circle
			up = append(up, at.ParentID)
			at = all[at.ParentID]
		}
		slices.Reverse(up)
		if at != nil {
			up = slices.Concat(at.AncestorIDs, up)
		}
		out[c.ID] = up
	}
	return out, nil
}

// giveAncestors notes in new comments their ancestors, as they are in the database now: a cache
// may still lack a parent that another replica has just added.
func (s *Store) giveAncestors(ctx context.Context, cs []*Comment) error {
	up, err := ancestors(cs, func(ids []id.ID) ([]*Comment, error) { return Comments.Now(ctx, s, ids) })
	for _, c := range cs {
		c.AncestorIDs = up[c.ID]
	}
	return err
}

// shownInLongThreads tells the shown comments from the others, in threads that aren't known whole:
// a shown one and all its ancestors have their places, and a deleted one has shown replies.
// threads are those threads, by their articles.
func (s *Store) shownInLongThreads(ctx context.Context, cs []*Comment, threads map[id.ID]*Children, children func(context.Context, []ChildrenKey) ([]*Children, error)) (map[id.ID]bool, error) {
	shown := map[id.ID]bool{}
	if len(cs) == 0 {
		return shown, nil
	}
	doubtful := slices.DeleteFunc(slices.Clone(cs), func(c *Comment) bool { return threads[c.ArticleID].reached })
	up, err := s.Ancestors(ctx, doubtful)
	if err != nil {
		return nil, err
	}
	var above []string
	var gone []ChildrenKey
	for _, c := range cs {
		for _, a := range up[c.ID] {
			if !threads[c.ArticleID].heads(a) {
				above = append(above, string(a))
			}
		}
		if c.IsDeleted() {
			gone = append(gone, RepliesTo(c.ArticleID, c.ID))
		}
	}
	ids := make([]id.ID, 0, len(above))
	for _, a := range compact(above) {
		ids = append(ids, id.ID(a))
	}
	found, err := Comments.All(ctx, s, ids)
	if err != nil {
		return nil, err
	}
	hidden := map[id.ID]bool{}
	for i, c := range found {
		hidden[ids[i]] = c == nil
	}
	replies := map[ChildrenKey]*Children{}
	if len(gone) > 0 {
		found, err := children(ctx, gone)
		if err != nil {
			return nil, err
		}
		for i, k := range gone {
			replies[k] = found[i]
		}
	}
	for _, c := range cs {
		reached := !slices.ContainsFunc(up[c.ID], func(a id.ID) bool { return hidden[a] })
		if under, is := replies[RepliesTo(c.ArticleID, c.ID)]; is && len(under.entries) == 0 {
			reached = false
		}
		shown[c.ID] = reached
	}
	return shown, nil
}

// heads says whether a comment is among the first that answer the article.
func (c *Children) heads(comment id.ID) bool {
	return slices.ContainsFunc(c.entries, func(e Entry) bool { return e.ID == comment })
}

// placeComments is the migration that gives replies their ancestors. Replicas of the version
// before add replies without meanwhile: those are looked up when they are asked for.
func placeComments(ctx context.Context, s *Store) error {
	for last := id.ID(""); ; {
		found, err := findList[Comment](ctx, s.collection(comments), append(unplaced(), bson.E{Key: "_id", Value: bson.D{{Key: "$gt", Value: last}}}),
			projection("parentId").SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(writtenAtOnce))
		if err != nil || len(found) == 0 {
			return err
		}
		last = found[len(found)-1].ID
		if err := s.giveAncestors(ctx, found); err != nil {
			return err
		}
		keys := make([]string, len(found))
		models := make([]mongo.WriteModel, len(found))
		for i, c := range found {
			keys[i] = string(c.ID)
			models[i] = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: c.ID}}).
				SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "ancestorIds", Value: c.AncestorIDs}}}})
		}
		err = s.write(ctx, compact(keys), func(ctx context.Context) error {
			if _, err := s.collection(comments).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
				return fmt.Errorf("give comments their ancestors: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// unplaced selects the replies that have no ancestors yet.
func unplaced() bson.D {
	return bson.D{{Key: "parentId", Value: bson.D{{Key: "$gt", Value: ""}}}, {Key: "ancestorIds", Value: bson.D{{Key: "$exists", Value: false}}}}
}

func unplacedComments(ctx context.Context, s *Store) ([]string, error) {
	n, err := s.collection(comments).CountDocuments(ctx, unplaced())
	if err != nil {
		return nil, fmt.Errorf("count comments without ancestors: %w", err)
	}
	if n == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("give %d replies the ids of all comments that they are under", n)}, nil
}
