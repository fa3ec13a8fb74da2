package main

// The content of the benchmark's site. Entry point: prepare, which generates a site through
// the measured program itself, so that its data folder is one of that version.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"stoa/id"
	"stoa/store"
	"stoa/store/embedded"
)

// content is the knowledge of a site that its visitors need. It is stored beside the data
// folder.
type content struct {
	Posts   []postID // newest first
	Tags    int      // their number: tag-0 on half of the posts, tag-1, …
	Words   []string // most frequent first
	Cursors []string // of the first pages of articles
	Tokens  []string // of the editors' sessions
}

type postID struct{ Slug, ID string }

const (
	dataFolder   = "data"
	contentFile  = "site.json"
	commentsEach = 2   // comments of a post, on average
	commentsMost = 500 // and at most
	editors      = 4   // several, because an account may only comment twice a minute
	cursorPages  = 20
)

// prepare returns the site in dir. It generates one of n posts if dir has none.
func prepare(ctx context.Context, p program, dir string, n int) (*content, error) {
	c := &content{}
	text, err := os.ReadFile(filepath.Join(dir, contentFile))
	if err == nil {
		if err = json.Unmarshal(text, c); err == nil && len(c.Posts) != n {
			err = fmt.Errorf("%s has %d posts, not %d: choose another folder", dir, len(c.Posts), n)
		}
		return c, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := makeSite(ctx, p, dir, n, c); err != nil {
		return nil, fmt.Errorf("make a site of %d posts: %w", n, err)
	}
	if text, err = json.Marshal(c); err != nil {
		return nil, err
	}
	return c, os.WriteFile(filepath.Join(dir, contentFile), text, 0o600)
}

func makeSite(ctx context.Context, p program, dir string, n int, c *content) error {
	settings := siteSettings(filepath.Join(dir, dataFolder))
	w := newWriter(n)
	c.Tags, c.Words = w.tags, w.words
	// The second import changes a third of the posts and so gives them a second revision.
	folder := filepath.Join(dir, "magazine")
	defer os.RemoveAll(folder)
	for _, every := range []int{1, 3} {
		if err := w.write(folder, every); err != nil {
			return err
		}
		if _, err := p.run(ctx, settings, "import", "markdown", folder); err != nil {
			return err
		}
	}
	var codes []string
	for i := range editors {
		said, err := p.run(ctx, settings, "admin", editorAddress(i))
		if err != nil {
			return err
		}
		code := regexp.MustCompile(`token: "([^"]+)"`).FindStringSubmatch(said)
		if code == nil {
			return fmt.Errorf("no code in the output of admin: %q", said)
		}
		codes = append(codes, code[1])
	}
	s, err := p.start(ctx, settings)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := w.comment(ctx, filepath.Join(dir, dataFolder), c); err != nil {
		return err
	}
	if err := s.signIn(ctx, codes, c); err != nil {
		return err
	}
	return s.findCursors(ctx, c)
}

func editorAddress(i int) string { return fmt.Sprintf("editor%d@example.org", i) }

// signIn gives each editor a password, a name and a session.
func (s *server) signIn(ctx context.Context, codes []string, c *content) error {
	const password = "a quiet harbour wall"
	for i, code := range codes {
		reset := map[string]any{"in": map[string]any{"token": code, "password": password}}
		if err := s.ask(ctx, `mutation($in: PasswordResetInput!) { passwordReset(input: $in) { userErrors { message } } }`, reset, nil); err != nil {
			return err
		}
		var session struct{ SessionCreate struct{ Token string } }
		create := map[string]any{"in": map[string]any{"email": editorAddress(i), "password": password}}
		if err := s.ask(ctx, `mutation($in: SessionCreateInput!) { sessionCreate(input: $in) { token userErrors { message } } }`, create, &session); err != nil {
			return err
		}
		if session.SessionCreate.Token == "" {
			return errors.New("an editor cannot sign in")
		}
		name := post(s.url+"/graphql", `mutation($in: AccountUpdateInput!) { accountUpdate(input: $in) { userErrors { message } } }`, map[string]any{"in": map[string]any{"name": fmt.Sprint("Editor ", i)}})
		name.header["Authorization"] = "Bearer " + session.SessionCreate.Token
		if _, err := send(ctx, http.DefaultClient, name, http.StatusOK); err != nil { // an account without a name cannot publish
			return err
		}
		c.Tokens = append(c.Tokens, session.SessionCreate.Token)
	}
	return nil
}

// findCursors collects the cursors of the first pages of articles.
func (s *server) findCursors(ctx context.Context, c *content) error {
	var after any
	for range cursorPages {
		var page struct {
			Articles struct {
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		err := s.ask(ctx, `query($after: String) { articles(first: 20, after: $after) { pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after}, &page)
		if err != nil {
			return err
		}
		if !page.Articles.PageInfo.HasNextPage {
			break
		}
		after = page.Articles.PageInfo.EndCursor
		c.Cursors = append(c.Cursors, page.Articles.PageInfo.EndCursor)
	}
	return nil
}

// writer generates posts and comments, the same ones for the same number of posts.
type writer struct {
	n, tags, authors int
	words            []string
	random           *rand.Rand
	word, tag, by    *rand.Zipf
}

func newWriter(n int) *writer {
	w := &writer{n: n, tags: 10 + n/25, authors: 5 + n/50, random: rand.New(rand.NewPCG(1, uint64(n)))}
	w.words = makeWords(w.random, 4000)
	w.word = rand.NewZipf(w.random, 1.05, 5, uint64(len(w.words)-1))
	w.tag = rand.NewZipf(w.random, 1.2, 2, uint64(w.tags-2))
	w.by = rand.NewZipf(w.random, 1.2, 3, uint64(w.authors-1))
	return w
}

func makeWords(random *rand.Rand, n int) []string {
	starts := strings.Fields("b br c ch d f fl g h k l m n p pl qu r s st t tr v w z")
	ends := strings.Fields("a al an e el en er i in is o ol on or u um us y")
	known := map[string]bool{}
	words := make([]string, 0, n)
	for len(words) < n {
		var b strings.Builder
		for range 1 + len(words)/100%2 + random.IntN(3) { // frequent words differ in length, too
			b.WriteString(starts[random.IntN(len(starts))] + ends[random.IntN(len(ends))])
		}
		if !known[b.String()] {
			known[b.String()] = true
			words = append(words, b.String())
		}
	}
	return words
}

// write writes a file for each post if every is 1. Otherwise it adds a paragraph to each
// every-th file.
func (w *writer) write(folder string, every int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for i := 0; i < w.n; i += every {
		path := filepath.Join(folder, postSlug(i)+".md")
		if every == 1 {
			if err := os.WriteFile(path, []byte(w.post(i)), 0o600); err != nil {
				return err
			}
			continue
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("\n" + w.sentences(3) + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func postSlug(i int) string { return fmt.Sprintf("post-%d", i) }

// newest is the publication time of the first post. Each post is six hours older than the
// one before it.
var newest = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func postedAt(i int) time.Time { return newest.Add(-time.Duration(i) * 6 * time.Hour) }

// post returns a file with front matter: 2 to 5 kB, one in fifty about 20 kB.
func (w *writer) post(i int) string {
	var b strings.Builder
	authors := []string{fmt.Sprintf("author-%d", w.by.Uint64())}
	if w.random.IntN(10) == 0 {
		authors = append(authors, fmt.Sprintf("author-%d", w.by.Uint64()))
	}
	var tags []string
	if w.random.IntN(2) == 0 {
		tags = append(tags, "tag-0")
	}
	for range 1 + w.random.IntN(3) {
		tags = append(tags, fmt.Sprintf("tag-%d", 1+w.tag.Uint64()))
	}
	fmt.Fprintf(&b, "---\ntitle: %q\nslug: %s\ndate: %s\nsummary: %q\nauthors: [%s]\ntags: [%s]\n---\n", w.title(), postSlug(i),
		postedAt(i).Format(time.RFC3339), w.sentences(1), strings.Join(authors, ", "), strings.Join(tags, ", "))
	parts := 2 + w.random.IntN(4)
	if w.random.IntN(50) == 0 {
		parts *= 8
	}
	b.WriteString(w.sentences(4) + "\n")
	for part := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n", w.title(), w.sentences(4+w.random.IntN(4)), w.sentences(3))
		switch (i + part) % 4 {
		case 0:
			fmt.Fprintf(&b, "\n- %s\n- *%s*\n- [%s](https://example.org/%s)\n", w.title(), w.title(), w.title(), w.oneWord())
		case 1:
			fmt.Fprintf(&b, "\n```go\nfunc %s() string { return %q }\n```\n", w.oneWord(), w.oneWord())
		}
	}
	return b.String()
}

func (w *writer) oneWord() string { return w.words[w.word.Uint64()] }

func (w *writer) title() string {
	words := make([]string, 3+w.random.IntN(4))
	for i := range words {
		words[i] = w.oneWord()
	}
	words[0] = strings.ToUpper(words[0][:1]) + words[0][1:]
	return strings.Join(words, " ")
}

func (w *writer) sentences(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = w.title() + ", " + w.oneWord() + " " + w.oneWord() + " " + w.oneWord() + " " + w.oneWord() + "."
	}
	return strings.Join(all, " ")
}

// drawCommented returns a function that draws the index of one of n posts by how often posts
// are commented on: a few posts have most of the comments.
func drawCommented(random *rand.Rand, n int) func() int {
	rank := rand.NewZipf(random, 1.15, 2, uint64(n-1))
	return func() int { return int(rank.Uint64()) * 7919 % n } // 7919 is prime, so each post has one rank
}

// comment stores comments, and finds the ids of the posts. It connects to the socket of the
// server that holds the data folder, as the import command does.
func (w *writer) comment(ctx context.Context, data string, c *content) error {
	uri, running, err := embedded.Find(data)
	if err == nil && !running {
		err = errors.New("no server holds the data folder")
	}
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{URI: uri, Exclusive: true, CacheBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer s.Close(context.WithoutCancel(ctx))
	slugs, err := s.TakenSlugs(ctx)
	if err != nil {
		return err
	}
	for i := range w.n {
		c.Posts = append(c.Posts, postID{postSlug(i), string(slugs[postSlug(i)])})
	}
	draw, counts := drawCommented(w.random, w.n), make([]int, w.n)
	var batch []*store.Comment
	for range commentsEach * w.n {
		i := draw()
		for counts[i] == commentsMost {
			i = w.random.IntN(w.n)
		}
		counts[i]++
		text := w.sentences(1 + w.random.IntN(3))
		at := postedAt(i).Add(time.Duration(counts[i]) * time.Hour)
		batch = append(batch, &store.Comment{
			ID: id.At(id.Comment, at), ArticleID: slugs[postSlug(i)], AuthorName: "Reader " + w.oneWord(), CreatedAt: at,
			BodyMarkdown: text, BodyHTML: "<p>" + text + "</p>", Status: store.CommentVisible, Visible: true, Version: 1,
		})
	}
	for some := range slices.Chunk(batch, 500) {
		if err := s.AddComments(ctx, some); err != nil {
			return err
		}
	}
	return nil
}
