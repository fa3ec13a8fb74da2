package client

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestAddressOf(t *testing.T) {
	ours := ranges("10.0.0.0/8", "fd00::/8")
	cases := map[string]struct {
		reason    string
		remote    string
		forwarded []string
		proxies   []netip.Prefix
		want      string
	}{
		"Direct":          {"the peer is who asks", "192.0.2.1:1234", nil, ours, "192.0.2.1"},
		"NoProxies":       {"nobody's header is believed", "192.0.2.1:1234", []string{"198.51.100.7"}, nil, "192.0.2.1"},
		"NotAProxy":       {"a client writes the header itself", "192.0.2.1:1234", []string{"198.51.100.7"}, ours, "192.0.2.1"},
		"OneProxy":        {"our proxy says for whom", "10.0.0.1:1", []string{"198.51.100.7"}, ours, "198.51.100.7"},
		"TwoProxies":      {"proxies of ours are passed over", "10.0.0.1:1", []string{"198.51.100.7, 10.0.0.2"}, ours, "198.51.100.7"},
		"Forged":          {"what the client wrote lies before what our proxy wrote", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.7, 10.0.0.2"}, ours, "198.51.100.7"},
		"ForgedOurs":      {"a client that claims to be a proxy of ours isn't looked behind", "10.0.0.1:1", []string{"10.9.9.9, 198.51.100.7"}, ours, "198.51.100.7"},
		"Lines":           {"several headers are one list", "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.7", "10.0.0.2,10.0.0.3"}, ours, "198.51.100.7"},
		"AllOurs":         {"a request of one of our machines", "10.0.0.1:1", []string{"10.0.0.7, 10.0.0.2"}, ours, "10.0.0.7"},
		"Malformed":       {"the search ends at the last good one", "10.0.0.1:1", []string{"198.51.100.7, unknown, 10.0.0.2"}, ours, "10.0.0.2"},
		"MalformedAtOnce": {"nothing good in it", "10.0.0.1:1", []string{"198.51.100.7,"}, ours, "10.0.0.1"},
		"Empty":           {"an empty header says nothing", "10.0.0.1:1", []string{""}, ours, "10.0.0.1"},
		"Port":            {"some proxies add the port", "10.0.0.1:1", []string{"198.51.100.7:4711"}, ours, "198.51.100.7"},
		"IPv6":            {"IPv6 comes bare", "[fd00::1]:1", []string{"2001:db8::7"}, ours, "2001:db8::7"},
		"IPv6Brackets":    {"or in brackets", "[fd00::1]:1", []string{"[2001:db8::7]"}, ours, "2001:db8::7"},
		"IPv6Port":        {"or with a port", "[fd00::1]:1", []string{"[2001:db8::7]:99"}, ours, "2001:db8::7"},
		"Zone":            {"a zone means something on one machine only", "[fe80::1%eth0]:1", nil, ours, "fe80::1"},
		"Mapped":          {"IPv4 in IPv6 is IPv4, of a proxy too", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.7"}, ours, "198.51.100.7"},
		"MappedRange":     {"a range may be written so", "10.0.0.1:1", []string{"198.51.100.7"}, ranges("::ffff:10.0.0.0/104"), "198.51.100.7"},
		"Socket":          {"a Unix socket's peer has no address", "@", nil, ours, "invalid IP"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			proxies, err := checkProxies(c.proxies)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := addressOf(r, proxies).String(); got != c.want {
				t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
			}
		})
	}
}

func TestProxiesAreChecked(t *testing.T) {
	for _, bad := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:0.0.0.0/90")} {
		if _, err := checkProxies([]netip.Prefix{bad}); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func FuzzAddressOf(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.7, 10.0.0.2", "::1")
	f.Add("[fe80::1%a]:1", "[::1]:2,,", "unknown")
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		ours := ranges("10.0.0.0/8")
		lines := []string{first, second}
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": lines}}
		got := addressOf(r, ours)
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%v has a zone or is mapped", got)
		}
		if peer, ok := parseHop(remote); ok && !within(ours, peer) && got != peer {
			t.Fatalf("%v isn't the peer %v, which is no proxy", got, peer)
		}
		if peer, ok := parseHop(remote); ok && got != peer {
			named := false
			for hop := range strings.SplitSeq(strings.Join(lines, ","), ",") {
				a, ok := parseHop(strings.Trim(hop, " \t"))
				named = named || ok && a == got
			}
			if !named {
				t.Fatalf("%v is named nowhere", got)
			}
		}
	})
}

func ranges(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}
