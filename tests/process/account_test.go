package process

import (
	"math/rand/v2"
	"net"
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

// expireLeases ends the leases of mails that were taken by a replica.
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
	db := stoatest.OpenDatabase(t, uri)
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
			s := stoatest.StartAll(t, stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_SMTP_URL": smtp, "STOA_MAIL_FROM": "stoa@example.org"})[0]
			return s, s.Stop
		},
	}
	for name, start := range ends {
		t.Run(name, func(t *testing.T) {
			dying, end := start(t)
			address, other, third := stoatest.NewAddress(), stoatest.NewAddress(), stoatest.NewAddress()
			register := func(s *stoatest.Stoa, address string) {
				stoatest.NewCaller().Do(t, s, "accountRegister", stoatest.Input{"email": address, "password": stoatest.Password, "name": "Ruth"})
			}
			register(dying, address)
			select {
			case <-called:
			case <-time.After(20 * time.Second):
				t.Fatal("the mail isn't sent")
			}
			end()
			replicas := stoatest.StartAll(t, settings, settings, settings)
			register(replicas[0], other)
			stoatest.AwaitCode(t, other, "verify", replicas...)
			if got := stoatest.MailsTo(stoatest.Mails(t, replicas...), address); len(got) > 0 {
				t.Errorf("another replica has sent %+v while it is to be sent by the first", got)
			}
			expireLeases(t, db)
			register(replicas[1], third) // every replica then looks for mails
			code := stoatest.AwaitCode(t, address, "verify", replicas...)
			stoatest.AwaitSent(t, db)
			for _, to := range []string{address, other, third} {
				if got := stoatest.MailsTo(stoatest.Mails(t, replicas...), to); len(got) != 1 {
					t.Errorf("%d mails went to %s", len(got), to)
				}
			}
			stoatest.NewCaller().Do(t, replicas[2], "accountVerify", stoatest.Input{"token": code})
			for _, s := range replicas {
				s.Stop()
			}
		})
	}
}

// The same by force: a server is killed at any moment of a change, and the change is asked
// for again.
func TestKilledServersFinishWhatTheyBegan(t *testing.T) {
	t.Parallel()
	uri := stoatest.Database(t)
	db := stoatest.OpenDatabase(t, uri)
	redis := redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL()}
	s := stoatest.StartAll(t, settings)[0]
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	// killed sends a mutation to a server of its own, and kills it before the response or soon
	// after.
	killed := func(t *testing.T, c stoatest.Caller, mutation string, in stoatest.Input, longest time.Duration) {
		p := serve(t, environ{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_PROXIES": "127.0.0.1/32"})
		done := make(chan error, 1)
		go func() { _, err := c.Try(p.Stoa, mutation, in); done <- err }()
		<-time.After(rand.N(longest))
		p.kill(t)
		t.Logf("%s was killed: %v", mutation, <-done)
	}
	for range rounds {
		address := stoatest.NewAddress()
		stoatest.NewCaller().Do(t, s, "accountRegister", stoatest.Input{"email": address, "password": stoatest.Password, "name": "Ruth"})
		token := stoatest.AwaitCode(t, address, "verify", s)
		killed(t, stoatest.NewCaller(), "accountVerify", stoatest.Input{"token": token}, 15*time.Millisecond)
		again, err := stoatest.NewCaller().Try(s, "accountVerify", stoatest.Input{"token": token})
		if err != nil || again.Reason() != "" && again.Reason() != "TOKEN_INVALID" {
			t.Fatalf("%+v, %v", again, err)
		}
		if n := stoatest.Count(t, db, "accounts", bson.D{{Key: "email", Value: address}}); n != 1 {
			t.Errorf("there are %d accounts, and the second attempt was answered %+v", n, again)
		}

		p := stoatest.AddMembers(t, s, 1, access.Customer)[0]
		c := stoatest.LogIn(t, s, p)
		c.Device = "telephone of " + p.Email
		killed(t, c, "accountDelete", stoatest.Input{"password": stoatest.Password}, 80*time.Millisecond)
		if stoatest.Count(t, db, "accounts", bson.D{{Key: "_id", Value: p.ID}}) == 1 {
			if who, err := c.Account(s); err != nil || who == "" {
				c = stoatest.LogIn(t, s, p)
			}
			// Writes of the killed server may reach the database even now.
			if again, err := c.Try(s, "accountDelete", stoatest.Input{"password": stoatest.Password}); err != nil || again.Reason() != "" && again.Reason() != "NOT_FOUND" {
				t.Fatalf("%+v, %v", again, err)
			}
		}
		stoatest.StartAll(t, settings)[0].Stop() // the next start finishes the interrupted work
		for _, f := range stoatest.Traces(t, db, p.Email, p.Name, c.Device) {
			t.Error(f)
		}
	}
}
