package loopback

import "testing"

func TestLoopbackHosts(t *testing.T) {
	for header, want := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "localhost.": true, "api.localhost:8080": true, "127.0.0.1": true, "127.8.9.1:1": true,
		"[::1]:80": true, "[::1]": true, "[::ffff:127.0.0.1]:80": true,
		"": false, "localhost.example.org": false, "notlocalhost": false, "127.0.0.1.example.org": false, "0.0.0.0": false,
		"[::]": false, "10.0.0.1": false, "127.1": false, "2130706433": false,
	} {
		if got := Is(HostOf(header)); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}
