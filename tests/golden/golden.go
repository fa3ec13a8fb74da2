// Package golden reads the API files of tests/api: the blog and the people at the start of
// each file, its requests, and its responses with names in place of ids. The tests of
// tests/api compare the server with the files; those of tests/guard send the same requests in
// other ways.
//
// Entry points: Files and Read for the exchanges, Publish and Cast for their initial content,
// Ask and Names. It may import everything but packages of tests other than stoatest.
package golden

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"stoa/access"
	"stoa/blog"
	"stoa/id"
	"stoa/media"
	"stoa/store"
	"stoa/tests/stoatest"
)

// The files in tests/api are promises to clients. Each is a sequence of exchanges: a request,
// a line of dashes, its response, an empty line. Comments in a request describe it; some of
// them are instructions:
//
//	# variables: {"slug": "press"}
//	# operation: Second
//	# as: ada                      one of the cast sends it; without this line nobody is signed in
//	# token: <token 1>             it is sent with this token
//	# times: 5                     it is sent so often; the response is the last one
//	# mail: verify ada@example.org it causes this mail
//	# file: wide.png               the variable $file is this one of the files below
//	# cost                         the response is shown with its cost; every response has one
//	# events: 2                    the response to a subscription is so many events in sequence
//	# meanwhile: mutation { … }    the same sender sends this once the subscription has begun
//
// Each file begins with the same blog and the same people: Publish and Cast make them. Each
// exchange comes from an address of its own, so that none is throttled for another.
//
// Ids and cursors have names, in requests and in responses: <article press>, <author ada>,
// <tag ink>, <comment Ines>, <account ada>, <session ada>, and <cursor 1> for the first cursor
// in a file's responses; likewise <token 1>, <account 1> and <session 1> for new ones, and new
// articles, authors, tags, comments, revisions and images. <text of press> is the revision at
// the start, <picture 1> the URL of a stored picture. <101 ids> is a list of so many unused
// ids. In a request, <code verify ada@example.org> is the code of the newest mail of a kind to
// an address. In a response, <time> is a time since the test began, <address> a client's
// address, and <seconds> the time to wait. UPDATE=1 go test ./tests/api -run TestAPI writes
// the responses anew; people review the diff.

const (
	dashes    = "----------"
	variables = "# variables:"
	operation = "# operation:"
	as        = "# as:"
	bearer    = "# token:"
	Times     = "# times:"
	mail      = "# mail:"
	file      = "# file:"
	Costs     = "# cost"
	events    = "# events:"
	meanwhile = "# meanwhile:"
	lineWidth = 100 // of an answer, in characters
)

// Exchange is one request of an API file with its answer.
type Exchange struct {
	Request, Answer string
	Line            int // of the file
}

// Files returns the paths of the API files.
func Files(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(stoatest.Root(t), "tests/api/*.graphql"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in tests/api: %v", err)
	}
	return paths
}

// Read returns the exchanges of a file, in their order.
func Read(t *testing.T, path string) []Exchange {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []Exchange
	var lines []string
	e, answering := Exchange{Line: 1}, false
	for i, line := range append(strings.Split(strings.TrimSpace(string(text)), "\n"), "") {
		switch {
		case line == dashes:
			e.Request, lines, answering = strings.Join(lines, "\n"), nil, true
		case line == "" && answering:
			e.Answer = strings.Join(lines, "\n")
			all = append(all, e)
			e, lines, answering = Exchange{Line: i + 2}, nil, false
		default:
			lines = append(lines, line)
		}
	}
	if len(lines) > 0 && strings.Join(lines, "") != "" {
		t.Fatalf("%s:%d: this request has no line of dashes:\n%s", path, e.Line, strings.Join(lines, "\n"))
	}
	return all
}

// Write replaces the exchanges of a file.
func Write(t *testing.T, path string, all []Exchange) {
	t.Helper()
	var parts []string
	for _, e := range all {
		parts = append(parts, e.Request+"\n"+dashes+"\n"+e.Answer+"\n")
	}
	if err := os.WriteFile(path, []byte(strings.Join(parts, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Sent is the request of an exchange, read from its comments.
type Sent struct {
	stoatest.Request
	As    string // a name in the cast; "" for nobody
	Often int
	Mail  string // kind and address of the mail that it causes; "" for none
	File  string // the name in files; "" for none

	events    int    // the number of events to wait for; 0 if it is no subscription
	meanwhile string // the mutation sent while it runs; "" for none
}

// RequestOf reads the request of an exchange, with ids in place of names.
func RequestOf(t *testing.T, request string) Sent {
	t.Helper()
	r := Sent{Request: stoatest.Request{Query: request}, Often: 1}
	for line := range strings.Lines(request) {
		if text, ok := strings.CutPrefix(line, variables); ok {
			if err := json.Unmarshal([]byte(text), &r.Variables); err != nil {
				t.Fatalf("the variables of\n%s\n%v", request, err)
			}
		}
		if text, ok := strings.CutPrefix(line, operation); ok {
			r.Operation = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, as); ok {
			r.As = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, bearer); ok {
			r.Token = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, Times); ok {
			var err error
			r.Often, err = strconv.Atoi(strings.TrimSpace(text))
			stoatest.Check(t, err)
		}
		if text, ok := strings.CutPrefix(line, mail); ok {
			r.Mail = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, file); ok {
			r.File = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, events); ok {
			var err error
			r.events, err = strconv.Atoi(strings.TrimSpace(text))
			stoatest.Check(t, err)
		}
		if text, ok := strings.CutPrefix(line, meanwhile); ok {
			r.meanwhile = strings.TrimSpace(text)
		}
	}
	return r
}

// Ask sends the request of an exchange from an address.
func Ask(t *testing.T, s *stoatest.Stoa, people map[string]stoatest.Person, from, request string) stoatest.Answer {
	t.Helper()
	r := RequestOf(t, request)
	r.Header = map[string]string{"X-Forwarded-For": from, "User-Agent": "A browser"}
	if r.As != "" {
		who, ok := people[r.As]
		if !ok {
			t.Fatalf("nobody in the cast is called %q:\n%s", r.As, request)
		}
		r.Token = who.Token
	}
	var a stoatest.Answer
	for range r.Often {
		var err error
		if r.events > 0 {
			a, err = sendSubscription(t, s, r)
		} else if r.File != "" {
			a, err = SendFile(t, s, r)
		} else {
			a, err = s.Send(r.Request)
		}
		if err != nil {
			t.Fatalf("%s\n%v", request, err)
		}
	}
	if kind, to, ok := strings.Cut(r.Mail, " "); ok {
		s.Mail(t, kind, to)
	}
	return a
}

// SendFile sends a request as a form, with its file.
func SendFile(t *testing.T, s *stoatest.Stoa, r Sent) (a stoatest.Answer, err error) {
	t.Helper()
	content, ok := files(t)[r.File]
	if !ok {
		t.Fatalf("there is no file %q:\n%s", r.File, r.Query)
	}
	r.Variables = map[string]any{"file": nil}
	operations, err := json.Marshal(r.Request)
	stoatest.Check(t, err)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	stoatest.Check(t, form.WriteField("operations", string(operations)))
	stoatest.Check(t, form.WriteField("map", `{"0": ["variables.file"]}`))
	part, err := form.CreateFormFile("0", r.File)
	stoatest.Check(t, err)
	_, err = part.Write(content)
	stoatest.Check(t, err)
	stoatest.Check(t, form.Close())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/graphql", &body)
	stoatest.Check(t, err)
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Apollo-Require-Preflight", "1")
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	if a.Raw, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	a.Status = response.StatusCode
	return a, json.Unmarshal(a.Raw, &a)
}

// files are the files for uploads: a picture stored in several widths, a small one, half of
// that file, and a file that is no picture.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	picture := func(width, height int) []byte {
		var b bytes.Buffer
		stoatest.Check(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))))
		return b.Bytes()
	}
	return map[string][]byte{
		"wide.png":    picture(800, 500),
		"small.png":   picture(8, 5),
		"half.png":    picture(8, 5)[:40],
		"drawing.svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`),
	}
}

// Names maps the ids and cursors of one run to their names in the files.
type Names struct {
	named map[string]string // by id or cursor
	made  map[string]int    // how many of a kind got their names from an answer
	began time.Time
}

// Call gives a text a name, without its angle brackets.
func (n *Names) Call(text, name string) { n.named[text] = "<" + name + ">" }

var codeName = regexp.MustCompile(`<code (\S+) (\S+)>`)

// Request puts ids, cursors and codes in the place of their names.
func (n *Names) Request(t *testing.T, s *stoatest.Stoa, text string) string {
	t.Helper()
	for is, name := range n.named {
		text = strings.ReplaceAll(text, name, is)
	}
	return codeName.ReplaceAllStringFunc(text, func(name string) string {
		parts := codeName.FindStringSubmatch(name)
		return s.Mail(t, parts[1], parts[2]).Code
	})
}

// makes returns the kind of value that a response may show under a key for the first time.
func makes(key, text string) (what string, ok bool) {
	switch {
	case key == "cursor" || key == "startCursor" || key == "endCursor":
		return "cursor", true
	case key == "token":
		return "token", true
	case strings.HasPrefix(text, media.Path):
		return "picture", true
	case key == "id":
		kind := id.ID(text).Kind()
		what = cmp.Or(named[kind], store.NameOf(kind))
		return what, what != ""
	}
	return "", false
}

// named has the words for names of a kind and a number, where that isn't the name of a declared kind.
var named = map[id.Kind]string{id.Image: "image", id.Submission: "submission", id.Publication: "event"}

var waiting = regexp.MustCompile(`try again in \S+`)

// Answer replaces ids and cursors by names, and gives names to new cursors. The cost, required
// in every executed response, is left out unless it is to be shown.
func (n *Names) Answer(t *testing.T, a stoatest.Answer, showCost bool) string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.Raw))
	decoder.UseNumber()
	texts := []string{n.readAnswer(t, decoder, a, showCost)}
	for decoder.More() { // events
		texts = append(texts, n.readAnswer(t, decoder, a, showCost))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("something follows the answer: %s", a.Raw)
	}
	return strings.Join(texts, "\n")
}

func (n *Names) readAnswer(t *testing.T, decoder *json.Decoder, a stoatest.Answer, showCost bool) string {
	t.Helper()
	v, err := readJSON(decoder, func(key, text string) string {
		if what, ok := makes(key, text); ok && n.named[text] == "" {
			n.made[what]++
			n.Call(text, fmt.Sprintf("%s %d", what, n.made[what]))
		}
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.After(n.began) && at.Before(n.began.AddDate(1, 0, 0)) {
			return "<time>"
		}
		text = waiting.ReplaceAllString(text, "try again in <seconds>")
		// Longest first: the token of a preview begins with the id of its article.
		for _, is := range slices.SortedFunc(maps.Keys(n.named), func(a, b string) int { return len(b) - len(a) }) {
			text = strings.ReplaceAll(text, is, n.named[is])
		}
		return text
	})
	if err != nil {
		t.Fatalf("read %s: %v", a.Raw, err)
	}
	sortErrors(v)
	executed := slices.ContainsFunc(v.(object), func(m member) bool { return m.key == "data" })
	if rest, ok := withoutCost(v.(object)); ok != executed {
		t.Errorf("has a cost: %t, has data: %t: %s", ok, executed, a.Raw)
	} else if !showCost {
		v = rest
	}
	return layOut(v, "")
}

// sortErrors puts errors into the order of their paths: fields are resolved side by side,
// so they come as it happens.
func sortErrors(answer any) {
	for _, m := range answer.(object) {
		if list, ok := m.value.([]any); ok && m.key == "errors" {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(pathOf(a), pathOf(b)) })
		}
	}
}

// withoutCost removes the cost, the only extension of a response; ok is false if there is
// none.
func withoutCost(answer object) (rest object, ok bool) {
	for i, m := range answer {
		if extensions, is := m.value.(object); is && m.key == "extensions" && len(extensions) == 1 && extensions[0].key == "cost" {
			cost, is := extensions[0].value.(object)
			if !is || len(cost) == 0 || cost[0].key != "requested" || len(cost) > 1 && !usesMore(cost) {
				return answer, false
			}
			_, is = cost[0].value.(json.Number)
			return slices.Concat(answer[:i], answer[i+1:]), is
		}
	}
	return answer, false
}

// usesMore reports whether a cost has, beside the units requested, those used, and they are more. An
// event says so if its documents weren't in the caches.
func usesMore(cost object) bool {
	requested, _ := cost[0].value.(json.Number)
	used, _ := cost[1].value.(json.Number)
	before, err := requested.Int64()
	after, err2 := used.Int64()
	return len(cost) == 2 && cost[1].key == "used" && err == nil && err2 == nil && after > before
}

func pathOf(err any) string {
	for _, m := range err.(object) {
		if m.key == "path" {
			return layOut(m.value, "")
		}
	}
	return ""
}

// member and object keep the order of an object's members.
type (
	member struct {
		key   string
		value any
	}
	object []member
)

// readJSON reads a value, its strings as name makes them of their key and text.
func readJSON(d *json.Decoder, name func(key, text string) string) (any, error) {
	var read func(key string) (any, error)
	read = func(key string) (any, error) {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch token {
		case json.Delim('{'):
			o := object{}
			for d.More() {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				value, err := read(key.(string))
				if err != nil {
					return nil, err
				}
				o = append(o, member{key.(string), value})
			}
			_, err = d.Token()
			return o, err
		case json.Delim('['):
			list := []any{}
			for d.More() {
				value, err := read(key)
				if err != nil {
					return nil, err
				}
				list = append(list, value)
			}
			_, err = d.Token()
			return list, err
		}
		if text, ok := token.(string); ok {
			return name(key, text), nil
		}
		if _, ok := token.(json.Number); ok && key == "retryAfter" {
			return "<seconds>", nil
		}
		return token, nil
	}
	return read("")
}

// layOut writes a value on one line if it fits, and else each of its parts on its own.
func layOut(v any, indent string) string {
	var parts []string
	begin, end := "[", "]"
	deeper := indent + "  "
	switch v := v.(type) {
	case object:
		begin, end = "{", "}"
		for _, m := range v {
			parts = append(parts, layOut(m.key, "")+": "+layOut(m.value, deeper))
		}
	case []any:
		for _, element := range v {
			parts = append(parts, layOut(element, deeper))
		}
	default:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err) // it came out of JSON
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	line := begin + strings.Join(parts, ", ") + end
	if !strings.Contains(line, "\n") && len(indent)+utf8.RuneCountInString(line) <= lineWidth {
		return line
	}
	return begin + "\n" + deeper + strings.Join(parts, ",\n"+deeper) + "\n" + indent + end
}

// Publish fills s with the blog that the API files ask about, and returns its names.
func Publish(t *testing.T, s *stoatest.Stoa) *Names {
	t.Helper()
	ctx := context.Background()
	importing, err := s.Blog.BeginImport(ctx, false)
	stoatest.Check(t, err)
	for _, a := range []struct{ slug, name, bio, url string }{
		{"ada", "Ada Brandt", "Prints *slowly*.<script>alert(1)</script>", "https://ada.example/"},
		{"grace", "Grace Oyelaran", "", "/people/grace"},
		{"fumiko", "文子", "", ""},
		{"emile", "émile Zed", "", ""},
	} {
		stoatest.Check(t, importing.Author(ctx, blog.ImportName{Slug: a.slug, Name: a.name}, a.bio, a.url))
	}
	stoatest.Check(t, importing.Tag(ctx, blog.ImportName{Slug: "ink", Name: "Ink"}, "What is put on paper."))
	for _, batch := range [][]blog.Import{magazine(), corrections()} {
		outcomes, err := importing.Add(ctx, batch)
		stoatest.Check(t, err)
		for _, o := range outcomes {
			stoatest.Check(t, o.Err)
		}
	}
	for slug, thread := range threads() {
		stoatest.Check(t, importing.Comments(ctx, slug, thread))
	}
	stoatest.Check(t, importing.Finish(ctx))

	known := &Names{named: map[string]string{}, made: map[string]int{}, began: time.Now().Add(-time.Second)}
	var many []string
	for range 101 {
		many = append(many, strconv.Quote(string(id.New(id.Article))))
	}
	known.Call("["+strings.Join(many, ",")+"]", "101 ids")
	articles, err := s.Store.Imported(ctx)
	stoatest.Check(t, err)
	bySlug := map[string]id.ID{}
	for _, a := range articles {
		bySlug[a.Slug] = a.ID
		known.Call(string(a.ID), "article "+a.Slug)
		known.Call(string(a.RevisionID), "text of "+a.Slug)
	}
	authors, err := s.Store.AllAuthors(ctx)
	stoatest.Check(t, err)
	for _, a := range authors {
		known.Call(string(a.ID), "author "+a.Slug)
	}
	tags, err := s.Store.AllTags(ctx)
	stoatest.Check(t, err)
	for _, tag := range tags {
		known.Call(string(tag.ID), "tag "+tag.Slug)
	}
	moritz := id.At(id.Comment, stoatest.Day("2026-05-20T14:00:00Z"))
	add := func(i id.ID, article string, parent id.ID, name, at string, visible bool) {
		stoatest.Check(t, s.Store.AddComments(ctx, []*store.Comment{{
			ID: i, ArticleID: bySlug[article], ParentID: parent, AuthorName: name, BodyHTML: "<p>" + name + " was here.</p>\n",
			CreatedAt: stoatest.Day(at), Visible: visible,
		}}))
		known.Call(string(i), "comment "+name)
	}
	add(moritz, "how-to-fold", "", "Moritz", "2026-05-20T14:00:00Z", false)
	add(id.New(id.Comment), "how-to-fold", moritz, "Nora", "2026-05-20T15:00:00Z", true)
	add(id.New(id.Comment), "unfinished", "", "Quentin", "2026-05-22T08:00:00Z", true)

	const comment = "id authorName"
	var found any
	s.Data(t, &found, `{ articles(first: 10) { nodes { comments(first: 10) { nodes { `+comment+`
		replies(first: 10) { nodes { `+comment+` replies(first: 5) { nodes { `+comment+` } } } } } } } } }`, nil)
	stoatest.EachObject(found, func(o map[string]any) {
		if name, ok := o["authorName"].(string); ok {
			known.Call(o["id"].(string), "comment "+name)
		}
	})
	return known
}

// Cast gives s the people of the API files, each with one session, ada with two: <session ada>
// is used in requests, and <session ada's other> is older.
func Cast(t *testing.T, s *stoatest.Stoa, known *Names) map[string]stoatest.Person {
	t.Helper()
	people := map[string]stoatest.Person{}
	for i, p := range []struct {
		name string
		role access.Role
	}{
		{"ada", access.Customer}, {"bela", access.Customer}, {"chloe", access.Author}, {"edgar", access.Editor}, {"stan", access.Staff}, {"agnes", access.Admin},
	} {
		joined := s.Join(t, p.name+"@example.org", strings.ToUpper(p.name[:1])+p.name[1:], p.role, stoatest.Day("2026-01-10T09:00:00Z").AddDate(0, i, 0))
		known.Call(string(joined.ID), "account "+p.name)
		if p.name == "ada" {
			known.Call(string(joined.Session), "session ada's other")
			joined.Session, joined.Token = s.SignIn(t, joined.Account)
		}
		known.Call(string(joined.Session), "session "+p.name)
		people[p.name] = joined
	}
	return people
}

// magazine is eight published articles, a draft and a scheduled one. One is by nobody,
// one under no tag, one has nothing that it needn't have; ink comes out an hour later
// here than corrections() says, so that its id comes after that of press.
func magazine() []blog.Import {
	ada, grace := blog.ImportName{Slug: "ada", Name: "Ada Brandt"}, blog.ImportName{Slug: "grace", Name: "Grace Oyelaran"}
	fumiko, emile := blog.ImportName{Slug: "fumiko", Name: "文子"}, blog.ImportName{Slug: "emile", Name: "émile Zed"}
	tag := func(names ...string) []blog.ImportName {
		var tags []blog.ImportName
		for _, name := range names {
			tags = append(tags, blog.ImportName{Slug: strings.ToLower(name), Name: name})
		}
		return tags
	}
	all := []blog.Import{{
		Slug: "how-to-fold", Title: "How to Fold a Letter", Summary: "Three folds, and which way round.",
		Authors: []blog.ImportName{ada}, Tags: tag("Paper", "Tools"), Aliases: []string{"folding"}, Cover: &store.Image{URL: "/img/fold.jpg"},
		PublishedAt: stoatest.Day("2026-05-20T08:00:00Z"), UpdatedAt: stoatest.Day("2026-05-21T10:15:30.5Z"),
		Markdown: "A letter has *three* parts, so it wants two folds. Begin at the bottom.\n\n" +
			"## The first fold\n\nUp to where the greeting ends.<script>alert(1)</script>\n\n" +
			"### If it is thick\n\nUse a [bone folder](https://tools.example/bone).\n\n## The second fold\n\nDown over the first.\n",
	}, {
		Slug: "press", Title: "Éclair, a Hand Press", Summary: "It weighs as much as a calf.",
		Authors: []blog.ImportName{ada, grace}, Tags: tag("Tools", "Ink"),
		PublishedAt: stoatest.Day("2026-05-12T09:30:00Z"), Markdown: "It stands in the yard & rusts.\n",
	}, {
		Slug: "ink", Title: "Ink, and What Is in It", Summary: "Soot, oil, patience.",
		Authors: []blog.ImportName{grace}, Tags: tag("Ink"),
		PublishedAt: stoatest.Day("2026-05-12T10:30:00Z"), Markdown: "Soot first.\n",
	}, {
		Slug: "kanji", Title: "漢字と🖋", Summary: "Writing with a brush.",
		Authors: []blog.ImportName{fumiko}, Tags: tag("Ink", "Paper"),
		PublishedAt: stoatest.Day("2026-04-01T00:00:00Z"), Markdown: "## 永字八法\n\n一点一画。\n",
	}, {
		Slug: "unsigned", Title: "Found in a Drawer", Summary: "Nobody knows who wrote it.",
		Tags: tag("Paper"), PublishedAt: stoatest.Day("2026-03-15T12:00:00+02:00"), Markdown: "Dear reader.\n",
	}, {
		Slug: "untagged", Title: "éclair, Again", Summary: "It has moved.",
		Authors: []blog.ImportName{grace}, PublishedAt: stoatest.Day("2026-02-28T23:59:59.999Z"), Markdown: "To the barn.\n",
	}, {
		Slug: "bare", Title: "Zero", PublishedAt: stoatest.Day("2026-01-01T00:00:00Z"), Markdown: "Nothing else.\n",
	}, {
		Slug: "long", Title: "A Walk", Summary: "Four hundred words.", Authors: []blog.ImportName{fumiko}, Tags: tag("Tools"),
		PublishedAt: stoatest.Day("2025-12-24T18:00:00Z"), Markdown: strings.Repeat("We walked on. ", 133) + "Then home.\n",
	}, {
		Slug: "unfinished", Title: "Unfinished", Draft: true, Authors: []blog.ImportName{ada}, Tags: tag("Letters", "Paper"),
		Markdown: "Not yet.\n",
	}, {
		Slug: "tomorrow", Title: "Tomorrow", Authors: []blog.ImportName{emile}, Tags: tag("Letters", "Ink"), Aliases: []string{"later"},
		PublishedAt: stoatest.Day("2999-01-01T00:00:00Z"), Markdown: "Not before then.\n",
	}}
	for i := range all {
		all[i].Source, all[i].Digest = all[i].Slug+".md", "1"
	}
	return all
}

// corrections are later changes: ink was published with press.
func corrections() []blog.Import {
	var changed []blog.Import
	for _, in := range magazine() {
		if in.Slug == "ink" {
			in.PublishedAt, in.Digest = stoatest.Day("2026-05-12T09:30:00Z"), "2"
			changed = append(changed, in)
		}
	}
	return changed
}

func threads() map[string][]blog.ImportComment {
	say := func(name, at, text string, replies ...blog.ImportComment) blog.ImportComment {
		return blog.ImportComment{Name: name, At: stoatest.Day(at), Markdown: text, Replies: replies}
	}
	return map[string][]blog.ImportComment{
		"how-to-fold": {
			say("Ines", "2026-05-20T10:00:00Z", "Which way is *up*?<img src=x onerror=alert(1)>",
				say("Jonas", "2026-05-20T11:00:00Z", "The greeting is.",
					say("Klara", "2026-05-20T12:00:00Z", "Not in my letters.")),
				say("Lena", "2026-05-20T13:00:00Z", "Away from you.")),
			say("Otto", "2026-05-20T16:00:00Z", "I use envelopes."),
		},
		"press": {say("Petra", "2026-05-13T07:00:00Z", "Is it for sale?")},
	}
}

// sendSubscription subscribes, sends the mutation for meanwhile, and returns the events in
// sequence.
func sendSubscription(t *testing.T, s *stoatest.Stoa, r Sent) (stoatest.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stoatest.InTime)
	defer cancel()
	before := s.Store.Followers()
	k, err := stoatest.Subscribe(ctx, s, r.Query, r.Variables)
	if err != nil {
		return stoatest.Answer{}, err
	}
	defer stoatest.AwaitFollowers(t, s, before)
	defer k.Cut()
	if r.meanwhile != "" {
		stoatest.AwaitFollowers(t, s, before+1)
		if a, err := s.Send(stoatest.Request{Query: r.meanwhile, Token: r.Token}); err != nil || len(a.Errors) > 0 {
			return a, fmt.Errorf("%s is answered %s: %w", r.meanwhile, a.Raw, err)
		}
	}
	var a stoatest.Answer
	for range r.events {
		m, err := k.Hear(ctx)
		switch {
		case err != nil:
			return a, err
		case m.Type == "error":
			return stoatest.Answer{Raw: []byte(`{"errors":` + string(m.Payload) + `}`)}, nil
		case m.Type != "next":
			return a, fmt.Errorf("instead of an event came %s", m.Type)
		}
		a.Raw = append(a.Raw, m.Payload...)
	}
	return a, nil
}
