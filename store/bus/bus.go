// Package bus tells every replica what has changed: in the process where there is one
// replica, over Redis where there are several. It knows nothing of what the keys mean.
//
// It may import id and problem, nothing else of ours. Entry points: Bus, Connect,
// OpenRedis, Process.
package bus

import (
	"context"
	"math"
)

// Bus carries drops to every replica.
type Bus interface {
	// Drop blocks keys in Redis and tells every replica to forget them; when it returns
	// nil, both are done. It says nothing to this replica, which knows.
	Drop(ctx context.Context, keys []string) error
	// FreshUntil is the moment, in Unix nanoseconds, up to which this replica can trust
	// that it has heard of every drop. It moves on while the bus is well.
	FreshUntil() int64
	// Close says good-bye to the other replicas and stops.
	Close()
}

// Process is the bus of a process that makes every write itself: nobody else is there to
// be told.
type Process struct{}

// Drop does nothing: the only replica there is made the change.
func (Process) Drop(context.Context, []string) error { return nil }

// FreshUntil is for ever.
func (Process) FreshUntil() int64 { return math.MaxInt64 }

// Close does nothing.
func (Process) Close() {}
