package store

// The documents that each command examines, beside those that it returns.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"stoa/access"
	"stoa/id"
)

// No command reads more than twice the documents that it returns or changes, plus ten. Every query
// of the store is sent over collections of some hundred documents, of which it needs a few, and the
// database explains it.
func TestEveryQueryExaminesWhatItReturns(t *testing.T) {
	var sentBy commandLog
	s := openStore(t, sentBy.watch)
	calls := everyCall(t, s)
	fillCollections(t, s)
	explained := 0
	for _, name := range slices.Sorted(maps.Keys(calls)) { // in everyQuery's order: some undo the work of others
		call := calls[name]
		if slices.Contains(readsEverything, name) {
			continue
		}
		s.Flush() // so that no answer comes from memory
		for _, command := range sentBy.during(func() { call(t.Context()) }) {
			plain := explainable(t, command)
			if plain == nil {
				continue
			}
			explained++
			var out struct {
				Planner struct {
					Plan struct{ Stage string } `bson:"winningPlan"`
				} `bson:"queryPlanner"`
				Stats struct {
					Returned  int `bson:"nReturned"`
					Documents int `bson:"totalDocsExamined"`
				} `bson:"executionStats"`
			}
			check(t, s.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: plain}, {Key: "verbosity", Value: "executionStats"}}).Decode(&out))
			out.Stats.Returned += lookedUp(t, s, plain)
			if most := 2*out.Stats.Returned + 10; out.Stats.Documents > most {
				t.Errorf("%s: %d documents examined for %d by %s: %.300s", name, out.Stats.Documents, out.Stats.Returned, out.Planner.Plan.Stage, fmt.Sprint(plain))
			}
		}
	}
	if explained < 500 {
		t.Errorf("only %d commands were explained", explained)
	}
}

// lookedUp is the number of documents that a command's $lookup returns: explain counts those as
// examined, and only the others as returned.
func lookedUp(t *testing.T, s *Store, command bson.D) int {
	t.Helper()
	if command[0].Key != "aggregate" || !strings.Contains(fmt.Sprint(command), "$lookup") {
		return 0
	}
	var out struct {
		Cursor struct {
			Batch []bson.D `bson:"firstBatch"`
		}
	}
	check(t, s.db.RunCommand(t.Context(), command).Decode(&out))
	n := 0
	for _, document := range out.Cursor.Batch {
		for _, e := range document {
			if list, ok := e.Value.(bson.A); ok {
				n += len(list)
			}
		}
	}
	return n
}

// examined returns how many documents and keys the first statement of an explainable command
// examines.
func examined(t *testing.T, s *Store, plain bson.D) (documents, keys int64) {
	t.Helper()
	for i, e := range plain {
		if e.Key == "updates" {
			values, err := e.Value.(bson.RawValue).Array().Values()
			check(t, err)
			plain[i].Value = bson.A{values[0]}
		}
	}
	var out struct {
		Stats struct {
			Documents int64 `bson:"totalDocsExamined"`
			Keys      int64 `bson:"totalKeysExamined"`
		} `bson:"executionStats"`
	}
	check(t, s.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: plain}, {Key: "verbosity", Value: "executionStats"}}).Decode(&out))
	return out.Stats.Documents, out.Stats.Keys
}

// explainable returns the part of a command that can be explained; nil for a command without a
// filter.
func explainable(t *testing.T, command bson.Raw) bson.D {
	t.Helper()
	elements, err := command.Elements()
	check(t, err)
	switch elements[0].Key() {
	case "find", "aggregate", "distinct", "update", "delete":
	default:
		return nil
	}
	var plain bson.D
	for _, e := range elements {
		switch e.Key() {
		case "lsid", "$db", "$readPreference", "readConcern", "writeConcern", "maxTimeMS", "batchSize":
		default:
			plain = append(plain, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	return plain
}

// fillCollections adds hundreds of documents to each collection; the queries of everyCall want few
// of them.
func fillCollections(t *testing.T, s *Store) {
	t.Helper()
	const many = 300
	tag, _, err := s.bySlug(t.Context(), tags, "tag")
	check(t, err)
	author, _, err := s.bySlug(t.Context(), authors, "author")
	check(t, err)
	others := []id.ID{id.New(id.Tag), id.New(id.Author)}
	into := map[string][]any{}
	add := func(collection string, documents ...any) { into[collection] = append(into[collection], documents...) }
	for i := range many {
		a := published(fmt.Sprintf("filled-%03d", i), second(i-many/2))
		a.TagIDs, a.AuthorIDs = []id.ID{others[0]}, []id.ID{others[1]}
		if i%2 == 0 {
			a.TagIDs = append(a.TagIDs, tag)
		}
		if i%3 == 0 {
			a.AuthorIDs = append(a.AuthorIDs, author)
		}
		a.OwnerID, a.UpdatedAt, a.Event = id.New(id.Account), second(-i), fmt.Sprintf("all/%015d", i+500)
		switch i % 10 {
		case 1:
			a.Status, a.Event = Draft, fmt.Sprintf("none/%d", i)
		case 2:
			a.Status, a.DeletedAt, a.Event = Deleted, second(i+500), fmt.Sprintf("none/%d", i)
		case 3:
			a.Status, a.Event = Scheduled, fmt.Sprintf("none/%d", i)
		}
		account, session := id.New(id.Account), id.New(id.Session)
		add(articles, a)
		add(revisions, &Revision{ID: id.New(id.Revision), ArticleID: a.ID, CreatedAt: second(i), Version: int64(i)})
		add(authors, &Author{ID: id.New(id.Author), Slug: fmt.Sprint("filled-", i), Name: "x", NameKey: fmt.Sprintf("%03d", i), AccountID: account})
		add(tags, &Tag{ID: id.New(id.Tag), Slug: fmt.Sprint("filled-", i), Name: "x", NameKey: fmt.Sprintf("%03d", i)})
		add(comments, &Comment{ID: id.New(id.Comment), ArticleID: a.ID, AccountID: account, CreatedAt: second(i), Visible: i%2 == 0,
			Status: []CommentStatus{CommentVisible, CommentPending, CommentVisible, CommentSpam}[i%4], Event: fmt.Sprintf("%s/%015d", a.ID, i+1)})
		add(accounts, &Secret{Account: Account{ID: account, Email: fmt.Sprint(i), Role: access.Roles[i%len(access.Roles)], CreatedAt: second(i)}})
		add(sessions, &Session{ID: session, AccountID: account, CreatedAt: second(i + 100), EndsAt: second(i + 200), Ended: i%2 == 0})
		add(products, productOf(fmt.Sprint("filled-", i), second(i)))
		add(lastUses, &LastUse{Session: session, At: second(i + 200)})
		add(mailCodes, &MailCode{Hash: fmt.Sprint("filled", i), AccountID: account, Email: fmt.Sprint(i), EndsAt: second(i + 200)})
		add(outgoingMail, &OutgoingMail{ID: id.New(id.Mail), To: fmt.Sprint(i), AccountID: account, CreatedAt: second(i + 200), NextAt: second(i + 200)})
	}
	for collection, documents := range into {
		_, err := s.db.Collection(collection).InsertMany(t.Context(), documents)
		check(t, err)
	}
	s.Flush()
}
