package process

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stoa/tests/stoatest"
)

// The command reaches a server that runs on the same data folder.
func TestPurgeFromTheCommandLine(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := serve(t, environ{"STOA_DATA": data, "STOA_DEMO": "on"})
	age := func() string {
		response, err := http.Get(p.URL + "/graphql?query=" + url.QueryEscape(homeQuery))
		stoatest.Check(t, err)
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		if tags := response.Header.Get("Cache-Tag"); !strings.Contains(tags, "list/all") && !strings.Contains(tags, "list") {
			t.Errorf("Cache-Tag: %s", tags)
		}
		return response.Header.Get("Age")
	}
	stoatest.Await(t, 20*time.Second, "an answer to be kept for a while", func() bool { n := age(); return n != "0" && n != "" })
	if c := run(t, environ{"STOA_DATA": data}, "purge", "list/all"); c.exitCode(t) != 0 || !strings.Contains(c.stdout.String(), "list/all") {
		t.Errorf("%s%s", c.stdout, c.stderr)
	}
	if n := age(); n != "0" {
		t.Errorf("the answer is %s s old after the purge", n)
	}
	for _, args := range [][]string{{"purge"}, {"purge", "a b"}} {
		if c := run(t, environ{"STOA_DATA": data}, args...); c.exitCode(t) != 2 {
			t.Errorf("%q ends with %d: %s", args, c.exitCode(t), c.stderr)
		}
	}
	p.stop(t)
}
