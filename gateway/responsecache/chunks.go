package responsecache

// Chunks: how the bytes of an entry lie in memory, with little room unused (chunksOf).

import (
	"io"
	"slices"
	"sync"
)

// chunks are the bytes of an entry, in as many parts as leave little room unused. Go's allocator
// rounds up, to one of some 60 sizes up to 32 KiB and to whole pages of 8 KiB above
// (runtime/sizeclasses.go); so all chunks but the first have just those sizes. The smallest come
// first and go out together with the headers: several take no more system calls than one.
type chunks [][]byte

// fits is how much more room than they need bytes may take before they are split.
const fits = 64

const (
	maxClass = 32 << 10 // the largest size that has a class
	page     = 8 << 10
)

// classes are the sizes up to maxClass that the allocator has, in their order.
var classes = sync.OnceValue(func() (all []int) {
	some := make([]byte, maxClass)
	for n := 1; n <= maxClass; {
		room := cap(append([]byte(nil), some[:n]...))
		all = append(all, room)
		n = room + 1
	}
	return all
})

// around returns the largest size that the allocator has and n bytes fill, and the smallest
// that n bytes fit into.
func around(n int) (below, above int) {
	if n > maxClass {
		below = n / page * page
		return below, (n + page - 1) / page * page
	}
	i, exact := slices.BinarySearch(classes(), n)
	if exact || i == 0 {
		return n, classes()[i]
	}
	return classes()[i-1], classes()[i]
}

// chunksOf copies b, and says how much room the copy takes.
func chunksOf(b []byte) (p chunks, room int) {
	for {
		size, above := around(len(b))
		last := above-len(b) <= fits
		if last {
			size = len(b)
			room += above
		} else {
			room += size
		}
		p = append(p, slices.Clip(append([]byte(nil), b[len(b)-size:]...)))
		if b = b[:len(b)-size]; last {
			slices.Reverse(p)
			return slices.Clip(p), room + 24*len(p)
		}
	}
}

func (p chunks) len() (n int) {
	for _, b := range p {
		n += len(b)
	}
	return n
}

// to writes p. An error in writing means that the client has gone.
func (p chunks) to(w io.Writer) {
	for _, b := range p {
		_, _ = w.Write(b)
	}
}
