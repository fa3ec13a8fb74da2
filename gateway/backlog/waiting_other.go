//go:build !linux

package backlog

import "syscall"

// waiting isn't known outside Linux: nothing waits. Production runs on Linux.
func waiting(syscall.RawConn) int64 { return 0 }

func limitSilence(syscall.RawConn) {}
