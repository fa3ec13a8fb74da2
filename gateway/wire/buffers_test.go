package wire

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkCompress measures the time and the savings of gzip's levels on a response like an
// article page.
func BenchmarkCompress(b *testing.B) {
	var answer bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&answer, `{"id":"art_%026d","title":"On folding, part %d","excerpt":"%x the sheet is folded %d times, and then again"},`, i*7919, i, i*104729, i%7)
	}
	for _, level := range []int{gzip.BestSpeed, 3, 5, gzip.BestCompression} {
		b.Run(fmt.Sprintf("Level%d", level), func(b *testing.B) {
			writer, err := gzip.NewWriterLevel(nil, level)
			if err != nil {
				b.Fatal(err)
			}
			var out bytes.Buffer
			b.SetBytes(int64(answer.Len()))
			for b.Loop() {
				out.Reset()
				writer.Reset(&out)
				_, _ = writer.Write(answer.Bytes())
				_ = writer.Close()
			}
			b.ReportMetric(float64(answer.Len())/float64(out.Len()), "times-smaller")
		})
	}
}
