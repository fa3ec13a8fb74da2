package process

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A backup is made by one process while another serves, and restored from standard input.
func TestASiteIsBackedUpAndRestored(t *testing.T) {
	t.Parallel()
	data, restored, folder := t.TempDir(), filepath.Join(t.TempDir(), "restored"), t.TempDir()
	importInto(t, data, notebook(t), 0, ofNotebook)
	picture := filepath.Join("media", "ab", "ab-320.jpg")
	if err := os.MkdirAll(filepath.Dir(filepath.Join(data, picture)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, picture), []byte("a picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	served := serve(t, environ{"STOA_DATA": data})
	want := readEverything(t, served.Stoa)

	file := filepath.Join(folder, "site.tar")
	if p := run(t, environ{"STOA_DATA": data}, "backup", file); p.exitCode(t) != 0 {
		t.Fatalf("the exit code is %d", p.exitCode(t))
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup has the mode %v: %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("beside the backup there is %v: %v", left, err)
	}
	streamed := run(t, environ{"STOA_DATA": data}, "backup", "-")
	if streamed.exitCode(t) != 0 {
		t.Fatalf("the exit code is %d", streamed.exitCode(t))
	}

	for _, refused := range []struct {
		reason string
		env    environ
		args   []string
		code   int
		says   string
	}{
		{"a server has the folder", environ{"STOA_DATA": data}, []string{"restore", file}, 1, "in use by another server"},
		{"it says into which file", environ{"STOA_DATA": data}, []string{"backup"}, 2, "use: backup FILE"},
		{"it says from which file", environ{"STOA_DATA": restored}, []string{"restore"}, 2, "use: restore FILE"},
		{"there is nothing", environ{"STOA_DATA": restored}, []string{"backup", filepath.Join(folder, "b.tar")}, 1, "no database in it"},
		{"there is no such file", environ{"STOA_DATA": restored}, []string{"restore", filepath.Join(folder, "b.tar")}, 1, "b.tar"},
		{"MongoDB has tools of its own", environ{"STOA_MONGODB_URI": "mongodb://127.0.0.1:1"}, []string{"backup", "-"}, 2, "use mongodump"},
		{"MongoDB has tools of its own", environ{"STOA_MONGODB_URI": "mongodb://127.0.0.1:1"}, []string{"restore", file}, 2, "use mongorestore"},
	} {
		p := run(t, refused.env, refused.args...)
		if code := p.exitCode(t); code != refused.code || !strings.Contains(p.stderr.String(), refused.says) || p.stdout.String() != "" {
			t.Errorf("%v ends with %d and says %q, want %d and %q: %s", refused.args, code, p.stderr, refused.code, refused.says, refused.reason)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("beside the backup there is %v: %v", left, err)
	}

	served.signal(t, syscall.SIGTERM)
	if code := served.exitCode(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "restore", "-", "--data", restored)
	cmd.Stdin = strings.NewReader(streamed.stdout.String())
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("restored")) {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	if diff := cmp.Diff(want, readEverything(t, serve(t, environ{"STOA_DATA": restored}).Stoa)); diff != "" {
		t.Errorf("what was restored differs: %s", diff)
	}
	if content, err := os.ReadFile(filepath.Join(restored, picture)); err != nil || string(content) != "a picture" {
		t.Errorf("the picture is %q: %v", content, err)
	}
}
