package cache

// The Redis server that the tests of this package share.

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"stoa/tests/redistest"
)

// shared is a Redis for all tests that don't harm it; each test uses a site of its own there. A
// server that has just been started isn't used for three seconds (bus.Run.Usable).
var shared *redistest.Server

// TestMain also checks that closed caches, connections and servers leave nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(withRedis{m}) }

type withRedis struct{ m *testing.M }

func (w withRedis) Run() int {
	var err error
	if shared, err = redistest.Open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	fmt.Println("Redis is", shared.Kind())
	// They wait more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return w.m.Run()
}
