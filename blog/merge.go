package blog

import (
	"context"
	"errors"
	"slices"
	"strings"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// Merge says which author or tag is to become part of which.
type Merge struct{ ID, IntoID id.ID }

// mergeTask is what a merge is noted under while it isn't finished, followed by what is
// merged, a slash, and into what.
const mergeTask = "merge/"

// MergeAuthors makes one author of two, for editors: articles by the one are by the other,
// which is found under the slugs of both. Repeating it changes nothing.
//
// The merge is noted first, and each step may be repeated: where it ends in between, Run of
// any replica finishes it. The one that goes is deleted last, so that until then its slug
// leads somewhere.
func (b *Blog) MergeAuthors(ctx context.Context, in Merge) (*store.Author, error) {
	return mergeNew(ctx, b, b.authors(), in)
}

// MergeTags is MergeAuthors for tags.
func (b *Blog) MergeTags(ctx context.Context, in Merge) (*store.Tag, error) {
	return mergeNew(ctx, b, b.tags(), in)
}

// mergeNew notes a merge and does it.
func mergeNew[K store.Versioned](ctx context.Context, b *Blog, n naming[K], in Merge) (K, error) {
	var none K
	if _, err := access.Require(ctx, access.Editor); err != nil {
		return none, err
	}
	if in.ID.Kind() != n.kind || in.IntoID.Kind() != n.kind || in.ID == in.IntoID {
		return none, problem.New(problem.Invalid, "id and intoId take the ids of two different %ss", n.what).At("intoId")
	}
	into, err := n.one(ctx, in.IntoID)
	if err != nil {
		return none, problem.Locate(err, "intoId")
	}
	from, err := n.one(ctx, in.ID)
	if problem.Is(err, problem.NotFound) && slices.Contains(*n.parts(into).merged, in.ID) {
		return into, nil
	}
	if err != nil {
		return none, problem.Locate(err, "id")
	}
	if err := mergeable(from, into); err != nil {
		return none, err
	}
	task := mergeTask + string(in.ID) + "/" + string(in.IntoID)
	if err := b.store.Begin(ctx, task); err != nil {
		return none, err
	}
	// Two merges that have to do with each other would see each other here.
	under, err := b.store.Tasks(ctx, mergeTask)
	if err != nil {
		return none, err
	}
	for _, other := range under {
		if mergeTask+other != task && overlap(other, strings.TrimPrefix(task, mergeTask)) {
			return none, errors.Join(problem.New(problem.Conflict, "one of the two is being merged already: try again when that is done"), b.store.Finish(ctx, task))
		}
	}
	return merge(ctx, b, n, in)
}

// mergeable refuses to merge what belongs to two people.
func mergeable(from, into any) error {
	a, isAuthor := from.(*store.Author)
	if !isAuthor {
		return nil
	}
	if other := into.(*store.Author).AccountID; a.AccountID != "" && other != "" && a.AccountID != other {
		return problem.New(problem.Invalid, "both are pages of accounts, of different ones").At("id")
	}
	return nil
}

// merge does what is left to do of a merge that was begun, and returns what came of it.
func merge[K store.Versioned](ctx context.Context, b *Blog, n naming[K], in Merge) (K, error) {
	var none K
	into, err := absorb(ctx, b, n, in)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return none, err
	}
	if err == nil {
		if err := b.moveArticles(ctx, in); err != nil {
			return none, err
		}
		if err := drop(ctx, b, n, in.ID); err != nil {
			return none, err
		}
		// What named the one that has gone while it went.
		if err := b.moveArticles(ctx, in); err != nil {
			return none, err
		}
	}
	if err := b.store.Finish(ctx, mergeTask+string(in.ID)+"/"+string(in.IntoID)); err != nil {
		return none, err
	}
	return into, err
}

// absorb gives the one that stays the slugs of the other. NotFound where it isn't there.
func absorb[K store.Versioned](ctx context.Context, b *Blog, n naming[K], in Merge) (K, error) {
	var none K
	for try := 0; ; try++ {
		into, err := n.one(ctx, in.IntoID)
		if err != nil {
			return none, err
		}
		from, err := n.one(ctx, in.ID)
		if problem.Is(err, problem.NotFound) {
			return into, nil // it was absorbed, and has gone
		}
		if err != nil {
			return none, err
		}
		after := n.copied(into)
		is, was := n.parts(after), n.parts(from)
		*is.old = readdressed(*was.slug, slices.Concat(*is.old, *was.old), *is.slug)
		*is.merged = append(slices.Clone(*is.merged), append([]id.ID{in.ID}, *was.merged...)...)
		slices.Sort(*is.merged)
		*is.merged = slices.Compact(*is.merged)
		inherit(from, after)
		err = store.Change(ctx, b.store, into, after)
		if err == nil {
			return after, nil
		}
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return none, err
		}
	}
}

// inherit gives an author's page the account and what is said of the other where it has
// none.
func inherit(from, into any) {
	a, isAuthor := from.(*store.Author)
	if !isAuthor {
		if t := into.(*store.Tag); t.Description == "" {
			t.Description = from.(*store.Tag).Description
		}
		return
	}
	to := into.(*store.Author)
	if to.AccountID == "" {
		to.AccountID = a.AccountID
	}
	if to.BioHTML == "" {
		to.BioHTML = a.BioHTML
	}
	if to.URL == nil {
		to.URL = a.URL
	}
}

// moveArticles puts one author or tag in the place of another wherever that is named.
func (b *Blog) moveArticles(ctx context.Context, in Merge) error {
	for {
		under, err := b.store.ArticlesUnder(ctx, in.ID)
		if err != nil || len(under) == 0 {
			return err
		}
		for _, before := range under {
			after := *before
			after.AuthorIDs, after.TagIDs = instead(before.AuthorIDs, in), instead(before.TagIDs, in)
			if after.Public() {
				after.RelatedIDs = []id.ID{}
			}
			err := b.store.ChangeArticle(ctx, before, &after)
			if err != nil && !problem.Is(err, problem.Conflict) { // then it comes again
				return err
			}
			if err == nil && after.Public() {
				b.reconcileLater(before, &after)
			}
		}
	}
}

// instead is ids with the one that stays in the place of the one that goes, each once.
func instead(ids []id.ID, in Merge) []id.ID {
	out := make([]id.ID, 0, len(ids))
	for _, i := range ids {
		if i == in.ID {
			i = in.IntoID
		}
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// drop deletes the one that goes, if it is there.
func drop[K store.Versioned](ctx context.Context, b *Blog, n naming[K], i id.ID) error {
	for try := 0; ; try++ {
		from, err := n.one(ctx, i)
		if problem.Is(err, problem.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = store.Delete(ctx, b.store, from)
		if !problem.Is(err, problem.Conflict) || try == attempts {
			return err
		}
	}
}

// overlap reports whether two merges share an author or a tag.
func overlap(a, b string) bool {
	from, into, _ := strings.Cut(a, "/")
	return strings.Contains(b, from) || strings.Contains(b, into)
}

// FinishMerges does what merges have left to do that ended in between, in the order of
// their names, which is everybody's. Those that overlap are left for the next call: one of
// them may just be about to be refused.
func (b *Blog) FinishMerges(ctx context.Context) error {
	under, err := b.store.Tasks(ctx, mergeTask)
	if err != nil {
		return err
	}
	slices.Sort(under)
	b.mu.Lock()
	before := b.overlapping
	b.overlapping = map[string]bool{}
	b.mu.Unlock()
	var errs []error
	for _, task := range under {
		overlaps := slices.ContainsFunc(under, func(other string) bool { return other != task && overlap(other, task) })
		if overlaps && !before[task] {
			b.mu.Lock()
			b.overlapping[task] = true
			b.mu.Unlock()
			continue
		}
		errs = append(errs, b.finishMerge(ctx, task))
	}
	return errors.Join(errs...)
}

func (b *Blog) finishMerge(ctx context.Context, task string) error {
	from, into, _ := strings.Cut(task, "/")
	in := Merge{id.ID(from), id.ID(into)}
	var err error
	if in.ID.Kind() == id.Author {
		_, err = merge(ctx, b, b.authors(), in)
	} else {
		_, err = merge(ctx, b, b.tags(), in)
	}
	if problem.Is(err, problem.NotFound) {
		return nil // what it was to become part of has gone: it stays as it is
	}
	return err
}
