// Package loopback tells if a host is this machine, without asking a name server. It imports nothing of
// ours. Entry points: Is, HostOf.
package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// Is reports whether a host, without port and brackets, is always this machine: localhost and the names
// below it (RFC 6761, 6.3), and loopback addresses, also those of IPv4 in IPv6.
func Is(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// HostOf returns the host of a Host header, without its port and brackets.
func HostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
}
