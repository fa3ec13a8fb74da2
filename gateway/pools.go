package gateway

// What is used again from request to request: the buffers that bodies and answers lie in,
// and the writers that compress.

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// maxRecycled is the capacity above which a buffer is left to the collector, so that one
// large body or answer doesn't hold its memory for ever.
const maxRecycled = 256 << 10

// buffers lends buffers. Its zero value is ready.
type buffers struct{ pool sync.Pool }

// get returns an empty buffer, to be put back when nothing refers to its bytes any more.
func (b *buffers) get() *bytes.Buffer {
	if buffer, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buffer
	}
	return new(bytes.Buffer)
}

func (b *buffers) put(buffer *bytes.Buffer) {
	if buffer.Cap() <= maxRecycled {
		buffer.Reset()
		b.pool.Put(buffer)
	}
}

// gzipLevel is the fastest: see BenchmarkCompress for what others would cost and save.
const gzipLevel = gzip.BestSpeed

// compressors lends gzip writers, whose tables are most of what compressing a small answer
// would allocate. Its zero value is ready.
type compressors struct{ pool sync.Pool }

func (c *compressors) compress(into *bytes.Buffer, body pieces) {
	writer, ok := c.pool.Get().(*gzip.Writer)
	if !ok {
		// The only error there is says that the level doesn't exist.
		writer, _ = gzip.NewWriterLevel(nil, gzipLevel)
	}
	defer c.pool.Put(writer)
	writer.Reset(into)
	// Writing to a buffer doesn't fail.
	body.to(writer)
	_ = writer.Close()
}
