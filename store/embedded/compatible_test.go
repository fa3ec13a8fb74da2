//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// d makes a document of keys and values in turn.
func d(pairs ...any) bson.D {
	document := bson.D{}
	for i := 0; i < len(pairs); i += 2 {
		document = append(document, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return document
}

// TestConditionalWritesAreMadeAsFerretDBMakesThem sends the same commands through the proxy
// and past it, to two databases with the same documents, and compares replies and outcome.
func TestConditionalWritesAreMadeAsFerretDBMakesThem(t *testing.T) {
	object := bson.NewObjectID()
	take := d("$inc", d("stock", -1))
	update := func(filter, change any, more ...any) bson.D {
		return d("update", "variants", "updates", bson.A{append(d("q", filter, "u", change), d(more...)...)})
	}
	find := func(filter, change any, more ...any) bson.D {
		return append(d("findAndModify", "variants", "query", filter, "update", change), d(more...)...)
	}
	remove := func(filter any, limit int) bson.D {
		return d("delete", "variants", "deletes", bson.A{d("q", filter, "limit", limit)})
	}
	enough := d("_id", "a", "stock", d("$gte", 2))
	short := d("_id", "a", "stock", d("$gte", 100))
	cases := map[string]struct {
		reason  string
		command bson.D
		lookUp  bool // it is a form that is looked up
	}{
		"UpdateMet":            {"the condition is met", update(enough, take), true},
		"UpdateNotMet":         {"the condition is not met", update(short, take), true},
		"UpdateAbsent":         {"there is no such document", update(d("_id", "z", "stock", 1), take), true},
		"UpdateObjectID":       {"ids may be of this type", update(d("_id", object, "stock", 7), take), true},
		"UpdateOtherType":      {"FerretDB looks up no numbers", update(d("_id", 5, "stock", 1), take), false},
		"UpdateIDLast":         {"the order of keys doesn't matter", update(d("stock", 5, "_id", "a"), take), true},
		"UpdateReplace":        {"a replacement keeps the _id", update(enough, d("new", true)), true},
		"UpdateMulti":          {"there is one at most", update(enough, take, "multi", true), true},
		"UpdateOr":             {"any operator may stand beside the _id", update(d("_id", "a", "$or", bson.A{d("stock", 5), d("x", 1)}), take), true},
		"UpdateArray":          {"elements of arrays meet conditions", update(d("_id", "a", "tags", "red"), take), true},
		"UpdateNested":         {"so do paths", update(d("_id", "a", "size.cm", d("$lt", 9)), take), true},
		"UpdateUpsertAbsent":   {"an upsert inserts what the filter says", update(d("_id", "new", "stock", 3), take, "upsert", true), false},
		"UpdateUpsertFalse":    {"this is no upsert", update(enough, take, "upsert", false), true},
		"UpdateIn":             {"several ids are another matter", update(d("_id", d("$in", bson.A{"a", "b"}), "stock", 5), take), false},
		"UpdateIDAlone":        {"FerretDB looks it up itself", update(d("_id", "a"), take), false},
		"UpdateNoID":           {"there is nothing to look up", update(d("stock", 5, "x", nil), take), false},
		"UpdateNonsense":       {"an operator that doesn't exist is refused in the same words", update(d("_id", "a", "stock", d("$nonsense", 1)), take), true},
		"UpdateBadChange":      {"so is a change that is none", update(enough, d("$nonsense", d("a", 1))), true},
		"UpdateChangesID":      {"so is another _id", update(enough, d("$set", d("_id", "b"))), true},
		"UpdateWrongType":      {"so is a sum of words", update(enough, d("$inc", d("name", 1))), true},
		"UpdateDuplicateID":    {"a filter with two ids is left alone", update(d("_id", "a", "_id", "b"), take), false},
		"FindMet":              {"the condition is met", find(enough, take), true},
		"FindNewMet":           {"the document after the change", find(enough, take, "new", true), true},
		"FindNotMet":           {"the condition is not met", find(short, take), true},
		"FindSorted":           {"one document has one order", find(enough, take, "sort", d("stock", 1)), true},
		"FindRemove":           {"removing is conditional too", append(d("findAndModify", "variants", "query", enough), d("remove", true)...), true},
		"FindRemoveNotMet":     {"removing is conditional too", append(d("findAndModify", "variants", "query", short), d("remove", true)...), true},
		"FindUpsert":           {"an upsert inserts what the filter says", find(d("_id", "new", "stock", 3), take, "upsert", true), false},
		"DeleteMet":            {"the condition is met", remove(enough, 1), true},
		"DeleteNotMet":         {"the condition is not met", remove(short, 1), true},
		"DeleteAll":            {"there is one at most", remove(enough, 0), true},
		"OtherCollection":      {"a collection that isn't there has no documents", d("update", "nowhere", "updates", bson.A{d("q", enough, "u", take)}), true},
		"UpdateTwoAtOnce":      {"the second may depend on the first", d("update", "variants", "updates", bson.A{d("q", enough, "u", take), d("q", d("_id", "a", "stock", 4), "u", take)}), false},
		"DeleteWithoutAFilter": {"what is malformed is FerretDB's to refuse", d("delete", "variants", "deletes", bson.A{d("limit", 1)}), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got, want outcome
			for into, past := range map[*outcome]bool{&got: false, &want: true} {
				s := start(t, t.TempDir())
				insert(t, own(t, s), "variants",
					d("_id", "a", "stock", 5, "name", "cup", "tags", bson.A{"red", "blue"}, "size", d("cm", 8)),
					d("_id", "b", "stock", 5), d("_id", object, "stock", 7), d("_id", 5, "stock", 1))
				*into = carryOut(t, s, past, c.command)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: FerretDB by itself (-), through the proxy (+):\n%s", c.reason, diff)
			}
			message := sent(t, c.command)
			req, err := parseRequest(message)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := parseConditional(req, message); ok != c.lookUp {
				t.Errorf("it is looked up: %t: %s", ok, c.reason)
			}
		})
	}
}

// TestDocumentsAreFoundByTheirIDsAsFerretDBFindsThem sends the same reads through the proxy and
// past it, and compares the replies: in one order, which neither promises.
func TestDocumentsAreFoundByTheirIDsAsFerretDBFindsThem(t *testing.T) {
	object := bson.NewObjectID()
	find := func(filter any, more ...any) bson.D {
		return append(d("find", "variants", "filter", filter), d(more...)...)
	}
	in := func(ids ...any) bson.D { return d("_id", d("$in", bson.A(ids))) }
	many := make([]any, gathered+1)
	for i := range many {
		many[i] = fmt.Sprint("none-", i)
	}
	many[7] = "b"
	cases := map[string]struct {
		reason  string
		command bson.D
		lookUp  bool // it is a form that is looked up
	}{
		"Some":         {"each is looked up", find(in("a", "b")), true},
		"OtherOrder":   {"in any order", find(in("b", "a")), true},
		"One":          {"one is some", find(in("b")), true},
		"Absent":       {"what isn't there isn't found", find(in("x", "b", "y")), true},
		"NoneAtAll":    {"an empty answer is one", find(in("x", "y")), true},
		"Twice":        {"what is asked for twice is found once", find(in("a", "b", "a")), true},
		"ObjectID":     {"ids may be of this type", find(in("a", object)), true},
		"Number":       {"FerretDB looks up no numbers", find(in("a", 5)), false},
		"Null":         {"nor what is null", find(in("a", nil)), false},
		"Empty":        {"there is nothing to look up", find(in()), false},
		"Projection":   {"it holds for each", find(in("a", "b"), "projection", d("stock", 1)), true},
		"WithoutID":    {"so does one without the id", find(in("a", "b"), "projection", d("_id", 0, "name", 1)), true},
		"BadProjected": {"what FerretDB refuses it refuses in its words", find(in("a", "b"), "projection", d("a", 1, "b", 0)), true},
		"Sorted":       {"an order is that of all", find(in("a", "b"), "sort", d("stock", -1)), false},
		"Limited":      {"a limit is that of all", find(in("a", "b"), "limit", 1), false},
		"Skipped":      {"so is what is left out", find(in("a", "b"), "skip", 1), false},
		"SmallBatch":   {"the rest would have to be asked for", find(in("a", "b"), "batchSize", 1), false},
		"Batch":        {"there is no rest", find(in("a", "b"), "batchSize", 2), true},
		"More":         {"another condition is another matter", find(append(in("a", "b"), d("stock", 5)...)), false},
		"MoreOfIt":     {"so is one of the id", find(d("_id", d("$in", bson.A{"a", "b"}, "$ne", "a"))), false},
		"NotIn":        {"and another operator", find(d("_id", d("$nin", bson.A{"a", "b"}))), false},
		"TooMany":      {"a scan is no slower", find(in(many...)), false},
		"AsMany":       {"as a page has", find(in(many[:gathered]...)), true},
		"Alone":        {"FerretDB looks it up itself", find(d("_id", "a")), false},
		"NoFilter":     {"there is no id", d("find", "variants"), false},
		"Nonsense":     {"what is malformed is FerretDB's to refuse", find(d("_id", d("$in", "a"))), false},
		"Elsewhere":    {"a collection that isn't there has no documents", d("find", "nowhere", "filter", in("a", "b")), true},
	}
	s := start(t, t.TempDir())
	insert(t, own(t, s), "variants",
		d("_id", "a", "stock", 5, "name", "cup"), d("_id", "b", "stock", 9, "name", "jug"), d("_id", object, "stock", 7), d("_id", 5, "stock", 1))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			replies := map[bool]string{}
			for _, past := range []bool{false, true} {
				var client net.Conn
				var err error
				if past {
					client, err = net.Dial("unix", s.folder.path(ferretSocket))
				} else {
					client, err = s.Dialer().DialContext(t.Context(), "", "")
				}
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				p := peer{t, client}
				p.send(sent(t, c.command))
				body, _, err := msgSections(p.receive()[headerSize:])
				if err != nil {
					t.Fatal(err)
				}
				replies[past] = body.String()
				if batch, ok := body.Lookup("cursor", "firstBatch").ArrayOK(); ok {
					documents, _ := batch.Values()
					var found []string
					for _, d := range documents {
						found = append(found, d.String())
					}
					slices.Sort(found)
					cursor := body.Lookup("cursor").Document()
					replies[past] = fmt.Sprint(found, cursor.Lookup("ns"), body.Lookup("ok"))
				}
			}
			if replies[false] != replies[true] {
				t.Errorf("%s: through the proxy %s, by FerretDB itself %s", c.reason, replies[false], replies[true])
			}
			message := sent(t, c.command)
			req, err := parseRequest(message)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := parseByIDs(req, message); ok != c.lookUp {
				t.Errorf("it is looked up: %t: %s", ok, c.reason)
			}
		})
	}
}

func TestSeveralIDsAreLookedUpOneByOne(t *testing.T) {
	s := newScript(t)
	client, database := s.connect(false)
	client.send(sent(t, d("find", "variants", "filter", d("_id", d("$in", bson.A{"a", "b", "a", "c"})), "projection", d("stock", 1))))
	found := map[string]bson.A{"a": {d("_id", "a")}, "b": {}, "c": {d("_id", "c")}}
	for _, want := range []string{"a", "b", "c"} {
		body, _, err := msgSections(database.receive()[headerSize:])
		if err != nil {
			t.Fatal(err)
		}
		if got := body.Lookup("filter", "_id"); got.String() != fmt.Sprintf("%q", want) || body.Lookup("projection", "stock").Type == 0 {
			t.Fatalf("the database is asked %s", body)
		}
		database.send(msg(t, 0, d("ok", 1.0, "cursor", d("firstBatch", found[want], "id", int64(0), "ns", "stoa.variants"))))
	}
	body, _, err := msgSections(client.receive()[headerSize:])
	if want := `{"cursor": {"firstBatch": [{"_id": "a"},{"_id": "c"}],"id": {"$numberLong":"0"},"ns": "stoa.variants"},"ok": {"$numberDouble":"1.0"}}`; err != nil || body.String() != want {
		t.Errorf("the answer is %s, %v; want %s", body, err, want)
	}
}

// Of what a reply would become too large for, the whole is asked for, in batches.
func TestWhatIsTooLargeForOneReplyIsScannedFor(t *testing.T) {
	c := own(t, start(t, t.TempDir()))
	var ids bson.A
	for i := range 4 {
		ids = append(ids, fmt.Sprint(i))
		insert(t, c, "texts", d("_id", fmt.Sprint(i), "text", strings.Repeat("x", gatheredBytes/3)))
	}
	cursor, err := c.Database("stoa").Collection("texts").Find(t.Context(), d("_id", d("$in", ids)))
	if err := all(t.Context(), len(ids))(cursor, err); err != nil {
		t.Error(err)
	}
}

// outcome is what a command came to, as JSON.
type outcome struct {
	Reply     string
	Documents []string
}

func carryOut(t *testing.T, s *Server, past bool, cmd bson.D) outcome {
	t.Helper()
	var client net.Conn
	var err error
	if past {
		client, err = net.Dial("unix", s.folder.path(ferretSocket))
	} else {
		client, err = s.Dialer().DialContext(t.Context(), "", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := peer{t, client}
	p.send(sent(t, cmd))
	body, _, err := msgSections(p.receive()[headerSize:])
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{Reply: body.String()}
	cursor, err := own(t, s).Database("stoa").Collection("variants").Find(t.Context(), d())
	if err != nil {
		t.Fatal(err)
	}
	for cursor.Next(t.Context()) {
		o.Documents = append(o.Documents, cursor.Current.String())
	}
	if err := cursor.Err(); err != nil {
		t.Fatal(err)
	}
	return o
}

// sent is the message in which the driver sends a command: what it updates or deletes
// stands in a sequence.
func sent(t *testing.T, cmd bson.D) []byte {
	t.Helper()
	var sequences []sequence
	body := bson.D{}
	for _, e := range cmd {
		if list, ok := e.Value.(bson.A); ok && (e.Key == "updates" || e.Key == "deletes") {
			s := sequence{name: e.Key}
			for _, statement := range list {
				b, err := bson.Marshal(statement)
				if err != nil {
					t.Fatal(err)
				}
				s.documents = append(s.documents, b...)
			}
			sequences = append(sequences, s)
			continue
		}
		body = append(body, e)
	}
	b, err := bson.Marshal(append(body, bson.E{Key: "$db", Value: "stoa"}))
	if err != nil {
		t.Fatal(err)
	}
	return encodeMsg(1, 0, 0, b, sequences...)
}

func TestAConditionalWriteIsReducedToItsID(t *testing.T) {
	cases := map[string]struct {
		reason string
		answer bson.D
		want   func(filter bson.Raw) bool
	}{
		"Met": {"it is made by the _id alone", d("ok", 1.0, "cursor", d("firstBatch", bson.A{d("_id", "a")})),
			func(filter bson.Raw) bool {
				return filter.Lookup("_id").StringValue() == "a" && len(elements(t, filter)) == 1
			}},
		"NotMet": {"it is made for no document", d("ok", 1.0, "cursor", d("firstBatch", bson.A{})),
			func(filter bson.Raw) bool {
				return filter.Lookup("_id").Type == bson.TypeObjectID && len(elements(t, filter)) == 1
			}},
		"Refused": {"it is left as it was", d("ok", 0.0, "errmsg", "no", "code", 1),
			func(filter bson.Raw) bool { return len(elements(t, filter)) == 2 }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			client, database := s.connect(false)
			other, otherDB := s.connect(false)
			client.send(sent(t, d("update", "variants", "updates", bson.A{d("q", d("_id", "a", "stock", 5), "u", d("$inc", d("stock", -1)), "multi", false)})))
			if req, err := parseRequest(database.receive()); err != nil || req.command != "aggregate" {
				t.Fatalf("the database was sent %q, %v", req.command, err)
			}
			other.send(command(t, "insert"))
			if !otherDB.silent() {
				t.Fatal("another write was let in between question and write")
			}
			database.send(msg(t, 0, c.answer))
			_, sequences, err := msgSections(database.receive()[headerSize:])
			if err != nil || len(sequences) != 1 {
				t.Fatalf("%d sequences, %v", len(sequences), err)
			}
			statement := bson.Raw(sequences[0].documents)
			if filter := statement.Lookup("q").Document(); !c.want(filter) {
				t.Errorf("the filter became %v: %s", filter, c.reason)
			}
			if got := len(elements(t, statement)); got != 3 {
				t.Errorf("the statement became %v", statement)
			}
			database.send(success(t))
			client.receive()
			otherDB.receive()
			otherDB.send(success(t))
			other.receive()
		})
	}
}

func elements(t *testing.T, document bson.Raw) []bson.RawElement {
	t.Helper()
	e, err := document.Elements()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tapped is a connection that shows what is written to it.
type tapped struct {
	net.Conn
	show func(message []byte)
}

func (c tapped) Write(b []byte) (int, error) {
	c.show(b)
	return c.Conn.Write(b)
}

// TestTheDriversConditionalWritesAreLookedUp holds the forms that are looked up against those
// that the driver sends: another version of it may send others.
func TestTheDriversConditionalWritesAreLookedUp(t *testing.T) {
	s := start(t, t.TempDir())
	var lookedUp atomic.Int32
	c := connect(t, options.Client().ApplyURI(s.URI()).SetDialer(dialFunc(func(ctx context.Context) (net.Conn, error) {
		conn, err := s.Dialer().DialContext(ctx, "", "")
		return tapped{conn, func(message []byte) {
			if req, err := parseRequest(message); err == nil {
				if _, ok := parseConditional(req, message); ok {
					lookedUp.Add(1)
				}
			}
		}}, err
	})))
	insert(t, c, "articles", d("_id", "a", "version", 1))
	articles := c.Database("stoa").Collection("articles")
	filter, change := d("_id", "a", "version", 9), d("$set", d("version", 2))
	for name, do := range map[string]func() error{
		"UpdateOne":  func() error { _, err := articles.UpdateOne(t.Context(), filter, change); return err },
		"UpdateMany": func() error { _, err := articles.UpdateMany(t.Context(), filter, change); return err },
		"ReplaceOne": func() error { _, err := articles.ReplaceOne(t.Context(), filter, d("version", 2)); return err },
		"DeleteOne":  func() error { _, err := articles.DeleteOne(t.Context(), filter); return err },
		"BulkWrite": func() error {
			_, err := articles.BulkWrite(t.Context(), []mongo.WriteModel{mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(change)})
			return err
		},
		"FindOneAndUpdate":  func() error { return articles.FindOneAndUpdate(t.Context(), filter, change).Err() },
		"FindOneAndReplace": func() error { return articles.FindOneAndReplace(t.Context(), filter, d("version", 2)).Err() },
		"FindOneAndDelete":  func() error { return articles.FindOneAndDelete(t.Context(), filter).Err() },
	} {
		before := lookedUp.Load()
		if err := do(); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
			t.Fatalf("%s: %v", name, err)
		}
		if lookedUp.Load() != before+1 {
			t.Errorf("%s scans", name)
		}
	}
}

// TestTheDriversReadsByIDAreLookedUp is the same for reads, as package store makes them.
func TestTheDriversReadsByIDAreLookedUp(t *testing.T) {
	s := start(t, t.TempDir())
	var lookedUp atomic.Int32
	c := connect(t, options.Client().ApplyURI(s.URI()).SetDialer(dialFunc(func(ctx context.Context) (net.Conn, error) {
		conn, err := s.Dialer().DialContext(ctx, "", "")
		return tapped{conn, func(message []byte) {
			if req, err := parseRequest(message); err == nil {
				if _, ok := parseByIDs(req, message); ok {
					lookedUp.Add(1)
				}
			}
		}}, err
	})))
	insert(t, c, "articles", d("_id", "a", "version", 1), d("_id", "b", "version", 1), d("_id", "c"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cursor, err := c.Database("stoa").Collection("articles").Find(ctx, d("_id", d("$in", []string{"a", "b"})), options.Find().SetBatchSize(10_000).SetProjection(d("version", 1)))
	if err := all(ctx, 2)(cursor, err); err != nil {
		t.Fatal(err)
	}
	if lookedUp.Load() != 1 {
		t.Error("it scans")
	}
}

func TestBreakingAUniqueIndexIsADuplicateKey(t *testing.T) {
	c := own(t, start(t, t.TempDir()))
	accounts := c.Database("stoa").Collection("accounts")
	insert(t, c, "accounts", d("_id", "a", "mail", "a@example.com", "same", 1), d("_id", "b", "mail", "b@example.com", "same", 1))
	if _, err := accounts.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: d("mail", 1), Options: options.Index().SetUnique(true)}); err != nil {
		t.Fatal(err)
	}
	same := d("$set", d("mail", "b@example.com"))
	cases := map[string]struct {
		reason string
		do     func() error
	}{
		"Insert": {"FerretDB says so", func() error {
			_, err := accounts.InsertOne(t.Context(), d("_id", "c", "mail", "b@example.com"))
			return err
		}},
		"Update": {"FerretDB calls it an internal error", func() error {
			_, err := accounts.UpdateOne(t.Context(), d("_id", "a"), same)
			return err
		}},
		"Upsert": {"FerretDB says so", func() error {
			_, err := accounts.UpdateOne(t.Context(), d("_id", "c"), same, options.UpdateOne().SetUpsert(true))
			return err
		}},
		"Index": {"FerretDB calls it an internal error", func() error {
			_, err := accounts.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: d("same", 1), Options: options.Index().SetUnique(true)})
			return err
		}},
		"FindOneAndUpdate": {"FerretDB calls it an internal error", func() error {
			return accounts.FindOneAndUpdate(t.Context(), d("_id", "a", "mail", "a@example.com"), same).Err()
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := c.do(); !mongo.IsDuplicateKeyError(err) {
				t.Errorf("got %v, want a duplicate key: %s", err, c.reason)
			}
		})
	}
	var a struct{ Mail string }
	if err := accounts.FindOne(t.Context(), d("_id", "a")).Decode(&a); err != nil || a.Mail != "a@example.com" {
		t.Errorf("after it all, a has %q, %v", a.Mail, err)
	}
}
