// Package meter counts the work of one response while it is made, in the units of its cost, with
// the bytes of its answer and the memory that it takes. A Meter asks its owner before the work
// passes what was granted, and stops the response if the owner refuses.
//
// The gateway makes a Meter for each response and finds it in the context by Key. Packages report
// their work to it: graph/fragment fields and bytes, store commands and documents, blog texts that it
// renders. It may import none of our packages. Entry points: From, Meter.Bound, Meter.Units.
package meter

import (
	"context"
	"sync"
	"sync/atomic"
)

// The prices of work, in thousandths of a unit. A unit is 5 µs of a processor: TestUnitsBoundWork in
// tests/guard holds operations of all kinds against that, and prints what they take.
const (
	unit = 1000

	perTop      = 3000   // a field of Query: a goroutine, its arguments, a look into the caches
	perError    = 5000   // in the answer: presented with its path and places
	perObject   = 400    // its list of fields, and its buffer of values
	perField    = 60     // of an object: its function is called, and its value marshalled
	perByte     = 2      // of an answer: marshalled, checked, compressed and written
	perRendered = 25     // a byte of Markdown or of its HTML: 66 KB take 17 ms (BenchmarkRender)
	workPerUnit = 5      // units of the work that package markdown counts: nanoseconds, about
	perCounted  = 50     // a key of an index that is counted
	perHashed   = 100    // a KiB of memory that a password's hash passes over: 38,912 take 18 ms
	perCommand  = 15_000 // to the embedded database, and its answer
	perDocument = 3000   // read: decoded twice, and cached
	bytesFree   = 500    // of a document, before its bytes count
)

// The memory of work, in bytes.
const (
	// memoryOfField is a value that waits for its object to be marshalled, with its share of the
	// object.
	memoryOfField = 150

	// memoryOfByte is for each byte of an answer: the buffer grows by doubling, and there is a copy
	// for writing.
	memoryOfByte = 4
)

// Work is an amount of work.
type Work struct {
	Units  int64 // of cost
	Answer int64 // bytes of the answer that are in memory
	Memory int64 // bytes, estimated
}

// Meter counts the work of one response. The zero Meter counts and grants everything; a nil one
// counts nothing. It is safe for concurrent use.
type Meter struct {
	spent, answer, memory atomic.Int64 // of the response so far; spent is in thousandths of a unit

	bounded bool
	granted [3]atomic.Int64 // spent, answer and memory that need no question
	more    func(Work) (Work, error)
	mu      sync.Mutex // held while more is called
	stopped atomic.Pointer[error]
}

// Key is the key of a Meter in a context.
type Key struct{}

// From returns the meter of the response that ctx belongs to; nil without one.
func From(ctx context.Context) *Meter {
	m, _ := ctx.Value(Key{}).(*Meter)
	return m
}

// Uncounted returns a context for work that isn't counted, so that the units of a response don't tell
// the result of a look-up. The caller counts what the work takes at most.
func Uncounted(ctx context.Context) context.Context {
	return context.WithValue(ctx, Key{}, (*Meter)(nil))
}

// Bound sets the work that is granted, and more, called with the work so far when it is more than that.
// more returns what it grants now, or the error that stops the response. Bound is called before the
// work.
func (m *Meter) Bound(granted Work, more func(Work) (Work, error)) {
	m.grant(granted)
	m.more, m.bounded = more, true
}

func (m *Meter) grant(w Work) {
	m.granted[0].Store(w.Units * unit)
	m.granted[1].Store(w.Answer)
	m.granted[2].Store(w.Memory)
}

// Units returns the units so far, rounded up.
func (m *Meter) Units() int64 { return (m.spent.Load() + unit - 1) / unit }

// HeldBytes returns the bytes of the answer that are in memory.
func (m *Meter) HeldBytes() int {
	if m == nil {
		return 0
	}
	return int(m.answer.Load())
}

// Memory returns the bytes of memory so far.
func (m *Meter) Memory() int64 { return m.memory.Load() }

// Err returns the error that has stopped the response; nil if it may go on. The rest of its work ends
// soon after.
func (m *Meter) Err() error {
	if m == nil {
		return nil
	}
	if err := m.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// Top counts a field of Query that is about to be executed.
func (m *Meter) Top() { m.add(perTop, 0, 0) }

// Error counts an error in the answer.
func (m *Meter) Error() { m.add(perError, 0, 0) }

// Object counts an object with n fields that is about to be executed.
func (m *Meter) Object(n int) { m.add(perObject+int64(n)*perField, 0, int64(n)*memoryOfField) }

// Held counts n bytes of the answer that are in memory until it is written; fewer if n is negative.
func (m *Meter) Held(n int) { m.add(int64(max(n, 0))/4, int64(n), int64(n)*memoryOfByte) }

// Answered counts an answer of n bytes that is about to be written.
func (m *Meter) Answered(n int) { m.add(int64(n)*perByte, 0, 0) }

// Rendered counts a text that was rendered: the bytes of its Markdown and of its HTML, and the work of
// parsing it as package markdown counts it.
func (m *Meter) Rendered(markdown, html, work int) {
	m.add(int64(markdown+html)*perRendered+int64(work)/workPerUnit, 0, 0)
}

// Counted counts keys of an index that the database has counted.
func (m *Meter) Counted(n int64) { m.add(n*perCounted, 0, 0) }

// Command counts a command to the database with its answer: so many documents, or keys of an index
// that were counted, of so many bytes.
func (m *Meter) Command(documents, bytes int) {
	m.add(perCommand+int64(documents)*perDocument+max(int64(bytes-documents*bytesFree), 0)*perByte, 0, 0)
}

// Hashed counts the hash of a password: the KiB of memory that it passes over, in all passes.
func (m *Meter) Hashed(kib int64) { m.add(kib*perHashed, 0, 0) }

func (m *Meter) add(spent, answer, memory int64) {
	if m == nil {
		return
	}
	spent, answer, memory = m.spent.Add(spent), m.answer.Add(answer), m.memory.Add(memory)
	if m.bounded && (spent > m.granted[0].Load() || answer > m.granted[1].Load() || memory > m.granted[2].Load()) {
		m.ask()
	}
}

func (m *Meter) ask() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Err() != nil {
		return
	}
	so := Work{Units: m.Units(), Answer: m.answer.Load(), Memory: m.memory.Load()}
	granted, err := m.more(so)
	if err != nil {
		m.stopped.Store(&err)
		return
	}
	m.grant(granted)
}
