package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stoa/gateway/playground"
)

// nginxConfig caches the responses of a site at %[2]s, in a folder of its own, %[1]s. It is as people write
// it, with %[3]s added.
const nginxConfig = `
daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=api:1m;
	server {
		listen unix:%[1]s/socket;
		location / {
			proxy_pass http://%[2]s;
			proxy_cache api;
			proxy_cache_key $request_uri%[4]s;
			add_header X-Cache $upstream_cache_status;
			%[3]s
		}
	}
}
`

// behindNginx starts an nginx with a cache in front of s, and returns the way to ask it: a GET of query
// with headers. The test is skipped where there is no nginx.
func behindNginx(t *testing.T, s *site, keyOf, more string) func(query string, headers ...string) reply {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("there is no nginx on this machine: Debian has it in the package nginx-light")
		}
	}
	folder, err := os.MkdirTemp("", "stoa-nginx") // short: the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	file, socket := filepath.Join(folder, "nginx.conf"), filepath.Join(folder, "socket")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, folder, strings.TrimPrefix(s.url, "http://"), more, keyOf), 0o600); err != nil {
		t.Fatal(err)
	}
	var said lockedBuffer
	nginx := exec.Command(program, "-p", folder, "-e", "stderr", "-c", file)
	nginx.Stderr = &said
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- nginx.Wait() }()
	t.Cleanup(func() {
		_ = nginx.Process.Kill()
		<-ended
	})
	eventually(t, "nginx listens", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nginx ended: %v\n%s", err, said.String())
		default:
		}
		c, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	asker := &site{url: "http://nginx", client: &http.Client{Transport: transport}}
	return func(query string, headers ...string) reply {
		t.Helper()
		return asker.do(t, "GET", address(query), "", headers...)
	}
}

// nginx before 1.23, as in Debian 12, keys its cache by the last line of Vary alone.
func TestNginxNeverMixesForms(t *testing.T) {
	s, _ := keeping(t, megabyte, withShop)
	ask := behindNginx(t, s, "", "")
	query := titleOf("large")
	for _, form := range []struct {
		accept, encoding, origin string
	}{
		{"application/json", "gzip", ""},
		{"application/json", "", ""},
		{"application/graphql-response+json", "", ""},
		{"application/graphql-response+json", "gzip", ""},
		{"application/json", "gzip", shop},
		{"application/json", "", "http://localhost:3000"},
		{"application/json", "", shop},
	} {
		for _, want := range []string{"MISS", "HIT"} {
			headers := []string{"Accept: " + form.accept}
			if form.encoding != "" {
				headers = append(headers, "Accept-Encoding: "+form.encoding)
			}
			if form.origin != "" {
				headers = append(headers, "Origin: "+form.origin)
			}
			got := ask(query, headers...)
			if got.status != 200 || got.header.Get("X-Cache") != want {
				t.Errorf("%+v: %d, from the cache: %s, want %s", form, got.status, got.header.Get("X-Cache"), want)
			}
			if got.header.Get("Content-Encoding") != form.encoding || !strings.HasPrefix(got.header.Get("Content-Type"), form.accept) {
				t.Errorf("%+v, %s: got %s in %q", form, want, got.header.Get("Content-Type"), got.header.Get("Content-Encoding"))
			}
			if got.header.Get("Access-Control-Allow-Origin") != form.origin {
				t.Errorf("%+v, %s: for pages of %q", form, want, got.header.Get("Access-Control-Allow-Origin"))
			}
		}
	}
}

// Many caches can't have Origin in their key, or ignore Vary.
func TestOneOriginCanReadWhatACacheStoredForOthers(t *testing.T) {
	s, _ := keeping(t, megabyte, func(o *Options) { o.Origins = []string{shop} })
	ask := behindNginx(t, s, "$http_accept$http_accept_encoding", "proxy_ignore_headers Vary;")
	query := titleOf("press")
	ask(query) // a build, a feed reader: no browser
	for _, origin := range []string{shop, "https://evil.example"} {
		got := ask(query, "Origin: "+origin)
		if got.header.Get("X-Cache") != "HIT" || got.header.Get("Access-Control-Allow-Origin") != shop || got.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: %v", origin, got.header)
		}
	}
}

// Every path has one Vary at most, whoever asks.
func TestVaryIsOneLine(t *testing.T) {
	page, err := playground.New(playground.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, origins := range map[string][]string{"None": nil, "One": {shop}, "Two": {shop, "http://localhost:3000"}} {
		t.Run(name, func(t *testing.T) {
			s, _ := keeping(t, megabyte, func(o *Options) { o.Origins, o.Playground = origins, page })
			want := "Accept, Accept-Encoding"
			if len(origins) > 0 {
				want += ", Origin"
			}
			for _, origin := range []string{"", shop, "https://evil.example"} {
				for _, query := range []string{titleOf("press"), titleOf("refused"), "{", "{ nothing }"} {
					got := s.do(t, "GET", address(query), "", "Origin: "+origin)
					if lines := got.header.Values("Vary"); len(lines) != 1 || lines[0] != want {
						t.Errorf("%s for %q: Vary is %q, want %q", query, origin, lines, want)
					}
				}
				for _, got := range []reply{
					s.do(t, "GET", "/", "", "Accept: text/html", "Origin: "+origin),
					s.do(t, "GET", "/", "", "Origin: "+origin),
					s.do(t, "GET", "/graphql", "", "Accept: text/html", "Origin: "+origin),
					s.do(t, "OPTIONS", "/graphql", "", "Origin: "+origin, "Access-Control-Request-Method: POST"),
					s.post(t, titleOf("press"), "Origin: "+origin),
				} {
					if lines := got.header.Values("Vary"); len(lines) > 1 {
						t.Errorf("for %q: Vary is %q", origin, lines)
					}
				}
			}
		})
	}
}
