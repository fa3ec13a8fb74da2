package store

// Reads past the caches: they make a response uncacheable.

import (
	"context"
	"testing"
	"time"

	"stoa/id"
)

// A read of the database past the tables of the caches makes its response uncacheable; a read
// through them, or one without tracking, doesn't.
func TestReadsPastTheCachesForbidCaching(t *testing.T) {
	s := openStore(t, nil)
	a := published("a", time.Now())
	check(t, s.AddArticle(t.Context(), a))
	for name, c := range map[string]struct {
		cached bool
		read   func(ctx context.Context) error
	}{
		"ById":   {true, func(ctx context.Context) error { _, err := Articles.All(ctx, s, []id.ID{a.ID}); return err }},
		"BySlug": {true, func(ctx context.Context) error { _, err := Articles.BySlug(ctx, s, "a"); return err }},
		"Absent": {true, func(ctx context.Context) error { _, err := Tags.All(ctx, s, []id.ID{id.New(id.Tag)}); return err }},
		"Children": {true, func(ctx context.Context) error {
			_, err := s.Children(ctx, []ChildrenKey{ChildrenKey(id.New(id.Tag))})
			return err
		}},
		"Neighbours": {true, func(ctx context.Context) error { _, err := s.Neighbours(ctx, []Position{PositionOf(a)}); return err }},
		"Editions":   {true, func(ctx context.Context) error { _, err := s.Editions(ctx, []id.Kind{id.Article}); return err }},
		"AllTags":    {false, func(ctx context.Context) error { _, err := s.AllTags(ctx); return err }},
		"Imported":   {false, func(ctx context.Context) error { _, err := s.Imported(ctx); return err }},
		"Addresses":  {false, func(ctx context.Context) error { return s.Addresses(ctx, func(Address) {}) }},
		"Ping":       {false, s.Ping},
		"Within": {false, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			_, err := s.Due(ctx, time.Now())
			return err
		}},
	} {
		for range 2 { // out of the database, out of the process
			ctx, recorder := s.Cache().Record(t.Context())
			check(t, c.read(ctx))
			if _, names, ok := recorder.End(); ok != c.cached || ok && len(names) == 0 {
				t.Errorf("%s: cached %t, by %q", name, ok, names)
			}
		}
	}
}
