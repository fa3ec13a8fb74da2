package contention

import (
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// The test's own use of the machine stretches nothing; the use by others does, up to a limit.
// The system's numbers are made up, since the test can't control the use of this machine.
func TestOthersAloneStretchAnAllowance(t *testing.T) {
	if _, _, ok := used(); !ok {
		t.Skip("this system doesn't tell who uses it")
	}
	second := time.Duration(runtime.NumCPU()) * time.Second
	cases := map[string]struct {
		reason      string
		lasts, all  time.Duration // until now, and the use by all meanwhile
		own         time.Duration
		ends        time.Duration // before now
		shared, end bool
	}{
		"InTime": {"it isn't over before it ends", time.Second, 0, 0, -time.Second, false, false},
		"Idle":   {"nobody else was there", 2 * time.Second, 0, 0, time.Second, false, true},
		"Own":    {"the test's own work is no excuse", 2 * time.Second, 2 * second, 2 * second, time.Second, false, true},
		"Others": {"others had all processors", 2 * time.Second, 2 * second, 0, time.Second, true, false},
		"Little": {"others had a fifth of them", 2 * time.Second, 2 * second / 5, 0, time.Second, false, true},
		"Long":   {"it isn't stretched for ever", 12 * time.Second, 12 * second, 0, 11 * time.Second, true, true},
	}
	for name, c := range cases {
		all, own, _ := used()
		now := time.Now()
		a := &Allowance{began: now.Add(-c.lasts), ends: now.Add(-c.ends), all: all - c.all, own: own - c.own, ok: true}
		if shared := a.Shared(); shared != c.shared {
			t.Errorf("%s: shared is %t: %s", name, shared, c.reason)
		}
		if over := a.Over(); over != c.end {
			t.Errorf("%s: over is %t: %s", name, over, c.reason)
		}
	}
}

// The use by an ended child process counts as the test's own.
func TestChildrenAreNoOthers(t *testing.T) {
	_, before, ok := used()
	if !ok {
		t.Skip("this system doesn't tell who uses it")
	}
	child := exec.Command("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	took := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	if _, own, _ := used(); own-before < took {
		t.Errorf("a child used %s, and the test with it %s", took, own-before)
	}
}
