// Package background repeats work that no request waits for: work that a request leaves behind,
// and searches for work that other processes left undone.
//
// It may import nothing of Stoa's. Entry points: New, Run, Quiesce.
package background

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Task is work that is repeated.
type Task struct {
	// Do does one round. After a round that failed the next one comes at its usual time.
	Do func(context.Context) error
	// Every is the time from the start of one round to the start of the next.
	Every time.Duration
	// Trouble is the text of the log line, beside the error, when rounds begin to fail.
	Trouble string

	// Sweep says that Do searches for leftovers of other processes. Requests leave no work for a
	// sweep, so Quiesce waits for the round under way and asks for no other.
	Sweep bool
	// Later postpones the first round by Every. Other tasks begin with a round.
	Later bool
}

// Group is tasks that run side by side.
type Group struct {
	tasks []Task
	asked []chan chan<- error // by task: requests for a round, and the channels for its error
	log   *slog.Logger
}

// New returns a group of tasks that log to log. If a task leaves work for another one, it comes
// before the other.
func New(log *slog.Logger, tasks ...Task) *Group {
	g := &Group{tasks: tasks, asked: make([]chan chan<- error, len(tasks)), log: log}
	for i := range tasks {
		g.asked[i] = make(chan chan<- error)
	}
	return g
}

// Run repeats every task until ctx ends.
func (g *Group) Run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range g.tasks {
		all.Go(func() { g.repeat(ctx, g.tasks[i], g.asked[i]) })
	}
	all.Wait()
}

// Quiesce returns when all work left before the call is done and no round is under way that began
// before it. It has each task do a round at once, one task after the other, sweeps excepted. The
// error names the failed rounds. If the group doesn't run, Quiesce blocks until ctx ends.
func (g *Group) Quiesce(ctx context.Context) error {
	var errs []error
	for i := range g.tasks {
		done := make(chan error, 1)
		select {
		case g.asked[i] <- done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := <-done; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", g.tasks[i].Trouble, err))
		}
	}
	return errors.Join(errs...)
}

// repeat runs one task until ctx ends.
func (g *Group) repeat(ctx context.Context, t Task, asked <-chan chan<- error) {
	tick := time.NewTicker(t.Every)
	defer tick.Stop()
	well := true
	round := func() error {
		err := t.Do(ctx)
		if failed := err != nil && ctx.Err() == nil; failed == well {
			well = !failed
			if failed {
				g.log.Warn(t.Trouble, "error", err)
			}
		}
		return err
	}
	if !t.Later {
		_ = round()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = round()
		case done := <-asked:
			if t.Sweep {
				done <- nil
			} else {
				done <- round()
			}
		}
	}
}
