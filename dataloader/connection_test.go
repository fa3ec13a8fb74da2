package dataloader

// Pages of connections, with elements that go while they are read.

import (
	"context"
	"errors"
	"slices"
	"testing"

	"stoa/id"
	"stoa/problem"
	"stoa/store"
	"stoa/store/cache"
)

// connectionOf is a connection over ids, and those in gone don't exist any more.
func connectionOf(reads *int, gone []id.ID, ids ...id.ID) *Connection[store.Tag] {
	page := &store.Page{HasNext: true}
	for _, i := range ids {
		page.Entries = append(page.Entries, store.Entry{ID: i})
	}
	return &Connection[store.Tag]{
		page: func(ctx context.Context) (*store.Page, error) {
			*reads++
			if cache.IsMemoryOnly(ctx) {
				return nil, cache.ErrNotInMemory
			}
			return page, nil
		},
		count: func(_ context.Context, most int) (int, bool, error) { return most, false, nil },
		items: newLoader("tag", func(_ context.Context, ks []id.ID) ([]*store.Tag, error) {
			out := make([]*store.Tag, len(ks))
			for i, k := range ks {
				if !slices.Contains(gone, k) {
					out[i] = &store.Tag{ID: k}
				}
			}
			return out, nil
		}),
	}
}

func TestAConnectionReadsItsPageOnceAndOnlyWhenAsked(t *testing.T) {
	reads := 0
	c := connectionOf(&reads, nil, "tag_a", "tag_b")
	if _, err := c.Count(t.Context(), 5); err != nil || reads != 0 {
		t.Errorf("counting read %d pages: %v", reads, err)
	}
	if _, err := c.Nodes(cache.MemoryOnly(t.Context())); !errors.Is(err, cache.ErrNotInMemory) {
		t.Errorf("in memory: %v", err)
	}
	reads = 0
	for range 2 {
		if _, err := c.Nodes(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Edges(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.PageInfo(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if reads != 1 {
		t.Errorf("the page was read %d times", reads)
	}
}

// An element may go between the read of the page's ids and the read of the elements.
func TestWhatHasGoneIsLeftOutAndTheOthersKeepTheirCursors(t *testing.T) {
	reads := 0
	whole, err := connectionOf(&reads, nil, "tag_a", "tag_b", "tag_c").Edges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := connectionOf(&reads, []id.ID{"tag_b"}, "tag_a", "tag_b", "tag_c")
	edges, err := c.Edges(t.Context())
	if err != nil || len(edges) != 2 || edges[0].Node.ID != "tag_a" || edges[1].Node.ID != "tag_c" || edges[1].Cursor != whole[2].Cursor {
		t.Errorf("edges %v, %v", edges, err)
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[1].ID != "tag_c" {
		t.Errorf("nodes %v, %v", nodes, err)
	}
	info, err := c.PageInfo(t.Context())
	if err != nil || *info.StartCursor != whole[0].Cursor || *info.EndCursor != whole[2].Cursor || !info.HasNextPage || info.HasPreviousPage {
		t.Errorf("pageInfo %+v, %v", info, err)
	}
}

func TestSeveralPagesAreLoadedInOneBatch(t *testing.T) {
	reads := 0
	a, b := connectionOf(&reads, nil, "tag_a", "tag_b"), connectionOf(&reads, nil, "tag_b", "tag_c")
	batches := 0
	fetch := a.items.fetch
	a.items = newLoader("tag", func(ctx context.Context, ks []id.ID) ([]*store.Tag, error) {
		batches++
		return fetch(ctx, ks)
	})
	b.items = a.items
	found, err := NodesOf(t.Context(), []*Connection[store.Tag]{a, b})
	if err != nil || len(found) != 4 || batches != 1 {
		t.Errorf("%d things in %d batches, %v", len(found), batches, err)
	}
	for _, c := range []*Connection[store.Tag]{a, b} {
		if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 2 || batches != 1 {
			t.Errorf("%d things after %d batches, %v", len(nodes), batches, err)
		}
	}
	if none, err := NodesOf[store.Tag](t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("no pages have %v, %v", none, err)
	}
}

func TestAnEmptyPageHasNoCursors(t *testing.T) {
	reads := 0
	info, err := connectionOf(&reads, nil).PageInfo(t.Context())
	if err != nil || info.StartCursor != nil || info.EndCursor != nil {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestCountingHasBounds(t *testing.T) {
	cases := map[string]struct {
		reason string
		max    int
		code   problem.Code
	}{
		"Zero":     {"counting to nothing tells nothing", 0, problem.Invalid},
		"Negative": {"nor does less", -1, problem.Invalid},
		"One":      {"the least", 1, ""},
		"Most":     {"the most", MaxCount, ""},
		"TooMany":  {"more would read too much", MaxCount + 1, problem.Invalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reads := 0
			_, err := connectionOf(&reads, nil).Count(t.Context(), c.max)
			if (c.code == "") != (err == nil) || c.code != "" && !problem.Is(err, c.code) {
				t.Errorf("%s: max %d gives %v", c.reason, c.max, err)
			}
		})
	}
}
