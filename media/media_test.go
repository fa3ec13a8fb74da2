package media

// Uploads, addresses and access, over a real folder, a bucket and a database.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"stoa/access"
	"stoa/id"
	"stoa/media/blob"
	"stoa/media/picture"
	"stoa/problem"
	"stoa/rate"
	"stoa/store"
	"stoa/store/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens pictures in a new folder, over a new database.
func open(t testing.TB, o Options) (p *Pictures, dir string) {
	t.Helper()
	ctx := context.Background()
	server, err := embedded.Open(ctx, embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close(ctx) })
	o.Store, err = store.Open(ctx, store.Options{
		URI: server.URI(), Dialer: server.Dialer(), Exclusive: true, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Store.Close(ctx) })
	dir = t.TempDir()
	if o.Location == "" {
		o.Location = "file://" + dir
	}
	o.Limiter = rate.New(nil, "test", slog.New(slog.DiscardHandler))
	if p, err = Open(o); err != nil {
		t.Fatal(err)
	}
	return p, dir
}

var (
	ada  = access.Viewer{Account: id.New(id.Account), Role: access.Author}
	ben  = access.Viewer{Account: id.New(id.Account), Role: access.Author}
	edie = access.Viewer{Account: id.New(id.Account), Role: access.Editor}
	rick = access.Viewer{Account: id.New(id.Account), Role: access.Customer}
)

// as is a request by a viewer.
func as(ctx context.Context, v access.Viewer) context.Context {
	ctx, _ = access.Begin(ctx, access.Request{Token: "x", Authenticate: func(context.Context, string) (access.Viewer, error) { return v, nil }})
	return ctx
}

// photo is a photograph, another one for each seed.
func photo(t testing.TB, w, h int, seed uint64) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := rand.New(rand.NewPCG(seed, 1))
	for i := range m.Pix {
		m.Pix[i] = byte(i/(4*w)) ^ byte(noise.IntN(16)) | byte(i%4/3*255)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// files are the names of all blobs.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func pointer[T any](v T) *T { return &v }

func TestUploadKeepsAPictureOnceInItsWidths(t *testing.T) {
	p, dir := open(t, Options{Base: "https://cdn.example"})
	file := photo(t, 1000, 500, 1)
	var ids []id.ID
	for _, who := range []access.Viewer{ada, ben} {
		made, err := p.Upload(as(t.Context(), who), bytes.NewReader(file), "  two\nlines ", nil)
		if err != nil {
			t.Fatal(err)
		}
		if made.Width != 1000 || made.Height != 500 || made.Alt != "two lines" || made.URL != "" || fmt.Sprint(made.Widths) != "[320 640 960 1000]" {
			t.Errorf("%+v", made)
		}
		ids = append(ids, made.ID)
	}
	if ids[0] == ids[1] {
		t.Error("two uploads are one")
	}
	if names := files(t, dir); len(names) != 4 {
		t.Errorf("kept twice: %v", names)
	}
	made, err := p.Cover(as(t.Context(), ada), ids[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	for width, want := range map[int]int{1: 320, 320: 320, 321: 640, 960: 960, 961: 1000, 5000: 1000} {
		got, err := p.URL(made, &width)
		if err != nil || got != fmt.Sprintf("https://cdn.example/media/%s-%d.jpg", made.Name, want) {
			t.Errorf("at least %d wide is %s, %v", width, got, err)
		}
		content, kind, err := p.Serve(t.Context(), strings.TrimPrefix(got, "https://cdn.example"+Path))
		if err != nil || kind != "image/jpeg" {
			t.Fatalf("%s is %s, %v", got, kind, err)
		}
		if c, _, err := image.DecodeConfig(content); err != nil || c.Width != want {
			t.Errorf("%s is %d wide, %v", got, c.Width, err)
		}
		_ = content.Close()
	}
	if got, _ := p.URL(made, nil); !strings.HasSuffix(got, "-1000.jpg") {
		t.Errorf("all of it is %s", got)
	}
	if _, err := p.URL(made, pointer(0)); !problem.Is(err, problem.Invalid) {
		t.Errorf("no width at all is %v", err)
	}
	if got, err := p.URL(&store.Image{URL: "/img/press.jpg"}, pointer(100)); got != "/img/press.jpg" || err != nil {
		t.Errorf("one at an address is at %s, %v", got, err)
	}
}

// A bucket works like a folder.
func TestUploadKeepsAPictureInABucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("pictures"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	p, dir := open(t, Options{Location: "s3://pictures/site?tls=off&region=eu-central-1&endpoint=" + strings.TrimPrefix(server.URL, "http://")})
	for range 2 {
		made, err := p.Upload(as(t.Context(), ada), bytes.NewReader(photo(t, 1000, 500, 1)), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range made.Widths {
			content, _, err := p.Serve(t.Context(), nameOf(made.Name, w, picture.JPEG))
			if err != nil {
				t.Fatal(err)
			}
			if m, err := jpeg.Decode(content); err != nil || m.Bounds().Dx() != w {
				t.Errorf("%d: %v", w, err)
			}
			_ = content.Close()
		}
	}
	if _, _, err := p.Serve(t.Context(), nameOf(strings.Repeat("0", 64), 320, picture.JPEG)); !problem.Is(err, problem.NotFound) {
		t.Errorf("a name without a blob gives %v", err)
	}
	if there, err := backend.ListBucket("pictures", nil, gofakes3.ListBucketPage{}); err != nil || len(there.Contents) != 4 || len(files(t, dir)) != 0 {
		t.Errorf("%d objects, %v", len(there.Contents), err)
	}
}

// Pixels are counted for each account, before a file is decoded.
func TestPixelsOfAnAccountAreBounded(t *testing.T) {
	p, _ := open(t, Options{})
	ctx := t.Context()
	if err := p.consume(ctx, ada.Account, 399e6); err != nil {
		t.Fatal(err)
	}
	// 7200 × 7200 pixels, of which one is in the file.
	bomb := "GIF89a\x20\x1c\x20\x1c\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	_, err := p.Upload(as(ctx, ada), strings.NewReader(bomb), "", nil)
	var refused *problem.Error
	if !errors.As(err, &refused) || refused.Code != problem.Throttled || refused.RetryAfter < 20*time.Second {
		t.Errorf("51 megapixels for an account with one left: %v", err)
	}
	if _, err := p.Upload(as(ctx, ada), bytes.NewReader(photo(t, 100, 100, 1)), "", nil); err != nil {
		t.Errorf("a small one: %v", err)
	}
	if _, err := p.Upload(as(ctx, ben), bytes.NewReader(photo(t, 2000, 1000, 1)), "", nil); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := p.consume(ctx, ben.Account, 401e6); !problem.Is(err, problem.Invalid) {
		t.Errorf("more than an account ever has: %v", err)
	}
}

func TestUploadRefuses(t *testing.T) {
	p, dir := open(t, Options{})
	file := photo(t, 400, 300, 1)
	cases := map[string]struct {
		reason string
		who    access.Viewer
		file   []byte
		alt    string
		key    *string
		code   problem.Code
		path   string
	}{
		"Nobody":    {"nobody has signed in", access.Viewer{}, file, "", nil, problem.Unauthenticated, "[]"},
		"Customer":  {"a reader may not upload", rick, file, "", nil, problem.Forbidden, "[]"},
		"LongAlt":   {"a text that is too long", ada, file, strings.Repeat("é", MaxAlt+1), nil, problem.Invalid, "[alt]"},
		"NoPicture": {"SVG is no picture here", ada, []byte("<svg/>"), "", nil, problem.Invalid, "[file]"},
		"TooLarge":  {"the size is checked before the content", ada, make([]byte, MaxBytes+1), "", nil, problem.Invalid, "[file]"},
		"BadKey":    {"a key that could be guessed", ada, file, "", pointer("1"), problem.Invalid, "[idempotencyKey]"},
	}
	for name, c := range cases {
		_, err := p.Upload(as(t.Context(), c.who), bytes.NewReader(c.file), c.alt, c.key)
		var refused *problem.Error
		if !errors.As(err, &refused) || refused.Code != c.code || fmt.Sprint(refused.Path) != c.path {
			t.Errorf("%s: %s: %v", name, c.reason, err)
		}
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("something was kept: %v", names)
	}
}

func TestCoversAreForTheirOwnersAndEditors(t *testing.T) {
	p, _ := open(t, Options{})
	made, err := p.Upload(as(t.Context(), ada), bytes.NewReader(photo(t, 400, 300, 1)), "a press", nil)
	if err != nil {
		t.Fatal(err)
	}
	for who, may := range map[access.Viewer]bool{ada: true, edie: true, ben: false, rick: false, {}: false} {
		cover, err := p.Cover(as(t.Context(), who), made.ID, pointer("other"))
		if may && (err != nil || cover.Alt != "other" || cover.ID != made.ID || cover.Name != made.Name) {
			t.Errorf("%s gets %+v, %v", who.Role, cover, err)
		}
		if !may && !problem.Is(err, problem.NotFound) {
			t.Errorf("%s gets %+v, %v", who.Role, cover, err)
		}
	}
	if _, err := p.Cover(as(t.Context(), ada), id.New(id.Image), nil); !problem.Is(err, problem.NotFound) {
		t.Errorf("a name without a blob gives %v", err)
	}
	if again, err := p.Cover(as(t.Context(), ada), made.ID, nil); err != nil || again.Alt != "a press" {
		t.Errorf("a cover changed the picture: %+v, %v", again, err)
	}
}

func TestAKeyMakesOnePicture(t *testing.T) {
	p, _ := open(t, Options{})
	file, key := photo(t, 400, 300, 1), pointer("0123456789012345678901")
	found := make([]id.ID, 5)
	var all sync.WaitGroup
	for i := range found {
		all.Go(func() {
			made, err := p.Upload(as(t.Context(), ada), bytes.NewReader(file), "x", key)
			if err != nil {
				t.Error(err)
				return
			}
			found[i] = made.ID
		})
	}
	all.Wait()
	for _, i := range found {
		if i != found[0] || i == "" {
			t.Errorf("equal calls made %v", found)
		}
	}
	if _, err := p.Upload(as(t.Context(), ada), bytes.NewReader(photo(t, 400, 300, 2)), "x", key); !problem.Is(err, problem.KeyReused) {
		t.Errorf("another picture under the key: %v", err)
	}
	if made, err := p.Upload(as(t.Context(), ben), bytes.NewReader(file), "x", key); err != nil || made.ID == found[0] {
		t.Errorf("somebody else's key: %v, %v", made, err)
	}
}

// breaking is a store of blobs that fails from the n-th Put on.
type breaking struct {
	blob.Store
	n int
}

var errBroken = errors.New("broken")

func (b *breaking) Put(ctx context.Context, name, contentType string, content []byte) error {
	if b.n--; b.n < 0 {
		return errBroken
	}
	return b.Store.Put(ctx, name, contentType, content)
}

// After a failure at any Put no broken picture can be seen, and the next upload completes it.
func TestAnUploadThatEndsAnywhereLeavesNothingBroken(t *testing.T) {
	file := photo(t, 1000, 500, 1)
	for n := range 4 {
		p, dir := open(t, Options{})
		whole := p.blobs
		p.blobs = &breaking{whole, n}
		key := pointer("0123456789012345678901")
		if _, err := p.Upload(as(t.Context(), ada), bytes.NewReader(file), "", key); !errors.Is(err, errBroken) {
			t.Fatalf("broken before %d: %v", n, err)
		}
		names := files(t, dir)
		if len(names) != n {
			t.Errorf("broken before %d: %v", n, names)
		}
		for _, name := range names {
			content, _, err := p.Serve(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jpeg.Decode(content); err != nil {
				t.Errorf("broken before %d: %s: %v", n, name, err)
			}
			_ = content.Close()
		}
		p.blobs = whole
		made, err := p.Upload(as(t.Context(), ada), bytes.NewReader(file), "", key)
		if err != nil || len(files(t, dir)) != 4 {
			t.Fatalf("again after %d: %v, %v", n, files(t, dir), err)
		}
		for _, w := range made.Widths {
			if there, err := whole.Has(t.Context(), nameOf(made.Name, w, picture.Kind(made.Format))); !there || err != nil {
				t.Errorf("again after %d: %d is %t, %v", n, w, there, err)
			}
		}
	}
}

// counting counts the calls of a store of blobs.
type counting struct {
	blob.Store
	opened int
}

func (c *counting) Open(ctx context.Context, name string) (*blob.Blob, error) {
	c.opened++
	return c.Store.Open(ctx, name)
}

func TestUnknownNamesAreNotFound(t *testing.T) {
	p, _ := open(t, Options{})
	asked := &counting{Store: p.blobs}
	p.blobs = asked
	sum := strings.Repeat("a1", 32)
	for name, opens := range map[string]int{
		sum + "-320.jpg": 1, sum + "-123.png": 1,
		"": 0, "..": 0, "../secret": 0, sum: 0, sum + ".jpg": 0, sum + "-320": 0, sum + "-320.svg": 0, sum + "-0.jpg": 0, sum + "--1.jpg": 0,
		sum + "-0320.jpg": 0, sum + "-+320.jpg": 0, sum + "-99999.jpg": 0, sum[1:] + "-320.jpg": 0, strings.ToUpper(sum) + "-320.jpg": 0,
		sum + "-320.jpg/x": 0, sum + "-320.jpg.jpg": 0, sum + "-320.jpg\x00": 0,
	} {
		asked.opened = 0
		if _, _, err := p.Serve(t.Context(), name); !problem.Is(err, problem.NotFound) || asked.opened != opens {
			t.Errorf("%q: %v after %d looks", name, err, asked.opened)
		}
	}
}

// Two hundred uploads at once take no more memory than a few.
func TestManyUploadsAtOnceAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const uploads, limit = 200, 64 << 20
	p, _ := open(t, Options{Picture: picture.Options{Memory: limit, MaxWaiting: uploads}})
	different := make([][]byte, 10)
	for i := range different {
		different[i] = photo(t, 2000, 1500, uint64(i))
	}
	heap := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before, peak := heap(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				peak = max(peak, heap())
			}
		}
	}()
	started := time.Now()
	var all sync.WaitGroup
	for i := range uploads {
		all.Go(func() {
			if _, err := p.Upload(as(t.Context(), []access.Viewer{ada, ben}[i%2]), bytes.NewReader(different[i%len(different)]), "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	took := time.Since(started)
	close(stop)
	<-stopped
	grew := peak - min(peak, before)
	t.Logf("%d uploads of 3 megapixels at once: %s, at most %d MB above the %d MB before", uploads, took.Round(time.Millisecond), grew>>20, before>>20)
	// With GOGC at its default the heap grows to twice its live part before a collection.
	if most := 2 * (before + limit); peak > most {
		t.Errorf("the heap had %d MB, which may be %d", peak>>20, most>>20)
	}
}

func BenchmarkServe(b *testing.B) {
	p, _ := open(b, Options{})
	made, err := p.Upload(as(b.Context(), ada), bytes.NewReader(photo(b, 1000, 500, 1)), "", nil)
	if err != nil {
		b.Fatal(err)
	}
	name := nameOf(made.Name, 640, picture.JPEG)
	b.ReportAllocs()
	for b.Loop() {
		content, _, err := p.Serve(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, content)
		_ = content.Close()
	}
}

// An import has no viewer. It stores a picture once for its content, as often as it is repeated.
func TestAnImportStoresEachPictureOnce(t *testing.T) {
	p, dir := open(t, Options{})
	ctx := t.Context()
	file := photo(t, 700, 350, 1)
	if _, _, err := p.Import(ctx, bytes.NewReader(file), "A dog", true); !problem.Is(err, problem.NotFound) || len(files(t, dir)) != 0 {
		t.Errorf("a dry import stores nothing: %v, %v", err, files(t, dir))
	}
	first, address, err := p.Import(ctx, bytes.NewReader(file), "  A\ndog ", false)
	if err != nil {
		t.Fatal(err)
	}
	blobs := files(t, dir)
	content, kind, err := p.Serve(ctx, strings.TrimPrefix(address, Path))
	if err != nil || kind != "image/jpeg" || first.Alt != "A dog" || first.Width != 700 || len(blobs) != 3 {
		t.Fatalf("%s: %v, %s, %+v, %v", address, err, kind, first, blobs)
	}
	if err := content.Close(); err != nil {
		t.Error(err)
	}
	for _, dry := range []bool{false, true} {
		again, same, err := p.Import(ctx, bytes.NewReader(file), "Another use", dry)
		if err != nil || again.ID != first.ID || again.Alt != "A dog" || same != address || len(files(t, dir)) != len(blobs) {
			t.Errorf("dry %t: %+v at %s, %v", dry, again, same, err)
		}
	}
	if _, _, err := p.Import(ctx, strings.NewReader("no picture"), "", false); !problem.Is(err, problem.Invalid) {
		t.Errorf("a file that is no picture: %v", err)
	}
	long, _, err := p.Import(ctx, bytes.NewReader(photo(t, 20, 20, 2)), strings.Repeat("é", MaxAlt+1), false)
	if err != nil || long.Alt != strings.Repeat("é", MaxAlt) {
		t.Errorf("a long description is cut: %v", err)
	}
}
