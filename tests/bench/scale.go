package main

// The cost of pages, and of a publication, on sites of several sizes. Entry points: scaleFlags,
// benchScale.

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/app"
	"stoa/blog"
	"stoa/id"
	"stoa/store"
	"stoa/store/bus"
	"stoa/tests/redistest"
)

// scaleOptions say which sites are measured, and on which server.
type scaleOptions struct {
	sizes  []int  // numbers of articles
	server string // the URI of a MongoDB server; "" for the embedded one
}

// scaleFlags parses the arguments after `scale`.
func scaleFlags(args []string) (scaleOptions, error) {
	o := scaleOptions{server: os.Getenv("STOA_TEST_MONGODB_URI")}
	flags := flag.NewFlagSet("scale", flag.ExitOnError)
	sizes := flags.String("articles", "300,2000,10000", "numbers of articles, separated by commas")
	_ = flags.Parse(args) // exits
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < leastScale || flags.NArg() > 0 {
			return o, fmt.Errorf("use: scale with --articles of %d or more, such as 300,10000; see --help", leastScale)
		}
		o.sizes = append(o.sizes, n)
	}
	return o, nil
}

const (
	leastScale   = 50
	pageOfList   = 400 // of a list of 20 articles; of a smaller site the last page
	threadSize   = 500
	someArticle  = 7  // the article of the pages, counted from the newest
	longThread   = 3  // the article with the thread
	scaleDrafts  = 6  // are published one by one
	scaleRelated = 12 // relations of an article
)

// scalePages are the pages, with what their variables need.
var scalePages = []struct{ name, query string }{
	{"home", kinds[0].query},
	{"article", `query($slug: String!) { article(slug: $slug) { title bodyHtml publishedAt readingMinutes author { name } tags { name slug } tableOfContents { level text anchor } commentCount related { slug title } } }`},
	{"article, next and previous", kinds[1].query},
	{"tag of half", `{ tag(slug: "tag-0") { name description articleCount articles(first: 20) ` + articlePage + ` } }`},
	{"tag of all", `{ tag(slug: "tag-all") { name description articleCount articles(first: 20) ` + articlePage + ` } }`},
	{"page 400 of a list", `query($after: String) { articles(first: 20, after: $after) ` + articlePage + ` }`},
	{"search", `query($word: String!) { search(query: $word, first: 10) { nodes { ... on Article { slug title } ... on Tag { slug name } ... on Author { slug name } } } }`},
	{"thread of 500", `query($thread: String!) { article(slug: $thread) { commentCount comments(first: 20) { nodes { id authorName createdAt bodyHtml replyCount replies(first: 5) { nodes { authorName bodyHtml } } } pageInfo { hasNextPage endCursor } } } }`},
}

// The rows beside scalePages.
const (
	scaleStart       = "start, with the search index"
	scalePublication = "publication"
	scaleSearch      = "search after a publication"
)

// rowsOfScale is how many rows each size has.
var rowsOfScale = len(scalePages) + 3

// scaleCost is what one request takes, or a publication with the work after it.
type scaleCost struct {
	documents, commands int64
	cpu                 time.Duration // of the replica and of the embedded database
	reply, redis        int64         // bytes
	memory              int64         // of the replica, in bytes
}

type scaleRow struct {
	name       string
	articles   int
	cold, warm scaleCost
}

// benchScale generates a site of each size, and prints the cost of each page on each of them.
func benchScale(ctx context.Context, o scaleOptions, out io.Writer) error {
	server := cmp.Or(o.server, "the embedded server")
	if u, err := url.Parse(server); err == nil && u.User != nil {
		server = u.Redacted()
	}
	fmt.Fprintf(out, "%s; %s/%s, %d cores, %s\n\n", server, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	var rows []scaleRow
	for _, n := range o.sizes {
		began := time.Now()
		found, err := scaleSite(ctx, o, n, func() {
			fmt.Fprintf(out, "%d articles, generated in %s\n", n, time.Since(began).Round(time.Second))
		})
		if err != nil {
			return fmt.Errorf("%d articles: %w", n, err)
		}
		rows = append(rows, found...)
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 4, 1, ' ', 0)
	fmt.Fprintln(w, "| page\t| articles\t| documents, cold\t| warm\t| commands, cold\t| warm\t| CPU, cold\t| warm\t| reply\t| Redis\t| memory\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
	for i := range rowsOfScale {
		for at := i; at < len(rows); at += rowsOfScale {
			r := rows[at]
			fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %d\t| %d\t| %d\t| %s\t| %s\t| %d\t| %d\t| %d MiB\t|\n", r.name, r.articles, r.cold.documents, r.warm.documents,
				r.cold.commands, r.warm.commands, ms(r.cold.cpu), ms(r.warm.cpu), r.cold.reply, r.cold.redis, r.warm.memory>>20)
		}
	}
	return w.Flush()
}

// scaled is a site that is measured, with its processes.
type scaled struct {
	db       *mongo.Database
	database *process // nil for a server that was there
	redis    *redis.Client
	replica  *process
	client   *http.Client
}

// scaleSite measures a site of n articles. It calls generated when the site is there.
func scaleSite(ctx context.Context, o scaleOptions, n int, generated func()) (rows []scaleRow, err error) {
	s := &scaled{client: newClient(4)}
	uri, err := s.openDatabase(ctx, o, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	thread, word, err := s.generate(ctx, uri, n)
	if err != nil {
		return nil, err
	}
	generated()
	server, err := redistest.Open()
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	s.redis = redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket()})
	defer s.redis.Close()
	media, err := os.MkdirTemp("", "stoa-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(media)
	before, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	s.replica, err = start(ctx, "", "stoa", "", map[string]string{
		"STOA_LISTEN": "127.0.0.1:0", "STOA_DEMO": "off", "STOA_MONGODB_URI": uri, "STOA_REDIS_URL": server.URL(), "STOA_RATE": "0",
		"STOA_MEDIA": "file://" + filepath.Join(media, "media"), "STOA_MAX_COST": "1000000",
	})
	if err != nil {
		return nil, err
	}
	defer s.replica.stop()
	started, err := s.since(ctx, before, nil)
	if err != nil {
		return nil, err
	}
	rows = append(rows, scaleRow{scaleStart, n, started, scaleCost{memory: started.memory}})
	after, err := s.cursor(ctx, n)
	if err != nil {
		return nil, err
	}
	time.Sleep(bus.BlockFor) // until values may be stored in Redis after the writes of the start
	variables := map[string]any{"slug": postSlug(someArticle), "after": after, "word": word, "thread": thread}
	for _, page := range scalePages {
		r, err := s.measure(ctx, page.name, n, nil, func() ([]byte, error) { return s.ask(ctx, page.query, variables) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", page.name, err)
		}
		rows = append(rows, r)
	}
	published := 0
	publish := func() ([]byte, error) {
		published++
		_, err := s.replica.tell(ctx, http.MethodPost, "/publish?slug="+draftSlug(published), nil)
		return nil, err
	}
	r, err := s.measure(ctx, scalePublication, n, nil, publish)
	if err != nil {
		return nil, err
	}
	rows = append(rows, r)
	r, err = s.measure(ctx, scaleSearch, n, publish, func() ([]byte, error) {
		return s.ask(ctx, `query($word: String!) { search(query: $word, first: 10) { nodes { ... on Article { slug title } } } }`, variables)
	})
	return append(rows, r), err
}

func (s *scaled) openDatabase(ctx context.Context, o scaleOptions, n int) (uri string, err error) {
	name := fmt.Sprintf("stoa_scale_%d_%d", n, os.Getpid())
	at := o.server
	if at == "" {
		dir, err := os.MkdirTemp("", "stoa-bench-")
		if err != nil {
			return "", err
		}
		if s.database, err = start(ctx, "", "database", "", map[string]string{"STOA_DATA": dir}); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
		s.database.dir, name, at = dir, "stoa", s.database.URL
	}
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(at))
	if err != nil {
		return "", err
	}
	s.db = client.Database(name)
	if s.database != nil {
		return at, nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (s *scaled) close() error {
	ctx := context.Background()
	var errs []error
	if s.database == nil {
		errs = append(errs, s.db.Drop(ctx))
	}
	errs = append(errs, s.db.Client().Disconnect(ctx))
	if s.database != nil {
		s.database.stop()
		errs = append(errs, os.RemoveAll(s.database.dir))
	}
	return errors.Join(errs...)
}

// ask sends a query to the replica and returns its answer, which must have no errors.
func (s *scaled) ask(ctx context.Context, query string, variables map[string]any) ([]byte, error) {
	used := map[string]any{}
	for name, value := range variables {
		if strings.Contains(query, "$"+name) {
			used[name] = value
		}
	}
	found, err := send(ctx, s.client, post(s.replica.URL+"/graphql", query, used), http.StatusOK)
	if err != nil {
		return nil, err
	}
	return found.body, decode(found.body, nil)
}

// cursor returns the cursor before page pageOfList, or before the last page of a smaller site.
func (s *scaled) cursor(ctx context.Context, n int) (after any, err error) {
	const step = 100
	for at := 0; at+step < min(n, (pageOfList-1)*store.PageSize); at += step {
		var page struct {
			Articles struct{ PageInfo struct{ EndCursor string } }
		}
		body, err := s.ask(ctx, `query($after: String) { articles(first: 100, after: $after) { pageInfo { endCursor } } }`, map[string]any{"after": after})
		if err == nil {
			err = decode(body, &page)
		}
		if err != nil {
			return nil, err
		}
		after = page.Articles.PageInfo.EndCursor
	}
	return after, nil
}

// scaleMoment is the state of all counters.
type scaleMoment struct {
	documents         int64
	replica, database usage
}

func (s *scaled) look(ctx context.Context) (m scaleMoment, err error) {
	var status struct {
		Metrics struct {
			Executor struct {
				Documents int64 `bson:"scannedObjects"`
			} `bson:"queryExecutor"`
		} `bson:"metrics"`
	}
	if err := s.db.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		return m, err
	}
	m.documents = status.Metrics.Executor.Documents
	if s.replica != nil {
		if m.replica, err = s.replica.usage(ctx); err != nil {
			return m, err
		}
	}
	if s.database != nil {
		m.database, err = s.database.usage(ctx)
	}
	return m, err
}

// since returns the cost since a moment, with an answer.
func (s *scaled) since(ctx context.Context, before scaleMoment, answer []byte) (c scaleCost, err error) {
	now, err := s.look(ctx)
	if err != nil {
		return c, err
	}
	c.documents, c.commands = now.documents-before.documents, now.replica.Commands-before.replica.Commands
	c.cpu = now.replica.CPU - before.replica.CPU + now.database.CPU - before.database.CPU
	c.reply, c.memory = int64(len(answer)), now.replica.RSS
	keys := s.redis.Scan(ctx, 0, "", 1000).Iterator()
	for keys.Next(ctx) {
		n, err := s.redis.StrLen(ctx, keys.Val()).Result()
		if err == nil { // other values are counters and messages
			c.redis += n + int64(len(keys.Val()))
		}
	}
	return c, keys.Err()
}

// measure does something with empty caches, and again until it is warm, each time after prepare if that
// isn't nil.
func (s *scaled) measure(ctx context.Context, name string, n int, prepare, do func() ([]byte, error)) (r scaleRow, err error) {
	r = scaleRow{name: name, articles: n}
	once := func() (scaleCost, error) {
		if prepare != nil {
			if _, err := prepare(); err != nil {
				return scaleCost{}, err
			}
		}
		if _, err := s.replica.tell(ctx, http.MethodPost, "/collect", nil); err != nil {
			return scaleCost{}, err
		}
		before, err := s.look(ctx)
		if err != nil {
			return scaleCost{}, err
		}
		answer, err := do()
		if err != nil {
			return scaleCost{}, err
		}
		return s.since(ctx, before, answer)
	}
	if err := s.redis.FlushAll(ctx).Err(); err != nil {
		return r, err
	}
	if _, err := s.replica.tell(ctx, http.MethodPost, "/flush", nil); err != nil {
		return r, err
	}
	if r.cold, err = once(); err != nil {
		return r, err
	}
	for range 2 { // the process may drop an entry that is set at once
		if r.warm, err = once(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// generate fills the database with a site of n articles past everything that a write would do. It
// returns the slug of the article with the thread, and a word of every tenth text.
func (s *scaled) generate(ctx context.Context, uri string, n int) (thread, word string, err error) {
	made, err := store.Open(ctx, store.Options{URI: uri, Exclusive: true, CacheBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}) // this makes the indexes
	if err != nil {
		return "", "", err
	}
	defer made.Close(context.WithoutCancel(ctx))
	w := newWriter(n)
	rows := &scaleRows{db: s.db, waiting: map[string][]any{}}
	var tags, authors []id.ID
	for i := range w.tags + 1 {
		slug := fmt.Sprintf("tag-%d", i)
		if i == w.tags {
			slug = "tag-all"
		}
		tags = append(tags, id.New(id.Tag))
		rows.add(ctx, "tags", &store.Tag{ID: tags[i], Slug: slug, Name: w.title(), NameKey: slug, Version: 1})
	}
	for i := range w.authors {
		authors = append(authors, id.New(id.Author))
		rows.add(ctx, "authors", &store.Author{ID: authors[i], Slug: fmt.Sprintf("author-%d", i), Name: w.title(), NameKey: fmt.Sprint(i), Version: 1})
	}
	ids := make([]id.ID, n)
	for i := range ids {
		ids[i] = id.At(id.Article, postedAt(i))
	}
	draw, said := drawCommented(w.random, n), make([]int, n)
	said[longThread] = commentsMost // it gets its thread below
	for i := range n + scaleDrafts {
		a := w.article(i, ids, tags, authors)
		text := "<p>" + w.sentences(20) + "</p>"
		if i%10 == 0 {
			text += "<p>quay</p>"
		}
		rows.add(ctx, "articles", a)
		rows.add(ctx, "revisions", &store.Revision{ID: a.RevisionID, ArticleID: a.ID, Version: 1, Title: a.Title, Summary: a.Summary, Markdown: text, HTML: text, CreatedAt: a.PublishedAt})
		if i < n {
			for k := range commentsEach {
				of := draw()
				for said[of] >= commentsMost {
					of = w.random.IntN(n)
				}
				said[of]++
				rows.add(ctx, "comments", w.scaleComment(ids[of], "", postedAt(of).Add(time.Duration(i*commentsEach+k)*time.Second)))
			}
		}
	}
	for i := range threadSize {
		c := w.scaleComment(ids[longThread], "", postedAt(longThread).Add(time.Duration(i)*time.Minute))
		if rows.add(ctx, "comments", c); i%5 == 0 {
			reply := w.scaleComment(ids[longThread], c.ID, c.CreatedAt.Add(time.Second))
			reply.AncestorIDs = []id.ID{c.ID}
			rows.add(ctx, "comments", reply)
		}
	}
	return postSlug(longThread), "quay", rows.flush(ctx)
}

// stored is an article with the fields that relating adds to it.
type stored struct {
	store.Article `bson:",inline"`
	RelatedScores []float64 `bson:"relatedScores"`
}

// article returns the i-th article: 0 is the newest, and those behind ids are drafts. It is related to
// those after it.
func (w *writer) article(i int, ids, tags, authors []id.ID) *stored {
	a := &stored{RelatedScores: []float64{}}
	a.Status, a.Version, a.RevisionID = store.Published, 1, id.New(id.Revision)
	a.Title, a.Summary, a.Lead, a.ReadingMinutes = w.title(), w.sentences(1), w.sentences(6), 3
	a.TagIDs, a.RelatedIDs = []id.ID{tags[len(tags)-1]}, []id.ID{}
	if i >= len(ids) {
		a.ID, a.Slug, a.Status = id.New(id.Article), draftSlug(1+i-len(ids)), store.Draft
		a.UpdatedAt = newest
		a.TagIDs, a.AuthorIDs = append(a.TagIDs, tags[0], tags[3], tags[len(tags)-2]), authors[:1]
	} else {
		a.ID, a.Slug, a.PublishedAt, a.UpdatedAt = ids[i], postSlug(i), postedAt(i), postedAt(i)
		a.Event = fmt.Sprintf("none/%d", i)
		a.AuthorIDs = []id.ID{authors[w.by.Uint64()]}
		if i%2 == 0 {
			a.TagIDs = append(a.TagIDs, tags[0])
		}
		for range 1 + w.random.IntN(3) {
			if tag := tags[1+w.tag.Uint64()]; !slices.Contains(a.TagIDs, tag) {
				a.TagIDs = append(a.TagIDs, tag)
			}
		}
		for k := range min(scaleRelated, len(ids)-1) { // by a tag of forty, say
			a.RelatedIDs = append(a.RelatedIDs, ids[(i+k+1)%len(ids)])
			a.RelatedScores = append(a.RelatedScores, math.Log(1+float64(len(ids))/float64(10+3*k)))
		}
	}
	a.TitleKey = store.SortKey(a.Title)
	return a
}

func (w *writer) scaleComment(article, parent id.ID, at time.Time) *store.Comment {
	text := w.sentences(2)
	return &store.Comment{
		ID: id.At(id.Comment, at), ArticleID: article, ParentID: parent, AuthorName: "Reader " + w.oneWord(), CreatedAt: at,
		BodyMarkdown: text, BodyHTML: "<p>" + text + "</p>", Status: store.CommentVisible, Visible: true, Version: 1,
	}
}

// scaleRows writes documents, many at once. It remembers the first error.
type scaleRows struct {
	db      *mongo.Database
	waiting map[string][]any
	err     error
}

func (r *scaleRows) add(ctx context.Context, collection string, document any) {
	r.waiting[collection] = append(r.waiting[collection], document)
	if len(r.waiting[collection]) == 1000 {
		r.write(ctx, collection)
	}
}

func (r *scaleRows) write(ctx context.Context, collection string) {
	if r.err == nil && len(r.waiting[collection]) > 0 {
		_, r.err = r.db.Collection(collection).InsertMany(ctx, r.waiting[collection])
	}
	r.waiting[collection] = nil
}

func (r *scaleRows) flush(ctx context.Context) error {
	for collection := range r.waiting {
		r.write(ctx, collection)
	}
	return r.err
}

func draftSlug(n int) string { return fmt.Sprintf("scale-draft-%d", n) }

// publish publishes a draft as an editor, and returns when articles are related to it.
func publish(ctx context.Context, a *app.App, slug string) error {
	ctx, _ = access.Begin(ctx, access.Request{})
	access.Become(ctx, access.Viewer{Account: id.New(id.Account), Role: access.Editor})
	draft, err := store.Articles.BySlugFor(ctx, a.Store, slug)
	if err != nil {
		return err
	}
	if _, err := a.Blog.Publish(ctx, blog.ArticleTransition{ID: draft.ID}); err != nil {
		return err
	}
	return a.Quiesce(ctx)
}
