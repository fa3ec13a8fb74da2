package bus

import (
	"testing"
	"time"
)

// Of the callers after a failure's second, one tries Redis, and only its success counts.
func TestABreakerLetsOneCallerTry(t *testing.T) {
	t.Parallel()
	var b Breaker
	now := time.Minute
	if ok, trial := b.Allow(now); !ok || trial != 0 {
		t.Errorf("closed: %t, trial %v", ok, trial)
	}
	if !b.Failed(now) || b.Failed(now) || !b.Open() {
		t.Error("not exactly the first failure opens it")
	}
	if ok, _ := b.Allow(now + Rest - 1); ok {
		t.Error("a call is allowed within the second")
	}
	if b.Succeeded(0) || !b.Open() {
		t.Error("a call from before the failure closes it")
	}
	now += Rest
	ok, trial := b.Allow(now)
	if other, _ := b.Allow(now); !ok || other {
		t.Error("not exactly one of two callers tries again")
	}
	if again, _ := b.Allow(now + Rest); !again {
		t.Error("a trial without an end forbids the next")
	}
	if b.Succeeded(trial) {
		t.Error("a trial that another has replaced closes it")
	}
	if _, trial = b.Allow(now + 2*Rest); !b.Succeeded(trial) || b.Open() {
		t.Error("a trial's success doesn't close it")
	}
}
