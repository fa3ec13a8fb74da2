package guard

import (
	"fmt"
	"slices"
	"testing"
	"time"

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

// Threads that are longer than what the caches hold of them: a query takes as many commands for
// six of them as for two, and their pages, counts and depths are those of the whole threads.
func TestLongThreadsAreCountedAndCutForAllArticlesAtOnce(t *testing.T) {
	const top, replies = 230, 210
	s := stoatest.Start(t, nil)
	s.Import(t, stoatest.Articles(6))
	s.Quiesce(t)
	importing, err := s.Blog.BeginImport(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	say := func(n int, under []blog.ImportComment) (all []blog.ImportComment) {
		for i := range n {
			c := blog.ImportComment{Name: "Ada", Markdown: fmt.Sprint("Number ", i), At: stoatest.Day("2026-01-02T00:00:00Z").Add(time.Duration(i) * time.Minute)}
			if i == 0 {
				c.Replies = under
			}
			all = append(all, c)
		}
		return all
	}
	for i := range 6 {
		if err := importing.Comments(t.Context(), fmt.Sprint("article-", i), say(top, say(replies, say(1, nil)))); err != nil {
			t.Fatal(err)
		}
	}
	type connection struct {
		Count struct {
			Value   int
			IsExact bool
		}
		PageInfo struct {
			HasNextPage, HasPreviousPage bool
			StartCursor, EndCursor       string
		}
		Nodes []struct {
			BodyHTML          string
			Depth, ReplyCount int
			Replies           struct {
				Count struct{ Value int }
				Nodes []struct {
					BodyHTML          string
					Depth, ReplyCount int
				}
			}
		}
	}
	const selected = `{ count(max: 1000) { value isExact } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
		nodes { bodyHtml depth replyCount replies(%s) { count(max: 1000) { value } nodes { bodyHtml depth replyCount } } } }`
	for name, arguments := range map[string]string{"First": "first: 3", "Last": "last: 3"} {
		commands := map[int]int{}
		for _, articles := range []int{2, 6} {
			var out struct {
				Articles struct {
					Nodes []struct {
						CommentCount int
						Comments     connection
					}
				}
			}
			query := fmt.Sprintf(`{ articles(first: %d) { nodes { commentCount comments(%s) %s } } }`, articles, arguments, fmt.Sprintf(selected, arguments))
			for range 6 { // the least: at first the threads are read whole, and counted
				stoatest.Cool(t, s)
				s.Data(t, &out, query, nil)
				if took := s.Commands(); commands[articles] == 0 || took < commands[articles] {
					commands[articles] = took
				}
			}
			for i, a := range out.Articles.Nodes {
				if c := a.Comments.Count; a.CommentCount != top+replies+1 || c.Value != top || !c.IsExact {
					t.Errorf("%s: article %d has %d comments, %+v of them directly", name, i, a.CommentCount, c)
				}
				p := a.Comments.PageInfo
				if name == "First" != p.HasNextPage || name == "Last" != p.HasPreviousPage || len(a.Comments.Nodes) != 3 {
					t.Errorf("%s: the page of article %d is %+v", name, i, a.Comments)
				}
				if name == "Last" {
					continue
				}
				first := a.Comments.Nodes[0]
				if first.Depth != 1 || first.ReplyCount != replies || first.Replies.Count.Value != replies || len(first.Replies.Nodes) != 3 ||
					first.Replies.Nodes[0].Depth != 2 || first.Replies.Nodes[0].ReplyCount != 1 || first.Replies.Nodes[1].ReplyCount != 0 {
					t.Errorf("the first comment on article %d is %+v", i, first)
				}
			}
		}
		if commands[2] != commands[6] {
			t.Errorf("%s: %d commands over 2 articles, %d over 6", name, commands[2], commands[6])
		}
	}
	walk := func(size int, next string, backwards bool) (texts []string) {
		for {
			var out struct{ Article struct{ Comments connection } }
			s.Data(t, &out, fmt.Sprintf(`{ article(slug: "article-3") { comments(%s) %s } }`, next, fmt.Sprintf(selected, "first: 1")), nil)
			var page []string
			for _, c := range out.Article.Comments.Nodes {
				page = append(page, c.BodyHTML)
			}
			p := out.Article.Comments.PageInfo
			if backwards {
				slices.Reverse(page)
			}
			texts = append(texts, page...)
			if len(texts) > top || backwards && !p.HasPreviousPage || !backwards && !p.HasNextPage {
				return texts
			}
			if backwards {
				next = fmt.Sprintf("last: %d%s", size, cursorArgument("before", p.StartCursor))
			} else {
				next = fmt.Sprintf("first: %d%s", size, cursorArgument("after", p.EndCursor))
			}
		}
	}
	var want []string
	for i := range top {
		want = append(want, fmt.Sprintf("<p>Number %d</p>\n", i))
	}
	if got := walk(70, "first: 70", false); !slices.Equal(got, want) {
		t.Errorf("forwards: %d comments, want %d in their order: %q", len(got), len(want), got[:min(3, len(got))])
	}
	slices.Reverse(want)
	if got := walk(70, "last: 70", true); !slices.Equal(got, want) {
		t.Errorf("backwards: %d comments, want %d in their order", len(got), len(want))
	}
}
