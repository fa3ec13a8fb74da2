package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadCounts(t *testing.T) {
	packages, err := read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason                    string
		comments, texts, relative int
		over                      bool
	}{
		"plain":           {"a comment without a relative word", 11, 0, 0, false},
		"schema.graphqls": {"descriptions and reasons, and no weight", 0, 18, 2, true},
		"site":            {"comments, errors and the log; no other string, no generated file, no failure of a test", 28, 9, 5, true},
	}
	for name, c := range cases {
		p := packages[name]
		if p == nil {
			t.Errorf("%s: not found", name)
			continue
		}
		if p.comments != c.comments || p.texts != c.texts || p.relative != c.relative || p.over() != c.over {
			t.Errorf("%s (%s): %d words in comments, %d in texts, %d relative, over %v; want %d, %d, %d, %v",
				name, c.reason, p.comments, p.texts, p.relative, p.over(), c.comments, c.texts, c.relative, c.over)
		}
	}
	if len(packages) != len(cases) {
		t.Errorf("%d packages, want %d", len(packages), len(cases))
	}
	if over := table(io.Discard, packages, []string{"plain", "schema.graphqls", "site"}); over != 2 {
		t.Errorf("%d packages above the limit, want 2", over)
	}
}

func TestOverIsMoreThanTheLimit(t *testing.T) {
	cases := map[string]struct {
		reason string
		pkg    pkg
		want   bool
	}{
		"Empty": {"no word, no relative word", pkg{}, false},
		"At":    {"the limit itself is allowed", pkg{comments: 60, texts: 40, relative: 1}, false},
		"Above": {"one in 99 words", pkg{comments: 99, relative: 1}, true},
	}
	for name, c := range cases {
		if got := c.pkg.over(); got != c.want {
			t.Errorf("%s (%s): %v", name, c.reason, got)
		}
	}
}

func TestListAndChoose(t *testing.T) {
	packages, err := read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := choose(packages, []string{"plain", "nowhere"}); err == nil {
		t.Error("a package that isn't there was accepted")
	}
	names, err := choose(packages, []string{"site", "plain"})
	if err != nil || !slices.Equal(names, []string{"plain", "site"}) {
		t.Errorf("%v, %v", names, err)
	}
	var out strings.Builder
	list(&out, packages, names)
	if want := "site/site.go:12: Open says who's there."; !strings.Contains(out.String(), want) {
		t.Errorf("want %q in\n%s", want, &out)
	}
	if strings.Contains(out.String(), "counted") {
		t.Errorf("a comment without a relative word is listed:\n%s", &out)
	}
}
