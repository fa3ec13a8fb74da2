// Package bus tells every replica about changes: within the process if it is the only replica, over
// Redis otherwise. It doesn't interpret keys.
//
// It may import id and problem, nothing else of ours. Entry points: Bus, Connect, OpenRedis,
// Process.
package bus

import (
	"context"
	"math"
)

// Bus carries drops to every replica.
type Bus interface {
	// Drop blocks keys in Redis and tells the other replicas to forget them; when it returns nil,
	// both are done. The caller itself forgets the keys of this replica.
	Drop(ctx context.Context, keys []string) error
	// FreshUntil is the moment, in Unix nanoseconds, up to which this replica has certainly heard
	// every drop. It advances while the bus works.
	FreshUntil() int64
	// Close says good-bye to the other replicas and stops.
	Close()
}

// Process is the bus of a process that makes every write itself: there is nobody else to tell.
type Process struct{}

// Drop does nothing: the only replica made the change.
func (Process) Drop(context.Context, []string) error { return nil }

// FreshUntil is for ever.
func (Process) FreshUntil() int64 { return math.MaxInt64 }

// Close does nothing.
func (Process) Close() {}
