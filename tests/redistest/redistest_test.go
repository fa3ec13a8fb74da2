package redistest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/tests/redistest"
)

func runID(t *testing.T, c *redis.Client) string {
	t.Helper()
	info, err := c.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// kinds runs test with the default server of this machine, and with the embedded one.
func kinds(t *testing.T, test func(*testing.T)) {
	t.Run("OnThePath", test)
	t.Run("Embedded", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		test(t)
	})
}

func TestRestartIsAnotherRun(t *testing.T) {
	kinds(t, func(t *testing.T) {
		s := redistest.Start(t)
		c := s.Client(t)
		ctx := t.Context()
		first := runID(t, c)
		if err := c.Set(ctx, "key", "value", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		s.Restart(t, true)
		if got, err := c.Get(ctx, "key").Result(); got != "value" {
			t.Errorf("after a restart with data: %q, %v", got, err)
		}
		second := runID(t, c)
		s.Restart(t, false)
		if got, err := c.Get(ctx, "key").Result(); err != redis.Nil {
			t.Errorf("after a restart without data: %q, %v", got, err)
		}
		if third := runID(t, c); first == second || second == third {
			t.Errorf("run_id %s, %s, %s: a restart must change it", first, second, third)
		}
	})
}

func TestPauseHoldsAnswersBack(t *testing.T) {
	kinds(t, func(t *testing.T) {
		s := redistest.Start(t)
		c := s.Client(t)
		s.Pause(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := c.Do(ctx, "GET", "key").Err(); err == nil {
			t.Error("a paused server answered")
		}
		s.Resume(t)
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Errorf("after Resume: %v", err)
		}
	})
}

func TestKeysExpire(t *testing.T) {
	kinds(t, func(t *testing.T) {
		s := redistest.Start(t)
		c := s.Client(t)
		if err := c.Set(t.Context(), "key", "value", 50*time.Millisecond).Err(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for c.Get(t.Context(), "key").Err() != redis.Nil {
			if time.Now().After(deadline) {
				t.Fatal("a key with a lifetime of 50 ms is still there")
			}
		}
	})
}

func TestProxyPartsAndMends(t *testing.T) {
	kinds(t, func(t *testing.T) {
		p := redistest.Between(t, redistest.Start(t))
		o, err := redis.ParseURL(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		o.MaxRetries, o.ContextTimeoutEnabled = -1, true
		c := redis.NewClient(o)
		defer c.Close()
		for i, want := range []bool{true, false, true} {
			if i == 1 {
				p.Cut()
			} else {
				p.Mend()
			}
			if err := c.Ping(t.Context()).Err(); (err == nil) != want {
				t.Errorf("step %d: %v", i, err)
			}
		}
	})
}
