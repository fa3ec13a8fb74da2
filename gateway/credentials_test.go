package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/99designs/gqlgen/graphql"

	"stoa/access"
	"stoa/id"
)

// accounts maps tokens to viewers.
type accounts struct {
	mu    sync.Mutex
	asked int
	used  []string
}

func (a *accounts) options(o *Options) {
	o.Authenticate = func(_ context.Context, token string) (access.Viewer, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked++
		if token == "unknowable" {
			return access.Viewer{}, errors.New(secret)
		}
		if name, ok := strings.CutPrefix(token, "of-"); ok {
			return access.Viewer{Account: id.ID(name), Role: access.Customer}, nil
		}
		return access.Viewer{}, nil
	}
	o.Used = func(token string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.used = append(a.used, token)
	}
}

func (a *accounts) told() (asked int, used string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, strings.Join(a.used, " ")
}

func TestViewerOfARequest(t *testing.T) {
	cases := map[string]struct {
		reason  string
		slug    string
		headers []string
		want    string // in the body
		status  int
		asked   int
		used    string
	}{
		"Nobody":  {"without a token nobody is looked up", "viewer", nil, `"title":""`, 200, 0, ""},
		"Bearer":  {"a phone", "viewer", []string{"Authorization: Bearer of-ada"}, `"title":"ada"`, 200, 1, "of-ada"},
		"Cookie":  {"a browser", "viewer", []string{"Cookie: __Host-stoa=of-ada"}, `"title":"ada"`, 200, 1, "of-ada"},
		"Nobodys": {"a session that has ended", "viewer", []string{"Cookie: __Host-stoa=old"}, `"title":""`, 200, 1, "old"},
		"NotLookedAt": {"nobody is looked up for a public answer, and yet the session was used",
			"hello", []string{"Cookie: __Host-stoa=of-ada"}, `"title":"On`, 200, 0, "of-ada"},
		"Unknowable": {"an error is ours", "viewer", []string{"Authorization: Bearer unknowable"}, `"INTERNAL"`, 200, 1, "unknowable"},
		"Malformed":  {"a program's mistake", "viewer", []string{"Authorization: Bearer of ada"}, `"BAD_REQUEST"`, 400, 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &accounts{}
			s := newSite(t, a.options)
			got := s.post(t, fmt.Sprintf(`{ article(slug: %q) { title } }`, c.slug), c.headers...)
			if got.status != c.status || !strings.Contains(got.body, c.want) {
				t.Errorf("%s: got %d %s", c.reason, got.status, got.body)
			}
			if asked, used := a.told(); asked != c.asked || used != c.used {
				t.Errorf("%s: looked up %d times, used %q", c.reason, asked, used)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control is %q", got.header.Get("Cache-Control"))
			}
		})
	}
}

func TestClientReachesAccess(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Proxies = prefixes("127.0.0.0/8", "::1/128") })
	got := s.post(t, `{ article(slug: "client") { title } }`, "User-Agent: walker/1", "X-Forwarded-For: 203.0.113.77")
	if !strings.Contains(got.body, `"203.0.113.77 walker/1"`) {
		t.Errorf("got %s", got.body)
	}
}

func TestCookieGoesOut(t *testing.T) {
	s := newSite(t, nil)
	const attributes = "; HttpOnly; Secure; SameSite=Strict"
	kept := s.post(t, `{ article(slug: "keep") { slug } }`).header.Get("Set-Cookie")
	if !strings.HasPrefix(kept, "__Host-stoa=kept; Path=/; Expires=") || !strings.Contains(kept, "; Max-Age=3") || !strings.HasSuffix(kept, attributes) {
		t.Errorf("to be kept: %q", kept)
	}
	if strings.Contains(kept, "Domain") {
		t.Errorf("a __Host- cookie has no Domain: %q", kept)
	}
	forgotten := s.post(t, `{ article(slug: "forget") { slug } }`).header.Get("Set-Cookie")
	if forgotten != "__Host-stoa=; Path=/; Max-Age=0"+attributes {
		t.Errorf("to be forgotten: %q", forgotten)
	}
	failed := s.post(t, `{ a: article(slug: "forget") { slug } b: article(slug: "fault") { slug } }`).header.Get("Set-Cookie")
	if failed != forgotten {
		t.Errorf("with an answer that failed in part: %q", failed)
	}
	if got := s.do(t, "GET", "/graphql?query={article(slug:\"keep\"){slug}}", "").header.Get("Set-Cookie"); got != "" {
		t.Errorf("with a GET: %q", got)
	}
	if got := s.post(t, `{ article(slug: "hello") { slug } }`).header.Get("Set-Cookie"); got != "" {
		t.Errorf("nothing to keep: %q", got)
	}
}

// spy is an extension that sees the context of each phase.
type spy struct{ seen func(context.Context) }

func (spy) ExtensionName() string                   { return "spy" }
func (spy) Validate(graphql.ExecutableSchema) error { return nil }
func (s spy) InterceptField(ctx context.Context, next graphql.Resolver) (any, error) {
	s.seen(ctx)
	return next(ctx)
}
func (s spy) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	s.seen(ctx)
	return next(ctx)
}
func (s spy) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	s.seen(ctx)
	return next(ctx)
}

// An execution can't find the viewer in its context by any means short of calling functions
// (reflection can't look into closures). Only access knows it.
func TestOnlyAccessRevealsTheViewer(t *testing.T) {
	secrets := []string{"of-q7walkedtoken", "walked-agent/1", "203.0.113.77"}
	found, seen := &finder{secrets: secrets}, 0
	s := newSite(t, func(o *Options) {
		(&accounts{}).options(o)
		o.Proxies = prefixes("127.0.0.0/8", "::1/128")
		o.Extensions = []graphql.HandlerExtension{spy{func(ctx context.Context) {
			seen++
			found.walk(reflect.ValueOf(&ctx).Elem(), "ctx")
			found.check(fmt.Sprintf("%+v %#v", ctx, ctx), "the context, printed")
			if h := graphql.GetOperationContext(ctx).Headers; h != nil {
				t.Errorf("the operation has headers: %v", h)
			}
		}}}
	})
	got := s.post(t, `{ article(slug: "viewer") { title } }`, "Authorization: Bearer "+secrets[0], "User-Agent: "+secrets[1], "X-Forwarded-For: "+secrets[2], "Cookie: __Host-stoa="+secrets[0])
	if !strings.Contains(got.body, `"q7walkedtoken"`) {
		t.Fatalf("got %s", got.body)
	}
	if seen < 4 || found.values < 1000 || !found.access {
		t.Fatalf("saw %d contexts with %d values, access's among them: %t", seen, found.values, found.access)
	}
	if len(found.paths) > 0 {
		t.Errorf("who asks can be read outside of access:\n%s", strings.Join(found.paths, "\n"))
	}
}

func TestFinderFinds(t *testing.T) {
	type hidden struct{ in map[string]any }
	ctx := context.WithValue(t.Context(), struct{ int }{}, hidden{map[string]any{"x": &[]any{[]byte("..the-secret..")}}})
	f := &finder{secrets: []string{"the-secret"}}
	f.walk(reflect.ValueOf(&ctx).Elem(), "ctx")
	if len(f.paths) != 1 {
		t.Errorf("found %v", f.paths)
	}
}

// finder looks for secrets in all that a value leads to, unexported fields included. It
// stays out of access's own value.
type finder struct {
	secrets []string
	been    map[visit]bool
	values  int
	access  bool
	paths   []string
}

type visit struct {
	at unsafe.Pointer
	of reflect.Type
}

// check notes path if text contains a secret.
func (f *finder) check(text, path string) {
	for _, s := range f.secrets {
		if strings.Contains(text, s) {
			f.paths = append(f.paths, path)
		}
	}
}

func (f *finder) walk(v reflect.Value, path string) {
	if !v.IsValid() {
		return
	}
	if f.values++; f.values > 20_000_000 || len(path) > 4000 {
		f.paths = append(f.paths, "no end at "+path[:100])
		return
	}
	switch v.Type() {
	case reflect.TypeFor[*access.Answer]():
		f.access = true
		return
	case reflect.TypeFor[netip.Addr]():
		if v.CanAddr() {
			f.check((*netip.Addr)(v.Addr().UnsafePointer()).String(), path)
		}
		return
	case reflect.TypeFor[reflect.Type](), reflect.TypeFor[*testing.T]():
		return
	}
	switch v.Kind() {
	case reflect.String:
		f.check(v.String(), path)
	case reflect.Pointer:
		if v.IsNil() || !f.first(v.UnsafePointer(), v.Type()) {
			return
		}
		f.walk(v.Elem(), path)
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		inner := v.Elem()
		copied := reflect.New(inner.Type()).Elem() // addressable, so that all of it can be read
		if inner.CanInterface() {
			copied.Set(inner)
			inner = copied
		}
		f.walk(inner, path+".("+inner.Type().String()+")")
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			if field.CanAddr() {
				field = reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
			}
			f.walk(field, path+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		if v.IsNil() || !f.first(v.UnsafePointer(), v.Type()) {
			return
		}
		for entries := v.MapRange(); entries.Next(); {
			f.walk(entries.Key(), path+"[key]")
			f.walk(entries.Value(), path+"[]")
		}
	case reflect.Slice:
		if v.IsNil() || v.Len() == 0 || !f.first(v.UnsafePointer(), v.Type()) {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			f.check(string(v.Bytes()), path)
			return
		}
		for i := range v.Len() {
			f.walk(v.Index(i), path+"[]")
		}
	case reflect.Array:
		for i := range v.Len() {
			f.walk(v.Index(i), path+"[]")
		}
	}
}

func (f *finder) first(at unsafe.Pointer, of reflect.Type) bool {
	if f.been == nil {
		f.been = map[visit]bool{}
	}
	key := visit{at, of}
	if f.been[key] {
		return false
	}
	f.been[key] = true
	return true
}
