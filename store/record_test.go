package store

// The data that this version writes, recorded for the tests of later versions.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/store/bus"
	"stoa/store/embedded"
	"stoa/tests/redistest"
)

// RECORD=testdata/NAME go test ./store -run TestRecord records the data of a version in testdata,
// before the next version changes its formats: one file of all documents by collection, one of
// everything in Redis by key. They are never changed afterwards.
const (
	recordedDocuments = "documents.json"
	recordedRedis     = "redis.json"
)

// recordID is the n-th id of a kind in the record.
func recordID(kind id.Kind, n byte) id.ID { return id.Of(kind, [16]byte{1, 15: n}) }

func TestRecord(t *testing.T) {
	folder := os.Getenv("RECORD")
	if folder == "" {
		t.Skip("it records what this version writes: RECORD=testdata/NAME says where")
	}
	dir := t.TempDir()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	check(t, err)
	defer server.Close(context.Background())
	redis := redistest.Start(t)
	connection, err := bus.Connect(redis.URL())
	check(t, err)
	defer connection.Close()
	s, err := Open(t.Context(), Options{
		URI: server.URI(), Dialer: server.Dialer(), Redis: connection, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	defer s.Close(context.Background())
	writeRecord(t, s)
	<-time.After(bus.BlockFor + time.Second) // by then no block is left, so values are stored in Redis
	s.cache.Flush()
	readRecord(t, s)
	check(t, os.MkdirAll(folder, 0o755))
	write := func(name string, content any) {
		text, err := json.MarshalIndent(content, "", "\t")
		check(t, err)
		check(t, os.WriteFile(filepath.Join(folder, name), append(text, '\n'), 0o644))
	}
	write(recordedDocuments, dumpDatabase(t, s.db))
	write(recordedRedis, dumpRedis(t, connection, s.namespace))
}

// writeRecord writes a document of each collection, through the methods of Store, with every field
// that it can have.
func writeRecord(t *testing.T, s *Store) {
	ctx := t.Context()
	owner := &Secret{Account: Account{ID: recordID(id.Account, 1), Email: "ada@example.com", Name: "Ada", Role: access.Admin, Epoch: 2, CreatedAt: second(1)}, PasswordHash: "hash"}
	check(t, s.AddAccount(ctx, owner))
	changed := *owner
	changed.Name = "Ada Lovelace"
	check(t, s.ChangeAccount(ctx, owner, &changed))

	url := "https://example.com/"
	author := &Author{ID: recordID(id.Author, 1), Slug: "lovelace", OldSlugs: []string{"ada"}, Name: "Ada Lovelace", NameKey: SortKey("Ada Lovelace"),
		BioHTML: "<p>Countess</p>", URL: &url, AccountID: owner.ID, MergedIDs: []id.ID{recordID(id.Author, 9)}}
	check(t, Authors.Add(ctx, s, author))
	tag := &Tag{ID: recordID(id.Tag, 1), Slug: "engines", OldSlugs: []string{"machines"}, Name: "Engines", NameKey: SortKey("Engines"),
		Description: "What computes", MergedIDs: []id.ID{recordID(id.Tag, 9)}}
	check(t, Tags.Add(ctx, s, tag))

	image := &Picture{ID: recordID(id.Image, 1), Name: "abc", Format: "jpg", Width: 800, Height: 600, Widths: []int{320, 800}, Bytes: 12345, Alt: "An engine", OwnerID: owner.ID, CreatedAt: second(2)}
	check(t, s.AddPicture(ctx, image))

	for n, status := range []Status{Draft, Scheduled, Deleted, Published} {
		a := published("notes-"+strings.ToLower(string(status)), second(100+n))
		a.ID, a.RevisionID = recordID(id.Article, byte(n)), recordID(id.Revision, byte(n))
		a.OldSlugs, a.WantedSlug, a.Title, a.Summary, a.Lead, a.ReadingMinutes = []string{"old-" + a.Slug}, "notes", "Notes", "On the engine", "The engine", 3
		a.TitleKey, a.Cover, a.OwnerID, a.CreatedAt = SortKey(a.Title), image.Image(), owner.ID, second(50)
		a.AuthorIDs, a.TagIDs, a.RelatedIDs = []id.ID{author.ID}, []id.ID{tag.ID}, []id.ID{recordID(id.Article, 0)}
		check(t, s.AddRevision(ctx, &Revision{ID: a.RevisionID, ArticleID: a.ID, Version: 2, AccountID: owner.ID, Title: a.Title, Summary: a.Summary,
			Markdown: "# Engine", HTML: `<h2 id="engine">Engine</h2>`, Headings: []Heading{{Level: 1, Text: "Engine", Anchor: "engine"}}, CreatedAt: second(60)}))
		a.Status = Draft
		check(t, s.AddArticle(ctx, a))
		after := changedTo(a, func(a *Article) { a.Status = status })
		if status == Deleted {
			after.DeletedAt = second(200)
		}
		check(t, s.ChangeArticle(ctx, a, after))
	}

	on := recordID(id.Article, 3)
	first := &Comment{ID: recordID(id.Comment, 1), ArticleID: on, AccountID: owner.ID, AuthorName: "Ada", BodyMarkdown: "*Yes*", BodyHTML: "<p><em>Yes</em></p>",
		CreatedAt: second(300), Status: CommentVisible, Visible: true, Version: 1}
	if _, err := s.AddComment(ctx, first); err != nil {
		t.Fatal(err)
	}
	edited, at := *first, second(310)
	edited.EditedAt, edited.BodyHTML = &at, "<p><strong>Yes</strong></p>"
	check(t, s.ChangeComment(ctx, first, &edited))
	check(t, s.AddComments(ctx, []*Comment{
		{ID: recordID(id.Comment, 2), ArticleID: on, ParentID: first.ID, AuthorName: "Bob", BodyHTML: "<p>No</p>", CreatedAt: second(320), Visible: true},
		{ID: recordID(id.Comment, 3), ArticleID: on, AuthorName: "Eve", BodyHTML: "<p>Buy</p>", CreatedAt: second(330), Status: CommentSpam, Version: 1},
	}))

	session := &Session{ID: recordID(id.Session, 1), AccountID: owner.ID, Epoch: 2, Hash: []byte{1, 2, 3}, Device: "Firefox", Address: "192.0.2.1", CreatedAt: second(400), EndsAt: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	check(t, s.AddSession(ctx, session))
	check(t, s.RecordLastUses(ctx, map[id.ID]time.Time{session.ID: second(410)}, time.Minute))
	check(t, s.AddMailCode(ctx, &MailCode{Hash: "c0de", Kind: CodeToChangeEmail, AccountID: owner.ID, Epoch: 2, Email: "new@example.com", Replaces: "ada@example.com", Name: "Ada", PasswordHash: "hash", EndsAt: session.EndsAt}))
	check(t, s.AddMail(ctx, &OutgoingMail{ID: recordID(id.Mail, 1), Kind: EmailMail, To: "new@example.com", Name: "Ada", PasswordHash: "hash", AccountID: owner.ID, Epoch: 2, Other: "ada@example.com", CreatedAt: second(500), NextAt: second(501), Attempts: 1}))
	if _, err := s.RecordIdempotency(ctx, recordedKey); err != nil {
		t.Fatal(err)
	}
	check(t, s.Begin(ctx, "merge/x"))
	check(t, s.Purge(ctx, []string{"list/all"}))
	if _, err := s.sealKey(ctx); err != nil {
		t.Fatal(err)
	}
}

var recordedKey = IdempotencyRecord{Caller: "ada@example.com", Key: "0123456789012345678901", Mutation: "make", Input: "something"}

// readRecord reads all documents through the caches.
func readRecord(t *testing.T, s *Store) {
	ctx, _ := access.Begin(t.Context(), access.Request{})
	access.Become(ctx, access.Viewer{Account: recordID(id.Account, 1), Role: access.Admin})
	var errs []error
	done := func(_ any, err error) { errs = append(errs, err) }
	done(Articles.BySlug(ctx, s, "notes-published"))
	done(Articles.BySlug(ctx, s, "old-notes-published"))
	done(Authors.BySlug(ctx, s, "lovelace"))
	done(Tags.BySlug(ctx, s, "engines"))
	done(Articles.For(ctx, s, []id.ID{recordID(id.Article, 0), recordID(id.Article, 1)}))
	done(Revisions.All(ctx, s, []id.ID{recordID(id.Revision, 3)}))
	done(Comments.All(ctx, s, []id.ID{recordID(id.Comment, 1), recordID(id.Comment, 2)}))
	done(s.Children(ctx, []ChildrenKey{ChildrenKey(recordID(id.Tag, 1)), ChildrenKey(recordID(id.Article, 3))}))
	done(Accounts.For(ctx, s, []id.ID{recordID(id.Account, 1)}))
	done(Sessions.For(ctx, s, []id.ID{recordID(id.Session, 1)}))
	done(s.Pictures(ctx, []id.ID{recordID(id.Image, 1)}))
	done(s.Editions(ctx, []id.Kind{id.Article, id.Author, id.Tag}))
	done(s.AddressesStamp(ctx))
	list, err := Authors.List(s, Window{})
	check(t, err)
	done(list.Page(ctx))
	_, _, err = list.Count(ctx, 10)
	errs = append(errs, err)
	_, _, err = s.NextDue(ctx)
	errs = append(errs, err)
	for _, err := range errs {
		check(t, err)
	}
}

func dumpDatabase(t *testing.T, db *mongo.Database) map[string][]json.RawMessage {
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	check(t, err)
	out := map[string][]json.RawMessage{}
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		check(t, err)
		var all []bson.D
		check(t, cursor.All(t.Context(), &all))
		for _, d := range all {
			text, err := bson.MarshalExtJSON(d, true, false)
			check(t, err)
			out[name] = append(out[name], text)
		}
	}
	return out
}

func dumpRedis(t *testing.T, connection *bus.Connection, site string) map[string]string {
	run, err := connection.Run(t.Context())
	check(t, err)
	prefix := run.Key(site, "")
	keys, err := connection.Client.Keys(t.Context(), prefix+"*").Result()
	check(t, err)
	out := map[string]string{}
	for _, key := range keys {
		value, err := connection.Client.Get(t.Context(), key).Result()
		check(t, err)
		out[strings.TrimPrefix(key, prefix)] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return out
}
