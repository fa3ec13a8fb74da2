package shop

// Tests of prior prices.

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoa/store"
)

// change is a price on a day.
type change struct {
	day   int
	minor int64
}

func day(n int) time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

// priced returns a price after changes; the first one is the price at the start.
func priced(changes ...change) *store.VariantPrice {
	p := &store.VariantPrice{}
	p.Minor = changes[0].minor
	for _, c := range changes[1:] {
		reprice(p, c.minor, day(c.day))
	}
	return p
}

func TestThePriorPriceIsTheLowestOfThirtyDays(t *testing.T) {
	cases := map[string]struct {
		reason  string
		changes []change
		want    int64 // 0 for none
	}{
		"First":   {"nothing was reduced", []change{{0, 100}}, 0},
		"Fall":    {"it was 100 before", []change{{0, 100}, {5, 80}}, 100},
		"Rise":    {"it is dearer", []change{{0, 100}, {5, 120}}, 0},
		"Back":    {"the reduction is over", []change{{0, 100}, {5, 80}, {9, 100}}, 0},
		"Trick":   {"80 was asked for within 30 days", []change{{0, 100}, {5, 80}, {9, 100}, {12, 90}}, 80},
		"Later":   {"80 was asked for more than 30 days ago", []change{{0, 100}, {5, 80}, {9, 100}, {60, 90}}, 100},
		"InForce": {"80 was in force when the 30 days began", []change{{0, 100}, {5, 80}, {60, 100}, {89, 90}}, 80},
		"Further": {"a reduction that goes on keeps its first prior price", []change{{0, 100}, {5, 80}, {10, 60}}, 100},
		"Partly":  {"it still costs less than before the reduction", []change{{0, 100}, {5, 60}, {10, 80}}, 100},
		"SameDay": {"a dear hour changes nothing", []change{{0, 50}, {5, 100}, {5, 49}}, 50},
		"Raised":  {"a rise just before a fall makes no other prior price", []change{{0, 100}, {5, 200}, {6, 150}}, 100},
	}
	for name, c := range cases {
		var got int64
		if r := priced(c.changes...).Reduction; r != nil {
			got = r.Prior
		}
		if got != c.want {
			t.Errorf("%s: the prior price is %d, not %d: %s", name, got, c.want, c.reason)
		}
	}
}

// A compare-at price above the price tells of a reduction, with the prior price of that moment.
func TestACompareAtPriceBeginsAReduction(t *testing.T) {
	p := priced(change{0, 100}, change{5, 120})
	announce(p, 150, day(8))
	if p.Reduction == nil || p.Reduction.Prior != 100 {
		t.Errorf("the reduction is %v", p.Reduction)
	}
	p = priced(change{0, 100})
	announce(p, 100, day(8))
	if p.Reduction != nil {
		t.Errorf("a compare-at price that isn't above the price is a reduction: %v", p.Reduction)
	}
}

// The history is as short as it may be, and knows the lowest price as a list of all changes does.
func TestAHistoryKnowsTheLowestPrice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []change{{0, rapid.Int64Range(1, 9).Draw(t, "price")}}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			all = append(all, change{all[len(all)-1].day + rapid.IntRange(0, 12).Draw(t, "days"), rapid.Int64Range(1, 9).Draw(t, "price")})
		}
		now := all[len(all)-1].day + rapid.IntRange(0, 40).Draw(t, "after")
		p := priced(all...)
		want := all[0].minor
		for i, c := range all {
			if until := i + 1; until == len(all) || all[until].day >= now-priorDays {
				want = c.minor
				for _, later := range all[i:] {
					want = min(want, later.minor)
				}
				break
			}
		}
		if got := lowestBefore(p, day(now)); got != want {
			t.Fatalf("the lowest of 30 days before day %d is %d, not %d: %v, %v", now, got, want, all, p.History)
		}
		if len(p.History) > priorDays+3 {
			t.Fatalf("the history has %d days", len(p.History))
		}
	})
}
