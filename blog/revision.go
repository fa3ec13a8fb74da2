package blog

// Former texts of articles: restoring and comparing them. Entry points: RestoreRevision, Compare.

import (
	"context"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"stoa/access"
	"stoa/edit"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// diffLines is the number of lines that are compared one by one, apart from the common beginning
// and end of both texts. Texts that differ in more lines are shown as replaced whole. The worst of
// TestADiffIsBounded takes some milliseconds, as repeated lines are no anchors (autoJunk): with
// them, x x x… against x y x y… took 28 s.
const diffLines = 1500

// RevisionRestore is the input of RestoreRevision. ExpectedVersion is the article's.
type RevisionRestore struct {
	ID              id.ID  // of the revision
	ExpectedVersion *int64 // nil for any
}

// Diff is the difference between two texts.
type Diff struct {
	Unified        string
	Added, Removed int // lines
}

// RestoreRevision gives an article the text of a former revision, as a new revision, under the
// rules of Update.
func (b *Blog) RestoreRevision(ctx context.Context, in RevisionRestore) (ArticleResult, error) {
	r, err := b.revision(ctx, in.ID)
	if err != nil {
		return ArticleResult{}, problem.Locate(err, "id")
	}
	update := ArticleUpdate{Summary: &r.Summary, BodyMarkdown: &r.Markdown}
	if r.Title != "" {
		update.Title = &r.Title
	}
	return b.change(ctx, edit.Change[draft]{ID: r.ArticleID, Expected: in.ExpectedVersion, May: mayChange,
		Apply: func(ctx context.Context, v access.Viewer, a *draft) error { return b.apply(ctx, v, a, update) },
	})
}

// revision returns a revision that is visible to the viewer; NotFound if there is none.
func (b *Blog) revision(ctx context.Context, i id.ID) (*store.Revision, error) {
	found, err := store.Revisions.For(ctx, b.store, []id.ID{i})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, problem.New(problem.NotFound, "there is no such revision")
	}
	return found[0], nil
}

// Compare returns the difference between two revisions of one article; NotFound if one of them
// isn't visible to the viewer, Invalid if they are of two articles.
func (b *Blog) Compare(ctx context.Context, from, to id.ID) (*Diff, error) {
	before, err := b.revision(ctx, from)
	if err != nil {
		return nil, err
	}
	after, err := b.revision(ctx, to)
	if err != nil {
		return nil, err
	}
	if before.ArticleID != after.ArticleID {
		return nil, problem.New(problem.Invalid, "from and to must be revisions of one article").At("to")
	}
	return compare(before, after), nil
}

// compare returns the difference, with title and summary as the first lines.
func compare(before, after *store.Revision) *Diff {
	a, b := linesOf(before), linesOf(after)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	changed, now := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(changed) > diffLines || len(now) > diffLines {
		return replaced(before, after, head, changed, now)
	}
	// Three lines before and after a difference are shown, from the common beginning and end.
	from, to := max(0, head-3), 3
	to = min(to, tail)
	shown := difflib.UnifiedDiff{
		A: a[from : len(a)-tail+to], B: b[from : len(b)-tail+to], FromFile: string(before.ID), ToFile: string(after.ID), Context: 3,
	}
	d := &Diff{}
	var out strings.Builder
	out.WriteString("--- " + string(before.ID) + "\n+++ " + string(after.ID) + "\n")
	for _, group := range difflib.NewMatcherWithJunk(shown.A, shown.B, true, nil).GetGroupedOpCodes(shown.Context) {
		first, last := group[0], group[len(group)-1]
		out.WriteString(hunk(from+first.I1, last.I2-first.I1, from+first.J1, last.J2-first.J1))
		for _, c := range group {
			if c.Tag == 'e' {
				write(&out, " ", shown.A[c.I1:c.I2])
				continue
			}
			d.Removed += write(&out, "-", shown.A[c.I1:c.I2])
			d.Added += write(&out, "+", shown.B[c.J1:c.J2])
		}
	}
	if d.Added+d.Removed > 0 {
		d.Unified = out.String()
	}
	return d
}

// replaced shows one run of lines as removed, and another as added in its place.
func replaced(before, after *store.Revision, head int, changed, now []string) *Diff {
	var out strings.Builder
	out.WriteString("--- " + string(before.ID) + "\n+++ " + string(after.ID) + "\n" + hunk(head, len(changed), head, len(now)))
	return &Diff{Removed: write(&out, "-", changed), Added: write(&out, "+", now), Unified: out.String()}
}

// hunk returns the header of a hunk, as GNU diff writes it: an empty run is named by the line
// before it.
func hunk(from, n, to, m int) string {
	at := func(start, n int) string {
		if n == 0 {
			return fmt.Sprintf("%d,0", start)
		}
		return fmt.Sprintf("%d,%d", start+1, n)
	}
	return fmt.Sprintf("@@ -%s +%s @@\n", at(from, n), at(to, m))
}

func write(out *strings.Builder, mark string, lines []string) int {
	for _, l := range lines {
		out.WriteString(mark + l + "\n")
	}
	return len(lines)
}

func linesOf(r *store.Revision) []string {
	text := strings.ReplaceAll(strings.ReplaceAll(r.Markdown, "\r\n", "\n"), "\r", "\n")
	return append([]string{"# " + r.Title, "> " + r.Summary}, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
}
