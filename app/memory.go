package app

// The memory limit of the process, taken from its container. Entry point: limitMemory.

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is the part of the container's memory that the heap may use. The rest is for
// memory that the collector doesn't count, such as files of the embedded database.
const memoryShare = 0.9

// limitMemory sets the Go memory limit from the container's, so that the gateway refuses
// requests before the system kills the process. A limit set by GOMEMLIMIT stays.
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

// containerMemory returns the container's memory limit in bytes; 0 without a limit or a
// container. It looks at the files of control groups, version 2 and then 1.
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
