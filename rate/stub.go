package rate

import (
	"context"
	"log/slog"
	"time"

	"stoa/store/bus"
)

type Limit struct {
	Burst int
	Per   time.Duration
}
type Charge struct {
	Key   string
	Limit Limit
	Cost  int
}
type Limiter struct{}

func New(redis *bus.Connection, site string, log *slog.Logger) *Limiter { return &Limiter{} }
func (l *Limiter) TakeAll(ctx context.Context, cs []Charge) (time.Duration, error) { return 0, nil }
func (l *Limiter) Reset(ctx context.Context, key string)                          {}
