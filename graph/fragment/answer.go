package fragment

// Marshalling answers and fragments within the bounds of their response. Entry points: Run.Marshal,
// Run.MarshalTo, buffer.

import (
	"bytes"

	"github.com/99designs/gqlgen/graphql"

	"stoa/meter"
)

// tellEvery is how many bytes are marshalled before the meter knows.
const tellEvery = 16 << 10

// Marshal returns the JSON of the data of a response, in a buffer as large as the last one with the same
// plan. Marshalling stops at the bounds of the response: the meter has the error then.
func (r *Run) Marshal(data graphql.Marshaler) *bytes.Buffer {
	var b buffer
	if r == nil {
		data.MarshalGQL(&b)
		return &b.Buffer
	}
	b.meter, b.told = r.meter, r.meter.HeldBytes()
	b.Grow(int(r.plan.size.Load()))
	b.marshal(data)
	r.plan.size.Store(int64(min(b.Len(), maxFragment)))
	return &b.Buffer
}

// MarshalTo marshals an event into an empty buffer.
func (r *Run) MarshalTo(to *bytes.Buffer, data graphql.Marshaler) {
	*to = *r.Marshal(data)
}

// buffer takes marshalled bytes, and tells a meter about them.
type buffer struct {
	bytes.Buffer
	meter *meter.Meter // may be nil
	told  int          // the meter knows of so many: of the fragments in it, at first
}

// stopped is the panic that ends marshalling, since gqlgen's marshalers know no errors.
type stopped struct{}

// marshal writes m, and reports if it is whole.
func (b *buffer) marshal(m graphql.Marshaler) (whole bool) {
	if b.meter.Err() != nil {
		return false
	}
	defer func() {
		switch cause := recover().(type) {
		case nil, stopped:
		default:
			panic(cause)
		}
	}()
	m.MarshalGQL(b)
	b.tell(b.Len())
	return true
}

// Write is io.Writer's.
func (b *buffer) Write(p []byte) (int, error) {
	b.reach(b.Len() + len(p))
	return b.Buffer.Write(p)
}

// WriteString is io.StringWriter's.
func (b *buffer) WriteString(s string) (int, error) {
	b.reach(b.Len() + len(s))
	return b.Buffer.WriteString(s)
}

// reach tells the meter before there are n bytes.
func (b *buffer) reach(n int) {
	if n-b.told >= tellEvery {
		b.tell(n)
	}
}

func (b *buffer) tell(n int) {
	b.meter.Held(n - b.told)
	b.told = n
	if b.meter.Err() != nil {
		panic(stopped{})
	}
}
