package backlog

// What only Linux tells of a connection. Entry points: waiting, limitSilence.

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// silence is how long a peer may leave bytes unacknowledged, or its window closed, before the kernel
// drops the connection: wire.WriteTime, also for connections that were closed.
const silence = 60_000 // milliseconds

// waiting returns how many bytes of a connection the peer hasn't acknowledged; 0 for one that is closed.
func waiting(raw syscall.RawConn) (bytes int64) {
	_ = raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			bytes = int64(n)
		}
	})
	return bytes
}

// limitSilence has the kernel drop a connection after silence of its peer.
func limitSilence(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, silence) })
}
