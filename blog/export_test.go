package blog

// Articles that were written here, exported and imported.

import (
	"reflect"
	"testing"

	"stoa/access"
)

func TestAnExportMakesTheArticlesOfAnotherBlogAndChangesNoneOfItsOwn(t *testing.T) {
	b, s := open(t)
	ctx, _ := as(t, s, access.Editor)
	made, err := b.Create(ctx, NewArticle{Title: "By hand"})
	check(t, err)
	_, err = b.Publish(ctx, ArticleTransition{ID: made.Article.ID})
	check(t, err)
	exported := func(b *Blog) (out []Import) {
		t.Helper()
		check(t, b.Export(ctx, func(a Import) error { out = append(out, a); return nil }))
		return out
	}
	exportOf := exported(b)
	take := func(b *Blog, want ImportStatus) {
		t.Helper()
		importing, err := b.BeginImport(t.Context(), false)
		check(t, err)
		outcomes, err := importing.Add(t.Context(), exportOf)
		check(t, err)
		if len(outcomes) != 1 || outcomes[0].Status != want {
			t.Errorf("the outcomes are %v, want %s", outcomes, want)
		}
		check(t, importing.Finish(t.Context()))
	}
	take(b, Unchanged)
	if now := exported(b); !reflect.DeepEqual(now, exportOf) {
		t.Errorf("its own blog has %v", now)
	}
	other, _ := open(t)
	take(other, Created)
	if now := exported(other); !reflect.DeepEqual(now, exportOf) {
		t.Errorf("the other blog has\n%+v\nof\n%+v", now, exportOf)
	}
	take(other, Unchanged)
}
