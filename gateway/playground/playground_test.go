package playground

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// start serves the playground with the examples of the demo on a port of its own.
func start(t *testing.T) string {
	t.Helper()
	tabs, err := Examples()
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Tabs: tabs})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// ask sends one request with exactly the given headers, and returns the answer and its body
// as it came over the wire.
func ask(t *testing.T, method, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	return response, body
}

func gunzip(t *testing.T, compressed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func manifestOf(t *testing.T) manifest {
	t.Helper()
	m, err := readManifest()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEncodingFollowsAcceptEncoding(t *testing.T) {
	cases := map[string]struct {
		reason string
		accept []string // each its own header line
		gzip   bool
	}{
		"None":           {"without a wish, plain bytes are always right", nil, false},
		"Empty":          {"an empty header accepts only plain bytes", []string{""}, false},
		"Browser":        {"what browsers send", []string{"gzip, deflate, br, zstd"}, true},
		"Case":           {"codings are case-insensitive", []string{"GZip"}, true},
		"OldName":        {"RFC 9110 has x-gzip stand for gzip", []string{"x-gzip"}, true},
		"SecondLine":     {"a list may be split over header lines", []string{"br", "gzip"}, true},
		"Other":          {"a coding that we don't have", []string{"br"}, false},
		"Refused":        {"q=0 refuses", []string{"gzip;q=0"}, false},
		"RefusedLong":    {"q=0.000 refuses as well", []string{"gzip; q=0.000"}, false},
		"Little":         {"a small weight still accepts", []string{"gzip;q=0.001"}, true},
		"Any":            {"a star stands for every coding not named", []string{"*"}, true},
		"AnyRefused":     {"a star with q=0 refuses gzip", []string{"*;q=0"}, false},
		"AnyButGzip":     {"what is named is not under the star", []string{"*, gzip;q=0"}, false},
		"PlainPreferred": {"the higher weight wins", []string{"identity, gzip;q=0.5"}, false},
		"PlainEqual":     {"of equal weights the smaller bytes win", []string{"gzip;q=0.5, identity;q=0.5"}, true},
		"Unreadable":     {"a weight that cannot be read accepts nothing", []string{"gzip;q=much"}, false},
		"OutOfRange":     {"a weight above 1 is none", []string{"gzip;q=2"}, false},
	}
	server, m := start(t), manifestOf(t)
	_, page := ask(t, "GET", server+"/")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var headers []string
			for _, line := range c.accept {
				headers = append(headers, "Accept-Encoding", line)
			}
			for path, want := range map[string]string{
				"/":                     hash(page),
				"/playground/" + m.Icon: m.Files[m.Icon].SHA256,
			} {
				response, body := ask(t, "GET", server+path, headers...)
				encoding := ""
				if c.gzip {
					encoding = "gzip"
				}
				if got := response.Header.Get("Content-Encoding"); got != encoding {
					t.Fatalf("%s: Content-Encoding is %q, want %q: %s", path, got, encoding, c.reason)
				}
				if got := response.Header.Get("Vary"); got != "Accept-Encoding" {
					t.Errorf("%s: Vary is %q, so a shared cache would mix the encodings", path, got)
				}
				if response.ContentLength != int64(len(body)) {
					t.Errorf("%s: Content-Length is %d, the body has %d bytes", path, response.ContentLength, len(body))
				}
				if c.gzip {
					body = gunzip(t, body)
				}
				if hash(body) != want {
					t.Errorf("%s: the body is another than it should be", path)
				}
			}
		})
	}
}

func TestEveryAssetIsServedForeverInBothEncodings(t *testing.T) {
	server, m := start(t), manifestOf(t)
	types := map[string]string{
		".js":  "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml",
		".ttf": "font/ttf",
	}
	hashed := regexp.MustCompile(`-[A-Z0-9]{8}\.\w+$`)
	for name, about := range m.Files {
		if !hashed.MatchString(name) {
			t.Errorf("%s carries no hash, and would never be asked for again when it changes", name)
		}
		for _, accept := range []string{"gzip", "identity"} {
			response, body := ask(t, "GET", server+"/playground/"+name, "Accept-Encoding", accept)
			if response.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", name, response.Status)
			}
			if got, want := response.Header.Get("Cache-Control"), "public, max-age=31536000, immutable"; got != want {
				t.Errorf("%s: Cache-Control is %q, want %q", name, got, want)
			}
			if got, want := response.Header.Get("Content-Type"), types[filepath.Ext(name)]; got != want {
				t.Errorf("%s: Content-Type is %q, want %q", name, got, want)
			}
			if response.ContentLength != int64(len(body)) {
				t.Errorf("%s: Content-Length is %d, the body has %d bytes", name, response.ContentLength, len(body))
			}
			if accept == "gzip" {
				body = gunzip(t, body)
			}
			if len(body) != about.Size || hash(body) != about.SHA256 {
				t.Errorf("%s as %s is not what manifest.json says", name, accept)
			}
		}
	}
}

func TestPageAndNoticesAreAskedForAgain(t *testing.T) {
	server := start(t)
	for _, path := range []string{"/", "/playground/LICENSES.txt"} {
		response, body := ask(t, "GET", server+path)
		if response.StatusCode != http.StatusOK || len(body) == 0 {
			t.Fatalf("%s: %s, %d bytes", path, response.Status, len(body))
		}
		if got := response.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control is %q: its address stays when it changes", path, got)
		}
	}
}

func TestVaryOfTheRouterStays(t *testing.T) {
	h, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Vary", "Accept") // as of one that shows the page to browsers only
	h.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
	if got := recorder.Header().Values("Vary"); len(got) != 1 || got[0] != "Accept, Accept-Encoding" {
		t.Errorf("Vary is %q", got)
	}
}

func TestUnchangedAssetsAreNotSentAgain(t *testing.T) {
	server, m := start(t), manifestOf(t)
	for _, path := range []string{"/", "/playground/" + m.Script, "/playground/LICENSES.txt"} {
		plain, _ := ask(t, "GET", server+path)
		tag := plain.Header.Get("ETag")
		if len(tag) < 10 || tag[0] != '"' {
			t.Fatalf("%s: %q is no strong ETag", path, tag)
		}
		packed, _ := ask(t, "GET", server+path, "Accept-Encoding", "gzip")
		if packed.Header.Get("Content-Encoding") == "gzip" && packed.Header.Get("ETag") == tag {
			t.Errorf("%s: both encodings have the ETag %s, which promises the same bytes", path, tag)
		}
		cases := map[string]struct {
			reason string
			ask    string
			want   int
		}{
			"Same":    {"the client has it", tag, http.StatusNotModified},
			"Weak":    {"If-None-Match compares weakly", "W/" + tag, http.StatusNotModified},
			"List":    {"one of several", `"other", ` + tag, http.StatusNotModified},
			"Star":    {"a star matches whatever is there", "*", http.StatusNotModified},
			"Other":   {"the client has something else", `"other"`, http.StatusOK},
			"NoQuote": {"an unquoted tag is no tag", strings.Trim(tag, `"`), http.StatusOK},
		}
		for name, c := range cases {
			response, body := ask(t, "GET", server+path, "If-None-Match", c.ask)
			if response.StatusCode != c.want {
				t.Errorf("%s %s: status %d, want %d: %s", path, name, response.StatusCode, c.want, c.reason)
			}
			if response.StatusCode != http.StatusNotModified {
				continue
			}
			if len(body) != 0 {
				t.Errorf("%s %s: 304 with a body", path, name)
			}
			for _, header := range []string{"ETag", "Cache-Control", "Vary"} {
				if response.Header.Get(header) != plain.Header.Get(header) {
					t.Errorf("%s %s: 304 without the %s that 200 has", path, name, header)
				}
			}
		}
	}
}

func TestHeadHasTheHeadersOfGet(t *testing.T) {
	server, m := start(t), manifestOf(t)
	h, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/playground/" + m.Style, "/playground/LICENSES.txt"} {
		for _, accept := range []string{"gzip", "identity"} {
			get, _ := ask(t, "GET", server+path, "Accept-Encoding", accept)
			head, body := ask(t, "HEAD", server+path, "Accept-Encoding", accept)
			if head.StatusCode != http.StatusOK || len(body) != 0 {
				t.Errorf("HEAD %s: %s with %d bytes", path, head.Status, len(body))
			}
			get.Header.Del("Date")
			head.Header.Del("Date")
			for name, values := range get.Header {
				if got := head.Header.Values(name); strings.Join(got, ",") != strings.Join(values, ",") {
					t.Errorf("HEAD %s as %s: %s is %q, of GET it is %q", path, accept, name, got, values)
				}
			}
			if head.Header.Get("Content-Length") == "" {
				t.Errorf("HEAD %s as %s says no length", path, accept)
			}

			// net/http would drop a body; a recorder shows whether one was made at all.
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest("HEAD", path, nil)
			request.Header.Set("Accept-Encoding", accept)
			h.ServeHTTP(recorder, request)
			if n := recorder.Body.Len(); n != 0 {
				t.Errorf("HEAD %s as %s makes %d bytes for nobody", path, accept, n)
			}
		}
	}
}

func TestOthersAreNotFound(t *testing.T) {
	server, m := start(t), manifestOf(t)
	cases := map[string]struct{ reason, path string }{
		"Unknown":    {"no such asset", "/playground/none.js"},
		"Folder":     {"no listing", "/playground/"},
		"Manifest":   {"what only the server reads", "/playground/manifest.json"},
		"Compressed": {"assets have one address each", "/playground/" + m.Script + ".gz"},
		"OldHash":    {"an asset of another version", "/playground/main-AAAAAAAA.js"},
		"Up":         {"no way out of the folder", "/playground/../page.html"},
		"Encoded":    {"nor an encoded one", "/playground/%2e%2e/page.html"},
		"Elsewhere":  {"the API is not ours", "/graphql"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			response, _ := ask(t, "GET", server+c.path)
			if response.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s, want 404: %s", c.path, response.Status, c.reason)
			}
			if got := response.Header.Get("Cache-Control"); strings.Contains(got, "max-age") {
				t.Errorf("%s: a 404 is kept (%s), also once the asset is there", c.path, got)
			}
		})
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	server := start(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		response, _ := ask(t, method, server+"/")
		if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, Allow %q", method, response.Status, response.Header.Get("Allow"))
		}
	}
}

func TestPolicyHoldsPageAndWorkersToTheirHost(t *testing.T) {
	server, m := start(t), manifestOf(t)
	paths := []string{"/", "/playground/" + m.Script, "/playground/none.js"}
	for _, worker := range m.Workers {
		paths = append(paths, "/playground/"+worker)
	}
	for _, path := range paths {
		response, _ := ask(t, "GET", server+path)
		policy := make(map[string]string)
		for _, directive := range strings.Split(response.Header.Get("Content-Security-Policy"), ";") {
			name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
			policy[name] = sources
		}
		for directive, want := range map[string]string{
			"default-src":     "'none'",
			"script-src":      "'self'",
			"worker-src":      "'self'",
			"connect-src":     "'self'",
			"frame-ancestors": "'none'",
			"base-uri":        "'none'",
			"form-action":     "'none'",
		} {
			if policy[directive] != want {
				t.Errorf("%s: %s is %q, want %q", path, directive, policy[directive], want)
			}
		}
		for directive, sources := range policy {
			for _, source := range strings.Fields(sources) {
				inlineStyle := directive == "style-src" && source == "'unsafe-inline'"
				if source != "'self'" && source != "'none'" && source != "data:" && !inlineStyle {
					t.Errorf("%s: %s allows %s", path, directive, source)
				}
			}
		}
		if got := response.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", path, got)
		}
		if got := response.Header.Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("%s: Referrer-Policy is %q", path, got)
		}
	}
}

func TestPageLoadsOnlyItsOwnAssets(t *testing.T) {
	server := start(t)
	_, page := ask(t, "GET", server+"/")
	loads := regexp.MustCompile(`(?:src|href|action|poster|srcset)\s*=\s*"([^"]*)"`).FindAllSubmatch(page, -1)
	if len(loads) < 4 {
		t.Fatalf("found only %d things that the page loads", len(loads))
	}
	for _, load := range loads {
		target := string(load[1])
		if !strings.HasPrefix(target, "/playground/") {
			t.Errorf("the page loads %s, which is no asset of ours", target)
			continue
		}
		if response, _ := ask(t, "GET", server+target); response.StatusCode != http.StatusOK {
			t.Errorf("the page loads %s: %s", target, response.Status)
		}
	}
	for _, tag := range regexp.MustCompile(`(?i)<script\b[^>]*>`).FindAllString(string(page), -1) {
		if !strings.Contains(tag, ` src="`) && !strings.Contains(tag, ` type="application/json"`) {
			t.Errorf("%s is an inline script, which the policy refuses", tag)
		}
	}
	if at := regexp.MustCompile(`(?i)<[a-z][^>]*\s(?:on[a-z]+|style)\s*=`).Find(page); at != nil {
		t.Errorf("%s has code or style in an attribute", at)
	}
	if at := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}`).Find(page); at != nil {
		t.Errorf("the page names the host %s", at)
	}
}

// namedHosts are the hosts named in the assets without a request to them. A new one fails the
// test below, so that somebody looks at the reason.
var namedHosts = map[string]string{
	"www.w3.org":            "XML namespaces",
	"json-schema.org":       "names of JSON Schema's drafts; Monaco loads schemas only when told to",
	"react.dev":             "in messages of React's errors",
	"prettier.io":           "in messages of prettier's errors",
	"yarnpkg.com":           "in messages of graphql-js's errors",
	"en.wikipedia.org":      "in graphql-js's description of Float",
	"commonmark.org":        "in graphql-js's description of a deprecation's reason",
	"github.com":            "links in GraphiQL, and in messages of its errors",
	"code.visualstudio.com": "links in GraphiQL's list of keys and in Monaco's texts",
	"microsoft.com":         "a link's placeholder in Monaco",
}

func TestAssetsAskNoOtherHost(t *testing.T) {
	m := manifestOf(t)
	host := regexp.MustCompile(`(?i)\b(?:https?|wss?)://([a-z0-9.-]+)`)
	seen := make(map[string]bool)
	for name := range m.Files {
		compressed, err := assets.ReadFile("assets/" + name + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		content := gunzip(t, compressed)
		for _, found := range host.FindAllSubmatch(content, -1) {
			named := strings.ToLower(strings.TrimRight(string(found[1]), "."))
			seen[named] = true
			if namedHosts[named] == "" {
				t.Errorf("%s names the host %s (%s): say in namedHosts why nothing is asked of it", name, named, found[0])
			}
		}
		if bytes.Contains(content, []byte("sourceMappingURL=")) {
			t.Errorf("%s names a source map, which developer tools would ask for", name)
		}
		if filepath.Ext(name) != ".css" {
			continue
		}
		if bytes.Contains(content, []byte("@import")) {
			t.Errorf("%s imports another style sheet", name)
		}
		for _, found := range regexp.MustCompile(`url\(\s*["']?([^"')]*)`).FindAllSubmatch(content, -1) {
			target := string(found[1])
			own, isOwn := strings.CutPrefix(target, "/playground/")
			if _, exists := m.Files[own]; !(isOwn && exists) && !strings.HasPrefix(target, "data:") && !strings.HasPrefix(target, "#") {
				t.Errorf("%s loads %.80s", name, target)
			}
		}
	}
	for named := range namedHosts {
		if !seen[named] {
			t.Errorf("namedHosts has %s, which no asset names any more", named)
		}
	}
}

func TestAssetsAreBuiltFromTheirSources(t *testing.T) {
	const remedy = "run gateway/playground/vendor.sh"
	m := manifestOf(t)

	entries, err := os.ReadDir("web")
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]bool)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" {
			continue
		}
		content, err := os.ReadFile(filepath.Join("web", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sources[entry.Name()] = true
		if m.Sources[entry.Name()] != hash(content) {
			t.Errorf("web/%s is not what the assets were made from; %s", entry.Name(), remedy)
		}
	}
	for name := range m.Sources {
		if !sources[name] {
			t.Errorf("the assets were made from web/%s, which is gone; %s", name, remedy)
		}
	}

	files, err := fs.ReadDir(assets, "assets")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, file := range files {
		there[file.Name()] = true
		if file.Name() == "manifest.json" || file.Name() == licences {
			continue
		}
		content, err := assets.ReadFile("assets/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		about, ok := m.Files[strings.TrimSuffix(file.Name(), ".gz")]
		if !ok {
			t.Errorf("assets/%s is not in the manifest; %s", file.Name(), remedy)
			continue
		}
		if plain := gunzip(t, content); len(plain) != about.Size || hash(plain) != about.SHA256 {
			t.Errorf("assets/%s is not what was built; %s", file.Name(), remedy)
		}
		// Bytes 4 to 7 are the time in gzip's header (RFC 1952): none, so that the same
		// sources give the same bytes.
		if !bytes.Equal(content[4:8], make([]byte, 4)) {
			t.Errorf("assets/%s carries the time of its making", file.Name())
		}
		if limit := 600 << 10; len(content) > limit {
			t.Errorf("assets/%s has %d bytes: more than %d in one file is slow to load and to review", file.Name(), len(content), limit)
		}
	}
	for name := range m.Files {
		if !there[name+".gz"] {
			t.Errorf("assets/%s.gz is missing; %s", name, remedy)
		}
	}
}

func TestNoticesNameEveryPackage(t *testing.T) {
	notices, err := assets.ReadFile("assets/" + licences)
	if err != nil {
		t.Fatal(err)
	}
	var wanted struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	text, err := os.ReadFile("web/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &wanted); err != nil {
		t.Fatal(err)
	}
	for name, version := range wanted.Dependencies {
		if !bytes.Contains(notices, []byte("\n"+name+" "+version+" (")) {
			t.Errorf("%s has no notice of %s %s", licences, name, version)
		}
	}
}

func TestLockFilesNameNoRegistry(t *testing.T) {
	for _, name := range []string{"web/package-lock.json", "../../tests/browser/package-lock.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Resolved, Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for folder, about := range lock.Packages {
			if folder == "" {
				continue // the project itself
			}
			if about.Resolved != "" {
				t.Errorf("%s: %s is bound to %s; npm install --package-lock-only there leaves it out", name, folder, about.Resolved)
			}
			if !strings.HasPrefix(about.Integrity, "sha512-") {
				t.Errorf("%s: %s is not held to a hash", name, folder)
			}
		}
	}
}

// settingsIn returns the settings that the page passes to its script.
func settingsIn(t *testing.T, page []byte) settings {
	t.Helper()
	found := regexp.MustCompile(`(?s)<script type="application/json" id="settings">(.*?)</script>`).FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no settings")
	}
	var s settings
	if err := json.Unmarshal(found[1], &s); err != nil {
		t.Fatalf("settings: %v", err)
	}
	return s
}

func TestTabsReachThePageAsTheyAre(t *testing.T) {
	tab := Tab{
		Query:     "# Ends the script? </script><!-- \n# And \u2028 a line?\n{ a }\nquery Second { b }",
		Variables: `{"text": "</script>"}`,
		Headers:   `{"Authorization": "Bearer x"}`,
	}
	h, err := New(Options{Tabs: []Tab{tab}})
	if err != nil {
		t.Fatal(err)
	}
	s := settingsIn(t, pageAt(t, h, "http://localhost:8080"))
	if s.Endpoint != "/graphql" {
		t.Errorf("the page asks %s", s.Endpoint)
	}
	want := tabSettings{
		Title:     "Second",
		About:     "Ends the script? </script><!-- And a line?",
		Query:     tab.Query,
		Variables: tab.Variables,
		Headers:   tab.Headers,
	}
	if len(s.Tabs) != 1 || s.Tabs[0] != want {
		t.Errorf("tabs are\n%q, want\n%q", s.Tabs, want)
	}
	m := manifestOf(t)
	for label, path := range s.Workers {
		if _, ok := h.files[path]; !ok || m.Workers[label] == "" {
			t.Errorf("worker %s is at %s, where nothing is", label, path)
		}
	}
}

func TestNewRefusesTabsThatCannotRun(t *testing.T) {
	cases := map[string]struct {
		reason string
		tab    Tab
		want   string // in the error; empty for a valid tab
	}{
		"Right":        {"nothing is wrong", Tab{Query: "query A { a }"}, ""},
		"Mutation":     {"other operations have names too", Tab{Query: "mutation A { a }"}, ""},
		"NoName":       {"a tab needs a title", Tab{Query: "{ a }"}, "names no operation"},
		"NameInText":   {"a comment is no operation", Tab{Query: "# query A\n{ a }"}, "names no operation"},
		"Empty":        {"an example has a query", Tab{}, "names no operation"},
		"BadVariables": {"variables are JSON", Tab{Query: "query A { a }", Variables: "{a: 1}"}, "the variables of A"},
		"NoObject":     {"variables are an object", Tab{Query: "query A { a }", Variables: "[1]"}, "the variables of A"},
		"BadHeaders":   {"headers are JSON", Tab{Query: "query A { a }", Headers: "x"}, "the headers of A"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{Tabs: []Tab{{Query: "query First { a }"}, c.tab}})
			if c.want == "" && err != nil {
				t.Errorf("refused with %v: %s", err, c.reason)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "tab 2")) {
				t.Errorf("error is %v, want it to say %q of tab 2: %s", err, c.want, c.reason)
			}
		})
	}
}

// pageAt returns the page of a reader who has opened the server at origin.
func pageAt(t *testing.T, h *Handler, origin string) []byte {
	t.Helper()
	f, err := h.page.at(origin)
	if err != nil {
		t.Fatal(err)
	}
	return f.plain
}

// An example that names the server names the one that the reader has opened, on whatever port.
func TestExamplesNameTheServerOfThePage(t *testing.T) {
	for range 2 {
		server := start(t)
		_, page := ask(t, "GET", server+"/")
		named := false
		for _, tab := range settingsIn(t, page).Tabs {
			named = named || strings.Contains(tab.Query, server+"/outbox") && strings.Contains(tab.About, server+"/outbox")
			for _, text := range []string{tab.Query, tab.About} {
				if rest := strings.ReplaceAll(text, server, ""); strings.Contains(rest, "{server}") || strings.Contains(rest, "localhost") || strings.Contains(rest, "127.0.0.1") {
					t.Errorf("%s is about another server than %s: %s", tab.Title, server, text)
				}
			}
		}
		if !named {
			t.Errorf("no example links to %s/outbox", server)
		}
	}
}
