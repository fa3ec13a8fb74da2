package cache

// Generations: the random numbers of tags in Redis that make up the names of lists. Entry point:
// Cache.generations.

import (
	"context"
	"crypto/rand"
)

// generationFormat is the format of generations, the same in all versions of the program, so that
// replicas of several versions name their lists alike.
const generationFormat = 1

// generations returns the generation of each tag in Redis, and whether the tag is changing. A tag
// without a generation gets one, under the same lease rule as entries; "" means that none is
// available now.
//
// Redis is asked each time that a list isn't in the process: a generation in the process's memory
// would be one more thing to become stale.
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
