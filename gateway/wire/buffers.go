package wire

// Memory that is used again from request to request: buffers for bodies and responses, and the writers
// that compress.

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// maxRecycled is the greatest capacity of a buffer that is reused, so that one large body or
// response doesn't hold its memory for ever.
const maxRecycled = 256 << 10

// Buffers lends buffers. Its zero value is ready.
type Buffers struct{ pool sync.Pool }

// Get returns an empty buffer, to be put back when nothing refers to its bytes any more.
func (b *Buffers) Get() *bytes.Buffer {
	if buffer, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buffer
	}
	return new(bytes.Buffer)
}

func (b *Buffers) Put(buffer *bytes.Buffer) {
	if buffer.Cap() <= maxRecycled {
		buffer.Reset()
		b.pool.Put(buffer)
	}
}

// gzipLevel is the fastest: see BenchmarkCompress for the cost and savings of others.
const gzipLevel = gzip.BestSpeed

// compressors lends gzip writers: their tables are most of the memory that compressing a small response
// would allocate. Its zero value is ready.
type compressors struct{ pool sync.Pool }

// Compress writes the parts of a body to into as one gzip stream.
func (c *Codec) Compress(into *bytes.Buffer, parts ...[]byte) {
	writer, ok := c.compressors.pool.Get().(*gzip.Writer)
	if !ok {
		// The only error there is says that the level doesn't exist.
		writer, _ = gzip.NewWriterLevel(nil, gzipLevel)
	}
	defer c.compressors.pool.Put(writer)
	writer.Reset(into)
	// Writing to a buffer doesn't fail.
	for _, part := range parts {
		_, _ = writer.Write(part)
	}
	_ = writer.Close()
}
