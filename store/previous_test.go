package store

// Data of earlier versions, in testdata: this version reads all of it.

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

	"stoa/access"
	"stoa/id"
	"stoa/problem"
	"stoa/store/bus"
	"stoa/store/embedded"
	"stoa/tests/redistest"
)

// Each folder in testdata has the data of a version: see TestRecord. format0 is of commit 9ea3ca8,
// before there were formats. All of it must be read, from the database.
func TestWhatEarlierVersionsWroteIsRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", recordedDocuments))
	check(t, err)
	if len(files) == 0 {
		t.Fatal("nothing is recorded in testdata")
	}
	for _, file := range files {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			readEarlier(t, folder)
		})
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	check(t, json.Unmarshal(text, into))
}

func readEarlier(t *testing.T, folder string) {
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { _ = server.Close(context.Background()) })
	redis := redistest.Start(t)
	connection, err := bus.Connect(redis.URL())
	check(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	o := Options{URI: server.URI(), Dialer: server.Dialer(), Redis: connection, CacheBytes: 16 << 20, Log: slog.New(slog.DiscardHandler)}

	// The database has changed since Redis was filled: a reader that trusts Redis answers wrongly.
	client, err := mongo.Connect(clientOptions(o))
	check(t, err)
	db := client.Database(defaultDatabase)
	var documents map[string][]json.RawMessage
	readJSON(t, filepath.Join(folder, recordedDocuments), &documents)
	for name, all := range documents {
		for _, text := range all {
			var d bson.D
			check(t, bson.UnmarshalExtJSON(text, true, &d))
			for i, e := range d {
				if text, ok := e.Value.(string); ok && (e.Key == "title" || e.Key == "name" || e.Key == "authorName" || e.Key == "alt") && name != meta {
					d[i].Value = text + " now"
				}
			}
			_, err := db.Collection(name).InsertOne(t.Context(), d)
			check(t, err)
		}
	}
	var site struct {
		Name string `bson:"name"`
	}
	check(t, db.Collection(meta).FindOne(t.Context(), bson.D{{Key: "_id", Value: siteKey}}).Decode(&site))
	check(t, client.Disconnect(t.Context()))
	var values map[string]string
	readJSON(t, filepath.Join(folder, recordedRedis), &values)
	run, err := connection.Run(t.Context())
	check(t, err)
	for key, value := range values {
		plain, err := base64.StdEncoding.DecodeString(value)
		check(t, err)
		check(t, connection.Client.Set(t.Context(), run.Key(site.Name, key), plain, time.Hour).Err())
	}

	s, err := Open(t.Context(), o)
	check(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	if s.namespace != site.Name {
		t.Fatalf("the database is named %q, and was %q", s.namespace, site.Name)
	}
	deadline := time.Now().Add(20 * time.Second)
	for !s.cache.Sure() || !run.Usable() { // until then Redis isn't asked
		if time.Now().After(deadline) {
			t.Fatal("the caches aren't sure of themselves")
		}
		<-time.After(20 * time.Millisecond)
	}
	readRecord(t, s)
	if n := s.Counts().Redis; n > 0 {
		t.Errorf("%d keys were answered with what an earlier version left in Redis", n)
	}
	lookAtRecord(t, s)
}

// lookAtRecord compares the documents read with those of writeRecord.
func lookAtRecord(t *testing.T, s *Store) {
	ctx, _ := access.Begin(t.Context(), access.Request{})
	owner := recordID(id.Account, 1)
	access.Become(ctx, access.Viewer{Account: owner, Role: access.Admin})
	expect := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v; want %v", what, got, want)
		}
	}
	a, err := Articles.BySlug(ctx, s, "old-notes-published")
	check(t, err)
	expect("the title", a.Title, "Notes now")
	expect("the slug", a.Slug, "notes-published")
	expect("the cover", a.Cover.ID, recordID(id.Image, 1))
	expect("the widths of the cover", len(a.Cover.Widths), 2)
	expect("the author", a.AuthorIDs[0], recordID(id.Author, 1))
	expect("the time", a.PublishedAt, second(103))
	expect("the event", sequenceOf(a.Event), uint64(1))
	revisions, err := Revisions.All(ctx, s, []id.ID{a.RevisionID})
	check(t, err)
	expect("the text", revisions[0].Headings[0].Anchor, "engine")
	author, err := Authors.BySlug(ctx, s, "ada")
	check(t, err)
	expect("the author's name", author.Name, "Ada Lovelace now")
	expect("the author's address", *author.URL, "https://example.com/")
	expect("the author's account", author.AccountID, owner)
	tag, err := Tags.BySlug(ctx, s, "machines")
	check(t, err)
	expect("the tag's description", tag.Description, "What computes")
	lists, err := s.Children(ctx, []ChildrenKey{ChildrenKey(tag.ID), ChildrenKey(author.ID), ChildrenKey(a.ID)})
	check(t, err)
	for i, want := range []int{1, 1, 2} {
		n, all := lists[i].Len()
		expect("the length of a list", n, want)
		expect("whether that is all of it", all, true)
	}
	expect("the depth of the reply", lists[2].Depth(recordID(id.Comment, 2)), 2)
	comments, err := Comments.All(ctx, s, []id.ID{recordID(id.Comment, 1)})
	check(t, err)
	expect("the comment", comments[0].BodyHTML, "<p><strong>Yes</strong></p>")
	expect("when it was edited", *comments[0].EditedAt, second(310))
	spam, err := s.CommentNow(ctx, recordID(id.Comment, 3))
	check(t, err)
	expect("the state of the other", spam.State(), CommentSpam)
	secret, err := s.SecretByEmail(ctx, "ada@example.com")
	check(t, err)
	expect("the hash", secret.PasswordHash, "hash")
	expect("the role", secret.Role, access.Admin)
	sessions, of, err := s.Identify(ctx, []id.ID{recordID(id.Session, 1)})
	check(t, err)
	expect("whether the session stands", sessions[0].StandsFor(of[0], second(1000)), true)
	lastUses, err := s.LastUses(ctx, []id.ID{recordID(id.Session, 1)})
	check(t, err)
	expect("the use", lastUses[0].At.UTC(), second(410))
	code, err := s.MailCode(ctx, CodeToChangeEmail, "c0de", second(1000))
	check(t, err)
	expect("what the code replaces", code.Replaces, "ada@example.com")
	due, err := s.DueMails(ctx, second(1000))
	check(t, err)
	expect("the mails", len(due), 1)
	expect("the kind of mail", due[0].Kind, EmailMail)
	at, err := s.RecordIdempotency(ctx, recordedKey)
	check(t, err)
	expect("whether the claim is of earlier", at.Before(time.Now().Add(-time.Millisecond)), true)
	other := recordedKey
	other.Input = "else"
	if _, err := s.RecordIdempotency(ctx, other); !problem.Is(err, problem.KeyReused) {
		t.Errorf("the key with another input: %v", err)
	}
	pictures, err := s.Pictures(ctx, []id.ID{recordID(id.Image, 1)})
	check(t, err)
	expect("the picture", pictures[0].Bytes, int64(12345))
	tasks, err := s.Tasks(ctx, "merge/")
	check(t, err)
	expect("the tasks", strings.Join(tasks, " "), "x")
	key, err := s.sealKey(ctx)
	check(t, err)
	expect("the length of the key of sealed texts", len(key), 32)
	scheduled, ok, err := s.NextDue(ctx)
	check(t, err)
	expect("when the next is due", scheduled, second(101))
	expect("whether one is", ok, true)
	desk, err := s.Desk(ctx, []id.ID{recordID(id.Article, 0), recordID(id.Article, 2)})
	check(t, err)
	expect("the draft", desk[0].Status, Draft)
	expect("when the deleted was deleted", desk[1].DeletedAt, second(200))
}
