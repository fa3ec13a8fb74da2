package gateway

// The limits of the gateway: their defaults and their validation.

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"stoa/gateway/admission"
	"stoa/gateway/backlog"
	"stoa/gateway/document"
	"stoa/gateway/stream"
	"stoa/rate"
)

// Limits bound one request, one client, and all of them together. 0 is the default of
// each. Cost, Answer and File are for a site to set; the others are the same everywhere but in tests.
type Limits struct {
	// Cost is the most that one operation may cost, in units of about one object in its response. 0 is
	// 20,000. Raising it raises the memory that one request can take, by some 500 bytes a unit.
	Cost int

	// Answer is the size of the data of one response, in bytes. 0 is 8 MiB. What is larger is refused
	// before it is whole. Raising it raises the memory that one request can take, by four times as much.
	Answer int64

	// File is the size of one file in a multipart request, in bytes. 0 is 20 MiB. A request may
	// have ten files, of twice as much in all.
	File int64

	// body is the size of a request's body, in bytes: room for an article's text in a mutation
	// (real ones reach 66 KB). Reading and executing a body takes at most 10 MB (TestAttacks).
	body int64

	// timeout is how long one request may take from its first byte to its response, the body of a
	// slow sender included.
	timeout time.Duration

	// upload is how long a multipart request may take to arrive: 20 MiB at 1.5 Mbit/s, a phone on
	// a bad day.
	upload time.Duration

	// document bounds a document's size and shape. Its Cost is the one above.
	document document.Limits

	// load bounds the requests at once.
	load admission.Limits

	// stream bounds WebSockets and event streams.
	stream stream.Limits

	// backlog bounds the bytes that clients haven't taken yet.
	backlog backlog.Limits
}

// withDefaults returns l with the default of each limit that is 0.
func (l Limits) withDefaults() Limits {
	l.document.Cost = cmp.Or(l.Cost, l.document.Cost)
	l.document = l.document.WithDefaults()
	l.Cost = l.document.Cost
	l.Answer = cmp.Or(l.Answer, 8<<20)
	l.File = cmp.Or(l.File, 20<<20)
	l.body = cmp.Or(l.body, 1<<20)
	l.timeout = cmp.Or(l.timeout, 10*time.Second)
	l.upload = cmp.Or(l.upload, 2*time.Minute)
	l.load = l.load.WithDefaults()
	l.stream = l.stream.WithDefaults()
	l.backlog = l.backlog.WithDefaults(debug.SetMemoryLimit(-1))
	return l
}

// validate returns an error for a limit that can't be one. rates may be nil.
func (l Limits) validate(rates *rate.Leases) error {
	if l.Answer < 0 || l.File < 0 || l.body < 0 || l.timeout < 0 || l.upload < 0 {
		return errors.New("a limit is negative; 0 is its default")
	}
	if err := errors.Join(l.document.Validate(), l.load.Validate(), l.stream.Validate(), l.backlog.Validate()); err != nil {
		return err
	}
	if rates != nil && rates.Limit().Burst < l.Cost {
		return fmt.Errorf("what an operation may cost (%d) is more than may be used at once (%d)", l.Cost, rates.Limit().Burst)
	}
	return nil
}
