package document

// The texts of automatic persisted queries in Redis: a text sent to one replica is known to
// all. A client sends a lost text again, so nothing waits long for Redis, and no request fails
// with it.

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"stoa/rate"
	"stoa/store/bus"
)

const (
	// sharedFor is how long a text stays in Redis after a replica has last looked for it
	// there. A replica that has it asks no more, so this is about a day of use.
	sharedFor = 24 * time.Hour

	// sharedPatience is how long one question to Redis may take: about as long as a client would
	// take to send the text again.
	sharedPatience = 250 * time.Millisecond
)

// sharedBudget bounds the writes of one replica, in KiB: 8 MiB at once, more than all
// documents of a large front end, and then 2 KiB a second. So a client with made-up documents
// can fill Redis with no more than 180 MB a replica before they expire.
var sharedBudget = rate.Limit{Burst: 8 << 10, Per: 500 * time.Millisecond}

// sharedTexts reads and writes the texts in Redis. Without a connection it is empty.
type sharedTexts struct {
	redis  *bus.Connection
	prefix string
	budget *rate.Limiter
	log    *slog.Logger

	began   time.Time
	breaker bus.Breaker // on the clock since began
}

func newSharedTexts(connection *bus.Connection, namespace string, log *slog.Logger) *sharedTexts {
	return &sharedTexts{
		redis: connection, prefix: "stoa:" + namespace + ":operation:", log: log,
		budget: rate.New(nil, "", log), began: time.Now(),
	}
}

// get returns the text with this hash, for its caller to check, and lets it stay for longer.
func (s *sharedTexts) get(ctx context.Context, hash string) (text string, ok bool) {
	var found *redis.StringCmd
	reached := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.redis.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
			found = p.Get(ctx, s.prefix+hash)
			p.Expire(ctx, s.prefix+hash, sharedFor)
			return nil
		})
		return err
	})
	if !reached || found.Err() != nil {
		return "", false
	}
	return found.Val(), true
}

// put shares a text, within the budget.
func (s *sharedTexts) put(ctx context.Context, hash, text string) {
	if s.redis == nil {
		return
	}
	// A text of permitted size fits into the budget; an error is that of an ended request.
	if wait, err := s.budget.Take(ctx, "texts", sharedBudget, 1+len(text)>>10); wait > 0 || err != nil {
		return
	}
	s.ask(ctx, func(ctx context.Context) error {
		return s.redis.Client.Set(ctx, s.prefix+hash, text, sharedFor).Err()
	})
}

// ask calls command unless Redis is away, and says whether it was reached. After an outage
// one request tries it again, the others go on without.
func (s *sharedTexts) ask(parent context.Context, command func(context.Context) error) (reached bool) {
	if s.redis == nil {
		return false
	}
	allowed, trial := s.breaker.Allow(time.Since(s.began))
	if !allowed {
		return false
	}
	ctx, cancel := context.WithTimeout(parent, sharedPatience)
	defer cancel()
	err := command(ctx)
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		if s.breaker.Succeeded(trial) {
			s.log.Info("persisted queries are shared by Redis again")
		}
		return true
	case parent.Err() == nil && s.breaker.Failed(time.Since(s.began)):
		s.log.Info("persisted queries are kept in this process alone: Redis doesn't answer", "error", err)
	}
	return false
}
