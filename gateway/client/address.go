package client

// The address of a request's client: the peer of its connection, or the address forwarded by a
// trusted proxy.

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// addressOf returns the address of r's client; the zero Addr if it is unknown. Only our own
// proxies are trusted: X-Forwarded-For is read from its end, written by the nearest proxy, up
// to the first address that isn't a proxy's. Anybody may have written the rest.
func addressOf(r *http.Request, proxies []netip.Prefix) netip.Addr {
	address, _ := parseHop(r.RemoteAddr)
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			if !within(proxies, address) {
				return address
			}
			var hop string
			comma := strings.LastIndexByte(rest, ',')
			hop, rest, more = rest[comma+1:], rest[:max(comma, 0)], comma >= 0
			next, ok := parseHop(strings.Trim(hop, " \t"))
			if !ok {
				return address
			}
			address = next
		}
	}
	return address
}

// parseHop reads an address, with a port or without one. It drops the zone, since a zone has a
// meaning on one machine only, and unmaps IPv4 in IPv6.
func parseHop(s string) (netip.Addr, bool) {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	address, err := netip.ParseAddr(s)
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		address = withPort.Addr()
	}
	return address.WithZone("").Unmap(), true
}

// IsProxy says if an address is that of a trusted proxy.
func (c *Clients) IsProxy(a netip.Addr) bool { return within(c.proxies, a) }

func within(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// checkProxies returns prefixes as addressOf compares them, or an error that names the wrong one.
func checkProxies(given []netip.Prefix) ([]netip.Prefix, error) {
	proxies := make([]netip.Prefix, 0, len(given))
	for _, p := range given {
		if !p.IsValid() {
			return nil, fmt.Errorf("gateway: Proxies: %s is no range of addresses such as 10.0.0.0/8", p)
		}
		if a := p.Addr(); a.Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("gateway: Proxies: %s holds more than IPv4: write it as an IPv4 range", p)
			}
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		proxies = append(proxies, p.Masked())
	}
	return proxies, nil
}
