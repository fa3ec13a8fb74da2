package gateway

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stoa/problem"
)

// A seekable picture is served in ranges, any other is served whole.
func TestPictures(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a-320.jpg"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, seeks := range []bool{true, false} {
		s := newSite(t, func(o *Options) {
			o.Picture = func(_ context.Context, name string) (*Picture, error) {
				switch name {
				case "broken":
					return nil, io.ErrUnexpectedEOF
				case "full":
					return nil, fmt.Errorf("find the picture: %w", problem.ErrOverloaded)
				case "away":
					return nil, fmt.Errorf("find the picture: %w", problem.ErrUnavailable)
				}
				file, err := os.Open(filepath.Join(dir, filepath.Base(name)))
				if name == "" || err != nil {
					return nil, problem.New(problem.NotFound, "no")
				}
				p := &Picture{Content: file, Type: "image/jpeg", Size: 10, MadeAt: time.Unix(1e9, 0)}
				if !seeks {
					p.Content = struct{ io.ReadCloser }{file}
				}
				return p, nil
			}
		})
		got := s.do(t, "GET", "/media/a-320.jpg", "")
		if got.status != 200 || got.body != "0123456789" {
			t.Errorf("%d %s", got.status, got.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "image/jpeg", "Cache-Control": "public, max-age=31536000, immutable", "Etag": `"a-320.jpg"`, "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; sandbox", "Content-Length": "10", "Cross-Origin-Resource-Policy": "cross-origin",
		} {
			if v := got.header.Get(name); v != want {
				t.Errorf("%s: %q, not %q", name, v, want)
			}
		}
		if got := s.do(t, "HEAD", "/media/a-320.jpg", ""); got.status != 200 || got.body != "" || got.header.Get("Content-Length") != "10" {
			t.Errorf("HEAD: %d %q %s", got.status, got.body, got.header)
		}
		if got := s.do(t, "GET", "/media/a-320.jpg", "", `If-None-Match: "a-320.jpg"`); got.status != 304 || got.body != "" {
			t.Errorf("again: %d %s", got.status, got.body)
		}
		got = s.do(t, "GET", "/media/a-320.jpg", "", "Range: bytes=2-4")
		if want := map[bool]string{true: "206 234", false: "200 0123456789"}[seeks]; fmt.Sprint(got.status, " ", got.body) != want {
			t.Errorf("a part: %d %s", got.status, got.body)
		}
		for path, status := range map[string]int{"/media/": 404, "/media/b-320.jpg": 404, "/media/%2e%2e/x": 404, "/media/broken": 500, "/media/full": 503, "/media/away": 503} {
			if got := s.do(t, "GET", path, ""); got.status != status || (got.header.Get("Retry-After") == "") == (status == 503) || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", path, got.status, got.header)
			}
		}
		if got := s.do(t, "POST", "/media/a-320.jpg", "x"); got.status != 405 || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: %d", got.status)
		}
	}
}
