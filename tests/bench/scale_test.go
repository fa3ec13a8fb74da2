package main

import (
	"bytes"
	"regexp"
	"runtime"
	"testing"
)

// Every page and a publication have their figures on each size of a site, and a warm page reads no
// document.
func TestScale(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the usage of processes is read from /proc")
	}
	var out bytes.Buffer
	if err := benchScale(t.Context(), scaleOptions{sizes: []int{60, 120}}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
	names := []string{scaleStart, scalePublication, scaleSearch}
	for _, p := range scalePages {
		names = append(names, p.name)
	}
	for _, name := range names {
		for _, size := range []string{"60", "120"} {
			row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(name) + ` +\| ` + size + ` +\| (\d+) +\| (\d+) +\| (\d+) +\| (\d+) +\|`).FindStringSubmatch(out.String())
			if row == nil || row[1] == "0" || row[3] == "0" {
				t.Errorf("%s has no figures at %s: %q", name, size, row)
			} else if name != scalePublication && name != scaleSearch && row[2] != "0" {
				t.Errorf("%s reads %s documents at %s when it is warm", name, row[2], size)
			}
		}
	}
}
