package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// hangingSMTP accepts connections and never says a word. It tells of each.
func hangingSMTP(t *testing.T) (url string, called <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan struct{}, 100)
	var mu sync.Mutex
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			calls <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return "smtp://" + l.Addr().String() + "?starttls=off", calls
}

// expireLeases lets the time pass for which mails that were taken are nobody else's.
func expireLeases(t *testing.T, db *mongo.Database) {
	t.Helper()
	past := bson.D{{Key: "$set", Value: bson.D{{Key: "nextAt", Value: time.Now().Add(-time.Second)}}}}
	if _, err := db.Collection("letters").UpdateMany(t.Context(), bson.D{{Key: "nextAt", Value: bson.D{{Key: "$exists", Value: true}}}}, past); err != nil {
		t.Fatal(err)
	}
}

// A replica that dies while it sends a mail leaves it to the others, once they may be
// sure that it doesn't send it any more.
func TestALetterOutlivesTheReplicaThatSentIt(t *testing.T) {
	t.Parallel()
	uri, redis := stoatest.Database(t), redistest.Start(t)
	db := open(t, uri)
	smtp, called := hangingSMTP(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()}
	ends := map[string]func(t *testing.T) (*stoatest.Stoa, func()){
		"Killed": func(t *testing.T) (*stoatest.Stoa, func()) {
			env := environ{"STOA_SMTP_URL": smtp, "STOA_MAIL_FROM": "stoa@example.org", "STOA_PROXIES": "127.0.0.1/32"}
			for name, value := range settings {
				env[name] = value
			}
			p := serve(t, env)
			return p.Stoa, func() { p.kill(t) }
		},
		"Stopped": func(t *testing.T) (*stoatest.Stoa, func()) {
			s := startAll(t, stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_SMTP_URL": smtp, "STOA_MAIL_FROM": "stoa@example.org"})[0]
			return s, s.Stop
		},
	}
	for name, start := range ends {
		t.Run(name, func(t *testing.T) {
			dying, end := start(t)
			address, other, third := newAddress(), newAddress(), newAddress()
			register := func(s *stoatest.Stoa, address string) {
				newCaller().do(t, s, "accountRegister", input{"email": address, "password": phrase, "name": "Ruth"})
			}
			register(dying, address)
			select {
			case <-called:
			case <-time.After(20 * time.Second):
				t.Fatal("the mail isn't sent")
			}
			end()
			replicas := startAll(t, settings, settings, settings)
			register(replicas[0], other)
			awaitCode(t, other, "verify", replicas...)
			if got := mailsTo(mails(t, replicas...), address); len(got) > 0 {
				t.Errorf("another replica has sent %+v while it is to be sent by the first", got)
			}
			expireLeases(t, db)
			register(replicas[1], third) // at which everybody looks for mails
			code := awaitCode(t, address, "verify", replicas...)
			awaitSent(t, db)
			for _, to := range []string{address, other, third} {
				if got := mailsTo(mails(t, replicas...), to); len(got) != 1 {
					t.Errorf("%d mails went to %s", len(got), to)
				}
			}
			newCaller().do(t, replicas[2], "accountVerify", input{"token": code})
			for _, s := range replicas {
				s.Stop()
			}
		})
	}
}

func TestEachLetterIsSentOnce(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	n := 100
	if testing.Short() {
		n = 30
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = newAddress()
	}
	const atATime = 10
	began := time.Now()
	atOnce(atATime, func(k int) {
		for i := k; i < n; i += atATime {
			in := input{"email": addresses[i], "password": phrase, "name": "Ruth"}
			if p, err := newCaller().try(replicas[i%3], "accountRegister", in); err != nil || p.code() != "" {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
	awaitSent(t, db)
	t.Logf("%d registrations were answered and their mails sent within %s", n, time.Since(began).Round(time.Millisecond))
	sent := mails(t, replicas...)
	if len(sent) != n {
		t.Errorf("%d mails were sent", len(sent))
	}
	for _, a := range addresses {
		if got := mailsTo(sent, a); len(got) != 1 || got[0].Kind != "verify" {
			t.Fatalf("to %s went %+v", a, got)
		}
	}
	for i, s := range replicas {
		t.Logf("replica %d sent %d of them", i, len(mails(t, s)))
	}
	if left := count(t, db, "letters", bson.D{{Key: "to", Value: bson.D{{Key: "$ne", Value: ""}}}}); left > 0 {
		t.Errorf("%d mails that were sent still say to whom", left)
	}
}

// traces is where in a database, or in what a Redis keeps, there is one of words.
func traces(t *testing.T, db *mongo.Database, words ...string) []string {
	t.Helper()
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		var all []bson.Raw
		if err := cursor.All(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		for _, document := range all {
			for _, w := range words {
				if bytes.Contains(document, []byte(w)) {
					found = append(found, fmt.Sprintf("%q in %s: %s", w, name, document))
				}
			}
		}
	}
	return found
}

// resident makes an account of which there is as much as there can be: by a registration,
// with sessions, uses, codes and mails.
func resident(t *testing.T, replicas []*stoatest.Stoa) (person, caller) {
	t.Helper()
	p := person{email: newAddress(), name: "Ruth Ashgrove " + newAddress()[:8], password: phrase}
	newCaller().do(t, replicas[0], "accountRegister", input{"email": p.email, "password": p.password, "name": p.name, "idempotencyKey": newKey()})
	made := newCaller().do(t, replicas[1], "accountVerify", input{"token": awaitCode(t, p.email, "verify", replicas...)})
	p.id = made.Account.ID
	c := newCaller()
	c.device = "Ruth's telephone " + p.email[:8]
	for range 2 {
		made := c.do(t, replicas[2], "sessionCreate", input{"email": p.email, "password": p.password, "idempotencyKey": newKey()})
		c.token, c.session = *made.Token, made.Session.ID
	}
	c.do(t, replicas[0], "passwordResetRequest", input{"email": p.email, "idempotencyKey": newKey()})
	c.do(t, replicas[1], "emailChangeRequest", input{"email": "new-" + p.email, "password": p.password, "idempotencyKey": newKey()})
	awaitCode(t, p.email, "reset", replicas...)
	awaitCode(t, "new-"+p.email, "email-change", replicas...)
	return p, c
}

func TestAnAccountThatIsDeletedLeavesNothing(t *testing.T) {
	uri, redis := stoatest.Database(t), redistest.Start(t)
	replicas := startThree(t, uri, redis.URL())
	db := open(t, uri)
	p, c := resident(t, replicas)
	if found := traces(t, db, p.email, p.name, c.device, c.address); len(found) < 5 {
		t.Fatalf("of somebody who is there, there are only %q", found)
	}
	c.do(t, replicas[1], "accountDelete", input{"password": p.password})
	awaitSent(t, db)
	for _, f := range traces(t, db, p.email, p.name, c.device, c.address, c.session) {
		t.Error(f)
	}
	keys, err := redis.Client(t).Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		value := redis.Client(t).Get(t.Context(), k).Val()
		for _, w := range []string{p.email, p.name, c.device} {
			if strings.Contains(value, w) {
				t.Errorf("%q is in Redis under %q", w, k)
			}
		}
	}
}

// What a replica does between the steps of a change, another one does again: here the
// database is put back to how a crash would have left it.
func TestWhatWasInterruptedIsDoneAgain(t *testing.T) {
	uri := stoatest.Database(t)
	replicas := startThree(t, uri, redistest.Start(t).URL())
	db := open(t, uri)
	t.Run("VerifyBeforeItsCodeIsGone", func(t *testing.T) {
		address := newAddress()
		newCaller().do(t, replicas[0], "accountRegister", input{"email": address, "password": phrase, "name": "Ruth"})
		token := awaitCode(t, address, "verify", replicas...)
		var code bson.Raw
		if err := db.Collection("codes").FindOne(t.Context(), bson.D{{Key: "email", Value: address}}).Decode(&code); err != nil {
			t.Fatal(err)
		}
		first := newCaller().do(t, replicas[0], "accountVerify", input{"token": token})
		if _, err := db.Collection("codes").InsertOne(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		again := newCaller().do(t, replicas[1], "accountVerify", input{"token": token})
		if first.Account.ID != again.Account.ID || count(t, db, "accounts", bson.D{{Key: "email", Value: address}}) != 1 {
			t.Errorf("it made %s and then %s", first.Account.ID, again.Account.ID)
		}
		if left := count(t, db, "codes", bson.D{{Key: "email", Value: address}}); left > 0 {
			t.Errorf("%d codes are left", left)
		}
	})
	t.Run("DeleteBeforeTheAccountIsGone", func(t *testing.T) {
		p, _ := resident(t, replicas)
		// Its first step is done, and so the viewer's session is over.
		for collection, field := range map[string]string{"sessions": "accountId", "codes": "accountId"} {
			if _, err := db.Collection(collection).DeleteMany(t.Context(), bson.D{{Key: field, Value: p.id}}); err != nil {
				t.Fatal(err)
			}
		}
		c := signIn(t, replicas[1], p)
		c.do(t, replicas[2], "accountDelete", input{"password": p.password})
		awaitSent(t, db)
		for _, f := range traces(t, db, p.email, p.name, c.session) {
			t.Error(f)
		}
	})
}

// The same by force: a server is killed at any moment of a change, and the change is asked
// for again.
func TestKilledServersFinishWhatTheyBegan(t *testing.T) {
	t.Parallel()
	uri := stoatest.Database(t)
	db := open(t, uri)
	redis := redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()}
	s := startAll(t, settings)[0]
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	// killed sends a mutation to a server of its own, which is killed before it answers,
	// or soon after.
	killed := func(t *testing.T, c caller, mutation string, in input, longest time.Duration) {
		p := serve(t, environ{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_PROXIES": "127.0.0.1/32"})
		done := make(chan error, 1)
		go func() { _, err := c.try(p.Stoa, mutation, in); done <- err }()
		<-time.After(rand.N(longest))
		p.kill(t)
		t.Logf("%s was killed: %v", mutation, <-done)
	}
	for range rounds {
		address := newAddress()
		newCaller().do(t, s, "accountRegister", input{"email": address, "password": phrase, "name": "Ruth"})
		token := awaitCode(t, address, "verify", s)
		killed(t, newCaller(), "accountVerify", input{"token": token}, 15*time.Millisecond)
		again, err := newCaller().try(s, "accountVerify", input{"token": token})
		if err != nil || again.code() != "" && again.code() != "TOKEN_INVALID" {
			t.Fatalf("%+v, %v", again, err)
		}
		if n := count(t, db, "accounts", bson.D{{Key: "email", Value: address}}); n != 1 {
			t.Errorf("there are %d accounts, and the second attempt was answered %+v", n, again)
		}

		p := addPeople(t, s, 1, access.Customer)[0]
		c := signIn(t, s, p)
		c.device = "telephone of " + p.email
		killed(t, c, "accountDelete", input{"password": phrase}, 80*time.Millisecond)
		if count(t, db, "accounts", bson.D{{Key: "_id", Value: p.id}}) == 1 {
			if who, err := c.account(s); err != nil || who == "" {
				c = signIn(t, s, p)
			}
			// What the killed server had sent may reach the database even now.
			if again, err := c.try(s, "accountDelete", input{"password": phrase}); err != nil || again.code() != "" && again.code() != "NOT_FOUND" {
				t.Fatalf("%+v, %v", again, err)
			}
		}
		startAll(t, settings)[0].Stop() // the next start finishes what was begun
		for _, f := range traces(t, db, p.email, p.name, c.device) {
			t.Error(f)
		}
	}
}
