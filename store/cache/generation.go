package cache

import (
	"context"
	"crypto/rand"
)

// generationFormat is the format of generations: one for all versions of the program, so that
// replicas of several name their lists by the same ones.
const generationFormat = 1

// generations returns the generation of each tag as Redis has it, and whether the tag is
// changing. A tag that has none gets one, under the same lease rule as everything else;
// "" means that there is none to be had now.
//
// They are asked of Redis each time that a list isn't in the process: a generation out of
// the process's memory would be one more thing to be stale.
func (c *Cache) generations(ctx context.Context, tags []string) (generations []string, blocked []bool, err error) {
	generations, blocked = make([]string, len(tags)), make([]bool, len(tags))
	found, run, err := c.tier2.acquire(ctx, generationFormat, tags)
	if err != nil {
		return nil, nil, err
	}
	var fillings []filling
	for i, h := range found {
		blocked[i] = h.blocked
		switch {
		case h.value != nil:
			generations[i] = string(h.value[1:])
		case h.lease != "":
			generations[i] = rand.Text()[:16]
			fillings = append(fillings, filling{tags[i], h.lease, append([]byte{isValue}, generations[i]...), jittered()})
		}
	}
	if len(fillings) > 0 {
		c.tier2.fill(ctx, run, generationFormat, fillings)
	}
	return generations, blocked, nil
}
