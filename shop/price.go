package shop

// The history of a variant's price, and the prior price of a reduction. Entry point: reprice.

import (
	"slices"
	"time"

	"stoa/store"
)

const (
	// priorDays is the time before a reduction whose lowest price must be told with it, by Article 6a
	// of Directive 98/6/EC of the European Union (https://eur-lex.europa.eu/eli/dir/1998/6).
	priorDays = 30
	dayForm   = time.DateOnly
)

// reprice sets the price of a variant at a time, keeps what it was, and finds the prior price. A
// fall begins a reduction, unless one goes on: then the prior price stays that of the first fall. A
// price as high as before the reduction ends it. The prior price may be lower than the price: after
// 100, 80, 100, a price of 90 is a reduction with the prior price 80.
func reprice(p *store.VariantPrice, minor int64, at time.Time) {
	old := p.Minor
	if minor == old {
		return
	}
	lowest := lowestBefore(p, at)
	p.History = record(p.History, old, minor, at)
	p.Minor = minor
	switch {
	case p.Reduction != nil && minor >= p.Reduction.From:
		p.Reduction = nil
	case p.Reduction == nil && minor < old:
		p.Reduction = &store.Reduction{From: old, Prior: lowest}
	}
}

// announce sets a compare-at price at a time. One above the price tells of a reduction, and begins one
// unless one goes on.
func announce(p *store.VariantPrice, compareAt int64, at time.Time) {
	p.CompareAt = &compareAt
	if compareAt > p.Minor && p.Reduction == nil {
		p.Reduction = &store.Reduction{From: compareAt, Prior: lowestBefore(p, at)}
	}
}

// lowestBefore returns the lowest price in the priorDays before a time, the present one included.
func lowestBefore(p *store.VariantPrice, at time.Time) int64 {
	from, lowest := at.AddDate(0, 0, -priorDays).UTC().Format(dayForm), p.Minor
	for i, day := range p.History {
		switch {
		case day.Day >= from:
			lowest = min(lowest, day.Lowest)
		case i == len(p.History)-1 || p.History[i+1].Day >= from: // in force when the time began
			lowest = min(lowest, day.Last)
		}
	}
	return lowest
}

// record adds a change of price to a history, the lowest and the last price of each day. It drops
// the days before the priorDays, except the last of them: its last price is in force when they begin.
func record(history []store.DayPrice, old, minor int64, at time.Time) []store.DayPrice {
	today, from := at.UTC().Format(dayForm), at.AddDate(0, 0, -priorDays-1).UTC().Format(dayForm)
	out := slices.Clone(history)
	if n := len(out); n == 0 || out[n-1].Day != today {
		out = append(out, store.DayPrice{Day: today, Lowest: old})
	}
	last := &out[len(out)-1]
	last.Lowest, last.Last = min(last.Lowest, minor), minor
	for len(out) > 1 && out[1].Day < from {
		out = out[1:]
	}
	return out
}
