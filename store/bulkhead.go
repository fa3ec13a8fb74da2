package store

// Bulkheads: a process sends so many commands to the database at once, of each kind, and one client
// can't take them all. collection.go takes a slot for each command, Store.write one for a whole write.
// Entry points: newBulkheads, slots.acquire, slots.within.

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"stoa/access"
	"stoa/problem"
)

const (
	// keyedSlots, listSlots and writeSlots are how many commands of a kind run at once. Together they are
	// fewer than the connections that the driver opens by default, 100, so that commands wait here, in
	// turn, and not for a connection.
	keyedSlots = 40
	listSlots  = 24
	writeSlots = 24

	// parts is how many clients can have a full share of the slots of a kind.
	parts = 4

	// slotWait is the longest wait for a slot. It leaves most of a request's ten seconds, and of the five
	// of a load, to the command.
	slotWait = 2 * time.Second
)

// bulkheads are the slots of each kind of commands. A kind that is slow, or in great demand, leaves the
// slots of the others free.
type bulkheads struct {
	keyed  *slots // documents by their ids, slugs and other keys
	lists  *slots // lists, counts, and documents by conditions
	writes *slots
}

func newBulkheads() bulkheads {
	return bulkheads{newSlots(keyedSlots), newSlots(listSlots), newSlots(writeSlots)}
}

// slots are the slots of one kind. Clients that wait take turns, and the steps of one client are in the
// order of their arrival. While others wait, a client gets no slot beyond its share, even if one is
// free: the next client finds it free. The process's own work, which no client waits for, counts as one
// client.
//
// Work shared by several requests counts for the request that began it. slots is safe for concurrent use.
type slots struct {
	most, share int
	wait        time.Duration // the longest

	mu      sync.Mutex
	held    int
	waiting int
	clients map[string]*slotClient // those that hold a slot or wait for one
	turns   list.List              // of *slotClient: those that wait, the next one first
}

// slotClient is a client that holds slots or waits for some.
type slotClient struct {
	name    string
	held    int
	waiting list.List     // of chan struct{}, closed when its slot is there
	turn    *list.Element // in turns; nil unless the client waits
}

func newSlots(most int) *slots {
	return &slots{most: most, share: max(most/parts, 1), wait: slotWait, clients: map[string]*slotClient{}}
}

// slot is one slot held for a client. The zero slot is none.
type slot struct {
	of     *slots
	client *slotClient
}

type inStep struct{}

// acquire waits for a slot, to be released. Under the context of within it returns the zero slot at
// once, since the step has a slot. The error is problem.ErrOverloaded after the longest wait, or the
// cause of the end of ctx.
func (s *slots) acquire(ctx context.Context) (slot, error) {
	if ctx.Value(inStep{}) != nil {
		return slot{}, nil
	}
	c, place := s.enter(access.ClientKey(ctx))
	if place == nil {
		return slot{s, c}, nil
	}
	late := time.NewTimer(s.wait)
	defer late.Stop()
	err := error(problem.ErrOverloaded)
	select {
	case <-place.Value.(chan struct{}):
		return slot{s, c}, nil
	case <-late.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.withdraw(c, place)
	return slot{}, fmt.Errorf("wait for a slot at the database: %w", err)
}

// release gives a slot back.
func (h slot) release() {
	if h.of != nil {
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		h.of.leave(h.client)
	}
}

// within calls step with one slot for all its commands, of any kind: a step never waits for a slot while
// it holds one. A write may wait for another request's load. That waits for slots of other kinds, which
// are held for commands alone, and never for a slot of writes. So no steps wait for one another.
func (s *slots) within(ctx context.Context, step func(context.Context) error) error {
	held, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer held.release()
	return step(context.WithValue(ctx, inStep{}, true))
}

// enter gives a client a slot, or a place among those that wait.
func (s *slots) enter(client string) (c *slotClient, place *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.clients[client]
	if c == nil {
		c = &slotClient{name: client}
		s.clients[client] = c
	}
	if c.turn == nil && s.held < s.most && s.may(c) {
		s.held++
		c.held++
		return c, nil
	}
	if c.turn == nil {
		c.turn = s.turns.PushBack(c)
	}
	s.waiting++
	return c, c.waiting.PushBack(make(chan struct{}))
}

// withdraw takes back a place among those that wait, or the slot that came meanwhile.
func (s *slots) withdraw(c *slotClient, place *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-place.Value.(chan struct{}):
		s.leave(c)
	default:
		s.unqueue(c, place)
		s.give() // others may not wait any more
		s.forget(c)
	}
}

// may says whether a client may have one more slot. The caller holds mu.
func (s *slots) may(c *slotClient) bool {
	return c.held < s.share || s.waiting == c.waiting.Len() // nobody else waits
}

// leave takes a slot back from a client. The caller holds mu.
func (s *slots) leave(c *slotClient) {
	s.held--
	c.held--
	s.give()
	s.forget(c)
}

// give gives the free slots to those that wait. At most parts clients are passed over: no more of them
// can hold their share. The caller holds mu.
func (s *slots) give() {
	for at := s.turns.Front(); at != nil && s.held < s.most; {
		c := at.Value.(*slotClient)
		if !s.may(c) {
			at = at.Next()
			continue
		}
		s.held++
		c.held++
		first := c.waiting.Front()
		close(first.Value.(chan struct{}))
		s.unqueue(c, first)
		if c.turn != nil {
			s.turns.MoveToBack(c.turn)
		}
		at = s.turns.Front()
	}
}

// unqueue takes a place away from a client. The caller holds mu.
func (s *slots) unqueue(c *slotClient, place *list.Element) {
	s.waiting--
	c.waiting.Remove(place)
	if c.waiting.Len() == 0 {
		s.turns.Remove(c.turn)
		c.turn = nil
	}
}

// forget forgets a client that holds nothing and doesn't wait. The caller holds mu.
func (s *slots) forget(c *slotClient) {
	if c.held == 0 && c.turn == nil {
		delete(s.clients, c.name)
	}
}
