package tests

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Each threat in docs/security.md names its evidence: existing tests or files.
func TestThreatsNameExistingTests(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "-C", "..", "grep", "-hoE", `^func (Test|Fuzz)\w+`, "--", "*_test.go").Output()
	if err != nil {
		t.Fatalf("list the tests: %v", err)
	}
	there := map[string]bool{}
	for name := range strings.FieldsSeq(string(out)) {
		there[name] = true
	}
	_, threats, _ := strings.Cut(string(text), "## Threats")
	threats, _, _ = strings.Cut(threats, "\n## ")
	quoted := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(threats) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "threat" {
			continue
		}
		rows++
		shown := quoted.FindAllStringSubmatch(cells[2], -1)
		if len(shown) == 0 {
			t.Errorf("nothing shows that this is stopped: %s", cells[0])
		}
		for _, s := range shown {
			if _, err := os.Stat("../" + s[1]); err != nil && !there[s[1]] {
				t.Errorf("%s: there is no %s", strings.TrimSpace(cells[0]), s[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d threats were found: has the table changed?", rows)
	}
}
