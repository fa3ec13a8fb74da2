package app

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare of a container's memory is what the process keeps to: the rest is for what the
// collector doesn't count, such as the files of the embedded database.
const memoryShare = 0.9

// limitMemory has the collector keep the process within the memory of its container, so that
// the gateway can turn requests away before the system ends the process. A limit that was
// given, by GOMEMLIMIT, stays.
func limitMemory(log *slog.Logger) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	if given := containerMemory(os.ReadFile); given > 0 {
		limit := int64(memoryShare * float64(given))
		debug.SetMemoryLimit(limit)
		log.Info("the memory is limited by the container; GOMEMLIMIT sets another limit", "MiB", limit>>20)
	}
}

// containerMemory is how much memory the container may use, in bytes; 0 where there is no limit
// or no container. It is told at one of two places, by control groups of version 2 or 1.
func containerMemory(read func(string) ([]byte, error)) int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n <= 0 || n > 1<<50 { // "max", or version 1's number for it
			return 0
		}
		return n
	}
	return 0
}
