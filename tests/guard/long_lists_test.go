package guard

import (
	"fmt"
	"slices"
	"testing"

	"stoa/blog"
	"stoa/tests/stoatest"
)

// Lists under parents, longer than their cached heads: a query takes as many commands for six
// of them as for two, and their pages are parts of the whole list.
func TestLongListsAreCountedAndCutForAllParentsAtOnce(t *testing.T) {
	const n = 450
	s := stoatest.Start(t, nil)
	batch := stoatest.Articles(n)
	for i := range batch {
		batch[i].Tags = nil
		for tag := range 6 {
			batch[i].Tags = append(batch[i].Tags, blog.ImportName{Slug: fmt.Sprint("tag-", tag), Name: fmt.Sprint("Tag ", tag)})
		}
	}
	s.Import(t, batch)
	s.Quiesce(t)
	type connection struct {
		Nodes    []struct{ Slug string }
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			StartCursor, EndCursor       string
		}
		Count struct {
			Value   int
			IsExact bool
		}
	}
	const selected = `{ nodes { slug } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } count(max: 1000) { value isExact } }`
	for name, arguments := range map[string]string{"First": "first: 3", "Last": "last: 3"} {
		commands := map[int]int{}
		for _, tags := range []int{2, 6} {
			var out struct {
				Tags struct {
					Nodes []struct {
						ArticleCount int
						Articles     connection
						Capped       connection
					}
				}
			}
			for range 5 { // the least, since the server asks for something by itself now and then
				stoatest.Cool(t, s)
				s.Data(t, &out, fmt.Sprintf(`{ tags(first: %d) { nodes { articles(%s) %s } } }`, tags, arguments, selected), nil)
				if took := s.Commands(); commands[tags] == 0 || took < commands[tags] {
					commands[tags] = took
				}
			}
			s.Data(t, &out, fmt.Sprintf(`{ tags(first: %d) { nodes { articleCount articles(%s) %s capped: articles { count(max: 150) { value isExact } } } } }`, tags, arguments, selected), nil)
			for i, tag := range out.Tags.Nodes {
				if c := tag.Articles.Count; tag.ArticleCount != n || c.Value != n || !c.IsExact || tag.Capped.Count.Value != 150 || tag.Capped.Count.IsExact {
					t.Errorf("%s: tag %d has %d articles, counted %+v, %+v up to 150", name, i, tag.ArticleCount, c, tag.Capped.Count)
				}
				p := tag.Articles.PageInfo
				if name == "First" != p.HasNextPage || name == "Last" != p.HasPreviousPage || len(tag.Articles.Nodes) != 3 {
					t.Errorf("%s: the page of tag %d is %+v", name, i, tag.Articles)
				}
			}
		}
		if commands[2] != commands[6] {
			t.Errorf("%s: %d commands over 2 parents, %d over 6", name, commands[2], commands[6])
		}
	}
	walk := func(arguments func(connection) string, backwards bool) (slugs []string) {
		next := arguments(connection{})
		for range n {
			var out struct{ Tag struct{ Articles connection } }
			s.Data(t, &out, fmt.Sprintf(`{ tag(slug: "tag-3") { articles(%s) %s } }`, next, selected), nil)
			var page []string
			for _, a := range out.Tag.Articles.Nodes {
				page = append(page, a.Slug)
			}
			if backwards {
				slices.Reverse(page)
			}
			slugs = append(slugs, page...)
			if p := out.Tag.Articles.PageInfo; backwards && !p.HasPreviousPage || !backwards && !p.HasNextPage {
				return slugs
			}
			next = arguments(out.Tag.Articles)
		}
		return slugs
	}
	var want []string
	for _, a := range batch {
		want = append(want, a.Slug)
	}
	if got := walk(func(c connection) string {
		return fmt.Sprintf("first: 70%s", cursorArgument("after", c.PageInfo.EndCursor))
	}, false); !slices.Equal(got, want) {
		t.Errorf("forwards: %d articles, want %d in their order", len(got), len(want))
	}
	slices.Reverse(want)
	if got := walk(func(c connection) string {
		return fmt.Sprintf("last: 70%s", cursorArgument("before", c.PageInfo.StartCursor))
	}, true); !slices.Equal(got, want) {
		t.Errorf("backwards: %d articles, want %d in their order", len(got), len(want))
	}
}

func cursorArgument(name, cursor string) string {
	if cursor == "" {
		return ""
	}
	return fmt.Sprintf(", %s: %q", name, cursor)
}
