package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stoa/feed/content"
	"stoa/gateway/refusal"
	"stoa/problem"
)

func TestFeedsThatCantBeMadeAreRefused(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Limits.timeout = 50 * time.Millisecond
		o.Feeds = func(ctx context.Context, path string) (content.Document, error) {
			switch path {
			case "/tags/fault/feed.atom":
				return content.Document{}, errors.New(secret)
			case "/tags/full/feed.atom":
				return content.Document{}, fmt.Errorf("%w: %s", problem.ErrOverloaded, secret)
			case "/tags/away/feed.atom":
				return content.Document{}, fmt.Errorf("%w: %s", problem.ErrUnavailable, secret)
			case "/tags/slow/feed.atom":
				<-ctx.Done()
				return content.Document{}, context.Cause(ctx)
			case "/tags/panic/feed.atom":
				panic(secret)
			case "/tags/broken/feed.atom":
				return content.Document{Type: "application/atom+xml", Body: []byte("no gzip"), Gzip: true, Size: 2000, ETag: "x"}, nil
			}
			return content.Document{}, problem.New(problem.NotFound, "there is no tag %q", path)
		}
	})
	cases := map[string]struct {
		reason string
		status int
		code   string
	}{
		"fault":  {"it is logged and masked", 500, "INTERNAL"},
		"full":   {"the database has no room now", 503, refusal.Overloaded},
		"away":   {"the database can't be reached now", 503, refusal.Unavailable},
		"slow":   {"it is nobody's fault", 504, refusal.Timeout},
		"panic":  {"it ends one request", 500, "INTERNAL"},
		"nobody": {"what isn't there is said to be missing", 404, refusal.NotFound},
	}
	for name, c := range cases {
		r := s.do(t, "GET", "/tags/"+name+"/feed.atom", "")
		if r.status != c.status || r.codes(t) != c.code || strings.Contains(r.body, secret) || r.header.Get("Cache-Control") != "no-store" || (r.header.Get("Retry-After") == "") == (r.status == 503) {
			t.Errorf("%s: %s: %d %s %v", name, c.reason, r.status, r.body, r.header)
		}
	}
	if got := len(s.errors.faults()); got != 2 {
		t.Errorf("%d faults were logged, not 2", got)
	}
	if r, err := s.client.Get(s.url + "/tags/broken/feed.atom"); err == nil {
		r.Body.Close()
		if r.ContentLength != 2000 {
			t.Errorf("half an answer passes for a whole one: %d bytes", r.ContentLength)
		}
	}
	without := newSite(t, nil)
	if r := without.do(t, "GET", "/feed.atom", ""); r.status != 404 {
		t.Errorf("without feeds /feed.atom is %d", r.status)
	}
}
