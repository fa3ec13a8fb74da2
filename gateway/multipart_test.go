package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/graph/generated"
	"stoa/id"
	"stoa/store"
	"stoa/tests/requests"
)

// testMutation accepts every upload, and returns a description of it.
type testMutation struct{ generated.MutationResolver }

type testImage struct{ generated.ImageResolver }

type uploadRoot struct{ testRoot }

func (uploadRoot) Mutation() generated.MutationResolver { return testMutation{} }
func (uploadRoot) Image() generated.ImageResolver       { return testImage{} }

func (testMutation) ImageUpload(_ context.Context, in generated.ImageUploadInput) (*generated.ImageUploadPayload, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, in.File.File)
	return &generated.ImageUploadPayload{Image: &store.Image{URL: fmt.Sprintf("%d %s", n, hex.EncodeToString(sum.Sum(nil))[:8]), Alt: in.Alt}}, err
}

func (testImage) URL(_ context.Context, i *store.Image, _ *int) (string, error) { return i.URL, nil }

const uploadQuery = `mutation($in: ImageUploadInput!) { imageUpload(input: $in) { image { url alt } } }`

// uploadSite is a site with roles for tokens. It spools uploads to a folder, which must be
// empty when the test ends.
func uploadSite(t testing.TB, change func(*Options)) *site {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return newSite(t, func(o *Options) {
		o.Schema = generated.NewExecutableSchema(generated.Config{
			Resolvers: uploadRoot{},
			Directives: generated.DirectiveRoot{Auth: func(ctx context.Context, _ any, next graphql.Resolver, requires access.Role) (any, error) {
				if _, err := access.Require(ctx, requires); err != nil {
					return nil, err
				}
				return next(ctx)
			}},
		})
		o.Limits.File = 3 << 20
		o.Authenticate = func(_ context.Context, token string) (access.Viewer, error) {
			if token == "nobody" {
				return access.Viewer{}, nil
			}
			return access.Viewer{Account: id.ID("acc_" + token), Role: access.Role(token)}, nil
		}
		if change != nil {
			change(o)
		}
	})
}

var uploader = []string{"Authorization: Bearer AUTHOR", "Apollo-Require-Preflight: 1"}

func TestMultipartRequests(t *testing.T) {
	s := uploadSite(t, nil)
	large := strings.Repeat("0123456789abcdef", 2<<16) // 2 MiB: on the disk
	cases := map[string]struct {
		reason  string
		parts   []requests.Part
		headers []string
		status  int
		want    string // in the answer
	}{
		"Small":      {"a small file stays in memory", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "picture"}}, uploader, 200, `"url":"7 `},
		"Large":      {"a large one goes to the disk", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", large}}, uploader, 200, `"url":"2097152 `},
		"Empty":      {"a file may be empty", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", ""}}, uploader, 200, `"url":"0 `},
		"AnyHeader":  {"any of the headers will do", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}}, []string{uploader[0], "GraphQL-Preflight: 1"}, 200, `"url":"1 `},
		"NoFiles":    {"a form needs no file", []requests.Part{{"operations", `{"query": "{ article(slug: \"a\") { slug } }"}`}, {"map", `{}`}}, uploader, 200, `"slug":"a"`},
		"NoHeader":   {"a page of another site could have sent it", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}}, uploader[:1], 415, "Apollo-Require-Preflight"},
		"Anonymous":  {"nobody else makes us read files", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}}, uploader[1:], 401, "UNAUTHENTICATED"},
		"Ended":      {"nor does a session that has ended", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}}, []string{"Authorization: Bearer nobody", uploader[1]}, 401, "UNAUTHENTICATED"},
		"Role":       {"nor who may not do it", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", large}}, []string{"Authorization: Bearer CUSTOMER", uploader[1]}, 200, "FORBIDDEN"},
		"Unmapped":   {"a file that goes nowhere", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}, {"1", "y"}}, uploader, 400, `part \"1\"`},
		"Twice":      {"a file that goes to two places", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.file", "variables.in.alt"]}`}, {"0", "x"}}, uploader, 400, "2 places"},
		"TwoFiles":   {"two files for one place", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", "x"}, {"0", "y"}}, uploader, 400, "two files"},
		"OnePlace":   {"two entries for one place", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.file"], "1": ["variables.in.file"]}`}, {"0", "x"}, {"1", "y"}}, uploader, 400, "no null there"},
		"SameKey":    {"one key twice in the map", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.file"], "0": ["variables.in.file"]}`}, {"0", "x"}}, uploader, 400, "twice"},
		"Missing":    {"a file that doesn't come", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}}, uploader, 400, "no such part"},
		"NoSuchPath": {"a place that isn't there", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.picture"]}`}, {"0", "x"}}, uploader, 400, "no null there"},
		"NotNull":    {"a place that is taken", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["variables.in.alt"]}`}, {"0", "x"}}, uploader, 400, "no null there"},
		"Outside":    {"a place that is no variable", []requests.Part{{"operations", requests.Upload}, {"map", `{"0": ["query"]}`}, {"0", "x"}}, uploader, 400, "no null there"},
		"Order":      {"the envelope comes first", []requests.Part{{"map", requests.OneFile}, {"operations", requests.Upload}, {"0", "x"}}, uploader, 400, "must come before"},
		"FileFirst":  {"files come last", []requests.Part{{"0", large}, {"operations", requests.Upload}, {"map", requests.OneFile}}, uploader, 400, "must come before"},
		"Batch":      {"one request at a time", []requests.Part{{"operations", "[" + requests.Upload + "]"}, {"map", `{"0": ["0.variables.in.file"]}`}, {"0", "x"}}, uploader, 400, "array"},
		"TooLarge":   {"a file may be 3 MiB here", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", strings.Repeat("x", 3<<20+1)}}, uploader, 413, "PAYLOAD_TOO_LARGE"},
		"TooMuch":    {"and all of them not more than two", []requests.Part{{"operations", requests.Upload}, {"map", requests.OneFile}, {"0", strings.Repeat("x", 9<<20)}}, uploader, 413, "PAYLOAD_TOO_LARGE"},
		"TooMany":    {"there are ten files at most", []requests.Part{{"operations", requests.Upload}, {"map", manyFiles(11)}}, uploader, 413, "more than 10"},
		"LargeMap":   {"the map is small", []requests.Part{{"operations", requests.Upload}, {"map", strings.Repeat(" ", 64<<10) + requests.OneFile}}, uploader, 413, "map is larger"},
		"Wrong":      {"what can't be run isn't read", []requests.Part{{"operations", `{"query": "{ nothing }", "variables": {"f": null}}`}, {"map", `{"0": ["variables.f"]}`}, {"0", large}}, uploader, 200, "VALIDATION_FAILED"},
		"WrongType":  {"a file is no text", []requests.Part{{"operations", `{"query": "query($s: String!) { article(slug: $s) { slug } }", "variables": {"s": null}}`}, {"map", `{"0": ["variables.s"]}`}, {"0", "x"}}, uploader, 200, "is a file"},
		"NoObject":   {"the map is an object", []requests.Part{{"operations", requests.Upload}, {"map", `[]`}}, uploader, 400, "JSON object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			body, contentType := requests.Form(c.parts...)
			answer := s.do(t, "POST", "/graphql", body, append([]string{"Content-Type: " + contentType}, c.headers...)...)
			if answer.status != c.status || !strings.Contains(answer.body, c.want) {
				t.Errorf("%s: %d %.300s", c.reason, answer.status, answer.body)
			}
		})
	}
	if faults := s.errors.faults(); len(faults) > 0 {
		t.Errorf("logged as our fault: %v", faults)
	}
}

func manyFiles(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"%d": ["variables.files.%d"]`, i, i))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestFilesComeByMultipartOnly(t *testing.T) {
	s := uploadSite(t, nil)
	for name, query := range map[string]string{
		"Variable": bodyOf(uploadQuery, map[string]any{"in": map[string]any{"file": "x", "alt": ""}}),
		"Null":     bodyOf(uploadQuery, map[string]any{"in": map[string]any{"file": nil, "alt": ""}}),
		"Object":   bodyOf(uploadQuery, map[string]any{"in": map[string]any{"file": map[string]any{"File": 1}, "alt": ""}}),
		"Literal":  bodyOf(`mutation { imageUpload(input: {file: "x", alt: ""}) { image { url } } }`, nil),
	} {
		answer := s.do(t, "POST", "/graphql", query, append(uploader, "Content-Type: application/json")...)
		if answer.status != 200 || !strings.Contains(answer.body, "errors") || strings.Contains(answer.body, "INTERNAL") {
			t.Errorf("%s: %d %s", name, answer.status, answer.body)
		}
	}
	body, contentType := requests.Form(requests.Part{"operations", requests.Upload}, requests.Part{"map", requests.OneFile}, requests.Part{"0", "x"})
	if answer := s.do(t, "GET", "/graphql", body, append(uploader, "Content-Type: "+contentType)...); answer.status != 400 {
		t.Errorf("a GET with a form: %d %s", answer.status, answer.body)
	}
	if answer := s.do(t, "POST", "/graphql", body, append(uploader, "Content-Type: "+contentType, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example")...); answer.status != 403 {
		t.Errorf("a page of another site: %d %s", answer.status, answer.body)
	}
}

// An incomplete form is refused, wherever it ends.
func TestBrokenForms(t *testing.T) {
	s := uploadSite(t, nil)
	body, contentType := requests.Form(requests.Part{"operations", requests.Upload}, requests.Part{"map", requests.OneFile}, requests.Part{"0", strings.Repeat("x", 1000)})
	for n := 0; n < len(body)-4; n += 37 {
		answer := s.do(t, "POST", "/graphql", body[:n], append(uploader, "Content-Type: "+contentType)...)
		if answer.status != 400 {
			t.Errorf("cut after %d bytes: %d %s", n, answer.status, answer.body)
		}
	}
	headers := "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 2000)
	if answer := s.do(t, "POST", "/graphql", headers, append(uploader, "Content-Type: multipart/form-data; boundary=b")...); answer.status != 413 {
		t.Errorf("headers without end: %d %s", answer.status, answer.body)
	}
	for _, contentType := range []string{"multipart/form-data", "multipart/form-data; boundary=" + strings.Repeat("b", 71), "multipart/mixed; boundary=b"} {
		if answer := s.do(t, "POST", "/graphql", body, append(uploader, "Content-Type: "+contentType)...); answer.status != 415 {
			t.Errorf("%s: %d %s", contentType, answer.status, answer.body)
		}
	}
}

// One account sends a few at once, and a sender that stops is let go.
func TestUploadsAtOnceAndSlowOnes(t *testing.T) {
	s := uploadSite(t, func(o *Options) { o.Limits.upload = 2 * time.Second })
	body, contentType := requests.Form(requests.Part{"operations", requests.Upload}, requests.Part{"map", requests.OneFile}, requests.Part{"0", strings.Repeat("x", 2<<20)})
	send := func(body io.Reader) (reply, error) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/graphql", body)
		if err != nil {
			return reply{}, err
		}
		r.Header = http.Header{"Authorization": {"Bearer AUTHOR"}, "Apollo-Require-Preflight": {"1"}, "Content-Type": {contentType}}
		response, err := s.client.Do(r)
		if err != nil {
			return reply{}, err
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return reply{status: response.StatusCode, header: response.Header, body: string(text)}, nil
	}
	answers := make(chan reply, 4)
	var writers []*io.PipeWriter
	for i := range 4 {
		read, write := io.Pipe()
		writers = append(writers, write)
		go func() {
			answer, err := send(read)
			if err != nil {
				t.Error(err)
			}
			_ = read.Close()
			answers <- answer
		}()
		if _, err := io.WriteString(write, body[:1<<20]); err != nil { // then it stops
			t.Log(err) // the sender saw the answer first
		}
		eventually(t, "the upload to have come", func() bool { return running("upload.(*Uploads).Respond") > i })
	}
	if answer, err := send(strings.NewReader(body)); err == nil && (answer.status != 429 || answer.header.Get("Retry-After") == "") {
		t.Errorf("one too many: %d %s", answer.status, answer.body)
	}
	for range 4 {
		if answer := <-answers; answer.status != 408 {
			t.Errorf("a slow one: %d %s", answer.status, answer.body)
		}
	}
	for _, w := range writers {
		_ = w.Close()
	}
	if answer, err := send(strings.NewReader(body)); err != nil || answer.status != 200 {
		t.Errorf("afterwards: %d %s, %v", answer.status, answer.body, err)
	}
}

func BenchmarkMultipart(b *testing.B) {
	s := uploadSite(b, func(o *Options) { o.Limits.File = 20 << 20 })
	for _, size := range []int{100 << 10, 5 << 20, 20 << 20} {
		body, contentType := requests.Form(requests.Part{"operations", requests.Upload}, requests.Part{"map", requests.OneFile}, requests.Part{"0", strings.Repeat("x", size)})
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if answer := s.do(b, "POST", "/graphql", body, append(uploader, "Content-Type: "+contentType)...); answer.status != 200 {
					b.Fatal(answer.body)
				}
			}
		})
	}
}
