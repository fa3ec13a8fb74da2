package tests

import (
	"go/ast"
	"slices"
	"testing"
)

// readsClock lists the files on the way of a response that read the clock, with the reason why
// no public response depends on it: a cached response doesn't notice that time has passed.
var readsClock = map[string]string{
	"blog/comment.go":      "mutations, and what they write",
	"blog/import.go":       "imports aren't answers",
	"blog/preview.go":      "previews are private",
	"blog/schedule.go":     "what is due is published by a write",
	"blog/write.go":        "mutations, and what they write",
	"edit/create.go":       "mutations",
	"store/documents.go":   "Now, whose callers are counted",
	"store/counts.go":      "it decides whether a count is read or counted anew, which come to the same",
	"store/children.go":    "the same",
	"store/threads.go":     "it decides whether a thread is read in parts or whole, which come to the same",
	"store/sessions.go":    "sessions are private",
	"store/idempotency.go": "only mutations have idempotency keys",
	"store/editions.go":    "for how long a write whose outcome isn't known may still happen",
	"store/indexes.go":     "indexes are made before requests, and are told with the time that they took",
	"store/lease.go":       "the work under a lease is beside requests",
	"store/primary.go":     "how long there is no primary",
	"store/relating.go":    "the queue of relating is beside requests",
	"store/purge.go":       "a mutation",
	"store/store.go":       "leases of trust that ended long ago are deleted beside requests",
	"media/media.go":       "uploads are mutations",
	"search/engine.go":     "how long indexing takes is logged",
}

// Visibility is a status that a write flips. Any other use of the time of day in a response
// must end the response's validity in time, or forbid caching, and then be listed here.
func TestNoAnswerForEverybodyReadsTheClock(t *testing.T) {
	makers := []string{"access", "blog", "dataloader", "edit", "graph", "graph/scalar", "media", "search", "store"}
	reads := map[string]bool{}
	for _, p := range parseAll(t) {
		if !slices.Contains(makers, p.pkg) { // feeds are kept by rules of their own
			continue
		}
		name, store := p.imports(t, "time"), p.imports(t, "stoa/store")
		ast.Inspect(p.File, func(n ast.Node) bool {
			looks := false
			switch n := n.(type) {
			case *ast.CallExpr: // in store itself, Now has no package before it
				f, ok := n.Fun.(*ast.Ident)
				looks = ok && p.pkg == "store" && f.Name == "Now"
			case *ast.SelectorExpr:
				of, ok := n.X.(*ast.Ident)
				looks = ok && (name != "" && of.Name == name && slices.Contains([]string{"Now", "Since", "Until"}, n.Sel.Name) ||
					store != "" && of.Name == store && n.Sel.Name == "Now")
			}
			if looks {
				reads[p.file] = true
				if readsClock[p.file] == "" {
					t.Errorf("%s reads the clock: can an answer for everybody follow from it? See readsClock", p.file)
				}
			}
			return true
		})
	}
	for file := range readsClock {
		if !reads[file] {
			t.Errorf("%s reads no clock any more", file)
		}
	}
}
