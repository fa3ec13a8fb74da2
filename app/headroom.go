package app

import (
	"os"
	"runtime"
)

// headroom is how much the heap may grow, in bytes, before the collector comes again, on top
// of what lives. A small site lives in 20 MB; by Go's default the collector would come after
// each 20 MB more, which busy replicas fill 20 times a second, and would take a sixth of
// their time. Whoever sets GOGC or GOMEMLIMIT decides instead.
const headroom = 64 << 20

// reserve returns what makes the collector leave the headroom while it is held: an
// allocation that nobody touches counts as living but takes no memory.
func reserve() []byte {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, ok := os.LookupEnv(name); ok {
			return nil
		}
	}
	return make([]byte, headroom)
}

// release holds on to what reserve returned until it is called.
func release(reserved []byte) { runtime.KeepAlive(&reserved) }
