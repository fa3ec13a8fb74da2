//go:build !linux

package contention

import "time"

// used is unknown on this system.
func used() (all, own time.Duration, ok bool) { return 0, 0, false }
