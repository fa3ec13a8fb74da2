//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// Connections: clients that leave, wait or send garbage, groups of writes, and the end of a server.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// patience bounds the time that a test waits for an event.
const patience = time.Minute

// holdTurn makes a write keep its turn until release is called.
func holdTurn(t *testing.T, s *Server) (release func()) {
	t.Helper()
	held, end := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		err := s.storage.write(context.Background(), func(*transaction) error {
			close(held)
			<-end
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	release = sync.OnceFunc(func() {
		close(end)
		done.Wait()
	})
	t.Cleanup(release)
	return release
}

// peer is a client that speaks the protocol byte by byte.
type peer struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, s *Server) peer {
	t.Helper()
	c, err := s.Dialer().DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return peer{c, t}
}

func (p peer) send(message []byte) {
	p.t.Helper()
	if _, err := p.Write(message); err != nil {
		p.t.Fatal(err)
	}
}

func (p peer) receive() bson.Raw {
	p.t.Helper()
	reply, err := readMessage(p, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if to := binary.LittleEndian.Uint32(reply[8:]); to != 7 {
		p.t.Errorf("it replies to request %d, want 7", to)
	}
	body, _, err := msgSections(reply[headerSize:])
	if err != nil {
		p.t.Fatal(err)
	}
	return bson.Raw(body)
}

func (p peer) ended() {
	p.t.Helper()
	if b, err := io.ReadAll(p); len(b) > 0 || err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Errorf("the connection gave %d bytes and %v; it should have ended", len(b), err)
	}
}

func insertMessage(t *testing.T, id string) []byte {
	return msg(t, 0, bson.D{{Key: "insert", Value: "articles"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: id}}}}, {Key: "$db", Value: "stoa"}})
}

func codeOf(t *testing.T, reply bson.Raw) int64 {
	t.Helper()
	n, _ := reply.Lookup("code").AsInt64OK()
	return n
}

func TestReadsPassWhileAWriteIsHeld(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	insert(t, c, "articles", bson.D{{Key: "_id", Value: "1"}})
	release := holdTurn(t, s)
	if n := count(t, c, "articles"); n != 1 {
		t.Errorf("%d documents, want 1", n)
	}
	release()
}

func TestAClientThatDiesInMidMessageHoldsNothing(t *testing.T) {
	s := start(t, t.TempDir())
	dying := dial(t, s)
	whole := insertMessage(t, "1")
	dying.send(whole[:len(whole)-1])
	other := dial(t, s)
	other.send(insertMessage(t, "2"))
	other.receive()
	dying.Close()
	if n := count(t, own(t, s), "articles"); n != 1 {
		t.Errorf("%d documents, want 1: half a message was carried out", n)
	}
}

func TestAClientThatNeverReadsItsReplyHoldsNothing(t *testing.T) {
	s := start(t, t.TempDir())
	deaf := dial(t, s)
	deaf.send(insertMessage(t, "1"))
	insert(t, own(t, s), "articles", bson.D{{Key: "_id", Value: "2"}})
}

// A client that closes its connection is noticed while its command waits or runs, and the command
// leaves nothing behind.
func TestTheWriteOfAClientThatWentAwayIsNotMade(t *testing.T) {
	s := start(t, t.TempDir())
	release := holdTurn(t, s)
	gone := dial(t, s)
	gone.send(insertMessage(t, "1"))
	gone.Close()
	for { // until its connection has ended, while the turn is still held
		s.conns.mu.Lock()
		n := len(s.conns.conns)
		s.conns.mu.Unlock()
		if n == 0 {
			break
		}
		<-time.After(time.Millisecond)
	}
	release()
	if n := count(t, own(t, s), "articles"); n != 0 {
		t.Errorf("%d documents, want none", n)
	}
}

func TestAScanEndsWhenItsTimeIsOverOrItsClientHasGone(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	fill(t, c, 20_000)
	scan := bson.D{
		{Key: "find", Value: "articles"}, {Key: "filter", Value: bson.D{{Key: "text", Value: "nothing"}}}, {Key: "$db", Value: "stoa"},
	}
	err := c.Database("stoa").RunCommand(t.Context(), append(scan[:2:2], bson.E{Key: "maxTimeMS", Value: 1})).Err()
	var e mongo.CommandError
	if !errors.As(err, &e) || e.Code != 50 || !mongo.IsTimeout(err) {
		t.Errorf("a scan of 20,000 documents with 1 ms of time gave %v", err)
	}
	// Many clients that left take nothing from the others: each scan takes some 100 ms, and only a
	// few can run at a time.
	began := s.examined.Load()
	for range 50 {
		p := dial(t, s)
		p.send(msg(t, 0, scan))
		p.Close()
	}
	if n := count(t, c, "articles"); n != 20_000 {
		t.Errorf("%d documents", n)
	}
	if read := s.examined.Load() - began; read > 50*20_000/2 {
		t.Errorf("%d documents were read for clients that had gone", read)
	}
}

func TestForeignWritesAreToldBeforeTheirClientKnows(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	own := own(t, s)
	called, held := make(chan struct{}, 1), make(chan struct{})
	s.OnForeignWrite(func() {
		called <- struct{}{}
		<-held
	})
	answered := make(chan error, 1)
	f := foreign(t, dir)
	go func() {
		_, err := f.Database("stoa").Collection("articles").InsertOne(context.Background(), bson.D{{Key: "_id", Value: "1"}})
		answered <- err
	}()
	<-called
	if n := count(t, own, "articles"); n != 1 {
		t.Errorf("told of %d documents, want 1: before the database had them", n)
	}
	// The turn is over by then: the owner may write while it is told.
	insert(t, own, "articles", bson.D{{Key: "_id", Value: "2"}})
	select {
	case err := <-answered:
		t.Errorf("the client was answered, %v, before the owner knew", err)
	default:
	}
	close(held)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestCompressedMessagesEndTheConnection(t *testing.T) {
	s := start(t, t.TempDir())
	client := dial(t, s)
	client.send(frame(opCompressed, []byte{0xdd, 7, 0, 0, 1, 0, 0, 0, 0, 1}))
	client.ended()
}

func TestMalformedCommandsAreAnswered(t *testing.T) {
	s := start(t, t.TempDir())
	client := dial(t, s)
	broken := insertMessage(t, "1")
	at := bytes.Index(broken, []byte("_id\x00"))
	broken[at-1] = 0x42 // no type of BSON
	client.send(broken)
	if got := codeOf(t, client.receive()); got != int64(codeInvalidBSON) {
		t.Errorf("code %d, want %d", got, codeInvalidBSON)
	}
	client.send(insertMessage(t, "1"))
	if reply := client.receive(); reply.Lookup("n").Int32() != 1 {
		t.Errorf("the next command was answered with %v", reply)
	}
}

func TestDrainAnswersWhatIsUnderWayAndRefusesTheRest(t *testing.T) {
	s := start(t, t.TempDir())
	release := holdTurn(t, s)
	busy, idle := dial(t, s), dial(t, s)
	busy.send(insertMessage(t, "1"))
	waiting := dial(t, s)
	waiting.send(insertMessage(t, "2"))
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	idle.ended()
	if c, err := s.Dialer().DialContext(t.Context(), "", ""); err == nil {
		c.Close()
		t.Error("a closing server took a connection")
	}
	release()
	for _, p := range []peer{busy, waiting} {
		if reply := p.receive(); reply.Lookup("n").Int32() != 1 {
			t.Errorf("the command under way was answered with %v", reply)
		}
		p.ended()
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A client leaves after the server has begun to close, and before its command is answered.
func TestCloseWaitsForNoClientThatHasLeft(t *testing.T) {
	s := start(t, t.TempDir())
	release := holdTurn(t, s)
	var leaving []peer
	for i := range 10 {
		client := dial(t, s)
		client.send(insertMessage(t, fmt.Sprint(i)))
		leaving = append(leaving, client)
	}
	idle := dial(t, s)
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	idle.ended()                      // so every connection has been told
	time.Sleep(20 * time.Millisecond) // for their readers to wait for the answers: nothing shows it
	for _, client := range leaving {
		client.Close()
	}
	release()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the server doesn't close")
	}
}

// Writes that wait together are committed together, each whole or not at all.
func TestWritesInOneGroupFailApart(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	release := holdTurn(t, s)
	var writers sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for i := range 40 {
		writers.Go(func() {
			// Of each four with one _id, one succeeds.
			_, err := c.Database("stoa").Collection("articles").InsertOne(context.Background(), bson.D{{Key: "_id", Value: i / 4}})
			if err != nil {
				if !mongo.IsDuplicateKeyError(err) {
					t.Error(err)
				}
				mu.Lock()
				failed++
				mu.Unlock()
			}
		})
	}
	release()
	writers.Wait()
	if n := count(t, c, "articles"); n != 10 || failed != 30 {
		t.Errorf("%d documents and %d refused, want 10 and 30", n, failed)
	}
}

func TestCursorsAreBoundedAndEndWithTheirSession(t *testing.T) {
	s := start(t, t.TempDir())
	c := own(t, s)
	fill(t, c, 20)
	articles := c.Database("stoa").Collection("articles")
	var cursors []*mongo.Cursor
	for range maxCursors {
		cursor, err := articles.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(2))
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, cursor)
	}
	if _, err := articles.Find(t.Context(), bson.D{}, options.Find().SetBatchSize(2)); err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxCursors)) {
		t.Errorf("one cursor too many gave %v", err)
	}
	for _, cursor := range cursors {
		if err := cursor.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var session bson.Raw
	err := c.UseSession(t.Context(), func(ctx context.Context) error {
		session = mongo.SessionFromContext(ctx).ID()
		_, err := articles.Find(ctx, bson.D{}, options.Find().SetBatchSize(2))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// A driver sends this when it disconnects, unless it takes the session for expired.
	if err := c.Database("admin").RunCommand(t.Context(), bson.D{{Key: "endSessions", Value: bson.A{session}}}).Err(); err != nil {
		t.Fatal(err)
	}
	s.cursors.mu.Lock()
	defer s.cursors.mu.Unlock()
	if n := len(s.cursors.all); n != 0 {
		t.Errorf("%d cursors are left of sessions that have ended", n)
	}
}
