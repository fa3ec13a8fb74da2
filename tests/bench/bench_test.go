package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		main() // started by the test below
		return
	}
	os.Exit(m.Run())
}

// The benchmark runs, and has a figure or a reason for every page and way, by wrk or without.
func TestEveryRowIsMeasured(t *testing.T) {
	for _, own := range []bool{true, false} {
		o := brief
		o.ownLoad, o.only = own, "field"
		if own {
			o.only = "home"
		}
		var out bytes.Buffer
		if err := run(t.Context(), o, &out); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		for _, way := range ways {
			row := regexp.MustCompile(`(?m)^` + o.only + ` +` + way.name + ` +(\S.*)$`).FindStringSubmatch(out.String())
			if row == nil {
				t.Errorf("there is no row for %s of %s", way.name, o.only)
			} else if row[1] != errMissing.Error() && strings.Contains(row[1], "NaN") {
				t.Errorf("%s of %s has no figures: %s", way.name, o.only, row[1])
			}
		}
		t.Logf("\n%s", &out)
	}
}

// A comparison has a row for every page and way, with figures in each column.
func TestCompare(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := usualComparison
	o.old, o.articles, o.rounds, o.each, o.connections = self, 60, 2, 50*time.Millisecond, 4
	var out bytes.Buffer
	if err := compare(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, page := range pages {
		for _, way := range compared {
			row := regexp.MustCompile(`(?m)^` + page.name + ` +` + way + ` +(\d.*)$`).FindStringSubmatch(out.String())
			if row == nil || strings.Contains(row[1], "NaN") || strings.Contains(row[1], "Inf") {
				t.Errorf("%s of %s has no figures: %q", way, page.name, row)
			}
		}
	}
	t.Logf("\n%s", &out)
}
