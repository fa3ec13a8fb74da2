package contention

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// used returns the time that all processes of the machine have used its processors, and the
// time of this process with its ended children.
func used() (all, own time.Duration, ok bool) {
	const jiffy = 10 * time.Millisecond // USER_HZ is 100 on every Linux that runs Go: see proc(5), /proc/stat
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	if n, err := fmt.Sscanf(string(line), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); n < 8 || err != nil {
		return 0, 0, false
	}
	for _, whose := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(whose, &u); err != nil {
			return 0, 0, false
		}
		own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return time.Duration(user+nice+system+irq+softirq+steal) * jiffy, own, true
}
