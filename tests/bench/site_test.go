package main

import (
	"bytes"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// Every kind of page of both mixes has correct answers, and every process has its figures. The
// second run uses the first one's site, with the database in another process.
func TestSite(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the usage of processes is read from /proc")
	}
	o := usualSite
	o.posts, o.rate, o.lasts, o.write, o.rest, o.data = 30, 30, 2*time.Second, 400*time.Millisecond, 0, t.TempDir()
	for _, mix := range []string{"full", "lookups"} {
		o.mix, o.split = mix, mix == "lookups"
		var out bytes.Buffer
		if err := benchSite(t.Context(), o, &out); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		t.Logf("\n%s", &out)
		answered := []string{commentKind, publicationKind, "all", atOnce}
		for _, k := range kinds {
			if mix == "full" && k.full >= 10 || mix == "lookups" && k.lookups >= 10 {
				answered = append(answered, k.name)
			}
		}
		for _, name := range answered {
			row := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` +(\d+) +(\d+) `).FindStringSubmatch(out.String())
			if row == nil || row[1] == row[2] {
				t.Errorf("%s: no correct answer for %s", mix, name)
			}
		}
		wanted := []string{`server +\d.*MiB`}
		if o.split {
			wanted = append(wanted, `database +\d.*MiB +[1-9]\d*$`)
		}
		for _, line := range wanted {
			if !regexp.MustCompile(`(?m)^` + line).Match(out.Bytes()) {
				t.Errorf("%s: no line matches %s", mix, line)
			}
		}
	}
}

// The shares of each mix add up to 100 percent.
func TestMixes(t *testing.T) {
	full, lookups := 0, 0
	for _, k := range kinds {
		full, lookups = full+k.full, lookups+k.lookups
	}
	if full != 100 || lookups != 100 {
		t.Errorf("the shares add up to %d and %d", full, lookups)
	}
}
