//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// patience bounds what a test waits for. It is never waited for in a test that passes.
const patience = 20 * time.Second

// script is a proxy before a database whose every reply the test gives by hand.
type script struct {
	t       *testing.T
	proxy   *proxy
	backend net.Listener
}

func newScript(t *testing.T) *script {
	t.Helper()
	// t.TempDir() makes longer paths than sockets have.
	dir, err := os.MkdirTemp("", "stoa-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "b.sock"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p := newProxy(l.Addr().String(), &tables{dir: dir, log: log, indexed: map[namespace]bool{}}, log)
	t.Cleanup(func() {
		p.cut()
		p.drain()
		l.Close()
	})
	return &script{t, p, l}
}

// peer is a connection on either side of the proxy, as the test holds it.
type peer struct {
	t *testing.T
	net.Conn
}

// connect returns a client's connection, and the database's end of what the proxy made of it.
func (s *script) connect(foreign bool) (client, database peer) {
	s.t.Helper()
	near, far := net.Pipe()
	if err := s.proxy.serve(s.t.Context(), far, foreign); err != nil {
		s.t.Fatal(err)
	}
	behind, err := s.backend.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range []net.Conn{near, behind} {
		s.t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			s.t.Fatal(err)
		}
	}
	return peer{s.t, near}, peer{s.t, behind}
}

func (p peer) send(message []byte) {
	p.t.Helper()
	if _, err := p.Write(message); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) receive() []byte {
	p.t.Helper()
	b, err := readMessage(p, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// ended waits until the other side has closed the connection.
func (p peer) ended() {
	p.t.Helper()
	if b, err := readMessage(p, nil); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Errorf("the connection gave %d bytes and %v where it should have ended", len(b), err)
	}
}

// silent says whether nothing arrives for a moment: long enough to catch a proxy that lets
// a write through, too short to be noticed.
func (p peer) silent() bool {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		p.t.Fatal(err)
	}
	_, err := p.Read(make([]byte, 1))
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func command(t *testing.T, name string) []byte {
	return msg(t, 0, bson.D{{Key: name, Value: "articles"}, {Key: "$db", Value: "stoa"}})
}

func success(t *testing.T) []byte { return msg(t, 0, bson.D{{Key: "ok", Value: 1.0}}) }

func TestOneWriteAtATime(t *testing.T) {
	s := newScript(t)
	first, firstDB := s.connect(false)
	second, secondDB := s.connect(true)

	first.send(command(t, "update"))
	firstDB.receive()
	second.send(command(t, "insert"))
	if !secondDB.silent() {
		t.Fatal("the second write reached the database while the first had no reply")
	}
	firstDB.send(success(t))
	first.receive()
	secondDB.receive()
	secondDB.send(success(t))
	second.receive()
}

func TestReadsPassWhileAWriteIsHeld(t *testing.T) {
	s := newScript(t)
	writer, writerDB := s.connect(false)
	reader, readerDB := s.connect(true)

	writer.send(command(t, "update"))
	writerDB.receive()
	for _, name := range []string{"find", "getMore", "aggregate", "count", "ping", "hello"} {
		reader.send(command(t, name))
		readerDB.receive()
		readerDB.send(success(t))
		reader.receive()
	}
	writerDB.send(success(t))
	writer.receive()
}

func TestAClientThatGoesAwayKeepsItsTurnUntilTheDatabaseHasReplied(t *testing.T) {
	s := newScript(t)
	gone, goneDB := s.connect(true)
	other, otherDB := s.connect(false)

	gone.send(command(t, "update"))
	goneDB.receive()
	gone.Close()
	other.send(command(t, "update"))
	if !otherDB.silent() {
		t.Fatal("a write was let through while the one of a client that had gone was still running")
	}
	goneDB.send(success(t))
	otherDB.receive()
	otherDB.send(success(t))
	other.receive()
	goneDB.ended()
}

func TestAClientThatDiesInMidMessageHoldsNothing(t *testing.T) {
	s := newScript(t)
	dying, dyingDB := s.connect(true)
	other, otherDB := s.connect(false)

	whole := command(t, "insert")
	dying.send(whole[:len(whole)-1])
	other.send(command(t, "insert"))
	otherDB.receive()
	otherDB.send(success(t))
	other.receive()

	dying.Close()
	dyingDB.ended()
}

func TestAClientThatNeverReadsItsReplyHoldsNothing(t *testing.T) {
	s := newScript(t)
	deaf, deafDB := s.connect(true)
	other, otherDB := s.connect(false)

	deaf.send(command(t, "update"))
	deafDB.receive()
	deafDB.send(success(t))
	other.send(command(t, "update"))
	otherDB.receive()
	otherDB.send(success(t))
	other.receive()
}

func TestADatabaseThatFailsInMidWriteEndsTheTurn(t *testing.T) {
	s := newScript(t)
	failed, failedDB := s.connect(true)
	other, otherDB := s.connect(false)
	var told atomic.Int32
	tell := func() { told.Add(1) }
	s.proxy.onForeignWrite.Store(&tell)

	failed.send(command(t, "update"))
	failedDB.receive()
	failedDB.Close()
	failed.ended()
	if told.Load() != 1 {
		t.Error("the foreign write may have been made, and nobody was told")
	}
	other.send(command(t, "update"))
	otherDB.receive()
	otherDB.send(success(t))
	other.receive()
}

func TestForeignWritesAreToldAfterTheDatabaseAndBeforeTheClient(t *testing.T) {
	cases := map[string]struct {
		reason  string
		foreign bool
		message []byte
		want    bool
	}{
		"ForeignWrite":      {"the owner's caches are stale now", true, command(t, "update"), true},
		"ForeignUnknown":    {"what isn't known to only read may have written", true, command(t, "bulkWrite"), true},
		"ForeignUnanswered": {"write concern 0 writes too", true, msg(t, flagMoreToCome, bson.D{{Key: "insert", Value: "articles"}}), true},
		"ForeignRead":       {"a read leaves caches as they are", true, command(t, "find"), false},
		"ForeignGoodbye":    {"every driver ends its sessions when it disconnects", true, command(t, "endSessions"), false},
		"OwnWrite":          {"the owner drops what it has written itself, more exactly", false, command(t, "update"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			client, database := s.connect(c.foreign)
			var replied atomic.Bool
			called, held := make(chan bool, 1), make(chan struct{})
			proceed := sync.OnceFunc(func() { close(held) })
			t.Cleanup(proceed)
			tell := func() {
				called <- replied.Load()
				<-held
			}
			s.proxy.onForeignWrite.Store(&tell)

			client.send(c.message)
			database.receive()
			replied.Store(true)
			database.send(success(t))
			if !c.want {
				client.receive()
				select {
				case <-called:
					t.Errorf("it was told: %s", c.reason)
				default:
				}
				proceed()
				return
			}
			select {
			case after := <-called:
				if !after {
					t.Error("it was told before the database had replied")
				}
			case <-time.After(patience):
				t.Fatalf("nobody was told: %s", c.reason)
			}
			if !client.silent() {
				t.Error("the client had its reply before the owner knew")
			}
			// The turn is over by then: the owner may write while it is being told.
			own, ownDB := s.connect(false)
			own.send(command(t, "update"))
			ownDB.receive()
			ownDB.send(success(t))
			own.receive()
			proceed()
		})
	}
}

func TestAnUnansweredWriteGetsNoReplyAndHasItsTurn(t *testing.T) {
	s := newScript(t)
	client, database := s.connect(true)
	other, otherDB := s.connect(false)

	client.send(msg(t, flagMoreToCome, bson.D{{Key: "insert", Value: "articles"}}))
	database.receive()
	other.send(command(t, "update"))
	if !otherDB.silent() {
		t.Fatal("a write was let through while an unanswered one was still running")
	}
	database.send(success(t))
	otherDB.receive()
	otherDB.send(success(t))
	other.receive()

	ping := msg(t, 0, bson.D{{Key: "ping", Value: int32(1)}})
	client.send(ping)
	database.receive()
	pong := msg(t, 0, bson.D{{Key: "ok", Value: 1.0}, {Key: "pong", Value: true}})
	database.send(pong)
	if got := client.receive(); !slices.Equal(got, pong) {
		t.Errorf("the reply to the ping was %q", got)
	}
}

func TestAWriteThatWaitedLongerThanItsClientIsNotMade(t *testing.T) {
	s := newScript(t)
	first, firstDB := s.connect(false)
	late, lateDB := s.connect(true)

	first.send(command(t, "update"))
	firstDB.receive()
	late.send(msg(t, 0, bson.D{{Key: "update", Value: "articles"}, {Key: "maxTimeMS", Value: int64(1)}}))
	body, _, err := msgSections(late.receive()[headerSize:])
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := body.Lookup("code").AsInt64OK(); code != 50 {
		t.Errorf("the late write was answered with %v", body)
	}
	firstDB.send(success(t))
	first.receive()
	if !lateDB.silent() {
		t.Error("the late write reached the database")
	}
}

func TestRepliesThatWouldNeverEndAreRefused(t *testing.T) {
	s := newScript(t)
	client, database := s.connect(true)
	client.send(command(t, "hello"))
	database.receive()
	database.send(msg(t, flagMoreToCome, bson.D{{Key: "ok", Value: 1.0}}))
	client.ended()
}

func TestCompressedMessagesEndTheConnection(t *testing.T) {
	s := newScript(t)
	client, database := s.connect(true)
	client.send(frame(opCompressed, []byte{0xdd, 7, 0, 0, 1, 0, 0, 0, 0, 1}))
	client.ended()
	database.ended()
}

func TestDrainAnswersWhatIsUnderWayAndRefusesTheRest(t *testing.T) {
	s := newScript(t)
	busy, busyDB := s.connect(true)
	waiting, waitingDB := s.connect(false)
	idle, idleDB := s.connect(true)
	busy.send(command(t, "update"))
	busyDB.receive()
	waiting.send(command(t, "update"))

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.proxy.drain()
	}()
	idle.ended()
	idleDB.ended()
	near, far := net.Pipe()
	defer near.Close()
	if err := s.proxy.serve(t.Context(), far, false); !errors.Is(err, errClosed) {
		t.Errorf("a new connection got %v", err)
	}
	select {
	case <-drained:
		t.Fatal("drained while a write had no reply")
	default:
	}
	busyDB.send(success(t))
	busy.receive()
	waitingDB.receive()
	waitingDB.send(success(t))
	waiting.receive()
	waiting.ended()
	<-drained
}

func TestCutEndsWhatDoesNotEndByItself(t *testing.T) {
	s := newScript(t)
	running, runningDB := s.connect(true)
	waiting, waitingDB := s.connect(false)
	running.send(command(t, "update"))
	runningDB.receive()
	waiting.send(command(t, "update"))

	s.proxy.cut()
	running.ended()
	runningDB.ended()
	waiting.ended()
	waitingDB.ended()
	s.proxy.drain()
	for range 100 {
		if err := s.proxy.takeTurn(0); !errors.Is(err, errClosed) {
			t.Fatalf("a write that waited got its turn after all: %v", err)
		}
	}
}

func TestDialingADatabaseThatIsNotThereIsAnError(t *testing.T) {
	s := newScript(t)
	s.backend.Close()
	near, far := net.Pipe()
	defer near.Close()
	if err := s.proxy.serve(context.Background(), far, false); err == nil {
		t.Fatal("connected to a database that isn't there")
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client's connection was left open: %v", err)
	}
}
