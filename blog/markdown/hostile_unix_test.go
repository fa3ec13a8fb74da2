//go:build unix

package markdown

import (
	"syscall"
	"testing"
	"time"
)

// TestHostileTextsEndSoon only checks that no text takes much more than the second of processor
// time that the costliest may take; BenchmarkHostile measures it. Without the guards several of
// these take many seconds, and two take all memory. Processor time depends less than the clock on
// the other work of the machine.
func TestHostileTextsEndSoon(t *testing.T) {
	const size, limit = MaxSource / 16, 3 * time.Second
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			source := text(size)
			start := processorTime(t)
			r, err := Render(source)
			if took := processorTime(t) - start; took > limit {
				t.Errorf("%d bytes took %v, more than %v", len(source), took, limit)
			}
			if err == nil && len(r.HTML) > MaxHTML {
				t.Errorf("%d bytes became %d bytes of HTML", len(source), len(r.HTML))
			}
		})
	}
}

func processorTime(t *testing.T) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
