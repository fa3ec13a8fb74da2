//go:build !(linux || darwin || freebsd) || stoa_noembedded

package embedded

import (
	"strings"
	"testing"

	"stoa/problem"
)

func TestABuildWithoutTheDatabaseSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "STOA_MONGODB_URI") {
		t.Errorf("got %v, want Invalid with a word on STOA_MONGODB_URI", err)
	}
	if uri, ok, err := Find(t.TempDir()); ok || err != nil {
		t.Errorf("found %q, %v, want nothing", uri, err)
	}
}
