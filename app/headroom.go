package app

// Room for the garbage collector, so that it runs less often in a small heap. Entry points:
// reserve, release.

import (
	"os"
	"runtime"
)

// headroom is the size of the allocation of reserve, in bytes: the heap grows by at least as
// much between two collections. The live heap of a small site is 20 MB, and by Go's default the
// collector would run after each 20 MB more. A busy replica allocates that 20 times a second
// and would spend a sixth of its time on it.
const headroom = 64 << 20

// reserve allocates the headroom, unless GOGC or GOMEMLIMIT is set. Memory that is never touched
// counts as live to the collector, but the system gives it no pages.
func reserve() []byte {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, ok := os.LookupEnv(name); ok {
			return nil
		}
	}
	return make([]byte, headroom)
}

// release keeps the allocation of reserve alive until it is called.
func release(reserved []byte) { runtime.KeepAlive(&reserved) }
