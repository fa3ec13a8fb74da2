package blob

// One suite for both stores, over a real folder and a real S3 server; then crashes, names and the
// staging of a folder.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucket is a server with S3's protocol and one bucket.
func bucket(t *testing.T) string {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return "s3://pictures/site?tls=off&region=eu-central-1&endpoint=" + strings.TrimPrefix(server.URL, "http://")
}

func TestEveryStoreKeepsWhatItWasGiven(t *testing.T) {
	for name, location := range map[string]string{"Folder": "file://" + filepath.Join(t.TempDir(), "a", "b"), "Bucket": bucket(t)} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(location)
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if _, err := s.Open(ctx, "absent.jpg"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a missing blob gives %v", err)
			}
			if there, err := s.Has(ctx, "absent.jpg"); there || err != nil {
				t.Errorf("a missing blob is %t, %v", there, err)
			}
			content := bytes.Repeat([]byte("picture"), 1000)
			var all sync.WaitGroup
			for range 8 { // eight equal ones at once
				all.Go(func() {
					if err := s.Put(ctx, "ab-320.jpg", "image/jpeg", content); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			b, err := s.Open(ctx, "ab-320.jpg")
			if err != nil {
				t.Fatal(err)
			}
			read, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(read, content) || b.Size != int64(len(content)) || time.Since(b.MadeAt) > time.Hour {
				t.Errorf("%d bytes of %d, made at %s, %v", len(read), b.Size, b.MadeAt, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if there, err := s.Has(ctx, "ab-320.jpg"); !there || err != nil {
				t.Errorf("a stored blob is %t, %v", there, err)
			}
			for _, name := range []string{"", "..", "../secret", "a/b", ".hidden", "A.jpg", "a\x00b", strings.Repeat("a", 200)} {
				_, open := s.Open(ctx, name)
				_, has := s.Has(ctx, name)
				put := s.Put(ctx, name, "image/jpeg", content)
				if open == nil || errors.Is(open, ErrNotFound) || has == nil || put == nil {
					t.Errorf("%q is a name: %v, %v, %v", name, open, has, put)
				}
			}
		})
	}
}

// A file that a crash left incomplete is never seen, and is removed when it is old.
func TestHalfAFileIsNeverSeen(t *testing.T) {
	dir := t.TempDir()
	s, err := Open("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "ab-1.png", "image/png", []byte("whole")); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]time.Time{"old": time.Now().Add(-2 * abandoned), "new": time.Now()} {
		half := filepath.Join(dir, halves, name)
		if err := errors.Join(os.WriteFile(half, []byte("ha"), 0o600), os.Chtimes(half, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open("file://" + dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, halves))
	if err != nil || len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("there is %v, %v", left, err)
	}
	for _, name := range []string{halves + "/new", "new"} {
		if _, err := s.Open(t.Context(), name); err == nil {
			t.Errorf("%s can be opened", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ended, "cd-1.png", "image/png", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

func TestStagedBlobsComeTogether(t *testing.T) {
	folder := Folder(filepath.Join(t.TempDir(), "media"))
	madeAt := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	if err := folder.Put(t.Context(), "ab-1.png", "image/png", []byte("there")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(folder), "ab", ".DS_Store"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	there := func() (found string) {
		t.Helper()
		err := folder.Each(t.Context(), func(name string, b *Blob) error {
			content, err := io.ReadAll(b)
			found += name + "=" + string(content) + ";"
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, commit := range []bool{false, true} {
		s, err := folder.Stage()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"cd-1.png", "ab-1.png"} { // one of them exists already
			if err := s.Put(name, madeAt, strings.NewReader("there")); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Put("../ef-1.png", madeAt, strings.NewReader("")); err == nil {
			t.Error("a name leads out of the folder")
		}
		if found := there(); found != "ab-1.png=there;" {
			t.Errorf("before it is committed there is %s", found)
		}
		if !commit {
			err = s.Remove()
		} else if err = s.Commit(); err == nil {
			if b, err := folder.Open(t.Context(), "cd-1.png"); err != nil || !b.MadeAt.Equal(madeAt) {
				t.Errorf("it was made at %v: %v", b, err)
			} else if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(filepath.Join(string(folder), halves)); err != nil || len(left) > 0 {
			t.Errorf("there is left %v: %v", left, err)
		}
	}
	if found := there(); found != "ab-1.png=there;cd-1.png=there;" {
		t.Errorf("in the end there is %s", found)
	}
}

func TestLocations(t *testing.T) {
	cases := map[string]struct{ location, says string }{
		"Folder":       {"file:///srv/media", ""},
		"Bucket":       {"s3://bucket", ""},
		"BucketPrefix": {"s3://bucket/a/b?endpoint=minio:9000&tls=off", ""},
		"Relative":     {"file://media", "path from the root"},
		"Plain":        {"/srv/media", "neither"},
		"Keys":         {"s3://key:secret@bucket", "AWS_SECRET_ACCESS_KEY"},
		"Port":         {"s3://minio:9000/bucket", "?endpoint="},
		"Misspelt":     {"s3://bucket?endpiont=x", `"endpiont" isn't known`},
		"TLS":          {"s3://bucket?tls=no", "on or off"},
		"Endpoint":     {"s3://bucket?endpoint=https://x/y", "ndpoint"},
	}
	for name, c := range cases {
		_, err := Open(c.location)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, and it should say %q", name, err, c.says)
		}
	}
}
